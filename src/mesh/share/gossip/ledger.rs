//! Facts that one node told another, and that both count on without a word: each side keeps such a ledger, and sums tell whether
//! the two are equal.
//!
//! A sum adds up the [hashes](FactHash) of the facts, so that it is kept up to date at the cost of one addition. It finds what
//! got lost on the way; it is no proof against a peer that lies about its own facts, who gains nothing by that.

use std::collections::BTreeMap;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::believe::fact::store::FactId;
use crate::mesh::believe::fact::value::{BUCKETS, FactHash, bucket};

/// The most facts of one peer that are remembered although they are not believed. With more, digests of that peer never fit, and
/// it tells them again and again, as a v1 node does.
pub const MAX_UNHELD: usize = 512;

/// What one peer told this node, or was told by it.
#[derive(Debug)]
pub struct Ledger {
    held: Ids,
    /// Facts that were heard and not taken in: they count, because who said them counts them. Those that only found no room come with
    /// their subject: there may be room later.
    unheld: BTreeMap<FactHash, Option<PublicKey>>,
    sums: [FactHash; BUCKETS],
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            held: Ids::default(),
            unheld: BTreeMap::new(),
            sums: [0; BUCKETS],
        }
    }
}

impl Ledger {
    /// Returns whether the fact stands in it.
    pub fn contains(&self, id: FactId) -> bool {
        self.held.contains(id)
    }

    /// Enters a fact.
    pub fn enter(&mut self, id: FactId, hash: FactHash) {
        if self.held.insert(id) {
            self.count(hash, FactHash::wrapping_add);
            // It may be believed by now.
            self.strike_unheld(hash);
        }
    }

    /// Strikes a fact; returns whether it stood there.
    pub fn strike(&mut self, id: FactId, hash: FactHash) -> bool {
        let stood = self.held.remove(id);
        if stood {
            self.count(hash, FactHash::wrapping_sub);
        }
        stood
    }

    /// Enters a fact that is not believed.
    pub fn enter_unheld(&mut self, hash: FactHash) {
        self.enter_without(hash, None);
    }

    /// Enters a fact about this subject for which there is no room now.
    pub fn enter_waiting(&mut self, hash: FactHash, subject: PublicKey) {
        self.enter_without(hash, Some(subject));
    }

    fn enter_without(&mut self, hash: FactHash, waits: Option<PublicKey>) {
        if self.unheld.contains_key(&hash) {
            self.unheld.insert(hash, waits);
        } else if self.unheld.len() < MAX_UNHELD {
            self.unheld.insert(hash, waits);
            self.count(hash, FactHash::wrapping_add);
        }
    }

    /// Returns whether a fact waits for room.
    pub fn waits(&self) -> bool {
        self.unheld.values().any(Option::is_some)
    }

    /// Strikes the facts for which there is room by now, so that they are said again; returns whether there are any.
    pub fn strike_waiting(&mut self, has_room: impl Fn(&PublicKey) -> bool) -> bool {
        let waiting = self
            .unheld
            .iter()
            .filter_map(|(hash, waits)| Some((*hash, waits.as_ref()?)));
        let fitting: Vec<FactHash> = waiting
            .filter(|(_, subject)| has_room(subject))
            .map(|(hash, _)| hash)
            .collect();
        fitting.iter().for_each(|hash| self.strike_unheld(*hash));
        !fitting.is_empty()
    }

    /// Strikes a fact that is not believed.
    pub fn strike_unheld(&mut self, hash: FactHash) {
        if self.unheld.remove(&hash).is_some() {
            self.count(hash, FactHash::wrapping_sub);
        }
    }

    /// Strikes all facts that are not believed: they may be by now, so they should be said again.
    pub fn strike_all_unheld(&mut self) {
        for hash in std::mem::take(&mut self.unheld).into_keys() {
            self.count(hash, FactHash::wrapping_sub);
        }
    }

