//! Failures that may repeat with every deadline, logged often enough to be seen.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::mesh::time::Timestamp;

const EVERY: Duration = Duration::from_secs(60);

/// When each kind of failure was last logged.
#[derive(Debug, Default)]
pub(super) struct Complaints(BTreeMap<&'static str, (Timestamp, u64)>);

impl Complaints {
    /// Logs a failure, unless one of its kind was logged less than a minute ago.
    pub(super) fn warn(&mut self, now: Timestamp, kind: &'static str, failure: impl fmt::Display) {
        match self.count(now, kind) {
            None => {}
            Some(0) => tracing::warn!("{failure}"),
            Some(hidden) => tracing::warn!("{failure} ({hidden} times more since the last such line)"),
        }
    }

    /// Returns how many were not logged, where this one should be.
    fn count(&mut self, now: Timestamp, kind: &'static str) -> Option<u64> {
        let Some((logged, hidden)) = self.0.get_mut(kind) else {
            self.0.insert(kind, (now, 0));
            return Some(0);
        };
        if now.since(*logged) < EVERY {
            *hidden += 1;
            return None;
        }
        *logged = now;
        Some(std::mem::take(hidden))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_repeats_is_logged_once_a_minute() {
        let mut complaints = Complaints::default();
        let at = |seconds| Timestamp::from_start(Duration::from_secs(seconds));
        let logged: Vec<_> = (0..=60)
            .filter_map(|second| complaints.count(at(second), "apply"))
            .collect();
        assert_eq!(logged, [0, 59]);
        assert_eq!(complaints.count(at(61), "read"), Some(0));
    }
}
