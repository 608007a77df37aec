//! Looks: which port does the NAT of this node give now? Asked around the first thing that is sent to a place of a peer.

use std::net::SocketAddr;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::Rng as _;

use super::forecast::{Forecast, LOOKS, MAX_FORECASTS, SPAN, Side};
use super::peer::PATIENCE;
use super::wire::Message;
use super::{Heard, Probing};
use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;

/// From which ports looks leave: those that no service has (RFC 6335, 6).
const PORTS: std::ops::Range<u16> = 49_152..65_535;

/// A look: from which port, to where, and what.
pub type Look = (u16, SocketAddr, Vec<u8>);

/// What a look is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    about: PublicKey,
    place: SocketAddr,
    side: Side,
    at: Timestamp,
}

impl Probing {
    /// Begins to find out which port what is sent to a place of a peer gets, before it is sent; `observer` is whom to ask, and where.
    pub fn foretell(
        &mut self,
        now: Timestamp,
        about: &PublicKey,
        place: SocketAddr,
        observer: (PublicKey, SocketAddr),
        random: &mut ChaCha20Rng,
    ) -> Vec<Look> {
        let is_sensible = self.able && self.predicts && now >= self.look_from;
        let is_outside = matches!(place, SocketAddr::V4(place) if !place.ip().is_private());
        if !is_sensible || !is_outside {
            return Vec::new();
        }
        let state = self.peers.entry(*about).or_default();
        state.observer = Some(observer);
        state.forecasts.retain(|forecast| !forecast.is_over(now));
        if let Some(known) = state.forecasts.iter_mut().find(|forecast| forecast.place == place) {
            known.keep(now);
            return Vec::new();
        }
        if state.forecasts.len() >= MAX_FORECASTS || !self.flows.take(now, about, 2 * LOOKS as u32) {
            return Vec::new();
        }
        let forecast = Forecast::new(now, place);
        state.forecasts.push(forecast);
        self.next = self.next.into_iter().chain(forecast.after_at).min();
        self.looks(now, about, place, Side::Before, random)
    }

    /// Looks at the ports that come before those of a peer, where a round of probes begins.
    pub(super) fn look_before(
        &mut self,
        now: Timestamp,
        key: &PublicKey,
        random: &mut ChaCha20Rng,
        due: &mut Vec<Look>,
    ) {
        let Some(state) = self.peers.get(key) else { return };
        let (Some(observer), Some(schedule)) = (state.observer, &state.schedule) else {
            return;
        };
        if schedule.is_between_rounds() && schedule.next() <= Some(now) {
            for place in schedule.candidates().to_vec() {
                due.extend(self.foretell(now, key, place, observer, random));
            }
        }
    }

    /// Looks at those that come after them, when it is time.
    pub(super) fn look_after(
        &mut self,
        now: Timestamp,
        key: &PublicKey,
        random: &mut ChaCha20Rng,
        due: &mut Vec<Look>,
    ) {
        let Some(state) = self.peers.get_mut(key) else { return };
        let begun = state
            .forecasts
            .iter_mut()
            .filter_map(|forecast| forecast.take_after(now).then_some(forecast.place));
        for place in begun.collect::<Vec<_>>() {
            due.extend(self.looks(now, key, place, Side::After, random));
        }
    }

    fn looks(
        &mut self,
        now: Timestamp,
        about: &PublicKey,
        place: SocketAddr,
        side: Side,
        random: &mut ChaCha20Rng,
    ) -> Vec<Look> {
        let Some((observer, to)) = self.peers.get(about).and_then(|state| state.observer) else {
            return Vec::new();
        };
        self.looks.retain(|_, asked| now.since(asked.at) < PATIENCE);
        let state = self.peers.entry(observer).or_default();
        let mut datagrams = Vec::new();
        for _ in 0..LOOKS {
            let from = PORTS.start + (random.next_u64() % PORTS.len() as u64) as u16;
            let look = state.look(self.epoch, random);
            let (about, at) = (*about, now);
            self.looks.insert(look.transaction, Asked { about, place, side, at });
            let datagram = self.pairs.seal(&observer, &look);
            datagrams.extend(datagram.map(|datagram| (from, to, datagram)));
        }
        datagrams
    }

    /// Answers a look.
    pub(super) fn answer_look(&mut self, peer: PublicKey, source: SocketAddr, look: &Message) -> Heard {
        let answer = self.peers.entry(peer).or_default().answer(self.epoch, source, look);
        let answer = self.pairs.seal(&peer, &answer).unwrap_or_default();
        Heard::Looked { peer, answer }
    }

    /// Takes in which port a look got; `None` where that was no look. A NAT that gives ports at random is left alone for a while.
    pub(super) fn note_look(&mut self, now: Timestamp, transaction: u64, seen: SocketAddr) -> Option<Heard> {
        let asked = self.looks.remove(&transaction)?;
        let forecasts = self.peers.get_mut(&asked.about).map(|state| &mut state.forecasts);
        let mut forecasts = forecasts.into_iter().flatten();
        let Some(forecast) = forecasts.find(|forecast| forecast.place == asked.place) else {
            return Some(Heard::Shown { about: None });
        };
        let is_news = forecast.note(asked.side, seen);
        if forecast.is_random() {
            self.look_from = now + SPAN;
        }
        let about = is_news.then_some(asked.about);
        Some(Heard::Shown { about })
    }
}
