//! A scenario in the world: its sites, hubs and leaves, and what its acts do to them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::device::DeviceChange;
use wirelink::mesh::identity::PublicKey;
use wirelink::mesh::settings::{Host as Endpoint, PeerSettings, Settings};

use crate::draw::Draw;
use crate::host::{Config, PeerConfig, public_key};
use crate::liar::Liar;
use crate::lies;
use crate::net::{HostId, Nic, Quality, SiteId};
use crate::scenario::course::Course;
use crate::scenario::{Act, Leaf, Name, Program, Scenario};
use crate::world::World;

/// WireGuard's port on every host, as in the lab.
pub(crate) const PORT: u16 = 51820;
/// The keepalive of a leaf towards its hubs, as every guide has it.
const KEEPALIVE: u16 = 25;
/// The keepalive of the peer that the operator made by hand: no default of anything.
const HAND_MADE_KEEPALIVE: u16 = 21;

/// A scenario that is being played.
pub(crate) struct Stage<'a> {
    /// How far it has come.
    pub(crate) course: Course<'a>,
    /// Where it is played.
    pub(crate) world: World,
    /// Whether two leaves may do better than the oracle says: a NAT that gives every flow a port of its own may happen to give the
    /// one that the other side expects.
    pub(crate) luck: bool,
    hosts: BTreeMap<Name, HostId>,
    sites: Vec<SiteId>,
    hub_sites: Vec<SiteId>,
    renumbered: usize,
    liars: Vec<(HostId, Liar)>,
}

