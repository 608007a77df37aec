//! Peers that send garbage without end: whatever their level of trust, no table grows past its bound.

use std::net::SocketAddr;

use super::super::agenda::MAX_WAITING;
use super::super::*;
use super::world::*;
use crate::mesh::base::identity::AddressHash;
use crate::mesh::base::settings::{PeerSettings, TrustLevel};
use crate::mesh::believe::fact::signal::ProbeForm;
use crate::mesh::believe::fact::store::{MAX_FACTS, MAX_PER_ORIGIN};
use crate::mesh::believe::fact::value::{Metadata, Value};
use crate::mesh::believe::fact::{Fact, Timed, wire};
use crate::mesh::device::{DeviceState, PeerState};
use crate::mesh::members::membership::MAX_INTRODUCED;
use crate::mesh::reach::probe::pairs::{KEY_LABEL, Pairs};
use crate::mesh::reach::probe::wire::{Kind, Message};
use crate::mesh::share::ports::PortPair;
use crate::mesh::show::tally::MAX_KINDS;

/// A leaf with a hub and one more peer that may say as much as its level allows.
pub(super) struct Victim {
    pub(super) node: Node,
    pub(super) device: DeviceState,
    pub(super) now: Timestamp,
    liar: Auth,
    invented: u32,
}

impl Victim {
    fn new(level: TrustLevel) -> Self {
        Self::trusting(&[(A, level)])
    }

    pub(super) fn trusting(levels: &[(usize, TrustLevel)]) -> Self {
        let liar = Auth::new(private(A), AddressHash::Sha1);
        let hub = private(HUB).public_key();
        let mut settings = Settings::default();
        for (index, level) in levels {
            let trusted = PeerSettings {
                trust: Some(*level),
                ..PeerSettings::default()
            };
            settings.peers.insert(private(*index).public_key(), trusted);
        }
        let now = Timestamp::from_start(seconds(1000));
        let mut victim = Self {
            node: Node::new(settings, private(B), [9; 32], now),
            device: DeviceState::new(private(B).public_key(), 51820),
            now,
            liar,
            invented: 0,
        };
        for (peer, allowed) in [(hub, "10.0.0.0/8"), (*victim.liar.public_key(), "10.0.0.2/32")] {
            let state = PeerState {
                endpoint: Some(SocketAddr::from(([192, 0, 2, 1], 5))),
                last_handshake: Some(now),
                allowed_ips: [prefix(allowed)].into(),
                ..PeerState::default()
            };
            victim.device.peers.insert(peer, state);
        }
        victim.node.handle(now, Input::Host(machine(B, &[hub; 3], now).host));
        victim.deadline();
        victim
    }

    /// Lets another node say something.
    pub(super) fn hear(&mut self, index: usize, facts: &[Timed]) {
        let mut sender = Auth::new(private(index), AddressHash::Sha1);
        let recipient = *self.node.public_key();
        let source = AddressHash::Sha1.link_local(sender.public_key());
        for group in wire::pack(facts) {
            let payload = &sender.tag(&recipient, [7; 24], &group).unwrap();
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

    /// Lets another node, whose run began then, probe; returns whether it is answered.
    pub(super) fn answers(&mut self, index: usize, epoch: u64) -> bool {
        let mut sender = Auth::new(private(index), AddressHash::Sha1);
        let own = *self.node.public_key();
        let mut pairs = Pairs::default();
        let key = sender.derive(&own, KEY_LABEL).unwrap();
        pairs.admit(sender.public_key(), &own, key);
        let question = Message {
            form: ProbeForm::Veiled,
            kind: Kind::Probe,
            epoch,
            counter: 1,
            transaction: 5,
        };
        let payload = &pairs.seal(&own, &question).unwrap();
        let source = SocketAddr::from(([198, 51, 100, 7], 5));
        self.node.handle(
            self.now,
            Input::Probe {
                source,
                local: None,
                payload,
            },
        );
        let outputs: Vec<Output> = std::iter::from_fn(|| self.node.poll_output()).collect();
        let is_answer = |output: &Output| matches!(output, Output::Probe { to, .. } if *to == source);
        outputs.iter().any(is_answer)
    }

    /// Lets time pass, with all deadlines in it.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.node.poll_timeout().unwrap().at < end {
            self.now = self.now.max(self.node.poll_timeout().unwrap().at);
            self.deadline();
        }
        self.now = end;
        self.deadline();
    }

