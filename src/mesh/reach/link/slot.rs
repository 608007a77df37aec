//! The fallback that works with every peer: one candidate per handshake slot.
//!
//! WireGuard sends one initiation per peer in 5 s, and a little later again when there was no answer. So in the first round each
//! candidate gets one initiation; both sides begin their rounds with the same news, and so meet in the same slot. Later
//! rounds give each candidate the time of wirelink v1, and begin with the one that was not tried for the longest time.

use std::net::SocketAddr;
use std::time::Duration;

use super::candidate::Candidate;
use crate::mesh::base::time::Timestamp;

/// How long a candidate has in the first round: WireGuard's rekey timeout, so that the next initiation goes to the next.
pub(super) const FIRST_SLOT: Duration = Duration::from_secs(5);
/// How long it has in later rounds: rekey timeout and keepalive (wirelink v1).
pub(super) const LATER_SLOT: Duration = Duration::from_secs(15);
/// How often new candidates can make the first round begin again; a peer that invents endpoints must not keep it there.
const ROUND_AGAIN: Duration = Duration::from_secs(30);

/// How long a round waits before its first slot. Both sides have the news at about the same time, and an initiation that arrives
/// where the peer is not configured yet is lost; the next comes 5 s later.
pub(super) const SETTLE: Duration = Duration::from_millis(200);
/// How much longer one of the two sides waits: two initiations that cross overwrite each other's handshake, and both are lost.
/// What the first one sends in vain still opens its NAT for the second.
pub(super) const STAGGER: Duration = Duration::from_millis(200);
/// How much longer the first slot of that side is: where the news came so much apart that the first initiations crossed, the second
/// ones do not.
pub(super) const DRIFT: Duration = Duration::from_millis(300);

/// How long an initiation of the peer may lead to nothing: then it crossed ours, and WireGuard itself would try again 5 s after
/// the last. Round-trip times above are rare, and cost one more initiation.
pub(super) const CROSSED: Duration = Duration::from_millis(500);
/// How much longer the side waits that yields: the other one has looked at its device by then, and has been heard.
pub(super) const CROSSED_YIELDS: Duration = Duration::from_millis(1200);

#[derive(Debug, Default)]
pub(super) struct Slots {
    not_before: Timestamp,
    current: Option<Current>,
    /// When each candidate of the present rounds was last tried.
    tried: Vec<(SocketAddr, Timestamp)>,
    round_began: Option<Timestamp>,
    /// How many bytes the peer sent without a session.
    heard_bytes: u64,
    /// From when on the last of them is taken for a crossing.
    crossed_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    endpoint: SocketAddr,
    since: Timestamp,
    until: Timestamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) begins: bool,
    /// Whether WireGuard must forget when it last sent an initiation.
    pub(super) afresh: bool,
}

impl Slots {
    /// Returns when the next slot begins.
    pub(super) fn next(&self) -> Timestamp {
        let next = self.current.map_or(self.not_before, |current| current.until);
        self.crossed_at.map_or(next, |at| at.min(next))
    }

    /// Takes in how many bytes the peer sent, and from where: an initiation of it makes that the place to try.
    pub(super) fn hear(&mut self, now: Timestamp, bytes: u64, from: SocketAddr, yields: bool) {
        if bytes <= std::mem::replace(&mut self.heard_bytes, bytes) {
            return;
        }
        self.crossed_at = Some(now + CROSSED + if yields { CROSSED_YIELDS } else { Duration::ZERO });
        self.current = Some(Current {
            endpoint: from,
            since: now,
            until: now + FIRST_SLOT,
        });
    }

    /// Takes in that there was a session, or that the peer is nowhere: what was heard before says nothing any more.
    pub(super) fn hear_nothing(&mut self) {
        self.crossed_at = None;
    }

    /// Returns whose turn it is; `yields` says that this side is the one that waits longer.
    pub(super) fn turn(&mut self, now: Timestamp, candidates: &[Candidate], yields: bool) -> Turn {
        if let Some(current) = self.current
            && self.crossed_at.is_some_and(|at| at <= now)
        {
            self.crossed_at = None;
            return Turn {
                endpoint: Some(current.endpoint),
                begins: true,
                afresh: true,
            };
        }
        if self.has_news(now, candidates) {
            self.tried.clear();
            self.current = None;
            self.round_began = Some(now);
            self.not_before = now + SETTLE + if yields { STAGGER } else { Duration::ZERO };
        }
        if now < self.not_before {
            return Turn::default();
        }
        // A candidate that is forgotten meanwhile keeps its slot: whoever invents many must not hurry the others.
        if let Some(current) = self.current.filter(|current| now < current.until) {
            return Turn {
                endpoint: Some(current.endpoint),
                ..Turn::default()
            };
        }
        self.current = self.choose(now, candidates, yields);
        Turn {
            endpoint: self.current.map(|current| current.endpoint),
            begins: self.current.is_some(),
            afresh: false,
        }
    }

    /// Returns when the candidate was last tried in the present rounds.
    fn tried(&self, candidate: &Candidate) -> Option<Timestamp> {
        let tried = self.tried.iter().find(|(endpoint, _)| *endpoint == candidate.endpoint);
        tried.map(|(_, at)| *at)
    }

    fn choose(&mut self, now: Timestamp, candidates: &[Candidate], yields: bool) -> Option<Current> {
        let drift = if yields && self.tried.is_empty() {
            DRIFT
        } else {
            Duration::ZERO
        };
        let untried = candidates.iter().find(|candidate| self.tried(candidate).is_none());
        let (candidate, slot) = match untried {
            Some(candidate) => (candidate, FIRST_SLOT),
            None => (
                candidates.iter().min_by_key(|candidate| self.tried(candidate))?,
                LATER_SLOT,
            ),
        };
        self.tried.retain(|(endpoint, _)| *endpoint != candidate.endpoint);
        self.tried.push((candidate.endpoint, now));
        Some(Current {
            endpoint: candidate.endpoint,
            since: now,
            until: now + slot + drift,
        })
    }

    /// Returns whether the first round begins anew, because of a candidate that was not there before: the other side has news in
    /// the same moment, and both should try the best candidates together.
    fn has_news(&mut self, now: Timestamp, candidates: &[Candidate]) -> bool {
        self.tried
            .retain(|(endpoint, _)| candidates.iter().any(|candidate| candidate.endpoint == *endpoint));
        let is_news = candidates.iter().any(|candidate| self.tried(candidate).is_none());
        let may_begin = self.round_began.is_none_or(|at| now.since(at) >= ROUND_AGAIN);
        let slot_done = self
            .current
            .is_none_or(|current| now.since(current.since) >= FIRST_SLOT);
        is_news && may_begin && slot_done
    }

    pub(super) fn explain(&self, now: Timestamp, candidates: &[Candidate]) -> String {
        let Some(current) = self.current else {
            return format!("{} candidates are to be tried", candidates.len());
        };
        let kind = candidates
            .iter()
            .find(|candidate| candidate.endpoint == current.endpoint)
            .map(|c| c.kind);
        let kind = kind.map(|kind| format!(" ({kind})")).unwrap_or_default();
        format!(
            "no handshake yet; trying {}{kind} for {} s, {} of {} candidates were tried",
            current.endpoint,
            now.since(current.since).as_secs(),
            self.tried.len(),
            candidates.len()
        )
    }
}
