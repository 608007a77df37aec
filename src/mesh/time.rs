//! Time as the core sees it: an argument, never something it reads.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment on a clock that starts at boot, never steps, and counts the time a machine is suspended (`CLOCK_BOOTTIME`).
///
/// Only the shell makes them from a clock; two of different machines cannot be compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(Duration);

impl Timestamp {
    /// The start of the clock.
    pub const START: Self = Self(Duration::ZERO);

    /// Returns the moment `since_start` after the start of the clock.
    pub const fn from_start(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// Returns the time from the start of the clock to this moment.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// Returns how much later this moment is than `earlier`; zero where it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates: no duration that a peer or an operator names can overflow the clock.
    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(after))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at [`Timestamp::START`].
    fn sub(self, before: Duration) -> Self {
        Self(self.0.saturating_sub(before))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.0.as_secs_f64())
    }
}

/// When the node next has something to do, and what: the shell sleeps until then, the state dump shows why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// The moment from which `Input::Timeout` does the work.
    pub at: Timestamp,
    /// The part of the node that asked for it.
    pub why: Why,
}

/// The reason of a [`Deadline`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// News came in and waits for more to come, at most [`DEBOUNCE`](crate::mesh::settings::DEBOUNCE).
    News,
    /// A fact in the store expires.
    Expiry,
    /// A peer is about to forget a fact, or is owed a sign of life.
    Gossip,
    /// A link leaves its state, or its next handshake slot begins.
    Link,
    /// A removal may become due.
    Membership,
    /// WireGuard announces no change of a peer: it is looked at again.
    DeviceLook,
}
