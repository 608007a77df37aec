//! The UDP ports for facts, beside other programs and other users that want them.

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::command;
use crate::control::{ask, json_of};
use crate::lab::{Lab, WIRELINK};
use crate::look;
use crate::scenario::Path;
use crate::scenario::table::public_public;
use crate::tunnel::{Inner, Interface, Keys, PORT, Written};

const SOON: Duration = Duration::from_secs(20);
/// How long leaves may take until they are direct; the machine may be busy.
const DIRECT_WITHIN: Duration = Duration::from_secs(60);
const FACTS: u16 = PORT + 1;
/// What nobody else is: a user without rights.
const NOBODY: u32 = 65_534;

/// Opens a socket on a host, as root or as another user.
fn socket_of(lab: &Lab, name: &str, user: u32, at: SocketAddrV6) -> UdpSocket {
    lab.namespace(name).inside(|| {
        // It is this thread's alone (setfsuid(2)).
        nix::unistd::setfsuid(nix::unistd::Uid::from_raw(user));
        UdpSocket::bind(at).unwrap_or_else(|error| panic!("{at}: {error}"))
    })
}

fn for_all(port: u16) -> SocketAddrV6 {
    SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0)
}

fn expect_direct(lab: &Lab) {
    let arrived = look::arrive(lab, &look::all_by(lab, Path::Direct), DIRECT_WITHIN);
    let logs = || {
        lab.names()
            .into_iter()
            .map(|name| format!("{name}: {}\n", lab.log(name)))
            .collect::<String>()
    };
    arrived.unwrap_or_else(|why| panic!("{why}\n{}", logs()));
}

fn start_all(lab: &mut Lab) {
    lab.names().into_iter().for_each(|name| lab.start(name));
}

/// Returns how the daemon of a host receives facts: each port, and whether it is bound and a fallback.
fn ports(lab: &Lab, name: &str) -> Vec<(u64, bool, bool)> {
    let shown = json_of(lab, name, "status");
    let ports = shown["node"]["fact_ports"].as_array().expect("a list").iter();
    let read = ports.map(|port| {
        let said = |key: &str| port[key].as_bool().expect("a boolean");
        (
            port["port"].as_u64().expect("a number"),
            said("bound"),
            said("fallback"),
        )
    });
    read.collect()
}

/// A user without rights on a member sends from the address of its node, all the time and from any port.
#[test]
fn datagrams_of_other_users_do_not_divert_facts() {
    let mut lab = Lab::build(&public_public());
    lab.start("a");
    let own = lab.link_local("a");
    let up = command::until(SOON, || lab.addresses("a").contains(&own).then_some(()));
    assert_eq!(up, Some(()), "{}", lab.log("a"));
    let index = index_of(&lab, "a");
    let v6 = |name: &str| match lab.link_local(name).addr() {
        std::net::IpAddr::V6(address) => address,
        std::net::IpAddr::V4(address) => panic!("{address}"),
    };
    let others = ["hub", "b"].map(|name| SocketAddrV6::new(v6(name), FACTS, 0, index));
    let socket = socket_of(&lab, "a", NOBODY, SocketAddrV6::new(v6("a"), 0, 0, index));
    socket
        .set_read_timeout(Some(Duration::from_millis(10)))
        .expect("a timeout");
    let is_over = AtomicBool::new(false);
    let diverted = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut diverted = 0;
            while !is_over.load(Ordering::Relaxed) {
                others.iter().for_each(|other| drop(socket.send_to(&[0], other)));
                diverted += usize::from(socket.recv(&mut [0; 2000]).is_ok());
            }
            diverted
        });
        ["hub", "b"].into_iter().for_each(|name| lab.start(name));
        let arrived = look::arrive(&lab, &look::all_by(&lab, Path::Direct), DIRECT_WITHIN);
        let stayed = arrived.and_then(|_| look::stay(&lab, &look::all_by(&lab, Path::Direct), Duration::from_secs(5)));
        is_over.store(true, Ordering::Relaxed);
        stayed.unwrap_or_else(|why| panic!("{why}: {}", lab.log("hub")));
        flood.join().expect("it counts")
    });
    assert_eq!(diverted, 0, "facts went to a user without rights");
}

