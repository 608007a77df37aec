//! What goes out at one moment: probes to candidates and to where a peer may be by its forecast, and looks around them.

use std::time::Duration;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::Rng as _;

use super::forecast::{Forecast, LOOKS, Side};
use super::schedule::PACE;
use super::{Due, Probing, SENT_RATE};
use crate::mesh::identity::PublicKey;
use crate::mesh::time::Timestamp;

/// How soon the next probes follow where those of a second were used up.
const SENT_AGAIN: Duration = Duration::from_millis(20);
/// From which ports looks leave: those that no service has (RFC 6335, 6).
const LOOK_PORTS: std::ops::Range<u16> = 49_152..65_535;

impl Probing {
    /// Returns when [`due`](Self::due) next has something.
    pub fn next(&self) -> Option<Timestamp> {
        self.next.filter(|_| self.able)
    }

    /// Returns what goes out now, and counts on it being sent.
    pub fn due(&mut self, now: Timestamp, random: &mut ChaCha20Rng) -> Due {
        let mut due = Due::default();
        if !self.able || self.next.is_none_or(|at| at > now) {
            return due;
        }
        for key in self.order() {
            let next = self.peers.get(&key).and_then(|state| state.next());
            if next.is_none_or(|at| at > now) {
                continue;
            }
            if self.sent.left(now, SENT_RATE) == 0 {
                self.turn = Some(key);
                self.next = Some(now + SENT_AGAIN);
                return due;
            }
            self.look_before(now, &key, random, &mut due);
            self.ask_candidates(now, &key, random, &mut due);
            self.ask_foreseen(now, &key, random, &mut due);
            self.look_after(now, &key, random, &mut due);
        }
        self.next = self.peers.values().filter_map(|state| state.next()).min();
        due
    }

    /// Returns all peers, beginning with whose turn it is.
    fn order(&mut self) -> Vec<PublicKey> {
        let first = self.turn.take().unwrap_or(PublicKey::from_bytes([0; 32]));
        let order = self.peers.range(first..).chain(self.peers.range(..first));
        order.map(|(key, _)| *key).collect()
    }

    fn ask_candidates(&mut self, now: Timestamp, key: &PublicKey, random: &mut ChaCha20Rng, due: &mut Due) {
        let room = self.sent.left(now, SENT_RATE) as usize;
        let Some(state) = self.peers.get_mut(key) else { return };
        let Some(schedule) = state.schedule.as_mut() else {
            return;
        };
        if schedule.next().is_none_or(|at| at > now) {
            return;
        }
        if schedule.take_untold() {
            due.punches.push(*key);
        }
        for to in schedule.due(now, random, room) {
            self.sent.take(now, SENT_RATE);
            let probe = state.ask(now, self.epoch, to, random);
            due.probes
                .extend(self.pairs.seal(key, &probe).map(|datagram| (to, datagram)));
        }
    }

    /// Asks where a peer said that it may be, one place after the other.
    fn ask_foreseen(&mut self, now: Timestamp, key: &PublicKey, random: &mut ChaCha20Rng, due: &mut Due) {
        let Some(state) = self.peers.get_mut(key) else { return };
        if state.foreseen_at > now || !self.sent.take(now, SENT_RATE) {
            return;
        }
        let Some(to) = state.foreseen.pop_front() else { return };
        state.foreseen_at = now + PACE;
        let probe = state.ask(now, self.epoch, to, random);
        due.probes
            .extend(self.pairs.seal(key, &probe).map(|datagram| (to, datagram)));
    }

    /// Looks at the port that comes before the one of a peer, where its first round begins.
    fn look_before(&mut self, now: Timestamp, key: &PublicKey, random: &mut ChaCha20Rng, due: &mut Due) {
        let Some(state) = self.peers.get_mut(key).filter(|state| state.observer.is_some()) else {
            return;
        };
        let begins = |schedule: &super::Schedule| schedule.is_between_rounds() && schedule.next() <= Some(now);
        if !state.schedule.as_ref().is_some_and(begins) {
            return;
        }
        if state.forecast.as_mut().is_none_or(|forecast| forecast.is_over(now)) {
            state.forecast = self.flows.take(now, 2 * LOOKS as u32).then(|| Forecast::new(now));
            if state.forecast.is_some() {
                due.before.extend(self.looks(now, key, Side::Before, random));
            }
        }
    }

    /// Looks at the one that comes after it, where that round is over.
    fn look_after(&mut self, now: Timestamp, key: &PublicKey, random: &mut ChaCha20Rng, due: &mut Due) {
        let Some(state) = self.peers.get_mut(key) else { return };
        let is_round_over = state
            .schedule
            .as_ref()
            .is_some_and(|schedule| schedule.is_between_rounds());
        if is_round_over && state.forecast.as_mut().is_some_and(Forecast::take_after) {
            due.after.extend(self.looks(now, key, Side::After, random));
        }
    }

    fn looks(
        &mut self,
        now: Timestamp,
        about: &PublicKey,
        side: Side,
        random: &mut ChaCha20Rng,
    ) -> Vec<(u16, std::net::SocketAddr, Vec<u8>)> {
        let Some((observer, to)) = self.peers.get(about).and_then(|state| state.observer) else {
            return Vec::new();
        };
        let state = self.peers.entry(observer).or_default();
        let looks = (0..LOOKS).map(|_| {
            let from = LOOK_PORTS.start + (random.next_u64() % LOOK_PORTS.len() as u64) as u16;
            (from, state.look(now, self.epoch, to, (*about, side), random))
        });
        let looks: Vec<_> = looks.collect();
        let seal = |(from, look)| Some((from, to, self.pairs.seal(&observer, &look)?));
        looks.into_iter().filter_map(seal).collect()
    }
}
