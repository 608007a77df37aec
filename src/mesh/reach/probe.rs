//! Probes: whether a peer can be reached at an endpoint, asked and answered from WireGuard's own port.
//!
//! What leaves from that port opens the same NAT and firewall mappings as WireGuard's packets, and WireGuard drops what is not its
//! own. So an answer proves a path that a handshake can take at once, in one round-trip time and without changing the device.
//!
//! [`schedule`] says who is asked when, [`wire`] is the datagram, [`pairs`] finds its peer and proves it, [`window`] refuses what was
//! replayed, [`rate`] what is too much; `forecast` says where a peer may find this node behind a NAT that counts its ports up, and
//! `due` brings it all together when something is to be sent.

mod due;
mod forecast;
mod look;
pub mod pairs;
mod peer;
pub mod rate;
pub mod schedule;
mod signal;
#[cfg(test)]
mod tests;
pub mod window;
pub mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use chacha20::ChaCha20Rng;
use zeroize::Zeroizing;

use self::forecast::Flows;
pub use self::forecast::MAX_PORTS;
pub use self::look::Look;
use self::pairs::{Pairs, Unproven};
use self::peer::Peer;
pub use self::peer::Tried;
use self::rate::{Bucket, Limiter};
use self::schedule::Schedule;
use self::window::Stale;
use self::wire::{Kind, Message, ProbeError};
use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::signal::ProbeForm;

/// How long an answer proves a path.
pub const PROOF_FOR: Duration = Duration::from_secs(10);
/// How long such a place is one to try.
const HEARD_FROM_FOR: Duration = Duration::from_secs(300);
/// How many probes are sent in a second on the average, and at once: a newcomer with a thousand peers takes its time.
const SENT_RATE: u32 = 512;

/// A path that was found to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Where the peer answered.
    pub endpoint: SocketAddr,
    /// How long that took.
    pub round_trip: Duration,
    /// When it was heard.
    pub at: Timestamp,
}

/// What came of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A peer asked.
    Asked {
        /// Who.
        peer: PublicKey,
        /// The answer, for the place from which it asked.
        answer: Vec<u8>,
        /// A probe of ours to that place, where the peer is probed.
        ask_back: Option<Vec<u8>>,
    },
    /// A peer asked which port the NAT of this machine, or of its own, gave to a datagram.
    Looked {
        /// Who.
        peer: PublicKey,
        /// The answer, for the place at which WireGuard has the peer.
        answer: Vec<u8>,
    },
    /// A router answered that.
    Shown {
        /// The peer that can be told now where to probe.
        about: Option<PublicKey>,
    },
    /// A peer answered.
    Answered {
        /// Who.
        peer: PublicKey,
        /// From where it saw the probe come.
        seen: SocketAddr,
    },
}

/// Why a datagram, or a signal, is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Dropped {
    /// More than one peer, or all of them, may send; or more that nobody proved than one address, or all, may.
    #[error("too many")]
    TooMany,
    /// Not a probe that this node knows.
    #[error(transparent)]
    Layout(ProbeError),
    /// Of no peer.
    #[error("from a key that is no peer")]
    Stranger,
    /// Not what a peer said.
    #[error("the tag does not fit")]
    WrongTag,
    /// Old, or heard before.
    #[error(transparent)]
    Stale(Stale),
    /// An answer to no question of ours, or too late.
    #[error("an answer that was not asked for")]
    Unasked,
}

impl From<Unproven> for Dropped {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::Stranger => Self::Stranger,
            Unproven::WrongTag(_) => Self::WrongTag,
        }
    }
}

/// What goes out at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Looks that leave before the probes.
    pub before: Vec<Look>,
    /// Probes: to where, and what.
    pub probes: Vec<(SocketAddr, Vec<u8>)>,
    /// Looks that leave after them.
    pub after: Vec<Look>,
    /// Peers that should probe now, too.
    pub punches: Vec<PublicKey>,
}

