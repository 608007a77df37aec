//! Whole nodes on a network without NAT: WireGuard is reduced to "a packet to an endpoint where the peer is known arrives".

use std::net::SocketAddr;

use ipnet::IpNet;
use zeroize::Zeroizing;

use super::super::*;
use crate::mesh::base::settings::FACT_TTL;
use crate::mesh::device::{DeviceChange, DeviceState, PeerState};
use crate::mesh::keep::memory::Memory;
use crate::mesh::reach::link::State;
use crate::mesh::reach::link::liveness::Liveness;
use crate::mesh::share::ports::PortPair;
use crate::mesh::show::event::Interface;

pub(super) const HUB: usize = 0;
pub(super) const A: usize = 1;
pub(super) const B: usize = 2;
pub(super) const HOP: Duration = Duration::from_millis(5);

pub(super) struct Machine {
    pub(super) node: Node,
    pub(super) key: PublicKey,
    pub(super) device: DeviceState,
    pub(super) host: HostState,
    pub(super) at: SocketAddr,
    pub(super) running: bool,
    pub(super) changes: Vec<DeviceChange>,
    pub(super) events: Vec<Event>,
    /// What it remembers across its runs, and since when.
    pub(super) disk: Option<(Timestamp, Memory)>,
    /// How often that was written.
    pub(super) writes: u32,
    /// The peers that WireGuard found elsewhere than it was told.
    pub(super) roamed: std::collections::BTreeSet<PublicKey>,
    /// After how many more outputs the power fails.
    pub(super) power: Option<usize>,
    /// Whether it announces itself as the deployed program does.
    pub(super) v1: bool,
    pub(super) made_by_hand: std::collections::BTreeSet<PublicKey>,
}

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) machines: Vec<Machine>,
    pub(super) cut: bool,
    pub(super) in_flight: Vec<(Timestamp, usize, Ipv6Addr, Vec<u8>)>,
    /// Of a hundred datagrams, how many are lost; which ones, is drawn from the generator.
    pub(super) loss: (u32, ChaCha20Rng),
    /// The bytes of facts that were sent, by sender and recipient.
    pub(super) sent: BTreeMap<(usize, usize), u64>,
    /// All that was said: to whom, from where, and what; where it is kept.
    pub(super) kept: Option<Vec<(usize, Ipv6Addr, Vec<u8>)>>,
}

pub(super) fn private(index: usize) -> PrivateKey {
    PrivateKey::from_bytes(&Zeroizing::new([index as u8 + 1; 32]))
}

