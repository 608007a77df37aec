//! Probes and signals on their way in and out, and what they mean for links.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::boot::{PORTS, PROBES};
use crate::mesh::believe::fact::signal::ProbeForm;
use crate::mesh::believe::fact::signal::{Nat, Probes, Signal, Word};
use crate::mesh::believe::fact::value::Value;
use crate::mesh::believe::fact::{Fact, Origin, Timed};
use crate::mesh::believe::trust::Refusal;
use crate::mesh::device::mirror::Mirror;
use crate::mesh::node::Node;
use crate::mesh::reach::link::agreement::Standing;
use crate::mesh::reach::link::candidate::Candidate;
use crate::mesh::reach::link::{Link, Proof, Reach};
use crate::mesh::reach::probe::pairs::KEY_LABEL;
use crate::mesh::reach::probe::{Dropped, Heard};
use crate::mesh::share::gossip::Told;
use crate::mesh::show::event::{NoProbes, Output, RejectReason};

impl Node {
    pub(super) fn observe_prober(&mut self, now: Timestamp, epoch: u64, missing: Option<NoProbes>) {
        self.no_probes = missing;
        let epoch = match self.probing.epoch() {
            0 => self.recall.begin_epoch(epoch),
            begun => begun,
        };
        self.probing.observe(epoch, missing.is_none());
        self.agenda.add_all();
        self.expect_news(now);
    }

    /// Has this node know no form of probes after that one, as older nodes of ours: for tests of both together.
    #[doc(hidden)]
    pub fn know_probes(&mut self, newest: ProbeForm) {
        self.probing.know(newest);
    }

