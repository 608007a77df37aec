//! The real NetworkManager and its WireGuard connection, beside wirelink. It makes interfaces of the kernel's WireGuard only, and it
//! is a program that takes hold of a whole machine: so this runs in the guest alone.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::IpNet;
use rustix::process::Signal;

use crate::command;
use crate::keeper::Keeper;
use crate::lab::Lab;
use crate::look;
use crate::scenario::Path;
use crate::scenario::table::public_public;
use crate::tunnel::{Backend, Ipv6Method, Keys};

/// How long anything here may take that is no matter of the network; NetworkManager takes seconds, emulated.
const SOON: Duration = Duration::from_secs(40);

/// How long two leaves may take to find their way.
const DIRECT: Duration = Duration::from_secs(60);

/// How long NetworkManager goes on after it said that it is done.
const LATE: Duration = Duration::from_secs(3);

/// An address that is nobody's.
const MARK: &str = "fe80::98";

/// Starts NetworkManager on `a`, with the connections that are in the folder of the lab.
fn start_manager(lab: &Lab) -> Keeper {
    assert_eq!(Backend::wanted(), Backend::Kernel, "run this by tests/run slow");
    Keeper::start(lab, "manager", include_str!("manager.sh"), "")
}

/// A lab in which NetworkManager looks after the interface of leaf `a`.
struct Managed {
    lab: Lab,
    manager: Keeper,
}

impl Managed {
    fn build(ipv6: Ipv6Method) -> Self {
        let mut lab = Lab::build(&public_public());
        lab.unmake_interface("a");
        let interface = lab.interface("a").to_owned();
        let connection = lab.written("a").manager_lines(&interface, ipv6);
        let file = lab.logs.join(format!("{interface}.nmconnection"));
        std::fs::write(file, connection).expect("the folder of the lab can be written");
        let manager = start_manager(&lab);
        lab.adopt_interface("a");
        Self::start(lab, manager)
    }

    /// Starts all daemons.
    fn start(mut lab: Lab, manager: Keeper) -> Self {
        lab.remember();
        lab.start("hub");
        lab.start("b");
        lab.start_with("a", "--wait");
        Self { lab, manager }
    }

    /// Has NetworkManager do something; `IF` stands for the interface, and for its connection.
    #[track_caller]
    fn ask(&mut self, what: &str) {
        self.manager
            .ask(&format!("{}\n", what.replace("IF", self.lab.interface("a"))));
    }

    #[track_caller]
    fn soon(&self, what: &str, holds: impl Fn(&Lab) -> bool) {
        let came = command::until(SOON, || holds(&self.lab).then_some(()));
        assert_eq!(came, Some(()), "{what}: {}", self.lab.log("a"));
    }

    #[track_caller]
    fn arrives_direct(&self) {
        look::arrive(&self.lab, &look::all_by(&self.lab, Path::Direct), DIRECT).unwrap_or_else(|why| panic!("{why}"));
    }

    /// Returns how often the daemon of `a` has logged these words.
    fn said(&self, words: &str) -> usize {
        self.lab.log("a").matches(words).count()
    }

