//! The table of a stateful border: which flows there are, and how long each is remembered.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use wirelink::mesh::base::time::Timestamp;

use crate::scenario::border::Filtering;

/// How long a flow is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers {
    /// While nothing came back (Linux: `nf_conntrack_udp_timeout`).
    pub(crate) unanswered: Duration,
    /// Afterwards (Linux: `nf_conntrack_udp_timeout_stream`; RFC 4787, REQ-5: 2 minutes at least).
    pub(crate) answered: Duration,
    /// Whether a packet from outside counts as a sign of life, too (RFC 4787, REQ-6: it may).
    pub(crate) inbound_refreshes: bool,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            unanswered: Duration::from_secs(30),
            answered: Duration::from_secs(120),
            inbound_refreshes: true,
        }
    }
}

/// Most borders of homes have room for this many flows.
pub(crate) const ROOM: usize = 4096;

/// A flow between an inside and an outside endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    /// The outside port of the mapping that it uses; the inside port where nothing is translated.
    pub(crate) port: u16,
    until: Timestamp,
    answered: bool,
}

/// All flows of a border, by inside and outside endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Flows {
    table: BTreeMap<(SocketAddr, SocketAddr), Flow>,
    pub(crate) timers: Timers,
    /// How many there is room for; a new flow that finds none is dropped.
    pub(crate) room: usize,
    /// How many there ever were.
    pub(crate) opened: u64,
}

impl Default for Flows {
    fn default() -> Self {
        Self {
            table: BTreeMap::new(),
            timers: Timers::default(),
            room: ROOM,
            opened: 0,
        }
    }
}

impl Flows {
    /// Returns the flow, if it is still remembered.
    pub(crate) fn get(&self, now: Timestamp, inside: SocketAddr, outside: SocketAddr) -> Option<Flow> {
        let flow = self.table.get(&(inside, outside)).copied();
        flow.filter(|flow| now < flow.until)
    }

    /// Takes in that a packet goes out; returns until when that is remembered, or `None` where there is no room.
    pub(crate) fn goes_out(
        &mut self,
        now: Timestamp,
        inside: SocketAddr,
        outside: SocketAddr,
        port: u16,
    ) -> Option<Timestamp> {
        let answered = self
            .get(now, inside, outside)
            .is_some_and(|flow| flow.port == port && flow.answered);
        self.remember(now, inside, outside, port, answered)
    }

    /// Takes in that a packet that is let in comes in.
    pub(crate) fn comes_in(
        &mut self,
        now: Timestamp,
        inside: SocketAddr,
        outside: SocketAddr,
        port: u16,
    ) -> Option<Timestamp> {
        let known = self.get(now, inside, outside).filter(|flow| flow.port == port);
        match known {
            Some(flow) if !self.timers.inbound_refreshes => {
                let answered = Flow { answered: true, ..flow };
                self.table.insert((inside, outside), answered);
                Some(flow.until)
            }
            known => self.remember(now, inside, outside, port, known.is_some()),
        }
    }

    fn remember(
        &mut self,
        now: Timestamp,
        inside: SocketAddr,
        outside: SocketAddr,
        port: u16,
        answered: bool,
    ) -> Option<Timestamp> {
        if !self.table.contains_key(&(inside, outside)) && self.table.len() >= self.room {
            self.table.retain(|_, flow| now < flow.until);
            if self.table.len() >= self.room {
                return None;
            }
        }
        self.opened += u64::from(self.get(now, inside, outside).is_none());
        let timer = if answered {
            self.timers.answered
        } else {
            self.timers.unanswered
        };
        let until = now + timer;
        let flow = Flow { port, until, answered };
        self.table.insert((inside, outside), flow);
        Some(until)
    }

    /// Returns whether a packet from `outside` is let in to `inside` through the port of a mapping that there is.
    pub(crate) fn admits(
        &self,
        now: Timestamp,
        filtering: Filtering,
        inside: SocketAddr,
        outside: SocketAddr,
        port: u16,
    ) -> bool {
        let through = |flow: &Flow| flow.port == port && now < flow.until;
        match filtering {
            Filtering::EndpointIndependent => true,
            Filtering::AddressDependent => self
                .range(inside, Some(outside.ip()))
                .any(|(remote, flow)| remote.ip() == outside.ip() && through(flow)),
            Filtering::AddressAndPortDependent => self.table.get(&(inside, outside)).is_some_and(through),
        }
    }

    /// Returns whether the inside endpoint has any flow.
    pub(crate) fn has_any(&self, now: Timestamp, inside: SocketAddr) -> bool {
        self.range(inside, None).any(|(_, flow)| now < flow.until)
    }

    fn range(&self, inside: SocketAddr, from: Option<IpAddr>) -> impl Iterator<Item = (SocketAddr, &Flow)> {
        let from = from.unwrap_or(IpAddr::from([0; 4]));
        let first = (inside, SocketAddr::new(from, 0));
        let of_inside = self
            .table
            .range(first..)
            .take_while(move |((own, _), _)| *own == inside);
        of_inside.map(|((_, remote), flow)| (*remote, flow))
    }
}
