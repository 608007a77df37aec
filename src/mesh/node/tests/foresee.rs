//! What is written down before it is needed: no reason to write again, and nobody's loss.

use super::world::*;
use super::*;
use crate::mesh::keep::memory::Introduced;

/// A leaf that has another one as its peer, and never reaches it.
fn never_direct() -> World {
    let mut world = World::new(2);
    world.cut = true;
    world.start_all();
    world.run(seconds(10));
    assert_eq!(world.next_hop(A, "10.0.0.3/32"), None);
    world
}

fn written(world: &World) -> &Introduced {
    let (_, memory) = world.machines[A]
        .disk
        .as_ref()
        .expect("something was put on the device");
    &memory.introduced
}

#[test]
fn what_a_peer_of_ours_claims_is_written_down_with_it() {
    let mut world = never_direct();
    let writes = world.machines[A].writes;
    assert!(written(&world).prefixes.contains_key(&prefix("10.0.0.3/32")));
    for cut in [false, true, false] {
        world.cut = cut;
        world.run(seconds(40));
        assert_eq!(world.next_hop(A, "10.0.0.3/32"), (!cut).then_some(B));
    }
    assert!(world.machines[A].writes <= writes + 1, "where it is reached, at most");
}

#[test]
fn what_the_operator_gives_to_a_peer_of_ours_is_the_operators_though_it_was_foreseen() {
    let mut world = never_direct();
    let b = world.machines[B].key;
    let given = &mut world.machines[A].device.peers.get_mut(&b).unwrap().allowed_ips;
    given.insert(prefix("10.0.0.3/32"));
    world.run(seconds(6));
    assert!(!written(&world).peers.contains(&b), "at once");
    // The next run knows only what was written down.
    world.start(A);
    world.run(seconds(3));
    world.stop(A);
    assert_eq!(world.next_hop(A, "10.0.0.3/32"), Some(B));
    let left = &world.machines[A].device.peers[&b].allowed_ips;
    assert_eq!(*left, [prefix("10.0.0.3/32")].into());
}

#[test]
fn what_the_operator_gives_to_another_peer_is_not_taken_from_it_after_a_crash() {
    let mut world = never_direct();
    world.machines[A].running = false;
    let by_hand = PublicKey::from_bytes([0xaa; 32]);
    let peer = PeerState {
        allowed_ips: [prefix("10.0.0.3/32")].into(),
        ..PeerState::default()
    };
    world.machines[A].device.peers.insert(by_hand, peer.clone());
    world.start(A);
    world.run(seconds(10));
    world.stop(A);
    assert_eq!(world.machines[A].device.peers.get(&by_hand), Some(&peer));
}

#[test]
fn what_has_no_reason_any_more_is_soon_written_down_no_longer() {
    let mut world = never_direct();
    world.machines[A].running = false;
    let (_, memory) = world.machines[A].disk.as_mut().unwrap();
    let gone = PublicKey::from_bytes([0xbb; 32]);
    memory.introduced.peers.insert(gone);
    world.start(A);
    world.run(seconds(1));
    assert!(written(&world).peers.contains(&gone), "that can wait");
    world.run(seconds(10));
    assert!(!written(&world).peers.contains(&gone));
    let writes = world.machines[A].writes;
    world.run(seconds(100));
    assert_eq!(world.machines[A].writes, writes);
}
