//! A thousand nodes that join one after the other: how often that is written down.

use std::net::SocketAddr;

use zeroize::Zeroizing;

use super::super::*;
use super::world::{HUB, machine, prefix, private, seconds};
use crate::mesh::base::identity::AddressHash;
use crate::mesh::base::settings::FACT_TTL;
use crate::mesh::believe::fact::boot::{Announcement, PROBES};
use crate::mesh::believe::fact::value::{Metadata, Value};
use crate::mesh::believe::fact::{Fact, Timed, wire};
use crate::mesh::device::{DeviceChange, DeviceState, PeerState};
use crate::mesh::keep::memory::Memory;
use crate::mesh::share::ports::PortPair;

/// What the leaves announce: they answer no heartbeats here, so their signs of life are enough.
const SILENT: Announcement = Announcement {
    capabilities: OURS.capabilities & !PROBES,
    ..OURS
};
const LEAVES: u16 = 1000;
/// How long the hub of a thousand takes until all know of all.
const TOLD_WITHIN: Duration = seconds(7);
const STEP: Duration = Duration::from_millis(20);

/// A leaf of a hub that tells of others, which answer as soon as they are tried.
struct Leaf {
    node: Node,
    device: DeviceState,
    now: Timestamp,
    hub: Auth,
    others: Vec<Auth>,
    memory: Memory,
    writes: usize,
}

fn other(number: u16) -> Auth {
    let mut bytes = Zeroizing::new([0x40; 32]);
    bytes[1..3].copy_from_slice(&number.to_be_bytes());
    Auth::new(PrivateKey::from_bytes(&bytes), AddressHash::Sha1)
}

fn own_prefix(number: u16) -> IpNet {
    let [high, low] = number.to_be_bytes();
    prefix(&format!("10.1.{high}.{low}/32"))
}

fn facts_about(number: u16, subject: PublicKey) -> [Timed; 3] {
    let [high, low] = number.to_be_bytes();
    let values = [
        Value::MemberMetadata(Metadata::new(Some(&format!("leaf-{number}")), false)),
        Value::AllowedIp(own_prefix(number)),
        Value::Endpoint(SocketAddr::from(([198, 18, high, low], 51820))),
    ];
    values.map(|value| Timed {
        fact: Fact { subject, value },
        ttl: FACT_TTL,
    })
}

impl Leaf {
    fn new() -> Self {
        let now = Timestamp::from_start(seconds(1000));
        let key = private(1).public_key();
        let hub = Auth::new(private(HUB), AddressHash::Sha1);
        let mut device = DeviceState::new(key, 51820);
        let at_hub = PeerState {
            endpoint: Some(SocketAddr::from(([192, 0, 2, 1], 51820))),
            last_handshake: Some(now),
            allowed_ips: [prefix("10.0.0.0/8")].into(),
            ..PeerState::default()
        };
        device.peers.insert(*hub.public_key(), at_hub);
        let mut node = Node::new(Settings::default(), private(1), [9; 32], now);
        node.handle(now, Input::Host(machine(1, &[key; 2], now).host));
        let mut leaf = Self {
            node,
            device,
            now,
            hub,
            others: (0..LEAVES).map(other).collect(),
            memory: Memory::default(),
            writes: 0,
        };
        leaf.deadline();
        leaf
    }

    /// Lives on while the hub tells of this many more.
    fn step(&mut self, told: std::ops::Range<u16>) {
        let facts: Vec<Timed> = told
            .flat_map(|number| facts_about(number, *self.others[usize::from(number)].public_key()))
            .collect();
        let key = *self.node.public_key();
        let source = AddressHash::Sha1.link_local(self.hub.public_key());
        for group in wire::pack(&facts) {
            let payload = &self.hub.tag(&key, [7; 24], &group).unwrap();
            self.node.handle(
                self.now,
                Input::Packet {
                    source,
                    ports: PortPair::default(),
                    payload,
                },
            );
        }
        let end = self.now + STEP;
        self.live_until(end);
        self.answer();
    }

