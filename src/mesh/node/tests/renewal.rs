//! How what was told lives on: by digests between nodes of ours, also where datagrams are lost.

use super::super::*;
use super::world::*;
use crate::mesh::base::settings::FACT_TTL;
use crate::mesh::believe::fact::value::Value;
use crate::mesh::believe::fact::{Fact, Origin};

/// How many facts a leaf has by the hub's word alone: that each other leaf is a member and what its prefix is, and what the hub
/// itself routes.
const fn by_word_of_hub(leaves: usize) -> usize {
    2 * (leaves - 1) + 1
}

/// The facts that a node has from another one, and still lives by; but for endpoints, which a leaf sees with its own eyes, too.
fn heard(world: &World, at: usize, from: usize) -> Vec<Fact> {
    let origin = Origin::Peer(world.machines[from].key);
    let facts = world.machines[at].node.store.iter();
    facts
        .filter(|(fact, stored)| stored.origin == origin && !matches!(fact.value, Value::Endpoint(_)))
        .map(|(fact, _)| fact.clone())
        .collect()
}

fn resyncs(world: &World) -> usize {
    let events = world.machines.iter().flat_map(|machine| &machine.events);
    events.filter(|event| matches!(event, Event::Resynced { .. })).count()
}

fn bytes_a_second(world: &mut World, from: usize, to: usize) -> u64 {
    world.sent.clear();
    world.run(seconds(600));
    world.sent[&(from, to)] / 600
}

#[test]
fn in_a_steady_state_hub_and_leaf_say_little_whatever_the_size_of_the_network() {
    for leaves in [2, 25] {
        let mut world = World::new(leaves);
        world.start_all();
        world.run(seconds(120));
        let down = bytes_a_second(&mut world, HUB, A);
        let up = bytes_a_second(&mut world, A, HUB);
        assert!(down <= 9 && up <= 9, "{leaves} leaves: {down} and {up} B/s");
        assert_eq!(heard(&world, A, HUB).len(), by_word_of_hub(leaves));
    }
}

#[test]
fn what_is_lost_on_the_way_is_found_and_told_again() {
    let mut world = World::new(8);
    world.loss.0 = 30;
    world.start_all();
    // A digest finds what was lost, and is lost itself as often as what follows from it.
    world.run(FACT_TTL / 2 + seconds(60));
    let everything = by_word_of_hub(8);
    for leaf in 1..=8 {
        assert_eq!(heard(&world, leaf, HUB).len(), everything, "leaf {leaf}");
    }
    for _ in 0..60 {
        world.run(seconds(60));
        for leaf in 1..=8 {
            assert_eq!(
                heard(&world, leaf, HUB).len(),
                everything,
                "leaf {leaf} at {:?}",
                world.now
            );
        }
    }
    assert_eq!(resyncs(&world), 0);
}

#[test]
fn a_fact_that_its_source_gives_up_lives_no_longer_than_it_would_have() {
    let mut world = World::new(3);
    world.start_all();
    world.run(seconds(400));
    let gone = world.machines[B].key;
    world.machines[B].running = false;
    world.machines[HUB].device.peers.remove(&gone);
    world.run(seconds(256));
    let left: Vec<Fact> = heard(&world, A, HUB)
        .into_iter()
        .filter(|fact| fact.subject == gone)
        .collect();
    assert_eq!(left, []);
    assert_eq!(
        heard(&world, A, HUB).len(),
        by_word_of_hub(2),
        "and about the other leaf everything"
    );
}

#[test]
fn a_hub_that_forgot_everything_is_told_again_and_tells_again() {
    let mut world = World::new(3);
    world.start_all();
    world.run(seconds(100));
    world.start(HUB);
    world.run(seconds(3));
    for leaf in 1..=3 {
        assert_eq!(heard(&world, leaf, HUB).len(), by_word_of_hub(3), "leaf {leaf}");
    }
    world.run(seconds(600));
    assert_eq!(heard(&world, A, HUB).len(), by_word_of_hub(3));
    assert_eq!(resyncs(&world), 0);
}

#[test]
fn a_leaf_that_slept_is_up_to_date_soon() {
    let mut world = World::new(3);
    world.start_all();
    world.run(seconds(100));
    world.machines[A].running = false;
    world.run(seconds(300));
    world.machines[A].running = true;
    world.run(seconds(10));
    assert_eq!(heard(&world, A, HUB).len(), by_word_of_hub(3));
    assert!(world.is_direct());
}