/// The probes of all peers.
pub struct Probing {
    own_key: PublicKey,
    /// When this node was started, in milliseconds since 1970.
    epoch: u64,
    /// Whether it can send probes.
    able: bool,
    /// The newest form that it knows.
    newest: ProbeForm,
    /// Whether ports are predicted.
    predicts: bool,
    /// How many flows that opened lately.
    flows: Flows,
    /// What looks are for that wait for their answers, by transaction.
    looks: BTreeMap<u64, look::Asked>,
    /// From when on looks make sense again.
    look_from: Timestamp,
    pairs: Pairs,
    peers: BTreeMap<PublicKey, Box<Peer>>,
    /// How much of each peer is answered.
    taken: Limiter<PublicKey>,
    /// How much that no peer sent just now is told of.
    refused: Limiter,
    sent: Bucket,
    /// Who is served first next time.
    turn: Option<PublicKey>,
    next: Option<Timestamp>,
}

impl Probing {
    /// Starts without knowing whether probes can be had; `predicts` says whether ports are predicted, of this node and of others.
    pub fn new(own_key: PublicKey, now: Timestamp, predicts: bool) -> Self {
        Self {
            own_key,
            epoch: 0,
            able: false,
            newest: ProbeForm::Veiled,
            predicts,
            flows: Flows::default(),
            looks: BTreeMap::new(),
            look_from: now,
            pairs: Pairs::default(),
            peers: BTreeMap::new(),
            taken: Limiter::new(now),
            refused: Limiter::new(now),
            sent: Bucket::full(now, SENT_RATE),
            turn: None,
            next: None,
        }
    }

    /// Takes in whether ports are predicted from now on.
    pub fn predict(&mut self, predicts: bool) {
        self.predicts = predicts;
        if !predicts {
            self.peers.values_mut().for_each(|state| state.forget_forecasts());
        }
    }

    /// Takes in when this node was started, and whether it can send probes.
    pub fn observe(&mut self, epoch: u64, able: bool) {
        (self.epoch, self.able) = (epoch, able);
    }

    /// Returns when this node was started.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns whether it can send probes.
    pub fn is_able(&self) -> bool {
        self.able
    }

    /// Takes in a peer, with the key that follows under [`KEY_LABEL`](pairs::KEY_LABEL).
    pub fn admit(&mut self, peer: &PublicKey, key: Zeroizing<[u8; 32]>) {
        self.pairs.admit(&self.own_key, peer, key);
    }

    /// Takes in which form of probes a peer reads. Without that, questions to it are veiled.
    pub fn expect(&mut self, peer: &PublicKey, form: ProbeForm) {
        self.peers.entry(*peer).or_default().form = form.min(self.newest);
    }

    /// Returns the newest form of probes that this node knows.
    pub fn newest(&self) -> ProbeForm {
        self.newest
    }

    /// Has this node know no form after that one, as older nodes of ours, which tests put beside others.
    pub fn know(&mut self, newest: ProbeForm) {
        self.newest = newest;
    }

    /// Forgets all that are not peers any more.
    pub fn retain(&mut self, is_peer: impl Fn(&PublicKey) -> bool) {
        self.pairs.retain(&is_peer);
        self.peers.retain(|key, _| is_peer(key));
    }

    /// Has a peer looked for at these places, the best first. Those that were not there before are asked
    /// at once. Where the NAT of this node gives the peer a port of its own, an observer can help: who, and where.
    pub fn aim(
        &mut self,
        now: Timestamp,
        peer: &PublicKey,
        candidates: &[SocketAddr],
        observer: Option<(PublicKey, SocketAddr)>,
    ) {
        let state = self.peers.entry(*peer).or_default();
        state.observer = observer;
        let schedule = state.schedule.get_or_insert_with(|| Schedule::new(now));
        schedule.set(now, candidates);
        self.next = self.next.into_iter().chain(schedule.next()).min();
    }

    /// Has a peer looked for no longer: it is found, or does not probe.
    pub fn rest(&mut self, peer: &PublicKey) {
        if let Some(state) = self.peers.get_mut(peer) {
            state.rest();
        }
    }

    /// Begins anew with all that are looked for: something about the network is different.
    pub fn reset(&mut self, now: Timestamp) {
        self.look_from = now;
        for state in self.peers.values_mut() {
            state.proofs.clear();
            state.forecasts.clear();
            if let Some(schedule) = &mut state.schedule {
                schedule.reset(now);
                self.next = Some(now);
            }
        }
    }

    /// Returns the paths to a peer that were found to work lately.
    pub fn proofs(&self, now: Timestamp, peer: &PublicKey) -> Vec<Proof> {
        let proofs = self.peers.get(peer).map(|peer| &peer.proofs[..]).unwrap_or_default();
        let fresh = proofs.iter().filter(|proof| now.since(proof.at) < PROOF_FOR);
        fresh.copied().collect()
    }

