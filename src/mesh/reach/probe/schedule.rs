//! When which candidate is probed: all of them at once, nearly, and then ever more seldom.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::Rng as _;

use crate::mesh::base::time::Timestamp;

/// The most candidates of one peer.
pub const MAX_CANDIDATES: usize = 16;
/// Within what time each candidate is probed for the first time.
pub const ROUND: Duration = Duration::from_millis(250);
/// How long after one another two candidates are probed: a burst at once overflows queues and rate limits on the way. The last of
/// many is the only one that works, often enough.
pub(super) const PACE: Duration = Duration::from_millis(5);
/// How long after the beginning of the first round the second one begins; each further one after twice the time.
const FIRST_GAP: Duration = Duration::from_millis(400);
/// The longest time between two rounds.
const LONGEST_GAP: Duration = Duration::from_secs(300);
/// By how much a gap differs from another, at most: machines that saw the same event must not go on in step.
const JITTER_PERCENT: u64 = 20;

/// The rounds of one peer.
#[derive(Debug)]
pub struct Schedule {
    candidates: Vec<SocketAddr>,
    /// Which candidate of the round is next, and when.
    next: (usize, Timestamp),
    round_began: Timestamp,
    gap: Duration,
    /// Whether the round that began was told to nobody yet.
    untold: bool,
}

impl Schedule {
    /// Begins with nobody to ask.
    pub fn new(now: Timestamp) -> Self {
        Self {
            candidates: Vec::new(),
            next: (0, now),
            round_began: now,
            gap: FIRST_GAP,
            untold: true,
        }
    }

    /// Takes the candidates, the best first; with one that was not there before, a first round begins. Beyond [`MAX_CANDIDATES`] they
    /// are left out.
    pub fn set(&mut self, now: Timestamp, candidates: &[SocketAddr]) {
        let candidates = &candidates[..candidates.len().min(MAX_CANDIDATES)];
        let has_news = candidates.iter().any(|candidate| !self.candidates.contains(candidate));
        if self.candidates != candidates {
            self.candidates = candidates.to_vec();
            self.next.0 = self.next.0.min(candidates.len());
        }
        if has_news {
            self.reset(now);
        }
    }

    /// Begins with a first round again: something about the network, or the peer, is different.
    pub fn reset(&mut self, now: Timestamp) {
        self.go_along(now);
        self.gap = FIRST_GAP;
        self.untold = true;
    }

    /// Begins a round now, because the other side begins one, and needs to be told of none.
    pub fn go_along(&mut self, now: Timestamp) {
        self.next = (0, now);
        self.round_began = now;
        self.untold = false;
    }

    /// Returns whether a round began of which the other side should know, and counts on it being told.
    pub fn take_untold(&mut self) -> bool {
        std::mem::take(&mut self.untold)
    }

    /// Returns whether the next one to probe is the first of a round.
    pub fn is_between_rounds(&self) -> bool {
        self.next.0 == 0 || self.next.0 >= self.candidates.len()
    }

    /// Returns all candidates.
    pub fn candidates(&self) -> &[SocketAddr] {
        &self.candidates
    }

    /// Returns whether one of the candidates has this address.
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.candidates.iter().any(|candidate| candidate.ip() == address)
    }

    /// Returns whom to probe now, but no more than there is room for.
    pub fn due(&mut self, now: Timestamp, random: &mut ChaCha20Rng, room: usize) -> Vec<SocketAddr> {
        let mut due = Vec::new();
        while self.next.1 <= now && due.len() < self.candidates.len().min(room) {
            let (index, at) = self.next;
            match self.candidates.get(index) {
                Some(candidate) => {
                    due.push(*candidate);
                    self.next = (index + 1, at.max(self.round_began) + PACE);
                }
                None => self.begin_round(now),
            }
            if self.next.0 == self.candidates.len() {
                self.next.1 = self.round_began + varied(self.gap, random);
            }
        }
        due
    }

    /// Returns when the next is due; never, where there is nobody to ask.
    pub fn next(&self) -> Option<Timestamp> {
        (!self.candidates.is_empty()).then_some(self.next.1)
    }

    fn begin_round(&mut self, now: Timestamp) {
        self.next = (0, now);
        self.round_began = now;
        self.gap = (2 * self.gap).min(LONGEST_GAP);
        self.untold = true;
    }
}

