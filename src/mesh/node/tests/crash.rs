//! A node may end at any moment: what the next one finds in its memory is enough to put the device back.

use super::world::*;
use super::*;
use crate::mesh::keep::memory::Memory;

/// A leaf with all that can be introduced: a member that facts bring, a prefix that is taken from the hub, and a peer of the
/// operator's without an endpoint, which is never there.
fn world() -> World {
    let mut world = World::new(3);
    let (hub, last) = (world.machines[HUB].key, world.machines[3].key);
    let device = &mut world.machines[A].device;
    let at_hub = &mut device.peers.get_mut(&hub).unwrap().allowed_ips;
    at_hub.insert(prefix("10.0.0.3/32"));
    let by_hand = PeerState {
        keepalive: Some(25),
        preshared: true,
        allowed_ips: [prefix("10.9.0.0/24")].into(),
        ..PeerState::default()
    };
    device.peers.insert(last, by_hand);
    let known = world.machines[A].node.settings.peers.entry(last).or_default();
    known.endpoints = vec!["192.0.2.99:7".parse().unwrap()];
    world
}

/// What the operator made, without what WireGuard learned by itself.
fn made(world: &World, before: &DeviceState) -> DeviceState {
    let machine = &world.machines[A];
    let mut device = machine.device.clone();
    for (key, peer) in &mut device.peers {
        peer.last_handshake = None;
        if let Some(before) = before.peers.get(key).filter(|_| machine.roamed.contains(key)) {
            peer.endpoint = before.endpoint;
        }
    }
    device
}

/// Everything that makes prefixes and endpoints move.
fn live(world: &mut World) {
    [HUB, A, B].into_iter().for_each(|index| world.start(index));
    world.run(seconds(12));
    world.cut = true;
    world.run(seconds(30));
    world.cut = false;
    world.run(seconds(20));
}

/// Lets the power fail at this output; returns whether it came to that.
fn fail_at(index: usize, pause: Duration) -> (bool, World) {
    let mut world = world();
    let before = world.machines[A].device.clone();
    world.machines[A].power = Some(index);
    live(&mut world);
    let has_failed = !world.machines[A].running;
    world.machines[A].power = None;
    world.machines[A].running = true;
    world.start(A);
    world.run(pause);
    world.stop(A);
    assert_eq!(made(&world, &before), before, "the power failed at output {index}");
    (has_failed, world)
}

#[test]
fn wherever_the_power_fails_the_next_run_puts_the_device_back() {
    for pause in [Duration::ZERO, seconds(3)] {
        let mut forgets = 0;
        let mut index = 1;
        loop {
            let (has_failed, world) = fail_at(index, pause);
            let forgotten = |change: &DeviceChange| matches!(change, DeviceChange::MakeAgain { .. });
            forgets += world.machines[A]
                .changes
                .iter()
                .filter(|change| forgotten(change))
                .count();
            if !has_failed {
                break;
            }
            index += 1;
        }
        assert!(index > 50, "only {index} outputs");
        assert!(forgets > 0, "no endpoint was taken away");
    }
}

#[test]
fn what_was_introduced_is_known_to_the_next_run_and_returns_to_the_hub_with_it() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(30));
    world.start(A);
    world.run(seconds(10));
    assert!(world.is_direct());
    world.cut = true;
    world.run(seconds(20));
    assert_eq!(world.next_hop(A, "10.0.0.3/32"), None);
}

#[test]
fn without_its_memory_the_next_run_takes_all_for_the_operators() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(30));
    world.machines[A].disk = None;
    let before = shape(&world.machines[A].device);
    world.start(A);
    world.run(seconds(30));
    world.stop(A);
    assert!(shape(&world.machines[A].device).keys().eq(before.keys()));
}

#[test]
fn what_the_operator_did_to_it_in_between_is_the_operators() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(30));
    world.machines[A].running = false;
    let b = world.machines[B].key;
    world.machines[A].device.peers.get_mut(&b).unwrap().preshared = true;
    world.start(A);
    world.run(seconds(30));
    world.stop(A);
    let left = &world.machines[A].device.peers[&b];
    assert!(left.preshared && left.allowed_ips.is_empty(), "{left:?}");
}

