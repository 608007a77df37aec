//! Has nodes of wirelink v1 act now instead of at their next tick.
//!
//! v1 looks at what it heard every 5 s, or as soon as it has heard a hundred facts. Where something should happen at once, it is told a
//! hundred times and more that this node is alive, which changes nothing else there. A nudge that is lost costs the wait for the tick.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::reach::probe::rate::Bucket;

/// How many facts a nudge has: v1 acts on 100, and one of six datagrams may be lost.
pub const FACTS: usize = 132;
/// How often one peer is nudged at most.
const EVERY: Duration = Duration::from_secs(1);
/// How many peers are nudged at once at most, and in a second on the average: a nudge has 8 kB.
const AT_ONCE: u32 = 16;
/// How long a peer with a new session may take to say what it is. One of ours answers within a round trip and is not nudged.
pub const PATIENCE: Duration = Duration::from_millis(300);

/// Which peers are nudged, and when.
#[derive(Debug)]
pub struct Nudges {
    budget: Bucket,
    peers: BTreeMap<PublicKey, Nudged>,
}

#[derive(Debug, Default)]
struct Nudged {
    last: Option<Timestamp>,
    due: Option<Timestamp>,
}

impl Nudges {
    /// Starts with nobody to nudge.
    pub fn new(now: Timestamp) -> Self {
        Self {
            budget: Bucket::full(now, AT_ONCE),
            peers: BTreeMap::new(),
        }
    }

    /// Has a peer nudged at this time, or as soon as it may be nudged again.
    pub fn want(&mut self, peer: PublicKey, at: Timestamp) {
        let nudged = self.peers.entry(peer).or_default();
        let at = nudged.last.map_or(at, |last| at.max(last + EVERY));
        nudged.due = Some(nudged.due.map_or(at, |due| due.min(at)));
    }

    /// Returns who is to be nudged now. Those for whom nothing is left of the budget act at their tick.
    pub fn due(&mut self, now: Timestamp) -> Vec<PublicKey> {
        let mut due = Vec::new();
        for (peer, nudged) in &mut self.peers {
            if nudged.due.take_if(|at| *at <= now).is_some() && self.budget.take(now, AT_ONCE) {
                nudged.last = Some(now);
                due.push(*peer);
            }
        }
        due
    }

    /// Returns when somebody is to be nudged.
    pub fn next(&self) -> Option<Timestamp> {
        self.peers.values().filter_map(|nudged| nudged.due).min()
    }

    /// Forgets all that are not peers any more.
    pub fn retain(&mut self, is_peer: impl Fn(&PublicKey) -> bool) {
        self.peers.retain(|key, _| is_peer(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(milliseconds))
    }

    #[test]
    fn peer_is_nudged_once_a_second_at_most() {
        let mut nudges = Nudges::new(at(0));
        let peer = PublicKey::from_bytes([1; 32]);
        nudges.want(peer, at(0) + PATIENCE);
        assert_eq!((nudges.due(at(299)), nudges.next()), (vec![], Some(at(300))));
        assert_eq!((nudges.due(at(300)), nudges.next()), (vec![peer], None));
        nudges.want(peer, at(400));
        nudges.want(peer, at(500));
        assert_eq!((nudges.due(at(1299)), nudges.next()), (vec![], Some(at(1300))));
        assert_eq!(nudges.due(at(1300)), [peer]);
    }

    #[test]
    fn nudges_of_many_peers_are_bounded() {
        let mut nudges = Nudges::new(at(0));
        for number in 0..100 {
            nudges.want(PublicKey::from_bytes([number; 32]), at(0));
        }
        assert_eq!(nudges.due(at(0)).len(), AT_ONCE as usize);
        assert_eq!(nudges.next(), None, "the others act at their tick");
        nudges.retain(|_| false);
        assert!(nudges.peers.is_empty());
    }
}
