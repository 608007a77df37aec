//! Prefixes that may not be programmed: found out when it happens, and at no cost while nothing does.

use super::*;
use crate::mesh::base::settings::FACT_TTL;
use crate::mesh::believe::fact::value::Value;
use crate::mesh::believe::fact::{Accepted, Fact, Origin, Rank, Source, Timed};
use crate::mesh::show::event::Interface;

/// Has a leaf believe the hub that another leaf has prefixes.
fn claim(world: &mut World, at: usize, of: usize, prefixes: impl IntoIterator<Item = String>) {
    let (subject, hub, now) = (world.machines[of].key, world.machines[HUB].key, world.now);
    for text in prefixes {
        let value = Value::AllowedIp(prefix(&text));
        let fact = Fact { subject, value };
        let (ttl, source) = (10 * FACT_TTL, voucher(hub));
        let timed = Timed { fact, ttl };
        world.machines[at]
            .node
            .store
            .insert(now, Accepted::unjudged(timed, source));
    }
    world.machines[at].node.expect_news(now);
}

fn voucher(key: PublicKey) -> Source {
    Source {
        origin: Origin::Peer(key),
        rank: Rank::Voucher,
    }
}

fn connect(world: &mut World, at: usize, addresses: &[&str]) {
    let machine = &mut world.machines[at];
    let interface = Interface {
        name: "eth1".into(),
        up: true,
        addresses: addresses.iter().map(|text| prefix(text)).collect(),
        wireguard: false,
    };
    machine.host.interfaces.truncate(1);
    machine.host.interfaces.push(interface);
    machine.node.handle(world.now, Input::Host(machine.host.clone()));
}

fn told(world: &World, at: usize) -> usize {
    let events = world.machines[at].events.iter();
    events.filter(|event| matches!(event, Event::PrefixRefused(_))).count()
}

#[test]
fn a_network_that_comes_and_goes_is_noticed_at_the_next_pass() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(10));
    claim(&mut world, A, B, ["10.7.0.0/16".to_owned()]);
    world.run(seconds(1));
    assert_eq!(world.next_hop(A, "10.7.0.0/16"), Some(B));
    for round in 1..=3 {
        connect(&mut world, A, &["10.7.3.1/24"]);
        world.run(Duration::from_millis(100));
        assert_eq!(world.next_hop(A, "10.7.0.0/16"), None);
        assert_eq!(told(&world, A), round);
        connect(&mut world, A, &[]);
        world.run(Duration::from_millis(100));
        assert_eq!(world.next_hop(A, "10.7.0.0/16"), Some(B));
    }
}

#[test]
fn what_the_operator_gives_by_hand_is_noticed_at_the_next_look() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(10));
    claim(&mut world, A, B, ["10.7.0.0/16".to_owned()]);
    world.run(seconds(1));
    let by_hand = PublicKey::from_bytes([0xaa; 32]);
    let peer = PeerState {
        allowed_ips: [prefix("10.7.5.5/32")].into(),
        ..PeerState::default()
    };
    world.machines[A].device.peers.insert(by_hand, peer);
    world.run(seconds(6));
    assert_eq!(
        world.next_hop(A, "10.7.0.0/16"),
        None,
        "it is around what another one has"
    );
    world.machines[A].device.peers.remove(&by_hand);
    world.run(seconds(6));
    assert_eq!(world.next_hop(A, "10.7.0.0/16"), Some(B));
}

#[test]
fn where_a_peer_is_reached_nothing_leads_to() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(10));
    // 192.0.2.0/24 is the network of all machines: away with it.
    world.machines[A].host.interfaces[0].addresses = vec![prefix("198.51.100.2/24")];
    connect(&mut world, A, &[]);
    let other = world.machines[B].at.ip();
    claim(&mut world, A, B, [format!("{other}/32"), "192.0.2.77/32".into()]);
    world.run(seconds(1));
    assert_eq!(world.next_hop(A, &format!("{other}/32")), None);
    assert_eq!(world.next_hop(A, "192.0.2.77/32"), Some(B));
}

/// Thousands of refused claims wait for nothing, and fill no log.
#[test]
fn a_flood_of_refused_claims_costs_nothing_afterwards() {
    let mut world = World::new(6);
    world.start_all();
    world.run(seconds(30));
    connect(&mut world, A, &["10.64.0.1/10"]);
    // Of one peer no more is believed than some thousand facts.
    for of in 2..=6 {
        let claims = (0..1000).map(|number| format!("10.{}.{}.{}/32", 64 + of, number / 250, number % 250));
        claim(&mut world, A, of, claims);
    }
    world.run(seconds(10));
    let node = &world.machines[A].node;
    assert_eq!(node.status(world.now).refused.len(), 5000);
    assert!(node.agenda.is_empty(), "{} wait", node.agenda.len());
    assert_eq!(told(&world, A), 32);
    let more = |event: &&Event| matches!(event, Event::MorePrefixesRefused);
    assert_eq!(world.machines[A].events.iter().filter(more).count(), 1);
    world.run(seconds(120));
    assert_eq!(told(&world, A), 32, "nothing is said again");
}
