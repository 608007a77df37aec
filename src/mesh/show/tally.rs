//! Counts what may happen at any rate, by who did it and what it was, and reports it often enough to be seen and seldom enough not to
//! be a way to fill a disk.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::mesh::base::time::Timestamp;

/// How often one kind of one source is reported at most.
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// The most kinds that are counted apart of one source: what a peer says can be wrong in hundreds of ways, and none of them may cost
/// another peer its place.
pub const MAX_KINDS: usize = 64;
/// The most counters in all: a thousand peers with a few each.
pub const MAX_COUNTERS: usize = 4096;

/// A counter for each kind of event of each source.
#[derive(Debug)]
pub struct Tally<S, K> {
    sources: BTreeMap<S, BTreeMap<K, Count>>,
    counters: usize,
    uncounted: u64,
}

#[derive(Debug)]
struct Count {
    total: u64,
    unreported: u64,
    reported: Timestamp,
}

impl<S, K> Default for Tally<S, K> {
    fn default() -> Self {
        Self {
            sources: BTreeMap::new(),
            counters: 0,
            uncounted: 0,
        }
    }
}

impl<S: Ord, K: Ord> Tally<S, K> {
    /// Counts one more. Where a report is due, returns how many it stands for: this one and all since the last report. What there is
    /// no room for is not reported.
    pub fn count(&mut self, now: Timestamp, source: S, kind: K) -> Option<u64> {
        let kinds = self.sources.get_mut(&source);
        if let Some(count) = kinds.and_then(|kinds| kinds.get_mut(&kind)) {
            return count.again(now);
        }
        let known = self.sources.get(&source).map_or(0, BTreeMap::len);
        if known >= MAX_KINDS || self.counters >= MAX_COUNTERS && !self.make_room(known) {
            self.uncounted += 1;
            return None;
        }
        self.counters += 1;
        self.sources.entry(source).or_default().insert(kind, Count::first(now));
        Some(1)
    }

    /// Has the source with most kinds give one up for another source, which has so many; returns whether there is one that has more.
    fn make_room(&mut self, known: usize) -> bool {
        let heaviest = self.sources.values_mut().max_by_key(|kinds| kinds.len());
        let kinds = heaviest.filter(|kinds| kinds.len() > known + 1);
        let Some((_, count)) = kinds.and_then(BTreeMap::pop_last) else {
            return false;
        };
        self.uncounted += count.total;
        self.counters -= 1;
        true
    }

    /// Returns how often each kind of each source occurred.
    pub fn totals(&self) -> impl Iterator<Item = (&S, &K, u64)> {
        let of = |(source, kinds)| kinds_of(source, kinds);
        self.sources.iter().flat_map(of)
    }

    /// Returns how often something occurred that there was no room to tell apart.
    pub fn uncounted(&self) -> u64 {
        self.uncounted
    }

    /// Forgets sources, so that others have room.
    pub fn retain(&mut self, is_kept: impl Fn(&S) -> bool) {
        self.sources.retain(|source, _| is_kept(source));
        self.counters = self.sources.values().map(BTreeMap::len).sum();
    }
}

fn kinds_of<'a, S, K>(source: &'a S, kinds: &'a BTreeMap<K, Count>) -> impl Iterator<Item = (&'a S, &'a K, u64)> {
    kinds.iter().map(move |(kind, count)| (source, kind, count.total))
}

impl Count {
    fn first(now: Timestamp) -> Self {
        Self {
            total: 1,
            unreported: 0,
            reported: now,
        }
    }

    fn again(&mut self, now: Timestamp) -> Option<u64> {
        self.total += 1;
        self.unreported += 1;
        (now.since(self.reported) >= REPORT_EVERY).then(|| {
            self.reported = now;
            std::mem::take(&mut self.unreported)
        })
    }
}

/// Lets so many lines of one sort through in a minute.
#[derive(Debug, Default)]
pub struct Ration {
    taken: u32,
    since: Option<Timestamp>,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portion {
    /// It may be told.
    Granted,
    /// It may not, the first in this minute: that there are more may be told.
    Last,
    /// It may not.
    Spent,
}

/// How many lines of one sort are told in a minute.
const PORTIONS: u32 = 32;

impl Ration {
    /// Asks for one more.
    pub fn take(&mut self, now: Timestamp) -> Portion {
        if self.since.is_none_or(|since| now.since(since) >= REPORT_EVERY) {
            self.since = Some(now);
            self.taken = 0;
        }
        self.taken = self.taken.saturating_add(1);
        match self.taken {
            0..=PORTIONS => Portion::Granted,
            taken if taken == PORTIONS + 1 => Portion::Last,
            _ => Portion::Spent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_flood_of_one_kind_is_reported_once_a_minute() {
        let mut tally = Tally::default();
        let reports: Vec<_> = (0..=120)
            .filter_map(|second| tally.count(at(second), "peer", "flood"))
            .collect();
        assert_eq!(reports, [1, 60, 60]);
        assert_eq!(tally.totals().collect::<Vec<_>>(), [(&"peer", &"flood", 121)]);
        assert_eq!(tally.count(at(121), "peer", "other"), Some(1));
        assert_eq!(tally.count(at(121), "another peer", "flood"), Some(1));
    }

    #[test]
    fn one_source_cannot_take_the_room_of_another() {
        let mut tally = Tally::default();
        let reported = (0..1000).filter(|kind| tally.count(at(1), "liar", *kind).is_some());
        assert_eq!(reported.count(), MAX_KINDS);
        assert_eq!(
            (tally.totals().count(), tally.uncounted()),
            (MAX_KINDS, 1000 - MAX_KINDS as u64)
        );
        assert_eq!(tally.count(at(1), "honest", 7), Some(1));
    }

    #[test]
    fn there_are_so_many_counters_in_all_and_who_is_gone_leaves_its_own() {
        let mut tally = Tally::default();
        for source in 0..2 * MAX_COUNTERS {
            let _ = tally.count(at(1), source, "x");
        }
        assert_eq!(tally.totals().count(), MAX_COUNTERS);
        tally.retain(|source| *source > 10);
        assert_eq!(tally.count(at(1), 2 * MAX_COUNTERS, "x"), Some(1));
    }

    #[test]
    fn many_sources_with_all_their_kinds_leave_room_for_another() {
        let mut tally = Tally::default();
        for source in 0..200 {
            (0..MAX_KINDS).for_each(|kind| {
                let _ = tally.count(at(1), source, kind);
            });
        }
        assert_eq!(tally.totals().count(), MAX_COUNTERS);
        assert!((0..5).all(|kind| tally.count(at(1), 1000, kind) == Some(1)));
        assert_eq!(tally.totals().count(), MAX_COUNTERS);
    }

    #[test]
    fn so_many_are_told_in_a_minute_and_that_there_were_more() {
        let mut ration = Ration::default();
        let mut told = |second| {
            let portions: Vec<_> = (0..100).map(|_| ration.take(at(second))).collect();
            [Portion::Granted, Portion::Last].map(|kind| portions.iter().filter(|portion| **portion == kind).count())
        };
        assert_eq!(told(0), [PORTIONS as usize, 1]);
        assert_eq!(told(59), [0, 0]);
        assert_eq!(told(60), [PORTIONS as usize, 1]);
    }
}
