//! A link that carried traffic when the last run of this node ended, and of which this run knows nothing yet.
//!
//! The other side goes on as before while this one is away, so nothing moves until both know how the link is; what only one side moves
//! is lost.

use std::time::Duration;

use super::contact::Contact;
use super::{Link, State};
use crate::mesh::base::time::Timestamp;

/// How long it goes on so each time that bytes came from a peer of which nothing else is heard: a daemon of wirelink v1 that ended leaves
/// its device sending directly, and WireGuard answers each of our signs of life, every 30 s, within 10 s.
const SUSTAINED_FOR: Duration = Duration::from_secs(60);

/// Until when traffic goes on to take the way that it took when the last run ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resumed {
    pub(super) until: Timestamp,
    /// What WireGuard had taken from the peer when that was decided, once it was looked at.
    heard_bytes: Option<u64>,
    is_sustained: bool,
}

/// How long traffic goes on to take the way that it took when the last run ended, until it is known how that is: the peer must hear that
/// we are there again, and answer a heartbeat.
const RESUMED_FOR: Duration = Duration::from_secs(10);

impl Resumed {
    /// Goes on until its time is over, and longer where bytes came from a peer that was not heard since the start.
    fn sustain(self, now: Timestamp, contact: &Contact) -> Option<Self> {
        let before = *self.heard_bytes.as_ref().unwrap_or(&contact.heard_bytes);
        let heard_bytes = Some(before);
        if now < self.until {
            return Some(Self { heard_bytes, ..self });
        }
        let sends = contact.liveness.is_none() && contact.heard_bytes > before;
        sends.then_some(Self {
            until: now + SUSTAINED_FOR,
            heard_bytes: Some(contact.heard_bytes),
            is_sustained: true,
        })
    }
}

impl Link {
    /// Has traffic go on to take this way, as it did when the last run ended, until it is known how it is.
    pub fn resume(&mut self, now: Timestamp) {
        self.resumed = Some(Resumed {
            until: now + RESUMED_FOR,
            heard_bytes: None,
            is_sustained: false,
        });
    }

    /// Returns whether traffic takes this way only because WireGuard shows that the other side sends on it.
    pub fn is_sustained(&self) -> bool {
        self.resumed.is_some_and(|resumed| resumed.is_sustained)
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
        let resumed = self
            .resumed
            .filter(|_| contact.is_healthy(now) && !is_known && !is_refused);
        self.resumed = resumed.and_then(|resumed| resumed.sustain(now, contact));
    }
}
