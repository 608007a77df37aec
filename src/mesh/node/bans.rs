//! Who is out: what is decided here or heard, and what follows from it.

use std::collections::BTreeSet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::value::{Denied, Value};
use crate::mesh::believe::fact::{Fact, Origin};
use crate::mesh::device::DeviceChange;
use crate::mesh::device::mirror::Mirror;
use crate::mesh::node::Node;
use crate::mesh::show::event::Event;

impl Node {
    /// Takes the decision of the operator.
    pub(super) fn ban(&mut self, now: Timestamp, peer: &PublicKey, denied: bool) {
        if self.bans.decide(now, peer, denied) {
            self.follow_verdicts(now, [*peer].into());
        }
    }

    /// Has verdicts told, written down and followed.
    pub(super) fn follow_verdicts(&mut self, now: Timestamp, keys: BTreeSet<PublicKey>) {
        if keys.is_empty() {
            return;
        }
        self.drop_older_verdicts(now, &keys);
        self.agenda.add_peers(keys);
        self.recall.owe();
        self.expect_news(now);
    }

    /// Takes in a verdict that came as a fact, or went.
    pub(super) fn note_verdict(&mut self, now: Timestamp, fact: &Fact, what: Denied) {
        let origin = self.store.get(fact).map(|stored| stored.origin);
        let Some(Origin::Peer(by)) = origin else { return };
        if self.bans.learn(now, &fact.subject, what, by) {
            self.follow_verdicts(now, [fact.subject].into());
        }
    }

    /// Earlier verdicts are not passed on.
    fn drop_older_verdicts(&mut self, now: Timestamp, keys: &BTreeSet<PublicKey>) {
        let bans = &self.bans;
        self.store.doom(now, |fact, _| {
            let Value::Denied(what) = &fact.value else { return false };
            let latest = bans.of(&fact.subject).filter(|_| keys.contains(&fact.subject));
            latest.is_some_and(|latest| latest.what.rank() > what.rank())
        });
    }

    /// Follows who is out by now; returns about whom that is different.
    pub(super) fn enforce_bans(&mut self, now: Timestamp) -> Vec<PublicKey> {
        if !self.bans.is_configured() {
            let keys = self.bans.configure(now, &self.settings);
            self.follow_verdicts(now, keys);
        }
        let store = &self.store;
        let is_told = |key: &PublicKey, what| {
            let value = Value::Denied(what);
            store.get(&Fact { subject: *key, value }).is_some()
        };
        if !self.bans.expire(now, is_told).is_empty() {
            self.recall.owe();
        }
        let denied = self.bans.denied(|key| self.trust.relies_on(key));
        let before = self.trust.denied().clone();
        if denied == before {
            return Vec::new();
        }
        for key in denied.difference(&before) {
            let by = self.bans.of(key).map(|verdict| verdict.by);
            let by = by.filter(|by| by != self.auth.public_key() && self.bans.written(key).is_none());
            let (peer, by) = (self.name(key), by.map(|by| self.name(&by)));
            self.recall.forget(key);
            self.notify(now, Event::Banned { peer, by });
        }
        for key in before.difference(&denied) {
            self.notify(now, Event::Pardoned { peer: self.name(key) });
        }
        let different: Vec<PublicKey> = denied.symmetric_difference(&before).copied().collect();
        self.trust.observe_denied(denied);
        self.gossip.trust_changed();
        let trust = &self.trust;
        self.store.doom(now, |fact, origin| {
            let is_by_it = matches!(origin, Origin::Peer(sender) if trust.is_denied(&sender));
            is_by_it || trust.is_denied(&fact.subject) && !matches!(fact.value, Value::Denied(_))
        });
        self.agenda.members = true;
        self.recall.owe();
        different
    }

    /// Takes those off the device who are out, whoever made them peers; returns them.
    pub(super) fn remove_banned(&mut self, now: Timestamp, device: &mut Mirror) -> Vec<PublicKey> {
        let there = self.trust.denied().iter().filter(|key| device.peers.contains_key(key));
        let there: Vec<PublicKey> = there.copied().collect();
        for peer in &there {
            device.apply(&DeviceChange::RemovePeer { peer: *peer });
            self.recall.forget(peer);
            self.notify(now, Event::PeerRemoved { peer: self.name(peer) });
        }
        if !there.is_empty() {
            self.know(device);
        }
        there
    }

    /// Returns those who are out and no peers of the device.
    pub(super) fn banned_and_gone(&self) -> impl Iterator<Item = &PublicKey> {
        let is_peer = |key: &PublicKey| {
            self.device
                .as_ref()
                .is_some_and(|device| device.peers.contains_key(key))
        };
        self.trust.denied().iter().filter(move |key| !is_peer(key))
    }

    /// Says by whose decision a key is out; nothing where it is not.
    pub(super) fn explain_ban(&self, key: &PublicKey) -> String {
        if !self.trust.is_denied(key) {
            return String::new();
        }
        match self.bans.of(key) {
            _ if self.bans.written(key).is_some() => "banned by `Denied` in the settings here".to_owned(),
            Some(verdict) if verdict.by != *self.auth.public_key() => {
                format!("banned at another node, says {}", self.name(&verdict.by))
            }
            Some(_) | None => "banned here".to_owned(),
        }
    }
}
