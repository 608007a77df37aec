//! Datagrams that come again: much later, in another order, to and from nodes that have started anew since.
//!
//! WireGuard hands out each packet once, from the peer that its address belongs to, within three minutes; so only the sender itself
//! can say something again, and it may. What is tried here is worse: everything that was ever said comes again from the right address.

use chacha20::rand_core::Rng as _;
use proptest::prelude::*;

use super::super::*;
use super::world::*;
use crate::mesh::base::settings::FACT_TTL;
use crate::mesh::members::membership::VOUCHED_FOR;

/// Lets any of what was said come again, for so long.
fn replay(world: &mut World, said: &[(usize, Ipv6Addr, Vec<u8>)], random: &mut ChaCha20Rng, rounds: u32) {
    for _ in 0..rounds {
        for _ in 0..20 {
            let (target, source, payload) = said[random.next_u32() as usize % said.len()].clone();
            let after = Duration::from_millis(u64::from(random.next_u32() % 1000));
            world.in_flight.push((world.now + after, target, source, payload));
        }
        world.run(seconds(1));
    }
}

fn peers(world: &World, index: usize) -> Vec<PublicKey> {
    world.machines[index].device.peers.keys().copied().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// The longest that a replay revives anything is what the one who said it gave it: then the network is what it would be without.
    #[test]
    fn what_is_replayed_lives_no_longer_than_what_is_said(
        seed in any::<[u8; 32]>(), rounds in 1u32..40, restarts in proptest::collection::vec(0usize..3, 0..3),
    ) {
        let mut random = ChaCha20Rng::from_seed(seed);
        let mut world = World::new(3);
        world.kept = Some(Vec::new());
        world.start_all();
        world.run(seconds(100));
        let gone = world.machines[3].key;
        let everybody = world.machines.iter().map(|machine| machine.key).collect::<std::collections::BTreeSet<_>>();
        // The operator revokes a member, and it expires everywhere.
        world.machines[3].running = false;
        world.machines[HUB].device.peers.remove(&gone);
        world.run(FACT_TTL + VOUCHED_FOR + seconds(300));
        for index in [HUB, A, B] {
            prop_assert!(!peers(&world, index).contains(&gone), "{index} forgot it");
        }
        for index in restarts {
            world.machines[index].running = false;
            world.run(seconds(3));
            world.start(index);
        }
        let said = world.kept.take().unwrap();
        replay(&mut world, &said, &mut random, rounds);
        for index in [HUB, A, B] {
            prop_assert!(peers(&world, index).iter().all(|peer| everybody.contains(peer)));
        }
        world.run(FACT_TTL + VOUCHED_FOR + seconds(300));
        prop_assert!(world.is_direct());
        for index in [A, B] {
            let shown = || [HUB, A, B].map(|index| world.machines[index].node.status(world.now).to_string()).join("\n");
            prop_assert!(!peers(&world, index).contains(&gone), "{index} still has {}\n{}", gone.short(), shown());
            let facts = world.machines[index].node.status(world.now).facts;
            prop_assert!(facts.iter().all(|(fact, ..)| fact.subject != gone), "{facts:?}");
        }
    }
}