    pub(super) fn deadline(&mut self) {
        self.node.handle(self.now, Input::Device(&self.device));
        self.node.handle(self.now, Input::Timeout);
        while let Some(output) = self.node.poll_output() {
            if let Output::Configure(change) = output {
                self.device.apply(&change);
            }
        }
    }

    /// Says what was never said before, about itself, the hub and strangers, for a time that keeps the store full.
    fn lie(&mut self, times: u32) {
        let recipient = *self.node.public_key();
        let source = AddressHash::Sha1.link_local(self.liar.public_key());
        for _ in 0..times {
            let facts: Vec<Timed> = (0..8).map(|_| self.invent()).collect();
            for group in wire::pack(&facts) {
                let payload = self.liar.tag(&recipient, [7; 24], &group).unwrap();
                let payload = &payload;
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

    fn invent(&mut self) -> Timed {
        self.invented += 1;
        let bytes = self.invented.to_be_bytes();
        let [a, b, c, d] = bytes;
        let mut stranger = [0x55; 32];
        stranger[..4].copy_from_slice(&(self.invented / 64).to_be_bytes());
        let subject = match d % 4 {
            0 => *self.liar.public_key(),
            1 => private(HUB).public_key(),
            _ => PublicKey::from_bytes(stranger),
        };
        let value = match d % 5 {
            0 => Value::Alive(BootId::from_bytes([d; 16])),
            1 => Value::Endpoint(SocketAddr::from(([20, b, c, d], 1 + u16::from(a)))),
            2 => Value::AllowedIp(prefix(&format!("11.{b}.{c}.{d}/32"))),
            3 => Value::Member,
            _ => Value::MemberMetadata(Metadata::from_items([(
                b'n',
                bytes.map(|byte| byte % 26 + 97).to_vec(),
            )])),
        };
        Timed {
            fact: Fact { subject, value },
            ttl: seconds(60 + u64::from(d % 40)),
        }
    }

    fn check(&self) {
        let node = &self.node;
        let peers = 2 + MAX_INTRODUCED;
        let own = 64;
        assert!(node.store.len() <= MAX_PER_ORIGIN.min(MAX_FACTS) + own, "facts");
        assert!(node.claims.len() <= node.store.len(), "claims");
        assert!(node.members.len() <= node.store.len(), "members");
        assert!(node.device.as_ref().unwrap().peers.len() <= peers, "peers");
        assert!(node.links.len() <= peers && node.liveness.len() <= 2, "links");
        assert!(node.routes.len() <= node.store.len() + 3 * peers, "prefixes");
        assert!(node.agenda.len() <= 3 * MAX_WAITING, "agenda");
        assert!(node.rejections.totals().count() <= 2 * MAX_KINDS, "rejections");
        assert!(node.outputs.len() <= 4096, "outputs: {}", node.outputs.len());
    }
}

#[test]
fn no_table_grows_past_its_bound_whatever_a_peer_may_say() {
    for level in TrustLevel::ALL {
        let mut victim = Victim::new(level);
        let mut most = 0;
        let rounds = if level >= TrustLevel::Membership { 10 } else { 2 };
        for _ in 0..rounds {
            victim.lie(500);
            victim.check();
            victim.now = victim.now + Duration::from_secs(2);
            victim.deadline();
            victim.check();
            most = most.max(victim.node.store.len());
        }
        if level >= TrustLevel::Membership {
            assert!(
                most > 12_000,
                "{level}: a flood that does not fill the store shows nothing: {most}"
            );
        }
    }
}

#[test]
fn what_a_flood_left_is_gone_when_it_has_expired() {
    let mut victim = Victim::new(TrustLevel::Membership);
    victim.lie(700);
    victim.wait(seconds(400));
    assert!(victim.node.store.len() < 64, "{}", victim.node.store.len());
    assert_eq!((victim.node.claims.len(), victim.node.members.len()), (0, 1));
    assert!(victim.node.agenda.is_empty());
}
