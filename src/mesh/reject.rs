//! Counts what is not believed, and reports it often enough to be seen and seldom enough not to be a way to fill a disk.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::RejectReason;
use super::time::Timestamp;

/// How often one reason is reported at most.
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// The most reasons that are counted apart; some of them carry a byte that the sender chose.
const MAX_REASONS: usize = 256;

/// A counter for each reason.
#[derive(Debug, Default)]
pub struct Rejections(BTreeMap<RejectReason, Count>);

#[derive(Debug)]
struct Count {
    total: u64,
    unreported: u64,
    reported: Timestamp,
}

impl Rejections {
    /// Counts one more; returns how many should be reported now, if any should.
    pub fn count(&mut self, now: Timestamp, reason: RejectReason) -> Option<u64> {
        if let Some(count) = self.0.get_mut(&reason) {
            count.total += 1;
            count.unreported += 1;
            return (now.since(count.reported) >= REPORT_EVERY).then(|| {
                count.reported = now;
                std::mem::take(&mut count.unreported)
            });
        }
        if self.0.len() >= MAX_REASONS {
            return None;
        }
        self.0.insert(
            reason,
            Count {
                total: 1,
                unreported: 0,
                reported: now,
            },
        );
        Some(1)
    }

    /// Returns how often each reason occurred.
    pub fn totals(&self) -> impl Iterator<Item = (RejectReason, u64)> {
        self.0.iter().map(|(reason, count)| (*reason, count.total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_reason_is_reported_once_a_minute() {
        let mut rejections = Rejections::default();
        let at = |seconds| Timestamp::from_start(Duration::from_secs(seconds));
        let reports: Vec<_> = (0..=120)
            .filter_map(|second| rejections.count(at(second), RejectReason::Stranger))
            .collect();
        assert_eq!(reports, [1, 60, 60]);
        assert_eq!(rejections.totals().collect::<Vec<_>>(), [(RejectReason::Stranger, 121)]);
    }
}