    /// Returns what this node announces of its probes.
    pub(super) fn own_probes(&self, now: Timestamp) -> Option<Probes> {
        self.probing.is_able().then(|| Probes {
            epoch: self.probing.epoch(),
            nat: self.own_nat(now),
            form: self.probing.newest(),
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
            self.signal(now, &peer, Word::default().punching(), standing);
            self.tell_ports(now, &peer);
        }
        let (local, look) = (None, |(from, to, payload)| (Some(from), to, payload));
        let probes = due.probes.into_iter().map(|(to, payload)| (None, to, payload));
        let datagrams = due.before.into_iter().map(look).chain(probes);
        for (from, to, payload) in datagrams.chain(due.after.into_iter().map(look)) {
            self.outputs.push_back(Output::Probe {
                from,
                local,
                to,
                payload,
            });
        }
    }

    /// Sends a probe, or an answer, from WireGuard's port, and from the address that was asked, where one was.
    pub(super) fn send_probe(&mut self, local: Option<IpAddr>, to: SocketAddr, payload: Vec<u8>) {
        let from = None;
        self.outputs.push_back(Output::Probe {
            from,
            local,
            to,
            payload,
        });
    }

    /// Tells a peer where it should probe, if that is foreseen, and it cannot see it.
    fn tell_ports(&mut self, now: Timestamp, peer: &PublicKey) {
        if self.likely_nat(now).nat != Nat::AddressDependent {
            return;
        }
        let standing = self.links.get(peer).map(Link::standing).unwrap_or_default();
        let word = Word::default().punching().ready_if(standing.ready);
        for ports in self.probing.ports_for(now, peer) {
            let signal = self.probing.signal(peer, word, standing.version, Some(ports));
            signal.into_iter().for_each(|signal| self.send_signal(signal));
        }
    }

    /// Looks which port WireGuard will get where it is about to send to a peer for the first time.
    pub(super) fn foretell(&mut self, now: Timestamp, device: &Mirror, peer: &PublicKey, place: SocketAddr) {
        let announced = self.announced_probes(peer).map(|probes| probes.nat).unwrap_or_default();
        let Some(observer) = self.observer(now, device, announced) else {
            return;
        };
        self.expect_form(&observer.0);
        let looks = self.probing.foretell(now, peer, place, observer, &mut self.random);
        for (from, to, payload) in looks {
            let (from, local) = (Some(from), None);
            self.outputs.push_back(Output::Probe {
                from,
                local,
                to,
                payload,
            });
        }
    }

    /// Takes in what came to WireGuard's port. What comes through the tunnel proves nothing about the way outside.
    pub(super) fn hear_probe(&mut self, now: Timestamp, source: SocketAddr, local: Option<IpAddr>, payload: &[u8]) {
        if !self.probing.is_able() {
            return;
        }
        if let Err(refusal) = self.trust.is_endpoint(&source) {
            return self.reject(now, RejectReason::Refused(refusal), None, source.ip());
        }
        let heard = self.probing.hear(now, source, payload, &mut self.random);
        if heard.is_ok() {
            self.note_probe(now);
        }
        match heard {
            Ok(Heard::Asked { answer, ask_back, .. }) => {
                let datagrams = [Some(answer), ask_back].into_iter().flatten();
                datagrams.for_each(|payload| self.send_probe(local, source, payload));
            }
            Ok(Heard::Looked { peer, answer }) => {
                if let Some(to) = self.contact(&peer).endpoint {
                    let local = local.filter(|local| local.is_ipv4() == to.is_ipv4());
                    self.send_probe(local, to, answer);
                }
            }
            Ok(Heard::Shown { about }) => about.iter().for_each(|peer| self.tell_ports(now, peer)),
            Ok(Heard::Answered { peer, seen }) => {
                self.note_seen(now, &peer, seen);
                let contact = self.contact(&peer);
                let is_content = |link: &Link| link.is_up() && !link.seeks_better(now, &contact);
                if !self.links.get(&peer).is_some_and(is_content) {
                    self.agenda.add_peers([peer]);
                    self.hurry(now);
                }
            }
            Err((dropped, sender)) => self.reject(now, RejectReason::Probe(dropped), sender, source.ip()),
        }
    }

    /// Returns what probes found out of a peer.
    pub(super) fn reach(&self, now: Timestamp, key: &PublicKey) -> Reach {
        let proof = |proof: crate::mesh::reach::probe::Proof| Proof {
            endpoint: proof.endpoint,
            round_trip: proof.round_trip,
            at: proof.at,
        };
        let proofs: Vec<Proof> = self.probing.proofs(now, key).into_iter().map(proof).collect();
        let announced = self.announced_probes(key).map(|probes| probes.nat);
        let is_blocked = announced == Some(Nat::Blocked) || self.is_blocked();
        let probed = self.probing.is_able() && announced.is_some() && !(is_blocked && proofs.is_empty());
        Reach {
            hopeless: false,
            probed,
            may_improve: probed && !self.is_router(),
            proofs,
        }
    }

    /// Returns what a peer announced of its probes last, by its own word, or that of somebody who may pass it on.
    pub(super) fn announced_probes(&self, key: &PublicKey) -> Option<Probes> {
        let announced = self.store.about(key).filter_map(|(fact, stored)| {
            let probes = fact.value.probes().filter(|_| self.may_pass_on(key, stored.origin))?;
            Some((probes.epoch, stored.expires, probes))
        });
        announced.max().map(|(_, _, probes)| probes)
    }

    /// Has a peer asked in the form that it announced last.
    pub(super) fn expect_form(&mut self, key: &PublicKey) {
        if let Some(announced) = self.announced_probes(key) {
            self.probing.expect(key, announced.form);
        }
    }

    /// Returns whether what is said of a peer may be taken for what it says itself. Routers pass it on, however far they are trusted.
    fn may_pass_on(&self, key: &PublicKey, origin: Origin) -> bool {
        let is_router = |origin| matches!(origin, Origin::Peer(sender) if self.census.routers.contains(&sender));
        is_router(origin) || !self.trust.is_hearsay(key, origin)
    }

    /// Has a peer probed that is sought, and no other.
    pub(super) fn aim(
        &mut self,
        now: Timestamp,
        device: &Mirror,
        key: &PublicKey,
        is_sought: bool,
        candidates: &[Candidate],
    ) {
        match self.announced_probes(key).filter(|_| is_sought) {
            Some(probes) if self.probing.is_able() => {
                let places: Vec<SocketAddr> = candidates.iter().map(|candidate| candidate.endpoint).collect();
                let observer = self.observer(now, device, probes.nat);
                self.probing.expect(key, probes.form);
                if let Some((router, _)) = &observer {
                    self.expect_form(router);
                }
                self.probing.aim(now, key, &places, observer);
            }
            Some(_) | None => self.probing.rest(key),
        }
    }

    /// Says something to a peer about the link to it: directly, and through those who pass it on.
    pub(super) fn signal(&mut self, now: Timestamp, to: &PublicKey, word: Word, standing: Standing) {
        let word = word.ready_if(standing.ready).behind(self.say_nat(now, to));
        if let Some(signal) = self.probing.signal(to, word, standing.version, None) {
            self.send_signal(signal);
        }
    }

    /// Sends a signal to its addressee, where that can be reached, and through the routers that both may have.
    fn send_signal(&mut self, signal: Signal) {
        let own_key = *self.auth.public_key();
        for by in self.relays(&signal.to, needed(&signal)) {
            self.pass_signal(&by, own_key, signal);
        }
    }

    /// Returns through whom a peer may be spoken to, as far as they announce what is needed: itself, and the routers that both may have.
    pub(super) fn relays(&self, to: &PublicKey, needed: u32) -> Vec<PublicKey> {
        let passes_on = self.census.routers.iter().filter(|key| *key != to).chain([to]);
        let can = |key: &&PublicKey| self.census.healthy.contains(key) && self.gossip.can(key, needed);
        passes_on.filter(can).copied().collect()
    }

    /// Returns whether a peer can be reached and reads such a signal.
    fn takes(&self, key: &PublicKey, signal: &Signal) -> bool {
        self.census.healthy.contains(key) && self.gossip.can(key, needed(signal))
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
                if let Some(link) = self.links.get_mut(&subject) {
                    let has_said = link.hear_standing(now, Standing { version, ready });
                    let has_called = signal.word.is_punch() && !ready && link.hear_call(now);
                    if has_said || has_called {
                        self.agenda.add_peers([subject]);
                        self.hurry(now);
                    }
                }
                if signal.word.is_punch() || signal.word.nat() != Nat::Unknown {
                    self.hear_nat(now, &subject, signal.word.nat());
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
        let can = |node: &Self, key: &PublicKey| key != sender && node.takes(key, &signal);
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

/// Returns what whoever reads such a signal announces.
fn needed(signal: &Signal) -> u32 {
    if signal.ports.is_some() { PORTS } else { PROBES }
}
