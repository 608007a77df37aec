//! What one peer knows, and until when: what it was told, and what it said.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::mesh::fact::store::FactId;
use crate::mesh::settings::FACT_TTL;
use crate::mesh::time::Timestamp;

/// How long before a peer forgets a fact it is told again: half its life and one look of a v1 node (wirelink v1).
pub const RENEW_BEFORE: Duration = Duration::from_millis(FACT_TTL.as_millis() as u64 / 2 + 5000);

/// How much longer our copy must live to be worth telling: clocks and whole seconds differ.
const WORTHWHILE: Duration = Duration::from_secs(2);

/// The knowledge of one peer.
#[derive(Debug, Default)]
pub struct Knowledge(BTreeMap<FactId, Timestamp>);

impl Knowledge {
    /// Notes that the peer knows the fact until then.
    pub fn learn(&mut self, id: FactId, until: Timestamp) {
        let known = self.0.entry(id).or_insert(until);
        *known = until.max(*known);
    }

    /// Returns from when on the peer should be told a fact that lives until `expires`, or `None` where that is no use now.
    pub fn due(&self, id: FactId, expires: Timestamp) -> Option<Timestamp> {
        match self.0.get(&id) {
            None => Some(Timestamp::START),
            Some(known) if *known + WORTHWHILE < expires => Some(*known - RENEW_BEFORE),
            Some(_) => None,
        }
    }

    /// Drops what the peer has forgotten by itself.
    pub fn prune(&mut self, now: Timestamp) {
        self.0.retain(|_, until| *until > now);
    }
}
