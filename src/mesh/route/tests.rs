mod anything;
mod overlaps;

use super::*;
use crate::mesh::base::identity::AddressHash;
use crate::mesh::device::{DeviceChange, DeviceState};
use crate::mesh::keep::memory::{Introduced, Session};
use crate::mesh::route::overlap::{Obstacle, Overlap};

const HUB: PublicKey = PublicKey::from_bytes([1; 32]);
const A: PublicKey = PublicKey::from_bytes([2; 32]);
const B: PublicKey = PublicKey::from_bytes([3; 32]);

fn prefix(text: &str) -> IpNet {
    text.parse().unwrap()
}

struct World {
    device: Mirror,
    routes: Routes,
    claims: Claims,
    protected: Protected,
    routers: BTreeSet<PublicKey>,
    up: BTreeSet<PublicKey>,
    healthy: BTreeSet<PublicKey>,
    lost: BTreeSet<PublicKey>,
    is_router: bool,
    may_forget: bool,
}

impl World {
    /// A leaf whose operator gave `hub_prefixes` to the hub; `A` and `B` are peers without prefixes.
    fn new(hub_prefixes: &[&str]) -> Self {
        let mut device = DeviceState::new(PublicKey::from_bytes([9; 32]), 51820);
        for (peer, prefixes) in [(HUB, hub_prefixes), (A, &[]), (B, &[])] {
            device.apply(&DeviceChange::AddPeer {
                peer,
                allowed_ips: prefixes.iter().map(|text| prefix(text)).collect(),
                endpoint: None,
            });
        }
        Self {
            device: Mirror::new(&device),
            routes: Routes::default(),
            claims: Claims::default(),
            protected: Protected::default(),
            routers: [HUB].into(),
            up: BTreeSet::new(),
            healthy: [HUB].into(),
            lost: BTreeSet::new(),
            is_router: false,
            may_forget: true,
        }
    }

    fn claim(&mut self, text: &str, peer: PublicKey) {
        self.claims.note(prefix(text), peer, true);
    }

    fn step(&mut self) -> Decision {
        let view = View {
            device: &self.device,
            claims: &self.claims,
            protected: &self.protected,
            up: &|peer| self.up.contains(peer),
            routers: &self.routers,
            healthy: &self.healthy,
            lost: &|peer| self.lost.contains(peer),
            is_router: self.is_router,
            may_forget: self.may_forget,
        };
        let prefixes = self.routes.all(&self.claims);
        let decision = self.routes.decide(&view, &prefixes);
        for step in &decision.moves {
            match (step.to, step.from) {
                (Some(peer), _) => self.device.apply(&DeviceChange::AddAllowedIp {
                    peer,
                    prefix: step.prefix,
                }),
                (None, Some(peer)) => self.device.apply(&DeviceChange::RemoveAllowedIp {
                    peer,
                    prefix: step.prefix,
                }),
                (None, None) => {}
            }
        }
        decision
    }

    /// What takes back all that was introduced.
    fn undo(&self) -> Vec<DeviceChange> {
        let introduced = Introduced {
            prefixes: self.routes.all_introduced().clone(),
            ..Introduced::default()
        };
        introduced.undo(&self.device, AddressHash::Sha1, &|_| Session::None)
    }

    fn owner(&self, text: &str) -> Option<PublicKey> {
        self.device.owner(&prefix(text))
    }
}

#[test]
fn a_prefix_goes_to_its_peer_while_the_link_is_up_and_falls_back_to_the_router() {
    let mut world = World::new(&["10.0.0.0/24"]);
    world.claim("10.0.0.2/32", A);
    assert_eq!(world.step(), Decision::default(), "no link yet");
    world.up.insert(A);
    world.step();
    assert_eq!(world.owner("10.0.0.2/32"), Some(A));
    assert_eq!(world.step(), Decision::default(), "a steady state");
    world.up.clear();
    world.step();
    assert_eq!(world.owner("10.0.0.2/32"), None);
    assert_eq!(world.owner("10.0.0.0/24"), Some(HUB));
}

#[test]
fn a_prefix_that_no_reachable_router_covers_stays() {
    let mut world = World::new(&["10.0.0.0/24"]);
    world.claim("10.0.0.2/32", A);
    world.claim("192.168.9.0/24", A);
    world.up.insert(A);
    world.step();
    world.up.clear();
    world.healthy.clear();
    assert_eq!(world.step().moves, []);
    world.healthy.insert(HUB);
    world.step();
    assert_eq!(world.owner("10.0.0.2/32"), None, "the hub covers it");
    assert_eq!(world.owner("192.168.9.0/24"), Some(A), "nobody else could carry it");
}

