//! What heartbeats show of a path: how long it takes, and what each direction loses and delays.
//!
//! The clocks of both sides are not compared: only how much later one heartbeat arrived than the one before, on one clock, against how
//! much later it was sent, on the other.

use std::fmt;
use std::time::Duration;

use crate::mesh::base::time::Timestamp;

/// After how many heartbeats those before count half: in the first minute or two of traffic, in half an hour without.
const RECENT: u32 = 64;
/// A clock that jumped further was set, or is that of a machine that was started anew.
const JUMP: Duration = Duration::from_secs(5);

/// What the heartbeats of a session showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    /// The smoothed round-trip time (RFC 6298, 2).
    pub round_trip: Option<Duration>,
    /// How much it varies, smoothed (RFC 6298, 2).
    pub variation: Duration,
    /// What arrives at the peer.
    pub out: Direction,
    /// What arrives here.
    pub back: Direction,
    /// When the last answered heartbeat was sent, when it arrived by the peer's clock, and when its answer was here.
    last: Option<(Timestamp, Duration, Timestamp)>,
}

/// One direction of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direction {
    /// The interarrival jitter (RFC 3550, 6.4.1).
    pub jitter: Duration,
    /// How many were sent lately.
    sent: u32,
    /// How many of them arrived.
    arrived: u32,
    /// The number of the last one that is known to have arrived, and how many there were by then.
    last: Option<(u32, u32)>,
}

impl Quality {
    /// Takes in an answer that was waited for: when the question was sent, when it arrived on the clock of the peer.
    pub(super) fn answer(&mut self, now: Timestamp, asked: Timestamp, there: Duration) {
        let round_trip = now.since(asked);
        match self.round_trip {
            None => (self.round_trip, self.variation) = (Some(round_trip), round_trip / 2),
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(round_trip)) / 4;
                self.round_trip = Some((smoothed * 7 + round_trip) / 8);
            }
        }
        let Some((asked_before, there_before, here_before)) = self.last.replace((asked, there, now)) else {
            return;
        };
        let (sent, arrived) = (asked.since(asked_before), there.saturating_sub(there_before));
        if there < there_before || sent.abs_diff(arrived) > JUMP {
            return;
        }
        self.out.vary(sent.abs_diff(arrived));
        // The peer answers at once.
        self.back.vary(arrived.abs_diff(now.since(here_before)));
    }
}

impl Quality {
    /// Returns the same with heartbeats that are overdue counted as lost: no answer says so of them.
    pub(super) fn with_overdue(mut self, overdue: u32) -> Self {
        if self.out.last.is_some() {
            self.out.sent += overdue;
        }
        self
    }

    /// Returns what is known of a path on which nothing comes back: all is lost on the way out, and what happens on the way back
    /// cannot be told.
    pub(super) fn of_silence(self) -> Self {
        Self {
            round_trip: None,
            out: Direction {
                sent: 1,
                arrived: 0,
                ..self.out
            },
            back: Direction {
                sent: 0,
                arrived: 0,
                ..self.back
            },
            ..self
        }
    }

    /// Returns what is known of a path while the peer is heard, and answers no heartbeat: nothing.
    pub(super) fn unmeasured(self) -> Self {
        let mut unmeasured = self.of_silence();
        unmeasured.out.sent = 0;
        unmeasured
    }
}

impl Direction {
    /// Returns how many of a thousand are lost lately; `None` before there were two.
    pub fn loss(&self) -> Option<u32> {
        let lost = self.sent.checked_sub(self.arrived)?;
        (lost * 1000).checked_div(self.sent)
    }

    /// Takes in that one with this number arrived, and was so manieth of its session to do so. One that was overtaken counts with
    /// the next.
    pub(super) fn arrive(&mut self, number: u32, arrived: u32) {
        let Some((number_before, arrived_before)) = self.last else {
            self.last = Some((number, arrived));
            return;
        };
        if number <= number_before && number_before - number < RECENT && arrived > arrived_before {
            return;
        }
        self.last = Some((number, arrived));
        let (sent, came) = (number.checked_sub(number_before), arrived.checked_sub(arrived_before));
        // With fewer than before, the other side counts from the beginning again.
        let (Some(sent), Some(came)) = (sent, came) else { return };
        if self.sent >= RECENT {
            (self.sent, self.arrived) = (self.sent / 2, self.arrived.div_ceil(2).min(self.sent / 2));
        }
        let sent = sent.min(RECENT);
        self.sent += sent;
        // More than were sent came where one was overtaken before.
        self.arrived = (self.arrived + came.min(RECENT)).min(self.sent);
    }

