//! Probes and signals on their way in and out, and what they mean for links.

use std::net::{Ipv6Addr, SocketAddr};

use crate::mesh::event::{NoProbes, Output, RejectReason};
use crate::mesh::fact::boot::PROBES;
use crate::mesh::fact::signal::{Probes, Signal, Word};
use crate::mesh::fact::value::Value;
use crate::mesh::fact::{Fact, Timed};
use crate::mesh::gossip::Told;
use crate::mesh::identity::PublicKey;
use crate::mesh::link::agreement::Standing;
use crate::mesh::link::candidate::Candidate;
use crate::mesh::link::{Contact, Link, Proof, Reach, State};
use crate::mesh::node::Node;
use crate::mesh::probe::pairs::KEY_LABEL;
use crate::mesh::probe::{Dropped, Heard};
use crate::mesh::time::Timestamp;
use crate::mesh::trust::Refusal;

impl Node {
    pub(super) fn observe_prober(&mut self, now: Timestamp, epoch: u64, missing: Option<NoProbes>) {
        self.no_probes = missing;
        self.probing.observe(epoch, missing.is_none());
        self.agenda.add_all();
        self.expect_news(now);
    }

    /// Returns what this node announces of its probes.
    pub(super) fn own_probes(&self, now: Timestamp) -> Option<Probes> {
        self.probing.is_able().then(|| Probes {
            epoch: self.probing.epoch(),
            nat: self.own_nat(now),
        })
    }

    /// Computes what follows from the key of a new peer.
    pub(super) fn meet(&mut self, key: &PublicKey) {
        if let Some(derived) = self.auth.derive(key, KEY_LABEL) {
            self.probing.admit(key, derived);
        }
    }

    /// Returns whether nothing is due but probes.
    pub(super) fn probes_only(&self, now: Timestamp) -> bool {
        let is_due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        is_due(self.probing.next()) && !is_due(self.news_at) && self.deadline.at > now
    }

    pub(super) fn send_probes(&mut self, now: Timestamp) {
        let due = self.probing.due(now, &mut self.random);
        for peer in due.punches {
            let standing = self.links.get(&peer).map(Link::standing).unwrap_or_default();
            self.signal(&peer, Word::default().punching(), standing);
        }
        let probes = due.probes.into_iter();
        self.outputs
            .extend(probes.map(|(to, payload)| Output::Probe { to, payload }));
    }

    /// Takes in what came to WireGuard's port. What comes through the tunnel proves nothing about the way outside.
    pub(super) fn hear_probe(&mut self, now: Timestamp, source: SocketAddr, payload: &[u8]) {
        if !self.probing.is_able() {
            return;
        }
        if let Err(refusal) = self.trust.is_endpoint(&source) {
            return self.reject(now, RejectReason::Refused(refusal), None, source.ip());
        }
        match self.probing.hear(now, source, payload, &mut self.random) {
            Ok(Heard::Asked { answer, ask_back, .. }) => {
                let datagrams = [Some(answer), ask_back].into_iter().flatten();
                self.outputs
                    .extend(datagrams.map(|payload| Output::Probe { to: source, payload }));
            }
            Ok(Heard::Answered { peer, seen }) => {
                self.note_seen(now, &peer, seen);
                if !self.links.get(&peer).is_some_and(|link| link.is_up()) {
                    self.agenda.add_peers([peer]);
                    self.hurry(now);
                }
            }
            Err((dropped, sender)) => self.reject(now, RejectReason::Probe(dropped), sender, source.ip()),
        }
    }

    /// Returns what probes found out of a peer.
    pub(super) fn reach(&self, now: Timestamp, key: &PublicKey) -> Reach {
        let proof = |proof: crate::mesh::probe::Proof| Proof {
            endpoint: proof.endpoint,
            round_trip: proof.round_trip,
            at: proof.at,
        };
        Reach {
            hopeless: false,
            probed: self.probing.is_able() && self.announced_probes(key).is_some(),
            proofs: self.probing.proofs(now, key).into_iter().map(proof).collect(),
        }
    }

    /// Returns what a peer announced of its probes last.
    pub(super) fn announced_probes(&self, key: &PublicKey) -> Option<Probes> {
        let announced = self.store.about(key).filter_map(|(fact, stored)| {
            let probes = fact.value.probes()?;
            Some((probes.epoch, stored.expires, probes))
        });
        announced.max().map(|(_, _, probes)| probes)
    }

