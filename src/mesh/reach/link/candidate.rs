//! Where a peer may be reached: kinds of candidates, and which is tried first (ICE, RFC 8445, 5.1).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::prefix::is_global_unicast;
use crate::mesh::believe::fact::Origin;
use crate::mesh::reach::nat64::Prefix64;

/// The most candidates that are tried for one peer.
pub const MAX_CANDIDATES: usize = 16;

/// The most of them that rest on the word of nodes with no more trust than every peer has.
pub const MAX_RUMOURS: usize = 4;

/// The most for which what the operator wrote goes before everything else.
const MAX_CONFIGURED: usize = 8;

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
    /// Whether a NAT64 makes IPv4 of it.
    is_translated: bool,
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
            Some(candidate) if candidate.is_translated => Self::Ipv4,
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
    nat64: Option<Prefix64>,
    found: BTreeMap<SocketAddr, Candidate>,
    /// Those that the operator wrote, whatever better is known of them.
    configured: BTreeSet<SocketAddr>,
}

impl<'a> Collector<'a> {
    /// Starts with the networks of this machine, addresses not masked: they tell what can be reached from here, and how.
    pub fn new(own_nets: &'a [IpNet]) -> Self {
        Self {
            own_nets,
            nat64: None,
            found: BTreeMap::new(),
            configured: BTreeSet::new(),
        }
    }

    /// Has IPv4 addresses reached by the prefix of a NAT64, where this machine has no IPv4.
    #[must_use]
    pub fn behind(mut self, nat64: Option<Prefix64>) -> Self {
        self.nat64 = nat64;
        self
    }

    /// Adds a candidate, unless this machine cannot send there; of several kinds the better one counts.
    pub fn add(&mut self, named: SocketAddr, kind: Kind) {
        let (endpoint, is_translated) = match (named.ip(), self.nat64) {
            (IpAddr::V4(v4), Some(nat64)) if !self.reaches(named.ip()) && !is_private(named.ip()) => {
                (SocketAddr::new(nat64.translate(v4).into(), named.port()), true)
            }
            _ => (named, false),
        };
        if !self.reaches(endpoint.ip()) {
            return;
        }
        if kind == Kind::Configured {
            self.configured.insert(endpoint);
        }
        let candidate = Candidate {
            endpoint,
            kind,
            rank: self.rank(named.ip(), kind),
            is_translated,
        };
        let best = self.found.entry(endpoint).or_insert(candidate);
        if candidate.rank < best.rank {
            *best = candidate;
        }
    }

    /// Returns the candidates in the order in which they should be tried, at most [`MAX_CANDIDATES`]. Where there are more, those that the
    /// operator wrote are among them, and some of each rank and family: a machine with many addresses of one kind may be reached by another.
    pub fn finish(self) -> Vec<Candidate> {
        let Self { found, configured, .. } = self;
        let (rumours, mut candidates): (Vec<_>, Vec<_>) = found
            .into_values()
            .partition(|candidate| candidate.kind == Kind::Rumour);
        candidates.sort_by_key(|candidate| (candidate.rank, candidate.endpoint));
        let mut candidates = share(candidates, &configured);
        candidates.sort_by_key(|candidate| (candidate.rank, candidate.endpoint));
        candidates.extend(rumours.into_iter().take(MAX_RUMOURS));
        candidates
    }