    fn vary(&mut self, difference: Duration) {
        self.jitter = (self.jitter * 15 + difference) / 16;
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        match self.round_trip {
            Some(round_trip) => write!(f, "round trip {:.1} ms", milliseconds(round_trip))?,
            None => return f.write_str("no answer yet"),
        }
        let [out, back] = [self.out, self.back].map(|direction| milliseconds(direction.jitter));
        write!(f, ", jitter {out:.1} ms out and {back:.1} ms in")?;
        match (self.out.loss(), self.back.loss()) {
            (None, None) => Ok(()),
            (out, back) => write!(f, ", loss {} out and {} in", Percent(out), Percent(back)),
        }
    }
}

/// A part of a thousand, as people read it.
struct Percent(Option<u32>);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(thousandths) => write!(f, "{:.1} %", f64::from(thousandths) / 10.0),
            None => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_start(ms(100_000 + milliseconds))
    }

    /// Lets one heartbeat a second take so long to the peer, whose clock is far ahead, and its answer so long back.
    fn played(out: impl Fn(u64) -> u64, back: impl Fn(u64) -> u64) -> Quality {
        let mut quality = Quality::default();
        for second in 0..200 {
            let (asked, arrives) = (second * 1000, second * 1000 + out(second));
            quality.answer(at(arrives + back(second)), at(asked), ms(7_000_000_000 + arrives));
        }
        quality
    }

    #[test]
    fn jitter_is_that_of_its_direction_and_no_offset_of_clocks_is_one() {
        let swings = |second: u64| 20 + 8 * (second % 2);
        let steady = played(|_| 10, |_| 90);
        assert_eq!((steady.out.jitter, steady.back.jitter), (ms(0), ms(0)));
        assert_eq!(steady.round_trip, Some(ms(100)));
        for (quality, [jittery, steady]) in [
            (played(swings, |_| 5), ["out", "back"]),
            (played(|_| 5, swings), ["back", "out"]),
        ] {
            let of = |name| {
                if name == "out" {
                    quality.out.jitter
                } else {
                    quality.back.jitter
                }
            };
            // Each one differs by 8 ms from the one before.
            assert!(of(jittery) > ms(7) && of(jittery) <= ms(8), "{jittery}: {quality}");
            assert_eq!(of(steady), ms(0), "{steady}: {quality}");
        }
    }

    #[test]
    fn a_clock_that_begins_again_is_no_jitter() {
        let mut quality = played(|_| 10, |_| 10);
        quality.answer(at(300_020), at(300_000), ms(5));
        quality.answer(at(301_020), at(301_000), ms(1005));
        quality.answer(at(302_020), at(302_000), ms(90_000_000));
        assert_eq!((quality.out.jitter, quality.back.jitter), (ms(0), ms(0)));
    }

    /// Counts numbers from 1 on, of which some are lost, and some are overtaken by the next.
    fn counted(numbers: impl IntoIterator<Item = u32>) -> Direction {
        let mut direction = Direction::default();
        for (arrived, number) in (1..).zip(numbers) {
            direction.arrive(number, arrived);
        }
        direction
    }

    #[test]
    fn loss_is_what_was_lost_lately() {
        assert_eq!(counted([1]).loss(), None);
        assert_eq!(counted(1..=500).loss(), Some(0));
        let fifth = counted((1..=500).filter(|number| number % 5 != 0)).loss().unwrap();
        assert!((180..=220).contains(&fifth), "{fifth}");
        let once = |number: &u32| *number > 50 || number.is_multiple_of(2);
        assert_eq!(counted((1..=1000).filter(once)).loss(), Some(0), "long ago");
        // The last two are in order: one that is overtaken counts with the next.
        let swapped = (1..=405).map(|number| {
            if number % 7 < 2 {
                number + 1 - 2 * (number % 7)
            } else {
                number
            }
        });
        assert_eq!(counted(swapped).loss(), Some(0), "overtaken is not lost");
    }

    #[test]
    fn who_counts_from_the_beginning_again_has_lost_nothing() {
        let mut direction = counted(1..=300);
        for number in 1..=20 {
            direction.arrive(number, number);
        }
        assert_eq!(direction.loss(), Some(0));
        // This side forgot what came before, the other one did not.
        for number in 21..=60 {
            direction.arrive(number, number - 20);
        }
        assert_eq!(direction.loss(), Some(0));
    }
}
