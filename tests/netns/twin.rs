//! The model's twin: every experiment on real interfaces, which must behave as the model of WireGuard does.
//!
//! In one of them wireguard-go differs from the kernel: see [`a_host_speaks_from_its_new_address`].

#[path = "../sim/experiment/mod.rs"]
mod experiment;
#[path = "../sim/wire.rs"]
#[allow(dead_code, reason = "the tests of the model need more of it")]
mod wire;
#[path = "../sim/wireguard/mod.rs"]
#[allow(dead_code, reason = "the simulator needs more of it")]
mod wireguard;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use self::experiment::model::OnModel;
use self::experiment::{Bench, Experiment, HOSTS, Look, Step, make, table};
use crate::namespace::{Namespace, PREFIX};
use crate::sweep;
use crate::tunnel::{Backend, INTERFACE, Inner, Interface, Keys, PORT, Written};

/// Where packets are sent to inside the tunnel.
const INNER_PORT: u16 = 7000;
/// The address inside the tunnel that is no host's.
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 99);

/// Three hosts on one bridge. Nothing of them is left when this is dropped.
struct Laboratory {
    // Fields are dropped in this order: first what runs, then where it runs.
    hosts: Vec<Host>,
    bridge: Namespace,
    logs: PathBuf,
}

struct Host {
    interface: Interface,
    key: String,
    inner: Inner,
    /// Where it is on the wire.
    outer: SocketAddr,
    socket: UdpSocket,
    forger: UdpSocket,
    got: usize,
    namespace: Namespace,
}

impl Laboratory {
    fn build() -> Self {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep::sweep);
        static WORLDS: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), WORLDS.fetch_add(1, Ordering::Relaxed));
        let world = format!("{PREFIX}{process}-t{number}");
        let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&world);
        std::fs::create_dir_all(&logs).unwrap_or_else(|error| panic!("{}: {error}", logs.display()));
        let bridge = Namespace::new(&world, "bridge");
        bridge.run("ip link add name lan type bridge");
        bridge.run("ip link set dev lan up");
        let host = |index: usize, letter: char| {
            let interface = format!("{INTERFACE}{process}xt{number}{letter}");
            Host::build(&world, index, &interface, &bridge, &logs)
        };
        let hosts = (0..HOSTS).zip('a'..='z').map(|(index, letter)| host(index, letter));
        Self {
            hosts: hosts.collect(),
            bridge,
            logs,
        }
    }

    /// Tells WireGuard of a host something about a peer.
    fn tell(&self, at: usize, peer: usize, what: &str) {
        let (host, key) = (&self.hosts[at], &self.hosts[peer].key);
        let line = format!("wg set {} peer {key} {what}", host.interface.name);
        host.namespace.run(&line);
    }

    /// Plugs all hosts in or out.
    fn plug(&self, how: &str) {
        for index in 0..HOSTS {
            self.bridge.run(&format!("ip link set dev port{index} {how}"));
        }
    }
}

impl Drop for Laboratory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.logs);
    }
}

impl Host {
    fn build(world: &str, index: usize, interface: &str, bridge: &Namespace, logs: &Path) -> Self {
        let namespace = Namespace::new(world, &format!("host{index}"));
        // What a tunnel to nowhere says by itself would be counted.
        namespace.run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
        let outer = outer(index, 0);
        namespace.run(&format!(
            "ip link add name eth0 type veth peer name port{index} netns {}",
            bridge.name
        ));
        namespace.run(&format!("ip addr add {outer}/24 dev eth0"));
        namespace.run("ip link set dev eth0 up");
        bridge.run(&format!("ip link set dev port{index} master lan up"));
        let (keys, inner) = (Keys::generate(), Inner::of(0, 1 + index as u8, false));
        let written = Written {
            keys: keys.clone(),
            inner,
            peers: Vec::new(),
            port: crate::tunnel::PORT,
        };
        let interface = Interface::make(interface, &namespace, &written, logs);
        namespace.run(&format!("ip addr add {NOBODY}/32 dev lo"));
        let [socket, forger] = sockets(&namespace, [inner.v4, NOBODY]);
        Self {
            interface,
            key: keys.public,
            inner,
            outer: (outer, PORT).into(),
            socket,
            forger,
            got: 0,
            namespace,
        }
    }