    /// Has NetworkManager do something and waits for the direct way; returns what it took off of that which was not its own.
    #[track_caller]
    fn taken_by(&mut self, what: &str) -> BTreeSet<&'static str> {
        let (peer, interface) = (Keys::generate().public, self.lab.interface("a").to_owned());
        let host = self.lab.namespace("a");
        host.run(&format!("ip addr add {MARK}/64 dev {interface} nodad"));
        host.run(&format!("wg set {interface} peer {peer} allowed-ips 172.31.9.9/32"));
        self.ask(what);
        // It says that it is done before all of it is.
        std::thread::sleep(LATE);
        let mut taken = BTreeSet::new();
        let mark: IpNet = format!("{MARK}/64").parse().expect("an address");
        let addresses = self.lab.addresses("a");
        if !addresses.contains(&mark) {
            taken.insert("addresses");
        }
        if !self.peers().contains(&peer) {
            taken.insert("peers");
        }
        let host = self.lab.namespace("a");
        if !taken.contains("addresses") {
            host.run(&format!("ip addr del {MARK}/64 dev {interface}"));
        }
        host.run(&format!("wg set {interface} peer {peer} remove"));
        self.arrives_direct();
        let own = self.lab.link_local("a");
        assert!(self.lab.addresses("a").contains(&own), "{what}: {own} is back");
        println!("{what}: takes off {taken:?}");
        taken
    }

    fn peers(&self) -> BTreeSet<String> {
        let device = self.lab.device("a").expect("the device can be read");
        device.peers.into_keys().collect()
    }

    /// Stops the daemon, which must leave the connection as NetworkManager made it.
    #[track_caller]
    fn stops_well(&mut self) {
        self.lab.daemon("a").signal(Signal::TERM);
        let status = self.lab.daemon("a").ended(SOON);
        let code = status.and_then(|status| status.code());
        assert_eq!(code, Some(0), "{}", self.lab.log("a"));
        self.lab.expect_as_found_on("a");
    }
}

#[test]
#[ignore = "needs the kernel's WireGuard and NetworkManager: tests/run slow"]
fn networkmanager_may_do_with_its_connection_what_it_does() {
    let mut managed = Managed::build(Ipv6Method::LinkLocal);
    managed.arrives_direct();
    assert!(managed.taken_by("device reapply IF").contains("addresses"));
    managed.taken_by("connection reload");
    assert!(managed.taken_by("connection up IF").contains("peers"));
    managed.taken_by("restart");
    let complaints = "something else takes off";
    let said = managed.said(complaints);
    assert!((1..=2).contains(&said), "{said} times: {}", managed.lab.log("a"));

    for _ in 0..2 {
        let waited = managed.said("waiting for");
        managed.ask("connection down IF");
        managed.soon("it waits", |lab| lab.log("a").matches("waiting for").count() > waited);
        assert!(managed.lab.daemon("a").is_running());
        managed.ask("connection up IF");
        managed.arrives_direct();
    }

    // All the time, it has its way for a while.
    let back = managed.said("is back on");
    managed.ask(&"device reapply IF\n".repeat(6));
    let back = managed.said("is back on") - back;
    assert!((1..=5).contains(&back), "{back} times: {}", managed.lab.log("a"));
    managed.arrives_direct();
    managed.stops_well();
}

#[test]
#[ignore = "needs the kernel's WireGuard and NetworkManager: tests/run slow"]
fn without_ipv6_wirelink_says_what_to_do_and_waits_for_it() {
    let mut managed = Managed::build(Ipv6Method::Disabled);
    let words = "nmcli connection modify";
    managed.soon("it says what to do", |lab| lab.log("a").contains(words));
    assert!(managed.lab.daemon("a").is_running());
    managed.ask("connection modify IF ipv6.method ignore\ndevice reapply IF");
    managed.arrives_direct();

    managed.ask("connection modify IF ipv6.method disabled\ndevice reapply IF");
    managed.soon("it says so again", |lab| lab.log("a").matches(words).count() > 1);
    managed.ask("connection modify IF ipv6.method link-local\nconnection up IF");
    managed.arrives_direct();
    managed.stops_well();
}

#[test]
#[ignore = "needs the kernel's WireGuard and NetworkManager: tests/run slow"]
fn networkmanager_leaves_alone_what_it_did_not_make() {
    let lab = Lab::build(&public_public());
    let manager = start_manager(&lab);
    assert!(manager.output().contains("(externally)"), "{}", manager.output());
    let mut managed = Managed::start(lab, manager);
    managed.arrives_direct();
    assert_eq!(managed.taken_by("restart"), BTreeSet::new());
    assert_eq!(managed.said("is back on"), 0, "{}", managed.lab.log("a"));
    managed.stops_well();
}
