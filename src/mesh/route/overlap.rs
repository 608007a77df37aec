//! What a prefix from a fact must leave alone. [`route`](crate::mesh::route) asks before it gives a prefix to anybody.
//!
//! A claim is not met, for as long as that is so, where it
//!
//! | meets | by containing or being it | by lying inside it |
//! |---|---|---|
//! | the default route, whole or in pieces (shorter than /8) | never met | |
//! | loopback, link-local, multicast, broadcast or no address | never met | never met |
//! | what the operator allows facts to bring (`AllowPrefixes`) | not met where it is more | met |
//! | a network of an interface that is up, the tunnel's own apart | not met | not met, but where a longer prefix than the network's leads into the tunnel by the operator's word: inside that it takes nothing from the network |
//! | where a peer is reached: an endpoint with a session, or one that the operator wrote | not met: the tunnel would lead into itself | |
//! | an address of this node in the tunnel | not met, but for a network of a router | |
//! | what the operator gave to another peer, the same prefix | see [`route`](crate::mesh::route): taken from a router for a while, or not met | |
//! | what the operator gave to another peer, a longer prefix | not met, but for a router | met: a network with other nodes inside is what a router is |
//!
//! What the operator wrote in the settings is no claim of a fact, and none of this is asked about it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::prefix::{is_reserved, wider};
use crate::mesh::base::settings::Settings;
use crate::mesh::device::host::HostState;
use crate::mesh::device::mirror::Mirror;
use crate::mesh::keep::memory::Given;

/// Prefixes shorter than this are the default route or a large piece of it: two of /1 are as good as one of /0. The largest
/// private network has this length.
const SHORTEST: u8 = 8;

/// Addresses that no peer has.
const NOBODYS: [IpNet; 9] = [
    v4([0, 0, 0, 0], 8),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([224, 0, 0, 0], 4),
    v4([255, 255, 255, 255], 32),
    v6(0, 0, 128),
    v6(0, 1, 128),
    v6(0xfe80, 0, 10),
    v6(0xff00, 0, 8),
];

/// What a prefix from a fact may meet that it must leave alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Overlap {
    /// It takes all traffic, or a great part of it.
    #[error("a default route, whole or in pieces")]
    DefaultRoute,
    /// Loopback, link-local, multicast and the like belong to nobody.
    #[error("addresses that no peer has")]
    Reserved,
    /// The operator limits what facts may bring.
    #[error("not inside AllowPrefixes")]
    NotAllowed,
    /// What is sent to this node would be its peer's.
    #[error("an address of this node itself")]
    OwnAddress,
    /// This machine reaches it without the tunnel.
    #[error("a network that this machine is connected to")]
    ConnectedNetwork,
    /// WireGuard would be sent through itself.
    #[error("the endpoint of a peer")]
    Endpoint,
    /// The operator gave it, or a part of it, to another peer.
    #[error("a prefix that the operator gave to another peer")]
    OperatorsPrefix,
}

/// Why a claim is not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// In which way.
    pub overlap: Overlap,
    /// What is in the way, where that is not the prefix itself: a network, or a single address.
    pub with: Option<IpNet>,
    /// Whose it is, where it is a peer's.
    pub of: Option<PublicKey>,
}

/// The device, as far as the operator made it.
pub struct Table<'a> {
    /// The device.
    pub device: &'a Mirror,
    /// To whom the operator gave exactly this prefix.
    pub operators: &'a dyn Fn(&IpNet) -> Option<PublicKey>,
    /// Where prefixes are because of this node: those of the operator's that are lent to a router have no owner on the device.
    pub introduced: &'a BTreeMap<IpNet, Given>,
    /// Peers that route for others.
    pub routers: &'a BTreeSet<PublicKey>,
}

/// What prefixes from facts must leave alone, the device apart.
#[derive(Debug, Default)]
pub struct Protected {
    /// What facts may bring; `None` where the operator set no limit.
    allowed: Option<Vec<IpNet>>,
    /// What the settings say of prefixes: no facts.
    configured: BTreeSet<(IpNet, PublicKey)>,
    connected: BTreeSet<IpNet>,
    /// How long the connected networks are: a few lengths, however many there are.
    lengths: BTreeSet<u8>,
    /// The addresses of this node in the tunnel, with their lengths.
    own: Vec<IpNet>,
    endpoints: BTreeSet<(IpAddr, PublicKey)>,
    reached_at: BTreeMap<PublicKey, Vec<IpAddr>>,
}

