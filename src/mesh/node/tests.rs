//! Whole nodes on a network without NAT: WireGuard is reduced to "a packet to an endpoint where the peer is known arrives".

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ipnet::IpNet;
use zeroize::Zeroizing;

use super::*;
use crate::mesh::device::{DeviceChange, PeerState};
use crate::mesh::event::{Interface, RejectReason};
use crate::mesh::link::State;

const HUB: usize = 0;
const A: usize = 1;
const B: usize = 2;
const HOP: Duration = Duration::from_millis(5);

struct Machine {
    node: Node,
    key: PublicKey,
    device: DeviceState,
    host: HostState,
    at: SocketAddr,
    running: bool,
    changes: Vec<DeviceChange>,
    events: Vec<Event>,
}

struct World {
    now: Timestamp,
    machines: Vec<Machine>,
    cut: bool,
    in_flight: Vec<(Timestamp, usize, Ipv6Addr, Vec<u8>)>,
}

fn private(index: usize) -> PrivateKey {
    PrivateKey::from_bytes(&Zeroizing::new([index as u8 + 1; 32]))
}

fn prefix(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl World {
    /// A hub and leaves, 10.0.0.1 and on; the leaves know only the hub.
    fn new(leaves: usize) -> Self {
        let now = Timestamp::from_start(seconds(1000));
        let keys: Vec<PublicKey> = (0..=leaves).map(|index| private(index).public_key()).collect();
        let machines = (0..=leaves).map(|index| machine(index, &keys, now)).collect();
        Self {
            now,
            machines,
            cut: false,
            in_flight: Vec::new(),
        }
    }

    fn start(&mut self, index: usize) {
        let now = self.now;
        let seed = [(now.since_start().as_secs() as u8).wrapping_mul(7) ^ index as u8; 32];
        let machine = &mut self.machines[index];
        machine.node = Node::new(machine.node.settings.clone(), private(index), seed, now);
        machine.running = true;
        machine.node.handle(now, Input::Host(machine.host.clone()));
    }

    fn start_all(&mut self) {
        (0..self.machines.len()).for_each(|index| self.start(index));
    }

    fn stop(&mut self, index: usize) {
        let device = self.machines[index].device.clone();
        let now = self.now;
        self.machines[index].node.handle(now, Input::Device(device));
        self.machines[index].node.handle(now, Input::Stop);
        self.carry_out(index);
        self.machines[index].running = false;
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..1_000_000 {
            let deadlines = self.machines.iter().enumerate().filter(|(_, machine)| machine.running);
            let deadline = deadlines
                .map(|(index, machine)| (machine.node.poll_timeout().unwrap().at, index))
                .min();
            let arrival = self.in_flight.iter().map(|(at, ..)| *at).min();
            let next = deadline.map(|(at, _)| at).into_iter().chain(arrival).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                self.deliver();
            } else if let Some((_, index)) = deadline {
                self.wake(index);
            }
        }
        self.now = end;
    }

    fn wake(&mut self, index: usize) {
        let machine = &mut self.machines[index];
        machine.node.handle(self.now, Input::Device(machine.device.clone()));
        machine.node.handle(self.now, Input::Timeout);
        self.carry_out(index);
        let at = self.machines[index].node.poll_timeout().unwrap().at;
        assert!(at > self.now, "a node must not spin");
    }

    fn carry_out(&mut self, index: usize) {
        while let Some(output) = self.machines[index].node.poll_output() {
            match output {
                Output::Configure(change) => {
                    self.machines[index].device.apply(&change);
                    self.machines[index].changes.push(change);
                }
                Output::Transmit { to, payload } => self.send(index, to, payload),
                Output::Notify(event) => self.machines[index].events.push(event),
                Output::Resolve(host) => panic!("nothing to resolve: {host:?}"),
            }
        }
    }

    fn find(&self, matches: impl Fn(&Machine) -> bool) -> Option<usize> {
        self.machines.iter().position(matches)
    }

    fn send(&mut self, from: usize, to: Ipv6Addr, payload: Vec<u8>) {
        let target = self.find(|machine| machine.node.address() == to).unwrap();
        let target_key = self.machines[target].key;
        let endpoint = self.machines[from]
            .device
            .peers
            .get(&target_key)
            .and_then(|peer| peer.endpoint);
        let reached = endpoint == Some(self.machines[target].at) && !(self.cut && from != HUB && target != HUB);
        let known = self.machines[target]
            .device
            .peers
            .contains_key(&self.machines[from].key);
        if !reached || !known || !self.machines[target].running {
            return;
        }
        let (source, key) = (self.machines[from].at, self.machines[from].key);
        self.shake_hands(from, &target_key, None);
        self.shake_hands(target, &key, Some(source));
        let address = self.machines[from].node.address();
        self.in_flight.push((self.now + HOP, target, address, payload));
    }

    fn shake_hands(&mut self, index: usize, peer: &PublicKey, roamed_to: Option<SocketAddr>) {
        let now = self.now;
        let peer = self.machines[index].device.peers.get_mut(peer).unwrap();
        peer.endpoint = roamed_to.or(peer.endpoint);
        if peer.last_handshake.is_none_or(|at| now.since(at) > seconds(120)) {
            peer.last_handshake = Some(now);
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.in_flight)
            .into_iter()
            .partition(|(at, ..)| *at <= now);
        self.in_flight = later;
        let due: Vec<(Timestamp, usize, Ipv6Addr, Vec<u8>)> = due;
        for (_, target, source, payload) in due {
            self.machines[target].node.handle(
                now,
                Input::Packet {
                    source,
                    payload: &payload,
                },
            );
            self.carry_out(target);
        }
    }

    fn next_hop(&self, index: usize, text: &str) -> Option<usize> {
        let owner = self.machines[index].device.owner(&prefix(text))?;
        self.find(|machine| machine.key == *owner)
    }

    fn state(&self, index: usize, peer: usize) -> State {
        self.machines[index].node.links[&self.machines[peer].key].state()
    }

    fn is_direct(&self) -> bool {
        self.next_hop(A, "10.0.0.3/32") == Some(B) && self.next_hop(B, "10.0.0.2/32") == Some(A)
    }
}

