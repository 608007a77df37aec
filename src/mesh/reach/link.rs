//! The direct link to one peer: Idle -> Probing -> Up -> Suspect.
//!
//! ```text
//! Idle     no session, nowhere to try
//! Probing  not confirmed: where both sides probe, the path that answers is taken (`nominee`); else one candidate per handshake
//!          slot (`slot`). With a session: waiting for what confirms it
//! Up       a live handshake, and heartbeats are answered ([`pulse`]), or, of a v1 node, signs of life are heard. Traffic takes this way
//!          when the other side says the same ([`agreement`])
//! Suspect  was Up, and nothing comes back, or its handshake is too old (of a v1 node only that): traffic goes back to a router
//! ```
//!
//! Handshakes are WireGuard's business; this machine only chooses where they are sent, while Probing, and where a session that is not
//! heard any more turns to.

pub mod agreement;
mod better;
mod call;
pub mod candidate;
mod contact;
mod explain;
pub mod fit;
mod heard;
mod hold;
pub mod liveness;
mod nominee;
pub mod pulse;
pub mod quality;
mod resumed;
pub mod shared_key;
mod slot;
mod turn;
mod unheard;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use self::agreement::{Agreement, Standing};
use self::better::Better;
use self::candidate::{Candidate, Kind};
pub use self::contact::{Contact, HEALTH_LIMIT};
use self::fit::{Fit, Found, Sized};
pub use self::heard::Answer;
use self::liveness::V1_TTL;
use self::nominee::Nominee;
pub use self::nominee::{Proof, Reach};
use self::pulse::Pulse;
use self::resumed::Resumed;
use self::slot::Slots;
use self::unheard::Received;
use crate::mesh::base::time::Timestamp;

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
            Self::SignOfLife => "nothing heard from the peer through the tunnel",
            Self::Handshake => "no completed handshake",
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
    /// The heartbeats of the session, where the peer answers them.
    pulse: Option<Box<Pulse>>,
    /// Which packets its path takes.
    fit: Option<Box<Fit>>,
    /// What of that was found with an answer, and is not told yet.
    fits: Option<Found>,
    better: Better,
    /// Whether the peer says how it stands to the link, as of the last look.
    agrees: bool,
    /// When it last did.
    agreed_at: Option<Timestamp>,
    /// Whether both sides send directly.
    agreement: Option<Box<Agreement>>,
    /// How often it failed lately, and until when it is not trusted again.
    failures: u8,
    not_before: Timestamp,
    /// Whether traffic took this way, as of the last look.
    carried: bool,
    yields: bool,
    /// Whether the operator wants no direct link for now.
    paused: bool,
    /// When the peer called for probes last, as it does not reach this node any more.
    called: Option<Timestamp>,
    /// Until when traffic goes on to take this way at most, because it did when the last run ended.
    resumed: Option<Resumed>,
    /// The endpoint that WireGuard had when the peer was first seen.
    found: Option<Box<SocketAddr>>,
    /// The last endpoint with a live session, and until when that counts as one. Both are missing of most of a thousand peers.
    proven: Option<Box<(SocketAddr, Timestamp)>>,
    /// What WireGuard received since the link is suspect.
    received: Option<Received>,
    look_at: Option<Timestamp>,
}

