//! Where routers are reached, for direct peers that may not find out by themselves: after a router moved they are told a few times.
//!
//! A peer whose resolver is behind the tunnel, or that has no name for the router, would otherwise send to a dead address for ever. A
//! network in which nothing moves costs nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;

/// How long after the first time peers are told again; each further pause is twice as long.
const AGAIN: Duration = Duration::from_secs(2);
/// How often they are told: for eight minutes, as long as a session and a fact live.
const TIMES: u32 = 9;
/// How soon another move begins this anew: a router whose address flaps must not have all peers told each time.
const ANEW: Duration = Duration::from_secs(10);

/// Where routers are reached, and whether that is to be told.
#[derive(Debug, Default)]
pub struct Moved {
    reached: BTreeMap<PublicKey, SocketAddr>,
    telling: Option<Telling>,
}

#[derive(Clone, Copy, Debug)]
struct Telling {
    began: Timestamp,
    times: u32,
    next: Timestamp,
}

impl Moved {
    /// Takes in where a router is heard.
    pub fn observe(&mut self, now: Timestamp, router: PublicKey, endpoint: SocketAddr) {
        let before = self.reached.insert(router, endpoint);
        let has_moved = before.is_some_and(|before| before != endpoint);
        if has_moved && self.telling.is_none_or(|telling| now.since(telling.began) >= ANEW) {
            self.telling = Some(Telling {
                began: now,
                times: 0,
                next: now,
            });
        }
    }

    /// Forgets peers that are no routers any more.
    pub fn retain(&mut self, is_router: impl Fn(&PublicKey) -> bool) {
        self.reached.retain(|key, _| is_router(key));
    }

    /// Returns where routers are, if peers are to be told now, and counts on it being done.
    pub fn due(&mut self, now: Timestamp) -> Vec<(PublicKey, SocketAddr)> {
        let Some(telling) = self.telling.as_mut().filter(|telling| telling.next <= now) else {
            return Vec::new();
        };
        telling.next = now + AGAIN * (1 << telling.times);
        telling.times += 1;
        if telling.times >= TIMES {
            self.telling = None;
        }
        self.reached.iter().map(|(key, endpoint)| (*key, *endpoint)).collect()
    }

    /// Returns when peers are told next.
    pub fn next(&self) -> Option<Timestamp> {
        self.telling.map(|telling| telling.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: PublicKey = PublicKey::from_bytes([1; 32]);

    fn at(second: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(second))
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 5))
    }

    #[test]
    fn move_is_told_a_few_times_and_only_a_move() {
        let mut moved = Moved::default();
        moved.observe(at(0), HUB, address(1));
        assert_eq!((moved.next(), moved.due(at(0))), (None, vec![]), "nothing moved");
        let mut told = Vec::new();
        for second in 10..3600 {
            moved.observe(at(second), HUB, address(2));
            told.extend(moved.due(at(second)).iter().map(|to| (second, *to)));
        }
        let seconds: Vec<u64> = told.iter().map(|(second, _)| *second).collect();
        assert_eq!(seconds, [10, 12, 16, 24, 40, 72, 136, 264, 520]);
        assert!(told.iter().all(|(_, to)| *to == (HUB, address(2))));
    }

    #[test]
    fn flapping_address_is_told_within_the_same_bound() {
        let mut moved = Moved::default();
        let told = (0..1000).filter(|second| {
            moved.observe(at(*second), HUB, address((second % 2) as u8));
            !moved.due(at(*second)).is_empty()
        });
        assert!(told.count() <= 400, "three times in ten seconds");
    }
}
