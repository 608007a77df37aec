//! What a pass looks at: peers and prefixes about which something may be different; from time to time all of them.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use ipnet::IpNet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::{Fact, store};

/// How often everything is looked at anyway: our own facts live on by it, and nothing overlooked lasts.
pub(super) const REVIEW_EVERY: Duration = Duration::from_secs(20);
/// The most peers that one pass looks at, some 3 µs each; the rest waits for the next, which follows soon.
const PEERS_AT_ONCE: usize = 256;
/// The most prefixes that one pass decides about, some 1 µs each.
const PREFIXES_AT_ONCE: usize = 1024;
/// The most changed facts that one pass takes in, some 2 µs each.
const FACTS_AT_ONCE: usize = 1024;
/// The most of each kind that wait for another pass. A flood that brings more makes the pass longer, and not the list.
pub(super) const MAX_WAITING: usize = store::MAX_FACTS;

#[derive(Debug, Default)]
pub(super) struct Agenda {
    peers: Queue<PublicKey>,
    prefixes: Queue<IpNet>,
    /// Facts that came, went, or have another origin: the oldest first, so that no flood keeps one waiting for long.
    facts: VecDeque<Fact>,
    /// Whether peers looked different on the device, as it was read or planned.
    pub(super) device_differs: bool,
    /// Whether who is a member, or who may say so, may be different.
    pub(super) members: bool,
    reviewed: Option<Timestamp>,
}

impl Agenda {
    pub(super) fn add_peers(&mut self, peers: impl IntoIterator<Item = PublicKey>) {
        self.peers.all.extend(peers);
    }

    pub(super) fn add_prefixes(&mut self, prefixes: impl IntoIterator<Item = IpNet>) {
        self.prefixes.all.extend(prefixes);
    }

    pub(super) fn add_facts(&mut self, facts: Vec<Fact>) {
        self.facts.extend(facts);
    }

    /// Has everything looked at in the next pass.
    pub(super) fn add_all(&mut self) {
        self.reviewed = None;
    }

    /// Returns whether everything is due, and counts on it being looked at.
    pub(super) fn take_review(&mut self, now: Timestamp) -> bool {
        let due = self.reviewed.is_none_or(|at| now.since(at) >= REVIEW_EVERY);
        if due {
            self.reviewed = Some(now);
        }
        due
    }

    pub(super) fn take_peers(&mut self) -> BTreeSet<PublicKey> {
        self.peers.take(PEERS_AT_ONCE)
    }

    pub(super) fn take_prefixes(&mut self) -> BTreeSet<IpNet> {
        self.prefixes.take(PREFIXES_AT_ONCE)
    }

    pub(super) fn take_facts(&mut self) -> VecDeque<Fact> {
        let waits = self.facts.len().saturating_sub(FACTS_AT_ONCE).min(MAX_WAITING);
        let later = self.facts.split_off(self.facts.len() - waits);
        std::mem::replace(&mut self.facts, later)
    }

    /// Returns how much waits for the next pass.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.peers.all.len() + self.prefixes.all.len() + self.facts.len()
    }

    /// Returns whether something waits for the next pass.
    pub(super) fn is_empty(&self) -> bool {
        self.peers.all.is_empty() && self.prefixes.all.is_empty() && self.facts.is_empty()
    }
}

/// What waits, each once. Takes go on where the last one ended: a flood about some keys keeps none of the others waiting.
#[derive(Debug)]
struct Queue<T> {
    all: BTreeSet<T>,
    turn: Option<T>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let all = BTreeSet::new();
        Self { all, turn: None }
    }
}

impl<T: Ord + Copy> Queue<T> {
    fn take(&mut self, at_once: usize) -> BTreeSet<T> {
        let most = at_once.max(self.all.len().saturating_sub(MAX_WAITING));
        if self.all.len() <= most {
            self.turn = None;
            return std::mem::take(&mut self.all);
        }
        let after = (self.turn.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let first = self.turn.map(|turn| self.all.range(..=turn));
        let taken: Vec<T> = self
            .all
            .range(after)
            .chain(first.into_iter().flatten())
            .take(most)
            .copied()
            .collect();
        self.turn = taken.last().copied();
        taken.iter().for_each(|one| {
            self.all.remove(one);
        });
        taken.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flood_about_some_keys_keeps_no_other_waiting() {
        let mut queue: Queue<u32> = Queue::default();
        queue.all.insert(5000);
        let waited = (1..100).find(|_| {
            queue.all.extend(0..1000);
            queue.take(256).contains(&5000)
        });
        assert_eq!(waited, Some(4));
        queue.all = (0..300).collect();
        let (first, second) = (queue.take(256), queue.take(256));
        assert_eq!(first.len().max(second.len()), 256);
        assert!(queue.all.is_empty());
    }

    #[test]
    fn oldest_facts_are_taken_first() {
        let mut agenda = Agenda::default();
        let fact = |number: u32| Fact {
            subject: PublicKey::from_bytes([1; 32]),
            value: crate::mesh::believe::fact::value::Value::Endpoint((std::net::Ipv4Addr::from(number), 1).into()),
        };
        agenda.add_facts((0..3000).map(fact).collect());
        agenda.add_facts((3000..6000).map(fact).collect());
        let taken: Vec<Fact> = std::iter::repeat_with(|| agenda.take_facts())
            .take_while(|taken| !taken.is_empty())
            .flatten()
            .collect();
        assert_eq!(taken, (0..6000).map(fact).collect::<Vec<_>>());
        let many = MAX_WAITING as u32 + 5000;
        agenda.add_facts((0..many).map(fact).collect());
        assert_eq!((agenda.take_facts().len(), agenda.len()), (5000, MAX_WAITING));
    }
}
