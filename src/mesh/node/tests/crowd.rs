//! Liars that say more than there is room for, and what becomes of the word of the others.

use std::net::SocketAddr;

use super::super::*;
use super::world::*;
use crate::mesh::base::identity::AddressHash;
use crate::mesh::believe::fact::store::{MAX_HEARSAY, MAX_PER_ORIGIN};
use crate::mesh::believe::fact::value::Value;
use crate::mesh::believe::fact::{Accepted, Fact, Origin, Rank, Source, Timed, wire};
use crate::mesh::device::PeerState;
use crate::mesh::share::ports::PortPair;

const MEMBERS: usize = 40;
const LIARS: [usize; 2] = [3, 4];
const LATE: usize = 39;
const LATER: usize = 40;

/// A network in which the hub, two leaves and nobody else run, all have many peers by hand, and two members join later.
fn network() -> World {
    let mut world = World::new(MEMBERS);
    let keys: Vec<PublicKey> = world.machines.iter().map(|machine| machine.key).collect();
    for key in &keys[LATE..] {
        world.machines[HUB].device.peers.remove(key);
    }
    for at in [A, B] {
        let by_hand = keys[3..LATE].iter().map(|key| (*key, PeerState::default()));
        world.machines[at].device.peers.extend(by_hand);
    }
    [HUB, A, B].into_iter().for_each(|index| world.start(index));
    world.run(seconds(20));
    world
}

fn join(world: &mut World, index: usize) {
    let key = world.machines[index].key;
    let state = PeerState {
        allowed_ips: [prefix(&format!("10.0.0.{}/32", index + 1))].into(),
        ..PeerState::default()
    };
    world.machines[HUB].device.peers.insert(key, state);
    world.start(index);
}

fn knows(world: &World, at: usize, index: usize) -> bool {
    let key = world.machines[index].key;
    world.machines[at].device.peers.contains_key(&key)
}

/// Has a peer say facts to a machine.
fn say(world: &mut World, sender: usize, listener: usize, facts: &[Timed]) {
    let mut auth = Auth::new(private(sender), AddressHash::Sha1);
    let source = AddressHash::Sha1.link_local(auth.public_key());
    let (now, recipient) = (world.now, world.machines[listener].key);
    for group in wire::pack(facts) {
        let payload = &auth.tag(&recipient, [7; 24], &group).unwrap();
        world.machines[listener].node.handle(
            now,
            Input::Packet {
                source,
                ports: PortPair::default(),
                payload,
            },
        );
    }
    world.carry_out(listener);
}

/// Has a liar name 900 places of each member, none of them twice.
fn flood(world: &mut World, liar: usize, listener: usize, round: u8) {
    let listening = world.machines[listener].key;
    let subjects: Vec<PublicKey> = world.machines.iter().map(|machine| machine.key).collect();
    for subject in subjects.into_iter().filter(|subject| *subject != listening) {
        let place = |port| SocketAddr::from(([20, liar as u8, round, 1], port));
        let lie = |port| Timed {
            fact: Fact {
                subject,
                value: Value::Endpoint(place(port)),
            },
            ttl: seconds(255),
        };
        let lies: Vec<Timed> = (1..=900).map(lie).collect();
        say(world, liar, listener, &lies);
    }
}

fn lies(world: &World, at: usize) -> usize {
    let liars = LIARS.map(|liar| Origin::Peer(world.machines[liar].key));
    let facts = world.machines[at].node.store.iter();
    facts.filter(|(_, stored)| liars.contains(&stored.origin)).count()
}

#[test]
fn two_liars_keep_no_new_member_out() {
    let mut world = network();
    assert!(knows(&world, A, B) && !knows(&world, A, LATE));
    let mut most = 0;
    for round in 0..3 {
        for liar in LIARS {
            flood(&mut world, liar, HUB, round);
            flood(&mut world, liar, A, round);
        }
        most = most.max(lies(&world, A));
        if round == 1 {
            join(&mut world, LATE);
        }
        world.run(seconds(10));
    }
    assert!((500..=MAX_HEARSAY).contains(&most), "{most} lies are believed");
    assert!(knows(&world, A, LATE) && knows(&world, B, LATE), "during the flood");
    world.run(seconds(300));
    assert_eq!([HUB, A, B].map(|at| lies(&world, at)), [0; 3]);
    join(&mut world, LATER);
    world.run(seconds(30));
    assert!(knows(&world, A, LATER) && knows(&world, B, LATER), "after it");
    let late = [LATE, LATER].map(|index| world.machines[index].key);
    let said_of_them = |at: usize| -> Vec<Fact> {
        let facts = world.machines[at].node.store.iter();
        let of_members = facts.filter(|(fact, _)| late.contains(&fact.subject));
        of_members.map(|(fact, _)| fact.clone()).collect()
    };
    assert!(said_of_them(A).len() >= 4, "{:?}", said_of_them(A));
    assert_eq!(said_of_them(A), said_of_them(B), "all agree");
}

