//! Signals as probes need them: calls to probe now, and where; and what looks showed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::forecast::{Forecast, MAX_PORTS, places};
use super::{Dropped, Probing};
use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::signal::{Ports, Signal, Word};

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

    /// Returns where a peer should probe this node, too: for each of its places, as nobody knows by which one it comes.
    pub fn ports_for(&self, now: Timestamp, peer: &PublicKey) -> Vec<Ports> {
        let forecasts = self
            .peers
            .get(peer)
            .map(|state| &state.forecasts[..])
            .unwrap_or_default();
        let kept = forecasts.iter().filter(|forecast| !forecast.is_over(now));
        kept.filter_map(Forecast::ports).collect()
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
        // Only the peer itself says which of its runs are over: by an epoch that it never has it would be silenced for good.
        state.probes.begin(signal.epoch);
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
        if !state.schedule.as_ref().is_some_and(is_sought) {
            return;
        }
        let room = usize::from(MAX_PORTS) - state.foreseen.len();
        let is_new = |place: &SocketAddr| !state.foreseen.contains(place);
        let foreseen: Vec<SocketAddr> = places(ports).filter(is_new).take(room).collect();
        if self.flows.take(now, peer, foreseen.len() as u32) {
            state.foreseen.extend(foreseen);
            state.foreseen_at = state.foreseen_at.max(now);
            self.next = Some(now);
        }
    }
}
