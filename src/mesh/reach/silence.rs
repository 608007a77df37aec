//! A session on which nobody answers: what WireGuard itself counts tells it long before the handshake is too old.
//!
//! WireGuard answers data within 10 s, by a keepalive where there is nothing else to say, and handshakes at once (WireGuard paper, 6.5):
//! so does a peer of any kind, also one that runs no wirelink. Who was sent data and is not heard for longer is gone, or never got it.

use std::time::Duration;

use crate::mesh::base::time::Timestamp;

/// How long an answer may take: keepalive timeout, and 2 s for the way.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);
/// How long a peer that should be watched may be quiet before it is sent something that it has to answer.
const QUIET: Duration = Duration::from_secs(10);
/// How much longer it takes until nothing but a dead session explains it: WireGuard begins a handshake 15 s after data that was not
/// answered (paper, 6.2), and one lost packet alone is made up for by that.
const CONFIRMED_AFTER: Duration = Duration::from_secs(8);
/// Counters that were not looked at for longer than this say nothing: the machine slept, and answers came to nobody.
const GAP: Duration = Duration::from_secs(15);
/// A keepalive, which has no answer: the header and the tag of a message without data.
const KEEPALIVE_BYTES: u64 = 32;

/// What WireGuard counted of one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes received.
    pub heard: u64,
    /// Bytes sent.
    pub sent: u64,
    /// The persistent keepalive interval.
    pub keepalive: Option<Duration>,
}

/// Since when one peer is not heard, and whether it should have been.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    looked: Timestamp,
    /// When it was heard last, and what was counted then.
    heard: (Timestamp, Counters),
    /// Since when data waits for an answer.
    unanswered: Option<Timestamp>,
    knocked: Option<Timestamp>,
}

impl Silence {
    /// Begins to watch.
    pub fn new(now: Timestamp, counters: Counters) -> Self {
        Self {
            looked: now,
            heard: (now, counters),
            unanswered: None,
            knocked: None,
        }
    }

    /// Takes in what is counted now.
    pub fn observe(&mut self, now: Timestamp, counters: Counters) {
        let slept = now.since(self.looked) > GAP;
        self.looked = now;
        let (since, then) = self.heard;
        if slept || counters.heard != then.heard || counters.sent < then.sent {
            *self = Self::new(now, counters);
        } else if self.unanswered.is_none() && counters.sent - then.sent > unanswerable(now.since(since), counters) {
            self.unanswered = Some(now);
        }
    }

    /// Returns whether the peer should have answered by now, and has not.
    pub fn is_certain(&self, now: Timestamp) -> bool {
        self.certain_at().is_some_and(|at| at <= now)
    }

    /// Returns whether the handshake that WireGuard begins of itself would have been answered by now, too.
    pub fn is_confirmed(&self, now: Timestamp) -> bool {
        self.certain_at().is_some_and(|at| at + CONFIRMED_AFTER <= now)
    }

    /// Returns whether the peer should be sent something, because nothing else would tell whether it is there; counts on that.
    pub fn knock(&mut self, now: Timestamp) -> bool {
        let due = self.unanswered.is_none() && self.knock_at() <= now;
        if due {
            self.knocked = Some(now);
        }
        due
    }

    /// Returns when there is more to be said: about one that is to be `watched`, or only about one that was sent data.
    pub fn next(&self, watched: bool) -> Option<Timestamp> {
        match self.certain_at() {
            Some(at) => Some(at),
            None => watched.then(|| self.knock_at()),
        }
    }

    fn certain_at(&self) -> Option<Timestamp> {
        self.unanswered.map(|since| since + ANSWER_WITHIN)
    }

    fn knock_at(&self) -> Timestamp {
        self.knocked.unwrap_or(self.heard.0) + QUIET
    }
}

/// Returns how many bytes may be sent in some time without being data: keepalives, of which one may answer what was heard last.
fn unanswerable(time: Duration, counters: Counters) -> u64 {
    let every = counters
        .keepalive
        .map_or(u64::MAX, |interval| interval.as_secs().max(1));
    KEEPALIVE_BYTES * (2 + time.as_secs() / every)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(seconds))
    }

    fn counted(heard: u64, sent: u64) -> Counters {
        let keepalive = Some(Duration::from_secs(25));
        Counters { heard, sent, keepalive }
    }

    #[test]
    fn data_without_an_answer_is_silence_after_twelve_seconds() {
        let mut silence = Silence::new(at(0), counted(500, 500));
        silence.observe(at(5), counted(500, 700));
        assert_eq!(silence.next(false), Some(at(17)));
        silence.observe(at(10), counted(500, 900));
        assert!(!silence.is_certain(at(16)) && silence.is_certain(at(17)));
        silence.observe(at(20), counted(532, 900));
        assert!(!silence.is_certain(at(20)), "a keepalive is an answer");
    }

    #[test]
    fn keepalives_need_no_answer() {
        let mut silence = Silence::new(at(0), counted(500, 500));
        for second in 1..3600 {
            silence.observe(at(second), counted(500, 500 + 32 * (1 + second / 25)));
            assert!(!silence.is_certain(at(second)), "after {second} s");
        }
        silence.observe(at(3600), counted(500, 500 + 32 * 146 + 148));
        assert!(silence.is_certain(at(3612)), "an initiation does");
    }

    #[test]
    fn who_is_quiet_is_knocked_at_and_found_out_within_23_seconds() {
        let mut silence = Silence::new(at(0), counted(500, 500));
        assert!(!silence.knock(at(9)) && silence.knock(at(10)) && !silence.knock(at(11)));
        silence.observe(at(11), counted(500, 628));
        assert_eq!(silence.next(true), Some(at(23)));
        assert!(!silence.knock(at(30)), "it was sent something already");
    }

    #[test]
    fn a_knock_that_was_not_sent_is_made_again() {
        let mut silence = Silence::new(at(0), counted(500, 500));
        assert!(silence.knock(at(10)));
        silence.observe(at(12), counted(500, 500));
        assert_eq!(silence.next(true), Some(at(20)));
        assert!(silence.knock(at(20)));
    }

    #[test]
    fn what_was_sent_before_a_sleep_or_by_another_interface_says_nothing() {
        let mut silence = Silence::new(at(0), counted(500, 500));
        silence.observe(at(5), counted(500, 700));
        silence.observe(at(25), counted(500, 700));
        assert!(!silence.is_certain(at(25)));
        silence.observe(at(30), counted(500, 1000));
        silence.observe(at(31), counted(0, 0));
        assert!(!silence.is_certain(at(60)));
    }
}