#[test]
fn a_direct_way_outlives_the_claims_of_a_hub_that_is_gone() {
    let mut world = World::new(&["10.0.0.0/24"]);
    world.claim("10.0.0.2/32", A);
    world.up.insert(A);
    world.step();
    world.claims = Claims::default();
    world.may_forget = false;
    assert_eq!(
        world.step().moves,
        [],
        "nobody who would claim it was heard for long enough"
    );
    world.may_forget = true;
    world.step();
    assert_eq!(world.owner("10.0.0.2/32"), None, "the hub does not claim it");
}

#[test]
fn a_network_of_which_others_have_parts_stays_with_the_router_that_covers_it() {
    let mut world = World::new(&["10.0.0.0/8"]);
    world.claim("10.2.0.0/16", A);
    world.claim("10.2.0.7/32", B);
    world.claim("10.3.0.0/16", A);
    world.up.insert(A);
    world.step();
    assert_eq!(world.owner("10.2.0.0/16"), None, "B answers through its own router");
    assert_eq!(world.owner("10.3.0.0/16"), Some(A), "nobody else is in it");
    world.up.insert(B);
    world.step();
    assert_eq!(
        (world.owner("10.2.0.0/16"), world.owner("10.2.0.7/32")),
        (None, Some(B))
    );
}

#[test]
fn what_is_taken_from_a_router_returns_to_it() {
    let mut world = World::new(&["10.0.0.1/32", "192.168.9.0/24"]);
    world.claim("192.168.9.0/24", A);
    world.up.insert(A);
    world.step();
    assert_eq!(world.owner("192.168.9.0/24"), Some(A));
    assert_eq!(
        world.undo(),
        [DeviceChange::AddAllowedIp {
            peer: HUB,
            prefix: prefix("192.168.9.0/24")
        }]
    );
    world.up.clear();
    world.step();
    assert_eq!(world.owner("192.168.9.0/24"), Some(HUB));
}

#[test]
fn the_network_of_the_hub_is_not_given_away_because_a_leaf_is_in_it() {
    let mut world = World::new(&["10.0.0.0/24"]);
    world.claim("10.0.0.0/24", A);
    world.claim("10.0.0.3/32", B);
    world.up.extend([A, B]);
    let decision = world.step();
    assert_eq!(
        decision.refused,
        [Refusal {
            prefix: prefix("10.0.0.0/24"),
            claimant: A,
            obstacle: Obstacle {
                overlap: Overlap::OperatorsPrefix,
                with: Some(prefix("10.0.0.0/24")),
                of: Some(HUB)
            }
        }]
    );
    assert_eq!(world.owner("10.0.0.0/24"), Some(HUB));
    assert_eq!(world.step().refused, [], "said once");
}

#[test]
fn a_refused_claim_that_ended_is_forgotten() {
    let mut world = World::new(&["10.0.0.0/24"]);
    world.up.extend([A, B]);
    world.claim("10.0.0.3/32", B);
    for round in 0..3 {
        world.claim("10.0.0.0/24", if round % 2 == 0 { A } else { B });
        assert_eq!(world.step().refused.len(), 1, "round {round}");
        assert_eq!(world.routes.refused().count(), 1, "round {round}");
        for peer in [A, B] {
            world.claims.note(prefix("10.0.0.0/24"), peer, false);
        }
    }
}

#[test]
fn what_the_operator_gave_to_a_leaf_is_not_taken() {
    let mut world = World::new(&["10.0.0.0/24"]);
    world.device.apply(&DeviceChange::AddAllowedIp {
        peer: B,
        prefix: prefix("10.0.0.2/32"),
    });
    world.claim("10.0.0.2/32", A);
    world.up.insert(A);
    assert_eq!(world.step().refused.len(), 1);
    assert_eq!(world.owner("10.0.0.2/32"), Some(B));
    assert_eq!(world.undo(), []);
}

#[test]
fn of_two_claimants_the_owner_stays_and_the_other_takes_over_when_it_fails() {
    let mut world = World::new(&["10.0.0.0/24"]);
    world.claim("10.0.0.7/32", A);
    world.claim("10.0.0.7/32", B);
    world.up.insert(B);
    world.step();
    world.up.insert(A);
    assert_eq!(world.step().moves, []);
    assert_eq!(world.owner("10.0.0.7/32"), Some(B));
    world.up.remove(&B);
    world.step();
    assert_eq!(world.owner("10.0.0.7/32"), Some(A));
}

