//! What an operator asked of peers, on which way, until it is answered: how long both ways take, whichever is used.
//!
//! A ping is a [signal](crate::mesh::believe::fact::signal), and so is its answer, which goes back the way that the ping came. A peer that does not know
//! of pings says nothing.

use std::collections::VecDeque;
use std::time::Duration;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::signal::Word;

/// How long an answer is waited for.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// The most that wait for their answers: some operators at a time.
pub const MAX_WAITING: usize = 64;

/// The way that a ping takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// Through the tunnel to the peer itself.
    Direct,
    /// Through the routers that both have.
    Relayed,
}

/// Why there is no ping on a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPing {
    /// WireGuard has no session with the peer.
    #[error("WireGuard has no session with the peer")]
    NoSession,
    /// It does not announce that it takes signals.
    #[error("the peer runs no wirelink that answers pings")]
    NotUnderstood,
    /// Nobody is there who passes it on.
    #[error("no router between the two passes pings on")]
    NoRouter,
    /// Too many wait for their answers.
    #[error("too many pings are waiting for answers")]
    Busy,
}

impl NoPing {
    /// Returns it as a stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoSession => "no-session",
            Self::NotUnderstood => "not-understood",
            Self::NoRouter => "no-router",
            Self::Busy => "busy",
        }
    }
}

/// The pings that wait for their answers.
#[derive(Debug, Default)]
pub struct Pings {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    peer: PublicKey,
    /// Its number among those to this peer, as it is said in signals.
    number: u8,
    /// By what the shell knows it.
    id: u64,
    at: Timestamp,
}

impl Path {
    /// Both ways.
    pub const ALL: [Self; 2] = [Self::Direct, Self::Relayed];
}

impl Pings {
    /// Takes in that a peer is asked; returns the number that is said, or `None` where too many wait.
    pub fn begin(&mut self, now: Timestamp, peer: &PublicKey, id: u64) -> Option<u8> {
        self.waiting.retain(|waiting| now.since(waiting.at) < PATIENCE);
        if self.waiting.len() >= MAX_WAITING {
            return None;
        }
        let to_it = || self.waiting.iter().filter(|waiting| waiting.peer == *peer);
        // The one after the last: what comes late for another must not be taken for its answer.
        let first = to_it().next_back().map_or(0, |waiting| waiting.number + 1);
        let mut numbers = (first..first + Word::PINGS).map(|number| number % Word::PINGS);
        let number = numbers.find(|number| to_it().all(|waiting| waiting.number != *number))?;
        self.waiting.push_back(Waiting {
            peer: *peer,
            number,
            id,
            at: now,
        });
        Some(number)
    }

    /// Takes in an answer of a peer; returns what it answers, and how long it took. Each way answers by itself, and signals that
    /// come again are dropped before.
    pub fn answer(&self, now: Timestamp, peer: &PublicKey, number: u8) -> Option<(u64, Duration)> {
        let mut waiting = self.waiting.iter();
        let found = waiting.find(|waiting| waiting.peer == *peer && waiting.number == number)?;
        let took = now.since(found.at);
        (took < PATIENCE).then_some((found.id, took))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: PublicKey = PublicKey::from_bytes([1; 32]);
    const OTHER: PublicKey = PublicKey::from_bytes([2; 32]);

    fn at(ms: u64) -> Timestamp {
        Timestamp::START + Duration::from_millis(ms)
    }

    #[test]
    fn an_answer_belongs_to_its_question_for_as_long_as_it_is_waited_for() {
        let mut pings = Pings::default();
        let first = pings.begin(at(0), &PEER, 7).unwrap();
        let second = pings.begin(at(10), &PEER, 8).unwrap();
        assert_eq!(
            pings.answer(at(30), &PEER, second),
            Some((8, Duration::from_millis(20)))
        );
        assert_eq!(pings.answer(at(30), &PEER, first), Some((7, Duration::from_millis(30))));
        assert_eq!(pings.answer(at(30), &OTHER, first), None);
        assert_eq!(pings.answer(at(3000), &PEER, first), None, "too late");
    }

    #[test]
    fn numbers_are_not_used_again_while_they_wait_and_never_at_once() {
        let mut pings = Pings::default();
        let numbers: Vec<u8> = (0..16).filter_map(|id| pings.begin(at(id), &PEER, id)).collect();
        assert_eq!(numbers, (0..16).collect::<Vec<u8>>());
        assert_eq!(pings.begin(at(20), &PEER, 16), None, "all wait");
        assert_eq!(pings.begin(at(20), &OTHER, 17), Some(0), "another peer has its own");
        assert_eq!(
            pings.begin(at(3005), &PEER, 18),
            Some(0),
            "those that nobody answered are forgotten"
        );
    }

    #[test]
    fn a_word_asks_or_answers_beside_all_else_that_it_says() {
        for number in 0..Word::PINGS {
            let asking = Word::default().pinging(number).ready_if(true);
            assert_eq!((asking.ping(), asking.pong()), (Some(number), None));
            let answering = Word::default().ponging(number).ready_if(false);
            assert_eq!((answering.ping(), answering.pong()), (None, Some(number)));
            assert!(asking.is_ready() && !answering.is_ready() && !asking.is_punch());
        }
        let other = Word::default().punching().ready_if(true);
        assert_eq!((other.ping(), other.pong()), (None, None));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut pings = Pings::default();
        let peers = (0..u8::MAX).map(|number| PublicKey::from_bytes([number; 32]));
        let begun = peers.filter_map(|peer| pings.begin(at(0), &peer, 0)).count();
        assert_eq!(begun, MAX_WAITING);
    }
}
