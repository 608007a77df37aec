//! The direct link to one peer: Idle -> Probing -> Up -> Suspect.
//!
//! ```text
//! Idle     no session, nowhere to try
//! Probing  not confirmed: one candidate per handshake slot while there is no session; while there is one, waiting to hear the
//!          peer through the tunnel
//! Up       a live handshake, and the peer was heard: traffic may take this way
//! Suspect  was Up, and the peer is not heard, or its handshake is too old: traffic goes back to a router
//! ```
//!
//! Handshakes are WireGuard's business; this machine only chooses where they are sent, and only while Probing. Faster ways to
//! find the right candidate belong beside `probe`, which now is the slots alone.

pub mod candidate;
pub mod liveness;
mod nominee;
mod slot;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use self::candidate::{Candidate, Kind};
use self::liveness::{FIRST_WORDS_FOR, FIRST_WORDS_PERIOD, Liveness, OURS_PERIOD, OURS_TTL, V1_PERIOD, V1_TTL};
use self::nominee::Nominee;
pub use self::nominee::{Proof, Reach};
use self::slot::{Slots, Turn};
use super::time::Timestamp;

/// How old the last handshake of a session in use can be: rekey after 120 s, and time for it to be noticed and done
/// (rekey timeout 5 s, keepalive 10 s, retry jitter 1/3 s, one alive period 30 s; wirelink v1).
pub const HEALTH_LIMIT: Duration = Duration::from_millis(165_333);

/// How long a session can be used, and some time for the clocks of both sides (WireGuard paper, 6.1).
const SESSION_LIMIT: Duration = Duration::from_secs(185);

/// What is seen of a peer now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contact {
    /// Where WireGuard sends to.
    pub endpoint: Option<SocketAddr>,
    /// When the last handshake was completed.
    pub last_handshake: Option<Timestamp>,
    /// The last sign of life.
    pub liveness: Option<Liveness>,
    /// Whether the peer never gives one, because it runs no wirelink.
    pub basic: bool,
    /// The bytes that WireGuard took from it: without a session those of its initiations.
    pub heard_bytes: u64,
}

impl Contact {
    /// Returns whether WireGuard has a session with the peer.
    pub fn is_healthy(&self, now: Timestamp) -> bool {
        self.endpoint.is_some() && self.last_handshake.is_some_and(|at| now.since(at) < HEALTH_LIMIT)
    }

    /// Returns whether WireGuard may still take what comes in the last session (reject after time; paper, 6.1).
    fn may_have_session(&self, now: Timestamp) -> bool {
        self.last_handshake.is_some_and(|at| now.since(at) <= SESSION_LIMIT)
    }

    /// Returns whether the peer was heard and that still counts.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.liveness.is_some_and(|liveness| liveness.is_alive(now))
    }

    /// Returns when one of the signals next ceases to count.
    fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let silence = self.liveness.map(|liveness| liveness.expires());
        let staleness = self.last_handshake.map(|at| at + HEALTH_LIMIT);
        silence.into_iter().chain(staleness).filter(|at| *at > now).min()
    }

    /// Both signals, the second fresh enough to move traffic.
    fn is_confirmed(&self, now: Timestamp) -> bool {
        self.is_healthy(now) && (self.basic || self.liveness.is_some_and(|liveness| liveness.is_fresh(now)))
    }

    fn is_kept(&self, now: Timestamp) -> bool {
        self.is_healthy(now) && (self.basic || self.is_alive(now))
    }

    /// Returns how often the peer should be told that this node is alive, and how long that counts.
    pub fn alive_pace(&self, now: Timestamp) -> (Duration, Duration) {
        let new_session = self.last_handshake.is_some_and(|at| now.since(at) < FIRST_WORDS_FOR);
        match self.liveness {
            Some(heard) if heard.is_one_of_ours(now) => (OURS_PERIOD, OURS_TTL),
            _ if new_session && !self.basic && !self.is_alive(now) => (FIRST_WORDS_PERIOD, V1_TTL),
            Some(_) | None => (V1_PERIOD, V1_TTL),
        }
    }

    fn dialect(&self) -> &'static str {
        match self.liveness {
            _ if self.basic => " (no wirelink there)",
            Some(liveness) if liveness.announcement().is_none() => " (wirelink v1)",
            Some(_) | None => "",
        }
    }
}

