//! What is the operator's: left to the operator while the node runs, put back as it was when the node stops.

use std::collections::BTreeSet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::signal::Word;
use crate::mesh::device::mirror::Mirror;
use crate::mesh::keep::memory::{Introduced, Session};
use crate::mesh::node::Node;
use crate::mesh::reach::link::Link;
use crate::mesh::reach::link::candidate::Candidate;
use crate::mesh::show::event::Output;

impl Node {
    /// Puts the device back: peers, prefixes and addresses that are there because of us go, endpoints that we set, and where nobody is heard, give way to what
    /// was there before. Or leaves it as it is, where the operator wants that. What a v1 node still sends to stays.
    pub(super) fn restore(&mut self, now: Timestamp) {
        let Some(device) = self.device.take() else { return };
        self.take_up(&device);
        let introduced = self.introduced().on(&device);
        if self.settings.leave_peers {
            return self.remember_at_last(now, &device, introduced);
        }
        self.withdraw(now);
        let sending = self.still_sending(now, &device, &introduced);
        let (left, introduced) = introduced.split(&sending);
        let session = |key: &PublicKey| self.session(now, &device, key);
        let changes = introduced.undo(&device, self.settings.address_hash, &session);
        self.outputs.extend(changes.into_iter().map(Output::Configure));
        self.remember_at_last(now, &device, left);
    }

    /// Returns the peers that go on to send directly whatever this side does, because wirelink v1 runs, or ran, there, which cannot be
    /// told to stop: without peer and prefixes here all that they send would be lost. The next start knows both for its own.
    fn still_sending(&self, now: Timestamp, device: &Mirror, introduced: &Introduced) -> BTreeSet<PublicKey> {
        let is_sending = |(key, link): &(&PublicKey, &Link)| {
            let contact = self.contact_on(device, key);
            let is_v1 = contact.is_v1() && !link.was_ours_lately(now) || link.is_sustained();
            is_v1 && contact.is_healthy(now) && link.carries() && introduced.routes_to(key)
        };
        if device.public_key != *self.auth.public_key() {
            return BTreeSet::new();
        }
        self.links.iter().filter(is_sending).map(|(key, _)| *key).collect()
    }

    /// Returns what speaks for the endpoint that a peer has. Where the peer was heard at an address that the operator's name for it has
    /// now, the endpoint is as good as the operator's, with a session or without.
    fn session(&self, now: Timestamp, device: &Mirror, key: &PublicKey) -> Session {
        let is_healthy = self.contact_on(device, key).is_healthy(now);
        let Some(peer) = device.peers.get(key) else {
            return Session::None;
        };
        let is_named = || peer.endpoint.is_some_and(|at| self.resolved(device, key).contains(&at));
        match (self.endpoints.is_heard(key, peer), is_healthy) {
            (true, true) => Session::Heard,
            (true, false) if is_named() => Session::Heard,
            (false, true) => Session::Unheard,
            (_, false) => Session::None,
        }
    }

    /// Tells all whose traffic takes a direct link that it must not any more.
    fn withdraw(&mut self, now: Timestamp) {
        let withdrawn = self
            .links
            .iter_mut()
            .filter_map(|(key, link)| Some((*key, link.withdraw(now)?)));
        for (key, standing) in withdrawn.collect::<Vec<_>>() {
            self.signal(now, &key, Word::default(), standing);
        }
    }

    /// Returns whether a peer of ours has what we did not give it.
    pub(super) fn is_touched(&self, device: &Mirror, key: &PublicKey) -> bool {
        let address = self.settings.address_hash.allowed_ip(key);
        let peer = device.peers.get(key);
        peer.is_some_and(|peer| peer.is_touched(|prefix| *prefix == address || self.routes.introduced(key, prefix)))
    }

    /// Leaves a peer of ours to the operator, who has laid hands on it; the address that we gave it is all that is still ours.
    pub(super) fn hand_over(&mut self, device: &Mirror, key: &PublicKey) {
        let address = self.settings.address_hash.allowed_ip(key);
        self.membership.hand_over(key);
        if device.owner(&address) == Some(*key) {
            self.routes.hand_over(*key, address);
        }
    }

    /// Takes in where peers of the operator's are sent to now: it may not be by us any more.
    pub(super) fn observe_endpoints<'a>(
        &mut self,
        now: Timestamp,
        device: &Mirror,
        peers: impl Iterator<Item = &'a PublicKey>,
    ) {
        for key in peers {
            let contact = self.contact_on(device, key);
            self.endpoints.observe(key, contact.endpoint, contact.is_healthy(now));
        }
    }

    /// Takes in that a peer is sent to another endpoint from now on; with those of ours it is no matter where they were before.
    pub(super) fn note_endpoint(
        &mut self,
        device: &Mirror,
        key: &PublicKey,
        endpoint: std::net::SocketAddr,
        candidates: &[Candidate],
    ) {
        let Some(found) = device.peers.get(key) else { return };
        if found.endpoint != Some(endpoint) && !self.membership.introduced(key) {
            let candidates = candidates.iter().map(|candidate| candidate.endpoint);
            self.endpoints.set(*key, found, endpoint, candidates);
        }
    }
}
