//! What happens to one daemon: how it ends, what it refuses, what it answers.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;

use crate::command;
use crate::lab::{Lab, WIRELINK};
use crate::look;
use crate::play;
use crate::scenario::Path;
use crate::scenario::table::public_public;

/// How long anything here may take that is no matter of the network.
const SOON: Duration = Duration::from_secs(20);

/// Builds a network and starts one daemon, until it has given its interface the link-local address.
fn started(name: &'static str) -> Lab {
    let mut lab = Lab::build(&public_public());
    lab.start(name);
    let own = lab.link_local(name);
    let up = command::until(SOON, || lab.addresses(name).contains(&own).then_some(()));
    assert_eq!(up, Some(()), "the interface has {own}: {}", lab.log(name));
    assert!(lab.daemon(name).catches(Signal::TERM, SOON), "wirelink runs");
    lab
}

/// Checks that a daemon ended by itself, not well, and said why in words.
fn refused(status: Option<ExitStatus>, output: &str, words: &[&str]) {
    let status = status.unwrap_or_else(|| panic!("wirelink goes on: {output}"));
    assert!(matches!(status.code(), Some(1..)), "{status}: {output}");
    assert!(!output.contains("panicked"), "{output}");
    let lower = output.to_lowercase();
    assert!(
        words.iter().any(|word| lower.contains(word)),
        "none of {words:?} in: {output}"
    );
}

/// Starts wirelink for an interface that it cannot work with.
fn refuses(lab: &Lab, interface: &str, words: &[&str]) {
    let mut daemon = lab.spawn("a", &format!("{WIRELINK} --iface {interface}"), "refuses.log");
    let status = daemon.ended(SOON);
    let output = daemon.output();
    refused(status, &output, words);
    assert!(output.contains(interface), "the interface is named: {output}");
}

#[test]
fn an_interface_that_does_not_exist_is_refused() {
    let lab = Lab::build(&public_public());
    refuses(
        &lab,
        "wl-nowhere",
        &["no interface", "not exist", "no such", "not found", "missing"],
    );
}

#[test]
fn an_interface_that_is_not_wireguard_is_refused() {
    let lab = Lab::build(&public_public());
    let before = lab.namespace("a").run("ip -o addr show dev eth0");
    refuses(&lab, "eth0", &["not a wireguard", "not wireguard", "no wireguard"]);
    assert_eq!(
        lab.namespace("a").run("ip -o addr show dev eth0"),
        before,
        "nothing is touched"
    );
}

#[test]
fn without_root_it_says_what_it_needs() {
    let lab = Lab::build(&public_public());
    let before = lab.found("a");
    let (program, interface) = (Reachable::copy(), lab.interface("a"));
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let line = format!("{nobody} {} --iface {interface}", program.0.join("wirelink").display());
    let mut daemon = lab.spawn("a", &line, "nobody.log");
    let status = daemon.ended(SOON);
    refused(
        status,
        &daemon.output(),
        &["root", "permi", "privilege", "cap_net_admin"],
    );
    assert_eq!(lab.found("a"), before, "nothing is touched");
}

#[test]
fn a_deleted_interface_ends_the_daemon() {
    let mut lab = started("a");
    let interface = lab.interface("a").to_owned();
    lab.namespace("a").run(&format!("ip link del dev {interface}"));
    let status = lab.daemon("a").ended(SOON);
    let log = lab.log("a");
    refused(
        status,
        &log,
        &[
            "gone",
            "vanish",
            "removed",
            "deleted",
            "no longer",
            "disappear",
            "no interface",
        ],
    );
    assert!(log.contains(&interface), "the interface is named: {log}");
}

#[test]
fn usr1_prints_the_state_and_int_stops() {
    let mut lab = started("a");
    let before = lab.found("a");
    assert!(lab.daemon("a").catches(Signal::USR1, SOON), "SIGUSR1 is caught");
    let quiet = lab.log("a").len();
    lab.daemon("a").signal(Signal::USR1);
    let hub = lab.public_key("hub")[..8].to_owned();
    let told = command::until(SOON, || lab.log("a")[quiet..].contains(&hub).then_some(()));
    assert_eq!(told, Some(()), "the hub ({hub}) is in the state: {}", lab.log("a"));
    assert!(lab.daemon("a").is_running(), "wirelink goes on");

    lab.daemon("a").signal(Signal::INT);
    let status = lab.daemon("a").ended(SOON);
    assert_eq!(status.and_then(|status| status.code()), Some(0), "SIGINT ends it well");
    let own = lab.link_local("a");
    assert!(!lab.addresses("a").contains(&own), "{own} is off the interface");
    assert_ne!(lab.found("a"), before, "it had changed something");
}

