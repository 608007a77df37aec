//! What one peer knows without a ledger, and until when: a v1 node, and of all peers what lives only for a short time.

use std::time::Duration;

use crate::mesh::base::settings::FACT_TTL;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::store::FactId;

/// How long before a peer forgets a fact it is told again: half its life and one look of a v1 node (wirelink v1).
pub const RENEW_BEFORE: Duration = Duration::from_millis(FACT_TTL.as_millis() as u64 / 2 + 5000);

/// How many seconds longer our copy must live to be worth telling: clocks and whole seconds differ.
pub(super) const WORTHWHILE: u32 = 2;

/// The knowledge of one peer: by fact the second until which it is known, 0 for those that are not. Four bytes each, because a
/// router with a thousand v1 leaves keeps this for each of its facts a thousand times.
#[derive(Debug, Default)]
pub struct Knowledge(Vec<u32>);

impl Knowledge {
    /// Notes that the peer knows the fact until then.
    pub fn learn(&mut self, id: FactId, until: Timestamp) {
        if self.0.len() <= id.index() {
            self.0.resize(id.index() + 1, 0);
        }
        let until = seconds(until);
        let known = &mut self.0[id.index()];
        *known = until.max(*known);
    }

    /// Returns the second until which the peer knows the fact, 0 where it does not.
    pub fn until(&self, id: FactId) -> u32 {
        self.0.get(id.index()).copied().unwrap_or(0)
    }

    /// Returns whether nothing was ever learnt, or all of it was dropped.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets about a fact, whose name another one may get.
    pub fn forget(&mut self, id: FactId) {
        if let Some(known) = self.0.get_mut(id.index()) {
            *known = 0;
        }
    }

    /// Drops what the peer has forgotten by itself.
    pub fn prune(&mut self, now: Timestamp) {
        let now = seconds(now);
        let forgotten = self.0.iter_mut().filter(|until| **until <= now);
        forgotten.for_each(|until| *until = 0);
        let is_known = |until: &u32| *until != 0;
        self.0
            .truncate(self.0.iter().rposition(is_known).map_or(0, |last| last + 1));
    }
}

/// Returns the whole seconds from the start of the clock, 136 years at most.
pub(super) fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.since_start().as_secs()).unwrap_or(u32::MAX)
}
