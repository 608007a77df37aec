//! The real programs that people make WireGuard interfaces with, beside wirelink: wg-quick and systemd-networkd.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use crate::command;
use crate::keeper::Keeper;
use crate::lab::Lab;
use crate::look;
use crate::scenario::Path;
use crate::scenario::table::public_public;

/// How long a tool may take.
const SOON: Duration = Duration::from_secs(20);

/// How long two leaves may take to find their way.
const DIRECT: Duration = Duration::from_secs(60);

#[track_caller]
fn arrives_direct(lab: &Lab) {
    look::arrive(lab, &look::all_by(lab, Path::Direct), DIRECT).unwrap_or_else(|why| panic!("{why}"));
}

#[track_caller]
fn ends_with(lab: &mut Lab, code: i32) {
    let status = lab.daemon("a").ended(SOON);
    assert_eq!(status.and_then(|status| status.code()), Some(code), "{}", lab.log("a"));
}

/// A lab in which leaf `a` has no interface yet.
fn without_interface() -> Lab {
    let mut lab = Lab::build(&public_public());
    lab.unmake_interface("a");
    lab.start("hub");
    lab.start("b");
    lab
}

/// The file of `a` for wg-quick.
struct Quick {
    file: PathBuf,
    runs: u32,
}

impl Quick {
    fn new(lab: &Lab) -> Self {
        Self {
            file: lab.logs.join(format!("{}.conf", lab.interface("a"))),
            runs: 0,
        }
    }

    fn write(&self, lab: &Lab, more: &str) {
        let lines = lab.written("a").quick_lines(&format!("SaveConfig = true\n{more}"));
        std::fs::write(&self.file, lines).expect("the folder of the lab can be written");
    }

    /// Runs `wg-quick up` or `down`. The wireguard-go that it starts keeps its output open, so that is a file.
    #[track_caller]
    fn run(&mut self, lab: &Lab, what: &str) {
        self.runs += 1;
        let line = format!("wg-quick {what} {}", self.file.display());
        let mut tool = lab.spawn("a", &line, &format!("wg-quick.{}.log", self.runs));
        let status = tool.ended(SOON);
        let well = status.is_some_and(|status| status.success());
        assert!(well, "{what}: {}", tool.output());
    }

    fn up(&mut self, lab: &mut Lab) {
        self.run(lab, "up");
        lab.adopt_interface("a");
    }

    /// Returns whom the file names, and with which prefixes.
    fn peers(&self) -> BTreeSet<String> {
        let text = std::fs::read_to_string(&self.file).expect("the file is there");
        let of_peers = |line: &&str| line.starts_with("PublicKey") || line.starts_with("AllowedIPs");
        let lines = text.lines().filter(of_peers);
        lines.map(|line| line.split_whitespace().collect()).collect()
    }
}

#[test]
fn wg_quick_saves_nothing_of_ours_when_wirelink_stops_first() {
    let mut lab = without_interface();
    let mut quick = Quick::new(&lab);
    let b = format!("PublicKey={}", lab.public_key("b"));

    quick.write(&lab, "");
    quick.up(&mut lab);
    lab.start("a");
    arrives_direct(&lab);
    // The other way round it does: so this test can tell.
    quick.run(&lab, "down");
    assert!(quick.peers().contains(&b), "{:?}", quick.peers());
    ends_with(&mut lab, 1);

    // A line as in the README; `systemctl stop` waits for the end of the daemon, this one until its address is gone.
    let (own, id) = (lab.link_local("a").addr(), lab.logs.join("a.pid"));
    let gone = format!("for n in $(seq 100); do ip -6 addr show dev %i | grep -q {own} || break; sleep 0.1; done");
    quick.write(&lab, &format!("PreDown = kill -TERM $(cat {}); {gone}\n", id.display()));
    let before = quick.peers();
    quick.up(&mut lab);
    lab.start("a");
    std::fs::write(&id, lab.daemon("a").id().to_string()).expect("the folder of the lab can be written");
    arrives_direct(&lab);
    quick.run(&lab, "down");
    assert_eq!(quick.peers(), before);
    ends_with(&mut lab, 0);
}

#[test]
fn wg_quick_may_take_the_interface_down_and_up_under_a_daemon_that_waits() {
    let mut lab = without_interface();
    let mut quick = Quick::new(&lab);
    lab.start_with("a", "--wait");
    for _ in 0..2 {
        // Each time as the operator wrote it.
        quick.write(&lab, "");
        quick.up(&mut lab);
        arrives_direct(&lab);
        quick.run(&lab, "down");
        assert!(lab.daemon("a").is_running());
    }
    lab.daemon("a").signal(Signal::TERM);
    ends_with(&mut lab, 0);
}

/// Starts systemd-networkd for the interface of `a`.
fn networkd(lab: &Lab) -> Keeper {
    let arguments = format!("{} {}/24", lab.interface("a"), lab.inner("a").v4);
    Keeper::start(lab, "networkd", include_str!("networkd.sh"), &arguments)
}

#[test]
fn networkd_may_configure_the_interface_again_at_any_time() {
    let mut lab = Lab::build(&public_public());
    lab.start("hub");
    lab.start("b");
    lab.namespace("a")
        .run(&format!("ip -4 addr flush dev {}", lab.interface("a")));
    let mut networkd = networkd(&lab);
    lab.start("a");
    arrives_direct(&lab);
    let (own, interface) = (lab.link_local("a"), lab.interface("a").to_owned());
    let foreign = "10.98.98.98/32";
    let has = |lab: &Lab, net: &str| lab.addresses("a").iter().any(|own| own.to_string() == net);
    for _ in 0..2 {
        lab.namespace("a")
            .run(&format!("ip addr add {foreign} dev {interface}"));
        networkd.ask(&format!("reconfigure {interface}"));
        // It does take off what it does not know; link-local addresses only in some of its versions.
        let gone = command::until(SOON, || (!has(&lab, foreign)).then_some(()));
        assert_eq!(gone, Some(()), "{}", networkd.output());
        let back = command::until(SOON, || lab.addresses("a").contains(&own).then_some(()));
        assert_eq!(back, Some(()), "{own} is back: {}", lab.log("a"));
    }
    networkd.ask("reload");
    arrives_direct(&lab);
    let complaints = lab.log("a").matches("something else takes off").count();
    assert!(complaints <= 1, "{}", lab.log("a"));
    lab.daemon("a").signal(Signal::TERM);
    ends_with(&mut lab, 0);
    assert!(!lab.addresses("a").contains(&own));
}