/// Earlier versions had nothing but a name that anybody can take.
#[test]
fn lock_name_of_another_user_does_not_stop_the_daemon() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let mut lab = Lab::build(&public_public());
    let taken: Vec<UnixListener> = ["hub", "a"]
        .into_iter()
        .map(|name| {
            let name_of_lock = format!("wirelink/{}", index_of(&lab, name));
            lab.namespace(name).inside(|| {
                let nobody = rustix::thread::Uid::from_raw(NOBODY);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("root may");
                let address = SocketAddr::from_abstract_name(name_of_lock).expect("a name");
                UnixListener::bind_addr(&address).expect("it is free")
            })
        })
        .collect();
    start_all(&mut lab);
    expect_direct(&lab);
    assert!(lab.log("a").contains("is ignored"), "{}", lab.log("a"));
    let mut second = lab.spawn("a", &format!("{WIRELINK} --iface {}", lab.interface("a")), "second.log");
    let status = second
        .ended(SOON)
        .unwrap_or_else(|| panic!("two work on one interface: {}", second.output()));
    assert_eq!(status.code(), Some(1), "{}", second.output());
    drop(taken);
}

/// Returns the index of the interface of a host.
fn index_of(lab: &Lab, name: &str) -> u32 {
    let shown = lab
        .namespace(name)
        .run(&format!("ip -o link show dev {}", lab.interface(name)));
    let index = shown.split(':').next().and_then(|number| number.trim().parse().ok());
    index.unwrap_or_else(|| panic!("an index: {shown}"))
}

/// Makes another WireGuard interface on a host, which listens where facts would be expected.
fn another_interface(lab: &Lab, name: &str) -> Interface {
    let written = Written {
        keys: Keys::generate(),
        inner: Inner::of(77, 1, false),
        port: FACTS,
        peers: Vec::new(),
    };
    let iface = format!("{}2", lab.interface(name));
    Interface::make(&iface, lab.namespace(name), &written, &lab.logs)
}

#[track_caller]
fn expect_listening(lab: &Lab, name: &str, other: &Interface) {
    let namespace = lab.namespace(name);
    assert_eq!(
        namespace.run(&format!("wg show {} listen-port", other.name)).trim(),
        FACTS.to_string()
    );
    let bound = || namespace.run(&format!("ss -H -lun sport = :{FACTS}"));
    let is_bound = |line: &str| {
        ["*:", "[::]:", "0.0.0.0:"]
            .iter()
            .any(|all| line.contains(&format!("{all}{FACTS}")))
    };
    assert!(bound().lines().any(is_bound), "{}{}", bound(), lab.log(name));
}

#[test]
fn second_interface_gets_the_port_after_ours() {
    let mut lab = Lab::build(&public_public());
    start_all(&mut lab);
    expect_direct(&lab);
    assert_eq!(ports(&lab, "a"), [(FACTS.into(), true, false)]);
    let other = another_interface(&lab, "a");
    expect_listening(&lab, "a", &other);
    // The same by `wg set` on an interface that is up.
    for port in [PORT + 9, FACTS] {
        let namespace = lab.namespace("a");
        namespace.run(&format!("wg set {} listen-port {port}", other.name));
    }
    expect_listening(&lab, "a", &other);
    assert_eq!(ports(&lab, "a"), [(FACTS.into(), false, false)]);
    let told = ask(&lab, "a", &format!("status --iface {}", lab.interface("a"))).text;
    let expected = format!(
        "facts on UDP port {FACTS} (beside the WireGuard interface {})",
        other.name
    );
    assert!(told.contains(&expected), "{told}");
    // Links that come about now do so over the port that is not ours.
    lab.daemon("b").kill();
    lab.start("b");
    expect_direct(&lab);
    other.unmake(lab.namespace("a"));
    let alone = command::until(SOON, || {
        (ports(&lab, "a") == [(FACTS.into(), true, false)]).then_some(())
    });
    assert_eq!(
        alone,
        Some(()),
        "the port is bound again: {:?} {}",
        ports(&lab, "a"),
        lab.log("a")
    );
}