    /// Returns what came of asking for a peer at a place.
    pub fn tried(&self, peer: &PublicKey, endpoint: SocketAddr) -> Option<Tried> {
        let tried = &self.peers.get(peer)?.tried;
        tried.iter().find(|tried| tried.endpoint == endpoint).copied()
    }

    /// Returns from where a peer was heard lately.
    pub fn heard_from(&self, now: Timestamp, peer: &PublicKey) -> impl Iterator<Item = SocketAddr> {
        let heard = self
            .peers
            .get(peer)
            .map(|peer| &peer.heard_from[..])
            .unwrap_or_default();
        let lately = heard.iter().filter(move |(_, at)| now.since(*at) < HEARD_FROM_FOR);
        lately.map(|(from, _)| *from)
    }

    /// Takes a datagram in. Whoever knows a peer's address can write it on what it sends, and many peers may be behind one: so only what
    /// no peer sent just now counts against an address, and what a peer sent against that peer.
    ///
    /// # Errors
    /// When it is to be dropped; with the peer that sent it, where that is certain.
    pub fn hear(
        &mut self,
        now: Timestamp,
        source: SocketAddr,
        datagram: &[u8],
        random: &mut ChaCha20Rng,
    ) -> Result<Heard, (Dropped, Option<PublicKey>)> {
        let (peer, message) = self.prove(datagram).map_err(|refusal| {
            let is_told = self.refused.admits(now, source.ip());
            if is_told { refusal } else { (Dropped::TooMany, None) }
        })?;
        if !self.taken.admits(now, peer) {
            return Err((Dropped::TooMany, Some(peer)));
        }
        match message.kind {
            Kind::Probe => Ok(self.answer(now, peer, source, &message, random)),
            Kind::Look => Ok(self.answer_look(peer, source, &message)),
            Kind::Answer { source: seen } => {
                if let Some(heard) = self.note_look(now, message.transaction, seen) {
                    return Ok(heard);
                }
                let state = self.peers.entry(peer).or_default();
                let asked = state.answered(now, message.transaction);
                let asked = asked.ok_or((Dropped::Unasked, Some(peer)))?;
                state.prove(now, asked, source);
                Ok(Heard::Answered { peer, seen })
            }
        }
    }

    /// Finds out who sent a datagram, and that it was not heard before: a tag costs less than a microsecond, and who calls this takes in no
    /// more than so many a second.
    fn prove(&mut self, datagram: &[u8]) -> Result<(PublicKey, Message), (Dropped, Option<PublicKey>)> {
        let (peer, message) = self.pairs.read(datagram).map_err(|dropped| (dropped, None))?;
        if message.form > self.newest {
            return Err((Dropped::Layout(ProbeError::Length), None));
        }
        let state = self.peers.entry(peer).or_default();
        let taken = state.probes.take(message.epoch, message.counter);
        taken.map_err(|stale| (Dropped::Stale(stale), Some(peer)))?;
        Ok((peer, message))
    }

    /// Answers a probe; where the peer is looked for, it is asked back at once: what came from there may go there.
    fn answer(
        &mut self,
        now: Timestamp,
        peer: PublicKey,
        source: SocketAddr,
        probe: &Message,
        random: &mut ChaCha20Rng,
    ) -> Heard {
        let epoch = self.epoch;
        let state = self.peers.entry(peer).or_default();
        let answer = state.answer(epoch, source, probe);
        let ask_back = (state.hear_from(now, source) && self.sent.take(now, SENT_RATE))
            .then(|| state.ask(now, epoch, source, random));
        let seal = |message: &Message| self.pairs.seal(&peer, message);
        Heard::Asked {
            peer,
            answer: seal(&answer).unwrap_or_default(),
            ask_back: ask_back.and_then(|probe| seal(&probe)),
        }
    }

    /// Returns a probe to a peer beside those that look for it: it shows from where the peer sees this node.
    pub fn ask(
        &mut self,
        now: Timestamp,
        peer: &PublicKey,
        to: SocketAddr,
        random: &mut ChaCha20Rng,
    ) -> Option<Vec<u8>> {
        let epoch = self.epoch;
        let state = self.peers.entry(*peer).or_default();
        let probe = state.ask(now, epoch, to, random);
        self.pairs.seal(peer, &probe)
    }
}
