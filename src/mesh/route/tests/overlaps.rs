//! Prefixes that are not given, and given back: whatever is claimed, and whatever happens around.

use super::*;
use crate::mesh::device::host::{HostState, Interface};

impl World {
    pub(super) fn connect(&mut self, networks: &[&str]) {
        let interface = |text: &&str| Interface {
            name: (*text).into(),
            up: true,
            addresses: vec![prefix(text)],
            wireguard: false,
        };
        self.protected.observe_host(&HostState {
            interfaces: networks.iter().map(interface).collect(),
            tunnel_addresses: vec![prefix(OWN)],
            ..HostState::default()
        });
    }

    pub(super) fn reach(&mut self, peer: PublicKey, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        self.protected.observe_peer(&peer, addresses);
    }

    /// Returns what is refused, as prefix and reason.
    fn refused(&self) -> Vec<(String, Overlap)> {
        let refused = self.routes.refused();
        refused
            .map(|refusal| (refusal.prefix.to_string(), refusal.obstacle.overlap))
            .collect()
    }
}

/// The address of the node itself in the tunnel, with its network.
pub(super) const OWN: &str = "10.9.0.2/24";

#[test]
fn a_prefix_is_taken_back_when_its_network_comes_up_and_given_again_when_it_goes() {
    let mut world = World::new(&["10.0.0.0/24"]);
    world.claim("192.168.7.0/24", A);
    world.up.insert(A);
    world.step();
    assert_eq!(world.owner("192.168.7.0/24"), Some(A));
    world.connect(&["192.168.7.2/24"]);
    let decision = world.step();
    assert_eq!((decision.moves.len(), decision.refused.len()), (1, 1));
    assert_eq!(world.owner("192.168.7.0/24"), None);
    assert_eq!(world.refused(), [("192.168.7.0/24".into(), Overlap::ConnectedNetwork)]);
    assert_eq!(world.step(), Decision::default(), "said once");
    world.connect(&[]);
    let decision = world.step();
    assert_eq!((decision.refused.len(), decision.cleared.len()), (0, 1));
    assert_eq!(world.owner("192.168.7.0/24"), Some(A));
    world.connect(&["192.168.7.2/24"]);
    assert_eq!(world.step().refused.len(), 1, "and said again");
}

#[test]
fn a_prefix_is_taken_back_when_a_peer_is_reached_inside_it() {
    let mut world = World::new(&["10.0.0.0/24"]);
    world.claim("203.0.113.0/24", A);
    world.up.insert(A);
    world.step();
    world.reach(B, &["203.0.113.9"]);
    world.step();
    assert_eq!(world.owner("203.0.113.0/24"), None);
    assert_eq!(world.refused(), [("203.0.113.0/24".into(), Overlap::Endpoint)]);
    world.reach(B, &["198.51.100.9"]);
    world.step();
    assert_eq!(world.owner("203.0.113.0/24"), Some(A));
}

#[test]
fn what_was_taken_from_a_router_returns_to_it_when_it_may_not_stay() {
    let mut world = World::new(&["192.168.7.0/24"]);
    world.claim("192.168.7.0/24", A);
    world.up.insert(A);
    world.healthy.clear();
    world.step();
    assert_eq!(world.owner("192.168.7.0/24"), Some(A));
    world.connect(&["192.168.7.2/24"]);
    world.step();
    assert_eq!(
        world.owner("192.168.7.0/24"),
        Some(HUB),
        "the operator's word, reachable or not"
    );
    assert_eq!(world.undo(), []);
}

#[test]
fn what_went_back_to_a_router_that_claims_it_is_the_operators_to_take() {
    let mut world = World::new(&["192.168.7.0/24"]);
    for claimant in [A, HUB] {
        world.claim("192.168.7.0/24", claimant);
        world.up.insert(claimant);
        world.step();
        assert_eq!(world.owner("192.168.7.0/24"), Some(A));
    }
    let prefix = prefix("192.168.7.0/24");
    world.reach(HUB, &["192.168.7.9"]);
    world.step();
    assert_eq!(world.owner("192.168.7.0/24"), Some(HUB), "the operator's word");
    assert_eq!(world.step(), Decision::default(), "and it is seen there");
    world.device.apply(&DeviceChange::RemoveAllowedIp { peer: HUB, prefix });
    world.step();
    assert_eq!(world.owner("192.168.7.0/24"), None, "it was not lent any more");
    assert_eq!(world.undo(), []);
}

#[test]
fn what_is_in_the_way_goes_though_nobody_claims_it_any_more() {
    let mut world = World::new(&["10.0.0.0/24"]);
    world.claim("192.168.7.0/24", A);
    world.up.insert(A);
    world.step();
    world.claims = Claims::default();
    world.may_forget = false;
    world.step();
    assert_eq!(world.owner("192.168.7.0/24"), Some(A));
    world.connect(&["192.168.7.2/24"]);
    world.step();
    assert_eq!(world.owner("192.168.7.0/24"), None);
}

#[test]
fn a_claim_that_ended_is_not_called_cleared() {
    let mut world = World::new(&["10.0.0.0/24"]);
    world.connect(&["192.168.7.2/24"]);
    world.claim("192.168.7.0/24", A);
    assert_eq!(world.step().refused.len(), 1, "with a link or without");
    world.claims.note(prefix("192.168.7.0/24"), A, false);
    world.routes.decide(
        &view(&world.device, &world.claims, &world.protected),
        &[prefix("192.168.7.0/24")].into(),
    );
    assert_eq!(world.refused(), []);
}

fn view<'a>(device: &'a Mirror, claims: &'a Claims, protected: &'a Protected) -> View<'a> {
    const NONE: &BTreeSet<PublicKey> = &BTreeSet::new();
    View {
        device,
        claims,
        protected,
        up: &|_| false,
        routers: NONE,
        healthy: NONE,
        lost: &|_| false,
        is_router: false,
        may_forget: true,
    }
}

#[test]
fn another_reason_is_said_and_another_address_is_not() {
    let mut world = World::new(&["10.0.0.0/24"]);
    world.claim("203.0.113.0/24", A);
    for (address, said) in [("203.0.113.9", 1), ("203.0.113.8", 0)] {
        world.reach(B, &[address]);
        assert_eq!(world.step().refused.len(), said, "{address}");
        let shown = world.routes.refused().next().unwrap().obstacle.with;
        assert_eq!(shown, Some(prefix(&format!("{address}/32"))));
    }
    world.connect(&["203.0.113.7/24"]);
    assert_eq!(world.step().refused.len(), 1);
}
