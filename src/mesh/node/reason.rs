//! Which reason counts for a peer whose traffic does not go directly.

use std::time::Duration;

use crate::mesh::fact::Origin;
use crate::mesh::fact::signal::Nat;
use crate::mesh::identity::PublicKey;
use crate::mesh::link::candidate::Candidate;
use crate::mesh::link::{Contact, Link, Missing, State};
use crate::mesh::node::Node;
use crate::mesh::prefix::is_reserved;
use crate::mesh::reason::Reason;
use crate::mesh::time::Timestamp;
use crate::mesh::trust::Refusal;

/// How long nothing is wrong with a peer that is not found yet.
const PATIENCE: Duration = Duration::from_secs(10);

impl Node {
    /// Returns why traffic to a peer goes the way it does.
    pub(super) fn reason(
        &self,
        now: Timestamp,
        key: &PublicKey,
        contact: &Contact,
        candidates: &[Candidate],
    ) -> Reason {
        if self.trust.is_denied(key) {
            return Reason::Denied;
        }
        let Some(link) = self.links.get(key) else {
            return Reason::Searching;
        };
        let routes = self.census.routers.contains(key);
        match link.state() {
            _ if link.is_paused() => Reason::Paused,
            _ if routes && contact.is_healthy(now) => Reason::Router,
            State::Up if !link.carries() => Reason::AwaitsPeer,
            State::Up => self.about_prefixes(key),
            State::Suspect(_) if link.is_held(now) => Reason::Held,
            State::Suspect(Missing::SignOfLife) => Reason::Silent,
            State::Suspect(Missing::Handshake) => Reason::NoHandshake,
            State::Probing if contact.is_healthy(now) => about_session(now, link, contact),
            State::Probing => self.about_search(now, key, link, candidates),
            State::Idle => self.about_places(key),
        }
    }

    /// A link that works takes what the peer has, if anything.
    fn about_prefixes(&self, key: &PublicKey) -> Reason {
        let Some(device) = &self.device else {
            return Reason::Direct;
        };
        let peer = device.peers.get(key);
        let is_used = peer.is_some_and(|peer| peer.allowed_ips.iter().any(|prefix| !is_reserved(prefix)));
        let is_refused = || self.routes.refused().any(|refusal| refusal.claimant == *key);
        match is_used {
            true => Reason::Direct,
            false if is_refused() => Reason::PrefixRefused,
            false => Reason::NoPrefix,
        }
    }

    fn about_search(&self, now: Timestamp, key: &PublicKey, link: &Link, candidates: &[Candidate]) -> Reason {
        let announced = self.announced_probes(key).map(|probes| probes.nat);
        let is_new = now.since(link.since()) < PATIENCE;
        let has_answered = !self.reach(now, key).proofs.is_empty();
        match (self.no_probes, announced) {
            _ if candidates.is_empty() => self.about_places(key),
            (Some(_), _) => Reason::NoProbesHere,
            (None, None) if self.is_told_of(key) => Reason::NoProbesThere,
            _ if has_answered && is_new => Reason::Handshaking,
            _ if has_answered => Reason::HandshakeFails,
            _ if self.own_nat(now) == Nat::Blocked => Reason::BlockedHere,
            (None, Some(Nat::Blocked)) => Reason::BlockedThere,
            (None, Some(nat)) if self.is_hopeless(now, nat, candidates) => Reason::NatPair,
            _ if is_new => Reason::Searching,
            _ => Reason::NoAnswer,
        }
    }

    /// Returns whether another peer says something of it, or it does itself: what it can do would be known.
    fn is_told_of(&self, key: &PublicKey) -> bool {
        let by_peers = |origin: Origin| match origin {
            Origin::Peer(_) => true,
            Origin::Observed | Origin::Configured | Origin::Remembered => false,
        };
        self.store.about(key).any(|(_, stored)| by_peers(stored.origin))
    }

    fn about_places(&self, key: &PublicKey) -> Reason {
        let endpoints = || self.store.about(key).filter_map(|(fact, _)| fact.value.endpoint());
        let mut judged = endpoints().map(|endpoint| self.trust.is_endpoint(&endpoint));
        let leads_into_tunnel = judged.any(|judged| judged == Err(Refusal::ThroughTunnel));
        let is_somewhere = endpoints().any(|endpoint| self.trust.is_endpoint(&endpoint).is_ok());
        match is_somewhere {
            _ if leads_into_tunnel || self.tunnelled.contains(key) => Reason::ThroughTunnel,
            true => Reason::NoFamily,
            false => Reason::NoEndpoint,
        }
    }
}

fn about_session(now: Timestamp, link: &Link, contact: &Contact) -> Reason {
    if link.is_held(now) {
        Reason::Held
    } else if now.since(link.since()) >= PATIENCE && !contact.is_alive(now) {
        Reason::NoWirelink
    } else {
        Reason::Confirming
    }
}
