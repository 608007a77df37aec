//! What one peer knows without a ledger, and until when: a v1 node, and of all peers what lives only for a short time.

use std::time::Duration;

use crate::mesh::fact::store::FactId;
use crate::mesh::settings::FACT_TTL;
use crate::mesh::time::Timestamp;

/// How long before a peer forgets a fact it is told again: half its life and one look of a v1 node (wirelink v1).
pub const RENEW_BEFORE: Duration = Duration::from_millis(FACT_TTL.as_millis() as u64 / 2 + 5000);

/// How much longer our copy must live to be worth telling: clocks and whole seconds differ.
const WORTHWHILE: Duration = Duration::from_secs(2);

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
        let until = u32::try_from(until.since_start().as_secs()).unwrap_or(u32::MAX);
        let known = &mut self.0[id.index()];
        *known = until.max(*known);
    }

    /// Returns from when on the peer should be told a fact that lives until `expires`, or `None` where that is no use now.
    pub fn due(&self, id: FactId, expires: Timestamp) -> Option<Timestamp> {
        match self.0.get(id.index()).copied() {
            None | Some(0) => Some(Timestamp::START),
            Some(known) => {
                let known = Timestamp::from_start(Duration::from_secs(known.into()));
                (known + WORTHWHILE < expires).then(|| known - RENEW_BEFORE)
            }
        }
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

    /// Drops what the peer has forgotten by itself; returns whether anything is left.
    pub fn prune(&mut self, now: Timestamp) -> bool {
        let now = now.since_start().as_secs();
        let forgotten = self.0.iter_mut().filter(|until| u64::from(**until) <= now);
        forgotten.for_each(|until| *until = 0);
        let is_known = |until: &u32| *until != 0;
        self.0
            .truncate(self.0.iter().rposition(is_known).map_or(0, |last| last + 1));
        !self.0.is_empty()
    }
}
