//! What others do to an interface while wirelink runs beside it, and what it makes of that.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;
use rustix::process::Signal;
use wirelink::mesh::base::identity::{AddressHash, PublicKey};

use crate::command;
use crate::lab::{Lab, WIRELINK};
use crate::look;
use crate::scenario::Path;
use crate::scenario::table::public_public;
use crate::tunnel::{Keys, PORT};

/// How long anything here may take that is no matter of the network.
const SOON: Duration = Duration::from_secs(20);

/// How long two leaves may take to find their way.
const DIRECT: Duration = Duration::from_secs(60);

/// A lab in which the two leaves have gone direct.
fn direct(flags_of_a: &str) -> Lab {
    let mut lab = Lab::build(&public_public());
    lab.remember();
    for name in ["hub", "b"] {
        lab.start(name);
    }
    lab.start_with("a", flags_of_a);
    arrives_direct(&lab);
    lab
}

#[track_caller]
fn arrives_direct(lab: &Lab) {
    look::arrive(lab, &look::all_by(lab, Path::Direct), DIRECT).unwrap_or_else(|why| panic!("{why}"));
}

/// Waits for what must be the case soon.
#[track_caller]
fn soon(lab: &Lab, what: &str, holds: impl Fn() -> bool) {
    let came = command::until(SOON, || holds().then_some(()));
    assert_eq!(came, Some(()), "{what}: {}", lab.log("a"));
}

#[track_caller]
fn says(lab: &Lab, words: &str) {
    soon(lab, words, || lab.log("a").contains(words));
}

fn has_address(lab: &Lab, address: IpNet) -> bool {
    lab.addresses("a").contains(&address)
}

/// Stops the daemon of `a`, which must end well.
#[track_caller]
fn stops_well(lab: &mut Lab) {
    lab.daemon("a").signal(Signal::TERM);
    let status = lab.daemon("a").ended(SOON);
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", lab.log("a"));
}

/// Runs a line on `a` in which `IF` stands for its interface.
#[track_caller]
fn on_a(lab: &Lab, line: &str) -> String {
    lab.namespace("a").run(&line.replace("IF", lab.interface("a")))
}

#[test]
fn an_interface_that_vanishes_is_waited_for() {
    let mut lab = direct("--wait");
    lab.unmake_interface("a");
    says(&lab, "waiting for");
    assert!(lab.daemon("a").is_running());
    lab.make_interface("a");
    arrives_direct(&lab);
    stops_well(&mut lab);
    lab.expect_as_found_on("a");
}

#[test]
fn an_interface_that_is_missing_is_waited_for_and_so_is_its_key() {
    let mut lab = Lab::build(&public_public());
    lab.unmake_interface("a");
    lab.start_with("a", "--wait");
    says(&lab, "waiting for");
    assert!(lab.daemon("a").catches(Signal::TERM, SOON));
    stops_well(&mut lab);

    lab.start_with("a", "--wait");
    lab.make_interface("a");
    let own = lab.link_local("a");
    soon(&lab, "it begins", || has_address(&lab, own));
    stops_well(&mut lab);

    let kept = std::fs::read(lab.logs.join("a.log")).expect("a log").len();
    lab.namespace("a")
        .attempt_with(
            &format!("wg set {} private-key /dev/stdin", lab.interface("a")),
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        )
        .expect("a key can be taken away");
    lab.start_with("a", "--wait");
    soon(&lab, "it says what is missing", || {
        lab.log("a")[kept..].contains("no private key")
    });
    lab.configure_anew("a");
    soon(&lab, "it begins when there is a key", || has_address(&lab, own));
}

#[test]
fn an_interface_that_goes_while_it_is_looked_at_is_waited_for() {
    let mut lab = Lab::build(&public_public());
    lab.unmake_interface("a");
    // Slow enough for something to go between any two of its steps. What is started is the daemon itself, so that it ends with the
    // test, and strace with it (-D): `strace -o` blocks the signals that would end it, and what it traces survives it.
    let slowly = "strace -D -f -qq -o /dev/null -e trace=sendto,sendmsg -e inject=sendto,sendmsg:delay_enter=100000";
    let line = format!("{slowly} {WIRELINK} --wait --iface {}", lab.interface("a"));
    let mut daemon = lab.spawn("a", &line, "slowly.log");
    for milliseconds in (0..1200).step_by(80) {
        lab.make_interface("a");
        std::thread::sleep(Duration::from_millis(milliseconds));
        lab.unmake_interface("a");
        assert!(daemon.is_running(), "after {milliseconds} ms: {}", daemon.output());
    }
    lab.make_interface("a");
    let own = lab.link_local("a");
    // Some ten seconds alone, as slow as that is.
    let began = command::until(Duration::from_secs(90), || has_address(&lab, own).then_some(()));
    assert!(began.is_some(), "it begins: {}", daemon.output());
}