#[test]
fn an_interface_that_was_made_anew_is_no_matter() {
    let mut world = World::new(2);
    let before = world.machines[A].device.clone();
    world.start_all();
    world.run(seconds(30));
    world.machines[A].device = before.clone();
    world.start(A);
    world.stop(A);
    assert_eq!(world.machines[A].device, before);
}

#[test]
fn what_it_left_there_because_the_operator_wants_that_is_ours_the_next_time() {
    let mut world = World::new(2);
    let before = shape(&world.machines[A].device);
    world.machines[A].node.settings.leave_peers = true;
    world.start_all();
    world.run(seconds(30));
    world.stop(A);
    assert_eq!(world.next_hop(A, "10.0.0.3/32"), Some(B));
    world.machines[A].node.settings.leave_peers = false;
    world.start(A);
    world.run(seconds(5));
    world.stop(A);
    assert_eq!(shape(&world.machines[A].device), before);
}

#[test]
fn nothing_is_written_down_in_a_steady_state_but_ages_now_and_then() {
    let mut world = World::new(3);
    world.start_all();
    world.run(seconds(600));
    let written = |world: &World| world.machines.iter().map(|machine| machine.writes).collect::<Vec<_>>();
    let before = written(&world);
    world.run(seconds(3600));
    assert_eq!(written(&world), before);
    world.run(seconds(6 * 3600));
    let once_more: Vec<u32> = before.iter().map(|writes| writes + 1).collect();
    assert_eq!(written(&world), once_more);
}

#[test]
fn who_is_removed_is_forgotten_and_who_is_only_not_heard_of_is_not() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(60));
    let b = world.machines[B].key;
    let knows = |world: &World| {
        let memory = world.machines[A].disk.as_ref().map(|(_, memory)| memory);
        memory.is_some_and(|memory: &Memory| memory.peers.get(&b).is_some_and(|known| known.named.is_some()))
    };
    assert!(knows(&world));
    world.stop(HUB);
    world.run(seconds(3600));
    world.stop(A);
    assert!(knows(&world), "the hub is away");
    world.stop(B);
    world.machines[HUB].device.peers.remove(&b);
    world.start(HUB);
    world.start(A);
    world.run(seconds(1000));
    assert!(!knows(&world), "the hub is there and does not name it");
    assert!(!world.machines[A].device.peers.contains_key(&b));
}

#[test]
fn a_memory_counts_only_as_far_as_its_source_is_trusted_now() {
    let mut world = World::new(2);
    let before = world.machines[A].device.clone();
    world.start_all();
    world.run(seconds(60));
    let (hub, b) = (world.machines[HUB].key, world.machines[B].key);
    world.stop(HUB);
    for (trust, believes) in [(None, true), (Some(TrustLevel::Endpoint), false)] {
        let machine = &mut world.machines[A];
        machine.device = before.clone();
        machine.node.settings.peers.entry(hub).or_default().trust = trust;
        world.start(A);
        world.run(seconds(5));
        assert_eq!(world.machines[A].device.peers.contains_key(&b), believes, "{trust:?}");
        world.machines[A].running = false;
    }
}

#[test]
fn after_a_power_cut_leaves_are_direct_again_without_the_hub() {
    let mut world = World::new(3);
    let before: Vec<DeviceState> = world.machines.iter().map(|machine| machine.device.clone()).collect();
    world.start_all();
    world.run(seconds(60));
    for (machine, before) in world.machines.iter_mut().zip(before) {
        machine.device = before;
        machine.running = false;
    }
    [A, B, 3].into_iter().for_each(|leaf| world.start(leaf));
    world.run(seconds(10));
    assert!(world.is_direct());
    world.run(seconds(3600));
    assert!(world.is_direct(), "and stay so, as nobody says otherwise");
}
