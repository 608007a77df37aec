//! How fast probes are taken in: a flood costs the kernel a queue that is full, and this process next to nothing.

use std::time::Duration;

use tokio::time::Instant;

/// How many datagrams are taken in a window, whoever sent them. With the window it is 12,800 a second, six times what the
/// node looks at ([`TOTAL_RATE`](crate::mesh::probe::rate::TOTAL_RATE)), for which one burst of a thousand peers takes 80 ms.
const AT_ONCE: u32 = 64;
/// How long a window is, and so the longest rest. It is what a flood adds to the round-trip time that others measure.
const WINDOW: Duration = Duration::from_millis(5);

/// Counts what was taken in, and says when it is enough for a while.
///
/// It is not enough to rest after a turn that took many: whoever is as fast as the flood takes one at a time, a turn each.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    taken: u32,
}

impl Pace {
    /// Starts with a fresh window.
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, taken: 0 }
    }

    /// Counts one datagram; returns until when no more should be taken, where that was the last one.
    pub(super) fn count(&mut self, now: Instant) -> Option<Instant> {
        if now.duration_since(self.since) >= WINDOW {
            *self = Self::new(now);
        }
        self.taken += 1;
        (self.taken >= AT_ONCE).then(|| self.since + WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes in what comes at this distance for a second; returns how many, and how long the longest rest was.
    fn second(every: Duration) -> (u32, Duration) {
        let start = Instant::now();
        let (mut pace, mut now, mut taken, mut longest) = (Pace::new(start), start, 0, Duration::ZERO);
        while now < start + Duration::from_secs(1) {
            taken += 1;
            now += every;
            if let Some(until) = pace.count(now) {
                longest = longest.max(until.saturating_duration_since(now));
                now = now.max(until);
            }
        }
        (taken, longest)
    }

    #[test]
    fn a_flood_is_taken_in_pieces_and_what_is_none_never_waits() {
        let (taken, rest) = second(Duration::from_micros(10));
        assert!((12_000..=13_000).contains(&taken), "{taken}");
        assert!(rest <= WINDOW, "{rest:?}");
        let (taken, rest) = second(Duration::from_micros(80));
        assert_eq!((taken, rest), (12_500, Duration::ZERO));
    }
}