/// The states of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nowhere to try.
    Idle,
    /// Not confirmed yet.
    Probing,
    /// Confirmed by both signals.
    Up,
    /// It was up, and a signal is missing.
    Suspect(Missing),
}

/// Which signal a link lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The peer was not heard through the tunnel in time.
    SignOfLife,
    /// The last handshake is too old.
    Handshake,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SignOfLife => "no sign of life through the tunnel",
            Self::Handshake => "no handshake",
        })
    }
}

/// The machine of one link.
#[derive(Debug)]
pub struct Link {
    state: State,
    since: Timestamp,
    slots: Option<Box<Slots>>,
    nominee: Option<Box<Nominee>>,
    yields: bool,
    /// The endpoint that WireGuard had when the peer was first seen.
    found: Option<Box<SocketAddr>>,
    /// The last endpoint with a live session, and until when that counts as one. Both are missing of most of a thousand peers.
    proven: Option<Box<(SocketAddr, Timestamp)>>,
    look_at: Option<Timestamp>,
}

/// How long probes alone look for a peer that answers them; then its candidates are tried one by one, too.
const PROBES_FIRST: Duration = Duration::from_secs(15);
/// How long an endpoint that worked stays a candidate.
const PROVEN_FOR: Duration = Duration::from_secs(3600);

/// What came of a look at a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The state that was left, if it was.
    pub left: Option<State>,
    /// Where WireGuard should send, if this link has an opinion now.
    pub endpoint: Option<SocketAddr>,
    /// Whether WireGuard should be made to send, so that a handshake begins.
    pub knock: bool,
    /// Whether WireGuard must forget before that when it last sent an initiation: ours and the peer's crossed, and both are lost.
    pub afresh: bool,
}

impl Link {
    /// Starts in [`State::Idle`]; `found` is the endpoint that the operator, or the peer's roaming, left on the device. Of the two
    /// sides of a link one `yields`: it knocks a little later than the other.
    pub fn new(now: Timestamp, found: Option<SocketAddr>, yields: bool) -> Self {
        Self {
            state: State::Idle,
            since: now,
            slots: None,
            nominee: None,
            yields,
            found: found.map(Box::new),
            proven: None,
            look_at: Some(now),
        }
    }

    /// Returns the endpoint that WireGuard had when the peer was first seen.
    pub fn found(&self) -> Option<SocketAddr> {
        self.found.as_deref().copied()
    }

    /// Returns the candidates that the link knows by itself: where the peer was found, and where it was reached lately.
    pub fn remembered(&self, now: Timestamp) -> impl Iterator<Item = (SocketAddr, Kind)> {
        let found = self.found().map(|endpoint| (endpoint, Kind::Configured));
        let proven = self.proven.as_deref().filter(|(_, at)| now.since(*at) < PROVEN_FOR);
        found
            .into_iter()
            .chain(proven.map(|(endpoint, _)| (*endpoint, Kind::Reflexive)))
    }

    /// Returns the state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns since when the link has been in its state.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Returns whether traffic may take this way.
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Looks at the peer and moves on. Candidates come in the order in which they should be tried.
    pub fn advance(&mut self, now: Timestamp, contact: &Contact, candidates: &[Candidate], reach: &Reach) -> Step {
        let mut step = Step::default();
        if contact.is_healthy(now) {
            let session = contact.endpoint.zip(contact.last_handshake);
            self.proven = session.map(|(endpoint, at)| Box::new((endpoint, at + HEALTH_LIMIT)));
        }
        let next = self.next_state(now, contact, candidates);
        if next != self.state {
            step.left = Some(self.state);
            self.state = next;
            self.since = now;
            self.slots = None;
            self.nominee = None;
        }
        if self.state == State::Probing && !contact.is_healthy(now) {
            let turn = self.turn(now, contact, candidates, reach);
            (step.endpoint, step.knock, step.afresh) = (turn.endpoint, turn.begins, turn.afresh);
        }
        self.look_at = self.next(now, contact).into_iter().chain(contact.next(now)).min();
        step
    }