    /// Empties the buckets of which the bit is set.
    pub fn empty(&mut self, buckets: u64, hash_of: impl Fn(FactId) -> Option<FactHash>) {
        let is_out = |hash: FactHash| buckets >> bucket(hash) & 1 == 1;
        self.held.retain(|id| hash_of(id).is_some_and(|hash| !is_out(hash)));
        self.unheld.retain(|hash, _| !is_out(*hash));
        let emptied = self.sums.iter_mut().enumerate();
        emptied
            .filter(|(index, _)| buckets >> index & 1 == 1)
            .for_each(|(_, sum)| *sum = 0);
    }

    /// Returns the sum of the buckets of which the bit is set.
    pub fn sum(&self, buckets: u64) -> FactHash {
        let counted = self
            .sums
            .iter()
            .enumerate()
            .filter(|(index, _)| buckets >> index & 1 == 1);
        counted.fold(0, |sum, (_, bucket)| sum.wrapping_add(*bucket))
    }

    /// Returns the sum of each bucket.
    pub fn sums(&self) -> &[FactHash; BUCKETS] {
        &self.sums
    }

    /// Returns a bit for each bucket that differs from `sums`.
    pub fn differing(&self, sums: &[FactHash; BUCKETS]) -> u64 {
        let pairs = self.sums.iter().zip(sums).enumerate();
        pairs
            .filter(|(_, (ours, theirs))| ours != theirs)
            .fold(0, |bits, (index, _)| bits | 1 << index)
    }

    /// Returns the facts.
    pub fn facts(&self) -> &Ids {
        &self.held
    }

    fn count(&mut self, hash: FactHash, how: fn(FactHash, FactHash) -> FactHash) {
        let sum = &mut self.sums[bucket(hash)];
        *sum = how(*sum, hash);
    }
}

/// A set of facts, one bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids(Vec<u64>);

impl Ids {
    /// Returns whether the fact is one of them.
    pub fn contains(&self, id: FactId) -> bool {
        let word = self.0.get(id.index() / 64);
        word.is_some_and(|word| word >> (id.index() % 64) & 1 == 1)
    }

    /// Adds a fact; returns whether it was none of them.
    pub fn insert(&mut self, id: FactId) -> bool {
        let at = id.index() / 64;
        if at >= self.0.len() {
            self.0.resize(at + 1, 0);
        }
        let before = self.0[at];
        self.0[at] |= 1 << (id.index() % 64);
        self.0[at] != before
    }

    /// Removes a fact; returns whether it was one of them.
    pub fn remove(&mut self, id: FactId) -> bool {
        let Some(word) = self.0.get_mut(id.index() / 64) else {
            return false;
        };
        let before = *word;
        *word &= !(1 << (id.index() % 64));
        *word != before
    }

    /// Returns those that are in both.
    pub fn common<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = FactId> + 'a {
        let words = self.0.iter().zip(&other.0).map(|(ours, theirs)| ours & theirs);
        ids(words.enumerate())
    }

    /// Returns all.
    pub fn iter(&self) -> impl Iterator<Item = FactId> + '_ {
        ids(self.0.iter().copied().enumerate())
    }

    /// Returns how many there are at most, and so what a look at all of them costs.
    pub fn span(&self) -> usize {
        64 * self.0.len().max(1)
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn retain(&mut self, keep: impl Fn(FactId) -> bool) {
        let out: Vec<FactId> = self.iter().filter(|id| !keep(*id)).collect();
        for id in out {
            self.remove(id);
        }
    }
}

impl FromIterator<FactId> for Ids {
    fn from_iter<I: IntoIterator<Item = FactId>>(ids: I) -> Self {
        let mut set = Self::default();
        for id in ids {
            set.insert(id);
        }
        set
    }
}

