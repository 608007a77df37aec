//! v1 nodes and ours in one network: a hub and two leaves on public addresses, on modelled WireGuard, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::base::identity::{AddressHash, PrivateKey, PublicKey};
use wirelink::mesh::base::settings::Settings;
use wirelink::mesh::device::DeviceChange;
use wirelink::mesh::keep::memory::Memory;
use wirelink::mesh::share::ports::PortPair;
use wirelink::mesh::show::event::{HostState, Input, Interface, Output, Route};
use zeroize::Zeroizing;

use crate::host::{read_udp, udp};
use crate::program::Program;
use crate::scenario::Program::{self as Kind, Ours, V1};
use crate::wire::{Host, Wire, packet, seconds};
use crate::wireguard::Tunnel;

const HUB: usize = 0;
const LEAVES: [usize; 2] = [1, 2];
const FACTS: u16 = 51821;

struct Mixed {
    wire: Wire,
    programs: Vec<Program>,
    /// How much of what was delivered has been read.
    read: usize,
    /// Whose programs do not run.
    silent: BTreeSet<usize>,
    /// The packets of users that arrived, by host.
    arrived: [usize; 3],
    /// What the programs had written down last.
    memories: BTreeMap<usize, Memory>,
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
            silent: BTreeSet::new(),
            arrived: [0; 3],
            memories: BTreeMap::new(),
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
            let running = (0..self.programs.len()).filter(|host| !self.silent.contains(host));
            let due = running.filter_map(|host| Some(self.programs[host].poll_timeout()?.at));
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
                self.arrived[arrived.to] += 1;
                continue;
            };
            if self.silent.contains(&arrived.to) {
                continue;
            }
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
            let is_due = self.programs[host].poll_timeout().is_some_and(|due| due.at <= now);
            if is_due && !self.silent.contains(&host) {
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
                Output::Remember(memory) => drop(self.memories.insert(host, *memory)),
                Output::Probe { .. }
                | Output::FindRoute(_)
                | Output::Stun { .. }
                | Output::Resolve(_)
                | Output::Pong { .. }
                | Output::Notify(_) => {}
            }
        }
    }

    /// Returns whether a host sends to another directly.
    fn sends_directly(&self, at: usize, to: usize) -> bool {
        let peer = self.wire.hosts[at].tunnel.device().peers.get(&key(to));
        peer.is_some_and(|peer| peer.allowed_ips.contains(&IpNet::from(inner(to))))
    }

    /// Returns whether the leaves send to each other directly.
    fn is_direct(&self) -> bool {
        let [one, other] = LEAVES;
        self.sends_directly(one, other) && self.sends_directly(other, one)
    }

    /// Has the program of a host crash, or not start yet.
    fn silence(&mut self, host: usize) {
        self.silent.insert(host);
    }

    /// Has the program of a host stop as its operator stops it.
    fn stop(&mut self, host: usize) {
        let device = self.wire.hosts[host].tunnel.device().clone();
        self.programs[host].handle(self.wire.now, Input::Device(&device));
        self.programs[host].handle(self.wire.now, Input::Stop);
        self.drain(host);
        self.silence(host);
    }

    /// Has users of both leaves send to each other each second for so long; returns how many packets were lost.
    fn lost_within(&mut self, time: Duration) -> usize {
        let [one, other] = LEAVES;
        let before = self.arrived[one] + self.arrived[other];
        let rounds = time.as_secs() as usize;
        for _ in 0..rounds {
            for (from, to) in [(one, other), (other, one)] {
                let _ = self.wire.try_send(from, packet(from, to));
            }
            self.run(seconds(1.0));
        }
        2 * rounds - (self.arrived[one] + self.arrived[other] - before)
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

/// Starts a network whose leaves are direct.
#[track_caller]
fn direct(kinds: [Kind; 3]) -> Mixed {
    let mut mixed = Mixed::start(kinds);
    assert!(
        mixed.until_direct(seconds(180.0)).is_some(),
        "{kinds:?}: the leaves do not meet"
    );
    mixed.run(seconds(300.0));
    assert_eq!(mixed.lost_within(seconds(10.0)), 0, "{kinds:?}");
    mixed
}

#[test]
fn v1_leaf_whose_daemon_dies_stays_direct() {
    for kinds in [[Ours, V1, Ours], [V1, V1, Ours], [Ours, Ours, V1]] {
        let mut mixed = direct(kinds);
        let dead = LEAVES.into_iter().find(|leaf| kinds[*leaf] == V1);
        mixed.silence(dead.expect("a v1 leaf"));
        assert_eq!(mixed.lost_within(seconds(1200.0)), 0, "{kinds:?}");
        assert!(mixed.is_direct());
    }
}

#[test]
fn quiet_link_to_dead_v1_daemon_stays_direct() {
    let mut mixed = direct([Ours, V1, Ours]);
    mixed.silence(LEAVES[0]);
    mixed.run(seconds(1200.0));
    assert_eq!(mixed.lost_within(seconds(60.0)), 0);
}

#[test]
fn leaves_stay_direct_when_the_v1_hub_dies() {
    for minutes in 0..3 {
        let mut mixed = direct([V1, Ours, Ours]);
        mixed.run(seconds(60.0 * f64::from(minutes)));
        mixed.silence(HUB);
        assert_eq!(mixed.lost_within(seconds(1200.0)), 0, "after {minutes} minutes");
    }
}

#[test]
fn dead_v1_machine_is_left_to_the_hub() {
    let mut mixed = direct([Ours, V1, Ours]);
    mixed.silence(LEAVES[0]);
    // A restart of the machine, where nobody but its hub is known.
    let now = mixed.wire.now;
    mixed.wire.hosts[LEAVES[0]].tunnel = Tunnel::new(key(LEAVES[0]), 51820, 77);
    mixed.add_peer(
        LEAVES[0],
        HUB,
        net(inner(HUB), 24).trunc(),
        Some(mixed.wire.hosts[HUB].address),
    );
    mixed.wire.hosts[LEAVES[0]]
        .tunnel
        .set_keepalive(now, &key(HUB), Some(25));
    mixed.wire.collect(LEAVES[0]);
    mixed.run(seconds(200.0));
    assert!(!mixed.sends_directly(LEAVES[1], LEAVES[0]));
}

#[test]
fn stop_beside_v1_leaf_loses_nothing_and_is_undone_later() {
    for kinds in [[Ours, V1, Ours], [V1, V1, Ours]] {
        let mut mixed = direct(kinds);
        let [other, own] = LEAVES;
        mixed.stop(own);
        assert_eq!(mixed.lost_within(seconds(1200.0)), 0, "{kinds:?}");
        let introduced = mixed.memories[&own].introduced.clone();
        assert!(introduced.routes_to(&key(other)), "the next start knows it");
        let device = mixed.wire.hosts[own].tunnel.device().clone();
        let changes = introduced.on(&device).undo(&device, AddressHash::Sha1, &|_| {
            wirelink::mesh::keep::memory::Session::Heard
        });
        changes.into_iter().for_each(|change| mixed.wire.apply(own, change));
        let peers: Vec<PublicKey> = mixed.wire.hosts[own].tunnel.device().peers.keys().copied().collect();
        assert_eq!(peers, [key(HUB)]);
    }
}

#[test]
fn stop_beside_our_own_leaf_takes_it_away() {
    let mut mixed = direct([V1, Ours, Ours]);
    mixed.stop(LEAVES[1]);
    assert!(
        !mixed.wire.hosts[LEAVES[1]]
            .tunnel
            .device()
            .peers
            .contains_key(&key(LEAVES[0]))
    );
    assert!(mixed.memories[&LEAVES[1]].introduced.is_empty());
}

#[test]
fn v1_leaf_moves_in_the_same_moment() {
    for (kinds, phase) in [[Ours, V1, Ours], [Ours, Ours, V1], [V1, V1, Ours]]
        .into_iter()
        .flat_map(|kinds| (0..10).map(move |phase| (kinds, phase)))
    {
        let mut mixed = Mixed::start(kinds);
        let late = LEAVES[1];
        mixed.silence(late);
        mixed.run(Duration::from_millis(20_000 + 530 * phase));
        mixed.silent.clear();
        let [one, other] = LEAVES;
        let mut waited = 0;
        while !mixed.sends_directly(one, other) && !mixed.sends_directly(other, one) {
            mixed.run(Duration::from_millis(10));
            waited += 1;
            assert!(waited < 6000, "{kinds:?} {phase}");
        }
        let mut gap = 0;
        while !mixed.is_direct() {
            mixed.run(Duration::from_millis(10));
            gap += 10;
        }
        println!("{kinds:?} {phase}: after {} ms, {gap} ms apart", 10 * waited);
        assert!(gap <= 200, "{kinds:?} {phase}: one side moves {gap} ms after the other");
    }
}

#[test]
fn v1_hub_makes_no_leaf_of_ours_wait_for_its_tick() {
    for phase in 0..10 {
        let mut mixed = Mixed::start([V1, Ours, Ours]);
        mixed.silence(LEAVES[0]);
        mixed.silence(LEAVES[1]);
        mixed.run(Duration::from_millis(20_000 + 530 * phase));
        mixed.silent.clear();
        let mut waited = 0;
        while !mixed.is_direct() {
            mixed.run(Duration::from_millis(10));
            waited += 10;
            assert!(waited < 60_000, "{phase}");
        }
        println!("{phase}: direct after {waited} ms");
        assert!(waited <= 2000, "{phase}: {waited} ms");
    }
}