    /// Exchanges its address on the wire.
    fn renumber(&mut self, index: usize) {
        let former = self.outer.ip();
        self.outer.set_ip(outer(index, 100).into());
        // In this order: an address goes along with the first one of its network.
        self.namespace.run(&format!("ip addr del {former}/24 dev eth0"));
        self.namespace
            .run(&format!("ip addr add {}/24 dev eth0", self.outer.ip()));
    }
}

fn outer(index: usize, offset: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, 1 + index as u8 + offset)
}

/// Opens sockets in a namespace. They stay there; the thread that opens them is no use afterwards.
fn sockets(namespace: &Namespace, addresses: [Ipv4Addr; 2]) -> [UdpSocket; 2] {
    let file = File::open(namespace.path()).expect("the namespace is there");
    let open = move || {
        setns(file, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
        addresses.map(|address| {
            let socket = UdpSocket::bind((address, INNER_PORT)).expect("an address of the namespace");
            socket.set_nonblocking(true).expect("a socket can be told not to wait");
            socket
        })
    };
    std::thread::spawn(open).join().expect("the sockets are open")
}

impl Bench for Laboratory {
    const PATIENCE: f64 = 4.0;

    fn act(&mut self, step: Step) {
        match step {
            Step::Introduce(at, peer) => {
                let Host { outer, inner, .. } = &self.hosts[peer];
                let what = format!("endpoint {outer} allowed-ips {}/32", inner.v4);
                self.tell(at, peer, &what);
            }
            Step::Forget(at, peer) => self.tell(at, peer, "remove"),
            Step::Point(at, peer) => {
                let endpoint = self.hosts[peer].outer;
                self.tell(at, peer, &format!("endpoint {endpoint}"));
            }
            Step::Mislead(at, peer) => self.tell(at, peer, "endpoint 192.0.2.250:9"),
            Step::Keepalive(at, peer, interval) => self.tell(at, peer, &format!("persistent-keepalive {interval}")),
            Step::Give(at, of, to) => {
                // `wg set` replaces the allowed IPs of the peer that it names.
                let prefixes = [of, to].map(|host| format!("{}/32", self.hosts[host].inner.v4));
                self.tell(at, to, &format!("allowed-ips {}", prefixes.join(",")));
            }
            Step::Send(from, to) => {
                let to = (self.hosts[to].inner.v4, INNER_PORT);
                let _ = self.hosts[from].socket.send_to(b"twin", to);
            }
            Step::Forge(from, to) => {
                let to = (self.hosts[to].inner.v4, INNER_PORT);
                let _ = self.hosts[from].forger.send_to(b"forged", to);
            }
            Step::Move(host) => self.hosts[host].renumber(host),
            Step::Remap(host) => {
                let Host {
                    interface,
                    namespace,
                    outer,
                    ..
                } = &mut self.hosts[host];
                outer.set_port(PORT + 1);
                namespace.run(&format!("wg set {} listen-port {}", interface.name, outer.port()));
            }
            Step::Cut => self.plug("nomaster"),
            Step::Heal => self.plug("master lan"),
            Step::Mark | Step::Within(..) | Step::Not(..) => unreachable!("no deed"),
        }
    }

    fn pass(&mut self, seconds: f64) {
        std::thread::sleep(Duration::from_secs_f64(seconds));
    }

    fn look(&mut self, at: usize, of: usize) -> Look {
        let host = &self.hosts[at];
        let device = host
            .interface
            .read(&host.namespace)
            .unwrap_or_else(|error| panic!("{error}"));
        let peer = device.peers.get(&self.hosts[of].key);
        peer.map_or_else(Look::default, |peer| Look {
            sent: peer.sent,
            handshake: peer.latest_handshake,
            follows: peer.endpoint == Some(self.hosts[of].outer),
        })
    }

    fn got(&mut self, host: usize) -> usize {
        let host = &mut self.hosts[host];
        while host.socket.recv(&mut [0; 64]).is_ok() {
            host.got += 1;
        }
        host.got
    }
}

/// Makes an experiment in both worlds.
#[track_caller]
fn both(experiment: &Experiment) {
    OnModel::make(experiment);
    make(Laboratory::build(), experiment);
}

#[test]
fn a_packet_opens_a_session() {
    both(&table::A_PACKET_OPENS_A_SESSION);
}

#[test]
fn initiations_are_five_seconds_apart() {
    both(&table::INITIATIONS_ARE_FIVE_SECONDS_APART);
}

#[test]
fn a_lost_initiation_costs_five_seconds() {
    both(&table::A_LOST_INITIATION_COSTS_FIVE_SECONDS);
}

#[test]
fn a_keepalive_from_none_sends_at_once() {
    both(&table::A_KEEPALIVE_FROM_NONE_SENDS_AT_ONCE);
}

#[test]
fn setting_an_endpoint_sends_nothing() {
    both(&table::SETTING_AN_ENDPOINT_SENDS_NOTHING);
}

#[test]
fn the_next_packet_goes_to_the_new_endpoint() {
    both(&table::THE_NEXT_PACKET_GOES_TO_THE_NEW_ENDPOINT);
}

#[test]
fn the_endpoint_follows_its_peer() {
    both(&table::THE_ENDPOINT_FOLLOWS_ITS_PEER);
}

/// The kernel gives up a source address that the host no longer has (`socket.c`, `send4`). wireguard-go (0.0.20220316) goes on
/// sending from it, to nobody, as long as the route leads through the same device: the model does as the kernel.
#[test]
fn a_host_speaks_from_its_new_address() {
    let experiment = &table::A_HOST_SPEAKS_FROM_ITS_NEW_ADDRESS;
    match Backend::wanted() {
        Backend::Kernel => both(experiment),
        Backend::Userspace => OnModel::make(experiment),
    }
}

#[test]
fn a_forged_source_is_dropped() {
    both(&table::A_FORGED_SOURCE_IS_DROPPED);
}

#[test]
fn a_prefix_moves_with_its_packets() {
    both(&table::A_PREFIX_MOVES_WITH_ITS_PACKETS);
}

#[test]
fn a_peer_made_anew_has_no_limit() {
    both(&table::A_PEER_MADE_ANEW_HAS_NO_LIMIT);
}

#[test]
fn the_handshake_time_stays() {
    both(&table::THE_HANDSHAKE_TIME_STAYS);
}

#[test]
fn data_is_answered_within_ten_seconds() {
    both(&table::DATA_IS_ANSWERED_WITHIN_TEN_SECONDS);
}

#[test]
fn a_lost_session_is_found_out() {
    both(&table::A_LOST_SESSION_IS_FOUND_OUT);
}

/// Whose initiations arrive and lead to nothing, here because the two disagree on a preshared key, is seen by the counter alone: that
/// is how a node finds out that initiations crossed.
#[test]
fn an_initiation_that_leads_to_nothing_is_counted() {
    let mut laboratory = Laboratory::build();
    for (at, peer) in [(0, 1), (1, 0)] {
        laboratory.act(Step::Introduce(at, peer));
    }
    let key = laboratory.logs.join("preshared");
    std::fs::write(&key, Keys::generate().public).expect("the folder is there");
    laboratory.tell(0, 1, &format!("preshared-key {}", key.display()));
    laboratory.act(Step::Send(0, 1));
    let heard = |laboratory: &Laboratory| {
        let host = &laboratory.hosts[1];
        let device = host.interface.read(&host.namespace).expect("it is there");
        let peer = &device.peers[&laboratory.hosts[0].key];
        (peer.received, peer.latest_handshake)
    };
    for _ in 0..50 {
        if heard(&laboratory).0 > 0 {
            break;
        }
        laboratory.pass(0.1);
    }
    assert_eq!(heard(&laboratory), (148, 0));
}
