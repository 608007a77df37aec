//! One peer, as it is probed and answers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::Rng as _;

use super::forecast::Forecast;
use super::schedule::Schedule;
use super::window::Window;
use super::wire::{Kind, Message};
use super::{PROOF_FOR, Proof};
use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::signal::ProbeForm;

/// How long a probe waits for its answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// The most probes to one peer that wait for their answers.
const MAX_ASKED: usize = 64;
/// The most places from which a peer was heard that are kept: ICE calls them peer-reflexive (RFC 8445, 5.1.1).
const MAX_HEARD_FROM: usize = 4;
/// Of how many places it is kept what came of asking them, the last ones.
const MAX_TRIED: usize = 32;
/// How often a place from which a peer asks is asked back at most.
const ASK_BACK_EVERY: Duration = Duration::from_millis(200);

/// What is remembered of a peer that is probed, or was heard.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// How it is asked.
    pub(super) form: ProbeForm,
    pub(super) probes: Window,
    pub(super) signals: Window,
    pub(super) counter: u64,
    /// Whom to ask when, while the peer is looked for.
    pub(super) schedule: Option<Schedule>,
    pub(super) asked: VecDeque<Asked>,
    pub(super) heard_from: Vec<(SocketAddr, Timestamp)>,
    pub(super) proofs: Vec<Proof>,
    pub(super) punched: Option<Timestamp>,
    /// Who can say which port the NAT of this node gives, where the peer may need to know.
    pub(super) observer: Option<(PublicKey, SocketAddr)>,
    /// What is known of that.
    pub(super) forecasts: Vec<Forecast>,
    /// Where the peer may be by its own forecast, as far as it was not asked there, and when the next one is asked.
    pub(super) foreseen: VecDeque<SocketAddr>,
    pub(super) foreseen_at: Timestamp,
    pub(super) tried: Vec<Tried>,
}

/// How often a place was asked, and what it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Where.
    pub endpoint: SocketAddr,
    /// How often.
    pub times: u32,
    /// When last.
    pub last: Timestamp,
    /// When it answered last, and how long that took.
    pub answered: Option<(Timestamp, Duration)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) transaction: u64,
    pub(super) to: SocketAddr,
    pub(super) at: Timestamp,
}

impl Peer {
    /// Returns when the next probe is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let round = self.schedule.as_ref().and_then(Schedule::next);
        let foreseen = (!self.foreseen.is_empty()).then_some(self.foreseen_at);
        let looks = self.forecasts.iter().filter_map(|forecast| forecast.after_at);
        round.into_iter().chain(foreseen).chain(looks).min()
    }

    /// Has it looked for no longer.
    pub(super) fn rest(&mut self) {
        self.schedule = None;
        self.foreseen = VecDeque::new();
    }

    /// Forgets which ports were foreseen, of either side.
    pub(super) fn forget_forecasts(&mut self) {
        self.forecasts.clear();
        self.foreseen.clear();
    }

    pub(super) fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(super) fn ask(&mut self, now: Timestamp, epoch: u64, to: SocketAddr, random: &mut ChaCha20Rng) -> Message {
        let transaction = random.next_u64();
        self.asked.retain(|asked| now.since(asked.at) < PATIENCE);
        if self.asked.len() >= MAX_ASKED {
            self.asked.pop_front();
        }
        self.note_asked(now, to);
        self.asked.push_back(Asked {
            transaction,
            to,
            at: now,
        });
        Message {
            form: self.form,
            kind: Kind::Probe,
            epoch,
            counter: self.count(),
            transaction,
        }
    }

    fn note_asked(&mut self, now: Timestamp, endpoint: SocketAddr) {
        if let Some(tried) = self.tried.iter_mut().find(|tried| tried.endpoint == endpoint) {
            (tried.times, tried.last) = (tried.times.saturating_add(1), now);
            return;
        }
        if self.tried.len() >= MAX_TRIED {
            let oldest = (0..self.tried.len()).min_by_key(|index| self.tried[*index].last);
            oldest.map(|index| self.tried.swap_remove(index));
        }
        self.tried.push(Tried {
            endpoint,
            times: 1,
            last: now,
            answered: None,
        });
    }

    /// Asks which port the NAT gives to a datagram that leaves now; the answer is awaited elsewhere.
    pub(super) fn look(&mut self, epoch: u64, random: &mut ChaCha20Rng) -> Message {
        Message {
            form: self.form,
            kind: Kind::Look,
            epoch,
            counter: self.count(),
            transaction: random.next_u64(),
        }
    }

    /// Answers a question that came from there.
    pub(super) fn answer(&mut self, epoch: u64, source: SocketAddr, question: &Message) -> Message {
        Message {
            kind: Kind::Answer { source },
            epoch,
            counter: self.count(),
            ..*question
        }
    }

    /// Returns what was asked, once.
    pub(super) fn answered(&mut self, now: Timestamp, transaction: u64) -> Option<Asked> {
        let at = self.asked.iter().position(|asked| asked.transaction == transaction)?;
        self.asked.remove(at).filter(|asked| now.since(asked.at) < PATIENCE)
    }

    /// Takes in a path that works. An answer from elsewhere proves nothing of where the question went, but is a place to ask
    /// (RFC 8445, 7.2.5.2.1).
    pub(super) fn prove(&mut self, now: Timestamp, asked: Asked, source: SocketAddr) {
        if asked.to != source {
            self.hear_from(now, source);
            return;
        }
        if let Some(tried) = self.tried.iter_mut().find(|tried| tried.endpoint == source) {
            tried.answered = Some((now, now.since(asked.at)));
        }
        self.proofs
            .retain(|proof| proof.endpoint != source && now.since(proof.at) < PROOF_FOR);
        self.proofs.push(Proof {
            endpoint: source,
            round_trip: now.since(asked.at),
            at: now,
        });
    }

    /// Takes in from where the peer was heard; returns whether to ask there at once.
    pub(super) fn hear_from(&mut self, now: Timestamp, source: SocketAddr) -> bool {
        self.heard_from.retain(|(from, _)| *from != source);
        if self.heard_from.len() >= MAX_HEARD_FROM {
            self.heard_from.remove(0);
        }
        self.heard_from.push((source, now));
        let asked_lately = |asked: &Asked| asked.to == source && now.since(asked.at) < ASK_BACK_EVERY;
        let is_proven = |proof: &Proof| proof.endpoint == source && now.since(proof.at) < PROOF_FOR / 4;
        self.schedule.is_some() && !self.asked.iter().any(asked_lately) && !self.proofs.iter().any(is_proven)
    }
}