#[test]
fn leaves_without_a_listen_port_of_their_own_go_direct() {
    let mut lab = Lab::build(&public_public());
    // As wg-quick leaves it to WireGuard where the file says nothing.
    for (leaf, port) in [("a", 40_017), ("b", 47_011)] {
        let interface = lab.interface(leaf).to_owned();
        lab.namespace(leaf)
            .run(&format!("wg set {interface} listen-port {port}"));
    }
    play::start_all(&mut lab, Duration::from_secs(30));
}

#[test]
fn a_killed_daemon_takes_up_its_work_when_it_is_back() {
    let mut lab = Lab::build(&public_public());
    play::start_all(&mut lab, Duration::from_secs(30));
    lab.daemon("a").kill();
    lab.start("a");
    // What the first one brought onto the device looks like the operator's to the second, which so leaves it where it is.
    let direct = look::all_by(&lab, Path::Direct);
    look::arrive(&lab, &direct, Duration::from_secs(60)).unwrap_or_else(|why| panic!("second start: {why}"));
}

#[test]
fn a_second_daemon_is_refused_and_the_first_one_keeps_its_address() {
    let mut lab = started("a");
    let interface = lab.interface("a").to_owned();
    let monitor = lab.spawn("a", &format!("ip -o monitor address dev {interface}"), "addresses.log");
    let told = |lab: &Lab, address: &str| {
        command::until(SOON, || {
            lab.namespace("a")
                .run(&format!("ip addr replace {address} dev {interface}"));
            monitor.output().contains(address).then(|| monitor.output())
        })
    };
    assert!(told(&lab, "10.98.0.1/32").is_some(), "the monitor listens");
    refuses(&lab, &interface, &["taken"]);
    let all = told(&lab, "10.98.0.2/32").expect("the last change is told");
    let own = lab.link_local("a").addr().to_string();
    assert!(!all.contains(&own), "{own} was changed: {all}");
    assert!(lab.daemon("a").is_running(), "the first one goes on");
}

#[test]
fn an_interface_that_is_down_is_waited_for() {
    let mut lab = Lab::build(&public_public());
    let (interface, own) = (lab.interface("a").to_owned(), lab.link_local("a"));
    lab.namespace("a").run(&format!("ip link set dev {interface} down"));
    // As with wg-quick without a ListenPort: WireGuard chooses one when the interface comes up.
    lab.namespace("a").run(&format!("wg set {interface} listen-port 0"));
    lab.start("a");
    let waits = command::until(SOON, || lab.log("a").contains("is down").then_some(()));
    assert_eq!(waits, Some(()), "it says so: {}", lab.log("a"));
    lab.daemon("a").signal(Signal::USR1);
    lab.namespace("a").run(&format!("ip link set dev {interface} up"));
    let up = command::until(SOON, || lab.addresses("a").contains(&own).then_some(()));
    assert_eq!(up, Some(()), "it goes on: {}", lab.log("a"));

    lab.namespace("a").run(&format!("ip link set dev {interface} down"));
    lab.namespace("a").run(&format!("ip link set dev {interface} up"));
    let back = command::until(SOON, || lab.addresses("a").contains(&own).then_some(()));
    assert_eq!(back, Some(()), "{own} is back: {}", lab.log("a"));
    lab.namespace("a").run(&format!("ip addr del {own} dev {interface}"));
    let back = command::until(SOON, || lab.addresses("a").contains(&own).then_some(()));
    assert_eq!(back, Some(()), "{own} is back: {}", lab.log("a"));
}

#[test]
fn a_device_that_does_not_answer_delays_the_end_and_keeps_no_address() {
    let mut lab = started("a");
    let own = lab.link_local("a");
    if lab.suspend("a", true) {
        lab.daemon("a").signal(Signal::TERM);
        let status = lab.daemon("a").ended(SOON);
        lab.suspend("a", false);
        refused(status, &lab.log("a"), &["not as it was found"]);
        assert!(!lab.addresses("a").contains(&own), "{own} is off the interface");
    }
}

/// A copy of the program where everybody may run it; the target folder may be somebody's own.
struct Reachable(PathBuf);

impl Reachable {
    fn copy() -> Self {
        let folder = std::env::temp_dir().join(format!("wllab-{}", std::process::id()));
        let copy = Self(folder);
        std::fs::create_dir_all(&copy.0).expect("the folder for temporary files can be written");
        std::fs::set_permissions(&copy.0, Permissions::from_mode(0o755)).expect("the folder is ours");
        std::fs::copy(WIRELINK, copy.0.join("wirelink")).expect("there is room for a copy of the program");
        copy
    }
}

impl Drop for Reachable {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
