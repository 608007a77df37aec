//! A link that was up and is not answered: whether WireGuard still hears the peer, though its daemon does not answer.
//!
//! WireGuard answers data within 10 s, by a keepalive where there is nothing else to say (WireGuard paper, 6.5). So the counter of
//! received bytes tells a machine that is gone from one on which only wirelink is.

use std::time::Duration;

use super::{Link, State};
use crate::mesh::base::time::Timestamp;

/// How long a peer counts as heard after bytes of it were counted: a heartbeat goes out every 5 s at least, and is answered after 10 s.
const HEARD_FOR: Duration = Duration::from_secs(16);

/// How long a peer that said that the direct path is not to be used any more, as one does that is stopped, counts as reached: by then
/// WireGuard there has answered what it was sent.
const SAID_FAREWELL_FOR: Duration = Duration::from_secs(12);

/// What WireGuard received on a suspect link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    bytes: u64,
    /// When the counter was seen to grow.
    grew: Option<Timestamp>,
}

impl Link {
    /// Takes in how many bytes WireGuard received from the peer.
    pub fn count_received(&mut self, now: Timestamp, bytes: u64) {
        if !matches!(self.state, State::Suspect(_)) {
            self.received = None;
            return;
        }
        let received = self.received.get_or_insert(Received { bytes, grew: None });
        if bytes != received.bytes {
            *received = Received { bytes, grew: Some(now) };
        }
    }

    /// Returns whether nothing comes back on a link that worked, by any means: its session counts for nothing, however young the
    /// handshake is.
    pub fn is_silent(&self, now: Timestamp) -> bool {
        matches!(self.state, State::Suspect(_))
            && !self.works_again(now)
            && !self.is_still_received(now)
            && !self.said_farewell(now)
    }

    fn said_farewell(&self, now: Timestamp) -> bool {
        let agreement = self.agreement.as_ref().filter(|_| self.agrees);
        agreement.is_some_and(|agreement| agreement.is_refused()) && now.since(self.since) < SAID_FAREWELL_FOR
    }

    /// Returns whether WireGuard receives something from a peer that answers nothing.
    pub fn is_still_received(&self, now: Timestamp) -> bool {
        let grew = self.received.and_then(|received| received.grew);
        grew.is_some_and(|at| now.since(at) < HEARD_FOR)
    }
}