fn varied(gap: Duration, random: &mut ChaCha20Rng) -> Duration {
    let percent = 100 - JITTER_PERCENT + random.next_u64() % (2 * JITTER_PERCENT + 1);
    gap * u32::try_from(percent).unwrap_or(100) / 100
}

#[cfg(test)]
mod tests {
    use chacha20::rand_core::SeedableRng as _;

    use super::*;

    fn candidates(count: u16) -> Vec<SocketAddr> {
        (1..=count).map(|port| ([192, 0, 2, 1], port).into()).collect()
    }

    /// Lets a schedule run, and returns what was probed when.
    fn run(schedule: &mut Schedule, from: Timestamp, until: Timestamp, seed: u8) -> Vec<(Timestamp, SocketAddr)> {
        let mut random = ChaCha20Rng::from_seed([seed; 32]);
        let (mut now, mut probed) = (from, Vec::new());
        for _ in 0..10_000 {
            probed.extend(
                schedule
                    .due(now, &mut random, MAX_CANDIDATES)
                    .into_iter()
                    .map(|candidate| (now, candidate)),
            );
            match schedule.next() {
                Some(next) if next <= until => {
                    assert!(next > now, "it does not spin");
                    now = next;
                }
                Some(_) | None => return probed,
            }
        }
        panic!("too often");
    }

    #[test]
    fn all_are_probed_within_a_quarter_of_a_second_and_then_ever_more_seldom() {
        let begin = Timestamp::from_start(Duration::from_secs(10));
        for count in [1, 8, 16, 40] {
            let mut schedule = Schedule::new(begin);
            schedule.set(begin, &candidates(count));
            let probed = run(&mut schedule, begin, begin + Duration::from_secs(600), 1);
            let known = usize::from(count).min(MAX_CANDIDATES);
            let first: Vec<SocketAddr> = probed[..known].iter().map(|(_, candidate)| *candidate).collect();
            assert_eq!(first, candidates(count)[..known]);
            assert!(probed[known - 1].0.since(begin) < ROUND, "{probed:?}");
            let rounds = probed.len() / known;
            assert!((9..=13).contains(&rounds), "{rounds} rounds in ten minutes");
            let last_gap = probed[probed.len() - 1].0.since(probed[probed.len() - 1 - known].0);
            assert!(
                last_gap >= LONGEST_GAP * 7 / 10 && last_gap <= LONGEST_GAP * 13 / 10,
                "{last_gap:?}"
            );
        }
    }

    #[test]
    fn what_is_new_is_probed_at_once_and_what_is_known_is_not() {
        let begin = Timestamp::from_start(Duration::from_secs(10));
        let mut schedule = Schedule::new(begin);
        schedule.set(begin, &candidates(3));
        run(&mut schedule, begin, begin + Duration::from_secs(100), 1);
        let later = begin + Duration::from_secs(100);
        let quiet = schedule.next();
        schedule.set(later, &candidates(2));
        assert_eq!(schedule.next(), quiet, "one that is gone is no reason");
        schedule.set(later, &candidates(4));
        assert_eq!(schedule.next(), Some(later));
        run(&mut schedule, later, later + Duration::from_secs(100), 2);
        let event = later + Duration::from_secs(100);
        schedule.reset(event);
        assert_eq!(schedule.next(), Some(event));
        schedule.set(event, &[]);
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn two_machines_do_not_stay_in_step() {
        let begin = Timestamp::from_start(Duration::from_secs(10));
        let times = |seed| {
            let mut schedule = Schedule::new(begin);
            schedule.set(begin, &candidates(1));
            let probed = run(&mut schedule, begin, begin + Duration::from_secs(300), seed);
            probed.into_iter().map(|(at, _)| at).collect::<Vec<_>>()
        };
        let (one, other) = (times(1), times(2));
        let together = one.iter().filter(|at| other.contains(at)).count();
        assert!(together <= 2, "{together} of {}", one.len());
    }
}