    /// Returns where a handshake is tried next: on a path that answered, or, where probes are not to be had or find nothing, on one
    /// candidate after the other.
    fn turn(&mut self, now: Timestamp, contact: &Contact, candidates: &[Candidate], reach: &Reach) -> Turn {
        let was_nominated = self.nominee.is_some();
        if reach.probed && (was_nominated || !reach.proofs.is_empty()) {
            let mut nominee = self.nominee.take().map(|nominee| *nominee);
            let is_tried = contact.endpoint.is_some() && !contact.may_have_session(now);
            let turn = nominee::turn(&mut nominee, now, reach, candidates, self.yields, is_tried);
            self.nominee = nominee.map(Box::new);
            self.slots = None;
            return turn;
        }
        self.nominee = None;
        if reach.probed && now.since(self.since) < PROBES_FIRST {
            return Turn::default();
        }
        let slots = self.slots.get_or_insert_default();
        match contact.endpoint {
            Some(from) if contact.last_handshake.is_none() => slots.hear(now, contact.heard_bytes, from, self.yields),
            Some(_) | None => slots.hear_nothing(),
        }
        slots.turn(now, candidates, self.yields)
    }

    /// Returns whether [`advance`](Self::advance) needs to know the candidates.
    pub fn wants_candidates(&self, now: Timestamp, contact: &Contact) -> bool {
        self.state != State::Up && !contact.is_healthy(now)
    }

    /// Returns when something about the peer changes by time alone, as of the last [`advance`](Self::advance).
    pub fn look_at(&self) -> Option<Timestamp> {
        self.look_at
    }

    fn next_state(&self, now: Timestamp, contact: &Contact, candidates: &[Candidate]) -> State {
        match self.state {
            State::Up if contact.is_kept(now) => State::Up,
            State::Up if contact.is_healthy(now) => State::Suspect(Missing::SignOfLife),
            State::Up => State::Suspect(Missing::Handshake),
            State::Suspect(_) | State::Probing | State::Idle if contact.is_confirmed(now) => State::Up,
            State::Suspect(why) if contact.is_healthy(now) => State::Suspect(why),
            State::Suspect(_) | State::Probing | State::Idle => {
                if contact.is_healthy(now) || !candidates.is_empty() {
                    State::Probing
                } else {
                    State::Idle
                }
            }
        }
    }

    /// Returns when the link next changes by time alone.
    pub fn next(&self, now: Timestamp, contact: &Contact) -> Option<Timestamp> {
        let silence = contact.liveness.map(|liveness| liveness.expires());
        let staleness = contact.last_handshake.map(|at| at + HEALTH_LIMIT);
        let at = match self.state {
            State::Idle => None,
            State::Probing if contact.is_healthy(now) => staleness,
            State::Probing => {
                let nominee = self.nominee.as_ref().map(|nominee| nominee.next());
                let slots = self.slots.as_ref().map(|slots| slots.next());
                let slots = slots.or((nominee.is_none()).then_some(self.since + PROBES_FIRST));
                nominee.into_iter().chain(slots).min()
            }
            State::Up if contact.basic => staleness,
            State::Up => silence.min(staleness),
            State::Suspect(_) => staleness,
        };
        at.filter(|at| *at > now)
    }

    /// Returns in one line why traffic does not take this way, or that it does.
    pub fn explain(&self, now: Timestamp, contact: &Contact, candidates: &[Candidate]) -> String {
        let heard = contact
            .liveness
            .map(|liveness| now.since(liveness.last_heard()).as_secs());
        match self.state {
            State::Idle => "no endpoint is known for it".into(),
            State::Probing if contact.is_healthy(now) => match heard {
                Some(seconds) => format!("WireGuard is connected; wirelink there was last heard {seconds} s ago"),
                None => "WireGuard is connected; no wirelink was heard there: does it run, on the same port?".into(),
            },
            State::Probing => match (&self.nominee, &self.slots) {
                (Some(nominee), _) => format!("{} answered a probe, and WireGuard begins there", nominee.endpoint()),
                (None, Some(slots)) => slots.explain(now, candidates),
                (None, None) => format!("no answer yet from any of {} candidates", candidates.len()),
            },
            State::Up => match contact.endpoint {
                Some(endpoint) => format!("direct through {endpoint}{}", contact.dialect()),
                None => "direct".into(),
            },
            State::Suspect(why) => format!(
                "{why} for {} s",
                heard.unwrap_or_else(|| now.since(self.since).as_secs())
            ),
        }
    }
}

#[cfg(test)]
mod tests;
