//! What whole nodes do together.

mod crash;
mod crowd;
mod elsewhere;
mod epoch;
mod flood;
mod foresee;
mod history;
mod join;
mod liar;
mod overlaps;
mod renewal;
mod replay;
mod world;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use self::world::*;
use super::*;
use crate::mesh::base::prefixes::Prefixes;
use crate::mesh::base::settings::TrustLevel;
use crate::mesh::device::{DeviceChange, DeviceState, PeerState};
use crate::mesh::reach::link::State;
use crate::mesh::share::ports::PortPair;

/// What the operator made: peers and allowed IPs without endpoints and times.
fn shape(device: &DeviceState) -> BTreeMap<PublicKey, Prefixes> {
    device
        .peers
        .iter()
        .map(|(key, peer)| (*key, peer.allowed_ips.clone()))
        .collect()
}

#[test]
fn two_leaves_find_each_other_through_the_hub() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(10));
    assert!(world.is_direct());
    assert_eq!((world.state(A, B), world.state(B, A)), (State::Up, State::Up));
    assert_eq!(
        world.next_hop(A, "10.0.0.0/24"),
        Some(HUB),
        "the network stays with the hub"
    );
    assert!(world.machines[HUB].node.is_router());
    assert!(!world.machines[A].node.is_router());
}

#[test]
fn the_order_in_which_daemons_start_does_not_matter() {
    for order in [[HUB, A, B], [A, HUB, B], [A, B, HUB], [B, A, HUB]] {
        let mut world = World::new(2);
        for index in order {
            world.start(index);
            world.run(seconds(40));
        }
        assert!(world.is_direct(), "{order:?}");
    }
}

#[test]
fn a_steady_state_writes_nothing() {
    let mut world = World::new(3);
    world.start_all();
    world.run(seconds(60));
    world.machines.iter_mut().for_each(|machine| machine.changes.clear());
    world.run(seconds(3600));
    for machine in &world.machines {
        assert_eq!(machine.changes, [], "{:?}", machine.events);
    }
    assert!(world.is_direct());
}

#[test]
fn a_dead_path_is_noticed_within_30_seconds_also_without_traffic_and_comes_back() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(30));
    world.cut = true;
    world.run(seconds(29));
    assert_eq!(
        (world.next_hop(A, "10.0.0.3/32"), world.next_hop(B, "10.0.0.2/32")),
        (None, None)
    );
    assert!(matches!(world.state(A, B), State::Suspect(_)));
    world.cut = false;
    world.run(seconds(6));
    assert!(world.is_direct());
}

#[test]
fn a_prefix_that_goes_back_to_the_hub_is_told_of_the_peer_that_had_it() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(30));
    world.machines[A].events.clear();
    world.cut = true;
    world.run(seconds(29));
    let b = world.machines[B].key;
    let moved = world.machines[A].events.iter().find_map(|event| match event {
        Event::PrefixMoved { from, to, .. } => Some((from.as_ref()?.key, to.clone())),
        _ => None,
    });
    assert_eq!(moved, Some((b, None)));
}

#[test]
fn both_sides_of_a_healed_link_move_together() {
    let mut world = World::new(2);
    world.start(HUB);
    world.start(A);
    world.run(Duration::from_millis(2300));
    world.start(B);
    world.run(seconds(30));
    world.cut = true;
    world.run(seconds(20));
    world.cut = false;
    for _ in 0..100 {
        world.run(Duration::from_millis(100));
        let moved = [(A, "10.0.0.3/32", B), (B, "10.0.0.2/32", A)]
            .map(|(leaf, prefix, to)| world.next_hop(leaf, prefix) == Some(to));
        if moved[0] != moved[1] {
            world.run(Duration::from_millis(200));
            assert!(world.is_direct(), "only one side moved");
        }
    }
    assert!(world.is_direct());
}

#[test]
fn a_path_that_is_dead_for_long_is_probed_again_until_it_works() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(30));
    world.cut = true;
    world.run(seconds(600));
    assert!(!world.is_direct());
    assert_eq!(world.state(A, B), State::Probing);
    world.cut = false;
    world.run(seconds(40));
    assert!(world.is_direct());
}

#[test]
fn stopping_leaves_the_device_as_it_was_found() {
    let mut world = World::new(2);
    let before: Vec<_> = world.machines.iter().map(|machine| shape(&machine.device)).collect();
    world.start_all();
    world.run(seconds(30));
    assert_ne!(shape(&world.machines[A].device), before[A]);
    for (index, before) in before.iter().enumerate() {
        world.stop(index);
        assert_eq!(&shape(&world.machines[index].device), before);
    }
}

