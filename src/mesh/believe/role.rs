//! Which peers carry this node's traffic to the network, and whether this node is a router itself.
//!
//! Three questions, which prefix lengths alone do not answer:
//!
//! | question | answer |
//! |---|---|
//! | Does this peer carry my traffic to the network? | One of its networks holds an address of my interface. Its word counts for members, where the operator set no `Trust` |
//! | Does this peer have prefixes of its own? | It has a host address and networks that hold no address of mine: a leaf with a site behind it. It may claim prefixes inside those, and no more |
//! | Am I a router for others? | No peer carries my traffic |
//!
//! Only what the operator gave counts, on the device or in the settings; prefixes from facts make no router. `Router` in the settings
//! answers the third question, and lets peers with nothing but networks count as routers: neighbouring hubs. Each layout with its
//! answers is a row of `docs/roles.md`, and of the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::prefix::{is_global_unicast, is_routed};
use crate::mesh::base::settings::Settings;
use crate::mesh::device::DeviceState;

/// The prefixes that the operator gave to one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    networks: Vec<IpNet>,
    hosts: Vec<IpAddr>,
}

impl Holding {
    /// Sorts the prefixes of a peer; link-local ones say nothing about its role.
    pub fn of(prefixes: impl IntoIterator<Item = IpNet>) -> Self {
        let mut holding = Self::default();
        for prefix in prefixes {
            if is_routed(&prefix) {
                holding.networks.push(prefix.trunc());
            } else if prefix.prefix_len() == prefix.max_prefix_len() && is_global_unicast(prefix.addr()) {
                holding.hosts.push(prefix.addr());
            }
        }
        holding.networks.sort_unstable();
        holding.networks.dedup();
        holding
    }

    /// Returns whether the operator gave nothing that counts.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.hosts.is_empty()
    }

    /// Returns whether the prefix lies inside one that the operator gave.
    pub fn contains(&self, prefix: &IpNet) -> bool {
        let is_host = prefix.prefix_len() == prefix.max_prefix_len();
        self.networks.iter().any(|network| network.contains(prefix)) || is_host && self.hosts.contains(&prefix.addr())
    }

    /// Returns the networks.
    pub fn networks(&self) -> &[IpNet] {
        &self.networks
    }

    /// Keeps a network that facts move to another peer for a while.
    pub fn keep(&mut self, lent: impl IntoIterator<Item = IpNet>) {
        self.networks.extend(lent);
        self.networks.sort_unstable();
        self.networks.dedup();
    }

    /// Returns a network that holds an own address, with that address.
    fn carries(&self, own: &[IpNet]) -> Option<(IpNet, IpAddr)> {
        let mut pairs = self
            .networks
            .iter()
            .flat_map(|network| own.iter().map(move |own| (*network, own.addr())));
        pairs.find(|(network, address)| network.contains(address))
    }

    /// Returns whether it has networks and no address outside of them: it stands for a network and not for itself.
    fn is_network(&self) -> bool {
        let covered = |host: &IpAddr| self.networks.iter().any(|network| network.contains(host));
        !self.networks.is_empty() && self.hosts.iter().all(covered)
    }
}

/// What a role is found from.
pub struct Layout<'a> {
    /// `Router` in the settings.
    pub written: Option<bool>,
    /// The addresses of the WireGuard interface, each with its prefix length.
    pub own: &'a [IpNet],
    /// The peers to which the operator gave prefixes.
    pub peers: &'a BTreeMap<PublicKey, Holding>,
}

/// The role of this node among its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Whether this node routes for others.
    pub is_router: bool,
    /// The peers that carry its traffic to the network.
    pub routers: BTreeSet<PublicKey>,
    /// Why.
    pub why: Why,
}

/// Why a node has its role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// `Router` in the settings says so.
    Written,
    /// A network of this peer holds an address of this node.
    Carried {
        /// The peer.
        by: PublicKey,
        /// Its network.
        network: IpNet,
        /// The address of this node.
        address: IpAddr,
    },
    /// There is no other peer, and this one has a network; nothing shows whether that is a site of this hub.
    OnlyPeer {
        /// The peer.
        by: PublicKey,
        /// Its network.
        network: IpNet,
    },
    /// Peers have networks, but none that holds an address of this node.
    Sites {
        /// The first of these peers.
        of: PublicKey,
        /// Its network.
        network: IpNet,
        /// Whether it may as well be the hub of this node: it is the only peer, or its network holds an address of this node.
        may_carry: bool,
    },
    /// No peer has more than addresses.
    NoNetworks,
}

