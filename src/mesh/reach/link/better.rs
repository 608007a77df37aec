//! A better path for a link that works (ICE nominates once; this is the one time after that).
//!
//! A machine comes into the network of its peer, or IPv6 becomes available: then probes find a path of a better class. One of the two
//! sides decides, says so in its heartbeats, and both turn their session there, so they cannot fight. WireGuard sends where it was heard
//! last, and what is still on its way by the old path would turn a session back: so for a moment it is turned again. All this happens
//! once while the link is up, and not again for a while where the new path failed.

use std::net::SocketAddr;
use std::time::Duration;

use super::candidate::{Candidate, Class};
use super::hold::STABLE;
use super::nominee::{Proof, Reach, bound};
use super::{Contact, Link};
use crate::mesh::base::time::Timestamp;

/// How old the answer may be for which a session is turned.
const FRESH: Duration = Duration::from_secs(1);
/// How long a link that failed on a better path stays with what works.
const CONTENT_FOR: Duration = Duration::from_secs(600);

/// For how long a session is turned again where it turned back, and how often it is looked whether it did.
const TURN_FOR: Duration = Duration::from_secs(1);
const TURN_EVERY: Duration = Duration::from_millis(50);

/// Whether a link took a better path while it was up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Better {
    taken: Option<Timestamp>,
    not_before: Timestamp,
    /// Where the session turns to, until when.
    turn: Option<(SocketAddr, Timestamp)>,
    /// When the peer said that it turns.
    called: Option<Timestamp>,
    /// Where the peer was reached at the last look before that.
    settled: Option<SocketAddr>,
}

impl Better {
    /// Takes in that the link is not up any more.
    pub(super) fn end(&mut self, now: Timestamp) {
        if self.taken.take().is_some_and(|at| now.since(at) < STABLE) {
            self.not_before = now + CONTENT_FOR;
        }
        (self.turn, self.called) = (None, None);
    }

    /// Returns when it is to be looked whether the session turned back.
    pub(super) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        self.turn.map(|(_, until)| until.min(now + TURN_EVERY))
    }
}

impl Link {
    /// Returns whether a better path would be taken: between two that have no other way to each other than to look for one.
    pub fn seeks_better(&self, now: Timestamp, contact: &Contact) -> bool {
        let may = self.better.taken.is_none() && now >= self.better.not_before;
        self.is_up() && self.pulse.is_some() && may && !contact.routes
    }

    /// Returns whom to probe for it: the candidates of a better class than where the peer is reached, and that place, for comparison;
    /// nobody, where there is none.
    pub fn better_places(&self, now: Timestamp, contact: &Contact, candidates: &[Candidate]) -> Vec<SocketAddr> {
        let Some(current) = contact.endpoint.filter(|_| self.seeks_better(now, contact)) else {
            return Vec::new();
        };
        let class = Class::of(current, candidates);
        let places = candidates.iter().map(|candidate| candidate.endpoint);
        let mut better: Vec<_> = places.filter(|place| Class::of(*place, candidates) < class).collect();
        if !better.is_empty() {
            better.push(current);
        }
        better
    }

    /// Takes in that the peer turns to a better path; returns whether that is news.
    pub(super) fn hear_turn(&mut self, now: Timestamp) -> bool {
        let is_news = self.yields && self.better.taken.is_none() && self.better.called.is_none();
        if is_news {
            self.better.called = Some(now);
        }
        is_news
    }

    /// Returns whether the session turns to a better path.
    pub fn turns(&self) -> bool {
        self.better.turn.is_some()
    }

    /// Returns where the session turns, if it does.
    pub(super) fn improve(
        &mut self,
        now: Timestamp,
        contact: &Contact,
        candidates: &[Candidate],
        reach: &Reach,
    ) -> Option<SocketAddr> {
        let called = self.better.called.take_if(|_| reach.may_improve);
        self.better.turn = self.better.turn.filter(|(_, until)| now < *until);
        if self.better.turn.is_none() && reach.may_improve && self.seeks_better(now, contact) {
            let round_trip = self.pulse.as_ref().and_then(|pulse| pulse.quality().round_trip);
            let best = match (self.yields, called) {
                (false, _) => better(now, contact, candidates, reach, round_trip),
                (true, Some(_)) => best(self.better.settled, candidates, reach.proofs.iter()),
                (true, None) => None,
            };
            if let Some(best) = best {
                (self.better.taken, self.better.turn) = (Some(now), Some((best, now + TURN_FOR)));
            }
        }
        let Some((to, _)) = self.better.turn else {
            self.better.settled = contact.endpoint;
            return None;
        };
        if contact.endpoint == Some(to) {
            return None;
        }
        // If it does not work after all, that is noticed as for any path.
        self.pulse.as_mut()?.hurry(now);
        Some(to)
    }
}

/// Returns the best path that answered just now, unless it is much slower than where the peer is reached.
fn better(
    now: Timestamp,
    contact: &Contact,
    candidates: &[Candidate],
    reach: &Reach,
    round_trip: Option<Duration>,
) -> Option<SocketAddr> {
    let mut answered = reach.proofs.iter();
    let current = answered.find(|proof| contact.endpoint == Some(proof.endpoint));
    let most = bound(current.map(|proof| proof.round_trip).or(round_trip)?);
    let is_good = |proof: &&Proof| now.since(proof.at) < FRESH && proof.round_trip <= most;
    best(contact.endpoint, candidates, reach.proofs.iter().filter(is_good))
}

/// Returns the best path of a better class than where the peer is reached.
fn best<'a>(
    current: Option<SocketAddr>,
    candidates: &[Candidate],
    proofs: impl Iterator<Item = &'a Proof>,
) -> Option<SocketAddr> {
    let class = |endpoint: SocketAddr| Class::of(endpoint, candidates);
    let current = class(current?);
    let better = proofs.filter(|proof| class(proof.endpoint) < current);
    let best = better.min_by_key(|proof| (class(proof.endpoint), proof.round_trip))?;
    Some(best.endpoint)
}
