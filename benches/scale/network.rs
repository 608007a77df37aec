//! A large network: leaves behind hubs.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::identity::PublicKey;
use wirelink::mesh::settings::Settings;

use crate::host::{Config, PeerConfig, public_key};
use crate::net::{HostId, Nic, Quality};
use crate::program::Program;
use crate::scenario;
use crate::scenario::border::Border;
use crate::world::World;

/// How many leaves one hub has at most.
const LEAVES_OF_A_HUB: usize = 1000;
/// WireGuard's port on every host.
const PORT: u16 = 51820;
/// The keepalive of a leaf towards its hub, as every guide has it.
const KEEPALIVE: u16 = 25;
/// Half of the way from one site to another: 50 ms there and back.
const ACCESS: Quality = Quality {
    latency: Duration::from_micros(12_500),
    jitter: Duration::ZERO,
    ..Quality::ACCESS
};

/// What the leaves can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No leaf has an address of a family in which another one could be reached.
    Star,
    /// All leaves have public addresses.
    Mesh,
}

impl Kind {
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Star, Self::Mesh].into_iter().find(|kind| kind.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Star => "star",
            Self::Mesh => "mesh",
        }
    }
}

/// A network in the simulated world.
pub(crate) struct Network {
    pub(crate) world: World,
    pub(crate) hubs: Vec<HostId>,
    pub(crate) leaves: Vec<HostId>,
    lacking: Vec<HostId>,
    leaf_keys: BTreeSet<PublicKey>,
}

impl Network {
    /// Builds it; nothing runs yet but WireGuard.
    pub(crate) fn new(kind: Kind, leaves: usize) -> Self {
        let hubs = leaves.div_ceil(LEAVES_OF_A_HUB);
        let keys: Vec<[u8; 32]> = (0..hubs + leaves).map(key).collect();
        let known: Vec<PublicKey> = keys.iter().map(public_key).collect();
        let mut network = Self {
            world: World::new(1),
            hubs: Vec::new(),
            leaves: Vec::new(),
            lacking: Vec::new(),
            leaf_keys: known[hubs..].iter().copied().collect(),
        };
        for (number, key) in keys.iter().enumerate() {
            let is_hub = number < hubs;
            let config = Config {
                name: number.to_string(),
                private_key: *key,
                port: PORT,
                inner: vec![inner(number, hubs, 16)],
                peers: if is_hub {
                    peers_of_hub(number, hubs, &known)
                } else {
                    vec![peer_of_leaf(number, hubs, &known)]
                },
                forwards: is_hub,
                program: scenario::Program::Ours,
                settings: Settings {
                    router: (is_hub && hubs > 1).then_some(true),
                    ..Settings::default()
                },
            };
            let nic = network.nic(number, is_hub, kind);
            let id = network.world.add_host(config, vec![nic]);
            if is_hub {
                network.hubs.push(id)
            } else {
                network.leaves.push(id)
            }
        }
        network.lacking = network.leaves.clone();
        network
    }

    fn nic(&mut self, number: usize, is_hub: bool, kind: Kind) -> Nic {
        let is_open = is_hub || kind == Kind::Mesh;
        let border = if is_open { Border::Open } else { Border::HOME };
        let site = self.world.net.add_site(border, public(number), None, None);
        self.world.net.set_quality(site, ACCESS);
        let address = if is_open {
            public(number)
        } else {
            // As if all that a leaf had were an address of its own making (RFC 3927): no way to anybody but through the NAT.
            IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1))
        };
        Nic {
            name: "eth0".into(),
            site,
            addresses: vec![IpNet::new(address, 24).expect("24 bits are a length")],
            up: true,
        }
    }

    /// Starts all nodes.
    pub(crate) fn start(&mut self) {
        let all: Vec<HostId> = self.hubs.iter().chain(&self.leaves).copied().collect();
        all.into_iter().for_each(|id| self.world.start(id));
    }

    /// Returns whether every leaf knows of every other one that it is a member, what its prefix is, and where it may be reached.
    pub(crate) fn has_converged(&mut self) -> bool {
        let others = self.leaves.len() - 1;
        let (world, leaf_keys) = (&self.world, &self.leaf_keys);
        let is_complete = |id: HostId| {
            let host = &world.hosts[id];
            // Cheap, and a condition: every member is made a peer.
            if host.tunnel.device().peers.len() < others + 1 {
                return false;
            }
            let node = host.node.as_ref().and_then(Program::ours).expect("it runs");
            let facts = node.status(world.now).facts;
            let told = facts
                .iter()
                .filter(|(fact, ..)| fact.subject != host.key && leaf_keys.contains(&fact.subject));
            told.count() >= 3 * others
        };
        // One that is complete stays so; the first that is not saves looking at the rest.
        while let Some(id) = self.lacking.pop() {
            if !is_complete(id) {
                self.lacking.push(id);
                return false;
            }
        }
        true
    }
}

fn key(number: usize) -> [u8; 32] {
    let mut bytes = [0x40; 32];
    bytes[1..5].copy_from_slice(&(number as u32).to_be_bytes());
    bytes
}

fn peers_of_hub(hub: usize, hubs: usize, known: &[PublicKey]) -> Vec<PeerConfig> {
    let others = (0..hubs).filter(|other| *other != hub).map(|other| PeerConfig {
        key: known[other],
        allowed_ips: vec![inner(other, hubs, 16).trunc()],
        endpoint: Some(SocketAddr::new(public(other), PORT)),
        keepalive: None,
    });
    let leaves = (hubs..known.len()).filter(|leaf| hub_of(*leaf, hubs) == hub);
    let leaves = leaves.map(|leaf| PeerConfig {
        key: known[leaf],
        allowed_ips: vec![inner(leaf, hubs, 32)],
        endpoint: None,
        keepalive: None,
    });
    others.chain(leaves).collect()
}

fn peer_of_leaf(leaf: usize, hubs: usize, known: &[PublicKey]) -> PeerConfig {
    let hub = hub_of(leaf, hubs);
    let all = IpNet::new(IpAddr::from([10, 0, 0, 0]), 8).expect("8 bits are a length");
    PeerConfig {
        key: known[hub],
        allowed_ips: vec![all],
        endpoint: Some(SocketAddr::new(public(hub), PORT)),
        keepalive: Some(KEEPALIVE),
    }
}

fn hub_of(leaf: usize, hubs: usize) -> usize {
    leaf % hubs
}

/// The address of a host in the tunnel: each hub has a network of its own, of which its leaves have parts.
fn inner(number: usize, hubs: usize, length: u8) -> IpNet {
    let [.., high, low] = (number as u32 + 1).to_be_bytes();
    let hub = if number < hubs { number } else { hub_of(number, hubs) };
    IpNet::new(IpAddr::from([10, hub as u8, high, low]), length).expect("a length of IPv4")
}

fn public(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0xc612_0000 + 4 * number as u32 + 2)) // 198.18.0.0/15, for benchmarks of networks (RFC 2544)
}
