//! Where a peer may be reached: kinds of candidates, and which is tried first (ICE, RFC 8445, 5.1).

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::mesh::fact::Origin;
use crate::mesh::identity::PublicKey;
use crate::mesh::prefix::is_global_unicast;

/// The most candidates that are tried for one peer.
pub const MAX_CANDIDATES: usize = 16;

/// The most of them that rest on the word of nodes with no more trust than every peer has.
pub const MAX_RUMOURS: usize = 4;

/// How a candidate became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The peer named an address of its own.
    Host,
    /// Another node names it, which it saw itself or heard.
    Reflexive,
    /// The peer was reached there before this node was started.
    Remembered,
    /// The operator wrote it, in the settings or on the device.
    Configured,
    /// A node that is trusted no further than any peer says so: tried last, so that a liar cannot crowd out the rest.
    Rumour,
}

impl Kind {
    /// Returns the kind of a candidate of `peer` that stands in a fact of this origin.
    pub fn of(peer: &PublicKey, origin: Origin, is_hearsay: bool) -> Self {
        match origin {
            Origin::Observed => Self::Reflexive,
            Origin::Configured => Self::Configured,
            Origin::Remembered => Self::Remembered,
            Origin::Peer(sender) if sender == *peer => Self::Host,
            Origin::Peer(_) if is_hearsay => Self::Rumour,
            Origin::Peer(_) => Self::Reflexive,
        }
    }
}

/// A place to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where.
    pub endpoint: SocketAddr,
    /// How it is known.
    pub kind: Kind,
    rank: Rank,
}

/// What matters more than round-trip time where there are several ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// In a network of this machine.
    SameLan,
    /// By IPv6, without translation.
    Ipv6,
    /// By IPv4.
    Ipv4,
}

impl Class {
    /// Returns the class of a path to one of the candidates.
    pub fn of(endpoint: SocketAddr, candidates: &[Candidate]) -> Self {
        let candidate = candidates.iter().find(|candidate| candidate.endpoint == endpoint);
        match candidate {
            Some(candidate) if candidate.rank == Rank::SameLan => Self::SameLan,
            _ if endpoint.is_ipv6() => Self::Ipv6,
            _ => Self::Ipv4,
        }
    }
}

/// What is tried first, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    SameLan,
    /// Both sides begin with what worked last: after a power cut all start in the same moment, and nobody tells news.
    Remembered,
    GlobalIpv6,
    SeenByOthers,
    Configured,
    Other,
    Rumour,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Reflexive => "reflexive",
            Self::Remembered => "remembered",
            Self::Configured => "configured",
            Self::Rumour => "rumour",
        })
    }
}

/// Collects the candidates of one peer.
#[derive(Debug)]
pub struct Collector<'a> {
    own_nets: &'a [IpNet],
    found: BTreeMap<SocketAddr, Candidate>,
}

impl<'a> Collector<'a> {
    /// Starts with the networks of this machine, addresses not masked: they tell what can be reached from here, and how.
    pub fn new(own_nets: &'a [IpNet]) -> Self {
        Self {
            own_nets,
            found: BTreeMap::new(),
        }
    }

    /// Adds a candidate, unless this machine cannot send there; of several kinds the better one counts.
    pub fn add(&mut self, endpoint: SocketAddr, kind: Kind) {
        if !self.has_family_of(endpoint.ip()) {
            return;
        }
        let candidate = Candidate {
            endpoint,
            kind,
            rank: self.rank(endpoint.ip(), kind),
        };
        let best = self.found.entry(endpoint).or_insert(candidate);
        if candidate.rank < best.rank {
            *best = candidate;
        }
    }

    /// Returns the candidates in the order in which they should be tried, at most [`MAX_CANDIDATES`].
    pub fn finish(self) -> Vec<Candidate> {
        let (rumours, mut candidates): (Vec<_>, Vec<_>) = self
            .found
            .into_values()
            .partition(|candidate| candidate.kind == Kind::Rumour);
        candidates.sort_by_key(|candidate| (candidate.rank, candidate.endpoint));
        candidates.truncate(MAX_CANDIDATES - MAX_RUMOURS);
        candidates.extend(rumours.into_iter().take(MAX_RUMOURS));
        candidates
    }