#[test]
fn a_prefix_that_nobody_claims_any_more_is_taken_back_where_that_is_allowed() {
    let mut world = World::new(&["10.0.0.0/24"]);
    world.claim("10.0.0.2/32", A);
    world.up.insert(A);
    world.step();
    world.claims = Claims::default();
    world.may_forget = false;
    world.step();
    assert_eq!(world.owner("10.0.0.2/32"), Some(A));
    world.may_forget = true;
    world.step();
    assert_eq!(world.owner("10.0.0.2/32"), None);
}

#[test]
fn undo_leaves_what_the_operator_moved_since() {
    let mut world = World::new(&["10.0.0.0/24"]);
    world.claim("10.0.0.2/32", A);
    world.up.insert(A);
    world.step();
    world.device.apply(&DeviceChange::AddAllowedIp {
        peer: B,
        prefix: prefix("10.0.0.2/32"),
    });
    assert_eq!(world.undo(), []);
}

#[test]
fn what_was_taken_from_a_router_returns_when_the_peer_is_removed() {
    let mut world = World::new(&["192.168.9.0/24"]);
    world.claim("192.168.9.0/24", A);
    world.up.insert(A);
    world.step();
    world.device.apply(&DeviceChange::RemovePeer { peer: A });
    world.step();
    assert_eq!(world.owner("192.168.9.0/24"), Some(HUB));
}

#[test]
fn the_link_local_address_of_a_peer_is_given_and_taken_back_with_the_rest() {
    let mut world = World::new(&["10.0.0.0/24"]);
    let address = prefix("fe80::2/128");
    let step = world.routes.give_address(None, A, address, false).unwrap();
    world.device.apply(&DeviceChange::AddAllowedIp {
        peer: A,
        prefix: step.prefix,
    });
    assert_eq!(world.step(), Decision::default(), "no link is needed for it");
    assert_eq!(world.routes.give_address(Some(A), A, address, false), None);
    assert_eq!(
        world.undo(),
        [DeviceChange::RemoveAllowedIp {
            peer: A,
            prefix: address
        }]
    );
}

#[test]
fn a_router_leaves_to_another_router_what_that_one_covers() {
    let mut world = World::new(&["10.0.0.0/16"]);
    world.claim("10.0.0.3/32", A);
    world.up = [A].into();
    world.is_router = true;
    assert_eq!(world.step().moves, [], "A expects it from its own router");
    world.healthy.clear();
    assert_eq!(world.step().moves, [], "whether that is there or not");
    world.claim("10.1.0.3/32", A);
    assert_eq!(world.step().moves.len(), 1, "what nobody covers");
    world.is_router = false;
    assert_eq!(world.step().moves.len(), 1, "a leaf goes direct");
}

/// A leaf whose operator lists the hub with a network, and another leaf inside it.
fn listed_by_hand() -> World {
    let mut world = World::new(&["10.0.0.0/24"]);
    let (peer, prefix) = (A, prefix("10.0.0.2/32"));
    world.device.apply(&DeviceChange::AddAllowedIp { peer, prefix });
    world.claim("10.0.0.2/32", A);
    world
}

#[test]
fn prefix_of_a_lost_peer_is_lent_to_the_router_and_returns() {
    let mut world = listed_by_hand();
    let owned = prefix("10.0.0.2/32");
    world.step();
    assert_eq!(world.device.owner(&owned), Some(A), "it is not looked for yet");
    world.lost.insert(A);
    world.step();
    assert_eq!(world.device.owner(&owned), None);
    assert_eq!(world.step(), Decision::default(), "it stays there");
    world.lost.clear();
    world.up.insert(A);
    world.step();
    assert_eq!(world.device.owner(&owned), Some(A));
    world.step();
    assert!(
        world.routes.all_introduced().is_empty(),
        "it is the operator's as before"
    );
}

#[test]
fn lent_prefix_returns_where_no_router_can_carry_it() {
    for end in [
        (|world| world.healthy.clear()) as fn(&mut World),
        |world| world.claims.note(prefix("10.0.0.2/32"), A, false),
        |world| world.lost.clear(),
    ] {
        let mut world = listed_by_hand();
        world.lost.insert(A);
        world.step();
        end(&mut world);
        world.step();
        assert_eq!(world.device.owner(&prefix("10.0.0.2/32")), Some(A));
    }
}

#[test]
fn stop_returns_a_lent_prefix_to_its_owner() {
    let mut world = listed_by_hand();
    let found = DeviceState::clone(&world.device);
    world.lost.insert(A);
    world.step();
    let changes = world.undo();
    changes.iter().for_each(|change| world.device.apply(change));
    assert_eq!(world.device.peers, found.peers);
}

#[test]
fn router_keeps_the_prefix_of_a_lost_leaf() {
    let mut world = listed_by_hand();
    world.is_router = true;
    world.lost.insert(A);
    assert_eq!(world.step(), Decision::default());
}