#[test]
fn an_interface_that_can_have_no_ipv6_is_waited_for() {
    let mut lab = Lab::build(&public_public());
    lab.remember();
    let own = lab.link_local("a");
    // So is an interface of NetworkManager's, unless it is told otherwise.
    let ways = [
        (
            "sysctl -qw net.ipv6.conf.IF.disable_ipv6=1",
            "IPv6 is switched off on IF",
            "sysctl -qw net.ipv6.conf.IF.disable_ipv6=0",
        ),
        (
            "ip link set dev IF mtu 1200",
            "IPv6 needs 1280 or more",
            "ip link set dev IF mtu 1420",
        ),
    ];
    for (off, words, on) in ways {
        on_a(&lab, off);
        lab.start_with("a", "--wait");
        says(&lab, &words.replace("IF", lab.interface("a")));
        assert!(lab.daemon("a").catches(Signal::TERM, SOON), "{}", lab.log("a"));
        on_a(&lab, on);
        soon(&lab, "it begins", || has_address(&lab, own));
        stops_well(&mut lab);
        lab.expect_as_found_on("a");
    }
}

#[test]
fn another_name_is_followed() {
    let mut lab = direct("");
    let (name, own) = (lab.interface("a").to_owned(), lab.link_local("a"));
    let rename = |from: &str, to: &str| {
        // Kernels before 6.2 rename only what is down.
        for line in [
            format!("ip link set dev {from} down"),
            format!("ip link set dev {from} name {to}"),
            format!("ip link set dev {to} up"),
        ] {
            lab.namespace("a").run(&line);
        }
    };
    let other = format!("{name}y");
    rename(&name, &other);
    says(&lab, &format!("{name} is called {other} now"));
    let shown = || lab.namespace("a").run(&format!("ip -o addr show dev {other}"));
    soon(&lab, "the address is back", || {
        shown().contains(&own.addr().to_string())
    });
    rename(&other, &name);
    says(&lab, &format!("{other} is called {name} now"));
    arrives_direct(&lab);
    stops_well(&mut lab);
    lab.expect_as_found_on("a");
}

#[test]
fn another_listen_port_is_followed_by_the_facts() {
    let mut lab = direct("");
    let hears = |port: u16| {
        let own = format!(":{port:04X} ");
        lab.namespace("a").run("cat /proc/net/udp6").contains(&own)
    };
    assert!(hears(PORT + 1) && !hears(40_018));
    on_a(&lab, "wg set IF listen-port 40017");
    says(&lab, "facts are spoken on port 40018 and 51821, the routers' now");
    assert!(hears(40_018) && hears(PORT + 1));
    // What the others believe about this node: where it is now.
    let told = || {
        lab.signal_report("b");
        lab.log("b").contains(":40017")
    };
    soon(&lab, "the own endpoint is told", told);
    arrives_direct(&lab);

    on_a(&lab, &format!("wg set IF listen-port {PORT}"));
    says(&lab, "facts are spoken on port 51821 now");
    assert!(hears(PORT + 1) && !hears(40_018));
    stops_well(&mut lab);
    lab.expect_as_found_on("a");
}

#[test]
fn another_private_key_is_another_node() {
    let mut lab = direct("");
    let before = lab.link_local("a");
    let introduced = lab.public_key("b").to_owned();
    assert!(lab.peer("a", "b").is_some(), "b was introduced");
    let keys = Keys::generate();
    let key: PublicKey = keys.public.parse().expect("wg made this key");
    let after = IpNet::new(IpAddr::V6(AddressHash::Sha1.link_local(&key)), 64).expect("64 is a prefix length");
    keys.give(lab.namespace("a"), lab.interface("a"));
    soon(&lab, "it has the address of the new key", || has_address(&lab, after));
    assert!(!has_address(&lab, before), "the one of the old key is gone");
    says(&lab, "starting anew as another node");
    // Nobody knows the new node, so nobody has told it of others.
    let peers = lab.device("a").expect("the device can be read").peers;
    assert!(!peers.contains_key(&introduced), "what the old one learnt is gone");
    assert_eq!(lab.by_hand_changed("a"), None);
    stops_well(&mut lab);
    assert!(!has_address(&lab, after) && !has_address(&lab, before));
}

