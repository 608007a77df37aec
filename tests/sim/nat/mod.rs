//! Borders in the words of RFC 4787: translators of addresses and ports, and stateful firewalls.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use wirelink::mesh::base::time::Timestamp;

use crate::draw::Draw;
use crate::flows::Flows;
use crate::scenario::border::{Filtering, Mapping, Nat, Ports};

/// The ports that mappings get, where they cannot or do not preserve one.
const FIRST_PORT: u16 = 1024;

/// A translator of addresses and ports with one outside address.
#[derive(Clone, Debug)]
pub(crate) struct Translator {
    kind: Nat,
    /// The outside address.
    pub(crate) outside: IpAddr,
    /// The flows, each of which stays with the mapping that it began with.
    pub(crate) flows: Flows,
    by_port: BTreeMap<u16, Mapped>,
    by_scope: BTreeMap<(SocketAddr, Scope), u16>,
    next_port: u16,
    /// How many flows other machines of the site begin in a minute: each takes a port.
    pub(crate) others: u64,
    chosen_at: Timestamp,
    draw: Draw,
}

/// A mapping: it lives as long as the last of its flows.
#[derive(Clone, Copy, Debug)]
struct Mapped {
    inside: SocketAddr,
    scope: Scope,
    until: Timestamp,
}

/// Which outside endpoints a mapping is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    All,
    Address(IpAddr),
    Endpoint(SocketAddr),
}

impl Translator {
    /// Makes a translator without any mapping.
    pub(crate) fn new(kind: Nat, outside: IpAddr, mut draw: Draw) -> Self {
        let next_port = FIRST_PORT + draw.below(40_000) as u16;
        Self {
            kind,
            outside,
            flows: Flows::default(),
            by_port: BTreeMap::new(),
            by_scope: BTreeMap::new(),
            next_port,
            others: 0,
            chosen_at: Timestamp::START,
            draw,
        }
    }

    /// Returns whether inside hosts reach one another by the outside address.
    pub(crate) fn hairpins(&self) -> bool {
        self.kind.hairpinning
    }

    /// Takes a packet out; returns its new source, or `None` where it is dropped.
    pub(crate) fn outbound(&mut self, now: Timestamp, inside: SocketAddr, remote: SocketAddr) -> Option<SocketAddr> {
        let pinned = self.flows.get(now, inside, remote).map(|flow| flow.port);
        let scope = match self.kind.mapping {
            Mapping::EndpointIndependent => Scope::All,
            Mapping::AddressDependent => Scope::Address(remote.ip()),
            Mapping::AddressAndPortDependent => Scope::Endpoint(remote),
        };
        let mapped = || self.by_scope.get(&(inside, scope)).copied();
        let known = pinned.or_else(mapped).filter(|port| self.is_alive(now, *port));
        let port = match known {
            Some(port) => port,
            None => self.choose(now, inside.port())?,
        };
        let until = self.flows.goes_out(now, inside, remote, port)?;
        match known {
            Some(_) => self.extend(port, until),
            None => self.open(port, inside, scope, until),
        }
        Some(SocketAddr::new(self.outside, port))
    }

    /// Takes a packet in; returns its new destination, or `None` where it is dropped.
    pub(crate) fn inbound(&mut self, now: Timestamp, remote: SocketAddr, port: u16) -> Option<SocketAddr> {
        let inside = self.by_port.get(&port).filter(|mapped| now < mapped.until)?.inside;
        if !self.flows.admits(now, self.kind.filtering, inside, remote, port) {
            return None;
        }
        // The answer leaves by the same mapping, or whoever sent this would not know it.
        let until = self.flows.comes_in(now, inside, remote, port)?;
        self.extend(port, until);
        Some(inside)
    }

    fn is_alive(&self, now: Timestamp, port: u16) -> bool {
        self.by_port.get(&port).is_some_and(|mapped| now < mapped.until)
    }

    fn extend(&mut self, port: u16, until: Timestamp) {
        if let Some(mapped) = self.by_port.get_mut(&port) {
            mapped.until = mapped.until.max(until);
        }
    }

    fn open(&mut self, port: u16, inside: SocketAddr, scope: Scope, until: Timestamp) {
        let mapped = Mapped { inside, scope, until };
        if let Some(gone) = self.by_port.insert(port, mapped) {
            let key = (gone.inside, gone.scope);
            if self.by_scope.get(&key) == Some(&port) {
                self.by_scope.remove(&key);
            }
        }
        self.by_scope.insert((inside, scope), port);
    }

    /// Chooses the port of a new mapping.
    fn choose(&mut self, now: Timestamp, inside: u16) -> Option<u16> {
        match self.kind.ports {
            Ports::Preserving if !self.is_alive(now, inside) => Some(inside),
            Ports::Preserving | Ports::Sequential => self.next_free(now),
            Ports::Random => {
                self.next_port = FIRST_PORT + self.draw.below(u64::from(u16::MAX - FIRST_PORT)) as u16;
                self.next_free(now)
            }
        }
    }

    /// Lets other machines take the ports that they took since the last choice: on average so many, and never evenly.
    fn let_others_choose(&mut self, since: Duration) {
        let in_10_000ths = since.as_micros() as u64 * self.others / 6_000;
        let whole = in_10_000ths / 10_000 + u64::from(self.draw.happens((in_10_000ths % 10_000) as u32));
        let taken = whole / 2 + self.draw.below(whole + 1);
        let span = u64::from(u16::MAX - FIRST_PORT);
        let next = (u64::from(self.next_port - FIRST_PORT) + taken) % span;
        self.next_port = FIRST_PORT + next as u16;
    }

    fn next_free(&mut self, now: Timestamp) -> Option<u16> {
        let since = now.since(std::mem::replace(&mut self.chosen_at, now));
        if self.others > 0 {
            self.let_others_choose(since);
        }
        for _ in FIRST_PORT..u16::MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
            if !self.is_alive(now, port) {
                return Some(port);
            }
        }
        None
    }
}

/// A stateful firewall before public addresses.
#[derive(Clone, Debug)]
pub(crate) struct Firewall {
    filtering: Filtering,
    pub(crate) flows: Flows,
}

impl Firewall {
    /// Makes a firewall that has seen nothing.
    pub(crate) fn new(filtering: Filtering) -> Self {
        Self {
            filtering,
            flows: Flows::default(),
        }
    }

    /// Takes a packet out; returns whether there is room for its flow.
    pub(crate) fn outbound(&mut self, now: Timestamp, inside: SocketAddr, remote: SocketAddr) -> bool {
        self.flows.goes_out(now, inside, remote, inside.port()).is_some()
    }

    /// Takes a packet in; returns whether it is let in.
    pub(crate) fn inbound(&mut self, now: Timestamp, inside: SocketAddr, remote: SocketAddr) -> bool {
        let port = inside.port();
        self.flows.has_any(now, inside)
            && self.flows.admits(now, self.filtering, inside, remote, port)
            && self.flows.comes_in(now, inside, remote, port).is_some()
    }
}

#[cfg(test)]
mod tests;
