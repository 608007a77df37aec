//! A link that failed is not trusted again at once: ever later, the more often it failed.

use std::time::Duration;

use super::pulse::Pulse;
use super::{Link, State};
use crate::mesh::base::time::Timestamp;

/// How long a link is not trusted again after it failed, the first time, the second, and so on.
const HOLDS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
];
/// After how long without a failure all are forgotten.
pub(super) const STABLE: Duration = Duration::from_secs(60);

impl Link {
    /// Returns whether it works again, and failed so often lately that it is not used yet.
    pub fn is_held(&self, now: Timestamp) -> bool {
        now < self.not_before && self.works_again(now)
    }

    /// Returns whether an answer came since the link became suspect.
    pub(super) fn works_again(&self, now: Timestamp) -> bool {
        let works = |pulse: &Pulse| pulse.is_proven(now) && !self.was_proven_before(pulse);
        self.pulse.as_deref().is_some_and(works)
    }

    /// Has a link that fails again and again wait ever longer before it is used.
    pub(super) fn note_failure(&mut self, now: Timestamp) {
        let was_stable = now.since(self.since) >= STABLE;
        self.failures = if was_stable {
            0
        } else {
            (self.failures + 1).min(HOLDS.len() as u8 - 1)
        };
        self.not_before = now + HOLDS[usize::from(self.failures)];
    }

    /// Returns whether the last answer is from before the link became suspect: it shows nothing of what is so since.
    pub(super) fn was_proven_before(&self, pulse: &Pulse) -> bool {
        matches!(self.state, State::Suspect(_)) && pulse.echoed().is_some_and(|at| at < self.since)
    }
}
