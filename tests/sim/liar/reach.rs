//! Lies about where and how somebody is reached, each in a form that is right: who probes, what arrived, how a link is.

use std::net::SocketAddr;
use std::time::Duration;

use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::believe::auth::Auth;
use wirelink::mesh::believe::fact::heartbeat::{Echo, Heartbeat};
use wirelink::mesh::believe::fact::signal::ProbeForm;
use wirelink::mesh::believe::fact::signal::{Nat, Ports, Probes, Signal, Word};
use wirelink::mesh::believe::fact::value::Value;
use wirelink::mesh::believe::fact::{Fact, Timed};
use wirelink::mesh::reach::probe::pairs::{KEY_LABEL, Pairs};

use super::{Lie, TTL, Victim};
use crate::draw::Draw;

/// The numbers with which something may go wrong, beside those that come up.
const EDGES: [u64; 6] = [0, 1, 0x7fff_ffff, 0xffff_ffff, u64::MAX - 1, u64::MAX];

/// It makes it up.
pub(super) struct Reach<'a> {
    pub(super) own: PublicKey,
    pub(super) draw: Draw,
    pub(super) auth: &'a mut Auth,
}

impl Reach<'_> {
    /// Returns what it says in one go; nothing where the lie is of another kind.
    pub(super) fn said(&mut self, lie: Lie, listener: &Victim, victims: &[Victim]) -> Vec<Timed> {
        match lie {
            Lie::OwnProbes => (0..4).map(|_| self.probes(self.own)).collect(),
            Lie::ProbesOfOthers => victims.iter().map(|victim| self.probes(victim.key)).collect(),
            Lie::Heartbeats => (0..8).map(|_| self.heartbeat()).collect(),
            Lie::Echoes => (0..8).map(|_| self.echo()).collect(),
            Lie::OwnSignals => (0..8).filter_map(|_| self.signal(listener)).collect(),
            Lie::ForgedSignals => self.forged_signals(listener, victims),
            Lie::ForgedEndpoints
            | Lie::TunnelEndpoints
            | Lie::ImpossibleEndpoints
            | Lie::ManyEndpoints
            | Lie::StolenPrefixes
            | Lie::DefaultRoutes
            | Lie::ReservedPrefixes
            | Lie::Strangers
            | Lie::Metadata
            | Lie::AliveForOthers
            | Lie::BootIds
            | Lie::LongLife
            | Lie::AboutTheListener
            | Lie::Malformed
            | Lie::TooLong
            | Lie::Extended
            | Lie::Replays
            | Lie::WrongSource
            | Lie::Ledgers
            | Lie::LongMetadata => Vec::new(),
        }
    }

    /// Returns a number that may come up, or one at the border of what there can be.
    fn number(&mut self) -> u64 {
        match self.draw.below(3) {
            0 => EDGES[self.draw.index(EDGES.len())],
            1 => self.draw.below(1000),
            _ => self.draw.next(),
        }
    }

    /// Somebody was started at another time, or has another NAT: what it sends is old then, or not waited for.
    fn probes(&mut self, subject: PublicKey) -> Timed {
        let nats = [
            Nat::Unknown,
            Nat::EndpointIndependent,
            Nat::AddressDependent,
            Nat::Blocked,
        ];
        let (epoch, nat) = (self.number(), nats[self.draw.index(nats.len())]);
        let form = if self.draw.below(2) == 0 {
            ProbeForm::Veiled
        } else {
            ProbeForm::Marked
        };
        timed(subject, Value::Probes(Probes { epoch, nat, form }), TTL.into())
    }

    fn beat(&mut self) -> Heartbeat {
        let [number, version] = [self.number(), self.number()].map(|number| number as u32);
        Heartbeat {
            number,
            version,
            ready: self.draw.below(2) == 0,
            turns: self.draw.below(2) == 0,
        }
    }

    fn heartbeat(&mut self) -> Timed {
        let beat = self.beat();
        timed(self.own, Value::Heartbeat(beat), 0)
    }

    /// Answers what was not asked, and says that the listener is where it is not.
    fn echo(&mut self) -> Timed {
        let echo = Echo {
            beat: self.beat(),
            received: self.number() as u32,
            at: Duration::from_micros(self.number()),
            seen: (self.draw.below(2) == 0).then(|| self.place()),
        };
        timed(self.own, Value::Echo(Box::new(echo)), 0)
    }

    fn place(&mut self) -> SocketAddr {
        let port = 1 + self.draw.below(65_535) as u16;
        ([198, 51, 100, self.draw.below(256) as u8], port).into()
    }

    fn word(&mut self, to: PublicKey) -> Signal {
        Signal {
            to,
            epoch: self.number(),
            counter: self.number(),
            word: Word::from_byte(self.draw.next() as u8),
            version: self.number() as u32,
            ports: (self.draw.below(2) == 0).then(|| Ports {
                address: [198, 51, 100, 7].into(),
                first: self.draw.next() as u16,
                count: self.draw.next() as u8,
            }),
            tag: [0; 16],
        }
    }

    /// Says of its own link what is not so, with the proof that it says it.
    fn signal(&mut self, listener: &Victim) -> Option<Timed> {
        let key = self.auth.derive(&listener.key, KEY_LABEL)?;
        let mut pairs = Pairs::default();
        pairs.admit(&self.own, &listener.key, key);
        let signal = pairs.sign(self.word(listener.key))?;
        Some(timed(self.own, Value::Signal(Box::new(signal)), 0))
    }

    /// Says of the links of others what is not so, to whom it speaks and to those that this one passes signals on to.
    fn forged_signals(&mut self, listener: &Victim, victims: &[Victim]) -> Vec<Timed> {
        let mut said = Vec::new();
        for victim in victims {
            for (subject, to) in [
                (victim.key, listener.key),
                (self.own, victim.key),
                (listener.key, victim.key),
            ] {
                let mut signal = self.word(to);
                signal.tag = self.draw.bytes()[..16].try_into().expect("16 bytes");
                said.push(timed(subject, Value::Signal(Box::new(signal)), 0));
            }
        }
        said
    }
}

fn timed(subject: PublicKey, value: Value, seconds: u64) -> Timed {
    Timed {
        fact: Fact { subject, value },
        ttl: Duration::from_secs(seconds),
    }
}