impl Why {
    /// Returns whether another role is as likely: the operator should confirm it by `Router`.
    pub const fn is_doubtful(&self) -> bool {
        matches!(self, Self::OnlyPeer { .. } | Self::Sites { may_carry: true, .. })
    }

    /// Returns the peer that the reason is about.
    pub const fn peer(&self) -> Option<&PublicKey> {
        match self {
            Self::Carried { by, .. } | Self::OnlyPeer { by, .. } => Some(by),
            Self::Sites { of, .. } => Some(of),
            Self::Written | Self::NoNetworks => None,
        }
    }
}

impl Role {
    /// Says which role it is and why, with the peer called as given.
    pub fn describe(&self, peer: &dyn fmt::Display) -> String {
        let role = if self.is_router { "a router" } else { "a leaf" };
        match &self.why {
            Why::Written => format!("this node is {role}, as `Router` in its settings says"),
            Why::Carried { network, address, .. } => {
                format!("this node is a leaf of {peer}, whose network {network} holds its address {address}")
            }
            Why::OnlyPeer { network, .. } => format!(
                "this node is a leaf of {peer}, its only peer, which has the network {network}; \
                 set `Router` to true where that is a site of this hub, else to false"
            ),
            Why::Sites {
                network,
                may_carry: true,
                ..
            } => format!(
                "this node is a router: {peer}, which has the network {network}, seems to be a site behind it; \
                 set `Router` to false where that peer is its hub, else to true"
            ),
            Why::Sites { network, .. } => format!(
                "this node is a router: no peer has a network that holds an address of this node ({peer} has {network}, a site)"
            ),
            Why::NoNetworks => "this node is a router: none of its peers has a network".to_owned(),
        }
    }
}

/// Returns the role of this node.
pub fn find(layout: &Layout<'_>) -> Role {
    let own: Vec<IpNet> = layout
        .own
        .iter()
        .filter(|own| is_global_unicast(own.addr()))
        .copied()
        .collect();
    let carrier = carriers(&own, layout.peers);
    let carriers: BTreeSet<PublicKey> = carrier.iter().map(|(key, ..)| *key).collect();
    let has_networks = |(_, holding): &(&PublicKey, &Holding)| !holding.networks.is_empty();
    let sites: Vec<(&PublicKey, &Holding)> = layout.peers.iter().filter(has_networks).collect();
    let neighbours = sites
        .iter()
        .filter(|(_, holding)| holding.is_network() && !is_one_of_many(&own, layout.peers, holding));
    let neighbours: BTreeSet<PublicKey> = neighbours.map(|(key, _)| **key).collect();
    let routers = &carriers | &neighbours;
    let why = carrier.first().map(|(by, network, address)| Why::Carried {
        by: *by,
        network: *network,
        address: *address,
    });
    match (layout.written, why, &sites[..]) {
        (Some(is_router), ..) => Role {
            is_router,
            routers: if routers.is_empty() && !is_router {
                sites.iter().map(|(key, _)| **key).collect()
            } else {
                routers
            },
            why: Why::Written,
        },
        (None, Some(why), _) => Role {
            is_router: false,
            routers,
            why,
        },
        (None, None, []) => Role {
            is_router: true,
            routers: BTreeSet::new(),
            why: Why::NoNetworks,
        },
        (None, None, [(first, holding), ..]) => {
            let holds_own = |(_, holding): &&(&PublicKey, &Holding)| holding.carries(&own).is_some();
            let suspect = sites.iter().find(holds_own);
            let carries = suspect.is_some();
            let (by, network) = suspect.map_or((**first, holding.networks[0]), |(key, holding)| {
                (
                    **key,
                    holding
                        .carries(&own)
                        .map_or(holding.networks[0], |(network, _)| network),
                )
            });
            let is_only = layout.peers.len() == 1;
            let has_no_network = own.iter().all(|own| own.prefix_len() == own.max_prefix_len());
            let is_leaf = is_only && (holding.is_network() || has_no_network && !own.is_empty());
            if is_leaf || own.is_empty() && !neighbours.is_empty() {
                let routers = if is_leaf { [by].into() } else { neighbours };
                let by = routers.first().copied().unwrap_or(by);
                let network = layout.peers[&by].networks[0];
                Role {
                    is_router: false,
                    routers,
                    why: Why::OnlyPeer { by, network },
                }
            } else {
                Role {
                    is_router: true,
                    routers: BTreeSet::new(),
                    why: Why::Sites {
                        of: by,
                        network,
                        may_carry: is_only || carries,
                    },
                }
            }
        }
    }
}