#[test]
fn fact_without_room_is_asked_for_again_once_there_is_some() {
    let mut world = network();
    let hub = world.machines[HUB].key;
    // The hub said as much as it may: some of it is about to be forgotten.
    for number in 0..MAX_PER_ORIGIN as u32 {
        let mut subject = [0x77; 32];
        subject[..4].copy_from_slice(&number.to_be_bytes());
        let fact = Fact {
            subject: PublicKey::from_bytes(subject),
            value: Value::Endpoint(([20, 0, 0, 1], 5).into()),
        };
        let timed = Timed { fact, ttl: seconds(60) };
        let source = Source {
            origin: Origin::Peer(hub),
            rank: Rank::Voucher,
        };
        let now = world.now;
        world.machines[A]
            .node
            .store
            .insert(now, Accepted::unjudged(timed, source));
    }
    join(&mut world, LATE);
    world.run(seconds(30));
    assert!(
        knows(&world, B, LATE) && !knows(&world, A, LATE),
        "there is no room for it"
    );
    world.run(seconds(60));
    assert!(knows(&world, A, LATE), "there is by now");
}

#[test]
fn peer_that_restarts_without_end_is_told_of_a_few_times() {
    let mut world = network();
    let liar = world.machines[LIARS[0]].key;
    world.machines[A].events.clear();
    for round in 0..100u8 {
        let mut boot_id = [round; BootId::LEN];
        boot_id[6] = 0x40;
        let value = Value::Alive(BootId::from_bytes(boot_id));
        let fact = Fact { subject: liar, value };
        let ttl = seconds(15);
        say(&mut world, LIARS[0], A, &[Timed { fact, ttl }]);
        world.run(seconds(6));
    }
    let events = &world.machines[A].events;
    let restarts = events
        .iter()
        .filter(|event| matches!(event, Event::PeerRestarted { .. }));
    let told = restarts.count();
    assert!((8..=20).contains(&told), "{told}");
    let mut left_out = 0;
    for event in events {
        if let Event::LeftOut { kind, times, most } = event {
            assert_eq!(
                (*kind, most.as_ref().map(|peer| peer.key)),
                ("peer-restarted", Some(liar))
            );
            left_out += times;
        }
    }
    assert!((60..100).contains(&left_out), "{left_out}");
}

#[test]
fn key_on_two_machines_is_told_and_explained() {
    let mut world = network();
    let cloned = world.machines[LIARS[0]].key;
    world.machines[A].events.clear();
    for round in 0..20u8 {
        let mut boot_id = [round % 2; BootId::LEN];
        boot_id[6] = 0x40;
        let value = Value::Alive(BootId::from_bytes(boot_id));
        let fact = Fact { subject: cloned, value };
        let ttl = seconds(15);
        say(&mut world, LIARS[0], A, &[Timed { fact, ttl }]);
        world.run(seconds(6));
    }
    let is_told = |event: &&Event| matches!(event, Event::KeyShared { peer } if peer.key == cloned);
    assert_eq!(world.machines[A].events.iter().filter(is_told).count(), 1);
    let explained = world.machines[A]
        .node
        .explain(world.now, &cloned)
        .expect("it is a peer");
    assert!(
        explained.peer.why.contains("several machines"),
        "{}",
        explained.peer.why
    );
    assert!(explained.peer.shared_key);
    assert!(explained.remedy.contains("wg genkey"), "{}", explained.remedy);
    let hub = world.machines[HUB].key;
    let other = world.machines[A].node.explain(world.now, &hub).expect("it is a peer");
    assert!(!other.peer.shared_key, "the hub has a key of its own");
}
