//! How a scenario is built: its sites, the addresses of everybody, and what each operator wrote down.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::base::settings::{Host as Endpoint, PeerSettings, Settings};

use super::Stage;
use crate::host::{Config, PeerConfig, public_key};
use crate::net::{Nic, SiteId};
use crate::scenario::border::Border;
use crate::scenario::{Leaf, Name};

/// WireGuard's port on every host, as in the lab.
const PORT: u16 = 51820;
/// The keepalive of a leaf towards its hubs, as every guide has it.
const KEEPALIVE: u16 = 25;
/// The keepalive of the peer that the operator made by hand: no default of anything.
const HAND_MADE_KEEPALIVE: u16 = 21;

impl Stage<'_> {
    pub(super) fn build_sites(&mut self) {
        let scenario = self.course.scenario();
        for hub in 0..scenario.hubs.len() {
            let open = Border::Open;
            let site = self.world.net.add_site(open, public(hub), None, None);
            self.hub_sites.push(site);
        }
        let mut made: BTreeMap<usize, SiteId> = BTreeMap::new();
        while made.len() < scenario.sites.len() {
            for (index, site) in scenario.sites.iter().enumerate() {
                let outer = site.behind.map(|outer| made.get(&outer).copied());
                if made.contains_key(&index) || outer == Some(None) {
                    continue;
                }
                let outside = outside(index, site.behind);
                let id = self
                    .world
                    .net
                    .add_site(site.border, outside, outer.flatten(), site.ipv6);
                made.insert(index, id);
            }
        }
        self.sites = made.into_values().collect();
    }

    /// Returns the interfaces that a host has where it is now.
    pub(super) fn nics(&self, name: Name) -> Vec<Nic> {
        let scenario = self.course.scenario();
        let (site, addresses) = match scenario.hubs.iter().position(|hub| hub.name == name) {
            Some(hub) => {
                let number = if self.renumbered > 0 {
                    RENUMBERED + 10 * self.renumbered + hub
                } else {
                    hub
                };
                let ipv6 = scenario.sites.iter().any(|site| site.ipv6.is_some());
                let v6 = ipv6.then(|| net(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, hub as u16, 0, 0, 0, 1), 64));
                let addresses = [net(public(number), 30)].into_iter().chain(v6);
                (self.hub_sites[hub], addresses.collect())
            }
            None => {
                let leaf = scenario.leaves.iter().position(|leaf| leaf.name == name);
                let leaf = leaf.unwrap_or_else(|| panic!("no host is called {name}"));
                let site = self.course.site(name);
                (self.sites[site], self.leaf_addresses(leaf, site))
            }
        };
        vec![Nic {
            name: "eth0".into(),
            site,
            addresses,
            up: true,
        }]
    }

    fn leaf_addresses(&self, leaf: usize, index: usize) -> Vec<IpNet> {
        let site = &self.course.scenario().sites[index];
        let (number, host) = (index as u8, 2 + leaf as u8);
        let v4 = if site.border.is_shared() {
            net(Ipv4Addr::new(192, 168, 10 + number, host), 24)
        } else {
            net(outside(index, site.behind), 30)
        };
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, 1 + index as u16, 0, 0, 0, 0, host.into());
        let v6 = site.ipv6.map(|_| net(v6, 64));
        [v4].into_iter().chain(v6).collect()
    }

    pub(super) fn config(
        &mut self,
        name: Name,
        number: usize,
        keys: &BTreeMap<Name, [u8; 32]>,
        by_hand: PublicKey,
    ) -> Config {
        let scenario = self.course.scenario();
        let mut peers = vec![hand_made(by_hand, number)];
        let mut settings = Settings::default();
        let is_hub = number < scenario.hubs.len();
        let inner = if is_hub {
            peers.extend(self.peers_of_hub(number, keys));
            // Of several hubs each has a router among its peers, and would take itself for a leaf.
            settings.router = (scenario.hubs.len() > 1).then_some(true);
            for claim in scenario.claims.iter().filter(|_| number == 0) {
                let known = settings.peers.entry(public_key(&keys[claim.of])).or_default();
                known
                    .allowed_ips
                    .push(claim.prefix.parse().expect("a claim is a prefix"));
            }
            hub_inner(number)
        } else {
            let leaf = &scenario.leaves[number - scenario.hubs.len()];
            peers.extend(self.peers_of_leaf(leaf, keys));
            for hub in leaf
                .hubs
                .iter()
                .map(|hub| &scenario.hubs[*hub])
                .filter(|hub| hub.by_dns_name)
            {
                let endpoint = Endpoint::Name {
                    name: dns_name(hub.name),
                    port: PORT,
                };
                let known = PeerSettings {
                    endpoints: vec![endpoint],
                    ..PeerSettings::default()
                };
                settings.peers.insert(public_key(&keys[hub.name]), known);
            }
            leaf_inner(leaf, number - scenario.hubs.len())
        };
        let families = if scenario.tunnel_ipv6 { 2 } else { 1 };
        for (number, hub) in scenario.hubs.iter().enumerate() {
            self.world.net.names.insert(dns_name(hub.name), vec![public(number)]);
        }
        peers.iter_mut().for_each(|peer| {
            peer.allowed_ips
                .retain(|prefix| families == 2 || prefix.addr().is_ipv4())
        });
        Config {
            name: name.to_owned(),
            private_key: keys[name],
            port: PORT,
            inner: inner.into_iter().take(families).collect(),
            peers,
            forwards: is_hub,
            settings,
            probes: true,
            form: wirelink::mesh::believe::fact::signal::ProbeForm::Veiled,
            program: self.course.program(name),
        }
    }

    fn peers_of_hub(&self, hub: usize, keys: &BTreeMap<Name, [u8; 32]>) -> Vec<PeerConfig> {
        let scenario = self.course.scenario();
        let others = scenario.hubs.iter().enumerate().filter(|(other, _)| *other != hub);
        let others = others.map(|(other, config)| PeerConfig {
            key: public_key(&keys[config.name]),
            allowed_ips: hub_inner(other).iter().map(IpNet::trunc).collect(),
            endpoint: Some(SocketAddr::new(public(other), PORT)),
            keepalive: None,
        });
        let leaves = self.leaves_of_hub(hub, &|leaf| public_key(&keys[leaf]));
        others.chain(leaves.into_iter().map(|(_, config)| config)).collect()
    }

    pub(super) fn leaves_of_hub(&self, hub: usize, key: &dyn Fn(Name) -> PublicKey) -> Vec<(Name, PeerConfig)> {
        let scenario = self.course.scenario();
        let families = if scenario.tunnel_ipv6 { 2 } else { 1 };
        let leaves = scenario.leaves.iter().enumerate();
        let known = leaves.filter(|(_, leaf)| leaf.hubs.contains(&hub));
        let peer = |(index, leaf): (usize, &Leaf)| PeerConfig {
            key: key(leaf.name),
            allowed_ips: leaf_inner(leaf, index)
                .iter()
                .take(families)
                .map(|net| IpNet::from(net.addr()))
                .collect(),
            endpoint: None,
            keepalive: None,
        };
        known.map(|(index, leaf)| (leaf.name, peer((index, leaf)))).collect()
    }

    fn peers_of_leaf(&self, leaf: &Leaf, keys: &BTreeMap<Name, [u8; 32]>) -> Vec<PeerConfig> {
        let scenario = self.course.scenario();
        let knows_all = leaf.hubs.len() == scenario.hubs.len();
        let peers = leaf.hubs.iter().map(|hub| PeerConfig {
            key: public_key(&keys[scenario.hubs[*hub].name]),
            allowed_ips: if knows_all {
                hub_inner(*hub).iter().map(IpNet::trunc).collect()
            } else {
                vec![
                    net(Ipv4Addr::new(10, 99, 0, 0), 16),
                    net(Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 0), 48),
                ]
            },
            endpoint: Some(SocketAddr::new(public(*hub), PORT)),
            keepalive: Some(KEEPALIVE),
        });
        peers.collect()
    }
}