fn machine(index: usize, keys: &[PublicKey], now: Timestamp) -> Machine {
    let own = |index: usize| SocketAddr::from(([192, 0, 2, index as u8 + 1], 51820));
    let mut device = DeviceState::new(keys[index], 51820);
    let peers = if index == HUB { 1..keys.len() } else { 0..1 };
    for peer in peers {
        let allowed = if peer == HUB {
            "10.0.0.0/24".into()
        } else {
            format!("10.0.0.{}/32", peer + 1)
        };
        let endpoint = (peer == HUB).then(|| own(HUB));
        device.peers.insert(
            keys[peer],
            PeerState {
                endpoint,
                allowed_ips: [prefix(&allowed)].into(),
                ..PeerState::default()
            },
        );
    }
    let interface = Interface {
        name: "eth0".into(),
        up: true,
        addresses: vec![prefix(&format!("192.0.2.{}/24", index + 1))],
    };
    Machine {
        node: Node::new(Settings::default(), private(index), [index as u8; 32], now),
        key: keys[index],
        device,
        host: HostState {
            interfaces: vec![interface],
            tunnel_addresses: vec![prefix(&format!("10.0.0.{}/24", index + 1))],
            routes: Vec::new(),
        },
        at: own(index),
        running: false,
        changes: Vec::new(),
        events: Vec::new(),
    }
}

/// What the operator made: peers and allowed IPs without endpoints and times.
fn shape(device: &DeviceState) -> BTreeMap<PublicKey, std::collections::BTreeSet<IpNet>> {
    device
        .peers
        .iter()
        .map(|(key, peer)| (*key, peer.allowed_ips.clone()))
        .collect()
}

#[test]
fn two_leaves_find_each_other_through_the_hub() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(10));
    assert!(world.is_direct());
    assert_eq!((world.state(A, B), world.state(B, A)), (State::Up, State::Up));
    assert_eq!(
        world.next_hop(A, "10.0.0.0/24"),
        Some(HUB),
        "the network stays with the hub"
    );
    assert_eq!(world.machines[HUB].node.router, Some(true));
    assert_eq!(world.machines[A].node.router, Some(false));
}

#[test]
fn the_order_in_which_daemons_start_does_not_matter() {
    for order in [[HUB, A, B], [A, HUB, B], [A, B, HUB], [B, A, HUB]] {
        let mut world = World::new(2);
        for index in order {
            world.start(index);
            world.run(seconds(40));
        }
        assert!(world.is_direct(), "{order:?}");
    }
}

#[test]
fn a_steady_state_writes_nothing() {
    let mut world = World::new(3);
    world.start_all();
    world.run(seconds(60));
    world.machines.iter_mut().for_each(|machine| machine.changes.clear());
    world.run(seconds(3600));
    for machine in &world.machines {
        assert_eq!(machine.changes, [], "{:?}", machine.events);
    }
    assert!(world.is_direct());
}

#[test]
fn a_dead_path_returns_traffic_to_the_hub_within_15_seconds_and_comes_back() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(30));
    world.cut = true;
    world.run(seconds(16));
    assert_eq!(
        (world.next_hop(A, "10.0.0.3/32"), world.next_hop(B, "10.0.0.2/32")),
        (None, None)
    );
    assert!(matches!(world.state(A, B), State::Suspect(_)));
    world.cut = false;
    world.run(seconds(6));
    assert!(world.is_direct());
}

