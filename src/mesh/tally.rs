//! Counts what may happen at any rate, and reports it often enough to be seen and seldom enough not to be a way to fill a disk.

use std::collections::BTreeMap;
use std::time::Duration;

use super::time::Timestamp;

/// How often one kind is reported at most.
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// The most kinds that are counted apart; what a peer says can be wrong in as many ways as a byte has values.
const MAX_KINDS: usize = 256;

/// A counter for each kind of event.
#[derive(Debug)]
pub struct Tally<K>(BTreeMap<K, Count>);

#[derive(Debug)]
struct Count {
    total: u64,
    unreported: u64,
    reported: Timestamp,
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Tally<K> {
    /// Counts one more. Where a report is due, returns how many it stands for: this one and all since the last report.
    pub fn count(&mut self, now: Timestamp, kind: K) -> Option<u64> {
        if let Some(count) = self.0.get_mut(&kind) {
            count.total += 1;
            count.unreported += 1;
            return (now.since(count.reported) >= REPORT_EVERY).then(|| {
                count.reported = now;
                std::mem::take(&mut count.unreported)
            });
        }
        if self.0.len() >= MAX_KINDS {
            return None;
        }
        let first = Count {
            total: 1,
            unreported: 0,
            reported: now,
        };
        self.0.insert(kind, first);
        Some(1)
    }

    /// Returns how often each kind occurred.
    pub fn totals(&self) -> impl Iterator<Item = (&K, u64)> {
        self.0.iter().map(|(kind, count)| (kind, count.total))
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
            .filter_map(|second| tally.count(at(second), "flood"))
            .collect();
        assert_eq!(reports, [1, 60, 60]);
        assert_eq!(tally.totals().collect::<Vec<_>>(), [(&"flood", 121)]);
        assert_eq!(tally.count(at(121), "other"), Some(1));
    }

    #[test]
    fn kinds_are_counted_up_to_a_bound() {
        let mut tally = Tally::default();
        let reported = (0..1000).filter(|kind| tally.count(at(1), *kind).is_some()).count();
        assert_eq!((reported, tally.totals().count()), (MAX_KINDS, MAX_KINDS));
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
