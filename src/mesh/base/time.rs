//! Time as the core sees it: an argument, never something it reads.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment on a clock that starts at boot, never steps, and counts the time a machine is suspended (`CLOCK_BOOTTIME`).
///
/// Only the shell makes them from a clock; two of different machines cannot be compared. It reaches 584 years far and saturates there.
///
/// Inside are nanoseconds and one more, so that a moment that may be missing takes no more room: nodes keep many for each peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NonZeroU64);

impl Timestamp {
    /// The start of the clock.
    pub const START: Self = Self(NonZeroU64::MIN);

    /// Returns the moment `since_start` after the start of the clock.
    pub const fn from_start(since_start: Duration) -> Self {
        let nanoseconds = since_start.as_nanos();
        let nanoseconds = if nanoseconds < u64::MAX as u128 {
            nanoseconds as u64
        } else {
            u64::MAX
        };
        Self(NonZeroU64::MIN.saturating_add(nanoseconds))
    }

    /// Returns the time from the start of the clock to this moment.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0.get() - 1)
    }

    /// Returns how much later this moment is than `earlier`; zero where it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::START
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates: no duration that a peer or an operator names can overflow the clock.
    fn add(self, after: Duration) -> Self {
        Self::from_start(self.since_start().saturating_add(after))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at [`Timestamp::START`].
    fn sub(self, before: Duration) -> Self {
        Self::from_start(self.since_start().saturating_sub(before))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.since_start().as_secs_f64())
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
    /// News came in and waits for more to come, at most [`DEBOUNCE`](crate::mesh::base::settings::DEBOUNCE).
    News,
    /// A fact in the store expires.
    Expiry,
    /// A peer is about to forget a fact, or is owed a sign of life.
    Gossip,
    /// A link leaves its state, or its next handshake slot begins.
    Link,
    /// Probes are due; the device needs no look for them.
    Probe,
    /// A removal may become due.
    Membership,
    /// What is remembered is written down.
    Memory,
    /// WireGuard announces no change of a peer: it is looked at again.
    DeviceLook,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_takes_eight_bytes_and_so_does_one_that_may_be_missing() {
        assert_eq!((size_of::<Timestamp>(), size_of::<Option<Timestamp>>()), (8, 8));
    }

    #[test]
    fn it_counts_nanoseconds_and_saturates_at_both_ends() {
        let after = Duration::new(7, 123_456_789);
        assert_eq!(Timestamp::from_start(after).since_start(), after);
        assert_eq!((Timestamp::START + after).since(Timestamp::START), after);
        assert_eq!(Timestamp::START - after, Timestamp::START);
        assert_eq!(Timestamp::START.since(Timestamp::from_start(after)), Duration::ZERO);
        let end = Timestamp::from_start(Duration::MAX);
        assert_eq!(end + after, end);
        assert!(Timestamp::from_start(after) < end && end - after < end);
    }
}
