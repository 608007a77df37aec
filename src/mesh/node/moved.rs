//! Direct peers hear where a router is that moved, from those that found it.

use std::net::SocketAddr;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::settings::FACT_TTL;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::boot::PROBES;
use crate::mesh::believe::fact::value::Value;
use crate::mesh::believe::fact::{Fact, Origin, Timed};
use crate::mesh::device::mirror::Mirror;
use crate::mesh::node::Node;
use crate::mesh::share::gossip::Told;

impl Node {
    /// Tells direct peers of ours where routers are, after one of them moved; a router tells everybody everything anyway.
    pub(super) fn tell_moved(&mut self, now: Timestamp, device: &Mirror) {
        let routers = &self.census.routers;
        self.moved.retain(|key| routers.contains(key));
        for key in routers.intersection(&self.census.healthy) {
            let heard = device
                .peers
                .get(key)
                .filter(|peer| !self.endpoints.is_in_doubt(key, peer));
            if let Some(endpoint) = heard.and_then(|peer| peer.endpoint) {
                self.moved.observe(now, *key, endpoint);
            }
        }
        let reached = if self.is_router() {
            Vec::new()
        } else {
            self.moved.due(now)
        };
        let direct = self
            .links
            .iter()
            .filter(|(key, link)| link.is_up() && self.hears_of_routers(key));
        let direct: Vec<PublicKey> = direct.map(|(key, _)| *key).collect();
        for peer in direct.iter().filter(|_| !reached.is_empty()) {
            self.tell_reached(peer, &reached);
        }
        self.links_at = self.links_at.into_iter().chain(self.moved.next()).min();
    }

    /// Returns whether a peer would not hear of routers with all other facts.
    fn hears_of_routers(&self, key: &PublicKey) -> bool {
        let can = !self.census.routers.contains(key) && self.gossip.can(key, PROBES);
        can && !self.settings.chatty && !self.trust.counts_for_more(key)
    }

    fn tell_reached(&mut self, peer: &PublicKey, reached: &[(PublicKey, SocketAddr)]) {
        // A peer refuses facts about keys that are no peers of its own: only of a router that speaks of it, it is known to be one.
        let is_shared = |router: &PublicKey| {
            let mut about = self.store.about(peer);
            about.any(|(_, stored)| stored.origin == Origin::Peer(*router))
        };
        let shared = reached.iter().filter(|(router, _)| is_shared(router));
        let facts = shared.map(|(router, endpoint)| Timed {
            fact: Fact {
                subject: *router,
                value: Value::Endpoint(*endpoint),
            },
            ttl: FACT_TTL,
        });
        let facts: Vec<Timed> = facts.collect();
        if !facts.is_empty() {
            let peer = *peer;
            self.transmit(&Told {
                peer,
                facts,
                compact: true,
            });
        }
    }

    /// Returns where others say that a peer is, at most so many places.
    pub(super) fn told_places(&self, key: &PublicKey, most: usize) -> Vec<SocketAddr> {
        let by_others = |origin: Origin| matches!(origin, Origin::Peer(sender) if sender != *key);
        let facts = self.store.about(key).filter(|(_, stored)| by_others(stored.origin));
        let endpoints = facts.filter_map(|(fact, _)| fact.value.endpoint());
        endpoints.take(most).collect()
    }
}
