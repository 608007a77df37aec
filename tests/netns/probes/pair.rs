//! Two hosts with WireGuard, each behind a home router that translates both families, and a wire between the routers.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use nix::sched::{CloneFlags, setns};
use tokio::runtime::Builder;
use wirelink::daemon::probe::{Port, Prober};
use wirelink::mesh::reach::probe::wire::MIN_VEILED;

use crate::lab;
use crate::namespace::{Namespace, PREFIX};
use crate::show::Peer;
use crate::tunnel::{INTERFACE, Inner, Interface, Keys, PORT, PeerLines, Written};

/// The mark of WireGuard's packets.
pub(super) const FWMARK: u32 = 7;

/// The router counts a datagram without a checksum for none, and connection tracking drops one with a wrong checksum.
const ROUTER: &str = "table inet border {
    chain to_router { type filter hook input priority filter; policy accept
        iifname wan meta l4proto udp ct state new drop
    }
    chain through { type filter hook forward priority filter; policy drop
        udp checksum 0 drop
        ct state established,related accept
        iifname lan ct state new accept
    }
    chain outward { type nat hook postrouting priority srcnat; oifname wan masquerade; }
}";

/// Returns rules that count what leaves a host with WireGuard's mark and port, and is as long as a probe.
fn counter() -> String {
    format!(
        "table inet seen {{
            chain leaving {{ type filter hook output priority filter; policy accept
                meta mark {FWMARK} udp sport {PORT} udp dport {PORT} udp length {} counter
            }}
        }}",
        8 + MIN_VEILED
    )
}

/// The two hosts. Nothing of them is left when this is dropped.
pub(super) struct Pair {
    pub(super) sides: [Side; 2],
    pub(super) routers: [Namespace; 2],
    logs: PathBuf,
}

/// One of the hosts.
pub(super) struct Side {
    pub(super) interface: Interface,
    pub(super) host: Namespace,
    other_key: String,
    inner: Inner,
}

impl Pair {
    /// Builds both; each has the other as a peer, and does not know where it is.
    pub(super) fn build() -> Self {
        let world = lab::new_world();
        let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&world);
        std::fs::create_dir_all(&logs).unwrap_or_else(|error| panic!("{}: {error}", logs.display()));
        let names = [("a", "routera"), ("b", "routerb")];
        let spaces = names.map(|(host, router)| (Namespace::new(&world, host), Namespace::new(&world, router)));
        spaces[0].1.run(&format!(
            "ip link add name wan type veth peer name wan netns {}",
            spaces[1].1.name
        ));
        for (number, (host, router)) in (1..).zip(&spaces) {
            connect(number, host, router);
        }
        let number = world.trim_start_matches(PREFIX).replace('-', "x");
        let keys = [Keys::generate(), Keys::generate()];
        let [(a, router_a), (b, router_b)] = spaces;
        let side = |own: usize, letter: &str, host: Namespace| {
            let written = written(&keys[own], own, &keys[1 - own]);
            let name = format!("{INTERFACE}{number}{letter}");
            let interface = Interface::make(&name, &host, &written, &logs);
            host.run(&format!("wg set {name} fwmark {FWMARK}"));
            host.filter(&counter());
            Side {
                interface,
                host,
                other_key: keys[1 - own].public.clone(),
                inner: written.inner,
            }
        };
        Self {
            sides: [side(0, "a", a), side(1, "b", b)],
            routers: [router_a, router_b],
            logs,
        }
    }

    /// Runs a test with the raw sockets of both, on a thread that is its own: whoever runs tests next must not be in there.
    pub(super) fn probe(&self, test: impl AsyncFnOnce([Prober; 2]) + Send) {
        probe_between(self.sides.each_ref().map(|side| &side.host), test);
    }

    /// Returns where WireGuard of a side is, seen from the other.
    pub(super) fn outside(side: usize, v6: bool) -> SocketAddr {
        let number = side + 1;
        let address = if v6 {
            format!("2001:db8::{number}")
        } else {
            format!("203.0.113.{number}")
        };
        SocketAddr::new(address.parse().expect("an address"), PORT)
    }
}

/// Runs a test with raw sockets on two hosts, on a thread that is its own.
pub(super) fn probe_between(hosts: [&Namespace; 2], test: impl AsyncFnOnce([Prober; 2]) + Send) {
    let run = || {
        let probers = hosts.map(|host| {
            let namespace = File::open(host.path()).expect("the namespace is there");
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
            let port = Port {
                number: PORT,
                fwmark: FWMARK,
            };
            Prober::open(port).expect("root may open raw sockets")
        });
        let runtime = Builder::new_current_thread().enable_all().build();
        runtime.expect("an event loop").block_on(test(probers));
    };
    std::thread::scope(|scope| {
        if let Err(panic) = scope.spawn(run).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

impl Side {
    /// Returns what WireGuard knows of the other side.
    pub(super) fn peer(&self) -> Peer {
        let device = self.interface.read(&self.host);
        let peer = device.ok().and_then(|mut device| device.peers.remove(&self.other_key));
        peer.expect("the operator made this peer")
    }

    /// Tells WireGuard something about the other side.
    pub(super) fn set_peer(&self, what: &str) {
        let (name, key) = (&self.interface.name, &self.other_key);
        self.host.run(&format!("wg set {name} peer {key} {what}"));
    }

    /// Returns how many probes left with the mark.
    pub(super) fn marked(&self) -> u64 {
        let table = self.host.run("nft list table inet seen");
        let words = table.split_whitespace().skip_while(|word| *word != "packets").nth(1);
        words.and_then(|count| count.parse().ok()).expect("nft prints counters")
    }

    /// Returns the address in the tunnel.
    pub(super) fn inner(&self) -> IpAddr {
        IpAddr::V4(self.inner.v4)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.logs);
        }
    }
}

fn written(own: &Keys, number: usize, other: &Keys) -> Written {
    let inner = |number: usize| Inner::of(1, u8::try_from(number).expect("one of two") + 1, false);
    Written {
        keys: own.clone(),
        inner: inner(number),
        peers: vec![PeerLines {
            public_key: other.public.clone(),
            preshared_key: None,
            allowed_ips: vec![IpNet::from(IpAddr::V4(inner(1 - number).v4))],
            endpoint: None,
            keepalive: None,
        }],
        port: PORT,
    }
}

/// Connects a host with its router, and that with the wire.
fn connect(number: u8, host: &Namespace, router: &Namespace) {
    host.run(&format!(
        "ip link add name eth0 type veth peer name lan netns {}",
        router.name
    ));
    for (space, device, addresses) in [
        (
            host,
            "eth0",
            [format!("192.168.{number}.2/24"), format!("fd00:{number}::2/64")],
        ),
        (
            router,
            "lan",
            [format!("192.168.{number}.1/24"), format!("fd00:{number}::1/64")],
        ),
        (
            router,
            "wan",
            [format!("203.0.113.{number}/24"), format!("2001:db8::{number}/64")],
        ),
    ] {
        for address in addresses {
            // Nobody else has it, and nobody waits until that is found out.
            let nodad = if address.contains(':') { "nodad" } else { "" };
            space.run(&format!("ip addr add {address} dev {device} {nodad}"));
        }
        space.run(&format!("ip link set dev {device} up"));
    }
    host.run(&format!("ip route add default via 192.168.{number}.1"));
    host.run(&format!("ip -6 route add default via fd00:{number}::1"));
    router.forwards();
    router.filter(ROUTER);
}