impl Protected {
    /// Takes what the operator wrote.
    pub fn new(settings: &Settings) -> Self {
        let of_peer = |(key, prefixes): (&PublicKey, &Vec<IpNet>)| {
            let key = *key;
            let prefixes = prefixes.iter().map(IpNet::trunc);
            prefixes.map(move |prefix| (prefix, key)).collect::<Vec<_>>()
        };
        let peers = settings.peers.iter().map(|(key, peer)| (key, &peer.allowed_ips));
        Self {
            allowed: settings.allow_prefixes.clone(),
            configured: peers.flat_map(of_peer).collect(),
            ..Self::default()
        }
    }

    /// Takes what the operator wrote in the place of what was written before.
    pub fn configure(&mut self, settings: &Settings) {
        let new = Self::new(settings);
        (self.allowed, self.configured) = (new.allowed, new.configured);
    }

    /// Takes in what the machine is connected to.
    pub fn observe_host(&mut self, host: &HostState) {
        let up = host.interfaces.iter().filter(|interface| interface.up);
        let networks = up.flat_map(|interface| &interface.addresses).map(IpNet::trunc);
        self.connected = networks
            .filter(|network| !is_reserved(network) && network.prefix_len() > 0)
            .collect();
        self.lengths = self.connected.iter().map(IpNet::prefix_len).collect();
        let own = host.tunnel_addresses.iter().filter(|own| !is_reserved(own));
        self.own = own.copied().collect();
    }

    /// Takes in where a peer is reached; returns the addresses that came or went.
    pub fn observe_peer(&mut self, peer: &PublicKey, mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        addresses.sort_unstable();
        addresses.dedup();
        let before = self.reached_at.get(peer).map_or(&[][..], Vec::as_slice);
        if before == addresses {
            return Vec::new();
        }
        let gone: Vec<IpAddr> = before.iter().filter(|ip| !addresses.contains(ip)).copied().collect();
        let new: Vec<IpAddr> = addresses.iter().filter(|ip| !before.contains(ip)).copied().collect();
        for address in &gone {
            self.endpoints.remove(&(*address, *peer));
        }
        self.endpoints.extend(new.iter().map(|address| (*address, *peer)));
        if addresses.is_empty() {
            self.reached_at.remove(peer);
        } else {
            self.reached_at.insert(*peer, addresses);
        }
        [gone, new].concat()
    }

    /// Returns whether the prefix is a part of a connected network: who has it decides about claims inside.
    pub fn is_inside_network(&self, prefix: &IpNet) -> bool {
        self.network_around(prefix).is_some()
    }

    /// Returns what is in the way of the claim to the prefix for the peer, if anything is. Whether the operator gave exactly this
    /// prefix to another peer is not asked here.
    pub fn obstacle(&self, prefix: &IpNet, claimant: &PublicKey, table: &Table<'_>) -> Option<Obstacle> {
        if self.configured.contains(&(*prefix, *claimant)) {
            return None;
        }
        let routes = table.routers.contains(claimant);
        let kind = |overlap| Obstacle {
            overlap,
            with: None,
            of: None,
        };
        let nobodys = |nobodys: &IpNet| nobodys.contains(prefix) || prefix.contains(nobodys);
        let allows = |allowed: &IpNet| allowed.contains(prefix);
        if prefix.prefix_len() < SHORTEST {
            Some(kind(Overlap::DefaultRoute))
        } else if NOBODYS.iter().any(nobodys) {
            Some(kind(Overlap::Reserved))
        } else if self.allowed.as_ref().is_some_and(|all| !all.iter().any(allows)) {
            Some(kind(Overlap::NotAllowed))
        } else {
            self.own_address_in(prefix, routes)
                .or_else(|| self.network_at(prefix, table))
                .or_else(|| self.endpoint_in(prefix))
                .or_else(|| operators_part(prefix, claimant, table).filter(|_| !routes))
        }
    }