fn ids(words: impl Iterator<Item = (usize, u64)>) -> impl Iterator<Item = FactId> {
    words.filter(|(_, word)| *word != 0).flat_map(|(at, word)| {
        let bits = (0..64).filter(move |bit| word >> bit & 1 == 1);
        bits.map(move |bit| FactId::from_index(at * 64 + bit))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const ALL: u64 = u64::MAX;

    fn hash(number: usize) -> FactHash {
        (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn id(number: usize) -> FactId {
        FactId::from_index(number)
    }

    #[test]
    fn equal_ledgers_have_equal_sums_however_they_came_about() {
        let (mut one, mut other) = (Ledger::default(), Ledger::default());
        (0..500).for_each(|number| one.enter(id(number), hash(number)));
        (0..600)
            .rev()
            .for_each(|number| other.enter(id(1000 + number), hash(number)));
        assert_ne!(one.sum(ALL), other.sum(ALL));
        (500..600).for_each(|number| assert!(other.strike(id(1000 + number), hash(number))));
        assert_eq!((one.sum(ALL), one.differing(other.sums())), (other.sum(ALL), 0));
    }

    #[test]
    fn a_difference_is_found_in_its_bucket_and_mended_there() {
        let (mut teller, mut hearer) = (Ledger::default(), Ledger::default());
        (0..500).for_each(|number| teller.enter(id(number), hash(number)));
        (0..500)
            .filter(|number| *number != 77)
            .for_each(|number| hearer.enter(id(number), hash(number)));
        let differing = teller.differing(hearer.sums());
        assert_eq!(differing, 1 << bucket(hash(77)));
        for ledger in [&mut teller, &mut hearer] {
            ledger.empty(differing, |id| Some(hash(id.index())));
        }
        assert_eq!(teller.sum(ALL), hearer.sum(ALL));
        assert!(!teller.contains(id(77)) && teller.contains(id(78)));
    }

    #[test]
    fn what_is_not_believed_counts_up_to_a_bound() {
        let mut ledger = Ledger::default();
        (0..2 * MAX_UNHELD).for_each(|number| ledger.enter_unheld(hash(number)));
        let full = ledger.sum(ALL);
        ledger.enter_unheld(hash(5 * MAX_UNHELD));
        assert_eq!(ledger.sum(ALL), full);
        (0..2 * MAX_UNHELD).for_each(|number| ledger.strike_unheld(hash(number)));
        assert_eq!(ledger.sum(ALL), 0);
    }

    #[test]
    fn facts_without_room_are_struck_once_there_is_some() {
        let mut ledger = Ledger::default();
        let subject = |number| PublicKey::from_bytes([number; 32]);
        ledger.enter_unheld(hash(1));
        ledger.enter_waiting(hash(2), subject(2));
        ledger.enter_waiting(hash(3), subject(3));
        assert!(ledger.waits() && !ledger.strike_waiting(|_| false));
        assert!(ledger.strike_waiting(|about| *about == subject(2)));
        assert_eq!(ledger.sum(ALL), hash(1).wrapping_add(hash(3)));
        assert!(ledger.strike_waiting(|_| true) && !ledger.waits());
        assert_eq!(ledger.sum(ALL), hash(1), "the fact that is not believed still counts");
    }

    proptest! {
        #[test]
        fn the_sums_are_those_of_what_is_in_it(steps in proptest::collection::vec((0..200usize, any::<bool>()), 0..300)) {
            let mut ledger = Ledger::default();
            let mut model = BTreeSet::new();
            for (number, enters) in steps {
                if enters {
                    ledger.enter(id(number), hash(number));
                    model.insert(number);
                } else {
                    prop_assert_eq!(ledger.strike(id(number), hash(number)), model.remove(&number));
                }
            }
            prop_assert_eq!(ledger.facts().iter().map(FactId::index).collect::<BTreeSet<_>>(), model.clone());
            let sum = model.iter().fold(0u64, |sum, number| sum.wrapping_add(hash(*number)));
            prop_assert_eq!(ledger.sum(ALL), sum);
        }
    }
}
