//! Large networks of one shape: leaves behind hubs that all of them know.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::base::settings::Settings;

use crate::draw::Draw;
use crate::host::{Config, PeerConfig, public_key};
use crate::net::{Nic, Quality};
use crate::scenario::Program;
use crate::scenario::border::Border;
use crate::world::World;

const PORT: u16 = 51820;
/// The keepalive of a leaf towards its hubs, as every guide has it.
const KEEPALIVE: u16 = 25;

/// A network of leaves, each at a site of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Star {
    pub(crate) leaves: usize,
    pub(crate) hubs: usize,
    /// What each leaf is behind.
    pub(crate) border: Border,
    /// The ways to all sites.
    pub(crate) quality: Quality,
    /// Whether the leaves behind a NAT have addresses that others could try: if not, nobody has a candidate but the hubs.
    pub(crate) has_candidates: bool,
}

/// Builds a network in which WireGuard runs and no node does yet. The hubs are the hosts 0 and on, the leaves follow. At most 256
/// hubs, and 30,000 hosts.
pub(crate) fn star(seed: u64, star: &Star) -> World {
    let Star {
        leaves,
        hubs,
        border,
        quality,
        has_candidates,
    } = *star;
    let mut world = World::new(seed);
    let mut draw = Draw::new(seed).branch(3);
    let keys: Vec<[u8; 32]> = (0..hubs + leaves).map(|_| draw.bytes()).collect();
    let public_keys: Vec<PublicKey> = keys.iter().map(public_key).collect();
    for (number, private_key) in keys.iter().enumerate() {
        let is_hub = number < hubs;
        let at_hub = if is_hub { Border::Open } else { border };
        let outside = public(number);
        let site = world.net.add_site(at_hub, outside, None, None);
        world.net.set_quality(site, quality);
        let address = if at_hub.is_shared() && has_candidates {
            net([192, 168, 1, 2], 24)
        } else if at_hub.is_shared() {
            // Of its own making (RFC 3927), so that it takes nothing global for reachable.
            net([169, 254, 1, 2], 24)
        } else {
            IpNet::new(outside, 30).expect("30 is a length")
        };
        let peers = if is_hub {
            let others = (0..hubs)
                .filter(|other| *other != number)
                .map(|hub| at(&public_keys, hub, None));
            let leaves = (hubs..keys.len()).map(|leaf| PeerConfig {
                key: public_keys[leaf],
                allowed_ips: vec![IpNet::from(inner(hubs, leaf).addr())],
                endpoint: None,
                keepalive: None,
            });
            others.chain(leaves).collect()
        } else {
            (0..hubs).map(|hub| at(&public_keys, hub, Some(KEEPALIVE))).collect()
        };
        let config = Config {
            name: if is_hub {
                format!("h{number}")
            } else {
                format!("l{}", number - hubs)
            },
            private_key: *private_key,
            port: PORT,
            inner: vec![inner(hubs, number)],
            peers,
            forwards: is_hub,
            probes: true,
            form: wirelink::mesh::believe::fact::signal::ProbeForm::Veiled,
            program: Program::Ours,
            settings: Settings {
                router: (is_hub && hubs > 1).then_some(true),
                ..Settings::default()
            },
        };
        let nic = Nic {
            name: "eth0".into(),
            site,
            addresses: vec![address],
            up: true,
        };
        world.add_host(config, vec![nic]);
    }
    world
}

/// A hub, as its peers have it.
fn at(keys: &[PublicKey], hub: usize, keepalive: Option<u16>) -> PeerConfig {
    PeerConfig {
        key: keys[hub],
        allowed_ips: vec![inner(hub + 1, hub).trunc()],
        endpoint: Some(SocketAddr::new(public(hub), PORT)),
        keepalive,
    }
}

/// Hub `i` is 10.`i`.0.1; the leaves are in the network of the first.
fn inner(hubs: usize, number: usize) -> IpNet {
    if number < hubs {
        return net([10, number as u8, 0, 1], 16);
    }
    let leaf = number - hubs + 256;
    net([10, 0, (leaf >> 8) as u8, leaf as u8], 16)
}

/// 198.18.0.0/15, for benchmarks of networks (RFC 2544); each number has a network of its own.
fn public(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0xc612_0000 + 4 * number as u32 + 2))
}

fn net(address: [u8; 4], length: u8) -> IpNet {
    IpNet::new(address.into(), length).expect("the length fits")
}
