//! Signals as probes need them: calls to probe now, and where; and what looks showed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::forecast::{Side, places};
use super::wire::Message;
use super::{Dropped, Heard, Probing};
use crate::mesh::fact::signal::{Ports, Signal, Word};
use crate::mesh::identity::PublicKey;
use crate::mesh::time::Timestamp;

/// How often a peer can have this node probe it.
const PUNCH_EVERY: Duration = Duration::from_millis(500);

impl Probing {
    /// Returns a signal to a peer; `None` where the peer was not admitted.
    pub fn signal(&mut self, to: &PublicKey, word: Word, version: u32, ports: Option<Ports>) -> Option<Signal> {
        let epoch = self.epoch;
        let counter = self.peers.entry(*to).or_default().count();
        self.pairs.sign(Signal {
            to: *to,
            epoch,
            counter,
            word,
            version,
            ports,
            tag: [0; 16],
        })
    }

    /// Returns where a peer should probe this node, too.
    pub fn ports_for(&self, peer: &PublicKey) -> Option<Ports> {
        let forecast = self.peers.get(peer)?.forecast.as_ref()?;
        forecast.ports()
    }

    /// Takes a signal in that is for this node, and follows a call to probe.
    ///
    /// # Errors
    /// When it is not its subject's, or came before: by another way, mostly.
    pub fn hear_signal(&mut self, now: Timestamp, subject: &PublicKey, signal: &Signal) -> Result<(), Dropped> {
        if !self.pairs.contains(subject) {
            return Err(Dropped::Stranger);
        }
        if !self.pairs.is_genuine(subject, signal) {
            return Err(Dropped::WrongTag);
        }
        let state = self.peers.entry(*subject).or_default();
        state
            .signals
            .take(signal.epoch, signal.counter)
            .map_err(Dropped::Stale)?;
        if signal.word.is_punch() && state.punched.is_none_or(|at| now.since(at) >= PUNCH_EVERY) {
            state.punched = Some(now);
            if let Some(schedule) = &mut state.schedule {
                schedule.go_along(now);
                self.next = Some(now);
            }
        }
        signal.ports.iter().for_each(|ports| self.foresee(now, subject, *ports));
        Ok(())
    }

    /// Has a peer asked where it says that it may be: at an address where it is looked for anyway, and only so many places.
    fn foresee(&mut self, now: Timestamp, peer: &PublicKey, ports: Ports) {
        let Some(state) = self.peers.get_mut(peer).filter(|_| self.predicts) else {
            return;
        };
        let address = IpAddr::from(ports.address);
        let is_sought = |schedule: &super::Schedule| schedule.has_address(address);
        if !state.schedule.as_ref().is_some_and(is_sought) || !state.foreseen.is_empty() {
            return;
        }
        let foreseen: Vec<SocketAddr> = places(ports).collect();
        if self.flows.take(now, foreseen.len() as u32) {
            state.foreseen.extend(foreseen);
            state.foreseen_at = now;
            self.next = Some(now);
        }
    }

    /// Answers a look.
    pub(super) fn answer_look(&mut self, peer: PublicKey, source: SocketAddr, look: &Message) -> Heard {
        let answer = self.peers.entry(peer).or_default().answer(self.epoch, source, look);
        let answer = self.pairs.seal(&peer, &answer).unwrap_or_default();
        Heard::Looked { peer, answer }
    }

    /// Takes in which port a look got.
    pub(super) fn note_look(&mut self, about: PublicKey, side: Side, seen: SocketAddr) -> Heard {
        let forecast = self.peers.get_mut(&about).and_then(|state| state.forecast.as_mut());
        let is_news = forecast.is_some_and(|forecast| forecast.note(side, seen));
        Heard::Shown {
            about: is_news.then_some(about),
        }
    }
}