    fn has_family_of(&self, address: IpAddr) -> bool {
        self.own_nets
            .iter()
            .any(|net| net.addr().is_ipv4() == address.is_ipv4() && is_global_unicast(net.addr()))
    }

    fn rank(&self, address: IpAddr, kind: Kind) -> Rank {
        if matches!(kind, Kind::Host | Kind::Reflexive | Kind::Remembered)
            && self.own_nets.iter().any(|net| net.contains(&address))
        {
            return Rank::SameLan;
        }
        match (kind, address) {
            (Kind::Rumour, _) => Rank::Rumour,
            (Kind::Remembered, _) => Rank::Remembered,
            (Kind::Configured, _) => Rank::Configured,
            (Kind::Host | Kind::Reflexive, _) if is_private(address) => Rank::Other,
            (Kind::Host | Kind::Reflexive, IpAddr::V6(_)) => Rank::GlobalIpv6,
            (Kind::Host | Kind::Reflexive, IpAddr::V4(_)) => Rank::SeenByOthers,
        }
    }
}

/// Returns whether the address means something only inside some network: RFC 1918, RFC 6598, RFC 4193. Facts do not say whether
/// a node passes on what the peer named or what it saw; such an address is the former.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || matches!(v4.octets(), [100, 64..128, _, _]),
        IpAddr::V6(v6) => v6.octets()[0] & 0xfe == 0xfc,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(own: &[&str], candidates: &[(&str, Kind)]) -> Vec<String> {
        let own: Vec<IpNet> = own.iter().map(|net| net.parse().unwrap()).collect();
        let mut collector = Collector::new(&own);
        for (endpoint, kind) in candidates {
            collector.add(endpoint.parse().unwrap(), *kind);
        }
        collector
            .finish()
            .iter()
            .map(|candidate| candidate.endpoint.to_string())
            .collect()
    }

    #[test]
    fn the_nearest_comes_first() {
        let candidates = [
            ("10.99.0.1:1", Kind::Host),
            ("192.0.2.9:1", Kind::Configured),
            ("203.0.113.5:1", Kind::Reflexive),
            ("[2001:db8::5]:1", Kind::Host),
            ("192.168.7.5:1", Kind::Host),
        ];
        assert_eq!(
            order(&["192.168.7.2/24", "2001:db8:1::2/64"], &candidates),
            [
                "192.168.7.5:1",
                "[2001:db8::5]:1",
                "203.0.113.5:1",
                "192.0.2.9:1",
                "10.99.0.1:1"
            ]
        );
    }

    #[test]
    fn a_family_that_this_machine_lacks_is_not_tried() {
        let candidates = [("[2001:db8::5]:1", Kind::Host), ("203.0.113.5:1", Kind::Reflexive)];
        assert_eq!(order(&["192.168.7.2/24", "fe80::1/64"], &candidates), ["203.0.113.5:1"]);
        assert_eq!(order(&["2001:db8:1::2/64"], &candidates), ["[2001:db8::5]:1"]);
    }

    #[test]
    fn the_better_kind_of_one_endpoint_counts_and_their_number_is_bounded() {
        let own = ["10.0.0.1/8".parse().unwrap()];
        let mut collector = Collector::new(&own);
        collector.add("192.0.2.1:1".parse().unwrap(), Kind::Configured);
        collector.add("192.0.2.1:1".parse().unwrap(), Kind::Reflexive);
        (2..100).for_each(|port| collector.add(SocketAddr::from(([192, 0, 2, 1], port)), Kind::Configured));
        (2..100).for_each(|port| collector.add(SocketAddr::from(([10, 0, 0, 3], port)), Kind::Rumour));
        let candidates = collector.finish();
        assert_eq!(candidates[0].kind, Kind::Reflexive);
        assert_eq!(candidates.len(), MAX_CANDIDATES);
        let rumours = candidates
            .iter()
            .rev()
            .take_while(|candidate| candidate.kind == Kind::Rumour);
        assert_eq!(rumours.count(), MAX_RUMOURS);
    }
}