/// The shortest time between two looks at a link.
const MOMENT: Duration = Duration::from_millis(1);
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
    /// The number of the heartbeat that is due, if one is.
    pub beat: Option<u32>,
    /// The one of a certain size that goes beside it.
    pub sized: Option<Sized>,
    /// What is different about the size of packets that pass, if anything.
    pub found: Option<Found>,
    /// What must be said to the peer about the link, if anything.
    pub say: Option<Standing>,
    /// Whether traffic may take this way now, and might not, or the other way round.
    pub moved: bool,
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
            pulse: None,
            fit: None,
            fits: None,
            better: Better::default(),
            agrees: false,
            agreed_at: None,
            agreement: None,
            failures: 0,
            not_before: Timestamp::START,
            carried: false,
            yields,
            paused: false,
            called: None,
            resumed: None,
            found: found.map(Box::new),
            proven: None,
            received: None,
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

    /// Returns whether the peer was one of ours lately, whatever it seems to be now: a member may lie about itself.
    pub fn was_ours_lately(&self, now: Timestamp) -> bool {
        self.agreed_at.is_some_and(|at| now.since(at) < V1_TTL)
    }

    /// Returns whether the link works, as far as this side knows.
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Returns whether traffic may take this way: the link works, and the other side says the same, where it can.
    pub fn carries(&self) -> bool {
        let is_agreed = || self.agreement.as_ref().is_some_and(|agreement| agreement.is_agreed());
        let works = self.is_up() && (!self.agrees || is_agreed());
        (works || self.resumed.is_some()) && !self.paused
    }

    /// Has traffic go another way whatever the link can do, or no longer so; the other side is told.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Returns whether the operator wants no direct link for now.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Returns when traffic moves to this way, where both sides wait for that moment.
    pub fn moves_at(&self) -> Option<Timestamp> {
        let agreement = self.agreement.as_ref().filter(|_| self.agrees);
        agreement.and_then(|agreement| agreement.moves_at())
    }

    /// Looks at the peer and moves on. Candidates come in the order in which they should be tried.
    pub fn advance(&mut self, now: Timestamp, contact: &Contact, candidates: &[Candidate], reach: &Reach) -> Step {
        let mut step = Step::default();
        if contact.is_healthy(now) {
            let session = contact.endpoint.zip(contact.last_handshake);
            self.proven = session.map(|(endpoint, at)| Box::new((endpoint, at + HEALTH_LIMIT)));
        }
        self.keep_pulse(now, contact);
        let next = self.next_state(now, contact, candidates);
        if next != self.state {
            step.left = Some(self.state);
            self.enter(now, next);
        }
        if self.state == State::Probing && !contact.is_healthy(now) {
            let turn = self.turn(now, contact, candidates, reach);
            (step.endpoint, step.knock, step.afresh) = (turn.endpoint, turn.begins, turn.afresh);
        } else if matches!(self.state, State::Suspect(_)) && contact.is_healthy(now) {
            step.endpoint = self.turn_to(now, contact, candidates, reach);
        } else if self.is_up() && step.left.is_none() {
            step.endpoint = self.improve(now, contact, candidates, reach);
        }
        let is_up = self.is_up() && !self.paused;
        step.found = self.keep_fit(now, contact);
        if let Some(pulse) = &mut self.pulse {
            pulse.settle(now, is_up);
            step.beat = pulse.beat(now);
            let goes_along = step.beat.is_some() && is_up && !pulse.is_doubted();
            step.sized = self.fit.as_mut().filter(|_| goes_along).and_then(|fit| fit.ask(now));
        }
        if let Some(agreement) = self.agreement.as_mut().filter(|_| self.agrees) {
            let round_trip = self.pulse.as_ref().and_then(|pulse| pulse.quality().round_trip);
            agreement.set(now, is_up || self.resumed.is_some() && !self.paused);
            agreement.settle(now, round_trip.unwrap_or_default() / 2);
            step.say = agreement.say(now);
        }
        self.judge_resumed(now, contact);
        let carries = self.carries();
        step.moved = std::mem::replace(&mut self.carried, carries) != carries;
        self.look_at = self.next(now, contact).into_iter().chain(contact.next(now)).min();
        step
    }

    /// Has heartbeats while there is a session with a peer that answers them.
    fn keep_pulse(&mut self, now: Timestamp, contact: &Contact) {
        if !contact.is_healthy(now) || !contact.beats() {
            (self.pulse, self.fit) = (None, None);
        } else if self.pulse.is_none() {
            self.pulse = Some(Box::new(Pulse::new(now, contact.routes)));
        }
        self.agrees = contact.beats();
        if self.agrees {
            self.agreed_at = Some(now);
            self.agreement.get_or_insert_default();
        }
    }

    fn enter(&mut self, now: Timestamp, next: State) {
        if self.state == State::Up {
            self.note_failure(now);
            self.better.end(now);
        }
        self.state = next;
        self.since = now;
        self.slots = None;
        self.nominee = None;
    }

    /// Returns whether [`advance`](Self::advance) needs to know the candidates.
    pub fn wants_candidates(&self, now: Timestamp, contact: &Contact, reach: &Reach) -> bool {
        match self.state {
            State::Up => self.is_called(now) || reach.may_improve && self.seeks_better(now, contact),
            State::Suspect(_) => true,
            State::Idle | State::Probing => !contact.is_healthy(now),
        }
    }

    /// Returns when something about the peer changes by time alone, as of the last [`advance`](Self::advance).
    pub fn look_at(&self) -> Option<Timestamp> {
        self.look_at
    }

    fn next_state(&self, now: Timestamp, contact: &Contact, candidates: &[Candidate]) -> State {
        match self.state {
            State::Up if self.is_kept(now, contact) => State::Up,
            State::Up if contact.is_healthy(now) => State::Suspect(Missing::SignOfLife),
            State::Up => State::Suspect(Missing::Handshake),
            State::Suspect(_) | State::Probing | State::Idle if self.is_confirmed(now, contact) => State::Up,
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

    /// Returns whether the link may go up: where the peer answers heartbeats, both directions are known to work.
    fn is_confirmed(&self, now: Timestamp, contact: &Contact) -> bool {
        match &self.pulse {
            Some(pulse) => {
                contact.is_healthy(now)
                    && pulse.is_proven(now)
                    && now >= self.not_before
                    && !self.was_proven_before(pulse)
            }
            None => contact.is_confirmed(now) && !contact.beats(),
        }
    }

    fn is_kept(&self, now: Timestamp, contact: &Contact) -> bool {
        match &self.pulse {
            Some(pulse) => contact.is_healthy(now) && !pulse.is_dead(now),
            None => contact.is_kept(now),
        }
    }

    /// Returns when the link next changes by time alone.
    pub fn next(&self, now: Timestamp, contact: &Contact) -> Option<Timestamp> {
        let silence = contact.liveness.map(|liveness| liveness.expires());
        let staleness = contact.last_handshake.map(|at| at + HEALTH_LIMIT);
        let pulse = self.pulse.as_ref().map(|pulse| pulse.next());
        let fit = self.fit_next();
        let held = matches!(self.state, State::Suspect(_)).then_some(self.not_before);
        let agreement = self.agreement.as_ref().filter(|_| self.agrees);
        let said = agreement.and_then(|agreement| agreement.next());
        let at = match self.state {
            State::Idle => None,
            State::Probing if contact.is_healthy(now) => staleness,
            State::Probing => {
                let nominee = self.nominee.as_ref().map(|nominee| nominee.next());
                let slots = self.slots.as_ref().map(|slots| slots.next());
                let slots = slots.or(nominee.is_none().then_some(self.since + PROBES_FIRST));
                nominee.into_iter().chain(slots).min()
            }
            State::Up if contact.basic || contact.is_v1() => staleness,
            State::Up => silence.min(staleness),
            State::Suspect(_) => staleness,
        };
        let soon = pulse
            .into_iter()
            .chain(said)
            .chain(self.moves_at())
            .chain(self.resumed.map(|resumed| resumed.until))
            .chain(self.call_ends(now))
            .chain(self.better.next(now))
            .chain(fit)
            .map(|at| at.max(now + MOMENT));
        let held = held.filter(|at| *at > now);
        at.filter(|at| *at > now).into_iter().chain(held).chain(soon).min()
    }
}

#[cfg(test)]
mod tests;