    /// Returns whether this machine has an address with which it may get there. Addresses of a site (RFC 4193) get nowhere but to others.
    fn reaches(&self, address: IpAddr) -> bool {
        self.own_nets.iter().map(IpNet::addr).any(|own| {
            let is_of_site = own.is_ipv6() && is_private(own);
            own.is_ipv4() == address.is_ipv4() && is_global_unicast(own) && (!is_of_site || is_private(address))
        })
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

/// Keeps as many as may be tried beside rumours: what the operator wrote, then the first of each rank and family, then the second of each.
fn share(sorted: Vec<Candidate>, configured: &BTreeSet<SocketAddr>) -> Vec<Candidate> {
    let mut written = 0;
    let mut alike = BTreeMap::new();
    let mut turns: Vec<(usize, Candidate)> = sorted
        .into_iter()
        .map(|candidate| {
            if written < MAX_CONFIGURED && configured.contains(&candidate.endpoint) {
                written += 1;
                return (0, candidate);
            }
            let turn = alike.entry((candidate.rank, candidate.endpoint.is_ipv6())).or_insert(0);
            *turn += 1;
            (*turn, candidate)
        })
        .collect();
    turns.sort_by_key(|(turn, _)| *turn);
    let kept = turns.into_iter().take(MAX_CANDIDATES - MAX_RUMOURS);
    kept.map(|(_, candidate)| candidate).collect()
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
    fn what_the_operator_wrote_is_tried_for_many_addresses_of_one_kind_too() {
        let own = ["192.0.2.1/24", "2001:db8:1::2/64"].map(|net| net.parse().unwrap());
        let host = |last: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, last], 51820));
        let tried = |configured: &[SocketAddr]| {
            let mut collector = Collector::new(&own);
            (1..=40).for_each(|last| collector.add(host(last), Kind::Host));
            collector.add("203.0.113.5:1".parse().unwrap(), Kind::Reflexive);
            collector.add("10.7.0.5:1".parse().unwrap(), Kind::Host);
            configured.iter().for_each(|at| collector.add(*at, Kind::Configured));
            let tried = collector.finish();
            assert_eq!(tried.len(), MAX_CANDIDATES - MAX_RUMOURS);
            assert!(tried.is_sorted_by_key(|candidate| (candidate.rank, candidate.endpoint)));
            tried.iter().map(|candidate| candidate.endpoint).collect::<Vec<_>>()
        };
        let written = ["198.51.100.9:1".parse().unwrap(), host(40), host(99)];
        let all = tried(&written);
        assert!(written.iter().all(|at| all.contains(at)), "{all:?}");
        for of_its_kind in ["203.0.113.5:1", "10.7.0.5:1"] {
            assert!(all.contains(&of_its_kind.parse().unwrap()), "{all:?}");
        }
    }

    #[test]
    fn addresses_of_a_site_alone_are_no_ipv6_with_which_the_internet_is_reached() {
        let candidates = [
            ("[2001:db8::5]:1", Kind::Host),
            ("[fd00:7::5]:1", Kind::Host),
            ("203.0.113.5:1", Kind::Reflexive),
        ];
        let site = ["192.168.7.2/24", "fd00:7::2/64"];
        assert_eq!(order(&site, &candidates), ["[fd00:7::5]:1", "203.0.113.5:1"]);
        let both = ["fd00:8::2/64", "2001:db8:1::2/64"];
        assert_eq!(order(&both, &candidates), ["[2001:db8::5]:1", "[fd00:7::5]:1"]);
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

    #[test]
    fn ipv4_is_reached_through_a_nat64_where_there_is_only_ipv6() {
        let own: Vec<IpNet> = ["2001:db8::2/64", "127.0.0.1/8"]
            .map(|text| text.parse().unwrap())
            .into();
        let nat64 = Prefix64::well_known();
        let found = |own: &[IpNet], nat64, endpoint: &str| {
            let mut collector = Collector::new(own).behind(nat64);
            collector.add(endpoint.parse().unwrap(), Kind::Host);
            collector.finish()
        };
        let [candidate] = found(&own, Some(nat64), "192.0.2.33:5")[..] else {
            panic!("it is reached");
        };
        assert_eq!(candidate.endpoint, "[64:ff9b::192.0.2.33]:5".parse().unwrap());
        assert_eq!(
            Class::of(candidate.endpoint, &[candidate]),
            Class::Ipv4,
            "it is translated"
        );
        assert!(found(&own, None, "192.0.2.33:5").is_empty());
        assert!(
            found(&own, Some(nat64), "192.168.1.2:5").is_empty(),
            "no NAT64 leads into a LAN"
        );
        let both: Vec<IpNet> = ["2001:db8::2/64", "198.51.100.7/24"]
            .map(|text| text.parse().unwrap())
            .into();
        let [candidate] = found(&both, Some(nat64), "192.0.2.33:5")[..] else {
            panic!("it is reached");
        };
        assert_eq!(candidate.endpoint, "192.0.2.33:5".parse().unwrap());
    }
}
