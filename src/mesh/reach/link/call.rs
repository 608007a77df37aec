//! A peer that calls for probes although the link looks up here: the peer moved, or its NAT did, and it does not reach this node.
//!
//! A heartbeat of a quiet link would show that up to 25 s later. Only the peer itself can call, and a peer that calls in vain has
//! its own candidates probed, no more often than one that is looked for.

use std::time::Duration;

use super::{Contact, Link, State};
use crate::mesh::base::time::Timestamp;

/// How long a peer is probed after it called, unless its link is found to be down.
const CALLED_FOR: Duration = Duration::from_secs(3);
/// How often a call counts.
const CALL_EVERY: Duration = Duration::from_secs(5);

impl Link {
    /// Takes in that the peer calls for probes, because it says that the link is down; returns whether there is something to do.
    pub fn hear_call(&mut self, now: Timestamp) -> bool {
        let is_news = self.is_up() && self.called.is_none_or(|at| now.since(at) >= CALL_EVERY);
        if is_news {
            self.called = Some(now);
            if let Some(pulse) = &mut self.pulse {
                pulse.challenge(now);
            }
        }
        is_news
    }

    /// Returns whether the peer is to be probed: it is not reached, or says that it does not reach this node.
    pub fn is_sought(&self, now: Timestamp, contact: &Contact) -> bool {
        match self.state {
            State::Probing => !contact.is_healthy(now),
            State::Suspect(_) => true,
            State::Up => self.is_called(now),
            State::Idle => false,
        }
    }

    /// Returns whether the peer called a moment ago.
    pub(super) fn is_called(&self, now: Timestamp) -> bool {
        self.is_up() && self.call_ends(now).is_some()
    }

    /// Returns when a call that counts is over.
    pub(super) fn call_ends(&self, now: Timestamp) -> Option<Timestamp> {
        self.called.map(|at| at + CALLED_FOR).filter(|until| now < *until)
    }
}