/// Returns the role that a device shows, where nothing on it is from facts.
pub fn of_device(settings: &Settings, device: &DeviceState, own: &[IpNet]) -> Role {
    let peers = device.peers.iter().map(|(key, peer)| {
        let written = settings.peers.get(key).into_iter().flat_map(|peer| &peer.allowed_ips);
        (*key, Holding::of(peer.allowed_ips.iter().chain(written).copied()))
    });
    find(&Layout {
        written: settings.router,
        own,
        peers: &peers.filter(|(_, holding)| !holding.is_empty()).collect(),
    })
}

/// Returns the peers with a network that holds an own address, with both.
fn carriers(own: &[IpNet], peers: &BTreeMap<PublicKey, Holding>) -> Vec<(PublicKey, IpNet, IpAddr)> {
    let carried = |(key, holding): (&PublicKey, &Holding)| {
        let (network, address) = holding.carries(own)?;
        (!is_one_of_many(own, peers, holding)).then_some((*key, network, address))
    };
    peers.iter().filter_map(carried).collect()
}

/// Returns whether the peer is one of several that have an address each in the network of this node's interface, and its own networks
/// are no part of that: a hub gives its network out so, and the wide network of such a peer is a site or a way out.
fn is_one_of_many(own: &[IpNet], peers: &BTreeMap<PublicKey, Holding>, holding: &Holding) -> bool {
    own.iter()
        .filter(|own| own.prefix_len() < own.max_prefix_len())
        .any(|own| {
            let lies_in = |holding: &Holding| holding.hosts.iter().any(|host| own.contains(host));
            let is_wider = |network: &IpNet| network.prefix_len() < own.prefix_len() || !network.contains(&own.addr());
            lies_in(holding)
                && holding.networks.iter().all(is_wider)
                && peers.values().filter(|other| lies_in(other)).nth(1).is_some()
        })
}

/// Follows what the operator gave, and the role that follows from it.
#[derive(Debug, Default)]
pub struct Roles {
    peers: BTreeMap<PublicKey, Holding>,
    own: Vec<IpNet>,
    written: Option<bool>,
    is_stale: bool,
    role: Option<Role>,
    /// What was last said of whose word counts.
    told: Option<String>,
}

impl Roles {
    /// Takes in what the operator gave to a peer; `None` where it is no peer any more.
    pub fn observe_peer(&mut self, key: &PublicKey, holding: Option<Holding>) {
        match holding.filter(|holding| !holding.is_empty()) {
            Some(holding) if self.peers.get(key) == Some(&holding) => {}
            Some(holding) => {
                self.peers.insert(*key, holding);
                self.is_stale = true;
            }
            None => self.is_stale |= self.peers.remove(key).is_some(),
        }
    }

    /// Takes in the addresses of the interface and what is written.
    pub fn observe(&mut self, own: &[IpNet], written: Option<bool>) {
        if self.own != own || self.written != written {
            self.own = own.to_vec();
            self.written = written;
            self.is_stale = true;
        }
    }

    /// Returns what the operator gave to a peer.
    pub fn holding(&self, key: &PublicKey) -> Option<&Holding> {
        self.peers.get(key)
    }

    /// Returns what the operator gave to the peers that have networks.
    pub fn sites(&self) -> BTreeMap<PublicKey, Holding> {
        let sites = self.peers.iter().filter(|(_, holding)| !holding.networks.is_empty());
        sites.map(|(key, holding)| (*key, holding.clone())).collect()
    }

    /// Returns whether something changed since the role was found.
    pub const fn is_stale(&self) -> bool {
        self.is_stale || self.role.is_none()
    }

    /// Takes in what is to be said of whose word counts; returns whether it is news.
    pub fn tell_trust(&mut self, text: &str) -> bool {
        let is_news = self.told.as_deref() != Some(text);
        self.told = Some(text.to_owned());
        is_news
    }

    /// Has the role found again, and what follows from it said.
    pub const fn doubt(&mut self) {
        self.is_stale = true;
    }

    /// Finds the role again where something changed; returns whether it is another one, and which one it was.
    pub fn refresh(&mut self) -> Option<(Option<Role>, Role)> {
        if !std::mem::take(&mut self.is_stale) && self.role.is_some() {
            return None;
        }
        let role = find(&Layout {
            written: self.written,
            own: &self.own,
            peers: &self.peers,
        });
        (self.role.as_ref() != Some(&role)).then(|| (self.role.replace(role.clone()), role))
    }

    /// Returns the role, once it is found.
    pub const fn role(&self) -> Option<&Role> {
        self.role.as_ref()
    }
}

#[cfg(test)]
mod tests;
