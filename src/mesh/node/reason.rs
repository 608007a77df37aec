//! Which reason counts for a peer whose traffic does not go directly.

use std::time::Duration;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::prefix::is_reserved;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::Origin;
use crate::mesh::believe::fact::signal::Nat;
use crate::mesh::believe::trust::Refusal;
use crate::mesh::node::Node;
use crate::mesh::node::observe::are_behind_nats;
use crate::mesh::reach::link::candidate::Candidate;
use crate::mesh::reach::link::shared_key;
use crate::mesh::reach::link::{Contact, Link, Missing, State};
use crate::mesh::show::reason::Reason;
use crate::mesh::show::status::Way;

/// How long nothing is wrong with a session, or a path, that is not confirmed yet: WireGuard repeats a lost initiation after 5 s.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing is wrong with a peer that answers no probe yet: four rounds of them.
const SEARCH: Duration = Duration::from_secs(5);

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
        let is_reached = contact.is_healthy(now) && !self.is_silent(now, key);
        match link.state() {
            _ if link.is_paused() => Reason::Paused,
            _ if routes && is_reached => Reason::Router,
            _ if routes && contact.last_handshake.is_some() => Reason::RouterSilent,
            State::Suspect(_) | State::Probing | State::Idle if self.is_behind_silence(now, key) => {
                Reason::BehindSilentRouter
            }
            State::Up if !link.carries() => Reason::AwaitsPeer,
            State::Up => self.about_prefixes(key),
            State::Suspect(_) if link.is_held(now) => Reason::Held,
            State::Suspect(Missing::SignOfLife) if link.is_still_received(now) => Reason::NoWirelink,
            State::Suspect(Missing::SignOfLife) => Reason::Silent,
            State::Suspect(Missing::Handshake) => Reason::NoHandshake,
            State::Probing if contact.is_healthy(now) => about_session(now, link, contact),
            State::Probing => self.about_search(now, key, link, candidates),
            State::Idle => self.about_places(key),
        }
    }

    /// Returns whether nothing reaches a peer because the router that leads to it is gone.
    fn is_behind_silence(&self, now: Timestamp, key: &PublicKey) -> bool {
        self.way(now, key) == Way::Down && self.silent_router_of(now, key).is_some()
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
        let since = now.since(link.since());
        let is_new = since < PATIENCE;
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
            _ if since < SEARCH => Reason::Searching,
            (None, Some(_)) if are_behind_nats(candidates) => about_nats(self.nats(now, key)),
            (None, Some(_) | None) => Reason::NoAnswer,
        }
    }

    /// Returns how the NATs of this node and of a peer likely map.
    fn nats(&self, now: Timestamp, key: &PublicKey) -> [Nat; 2] {
        [self.likely_nat(now).nat, self.nat_of(now, key)]
    }

    /// Returns what an operator can do about a reason: what the reason itself says, and more where it depends on the peer.
    pub(super) fn remedy(&self, now: Timestamp, key: &PublicKey, reason: Reason) -> String {
        match reason {
            _ if self.liveness.shares_key(now, key) => {
                format!("several machines use its private key: {}", shared_key::REMEDY)
            }
            Reason::NoAnswer if self.announced_probes(key).is_some() => {
                unknown_nats(self.nats(now, key), &self.name(key).to_string()) + reason.remedy()
            }
            Reason::BehindSilentRouter => match self.silent_router_of(now, key) {
                Some(router) => format!("{}: the router is {}", reason.remedy(), self.name(&router)),
                None => reason.remedy().to_owned(),
            },
            _ => reason.remedy().to_owned(),
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

/// Returns what stands between two nodes of which neither answers the other's probes, by the classes of their NATs, the own one first.
fn about_nats(nats: [Nat; 2]) -> Reason {
    match nats {
        [Nat::AddressDependent, Nat::AddressDependent] => Reason::NatPair,
        [Nat::AddressDependent, _] => Reason::NatHere,
        [_, Nat::AddressDependent] => Reason::NatThere,
        [Nat::Unknown | Nat::EndpointIndependent | Nat::Blocked, _] => Reason::NoAnswer,
    }
}

/// Returns what is to be done first where it cannot be told how a NAT maps; nothing where it can.
fn unknown_nats([here, there]: [Nat; 2], peer: &str) -> String {
    let sides = match (here == Nat::Unknown, there == Nat::Unknown) {
        (false, false) => return String::new(),
        (true, false) => "here".to_owned(),
        (false, true) => format!("on {peer}"),
        (true, true) => format!("here and on {peer}"),
    };
    format!(
        "first find out how the NAT maps ports {sides}. One observer, such as a single hub, cannot tell that; a second one can: set \
         `Stun` there, or have a member with a public address. If the NAT gives each destination another port, forward a UDP port on \
         its router. If not: "
    )
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