#[test]
fn what_is_flushed_comes_back_and_another_mtu_is_no_matter() {
    let mut lab = direct("");
    let own = lab.link_local("a");
    on_a(&lab, "ip addr flush dev IF scope link");
    soon(&lab, "the address is back", || has_address(&lab, own));
    let quiet = lab.log("a").len();
    on_a(&lab, "ip link set dev IF mtu 1300");
    std::thread::sleep(Duration::from_secs(2));
    assert!(has_address(&lab, own));
    assert!(!lab.log("a")[quiet..].contains("WARN"), "{}", &lab.log("a")[quiet..]);
    // Below 1280 there is no IPv6, and the kernel takes all of its addresses.
    on_a(&lab, "ip link set dev IF mtu 1200");
    says(&lab, "IPv6 needs 1280 or more");
    on_a(&lab, "ip link set dev IF mtu 1420");
    soon(&lab, "the address is back", || has_address(&lab, own));
    arrives_direct(&lab);
    stops_well(&mut lab);
}

#[test]
fn the_second_daemon_is_told_who_the_first_is_and_may_follow_it() {
    let mut lab = Lab::build(&public_public());
    let own = lab.link_local("a");
    lab.start("a");
    soon(&lab, "it runs", || has_address(&lab, own));
    let first = lab.daemon("a").id();
    let second = |log: &str| lab.spawn("a", &format!("{WIRELINK} --wait --iface {}", lab.interface("a")), log);
    let mut refused = second("refused.log");
    let status = refused.ended(SOON);
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{}", refused.output());
    let output = refused.output();
    let who = format!(
        "{} is taken: wirelink runs on it already (process {first}, started ",
        lab.interface("a")
    );
    assert!(output.contains(&who) && output.contains(" ago"), "{output}");

    // Nothing that a killed one leaves behind keeps the next from starting at once.
    let mut next = {
        let mut lab_daemon = second("waits.log");
        lab_daemon.kill();
        lab.daemon("a").kill();
        lab.spawn("a", &format!("{WIRELINK} --iface {}", lab.interface("a")), "next.log")
    };
    assert!(next.catches(Signal::TERM, SOON), "{}", next.output());
    let runs = command::until(SOON, || next.output().contains(" at fe80").then_some(()));
    assert_eq!(runs, Some(()), "{}", next.output());
    next.signal(Signal::TERM);
    let status = next.ended(SOON);
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", next.output());
    assert!(!has_address(&lab, own), "also the address that the killed one left");
}

#[test]
fn peers_of_the_operator_that_come_and_go_are_left_alone() {
    let lab = direct("");
    let peer = Keys::generate().public;
    on_a(&lab, &format!("wg set IF peer {peer} allowed-ips 172.31.9.9/32"));
    std::thread::sleep(Duration::from_secs(8));
    let peers = lab.device("a").expect("the device can be read").peers;
    let own: BTreeSet<IpNet> = [IpNet::from(IpAddr::V4(Ipv4Addr::new(172, 31, 9, 9)))].into();
    assert!(peers[&peer].allowed_ips.is_superset(&own), "{peers:?}");
    on_a(&lab, &format!("wg set IF peer {peer} remove"));
    std::thread::sleep(Duration::from_secs(8));
    assert!(
        !lab.device("a")
            .expect("the device can be read")
            .peers
            .contains_key(&peer)
    );
}

#[test]
fn what_another_tool_takes_off_comes_back_once_without_a_word_too_many_and_never_in_a_fight() {
    let lab = direct("");
    let complaints = |log: &str| log.matches("something else takes off").count();
    let quiet = lab.log("a").len();
    // As `wg syncconf`, a restart of systemd-networkd, and a reapplied connection of NetworkManager do.
    lab.configure_anew("a");
    on_a(&lab, "ip addr flush dev IF scope link");
    // So it was gone, and that was seen.
    says(&lab, "something else takes off");
    arrives_direct(&lab);
    let log = &lab.log("a")[quiet..];
    assert_eq!(complaints(log), 1, "one line: {log}");
    assert_eq!(lab.by_hand_changed("a"), None);

    // And now a program that does it all the time.
    let (began, line) = (
        lab.log("a").len(),
        format!("wg set IF peer {} remove", lab.public_key("b")),
    );
    let watched = Duration::from_secs(45);
    command::until_every(Duration::from_millis(100), watched, || {
        on_a(&lab, &line);
        on_a(&lab, "ip addr flush dev IF scope link");
        None::<()>
    });
    let log = lab.log("a")[began..].to_owned();
    let written = |what: &str| log.matches(what).count();
    assert!(
        (2..=6).contains(&written("AddPeer")),
        "{} times: {log}",
        written("AddPeer")
    );
    assert!(
        (2..=6).contains(&written("is back on")),
        "{} times: {log}",
        written("is back on")
    );
    assert!(complaints(&log) <= 1, "{log}");
    let told = log
        .lines()
        .filter(|line| line.contains(" INFO ") && line.contains("added"));
    assert_eq!(told.count(), 0, "it was told before: {log}");
    // When there is peace, what is missing comes back.
    arrives_direct(&lab);
}