    /// Has a peer looked for that is not reached, and no other.
    pub(super) fn aim(
        &mut self,
        now: Timestamp,
        key: &PublicKey,
        state: State,
        contact: &Contact,
        candidates: &[Candidate],
    ) {
        let is_sought = match state {
            State::Probing => !contact.is_healthy(now),
            State::Suspect(_) => true,
            State::Idle | State::Up => false,
        };
        match self.announced_probes(key).filter(|_| is_sought) {
            Some(probes) if self.probing.is_able() => {
                let places: Vec<SocketAddr> = candidates.iter().map(|candidate| candidate.endpoint).collect();
                self.probing.aim(now, key, probes.epoch, &places);
            }
            Some(_) | None => self.probing.rest(key),
        }
    }

    /// Says something to a peer about the link to it: directly, and through those who pass it on.
    pub(super) fn signal(&mut self, to: &PublicKey, word: Word, standing: Standing) {
        let word = word.ready_if(standing.ready);
        let Some(signal) = self.probing.signal(to, word, standing.version) else {
            return;
        };
        let own_key = *self.auth.public_key();
        for by in self.relays(to) {
            self.pass_signal(&by, own_key, signal);
        }
    }

    /// Returns through whom a peer may be spoken to: itself, and the routers that both may have.
    pub(super) fn relays(&self, to: &PublicKey) -> Vec<PublicKey> {
        let passes_on = self.census.routers.iter().filter(|key| *key != to).chain([to]);
        let can = |key: &&PublicKey| self.census.healthy.contains(key) && self.gossip.can(key, PROBES);
        passes_on.filter(can).copied().collect()
    }

    pub(super) fn pass_signal(&mut self, to: &PublicKey, subject: PublicKey, signal: Signal) {
        let value = Value::Signal(Box::new(signal));
        let fact = Fact { subject, value };
        self.transmit(&Told {
            peer: *to,
            facts: vec![Timed {
                fact,
                ttl: std::time::Duration::ZERO,
            }],
            compact: true,
        });
    }

    /// Takes in a signal for this node, or passes on one for another.
    pub(super) fn hear_signal(
        &mut self,
        now: Timestamp,
        sender: &PublicKey,
        source: Ipv6Addr,
        subject: PublicKey,
        signal: Signal,
    ) {
        if signal.to != *self.auth.public_key() {
            return self.relay(now, sender, source, subject, signal);
        }
        match self.probing.hear_signal(now, &subject, &signal) {
            Ok(()) => {
                let (version, ready) = (signal.version, signal.word.is_ready());
                let link = self.links.get_mut(&subject);
                if link.is_some_and(|link| link.hear_standing(Standing { version, ready })) {
                    self.agenda.add_peers([subject]);
                    self.hurry(now);
                }
                self.hear_ping(now, sender, source, &subject, &signal);
            }
            // It came by another way before.
            Err(Dropped::Stale(_)) => {}
            Err(dropped) => self.reject(now, RejectReason::Probe(dropped), Some(*sender), source.into()),
        }
    }

    /// Passes a signal on, at once and as it is: to its addressee, or, from a peer of this node, to other routers, which may reach it.
    fn relay(&mut self, now: Timestamp, sender: &PublicKey, source: Ipv6Addr, subject: PublicKey, signal: Signal) {
        if !self.is_router() && !self.settings.chatty {
            return self.reject(
                now,
                RejectReason::Refused(Refusal::NotItsOwn),
                Some(*sender),
                source.into(),
            );
        }
        if !self.relayed.admits(now, source.into()) {
            return self.reject(now, RejectReason::Probe(Dropped::TooMany), Some(*sender), source.into());
        }
        let can = |node: &Self, key: &PublicKey| {
            key != sender && node.census.healthy.contains(key) && node.gossip.can(key, PROBES)
        };
        if can(self, &signal.to) {
            return self.pass_signal(&signal.to, subject, signal);
        }
        let others = self
            .census
            .routers
            .iter()
            .filter(|key| subject == *sender && can(self, key));
        let others: Vec<PublicKey> = others.copied().collect();
        for other in others {
            self.pass_signal(&other, subject, signal);
        }
    }
}
