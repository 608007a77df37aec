//! A link that carried traffic when the last run of this node ended, and of which this run knows nothing yet.
//!
//! The other side goes on as before while this one is away, so nothing moves until both know how the link is; what only one side moves
//! is lost.

use std::time::Duration;

use super::contact::Contact;
use super::{Link, State};
use crate::mesh::time::Timestamp;

/// How long traffic goes on to take the way that it took when the last run ended, until it is known how that is: the peer must hear that
/// we are there again, and answer a heartbeat.
const RESUMED_FOR: Duration = Duration::from_secs(10);

impl Link {
    /// Has traffic go on to take this way, as it did when the last run ended, until it is known how it is.
    pub fn resume(&mut self, now: Timestamp) {
        self.resumed = Some(now + RESUMED_FOR);
    }

    /// Lets go of what was resumed, where nothing speaks for it any more, or it is known how the link is.
    pub(super) fn judge_resumed(&mut self, now: Timestamp, contact: &Contact) {
        let agreement = self.agreement.as_ref().filter(|_| self.agrees);
        let is_known = match self.state {
            State::Up => agreement.is_none_or(|agreement| agreement.is_agreed()),
            State::Suspect(_) => true,
            State::Idle | State::Probing => false,
        };
        let is_refused = agreement.is_some_and(|agreement| agreement.is_refused());
        self.resumed = self
            .resumed
            .filter(|until| now < *until && contact.is_healthy(now) && !is_known && !is_refused);
    }
}
