//! What goes out at one moment: probes to candidates and to where a peer may be by its forecast, and looks around them.

use std::time::Duration;

use chacha20::ChaCha20Rng;

use super::schedule::PACE;
use super::{Due, Probing, SENT_RATE};
use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;

/// How soon the next probes follow where those of a second were used up.
const SENT_AGAIN: Duration = Duration::from_millis(20);

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
            self.look_before(now, &key, random, &mut due.before);
            self.ask_candidates(now, &key, random, &mut due);
            self.ask_foreseen(now, &key, random, &mut due);
            self.look_after(now, &key, random, &mut due.after);
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
}
