//! Who routes for whom in the layouts that people have: each is built as its operators write it, and nothing else is set.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::base::settings::{PeerSettings, Settings, TrustLevel};
use wirelink::mesh::device::DeviceChange;

use crate::direct::sends_directly;
use crate::draw::Draw;
use crate::host::{Config, PeerConfig, public_key};
use crate::net::{HostId, Nic};
use crate::program::Program;
use crate::scenario;
use crate::scenario::border::Border;
use crate::world::World;

const HUB: HostId = 0;
const A: HostId = 1;
const B: HostId = 2;
const PORT: u16 = 51820;

/// A machine: its addresses in the tunnel, and the allowed IPs of its peers by number.
#[derive(Clone)]
struct Machine {
    inner: Vec<&'static str>,
    peers: Vec<(HostId, Vec<&'static str>)>,
    settings: Settings,
    is_open: bool,
    program: scenario::Program,
}

fn machine(inner: &[&'static str], peers: &[(HostId, &[&'static str])]) -> Machine {
    Machine {
        inner: inner.to_vec(),
        peers: peers.iter().map(|(id, prefixes)| (*id, prefixes.to_vec())).collect(),
        settings: Settings::default(),
        is_open: false,
        program: scenario::Program::Ours,
    }
}

/// A hub that has a leaf and a leaf with a site, with what the leaves have of the hub.
fn with_site(hub: &[&'static str], of_hub: &[&'static str]) -> Vec<Machine> {
    vec![
        machine(
            hub,
            &[(A, &["10.77.0.2/32"]), (B, &["10.77.0.3/32", "192.168.50.0/24"])],
        ),
        machine(&["10.77.0.2/24"], &[(HUB, of_hub)]),
        machine(&["10.77.0.3/24"], &[(HUB, of_hub)]),
    ]
}

fn site_leaf() -> Vec<Machine> {
    with_site(&["10.77.0.1/24"], &["10.77.0.0/24"])
}

fn keys() -> Vec<[u8; 32]> {
    let mut draw = Draw::new(5).branch(3);
    (0..4).map(|_| draw.bytes()).collect()
}

fn key(id: HostId) -> PublicKey {
    public_key(&keys()[id])
}

fn public(id: HostId) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0xc612_0000 + 4 * id as u32 + 2))
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().expect("a prefix")).collect()
}

/// Builds a layout and starts all; the leaves are behind home routers.
fn build(machines: &[Machine]) -> World {
    let mut world = World::new(5);
    for (id, machine) in machines.iter().enumerate() {
        let is_open = id == HUB || machine.is_open;
        let border = if is_open { Border::Open } else { Border::HOME };
        let site = world.net.add_site(border, public(id), None, None);
        let address = match is_open {
            true => IpNet::new(public(id), 30).expect("a length"),
            false => IpNet::new(IpAddr::from([172, 16, id as u8, 2]), 24).expect("a length"),
        };
        let peers = machine.peers.iter().map(|(peer, prefixes)| PeerConfig {
            key: key(*peer),
            allowed_ips: nets(prefixes),
            endpoint: (*peer == HUB || machines[*peer].is_open).then(|| SocketAddr::new(public(*peer), PORT)),
            keepalive: (*peer == HUB).then_some(25),
        });
        let config = Config {
            name: ["hub", "a", "b", "c"][id].to_owned(),
            private_key: keys()[id],
            port: PORT,
            inner: nets(&machine.inner),
            peers: peers.collect(),
            forwards: is_open,
            settings: machine.settings.clone(),
            probes: true,
            form: wirelink::mesh::believe::fact::signal::ProbeForm::Veiled,
            program: machine.program,
        };
        let nic = Nic {
            name: "eth0".into(),
            site,
            addresses: vec![address],
            up: true,
        };
        world.add_host(config, vec![nic]);
    }
    (0..machines.len()).for_each(|id| world.start(id));
    world
}

fn is_router(world: &World, id: HostId) -> Option<bool> {
    match world.hosts[id].node.as_ref()? {
        Program::Ours(node) => node.status(world.now).router,
        Program::V1(_) => None,
    }
}

fn is_direct(world: &World) -> bool {
    sends_directly(world, A, B) && sends_directly(world, B, A)
}

fn has_peer(world: &World, id: HostId, peer: PublicKey) -> bool {
    world.hosts[id].tunnel.device().peers.contains_key(&peer)
}

