//! How fast probes are taken in: a flood costs the kernel a queue that is full, and this process next to nothing.

use std::time::Duration;

use tokio::time::Instant;

/// How many datagrams are taken in a window, whoever sent them. With the window it is 12,800 a second, six times what the
/// node looks at ([`TOTAL_RATE`](crate::mesh::reach::probe::rate::TOTAL_RATE)): a thousand peers that all probe at once take 80 ms.
const AT_ONCE: u32 = 64;
/// How often the process may be woken in a window: as often as a peer has candidates whose answers come one by one. It is what
/// a flood costs that never fills the queue, and to be woken costs many times what a datagram does that is there already.
const TURNS: u32 = 16;
/// How long a window is, and so the longest rest. It is what a flood adds to the round-trip time that is measured.
const WINDOW: Duration = Duration::from_millis(5);

/// Counts what was taken in, and says when it is enough for a while.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    taken: u32,
    turns: u32,
}

impl Pace {
    /// Starts with a fresh window.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            taken: 0,
            turns: 0,
        }
    }

    /// Counts one datagram; returns until when no more should be taken, where that is to be so.
    pub(super) fn count(&mut self, now: Instant) -> Option<Instant> {
        self.renew(now);
        self.taken += 1;
        self.rest()
    }

    /// Counts that nothing more was there to be taken.
    pub(super) fn count_turn(&mut self, now: Instant) -> Option<Instant> {
        self.renew(now);
        self.turns += 1;
        self.rest()
    }

    fn renew(&mut self, now: Instant) {
        if now.duration_since(self.since) >= WINDOW {
            *self = Self::new(now);
        }
    }

    fn rest(&self) -> Option<Instant> {
        (self.taken >= AT_ONCE || self.turns >= TURNS).then(|| self.since + WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes in what comes at this distance, for a second of it; returns how often something was taken and how much.
    fn second(every: Duration) -> (u32, u32) {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let (start, mut turns, mut taken, mut resting) = (now, 0, 0, None);
        let mut waiting = Duration::ZERO;
        while now < start + Duration::from_secs(1) {
            // What came while it rested is there; a queue of 500 overflows.
            waiting = waiting.max(every).min(every * 500);
            turns += 1;
            while waiting >= every && resting.is_none() {
                waiting -= every;
                taken += 1;
                resting = pace.count(now);
            }
            resting = resting.or_else(|| pace.count_turn(now));
            let next = resting.take().unwrap_or(now).max(now + every);
            (waiting, now) = (waiting + (next - now), next);
        }
        (turns, taken)
    }

    #[test]
    fn a_flood_wakes_the_process_seldom_and_is_taken_in_pieces() {
        for microseconds in [10, 50, 80, 150] {
            let (turns, taken) = second(Duration::from_micros(microseconds));
            assert!(turns <= 200 * TURNS + TURNS, "every {microseconds} us: {turns} turns");
            assert!(taken <= 200 * AT_ONCE + AT_ONCE, "every {microseconds} us: {taken}");
        }
        let (turns, taken) = second(Duration::from_micros(10));
        assert!(turns <= 200 + TURNS, "{turns}: after the first window, one a window");
        assert!(taken >= 190 * AT_ONCE, "{taken}");
    }

    #[test]
    fn what_is_no_flood_is_taken_at_once() {
        assert_eq!(second(Duration::from_micros(400)), (2500, 2500));
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert!((1..AT_ONCE).all(|_| pace.count(start).is_none()));
        let until = pace.count(start).expect("that is enough");
        assert!(until <= start + WINDOW);
        assert_eq!(pace.count(start + WINDOW), None, "a fresh window");
    }
}
