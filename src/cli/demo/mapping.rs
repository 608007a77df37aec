//! What a home router remembers: mappings that do not depend on the endpoint, a filter that depends on its address and
//! port (RFC 4787, 4.1 and 5).

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

/// How long a mapping and an opening in its filter outlive the last packet out (RFC 4787, REQ-5: two minutes or more).
const LIFETIME: Duration = Duration::from_secs(120);

/// How many mappings there may be; one leaf has a single WireGuard socket.
const MAX_MAPPINGS: usize = 64;

/// How many remote endpoints one mapping lets in; a candidate that was tried takes one.
const MAX_OPENINGS: usize = 256;

/// The mappings of a NAT, each with the external socket `S` that stands for it.
pub(super) struct Mappings<S> {
    by_source: BTreeMap<SocketAddrV4, Mapping<S>>,
}

struct Mapping<S> {
    socket: S,
    last_out: Instant,
    openings: BTreeMap<SocketAddrV4, Instant>,
}

impl<S> Mappings<S> {
    /// Returns an empty table.
    pub(super) fn new() -> Self {
        Self {
            by_source: BTreeMap::new(),
        }
    }

    /// Adds a mapping for an internal endpoint, unless the table is full.
    pub(super) fn insert(&mut self, source: SocketAddrV4, socket: S, now: Instant) {
        if self.by_source.len() < MAX_MAPPINGS {
            let mapping = Mapping {
                socket,
                last_out: now,
                openings: BTreeMap::new(),
            };
            self.by_source.insert(source, mapping);
        }
    }

    /// Returns the external socket for a packet out, and lets the answers of its destination in from now on.
    pub(super) fn outbound(&mut self, source: SocketAddrV4, destination: SocketAddrV4, now: Instant) -> Option<&S> {
        let mapping = self.by_source.get_mut(&source)?;
        mapping.last_out = now;
        mapping.open(destination, now);
        Some(&mapping.socket)
    }

    /// Tells whether a packet in is an answer. It does not renew anything: nobody outside may keep a hole open (REQ-6).
    pub(super) fn inbound(&self, source: SocketAddrV4, remote: SocketAddrV4, now: Instant) -> bool {
        let opening = self
            .by_source
            .get(&source)
            .and_then(|mapping| mapping.openings.get(&remote));
        opening.is_some_and(|&since| now < since + LIFETIME)
    }

    /// Forgets what nobody used for a while; dropping the socket closes the port.
    pub(super) fn expire(&mut self, now: Instant) {
        self.by_source.retain(|_, mapping| now < mapping.last_out + LIFETIME);
        for mapping in self.by_source.values_mut() {
            mapping.openings.retain(|_, since| now < *since + LIFETIME);
        }
    }
}

impl<S> Mapping<S> {
    fn open(&mut self, remote: SocketAddrV4, now: Instant) {
        if self.openings.len() == MAX_OPENINGS && !self.openings.contains_key(&remote) {
            let oldest = self
                .openings
                .iter()
                .min_by_key(|(_, since)| **since)
                .map(|(remote, _)| *remote);
            oldest.and_then(|oldest| self.openings.remove(&oldest));
        }
        self.openings.insert(remote, now);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn at(host: u8, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, host), port)
    }

    fn one_mapping(now: Instant) -> Mappings<&'static str> {
        let mut table = Mappings::new();
        table.insert(at(200, 51820), "socket", now);
        table
    }

    #[test]
    fn one_socket_serves_every_destination() {
        let now = Instant::now();
        let mut table = one_mapping(now);
        assert_eq!(table.outbound(at(200, 51820), at(1, 1), now), Some(&"socket"));
        assert_eq!(table.outbound(at(200, 51820), at(2, 2), now), Some(&"socket"));
        assert_eq!(table.outbound(at(200, 51821), at(1, 1), now), None);
    }

    #[test]
    fn only_those_that_were_written_to_may_answer() {
        let now = Instant::now();
        let mut table = one_mapping(now);
        table.outbound(at(200, 51820), at(1, 1), now);
        assert!(table.inbound(at(200, 51820), at(1, 1), now));
        assert!(!table.inbound(at(200, 51820), at(1, 2), now), "another port");
        assert!(!table.inbound(at(200, 51820), at(2, 1), now), "another address");
        assert!(!table.inbound(at(200, 51821), at(1, 1), now), "another mapping");
    }

    #[test]
    fn only_packets_out_keep_a_hole_open() {
        let start = Instant::now();
        let mut table = one_mapping(start);
        table.outbound(at(200, 51820), at(1, 1), start);
        let later = start + LIFETIME - Duration::from_secs(1);
        assert!(table.inbound(at(200, 51820), at(1, 1), later));
        assert!(!table.inbound(at(200, 51820), at(1, 1), start + LIFETIME));
        table.outbound(at(200, 51820), at(1, 1), later);
        assert!(table.inbound(at(200, 51820), at(1, 1), start + LIFETIME));
    }

    #[test]
    fn an_idle_mapping_is_forgotten() {
        let start = Instant::now();
        let mut table = one_mapping(start);
        table.expire(start + LIFETIME - Duration::from_secs(1));
        assert_eq!(table.by_source.len(), 1);
        table.expire(start + LIFETIME);
        assert_eq!(table.by_source.len(), 0);
    }

    #[test]
    fn both_tables_have_an_end() {
        let now = Instant::now();
        let mut table = one_mapping(now);
        for port in 0..1000 {
            table.insert(at(201, port), "socket", now);
            table.outbound(
                at(200, 51820),
                at(1, port),
                now + Duration::from_secs(u64::from(port) / 10),
            );
        }
        assert_eq!(table.by_source.len(), MAX_MAPPINGS);
        let openings = &table.by_source[&at(200, 51820)].openings;
        assert_eq!(openings.len(), MAX_OPENINGS);
        assert!(openings.contains_key(&at(1, 999)) && !openings.contains_key(&at(1, 0)));
    }
}