/// Hubs that were renumbered have networks from here on.
const RENUMBERED: usize = 1000;
/// Sites have networks from here on.
const SITES: usize = 100;

/// A peer that only the operator knows: nobody vouches for it and nobody ever answers. Its prefix is a single address, since a
/// peer with more than that counts as a router.
fn hand_made(key: PublicKey, number: usize) -> PeerConfig {
    PeerConfig {
        key,
        allowed_ips: vec![net(Ipv4Addr::new(172, 31, 5, number as u8), 32)],
        endpoint: Some(SocketAddr::from(([203, 0, 113, 200 + number as u8], PORT))),
        keepalive: Some(HAND_MADE_KEEPALIVE),
    }
}

pub(super) fn dns_name(hub: Name) -> String {
    format!("{hub}.example")
}

fn net(address: impl Into<IpAddr>, length: u8) -> IpNet {
    IpNet::new(address.into(), length).expect("the length fits the family")
}

/// The public address of a number, each in a network of its own.
fn public(number: usize) -> IpAddr {
    let address = 0xc612_0000 + 4 * number as u32 + 2; // 198.18.0.0/15, for benchmarks of networks (RFC 2544)
    IpAddr::V4(Ipv4Addr::from(address))
}

fn outside(site: usize, behind: Option<usize>) -> IpAddr {
    match behind {
        None => public(SITES + site),
        Some(_) => IpAddr::from([100, 64, site as u8, 2]),
    }
}

fn hub_inner(hub: usize) -> Vec<IpNet> {
    vec![
        net(Ipv4Addr::new(10, 99, hub as u8, 1), 24),
        net(Ipv6Addr::new(0xfd99, 0, 0, hub as u16, 0, 0, 0, 1), 64),
    ]
}

fn leaf_inner(leaf: &Leaf, index: usize) -> Vec<IpNet> {
    let (hub, host) = (leaf.hubs[0], 2 + index as u8);
    vec![
        net(Ipv4Addr::new(10, 99, hub as u8, host), 24),
        net(Ipv6Addr::new(0xfd99, 0, 0, hub as u16, 0, 0, 0, host.into()), 64),
    ]
}
