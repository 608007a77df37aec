//! How a peer came to be as it is.

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::value::Value;
use crate::mesh::believe::fact::{Fact, Origin};
use crate::mesh::node::Node;
use crate::mesh::reach::link::candidate::Candidate;
use crate::mesh::show::status::{Explanation, Place};

impl Node {
    /// Returns what led to how a peer is; `None` where the device has no such peer, and none is banned.
    pub fn explain(&self, now: Timestamp, key: &PublicKey) -> Option<Explanation> {
        let is_peer = self.device.as_ref()?.peers.contains_key(key);
        (is_peer || self.trust.is_denied(key)).then_some(())?;
        let candidates = self.candidates_of(now, key);
        let peer = self.peer_status(now, key);
        Some(Explanation {
            remedy: self.remedy(now, key, peer.reason),
            peer,
            vouchers: self.who_vouches(key),
            places: candidates
                .iter()
                .map(|candidate| self.place(now, key, candidate))
                .collect(),
            nat_there: self.announced_probes(key).map(|probes| probes.nat),
            nat_there_likely: self.nat_of(now, key),
        })
    }

    /// Returns who says that a node is a member.
    fn who_vouches(&self, key: &PublicKey) -> Vec<Origin> {
        let about = self.store.about(key).filter(|(fact, _)| fact.value.is_membership());
        let mut origins: Vec<Origin> = about.map(|(_, stored)| stored.origin).collect();
        origins.sort_unstable();
        origins.dedup();
        origins
    }

    fn place(&self, now: Timestamp, key: &PublicKey, candidate: &Candidate) -> Place {
        let endpoint = candidate.endpoint;
        let fact = Fact {
            subject: *key,
            value: Value::Endpoint(endpoint),
        };
        let stored = self.store.get(&fact);
        let tried = self.probing.tried(key, endpoint);
        Place {
            endpoint,
            kind: candidate.kind,
            said_by: stored.map(|stored| (stored.origin, stored.expires.since(now))),
            asked: tried.map(|tried| (tried.times, now.since(tried.last))),
            answered: tried
                .and_then(|tried| tried.answered)
                .map(|(at, took)| (took, now.since(at))),
        }
    }
}
