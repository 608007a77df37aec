//! Whose turn it is among the addresses of a name while the session of its peer is not heard.

use std::net::SocketAddr;
use std::time::Duration;

use crate::mesh::base::time::Timestamp;

/// How long an address has: with a session WireGuard sends there at once, and one of ours answers within the way there and back.
/// A v1 peer's keepalive may come 10 s later; it is taken whatever was tried since, as WireGuard follows it.
const TURN: Duration = Duration::from_secs(5);

/// What was tried of one peer since it was heard last.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    /// Where it was heard then.
    origin: Option<SocketAddr>,
    /// The latest comes last.
    tried: Vec<(SocketAddr, Timestamp)>,
}

impl Turns {
    /// Returns where to send from now on to a peer that is not heard at `present`; `None` while that deserves time, or where there is
    /// nothing else.
    ///
    /// The name's addresses come first, in the resolver's order, and then the one that was tried longest ago; where the peer was
    /// last heard stays one of them, as the name may be wrong.
    pub fn next(&mut self, now: Timestamp, present: SocketAddr, addresses: &[SocketAddr]) -> Option<SocketAddr> {
        if self.until(present).is_some_and(|until| now < until) {
            return None;
        }
        // It has had all its time: it is not heard any more.
        let origin = *self.origin.get_or_insert(present);
        let others = addresses.iter().copied().filter(|to| *to != present);
        let untried = others.clone().find(|to| *to != origin && self.place(*to).is_none());
        let again = || {
            others
                .chain([origin])
                .filter(|to| *to != present)
                .min_by_key(|to| self.place(*to))
        };
        let next = untried.or_else(again)?;
        self.tried.retain(|(endpoint, _)| *endpoint != next);
        self.tried.push((next, now));
        Some(next)
    }

    /// Returns until when an address has its turn, if it had one.
    pub fn until(&self, endpoint: SocketAddr) -> Option<Timestamp> {
        let at = self.place(endpoint)?;
        self.tried.get(at).map(|(_, since)| *since + TURN)
    }

    fn place(&self, endpoint: SocketAddr) -> Option<usize> {
        self.tried.iter().position(|(known, _)| *known == endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(seconds))
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 5))
    }

    #[test]
    fn the_address_that_the_name_has_now_is_taken() {
        assert_eq!(
            Turns::default().next(at(0), address(1), &[address(2)]),
            Some(address(2))
        );
    }

    #[test]
    fn a_name_without_another_address_changes_nothing() {
        let mut turns = Turns::default();
        for second in 0..100 {
            assert_eq!(turns.next(at(second), address(1), &[address(1)]), None);
            assert_eq!(turns.next(at(second), address(1), &[]), None);
        }
        assert_eq!(
            turns.next(at(100), address(1), &[address(2)]),
            Some(address(2)),
            "at once"
        );
    }

    #[test]
    fn every_address_has_its_turn_of_five_seconds_and_the_old_one_too() {
        let (mut turns, mut present, mut tries) = (Turns::default(), address(9), Vec::new());
        for second in 0..40 {
            if let Some(next) = turns.next(at(second), present, &[address(1), address(2), address(3)]) {
                tries.push((second, next));
                present = next;
            }
        }
        let of = |numbers: [u8; 8]| numbers.map(address);
        let expected = (0..40).step_by(5).zip(of([1, 2, 3, 9, 1, 2, 3, 9]));
        assert_eq!(tries, expected.collect::<Vec<_>>());
    }

    #[test]
    fn an_address_that_the_name_has_only_now_is_tried_next() {
        let mut turns = Turns::default();
        assert_eq!(turns.next(at(0), address(9), &[address(1)]), Some(address(1)));
        assert_eq!(
            turns.next(at(5), address(1), &[address(1), address(2)]),
            Some(address(2))
        );
    }
}
