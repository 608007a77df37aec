use super::*;
use crate::mesh::base::settings::PeerSettings;
use crate::mesh::device::{DeviceChange, DeviceState, PeerState};
use crate::mesh::show::event::Interface;

const HUB: PublicKey = PublicKey::from_bytes([1; 32]);
const A: PublicKey = PublicKey::from_bytes([2; 32]);
const B: PublicKey = PublicKey::from_bytes([3; 32]);

fn prefix(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn interface(name: &str, up: bool, addresses: &[&str]) -> Interface {
    Interface {
        name: name.into(),
        up,
        addresses: addresses.iter().map(|text| prefix(text)).collect(),
        wireguard: false,
    }
}

/// A leaf, 10.0.0.2 in the tunnel, in a home network; its operator gave the hub the network and `B` two addresses.
struct World {
    protected: Protected,
    device: Mirror,
}

impl World {
    fn new(allowed: Option<&[&str]>) -> Self {
        let settings = Settings {
            allow_prefixes: allowed.map(|all| all.iter().map(|text| prefix(text)).collect()),
            ..Settings::default()
        };
        let mut protected = Protected::new(&settings);
        protected.observe_host(&HostState {
            interfaces: vec![
                interface("lo", true, &["127.0.0.1/8", "::1/128"]),
                interface("eth0", true, &["192.168.7.2/24", "2001:db8:7::2/64", "fe80::2/64"]),
                interface("eth1", true, &["10.64.0.9/10"]),
                interface("wlan0", false, &["192.168.8.2/24"]),
            ],
            tunnel_addresses: vec![prefix("10.0.0.2/24"), prefix("fe80::9/64")],
            ..HostState::default()
        });
        let addresses = vec!["203.0.113.1".parse().unwrap(), "2001:db8:1::1".parse().unwrap()];
        protected.observe_peer(&HUB, addresses);
        let mut device = DeviceState::new(PublicKey::from_bytes([9; 32]), 51820);
        for (key, given) in [
            (HUB, &["10.0.0.0/24", "10.65.0.0/16"][..]),
            (A, &[]),
            (B, &["10.0.0.7/32", "172.20.5.0/24"]),
        ] {
            let allowed_ips = given.iter().map(|text| prefix(text)).collect();
            let peer = PeerState {
                allowed_ips,
                ..PeerState::default()
            };
            device.peers.insert(key, peer);
        }
        let device = Mirror::new(&device);
        Self { protected, device }
    }

    /// Returns what is in the way of a claim for a peer.
    fn meets(&self, text: &str, claimant: PublicKey) -> Option<(Overlap, Option<String>)> {
        let table = Table {
            device: &self.device,
            operators: &|prefix| self.device.owner(prefix),
            introduced: &BTreeMap::new(),
            routers: &[HUB].into(),
        };
        let obstacle = self.protected.obstacle(&prefix(text), &claimant, &table);
        obstacle.map(|obstacle| (obstacle.overlap, obstacle.with.map(|with| with.to_string())))
    }

    #[track_caller]
    fn expect(&self, claimant: PublicKey, cases: &[(&str, Option<(Overlap, &str)>)]) {
        for (claim, expected) in cases {
            let expected = expected.map(|(overlap, with)| (overlap, (!with.is_empty()).then(|| with.to_owned())));
            assert_eq!(self.meets(claim, claimant), expected, "{claim}");
        }
    }
}

#[test]
fn no_fact_brings_a_default_route_or_a_large_piece_of_one() {
    let default = Some((Overlap::DefaultRoute, ""));
    let cases = [
        ("0.0.0.0/0", default),
        ("::/0", default),
        ("0.0.0.0/1", default),
        ("128.0.0.0/1", default),
        ("8.0.0.0/7", default),
        ("2000::/3", default),
        ("fc00::/7", default),
        ("11.0.0.0/8", None),
        ("fd00::/8", None),
    ];
    World::new(None).expect(A, &cases);
    World::new(None).expect(HUB, &cases);
    World::new(Some(&["0.0.0.0/0", "::/0"])).expect(A, &cases);
}

#[test]
fn what_nobody_has_is_refused_from_inside_and_around() {
    let reserved = Some((Overlap::Reserved, ""));
    let cases = [
        ("127.0.0.0/8", reserved),
        ("127.0.0.53/32", reserved),
        ("169.254.169.254/32", reserved),
        ("169.0.0.0/8", reserved),
        ("224.0.0.0/24", reserved),
        ("255.255.255.0/24", reserved),
        ("0.0.0.0/8", reserved),
        ("0.0.0.0/32", reserved),
        ("::/128", reserved),
        ("::/64", reserved),
        ("fe00::/8", reserved),
        ("fe80::7/128", reserved),
        ("ff02::/16", reserved),
        ("64:ff9b::/96", None),
    ];
    World::new(None).expect(HUB, &cases);
}

#[test]
fn a_connected_network_is_left_alone_whichever_way_a_claim_meets_it() {
    let cases = [
        ("192.168.7.0/24", Some((Overlap::ConnectedNetwork, "192.168.7.0/24"))),
        ("192.168.0.0/16", Some((Overlap::ConnectedNetwork, "192.168.7.0/24"))),
        ("192.168.7.128/25", Some((Overlap::ConnectedNetwork, "192.168.7.0/24"))),
        ("192.168.7.9/32", Some((Overlap::ConnectedNetwork, "192.168.7.0/24"))),
        ("192.168.6.0/24", None),
        ("2001:db8:7::/64", Some((Overlap::ConnectedNetwork, "2001:db8:7::/64"))),
        (
            "2001:db8:7::9/128",
            Some((Overlap::ConnectedNetwork, "2001:db8:7::/64")),
        ),
        ("2001:db8:8::/64", None),
        ("192.168.8.0/24", None), // its interface is down
    ];
    World::new(None).expect(A, &cases);
    World::new(None).expect(HUB, &cases);
}

#[test]
fn inside_a_connected_network_a_claim_is_met_where_the_operator_leads_a_part_of_it_into_the_tunnel() {
    // 10.65.0.0/16, which the operator gave to the hub, is a part of 10.64.0.0/10, to which the machine is connected.
    let network = Some((Overlap::ConnectedNetwork, "10.64.0.0/10"));
    let cases = [
        ("10.65.0.0/16", None),
        ("10.65.3.0/24", None),
        ("10.65.3.7/32", None),
        ("10.66.3.7/32", network),
        ("10.64.0.0/15", network),
        ("10.64.0.0/10", network),
    ];
    World::new(None).expect(A, &cases);
}

#[test]
fn the_network_of_the_tunnel_itself_leads_into_it() {
    let mut world = World::new(None);
    world.protected.observe_host(&HostState {
        interfaces: vec![interface("eth0", true, &["10.9.9.9/8"])],
        tunnel_addresses: vec![prefix("10.1.0.2/16")],
        ..HostState::default()
    });
    let network = Some((Overlap::ConnectedNetwork, "10.0.0.0/8"));
    world.expect(A, &[("10.1.0.3/32", None), ("10.2.0.3/32", network)]);
}

#[test]
fn no_claim_leads_to_where_a_peer_is_reached() {
    let hub = Some((Overlap::Endpoint, "203.0.113.1/32"));
    let cases = [
        ("203.0.113.1/32", hub),
        ("203.0.113.0/24", hub),
        ("203.0.0.0/8", hub),
        ("203.0.113.2/32", None),
        ("203.0.113.128/25", None),
        ("2001:db8:1::/64", Some((Overlap::Endpoint, "2001:db8:1::1/128"))),
        ("2001:db8:2::/64", None),
    ];
    World::new(None).expect(A, &cases);
    World::new(None).expect(HUB, &cases);
}

#[test]
fn an_address_of_this_node_is_nobodys_and_its_network_a_routers() {
    let own = Some((Overlap::OwnAddress, "10.0.0.2/32"));
    World::new(None).expect(A, &[("10.0.0.2/32", own), ("10.0.0.0/28", own), ("10.0.0.3/32", None)]);
    World::new(None).expect(
        HUB,
        &[("10.0.0.2/32", own), ("10.0.0.0/24", None), ("10.0.0.0/16", None)],
    );
}

#[test]
fn around_what_the_operator_gave_to_another_peer_only_a_router_has_a_network() {
    let of_b = Some((Overlap::OperatorsPrefix, "172.20.5.0/24"));
    let cases = [
        ("172.20.0.0/16", of_b),
        ("172.20.5.0/24", None),
        ("172.20.5.9/32", None),
    ];
    World::new(None).expect(A, &cases);
    World::new(None).expect(HUB, &[("172.20.0.0/16", None)]);
    World::new(None).expect(B, &[("172.20.0.0/16", None)]);
}

#[test]
fn facts_bring_what_the_operator_allows_and_the_settings_bring_anything() {
    let refused = Some((Overlap::NotAllowed, ""));
    let cases = [
        ("10.7.0.0/16", None),
        ("10.7.3.0/24", None),
        ("10.0.0.0/8", refused),
        ("10.8.0.0/16", refused),
        ("fd00::7/128", refused),
    ];
    World::new(Some(&["10.7.0.0/16", "192.168.0.0/16"])).expect(A, &cases);
    World::new(Some(&[])).expect(A, &[("10.7.0.0/16", refused)]);
    let of_a = PeerSettings {
        allowed_ips: vec![prefix("0.0.0.0/0"), prefix("192.168.7.0/24")],
        ..PeerSettings::default()
    };
    let settings = Settings {
        allow_prefixes: Some(Vec::new()),
        peers: [(A, of_a)].into(),
        ..Settings::default()
    };
    let mut world = World::new(None);
    world.protected.configured = Protected::new(&settings).configured;
    world.expect(
        A,
        &[
            ("0.0.0.0/0", None),
            ("192.168.7.0/24", None),
            ("192.168.7.9/32", Some((Overlap::ConnectedNetwork, "192.168.7.0/24"))),
        ],
    );
    world.expect(
        B,
        &[("192.168.7.0/24", Some((Overlap::ConnectedNetwork, "192.168.7.0/24")))],
    );
}

#[test]
fn what_is_gone_is_in_nobodys_way() {
    let mut world = World::new(None);
    let hub = ["203.0.113.1", "2001:db8:1::1"].map(|text| text.parse().unwrap());
    assert_eq!(
        world.protected.observe_peer(&HUB, vec![hub[1], hub[0], hub[0]]),
        [] as [IpAddr; 0]
    );
    assert_eq!(world.protected.observe_peer(&A, vec![hub[0]]), [hub[0]]);
    assert_eq!(world.protected.observe_peer(&HUB, Vec::new()), hub);
    world.expect(
        B,
        &[
            ("203.0.113.0/24", Some((Overlap::Endpoint, "203.0.113.1/32"))),
            ("2001:db8:1::/64", None),
        ],
    );
    world.protected.observe_peer(&A, Vec::new());
    assert!(world.protected.endpoints.is_empty() && world.protected.reached_at.is_empty());
    world.protected.observe_host(&HostState::default());
    let remove = DeviceChange::RemovePeer { peer: B };
    world.device.apply(&remove);
    for claim in ["203.0.113.0/24", "192.168.7.0/24", "172.20.0.0/16", "10.0.0.2/32"] {
        assert_eq!(world.meets(claim, A), None, "{claim}");
    }
}
