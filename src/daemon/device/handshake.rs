//! From what WireGuard tells about its last handshakes to moments on the node's clock.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;

/// How a WireGuard implementation tells the time of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// On the wall clock, since 1970.
    Wall(Duration),
    /// As its age, in whole seconds (boringtun, issue 447).
    Age(Duration),
}

impl Stamp {
    /// Takes what an implementation wrote; zero is "never". No wall clock that runs WireGuard shows less than 10^9 s.
    pub(super) fn from_written(written: Duration) -> Option<Self> {
        const FIRST_WALL_TIME: Duration = Duration::from_secs(1_000_000_000);
        match written {
            Duration::ZERO => None,
            wall if wall >= FIRST_WALL_TIME => Some(Self::Wall(wall)),
            age => Some(Self::Age(age)),
        }
    }

    /// Returns when that was; zero where it lies in the future of a wall clock that was set back.
    fn age(self, wall: Duration) -> Duration {
        match self {
            Self::Wall(at) => wall.saturating_sub(at),
            Self::Age(age) => age,
        }
    }
}

/// Remembers which stamp was which moment, so that a wall clock that is set does not move the handshakes of the past.
#[derive(Debug)]
pub(super) struct HandshakeClock {
    tolerance: Duration,
    last_read: Timestamp,
    known: BTreeMap<PublicKey, Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    stamp: Stamp,
    at: Timestamp,
}

impl HandshakeClock {
    /// Starts a clock that takes two stamps for one handshake when they are not further apart than `tolerance`.
    pub(super) fn new(tolerance: Duration) -> Self {
        Self {
            tolerance,
            last_read: Timestamp::START,
            known: BTreeMap::new(),
        }
    }

    /// Returns when the handshakes were, at a read that happened `now`, with the wall clock at `wall`; forgets all peers that
    /// have none.
    pub(super) fn read(
        &mut self,
        now: Timestamp,
        wall: Duration,
        stamps: &BTreeMap<PublicKey, Stamp>,
    ) -> BTreeMap<PublicKey, Timestamp> {
        let previous = std::mem::take(&mut self.known);
        for (peer, stamp) in stamps {
            let at = self.settle(now, wall, *stamp, previous.get(peer));
            self.known.insert(*peer, Known { stamp: *stamp, at });
        }
        self.last_read = now;
        self.known.iter().map(|(peer, known)| (*peer, known.at)).collect()
    }

    fn settle(&self, now: Timestamp, wall: Duration, stamp: Stamp, known: Option<&Known>) -> Timestamp {
        let at = now - stamp.age(wall);
        match known {
            Some(known) if matches!(stamp, Stamp::Wall(_)) && known.stamp == stamp => known.at,
            Some(known) if self.is_wobble(at, known.at) => known.at,
            // It was not there at the last read, so it is younger than that, whatever the wall clock says.
            Some(_) | None => at.max(self.last_read),
        }
    }

    fn is_wobble(&self, one: Timestamp, other: Timestamp) -> bool {
        one.since(other).max(other.since(one)) <= self.tolerance && !self.tolerance.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: PublicKey = PublicKey::from_bytes([1; 32]);
    const WALL: u64 = 1_800_000_000;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(seconds))
    }

    /// A clock and the wall clock's second at boot.
    struct Bench {
        clock: HandshakeClock,
        boot: u64,
    }

    impl Bench {
        fn exact() -> Self {
            Self {
                clock: HandshakeClock::new(Duration::ZERO),
                boot: WALL,
            }
        }

        fn coarse() -> Self {
            Self {
                clock: HandshakeClock::new(Duration::from_millis(1500)),
                boot: WALL,
            }
        }

        fn read(&mut self, now: u64, written: u64) -> Option<Timestamp> {
            let stamps = Stamp::from_written(Duration::from_secs(written)).map(|stamp| (PEER, stamp));
            let wall = Duration::from_secs(self.boot + now);
            let times = self.clock.read(at(now), wall, &stamps.into_iter().collect());
            times.get(&PEER).copied()
        }
    }

    #[test]
    fn zero_is_never() {
        assert_eq!(Bench::exact().read(10, 0), None);
    }

    #[test]
    fn a_handshake_stays_where_it_is_when_the_wall_clock_is_set() {
        let mut bench = Bench::exact();
        assert_eq!(bench.read(100, WALL + 60), Some(at(60)));
        for boot in [WALL + 3600, WALL - 3600] {
            bench.boot = boot;
            assert_eq!(bench.read(101, WALL + 60), Some(at(60)));
        }
    }

    #[test]
    fn a_new_handshake_lies_between_two_reads_whatever_the_wall_clock_says() {
        for boot in [WALL, WALL + 3600, WALL - 3600] {
            let mut bench = Bench::exact();
            bench.read(100, WALL + 60);
            bench.boot = boot;
            let new = bench.read(110, WALL + 105).unwrap();
            assert!(new >= at(100) && new <= at(110), "{new:?}");
        }
    }

    #[test]
    fn an_age_that_grows_is_one_handshake_and_one_that_falls_is_the_next() {
        let mut bench = Bench::coarse();
        let first = bench.read(100, 40).unwrap();
        for (now, age) in [(101, 41), (102, 43), (103, 42), (160, 99)] {
            assert_eq!(bench.read(now, age), Some(first), "at {now}");
        }
        assert_eq!(bench.read(161, 1), Some(at(160)));
    }

    #[test]
    fn a_stamp_that_an_implementation_computes_from_an_age_may_wobble() {
        let mut bench = Bench::coarse();
        let first = bench.read(100, WALL + 60);
        assert_eq!(bench.read(101, WALL + 61), first);
        assert_eq!(bench.read(102, WALL + 59), first);
        assert_eq!(bench.read(110, WALL + 105), Some(at(105)));
    }

    #[test]
    fn a_peer_that_was_made_anew_has_no_handshake_and_no_past() {
        let mut bench = Bench::exact();
        bench.read(100, WALL + 60);
        assert_eq!(bench.read(101, 0), None);
        assert_eq!(bench.read(110, WALL + 105), Some(at(105)));
    }
}
