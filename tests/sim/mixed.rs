//! v1 nodes and ours in one network: a hub and two leaves on public addresses, on modelled WireGuard, and nothing else.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::device::DeviceChange;
use wirelink::mesh::event::{HostState, Input, Interface, Output, Route};
use wirelink::mesh::identity::{AddressHash, PrivateKey, PublicKey};
use wirelink::mesh::ports::PortPair;
use wirelink::mesh::settings::Settings;
use zeroize::Zeroizing;

use crate::host::{read_udp, udp};
use crate::program::Program;
use crate::scenario::Program::{self as Kind, Ours, V1};
use crate::wire::{Host, Wire, seconds};
use crate::wireguard::Tunnel;

const HUB: usize = 0;
const LEAVES: [usize; 2] = [1, 2];
const FACTS: u16 = 51821;

struct Mixed {
    wire: Wire,
    programs: Vec<Program>,
    /// How much of what was delivered has been read.
    read: usize,
}

fn private(host: usize) -> PrivateKey {
    PrivateKey::from_bytes(&Zeroizing::new([host as u8 + 1; 32]))
}

fn key(host: usize) -> PublicKey {
    private(host).public_key()
}

fn inner(host: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, 1 + host as u8])
}

fn net(address: IpAddr, length: u8) -> IpNet {
    IpNet::new(address, length).expect("a length of IPv4")
}

/// What a machine looks like to its node.
fn machine(host: usize, address: SocketAddr) -> HostState {
    HostState {
        interfaces: vec![Interface {
            name: "eth0".into(),
            up: true,
            addresses: vec![net(address.ip(), 24)],
            wireguard: false,
        }],
        tunnel_addresses: vec![net(inner(host), 24)],
        routes: vec![Route {
            prefix: net(inner(HUB), 24).trunc(),
            into_tunnel: true,
        }],
        mtu: None,
        ..HostState::default()
    }
}

impl Mixed {
    /// Starts a hub and two leaves, each of a kind.
    fn start(kinds: [Kind; 3]) -> Self {
        let mut wire = Wire::strangers(0);
        for host in 0..kinds.len() {
            wire.hosts.push(Host {
                tunnel: Tunnel::new(key(host), 51820, host as u64),
                address: SocketAddr::from(([192, 0, 2, 1 + host as u8], 51820)),
            });
        }
        let now = wire.now;
        let programs = (0..).zip(kinds).map(|(host, kind)| {
            let mut program = Program::start(kind, Settings::default(), private(host), [host as u8; 32], now);
            program.handle(now, Input::Host(machine(host, wire.hosts[host].address)));
            program
        });
        let programs = programs.collect();
        let mut mixed = Self {
            wire,
            programs,
            read: 0,
        };
        for leaf in LEAVES {
            mixed.add_peer(HUB, leaf, IpNet::from(inner(leaf)), None);
            let at = Some(mixed.wire.hosts[HUB].address);
            mixed.add_peer(leaf, HUB, net(inner(HUB), 24).trunc(), at);
            mixed.wire.hosts[leaf].tunnel.set_keepalive(now, &key(HUB), Some(25));
            mixed.wire.collect(leaf);
        }
        mixed
    }

    fn add_peer(&mut self, at: usize, peer: usize, prefix: IpNet, endpoint: Option<SocketAddr>) {
        let add = DeviceChange::AddPeer {
            peer: key(peer),
            allowed_ips: [prefix].into(),
            endpoint,
        };
        self.wire.apply(at, add);
    }

    fn run(&mut self, time: Duration) {
        let end = self.wire.now + time;
        loop {
            let due = self
                .programs
                .iter()
                .filter_map(|program| Some(program.poll_timeout()?.at));
            let next = due
                .chain(self.wire.next())
                .min()
                .expect("nodes always have a next deadline");
            if next > end {
                break;
            }
            self.wire.run(next.since(self.wire.now));
            self.deliver();
            self.deadlines();
        }
        self.wire.run(end.since(self.wire.now));
    }

