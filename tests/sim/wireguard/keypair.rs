//! The sessions of a peer, and what is left of a handshake under way.

use std::time::Duration;

use wirelink::mesh::base::time::Timestamp;

use super::message::Window;
use super::rules::REJECT_AFTER_TIME;

/// One session (`noise.h`, `struct noise_keypair`).
#[derive(Clone, Debug)]
pub(super) struct Keypair {
    /// Its number, the same on both sides.
    pub(super) session: u64,
    /// Whether this side opened it: only then does it renew it.
    pub(super) initiator: bool,
    /// When it was made here.
    pub(super) born: Timestamp,
    /// How many messages were sent with it.
    pub(super) sent: u64,
    /// Which messages were received with it.
    pub(super) received: Window,
}

impl Keypair {
    /// Starts a session.
    pub(super) fn new(session: u64, initiator: bool, now: Timestamp) -> Self {
        Self {
            session,
            initiator,
            born: now,
            sent: 0,
            received: Window::default(),
        }
    }

    /// Returns whether it is too old to be used either way (paper, 6.1).
    pub(super) fn is_rejected(&self, now: Timestamp) -> bool {
        self.is_older(REJECT_AFTER_TIME, now)
    }

    /// Returns whether this side opened it, it can still be used, and is older than `age`.
    pub(super) fn needs_renewal(&self, age: Duration, now: Timestamp) -> bool {
        self.initiator && !self.is_rejected(now) && self.is_older(age, now)
    }

    fn is_older(&self, age: Duration, now: Timestamp) -> bool {
        self.born + age <= now
    }
}

/// The up to three sessions of a peer (`noise.h`, `struct noise_keypairs`; paper, 6.3).
#[derive(Clone, Debug, Default)]
pub(super) struct Keypairs {
    /// The one before: what was sent with it may still be under way.
    previous: Option<Keypair>,
    /// The one to send with.
    pub(super) current: Option<Keypair>,
    /// The one that the other side opened and has not used yet.
    next: Option<Keypair>,
}

impl Keypairs {
    /// Takes a new session in (`noise.c`, `add_new_keypair`). The initiator's is confirmed by the response and used at once;
    /// the responder's waits for the first data, and costs what waited before it, and the previous one.
    pub(super) fn add(&mut self, new: Keypair) {
        if new.initiator {
            self.previous = self.next.take().or(self.current.take());
            self.current = Some(new);
        } else {
            self.next = Some(new);
            self.previous = None;
        }
    }

    /// Returns the session of this number, whichever of the three it is.
    pub(super) fn find(&mut self, session: u64) -> Option<&mut Keypair> {
        let all = [&mut self.previous, &mut self.current, &mut self.next];
        all.into_iter().flatten().find(|keypair| keypair.session == session)
    }

    /// Takes note that data came with a session, and returns whether that confirmed it (`noise.c`,
    /// `wg_noise_received_with_keypair`): the next becomes the current one.
    pub(super) fn confirm(&mut self, session: u64) -> bool {
        if self.next.as_ref().is_none_or(|next| next.session != session) {
            return false;
        }
        self.previous = self.current.take();
        self.current = self.next.take();
        true
    }
}