#[test]
fn port_of_another_interface_is_shared_on_hub_and_leaf() {
    let mut lab = Lab::build(&public_public());
    let others = ["hub", "a"].map(|name| another_interface(&lab, name));
    start_all(&mut lab);
    expect_direct(&lab);
    for (name, other) in ["hub", "a"].into_iter().zip(others) {
        expect_listening(&lab, name, &other);
        assert_eq!(ports(&lab, name), [(FACTS.into(), false, false)]);
        other.unmake(lab.namespace(name));
    }
}

#[test]
fn port_of_another_user_is_not_where_facts_go() {
    let mut lab = Lab::build(&public_public());
    let taken = ["hub", "a", "b"].map(|name| socket_of(&lab, name, NOBODY, for_all(FACTS)));
    start_all(&mut lab);
    expect_direct(&lab);
    let fallback = u64::from(FACTS) + 1000;
    for name in ["hub", "a", "b"] {
        assert_eq!(
            ports(&lab, name),
            [(fallback, true, true), (FACTS.into(), false, false)]
        );
        assert!(
            lab.log(name).contains(&format!("UDP port {FACTS} is taken by ")),
            "{}",
            lab.log(name)
        );
    }
    // What was sent before ports were known arrived there; since then nothing does.
    for socket in &taken {
        socket.set_nonblocking(true).expect("it may be");
        while socket.recv(&mut [0; 2000]).is_ok() {}
    }
    std::thread::sleep(Duration::from_secs(30));
    for socket in &taken {
        assert!(socket.recv(&mut [0; 2000]).is_err(), "facts go to another user");
    }
}

#[test]
fn without_raw_sockets_another_port_is_taken() {
    let mut lab = Lab::build(&public_public());
    lab.starter = "setpriv --bounding-set=-net_raw --inh-caps=-net_raw".to_owned();
    let _taken = ["hub", "a"].map(|name| socket_of(&lab, name, 0, for_all(FACTS)));
    start_all(&mut lab);
    expect_direct(&lab);
    let fallback = u64::from(FACTS) + 1000;
    for name in ["hub", "a"] {
        assert_eq!(ports(&lab, name), [(fallback, true, true)], "{}", lab.log(name));
    }
}

#[test]
fn port_chosen_on_the_hub_alone_cuts_no_leaf_off() {
    let mut lab = Lab::build(&public_public());
    lab.start_with("hub", "--port 7000");
    ["a", "b"].into_iter().for_each(|name| lab.start(name));
    expect_direct(&lab);
    assert_eq!(ports(&lab, "hub"), [(7000, true, false), (FACTS.into(), false, false)]);
}

#[test]
fn port_changes_while_it_runs() {
    let mut lab = Lab::build(&public_public());
    start_all(&mut lab);
    expect_direct(&lab);
    let folder = lab.settings("hub");
    assert!(!folder.exists(), "the hub needs no settings");
    let iface = lab.interface("hub").to_owned();
    lab.namespace("hub").run(&format!("wg set {iface} listen-port 51900"));
    let moved = command::until(SOON, || (ports(&lab, "hub") == [(51_901, true, false)]).then_some(()));
    assert_eq!(moved, Some(()), "{:?} {}", ports(&lab, "hub"), lab.log("hub"));
    look::stay(&lab, &look::all_by(&lab, Path::Direct), Duration::from_secs(5)).unwrap_or_else(|why| panic!("{why}"));
}