    fn live_until(&mut self, end: Timestamp) {
        while self.node.poll_timeout().unwrap().at < end {
            self.now = self.now.max(self.node.poll_timeout().unwrap().at);
            self.deadline();
        }
        self.now = end;
    }

    /// Lives on with nothing new.
    fn quiet(&mut self, time: Duration) {
        self.live_until(self.now + time);
    }

    /// Lets who is tried say that it is alive.
    fn answer(&mut self) {
        let key = *self.node.public_key();
        for (other, number) in self.others.iter_mut().zip(0_u32..) {
            let subject = *other.public_key();
            let tried = self.device.peers.get_mut(&subject);
            let Some(peer) = tried.filter(|peer| peer.endpoint.is_some() && peer.last_handshake.is_none()) else {
                continue;
            };
            peer.last_handshake = Some(self.now);
            let mut random = ChaCha20Rng::seed_from_u64(number.into());
            let alive = Timed {
                fact: Fact {
                    subject,
                    value: Value::Alive(BootId::announcing(SILENT, &mut random)),
                },
                ttl: FACT_TTL,
            };
            let source = AddressHash::Sha1.link_local(&subject);
            for group in wire::pack(&[alive]) {
                let payload = &other.tag(&key, [7; 24], &group).unwrap();
                self.node.handle(
                    self.now,
                    Input::Packet {
                        source,
                        ports: PortPair::default(),
                        payload,
                    },
                );
            }
        }
    }

    fn deadline(&mut self) {
        self.node.handle(self.now, Input::Device(&self.device));
        self.node.handle(self.now, Input::Timeout);
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Configure(change) => {
                    self.assert_written(&change);
                    self.device.apply(&change);
                }
                Output::Remember(memory) => {
                    self.memory = *memory;
                    self.writes += 1;
                }
                Output::Transmit { .. }
                | Output::Probe { .. }
                | Output::FindRoute(_)
                | Output::Stun { .. }
                | Output::Resolve(_)
                | Output::Pong { .. }
                | Output::Notify(_) => {}
            }
        }
    }

    fn assert_written(&self, change: &DeviceChange) {
        let written = &self.memory.introduced;
        let is_written = match change {
            DeviceChange::AddPeer { peer, .. } => written.peers.contains(peer),
            DeviceChange::AddAllowedIp { peer, prefix } => {
                written.prefixes.get(prefix).is_some_and(|given| given.explains(peer))
            }
            DeviceChange::SetEndpoint { peer, endpoint } => {
                let tried = written.endpoints.get(peer);
                written.peers.contains(peer) || tried.is_some_and(|tried| tried.tried.contains(endpoint))
            }
            DeviceChange::RemovePeer { .. } | DeviceChange::RemoveAllowedIp { .. } | DeviceChange::MakeAgain { .. } => {
                true
            }
        };
        assert!(is_written, "{change:?} is not written down");
    }

    fn direct(&self) -> usize {
        let is_direct = |(number, other): (u16, &Auth)| {
            let peer = self.device.peers.get(other.public_key());
            peer.is_some_and(|peer| peer.allowed_ips.contains(&own_prefix(number)))
        };
        (0..LEAVES).zip(&self.others).filter(|pair| is_direct(*pair)).count()
    }
}

#[test]
fn a_thousand_joins_are_written_down_in_a_few_writes_and_each_before_it_is_done() {
    let mut leaf = Leaf::new();
    let steps = (TOLD_WITHIN.as_millis() / STEP.as_millis()) as u32;
    let until = |step: u32| (u32::from(LEAVES) * step / steps) as u16;
    for step in 0..steps {
        leaf.step(until(step)..until(step + 1));
    }
    let told_at = leaf.now;
    while leaf.direct() < usize::from(LEAVES) {
        leaf.step(0..0);
        let took = leaf.now.since(told_at);
        assert!(took < seconds(4), "{} are direct after {took:?}", leaf.direct());
    }
    assert!(leaf.writes <= 25, "{} writes", leaf.writes);
    leaf.quiet(seconds(60));
    let writes = leaf.writes;
    leaf.quiet(seconds(60));
    assert_eq!(leaf.writes, writes, "nothing is new");
}
