//! One peer, as it is shown; and where it may be reached.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::signal::Nat;
use crate::mesh::believe::fact::store::Store;
use crate::mesh::believe::fact::value::Value;
use crate::mesh::believe::fact::{Fact, Origin};
use crate::mesh::believe::trust::TrustPolicy;
use crate::mesh::node::Node;
use crate::mesh::reach::link::candidate::{Candidate, Collector, Kind};
use crate::mesh::reach::link::{Link, State};
use crate::mesh::reach::nat64::Prefix64;
use crate::mesh::reach::probe::Probing;
use crate::mesh::route::Refusal;
use crate::mesh::show::event::{Event, RefusedPrefix, RejectReason};
use crate::mesh::show::status::{PeerStatus, Way};
use crate::mesh::show::tally::Portion;

impl Node {
    pub(super) fn peer_status(&self, now: Timestamp, key: &PublicKey) -> PeerStatus {
        let contact = self.contact(key);
        let link = self.links.get(key);
        let state = self.device.as_ref().and_then(|device| device.peers.get(key));
        let candidates = self.candidates_of(now, key);
        PeerStatus {
            peer: self.name(key),
            state: link.map_or(State::Idle, Link::state),
            since: link.map_or(Duration::ZERO, |link| now.since(link.since())),
            reason: self.reason(now, key, &contact, &candidates),
            why: link.map_or_else(
                || self.explain_ban(key),
                |link| {
                    link.explain(now, &contact, &candidates)
                        + &self.explain_slowness(now, key, link)
                        + &self.explain_router(now, key)
                        + self.explain_key(now, key)
                },
            ),
            quality: link.and_then(|link| link.quality(now)),
            endpoint: contact.endpoint,
            allowed_ips: state
                .map(|peer| peer.allowed_ips.iter().copied().collect())
                .unwrap_or_default(),
            trust: self.trust.level(key),
            router: self.census.routers.contains(key),
            introduced: self.membership.introduced(key),
            shared_key: self.liveness.shares_key(now, key),
            way: self.way(now, key),
            handshake: contact.last_handshake.map(|at| now.since(at)),
        }
    }

    /// Returns where a peer may be reached, the best first.
    pub(super) fn candidates_of(&self, now: Timestamp, key: &PublicKey) -> Vec<Candidate> {
        let Some(link) = self.links.get(key) else {
            return Vec::new();
        };
        candidates(
            now,
            link,
            (&self.own_nets(), self.places.nat64.prefix()),
            key,
            &self.store,
            &self.trust,
            &self.probing,
        )
    }
}

impl Node {
    /// Returns why it takes long, where it does.
    fn explain_slowness(&self, now: Timestamp, key: &PublicKey, link: &Link) -> String {
        let (state, since) = (link.state(), link.since());
        let is_tried = match state {
            State::Probing => true,
            State::Idle | State::Up | State::Suspect(_) => false,
        };
        match self.no_probes {
            _ if !is_tried => String::new(),
            Some(why) => format!(" (one by one, because this node cannot probe: {why})"),
            None if self.own_nat(now) == Nat::Blocked => {
                " (one by one, because nothing but WireGuard gets out here)".into()
            }
            None => match self.announced_probes(key).map(|probes| probes.nat) {
                Some(Nat::Blocked) => " (one by one, because nothing but WireGuard gets out there)".into(),
                None => " (one by one, because the peer announces no probes)".into(),
                Some(Nat::AddressDependent) if self.own_nat(now) == Nat::AddressDependent => {
                    " (both NATs give each destination another port: neither side can be met)".into()
                }
                Some(_) if self.has_been_tried(now, since) => {
                    " (probes do not pass between the two, and are sent less and less often)".into()
                }
                Some(_) => String::new(),
            },
        }
    }

    /// Returns which router does not answer, where traffic to a peer is lost for that.
    fn explain_router(&self, now: Timestamp, key: &PublicKey) -> String {
        let router = self
            .silent_router_of(now, key)
            .filter(|_| self.way(now, key) == Way::Down);
        router.map_or_else(String::new, |router| {
            format!("; its router {} does not answer", self.name(&router))
        })
    }

    /// Returns that several machines use the key of a peer, where they do.
    fn explain_key(&self, now: Timestamp, key: &PublicKey) -> &'static str {
        if self.liveness.shares_key(now, key) {
            "; several machines use its private key"
        } else {
            ""
        }
    }

    /// Counts refused claims, and tells them one by one as long as they are few.
    pub(super) fn tell_refusals(&mut self, now: Timestamp, refused: &[Refusal]) {
        for refusal in refused {
            let refused = self.refused(refusal);
            if let Some(sender) = &refused.said_by {
                let reason = RejectReason::Overlap(refused.overlap);
                self.rejections.count(now, Some(sender.key), reason);
            }
            match self.refusals.take(now) {
                Portion::Granted => self.notify(now, Event::PrefixRefused(refused)),
                Portion::Last => self.notify(now, Event::MorePrefixesRefused),
                Portion::Spent => {}
            }
        }
    }

    /// Returns a claim that is refused, as it is shown.
    pub(super) fn refused(&self, refusal: &Refusal) -> RefusedPrefix {
        let fact = Fact {
            subject: refusal.claimant,
            value: Value::AllowedIp(refusal.prefix),
        };
        let said_by = self.store.get(&fact).and_then(|stored| match stored.origin {
            Origin::Peer(sender) => Some(self.name(&sender)),
            Origin::Observed | Origin::Configured | Origin::Remembered => None,
        });
        RefusedPrefix {
            prefix: refusal.prefix,
            claimant: self.name(&refusal.claimant),
            said_by,
            overlap: refusal.obstacle.overlap,
            with: refusal.obstacle.with,
            of: refusal.obstacle.of.map(|peer| self.name(&peer)),
        }
    }
}

/// Collects where a peer may be reached, from what is believed and what the link remembers.
pub(super) fn candidates(
    now: Timestamp,
    link: &Link,
    (own_nets, nat64): (&[IpNet], Option<Prefix64>),
    peer: &PublicKey,
    store: &Store,
    trust: &TrustPolicy,
    probing: &Probing,
) -> Vec<Candidate> {
    let mut collector = Collector::new(own_nets).behind(nat64);
    for (fact, stored) in store.about(peer) {
        let Value::Endpoint(endpoint) = fact.value else {
            continue;
        };
        if trust.is_endpoint(&endpoint).is_ok() {
            let is_hearsay = trust.is_hearsay(peer, stored.origin);
            collector.add(endpoint, Kind::of(peer, stored.origin, is_hearsay));
        }
    }
    // The operator may know why what leads into the tunnel now works all the same; what was only reached may not be any more.
    let remembered = link.remembered(now);
    let may_be_tried =
        |(endpoint, kind): &(SocketAddr, Kind)| *kind == Kind::Configured || trust.is_endpoint(endpoint).is_ok();
    remembered
        .filter(may_be_tried)
        .for_each(|(endpoint, kind)| collector.add(endpoint, kind));
    let heard_from = probing.heard_from(now, peer);
    heard_from
        .filter(|endpoint| trust.is_endpoint(endpoint).is_ok())
        .for_each(|endpoint| collector.add(endpoint, Kind::Reflexive));
    collector.finish()
}