#[test]
fn leaves_meet_in_each_layout() {
    let sites = |of_hub: &[&'static str]| {
        let mut all = with_site(&["10.77.0.1/24"], of_hub);
        all[HUB].peers[0].1.push("192.168.60.0/24");
        all
    };
    let mut six = with_site(&["fd77::1/64"], &["fd77::/64"]);
    six[HUB].peers = vec![(A, vec!["fd77::2/128"]), (B, vec!["fd77::3/128", "fd50::/64"])];
    six[A].inner = vec!["fd77::2/64"];
    six[B].inner = vec!["fd77::3/64"];
    let mut lan_only = site_leaf();
    lan_only[HUB].peers[1].1 = vec!["192.168.50.0/24"];
    lan_only[B].inner = vec!["192.168.50.1/24"];
    let layouts = [
        ("site", site_leaf()),
        ("hub with /32", with_site(&["10.77.0.1/32"], &["10.77.0.0/24"])),
        ("hub without address", with_site(&[], &["10.77.0.0/24"])),
        ("hub elsewhere", with_site(&["172.20.0.1/24"], &["10.77.0.0/24"])),
        ("wide network", with_site(&["10.77.0.1/24"], &["10.0.0.0/8"])),
        ("split tunnel", with_site(&["10.77.0.1/24"], &["192.168.1.0/24"])),
        (
            "split tunnel and network",
            with_site(&["10.77.0.1/24"], &["10.77.0.0/24", "192.168.1.0/24"]),
        ),
        ("sites alone", sites(&["10.77.0.0/24"])),
        ("IPv6", six),
        ("LAN-only site", lan_only),
    ];
    for (what, machines) in layouts {
        let mut world = build(&machines);
        world.run(Duration::from_secs(30));
        let roles = [HUB, A, B].map(|id| is_router(&world, id));
        assert_eq!(roles, [Some(true), Some(false), Some(false)], "{what}");
        assert!(is_direct(&world), "{what}");
    }
}

#[test]
fn a_site_added_to_a_running_mesh_changes_no_role() {
    let mut machines = site_leaf();
    machines[HUB].peers[1].1.pop();
    let mut world = build(&machines);
    world.run(Duration::from_secs(30));
    assert!(is_direct(&world));
    world.operate(
        HUB,
        &DeviceChange::AddAllowedIp {
            peer: key(B),
            prefix: "192.168.50.0/24".parse().expect("a prefix"),
        },
    );
    for _ in 0..40 {
        world.run(Duration::from_secs(10));
        assert!(is_direct(&world), "at {:?}", world.now);
        assert_eq!(is_router(&world, HUB), Some(true));
    }
    let lan = "192.168.50.0/24".parse().expect("a prefix");
    let owner = world.hosts[A].tunnel.device().peers[&key(B)].allowed_ips.contains(&lan);
    assert!(owner, "the site is reached directly, too");
}

/// Gives a leaf a peer of its own that nobody else knows, and has it say that this is a member; returns that peer.
fn add_stranger(machines: &mut Vec<Machine>, liar: HostId) -> PublicKey {
    let stranger = machines.len();
    machines.push(Machine {
        is_open: true,
        ..machine(&["10.77.0.9/24"], &[(liar, &["10.77.0.0/24"])])
    });
    machines[liar].peers.push((stranger, vec!["10.77.0.9/32"]));
    let itself = PeerSettings {
        trust: Some(TrustLevel::Membership),
        ..PeerSettings::default()
    };
    machines[liar].settings.peers.insert(key(liar), itself);
    key(stranger)
}

#[test]
fn a_leaf_with_a_site_adds_no_member() {
    let mut alone = site_leaf();
    alone.remove(A);
    alone[HUB].peers = vec![(1, vec!["10.77.0.3/32", "192.168.50.0/24"])];
    for (what, mut machines, liar) in [("with a leaf", site_leaf(), B), ("alone", alone, 1)] {
        let (others, stranger) = (machines.len(), add_stranger(&mut machines, liar));
        for is_set in [None, Some(true)] {
            machines[HUB].settings.router = is_set;
            let mut world = build(&machines);
            world.run(Duration::from_secs(60));
            for id in (0..others).filter(|id| *id != liar) {
                assert!(!has_peer(&world, id, stranger), "{what}, {is_set:?}: at {id}");
            }
        }
    }
}

#[test]
fn a_leaf_that_the_operator_trusts_adds_members() {
    let mut machines = site_leaf();
    let stranger = add_stranger(&mut machines, B);
    let trusted = PeerSettings {
        trust: Some(TrustLevel::Membership),
        ..PeerSettings::default()
    };
    machines[HUB].settings.peers.insert(key(B), trusted);
    let mut world = build(&machines);
    world.run(Duration::from_secs(60));
    assert!(has_peer(&world, HUB, stranger) && has_peer(&world, A, stranger));
}

#[test]
fn v1_nodes_beside_ours_keep_their_rule() {
    for (hub, leaf) in [(true, false), (false, true)] {
        let mut machines = site_leaf();
        let v1 = |is_v1| {
            if is_v1 {
                scenario::Program::V1
            } else {
                scenario::Program::Ours
            }
        };
        // A v1 hub with a site needs to be told, and so has no more than leaves here.
        if hub {
            machines[HUB].peers[1].1.pop();
        }
        machines[HUB].program = v1(hub);
        machines[A].program = v1(leaf);
        let mut world = build(&machines);
        world.run(Duration::from_secs(120));
        assert!(is_direct(&world), "v1 hub: {hub}, v1 leaf: {leaf}");
    }
}
