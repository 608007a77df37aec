//! Networks with a history: whatever happens to them, in any order.

use chacha20::rand_core::Rng as _;

use ipnet::IpNet;

use super::super::*;
use super::world::*;
use crate::mesh::device::PeerState;

/// What an operator, a network and a power switch can do to one leaf, in any order.
fn disturb(world: &mut World, random: &mut ChaCha20Rng) {
    let leaf = 1 + random.next_u32() as usize % 3;
    let other = 1 + random.next_u32() as usize % 3;
    let other_key = world.machines[other].key;
    match random.next_u32() % 6 {
        0 => world.cut = !world.cut,
        1 if world.machines[leaf].running => world.stop(leaf),
        2 if !world.machines[leaf].running => world.start(leaf),
        3 if leaf != other && world.machines[leaf].made_by_hand.insert(other_key) => {
            // By hand, as `wg set` does it: with a prefix of its own that no fact names.
            let by_hand = PeerState {
                allowed_ips: [by_hand_prefix(other)].into(),
                ..PeerState::default()
            };
            let peers = &mut world.machines[leaf].device.peers;
            peers
                .entry(other_key)
                .or_default()
                .allowed_ips
                .extend(by_hand.allowed_ips);
        }
        _ => {}
    }
    let pause = random.next_u32() % 400;
    world.run(seconds(pause.into()));
}

fn by_hand_prefix(index: usize) -> IpNet {
    prefix(&format!("172.31.{index}.0/24"))
}

#[test]
fn whatever_happens_the_operators_part_of_the_device_is_left_as_it_is() {
    for seed in 0..6 {
        let mut random = ChaCha20Rng::from_seed([seed; 32]);
        let mut world = World::new(3);
        let hub = world.machines[HUB].key;
        world.start_all();
        for _ in 0..20 {
            disturb(&mut world, &mut random);
            for leaf in 1..=3 {
                let device = &world.machines[leaf].device;
                assert_eq!(device.owner(&prefix("10.0.0.0/24")), Some(&hub), "seed {seed}");
                for (other, machine) in world.machines.iter().enumerate().skip(1) {
                    let by_hand = world.machines[leaf].made_by_hand.contains(&machine.key);
                    let owner = device.owner(&by_hand_prefix(other));
                    assert_eq!(owner, by_hand.then_some(&machine.key), "seed {seed}, leaf {leaf}");
                }
            }
        }
        for leaf in 1..=3 {
            if world.machines[leaf].running {
                world.stop(leaf);
            }
            let machine = &world.machines[leaf];
            let left: std::collections::BTreeSet<IpNet> = machine
                .device
                .peers
                .values()
                .flat_map(|peer| peer.allowed_ips.clone())
                .collect();
            let expected = machine
                .made_by_hand
                .iter()
                .map(|key| world.find(|machine| machine.key == *key).unwrap());
            let expected = expected.map(by_hand_prefix).chain([prefix("10.0.0.0/24")]).collect();
            assert_eq!(left, expected, "seed {seed}, leaf {leaf}");
        }
    }
}

#[test]
fn a_healed_network_of_any_history_is_direct_again() {
    for seed in 0..5 {
        let mut random = ChaCha20Rng::from_seed([100 + seed; 32]);
        let mut world = World::new(3);
        world.start_all();
        (0..15).for_each(|_| disturb(&mut world, &mut random));
        world.cut = false;
        for leaf in 0..=3 {
            if !world.machines[leaf].running {
                world.start(leaf);
            }
        }
        world.run(seconds(120));
        for (leaf, other) in [(1, 2), (2, 3), (3, 1)] {
            let owner = world.next_hop(leaf, &format!("10.0.0.{}/32", other + 1));
            assert_eq!(owner, Some(other), "seed {seed}: from {leaf}");
        }
    }
}