#[test]
fn a_peer_made_by_hand_is_never_touched() {
    let mut world = World::new(2);
    let by_hand = PublicKey::from_bytes([0xaa; 32]);
    let peer = PeerState {
        keepalive: Some(21),
        allowed_ips: [prefix("10.9.0.0/24")].into(),
        ..PeerState::default()
    };
    world.machines[HUB].device.peers.insert(by_hand, peer);
    world.start_all();
    world.run(seconds(900));
    let kept = &world.machines[HUB].device.peers[&by_hand];
    assert_eq!(kept.keepalive, Some(21));
    assert!(kept.allowed_ips.contains(&prefix("10.9.0.0/24")));
    let about_it = world.machines[HUB]
        .changes
        .iter()
        .filter(|change| change.peer() == &by_hand)
        .count();
    assert_eq!(about_it, 1, "its link-local address, and nothing else");
    world.stop(HUB);
    assert_eq!(
        world.machines[HUB].device.peers[&by_hand].allowed_ips,
        [prefix("10.9.0.0/24")].into()
    );
}

#[test]
fn a_leaf_that_starts_again_is_direct_again() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(300));
    world.machines[A].running = false;
    world.run(seconds(20));
    assert_eq!(world.next_hop(B, "10.0.0.2/32"), None);
    world.start(A);
    world.run(seconds(20));
    assert!(world.is_direct());
}

#[test]
fn a_member_that_the_operator_removes_from_the_hub_leaves_the_others_in_the_end() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(400));
    let gone = world.machines[B].key;
    world.machines[B].running = false;
    world.machines[HUB].device.peers.remove(&gone);
    world.run(seconds(100));
    assert!(world.machines[A].device.peers.contains_key(&gone), "the grace");
    world.run(seconds(600));
    assert!(!world.machines[A].device.peers.contains_key(&gone));
    assert!(!world.machines[HUB].device.peers.contains_key(&gone));
}

#[test]
fn a_packet_alone_changes_nothing() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(30));
    let source = world.machines[HUB].node.address();
    let now = world.now;
    world.machines[A].changes.clear();
    for payload in [&b""[..], b"S", &[0; 3000], &[b'S'; 200]] {
        world.machines[A].node.handle(
            now,
            Input::Packet {
                source,
                ports: PortPair::default(),
                payload,
            },
        );
    }
    world.carry_out(A);
    assert_eq!(world.machines[A].changes, []);
    let rejections = world.machines[A].node.status(now).rejections;
    assert_eq!(rejections.len(), 3, "{rejections:?}");
    let hub = Some(world.machines[HUB].key);
    assert!(rejections.iter().all(|(sender, ..)| *sender == hub), "{rejections:?}");
}

#[test]
fn a_changed_role_is_found_out() {
    let mut world = World::new(1);
    world.start_all();
    world.run(seconds(10));
    let hub = world.machines[HUB].key;
    world.machines[A].device.peers.get_mut(&hub).unwrap().allowed_ips = [prefix("10.0.0.1/32")].into();
    world.run(seconds(10));
    assert!(world.machines[A].node.is_router());
}

#[test]
fn whether_ports_are_predicted_follows_the_settings_while_the_node_runs() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(10));
    let (now, [hub, _, b]) = (world.now, [HUB, A, B].map(|index| world.machines[index].key));
    let node = &mut world.machines[A].node;
    let (epoch, missing) = (1, None);
    node.handle(now, Input::Prober { epoch, missing });
    let looks = |node: &mut Node, last: u8| {
        let [place, observer] = [[203, 0, 113, last], [192, 0, 2, 1]].map(|at| SocketAddr::from((at, 51820)));
        let Node { probing, random, .. } = node;
        probing.foretell(now, &b, place, (hub, observer), random).len()
    };
    assert!(looks(node, 1) > 0);
    for (port_prediction, is_predicted) in [(Some(false), false), (None, true)] {
        let settings = Settings {
            port_prediction,
            ..Settings::default()
        };
        node.handle(now, Input::Settings(Box::new(settings)));
        assert_eq!(looks(node, 2) > 0, is_predicted);
    }
}

#[test]
fn a_v1_hub_brings_leaves_of_ours_together() {
    let mut world = World::new(2);
    world.machines[HUB].v1 = true;
    world.start_all();
    world.run(seconds(20));
    assert!(world.is_direct());
    world.cut = true;
    world.run(seconds(16));
    assert_eq!(world.next_hop(A, "10.0.0.3/32"), None, "between ours, our times");
}

#[test]
fn a_v1_leaf_is_linked_and_given_up_by_v1_times() {
    let mut world = World::new(2);
    world.machines[B].v1 = true;
    world.start_all();
    world.run(seconds(60));
    assert!(world.is_direct());
    world.cut = true;
    world.run(seconds(60));
    assert_eq!(
        world.next_hop(A, "10.0.0.3/32"),
        Some(B),
        "a v1 node may be silent for so long"
    );
    world.run(seconds(240));
    assert_eq!(world.next_hop(A, "10.0.0.3/32"), None);
    world.cut = false;
    world.run(seconds(60));
    assert!(world.is_direct());
}

#[test]
fn a_large_network_links_itself() {
    let mut world = World::new(40);
    world.start_all();
    world.run(seconds(60));
    for leaf in 1..=40 {
        let others = (1..=40).filter(|other| *other != leaf);
        let direct = others.filter(|other| world.next_hop(leaf, &format!("10.0.0.{}/32", other + 1)) == Some(*other));
        assert_eq!(direct.count(), 39, "leaf {leaf}");
    }
}
