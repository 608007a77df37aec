//! Seats for clients: bounded in number, and shared fairly by those who take them.
//!
//! Where none is free, a newcomer takes the seat of whoever has more than it, and else one of its own: first of connections that have
//! not asked anything yet, then of those that are being answered, the oldest first. One that follows events is taken by others only.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// Seats for clients of some `Who`: users, or addresses.
#[derive(Clone, Debug)]
pub(super) struct Seats<Who>(Arc<Mutex<Plan<Who>>>);

#[derive(Debug)]
struct Plan<Who> {
    next: u64,
    /// In the order of their age.
    taken: BTreeMap<u64, Taken<Who>>,
}

#[derive(Debug)]
struct Taken<Who> {
    who: Who,
    stage: Stage,
    over: CancellationToken,
}

/// How far a client is. The first loses its seat first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It sent no whole request yet.
    Asking,
    /// It takes its answer in.
    Answered,
    /// It follows events.
    Following,
}

/// A seat, until it is dropped or `over`.
#[derive(Debug)]
pub(super) struct Seat<Who: Ord> {
    number: u64,
    over: CancellationToken,
    seats: Seats<Who>,
}

impl<Who> Default for Seats<Who> {
    fn default() -> Self {
        let plan = Plan {
            next: 0,
            taken: BTreeMap::new(),
        };
        Self(Arc::new(Mutex::new(plan)))
    }
}

impl<Who> Seats<Who> {
    fn plan(&self) -> MutexGuard<'_, Plan<Who>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Who: Ord> Seats<Who> {
    /// Takes a seat where `most` may be taken; `None` where nobody has to make room.
    pub(super) fn take(&self, who: Who, most: usize) -> Option<Seat<Who>> {
        let mut plan = self.plan();
        if plan.taken.len() >= most {
            let loser = plan.loser(&who)?;
            plan.taken.remove(&loser)?.over.cancel();
        }
        let (number, over) = (plan.next, CancellationToken::new());
        plan.next += 1;
        let taken = Taken {
            who,
            stage: Stage::Asking,
            over: over.clone(),
        };
        plan.taken.insert(number, taken);
        let seats = Self(Arc::clone(&self.0));
        Some(Seat { number, over, seats })
    }
}

impl<Who: Ord> Plan<Who> {
    /// Returns the seat that a newcomer may take.
    fn loser(&self, newcomer: &Who) -> Option<u64> {
        let mut counts: BTreeMap<&Who, usize> = BTreeMap::new();
        for taken in self.taken.values() {
            *counts.entry(&taken.who).or_default() += 1;
        }
        let own = counts.get(newcomer).copied().unwrap_or_default();
        let (greediest, most) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        let of = if most > own + 1 { greediest } else { newcomer };
        let may_go = |taken: &Taken<Who>| taken.who == *of && (of != newcomer || taken.stage != Stage::Following);
        let candidates = self.taken.iter().filter(|(_, taken)| may_go(taken));
        candidates
            .min_by_key(|(number, taken)| (taken.stage, **number))
            .map(|(number, _)| *number)
    }
}

impl<Who: Ord> Seat<Who> {
    /// Returns what is cancelled when another takes the seat.
    pub(super) fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// Notes how far the client is.
    pub(super) fn reach(&self, stage: Stage) {
        if let Some(taken) = self.seats.plan().taken.get_mut(&self.number) {
            taken.stage = stage;
        }
    }
}

impl<Who: Ord> Drop for Seat<Who> {
    fn drop(&mut self) {
        self.seats.plan().taken.remove(&self.number);
    }
}

/// Returns who connects from an address: with IPv6 a machine has a whole /64 (RFC 4291, 2.5.1).
pub(super) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        canonical @ (IpAddr::V4(_) | IpAddr::V6(_)) => canonical,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 4;

    fn filled(who: &[(char, Stage)]) -> (Seats<char>, Vec<Seat<char>>) {
        let seats = Seats::default();
        let take = |(who, stage): &(char, Stage)| {
            let seat = seats.take(*who, MOST).expect("a seat is free");
            seat.reach(*stage);
            seat
        };
        let taken = who.iter().map(take).collect();
        (seats, taken)
    }

    /// Returns which of the seats a newcomer takes, or none.
    fn taken_by(newcomer: char, who: &[(char, Stage)]) -> Option<usize> {
        let (seats, taken) = filled(who);
        let _seat = seats.take(newcomer, MOST)?;
        taken.iter().position(|seat| seat.over().is_cancelled())
    }

    #[test]
    fn oldest_connection_without_request_goes_first() {
        use Stage::{Answered, Asking, Following};
        let own = [('a', Following), ('a', Answered), ('a', Asking), ('a', Asking)];
        assert_eq!(taken_by('a', &own), Some(2));
        assert_eq!(
            taken_by(
                'a',
                &[('a', Following), ('a', Answered), ('a', Answered), ('a', Following)]
            ),
            Some(1)
        );
        assert_eq!(taken_by('a', &[('a', Following); 4]), None);
    }

    #[test]
    fn greediest_client_makes_room_for_others() {
        use Stage::{Asking, Following};
        assert_eq!(taken_by('b', &[('a', Following); 4]), Some(0));
        let shared = [('b', Following), ('b', Following), ('a', Following), ('a', Following)];
        assert_eq!(taken_by('a', &shared), None, "both have as many");
        assert_eq!(taken_by('c', &shared), Some(0));
        let asking = [('a', Asking), ('b', Following), ('b', Asking), ('b', Following)];
        assert_eq!(taken_by('a', &asking), Some(2));
    }

    #[test]
    fn dropped_seat_is_free_again() {
        let (seats, mut taken) = filled(&[('a', Stage::Following); 4]);
        assert!(seats.take('a', MOST).is_none());
        taken.pop();
        assert!(seats.take('a', MOST).is_some());
    }

    #[test]
    fn ipv6_machine_is_one_client() {
        let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(source(parse("2001:db8::1")), source(parse("2001:db8::2")));
        assert_eq!(source(parse("::ffff:192.0.2.1")), parse("192.0.2.1"));
        assert_ne!(source(parse("192.0.2.1")), source(parse("192.0.2.2")));
        assert_eq!(source(parse("::1")), parse("::1"));
    }
}