impl<'a> Stage<'a> {
    /// Builds a scenario: WireGuard runs everywhere, wirelink nowhere.
    pub(crate) fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let mut stage = Self {
            course: Course::new(scenario),
            world: World::new(seed),
            luck: false,
            hosts: BTreeMap::new(),
            sites: Vec::new(),
            hub_sites: Vec::new(),
            renumbered: 0,
            liars: Vec::new(),
        };
        stage.build_sites();
        let mut draw = Draw::new(seed).branch(3);
        let names = scenario.names();
        let keys: BTreeMap<Name, [u8; 32]> = names.iter().map(|name| (*name, draw.bytes())).collect();
        for (number, name) in names.iter().enumerate() {
            let by_hand = PublicKey::from_bytes(draw.bytes());
            let config = stage.config(name, number, &keys, by_hand);
            let nics = stage.nics(name);
            let id = stage.world.add_host(config, nics);
            stage.hosts.insert(name, id);
        }
        stage
    }

    /// Returns the number of a host.
    pub(crate) fn id(&self, name: Name) -> HostId {
        self.hosts[name]
    }

    /// Returns the addresses of a host on its own networks.
    pub(crate) fn address(&self, name: Name) -> Vec<IpAddr> {
        let nics = self.world.net.nics(self.id(name)).iter();
        nics.flat_map(|nic| nic.addresses.iter().map(IpNet::addr)).collect()
    }

    /// Returns every host with its number.
    pub(crate) fn hosts(&self) -> Vec<(Name, HostId)> {
        self.hosts.iter().map(|(name, id)| (*name, *id)).collect()
    }

    /// Changes what the ways to all sites do to packets.
    pub(crate) fn set_quality(&mut self, quality: Quality) {
        for site in self.sites.iter().chain(&self.hub_sites) {
            self.world.net.set_quality(*site, quality);
        }
    }

    /// Does what an act says.
    pub(crate) fn act(&mut self, act: Act) {
        self.world.note(None, || format!("{act:?}"));
        self.course.take(act);
        match act {
            Act::StartAll => self.each(World::start),
            Act::StopAll => self.each(World::stop),
            Act::Start(name) => self.world.start(self.id(name)),
            Act::Stop(name) => self.world.stop(self.id(name)),
            Act::Reboot(name) => {
                self.world.reboot(self.id(name));
                self.world.start(self.id(name));
            }
            Act::Cut(one, other) => self.world.net.cut(self.id(one), self.id(other)),
            Act::Heal(one, other) => self.world.net.heal(self.id(one), self.id(other)),
            Act::Isolate(name) => self.world.net.isolate(self.id(name), true),
            Act::Rejoin(name) => self.world.net.isolate(self.id(name), false),
            Act::Roam(name, _) => self.move_to_course(&[name]),
            Act::RoamBoth((one, _), (other, _)) => self.move_to_course(&[one, other]),
            Act::Renumber(name) => self.renumber(name),
            Act::Sleep(name, time) => self.world.sleep(self.id(name), time),
            Act::Revoke(name) => self.revoke(name),
            Act::Lie(name) => self.begin_to_lie(name),
            Act::Wait => {}
        }
    }

    fn each(&mut self, act: impl Fn(&mut World, HostId)) {
        for (_, id) in self.hosts() {
            act(&mut self.world, id);
        }
    }

    /// Brings leaves to where they are by now; first all leave, as one may come to where another one was.
    fn move_to_course(&mut self, names: &[Name]) {
        for name in names {
            self.world.net.plug(self.id(name), Vec::new());
        }
        for name in names {
            let nics = self.nics(name);
            self.world.plug(self.id(name), nics);
        }
    }

    fn renumber(&mut self, name: Name) {
        self.renumbered += 1;
        let nics = self.nics(name);
        let address = nics[0].addresses[0].addr();
        self.world.plug(self.id(name), nics);
        self.world.net.names.insert(dns_name(name), vec![address]);
    }

    fn revoke(&mut self, name: Name) {
        let id = self.id(name);
        self.world.stop(id);
        let peer = self.world.hosts[id].key;
        for hub in &self.course.scenario().hubs {
            let hub = self.id(hub.name);
            self.world.operate(hub, &DeviceChange::RemovePeer { peer });
            self.world.hosts[hub].config.peers.retain(|known| known.key != peer);
        }
    }

    /// The operator makes a leaf that was revoked a member again, and starts its node.
    pub(crate) fn admit(&mut self, name: Name) {
        self.course.admit(name);
        let id = self.id(name);
        let key = self.world.hosts[id].key;
        for (number, hub) in self.course.scenario().hubs.iter().enumerate() {
            let config = self
                .leaves_of_hub(number, &|_| key)
                .into_iter()
                .find(|(leaf, _)| *leaf == name);
            let Some((_, config)) = config else { continue };
            let hub = self.id(hub.name);
            self.world.operate(
                hub,
                &DeviceChange::AddPeer {
                    peer: key,
                    allowed_ips: config.allowed_ips.iter().copied().collect(),
                    endpoint: None,
                },
            );
            self.world.hosts[hub].config.peers.push(config);
        }
        self.world.start(id);
    }

    fn build_sites(&mut self) {
        let scenario = self.course.scenario();
        for hub in 0..scenario.hubs.len() {
            let open = crate::scenario::border::Border::Open;
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
    fn nics(&self, name: Name) -> Vec<Nic> {
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

    fn config(&mut self, name: Name, number: usize, keys: &BTreeMap<Name, [u8; 32]>, by_hand: PublicKey) -> Config {
        let scenario = self.course.scenario();
        assert_eq!(self.course.program(name), Program::Ours, "only ours is simulated");
        let mut peers = vec![hand_made(by_hand, number)];
        let mut settings = Settings::default();
        let is_hub = number < scenario.hubs.len();
        let inner = if is_hub {
            peers.extend(self.peers_of_hub(number, keys));
            // Of several hubs each has a router among its peers, and would take itself for a leaf.
            settings.router = (scenario.hubs.len() > 1).then_some(true);
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

    fn leaves_of_hub(&self, hub: usize, key: &dyn Fn(Name) -> PublicKey) -> Vec<(Name, PeerConfig)> {
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

    /// Makes a liar of a host; what it says honestly, it goes on saying.
    fn begin_to_lie(&mut self, name: Name) {
        let id = self.id(name);
        let draw = Draw::new(id as u64).branch(4);
        self.liars
            .push((id, Liar::new(&self.world.hosts[id].config.private_key, draw)));
        self.world.lies = true;
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        for (id, liar) in &mut self.liars {
            lies::speak(&mut self.world, *id, liar);
        }
        self.world.run(time);
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

fn dns_name(hub: Name) -> String {
    format!("{hub}.example")
}

fn net(address: impl Into<IpAddr>, length: u8) -> IpNet {
    IpNet::new(address.into(), length).expect("the length fits the family")
}

/// The public address of a number, each in a network of its own.
pub(crate) fn public(number: usize) -> IpAddr {
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