    fn own_address_in(&self, prefix: &IpNet, routes: bool) -> Option<Obstacle> {
        let is_network = prefix.prefix_len() < prefix.max_prefix_len();
        let own = self.own.iter().find(|own| prefix.contains(&own.addr()))?;
        (!routes || !is_network).then(|| Obstacle {
            overlap: Overlap::OwnAddress,
            with: Some(IpNet::from(own.addr())),
            of: None,
        })
    }

    fn network_at(&self, prefix: &IpNet, table: &Table<'_>) -> Option<Obstacle> {
        let inside = first_inside(&self.connected, prefix);
        let around = || {
            self.network_around(prefix)
                .filter(|net| !self.leads_in(prefix, net, table))
        };
        inside.or_else(around).map(|network| Obstacle {
            overlap: Overlap::ConnectedNetwork,
            with: Some(network),
            of: None,
        })
    }

    /// Returns the longest connected network that holds the prefix and more.
    fn network_around(&self, prefix: &IpNet) -> Option<IpNet> {
        let lengths = self.lengths.range(..prefix.prefix_len()).rev();
        let wider = lengths.filter_map(|length| IpNet::new(prefix.addr(), *length).ok());
        wider
            .map(|wider| wider.trunc())
            .find(|wider| self.connected.contains(wider))
    }

    /// Returns whether the operator leads a part of the connected network into the tunnel, with the prefix inside.
    fn leads_in(&self, prefix: &IpNet, network: &IpNet, table: &Table<'_>) -> bool {
        let is_part = |part: &IpNet| part.prefix_len() > network.prefix_len();
        let own = || self.own.iter().map(IpNet::trunc).filter(|own| own.contains(prefix));
        let given = || {
            wider(*prefix)
                .chain([*prefix])
                .filter(|part| (table.operators)(part).is_some())
        };
        own().any(|part| is_part(&part)) || given().any(|part| is_part(&part))
    }

    fn endpoint_in(&self, prefix: &IpNet) -> Option<Obstacle> {
        let (address, peer) = self.endpoints.range((prefix.network(), PublicKey::FIRST)..).next()?;
        prefix.contains(address).then(|| Obstacle {
            overlap: Overlap::Endpoint,
            with: Some(IpNet::from(*address)),
            of: Some(*peer),
        })
    }
}

/// Returns the first of the prefixes that is this one or lies inside it.
fn first_inside(prefixes: &BTreeSet<IpNet>, prefix: &IpNet) -> Option<IpNet> {
    // All that lies inside follows the prefix in the order of addresses, and nothing else comes between.
    let next = prefixes.range(prefix..).next();
    next.filter(|next| prefix.contains(*next)).copied()
}

/// Returns a part of the prefix that the operator gave to another peer.
fn operators_part(prefix: &IpNet, claimant: &PublicKey, table: &Table<'_>) -> Option<Obstacle> {
    let owned = table.device.owners().range(prefix..).map(|(part, _)| part);
    let inside = owned
        .take_while(|part| prefix.contains(*part))
        .filter(|part| *part != prefix);
    let given = inside.filter_map(|part| Some((*part, (table.operators)(part)?)));
    let behind = table
        .introduced
        .range(prefix..)
        .take_while(|(part, _)| prefix.contains(*part));
    let lent = behind.filter_map(|(part, given)| Some((*part, given.lent_by()?)));
    let mut to_others = given
        .chain(lent.filter(|(part, _)| part != prefix))
        .filter(|(_, peer)| peer != claimant);
    to_others.next().map(|(part, peer)| Obstacle {
        overlap: Overlap::OperatorsPrefix,
        with: Some(part),
        of: Some(peer),
    })
}

const fn v4([a, b, c, d]: [u8; 4], length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(std::net::Ipv4Addr::new(a, b, c, d), length))
}

const fn v6(first: u16, last: u16, length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(
        std::net::Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last),
        length,
    ))
}

#[cfg(test)]
mod tests;