#[test]
fn both_sides_of_a_healed_link_move_together() {
    let mut world = World::new(2);
    world.start(HUB);
    world.start(A);
    world.run(Duration::from_millis(2300));
    world.start(B);
    world.run(seconds(30));
    world.cut = true;
    world.run(seconds(20));
    world.cut = false;
    for _ in 0..100 {
        world.run(Duration::from_millis(100));
        let moved = [(A, "10.0.0.3/32", B), (B, "10.0.0.2/32", A)]
            .map(|(leaf, prefix, to)| world.next_hop(leaf, prefix) == Some(to));
        if moved[0] != moved[1] {
            world.run(Duration::from_millis(200));
            assert!(world.is_direct(), "only one side moved");
        }
    }
    assert!(world.is_direct());
}

#[test]
fn a_path_that_is_dead_for_long_is_probed_again_until_it_works() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(30));
    world.cut = true;
    world.run(seconds(600));
    assert!(!world.is_direct());
    assert_eq!(world.state(A, B), State::Probing);
    world.cut = false;
    world.run(seconds(40));
    assert!(world.is_direct());
}

#[test]
fn stopping_leaves_the_device_as_it_was_found() {
    let mut world = World::new(2);
    let before: Vec<_> = world.machines.iter().map(|machine| shape(&machine.device)).collect();
    world.start_all();
    world.run(seconds(30));
    assert_ne!(shape(&world.machines[A].device), before[A]);
    for (index, before) in before.iter().enumerate() {
        world.stop(index);
        assert_eq!(&shape(&world.machines[index].device), before);
    }
}

#[test]
fn a_peer_made_by_hand_is_never_touched() {
    let mut world = World::new(2);
    let by_hand = PublicKey::from_bytes([0xaa; 32]);
    let peer = PeerState {
        keepalive: Some(21),
        allowed_ips: [prefix("10.9.0.0/24")].into(),
        ..PeerState::default()
    };
    world.machines[HUB].device.peers.insert(by_hand, peer);
    world.start_all();
    world.run(seconds(900));
    let kept = &world.machines[HUB].device.peers[&by_hand];
    assert_eq!(kept.keepalive, Some(21));
    assert!(kept.allowed_ips.contains(&prefix("10.9.0.0/24")));
    let about_it = world.machines[HUB]
        .changes
        .iter()
        .filter(|change| change.peer() == &by_hand)
        .count();
    assert_eq!(about_it, 1, "its link-local address, and nothing else");
    world.stop(HUB);
    assert_eq!(
        world.machines[HUB].device.peers[&by_hand].allowed_ips,
        [prefix("10.9.0.0/24")].into()
    );
}

#[test]
fn a_leaf_that_starts_again_is_direct_again() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(300));
    world.machines[A].running = false;
    world.run(seconds(20));
    assert_eq!(world.next_hop(B, "10.0.0.2/32"), None);
    world.start(A);
    world.run(seconds(20));
    assert!(world.is_direct());
}

#[test]
fn a_member_that_the_operator_removes_from_the_hub_leaves_the_others_in_the_end() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(400));
    let gone = world.machines[B].key;
    world.machines[B].running = false;
    world.machines[HUB].device.peers.remove(&gone);
    world.run(seconds(100));
    assert!(world.machines[A].device.peers.contains_key(&gone), "the grace");
    world.run(seconds(600));
    assert!(!world.machines[A].device.peers.contains_key(&gone));
    assert!(!world.machines[HUB].device.peers.contains_key(&gone));
}

#[test]
fn a_packet_alone_changes_nothing() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(30));
    let source = world.machines[HUB].node.address();
    let now = world.now;
    world.machines[A].changes.clear();
    for payload in [&b""[..], b"S", &[0; 3000], &[b'S'; 200]] {
        world.machines[A].node.handle(now, Input::Packet { source, payload });
    }
    world.carry_out(A);
    assert_eq!(world.machines[A].changes, []);
    let reasons: Vec<RejectReason> = world.machines[A]
        .node
        .rejections
        .totals()
        .map(|(reason, _)| *reason)
        .collect();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
}

#[test]
fn a_changed_role_is_found_out() {
    let mut world = World::new(1);
    world.start_all();
    world.run(seconds(10));
    let hub = world.machines[HUB].key;
    world.machines[A].device.peers.get_mut(&hub).unwrap().allowed_ips = [prefix("10.0.0.1/32")].into();
    world.run(seconds(10));
    assert_eq!(world.machines[A].node.router, Some(true));
}

#[test]
fn a_large_network_links_itself() {
    let mut world = World::new(40);
    world.start_all();
    world.run(seconds(60));
    for leaf in 1..=40 {
        let others = (1..=40).filter(|other| *other != leaf);
        let direct = others.filter(|other| world.next_hop(leaf, &format!("10.0.0.{}/32", other + 1)) == Some(*other));
        assert_eq!(direct.count(), 39, "leaf {leaf}");
    }
}