    fn deliver(&mut self) {
        let now = self.wire.now;
        let arrived: Vec<_> = self.wire.delivered.drain(..).collect();
        self.read += arrived.len();
        for arrived in arrived {
            let program = &mut self.programs[arrived.to];
            let IpAddr::V6(source) = arrived.packet.source else {
                continue;
            };
            if let Some((_, FACTS, payload)) = read_udp(&arrived.packet) {
                program.handle(
                    now,
                    Input::Packet {
                        source,
                        ports: PortPair::default(),
                        payload,
                    },
                );
                self.drain(arrived.to);
            }
        }
    }

    fn deadlines(&mut self) {
        let now = self.wire.now;
        for host in 0..self.programs.len() {
            if self.programs[host].poll_timeout().is_some_and(|due| due.at <= now) {
                let device = self.wire.hosts[host].tunnel.device().clone();
                self.programs[host].handle(now, Input::Device(&device));
                self.programs[host].handle(now, Input::Timeout);
                self.drain(host);
            }
        }
    }

    fn drain(&mut self, host: usize) {
        while let Some(output) = self.programs[host].poll_output() {
            match output {
                Output::Configure(change) => self.wire.apply(host, change),
                Output::Transmit { to, payload, .. } => {
                    let source = self.programs[host].address();
                    let packet = udp(source.into(), to.into(), FACTS, FACTS, &payload);
                    // Nothing is sent where there is no endpoint yet.
                    let _ = self.wire.try_send(host, packet);
                }
                Output::Remember(_)
                | Output::Probe { .. }
                | Output::FindRoute(_)
                | Output::Stun { .. }
                | Output::Resolve(_)
                | Output::Pong { .. }
                | Output::Notify(_) => {}
            }
        }
    }

    /// Returns whether the leaves send to each other directly.
    fn is_direct(&self) -> bool {
        let [one, other] = LEAVES;
        [(one, other), (other, one)].into_iter().all(|(at, of)| {
            let peer = self.wire.hosts[at].tunnel.device().peers.get(&key(of));
            peer.is_some_and(|peer| peer.allowed_ips.contains(&IpNet::from(inner(of))))
        })
    }

    /// Returns how long it takes until that is so.
    fn until_direct(&mut self, within: Duration) -> Option<Duration> {
        let began = self.wire.now;
        while !self.is_direct() {
            if self.wire.now.since(began) > within {
                return None;
            }
            self.run(seconds(1.0));
        }
        Some(self.wire.now.since(began))
    }
}

/// Starts a network, in which the leaves must meet and stay, and no v1 node may refuse anything.
#[track_caller]
fn works(kinds: [Kind; 3]) {
    let mut mixed = Mixed::start(kinds);
    let took = mixed.until_direct(seconds(180.0));
    println!("{kinds:?}: {took:?}");
    let refused: Vec<u64> = mixed.programs.iter().map(Program::refused).collect();
    assert_eq!(refused, [0; 3], "at first");
    assert!(took.is_some(), "the leaves do not meet");
    for minute in 1..=20 {
        mixed.run(seconds(60.0));
        assert!(mixed.is_direct(), "minute {minute}");
    }
    let refused: Vec<u64> = mixed.programs.iter().map(Program::refused).collect();
    assert_eq!(refused, [0; 3]);
    assert!(mixed.read > 100, "they have talked");
    for host in &mixed.wire.hosts {
        let link_local = |of: usize| AddressHash::Sha1.allowed_ip(&key(of));
        let others = (0..3).filter(|of| key(*of) != host.tunnel.device().public_key);
        let owners = host.tunnel.device().owners();
        others.for_each(|of| assert_eq!(owners.get(&link_local(of)), Some(&key(of))));
    }
}

#[test]
fn v1_alone() {
    works([V1, V1, V1]);
}

#[test]
fn ours_alone() {
    works([Ours, Ours, Ours]);
}

#[test]
fn a_v1_hub_with_leaves_of_ours() {
    works([V1, Ours, Ours]);
}

#[test]
fn a_v1_hub_with_a_leaf_of_each_kind() {
    works([V1, V1, Ours]);
}

#[test]
fn a_hub_of_ours_with_v1_leaves() {
    works([Ours, V1, V1]);
}

#[test]
fn a_hub_of_ours_with_a_leaf_of_each_kind() {
    works([Ours, Ours, V1]);
}