pub(super) fn prefix(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(super) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl World {
    /// A hub and leaves, 10.0.0.1 and on; the leaves know only the hub.
    pub(super) fn new(leaves: usize) -> Self {
        let now = Timestamp::from_start(seconds(1000));
        let keys: Vec<PublicKey> = (0..=leaves).map(|index| private(index).public_key()).collect();
        let machines = (0..=leaves).map(|index| machine(index, &keys, now)).collect();
        Self {
            now,
            machines,
            cut: false,
            in_flight: Vec::new(),
            loss: (0, ChaCha20Rng::from_seed([5; 32])),
            sent: BTreeMap::new(),
            kept: None,
        }
    }

    pub(super) fn start(&mut self, index: usize) {
        let now = self.now;
        let seed = [(now.since_start().as_secs() as u8).wrapping_mul(7) ^ index as u8; 32];
        let machine = &mut self.machines[index];
        machine.node = Node::new(machine.node.settings.clone(), private(index), seed, now);
        if machine.v1 {
            let mut boot_id = seed;
            boot_id[6] = 0x40;
            let boot_id = BootId::from_bytes(*boot_id.first_chunk().unwrap());
            machine.node.gossip = Gossip::new(machine.key, boot_id);
        }
        machine.running = true;
        machine.node.handle(now, Input::Host(machine.host.clone()));
        if let Some((at, memory)) = &machine.disk {
            let mut memory = memory.clone();
            memory.grow_older(now.since(*at));
            machine.node.handle(now, Input::Remembered(Box::new(memory)));
        }
    }

    pub(super) fn start_all(&mut self) {
        (0..self.machines.len()).for_each(|index| self.start(index));
    }

    pub(super) fn stop(&mut self, index: usize) {
        let device = self.machines[index].device.clone();
        let now = self.now;
        self.machines[index].node.handle(now, Input::Device(&device));
        self.machines[index].node.handle(now, Input::Stop);
        self.carry_out(index);
        self.machines[index].running = false;
    }

    pub(super) fn run(&mut self, time: Duration) {
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

    pub(super) fn wake(&mut self, index: usize) {
        let machine = &mut self.machines[index];
        machine.node.handle(self.now, Input::Device(&machine.device));
        machine.node.handle(self.now, Input::Timeout);
        self.carry_out(index);
        let at = self.machines[index].node.poll_timeout().unwrap().at;
        assert!(at > self.now, "a node must not spin");
    }

    pub(super) fn carry_out(&mut self, index: usize) {
        while let Some(output) = self.machines[index].node.poll_output() {
            if self.machines[index].has_no_power() {
                self.machines[index].running = false;
                continue;
            }
            match output {
                Output::Remember(memory) => {
                    self.machines[index].disk = Some((self.now, *memory));
                    self.machines[index].writes += 1;
                }
                Output::Configure(change) => {
                    if let DeviceChange::SetEndpoint { peer, .. } = &change {
                        self.machines[index].roamed.remove(peer);
                    }
                    self.machines[index].device.apply(&change);
                    self.machines[index].changes.push(change);
                }
                Output::Transmit { to, payload, .. } => self.send(index, to, payload),
                Output::Notify(event) => self.machines[index].events.push(event),
                Output::Probe { .. } | Output::Stun { .. } | Output::Pong { .. } | Output::FindRoute(_) => {}
                Output::Resolve(host) => panic!("nothing to resolve: {host:?}"),
            }
        }
    }

    pub(super) fn find(&self, matches: impl Fn(&Machine) -> bool) -> Option<usize> {
        self.machines.iter().position(matches)
    }

    pub(super) fn send(&mut self, from: usize, to: Ipv6Addr, payload: Vec<u8>) {
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
        *self.sent.entry((from, target)).or_default() += payload.len() as u64;
        if let Some(kept) = &mut self.kept {
            kept.push((target, address, payload.clone()));
        }
        if self.loss.1.next_u32() % 100 < self.loss.0 {
            return;
        }
        self.in_flight.push((self.now + HOP, target, address, payload));
    }

    pub(super) fn shake_hands(&mut self, index: usize, peer: &PublicKey, roamed_to: Option<SocketAddr>) {
        let now = self.now;
        let key = *peer;
        let peer = self.machines[index].device.peers.get_mut(peer).unwrap();
        if roamed_to.is_some_and(|to| peer.endpoint != Some(to)) {
            self.machines[index].roamed.insert(key);
        }
        let peer = self.machines[index].device.peers.get_mut(&key).unwrap();
        peer.endpoint = roamed_to.or(peer.endpoint);
        if peer.last_handshake.is_none_or(|at| now.since(at) > seconds(120)) {
            peer.last_handshake = Some(now);
        }
    }

    pub(super) fn deliver(&mut self) {
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
                    ports: PortPair::default(),
                    payload: &payload,
                },
            );
            self.machines[target].forget_who_is_ours();
            self.carry_out(target);
        }
    }

    pub(super) fn next_hop(&self, index: usize, text: &str) -> Option<usize> {
        let owner = self.machines[index].device.owner(&prefix(text))?;
        self.find(|machine| machine.key == *owner)
    }

    pub(super) fn state(&self, index: usize, peer: usize) -> State {
        self.machines[index].node.links[&self.machines[peer].key].state()
    }

    pub(super) fn is_direct(&self) -> bool {
        self.next_hop(A, "10.0.0.3/32") == Some(B) && self.next_hop(B, "10.0.0.2/32") == Some(A)
    }
}

impl Machine {
    /// Counts an output.
    fn has_no_power(&mut self) -> bool {
        let Some(left) = &mut self.power else { return false };
        *left = left.saturating_sub(1);
        *left == 0
    }

    /// The deployed program knows no boot IDs but its own kind, and gives everybody its own times.
    fn forget_who_is_ours(&mut self) {
        for heard in self.node.liveness.values_mut().filter(|_| self.v1) {
            let boot_id = BootId::from_bytes([0x40; BootId::LEN]);
            *heard = Liveness::heard(heard.last_heard(), boot_id, FACT_TTL);
        }
    }
}

pub(super) fn machine(index: usize, keys: &[PublicKey], now: Timestamp) -> Machine {
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
        wireguard: false,
    };
    Machine {
        node: Node::new(Settings::default(), private(index), [index as u8; 32], now),
        key: keys[index],
        device,
        host: HostState {
            interfaces: vec![interface],
            tunnel_addresses: vec![prefix(&format!("10.0.0.{}/24", index + 1))],
            ..HostState::default()
        },
        at: own(index),
        running: false,
        changes: Vec::new(),
        events: Vec::new(),
        disk: None,
        writes: 0,
        roamed: std::collections::BTreeSet::new(),
        power: None,
        v1: false,
        made_by_hand: std::collections::BTreeSet::new(),
    }
}
