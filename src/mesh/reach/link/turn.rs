//! Where a handshake is tried, and where a session that is not heard any more turns to.

use std::net::SocketAddr;
use std::time::Duration;

use super::candidate::{Candidate, Class};
use super::nominee::{self, Proof, Reach};
use super::slot::Turn;
use super::{Contact, Link, PROBES_FIRST};
use crate::mesh::base::time::Timestamp;

/// How soon a heartbeat follows where a path answered.
const TURNED: Duration = Duration::from_millis(300);

impl Link {
    /// Returns where to turn a session that is not heard any more: to a path that answered since.
    pub(super) fn turn_to(
        &mut self,
        now: Timestamp,
        contact: &Contact,
        candidates: &[Candidate],
        reach: &Reach,
    ) -> Option<SocketAddr> {
        let since = reach.proofs.iter().filter(|proof| proof.at >= self.since);
        let class = |proof: &&Proof| (Class::of(proof.endpoint, candidates), proof.round_trip);
        let best = since.min_by_key(class)?.endpoint;
        let is_there = contact.endpoint == Some(best);
        if let Some(pulse) = self
            .pulse
            .as_mut()
            .filter(|pulse| !is_there || pulse.next() > now + TURNED)
        {
            pulse.hurry(now);
        }
        (!is_there).then_some(best)
    }

    /// Returns where a handshake is tried next: on a path that answered, or, where probes are not to be had or find nothing, on one
    /// candidate after the other.
    pub(super) fn turn(&mut self, now: Timestamp, contact: &Contact, candidates: &[Candidate], reach: &Reach) -> Turn {
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
        if reach.probed && (reach.hopeless || now.since(self.since) < PROBES_FIRST) {
            self.slots = None;
            return Turn::default();
        }
        let slots = self.slots.get_or_insert_default();
        match contact.endpoint {
            Some(from) if contact.last_handshake.is_none() => slots.hear(now, contact.heard_bytes, from, self.yields),
            Some(_) | None => slots.hear_nothing(),
        }
        slots.turn(now, candidates, self.yields)
    }
}
