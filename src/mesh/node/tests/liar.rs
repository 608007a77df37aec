//! What a member can do to others by what it says, and cannot.

use std::net::SocketAddr;

use super::super::show::candidates;
use super::super::*;
use super::flood::Victim;
use super::world::*;
use crate::mesh::base::identity::AddressHash;
use crate::mesh::base::settings::{FACT_TTL, TrustLevel};
use crate::mesh::believe::fact::heartbeat::{Echo, Heartbeat};
use crate::mesh::believe::fact::signal::ProbeForm;
use crate::mesh::believe::fact::signal::{Nat, Probes};
use crate::mesh::believe::fact::store::MAX_SHARE;
use crate::mesh::believe::fact::value::{Metadata, Value};
use crate::mesh::believe::fact::{Fact, Origin, Timed, wire};
use crate::mesh::reach::link::candidate::Kind;
use crate::mesh::share::ports::PortPair;

const STRANGER: usize = 9;

fn said(index: usize, value: Value, ttl: u64) -> Timed {
    Timed {
        fact: Fact {
            subject: private(index).public_key(),
            value,
        },
        ttl: seconds(ttl),
    }
}

fn endpoint(host: u8, port: u16) -> Value {
    Value::Endpoint(SocketAddr::from(([20, 0, 0, host], port)))
}

#[test]
fn nothing_lives_longer_than_what_an_honest_node_says() {
    let mut victim = Victim::trusting(&[(A, TrustLevel::Membership)]);
    victim.hear(
        A,
        &[said(STRANGER, Value::Member, 65_535), said(A, endpoint(1, 1), 65_535)],
    );
    victim.wait(FACT_TTL / 2);
    assert!(victim.node.members.contains(&private(STRANGER).public_key()));
    victim.wait(FACT_TTL);
    let left: Vec<_> = victim
        .node
        .store
        .iter()
        .filter(|(_, stored)| matches!(stored.origin, Origin::Peer(_)))
        .collect();
    assert_eq!(left, []);
}

#[test]
fn repeating_what_others_say_does_not_make_hearsay_of_it() {
    let mut victim = Victim::trusting(&[(A, TrustLevel::Endpoint), (HUB, TrustLevel::Membership)]);
    let subject = private(STRANGER).public_key();
    victim.hear(
        HUB,
        &[
            said(STRANGER, Value::Member, 255),
            said(STRANGER, endpoint(200, 1), 200),
        ],
    );
    victim.wait(seconds(2));
    let forged = (1..=8).map(|host| said(STRANGER, endpoint(host, 1), 255));
    let facts: Vec<Timed> = forged.chain([said(STRANGER, endpoint(200, 1), 255)]).collect();
    victim.hear(A, &facts);
    victim.wait(seconds(2));
    let node = &victim.node;
    let tried = candidates(
        victim.now,
        &node.links[&subject],
        (&node.own_nets(), None),
        &subject,
        &node.store,
        &node.trust,
        &node.probing,
    );
    assert_eq!(
        (tried[0].endpoint.to_string(), tried[0].kind),
        ("20.0.0.200:1".into(), Kind::Reflexive)
    );
    assert!(tried[1..].iter().all(|candidate| candidate.kind == Kind::Rumour));
}

#[test]
fn a_liar_leaves_room_for_what_others_say_of_the_same_peer() {
    let mut victim = Victim::trusting(&[(A, TrustLevel::Endpoint), (HUB, TrustLevel::Membership)]);
    let lies: Vec<Timed> = (0..5 * MAX_SHARE)
        .map(|number| said(HUB, endpoint((number >> 12) as u8, number as u16 | 1), 255))
        .collect();
    victim.hear(A, &lies);
    let prefix = Value::AllowedIp(prefix("10.7.0.0/16"));
    victim.hear(HUB, &[said(HUB, prefix.clone(), 255)]);
    let fact = said(HUB, prefix, 0).fact;
    assert!(
        victim.node.store.get(&fact).is_some(),
        "{:?}",
        victim.node.status(victim.now).rejections
    );
}

#[test]
fn metadata_that_could_not_be_passed_on_is_refused() {
    let mut victim = Victim::trusting(&[(A, TrustLevel::Membership)]);
    let of = |length: usize| Metadata::from_items([(b'x', vec![0; length])]);
    let longest = Metadata::MAX_LEN - 3;
    victim.hear(A, &[said(A, Value::MemberMetadata(of(longest)), 255)]);
    assert_eq!(victim.node.status(victim.now).rejections, []);
    victim.hear(A, &[said(A, Value::MemberMetadata(of(longest + 1)), 255)]);
    assert_eq!(victim.node.status(victim.now).rejections.len(), 1);
}

/// With the operator's own hands off, everybody trusts the hub, and the hub nobody with more than endpoints.
#[test]
fn a_liar_cannot_have_the_hub_say_where_others_are() {
    let mut world = World::new(3);
    for machine in &mut world.machines {
        // Each in a network of its own: neighbours would find each other without the hub.
        let own = machine.host.interfaces[0].addresses[0].addr();
        machine.host.interfaces[0].addresses = vec![own.into()];
    }
    (0..4).filter(|index| *index != A).for_each(|index| world.start(index));
    world.run(seconds(20));
    let mut liar = Auth::new(private(3), AddressHash::Sha1);
    let lies = |index| (1..=40).map(move |host| said(index, endpoint(host, 1), 255));
    let facts: Vec<Timed> = lies(A).chain(lies(B)).collect();
    for group in wire::pack(&facts) {
        let payload = liar.tag(&world.machines[HUB].key, [3; 24], &group).unwrap();
        let source = AddressHash::Sha1.link_local(liar.public_key());
        world.in_flight.push((world.now + HOP, HUB, source, payload));
    }
    world.run(seconds(1));
    world.start(A);
    world.run(seconds(15));
    assert!(world.is_direct());
}

fn probes(epoch: u64, nat: Nat) -> Value {
    let form = ProbeForm::Veiled;
    Value::Probes(Probes { epoch, nat, form })
}

#[test]
fn a_liar_does_not_say_how_others_probe() {
    let mut victim = Victim::trusting(&[(A, TrustLevel::Endpoint), (HUB, TrustLevel::Membership)]);
    let missing = None;
    victim.node.handle(victim.now, Input::Prober { epoch: 9, missing });
    victim.hear(
        HUB,
        &[
            said(STRANGER, Value::Member, 255),
            said(STRANGER, endpoint(9, 1), 255),
            said(STRANGER, probes(7, Nat::EndpointIndependent), 200),
        ],
    );
    victim.wait(seconds(2));
    victim.hear(A, &[said(STRANGER, probes(u64::MAX >> 1, Nat::Blocked), 255)]);
    victim.wait(seconds(2));
    let stranger = private(STRANGER).public_key();
    assert!(
        victim
            .node
            .store
            .get(&said(STRANGER, probes(u64::MAX >> 1, Nat::Blocked), 0).fact)
            .is_some()
    );
    assert_eq!(
        victim.node.announced_probes(&stranger).map(|probes| probes.nat),
        Some(Nat::EndpointIndependent)
    );
    assert!(
        victim.answers(STRANGER, 7),
        "{:?}",
        victim.node.status(victim.now).rejections
    );
}

#[test]
fn who_may_say_how_others_probe_cannot_have_them_refused_for_good() {
    let mut victim = Victim::trusting(&[(A, TrustLevel::AllowedIPs), (HUB, TrustLevel::Membership)]);
    let missing = None;
    victim.node.handle(victim.now, Input::Prober { epoch: 9, missing });
    victim.hear(
        HUB,
        &[said(STRANGER, Value::Member, 255), said(STRANGER, endpoint(9, 1), 255)],
    );
    victim.wait(seconds(2));
    victim.hear(A, &[said(STRANGER, probes(u64::MAX >> 1, Nat::Unknown), 255)]);
    victim.wait(seconds(2));
    assert!(
        victim.answers(STRANGER, 7),
        "{:?}",
        victim.node.status(victim.now).rejections
    );
}

#[test]
fn a_router_says_how_others_probe_even_where_it_is_trusted_no_further_than_any_peer() {
    let mut victim = Victim::trusting(&[(HUB, TrustLevel::Endpoint)]);
    victim.hear(HUB, &[said(A, probes(7, Nat::Unknown), 255)]);
    victim.wait(seconds(2));
    assert!(victim.node.announced_probes(&private(A).public_key()).is_some());
}

#[test]
fn a_liar_does_not_make_another_nat_of_the_one_that_this_node_is_behind() {
    let levels = [
        (A, TrustLevel::Endpoint),
        (HUB, TrustLevel::Membership),
        (STRANGER, TrustLevel::AllowedIPs),
    ];
    let mut victim = Victim::trusting(&levels);
    let sees = |victim: &mut Victim, index: usize, port| {
        let seen = SocketAddr::from(([203, 0, 113, 1], port));
        victim.node.note_seen(victim.now, &private(index).public_key(), seen);
        victim.node.own_nat(victim.now)
    };
    sees(&mut victim, HUB, 5);
    assert_eq!(sees(&mut victim, STRANGER, 5), Nat::EndpointIndependent);
    assert_eq!(sees(&mut victim, A, 666), Nat::EndpointIndependent);
    assert_eq!(sees(&mut victim, STRANGER, 6), Nat::AddressDependent);
}

/// Any user of a member's machine can send from the member's address, from a port of their own.
#[test]
fn unverified_datagrams_do_not_move_the_facts_of_a_peer() {
    let mut world = World::new(1);
    world.start_all();
    world.kept = Some(Vec::new());
    world.run(seconds(30));
    let (now, hub) = (world.now, world.machines[HUB].key);
    let source = world.machines[HUB].node.address();
    let kept = world.kept.take().unwrap();
    let genuine = kept
        .into_iter()
        .find(|(to, from, _)| (*to, *from) == (A, source))
        .unwrap()
        .2;
    let forged = [
        [0].to_vec(),
        [&genuine[..genuine.len() - 1], &[!genuine[genuine.len() - 1]]].concat(),
    ];
    let node = &mut world.machines[A].node;
    let ports = |peer| PortPair { own: 51_821, peer };
    let mut hear = |peer, payload: &[u8]| {
        let ports = ports(peer);
        node.handle(now, Input::Packet { source, ports, payload });
        while node.poll_output().is_some() {}
        node.send_heartbeat(&hub, 7);
        let sent = std::iter::from_fn(|| node.poll_output());
        let told = sent.filter_map(|output| match output {
            Output::Transmit { ports, .. } => Some(ports),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(hear(51_821, &genuine), [Some(ports(51_821))]);
    for payload in &forged {
        assert_eq!(hear(666, payload), [Some(ports(51_821))], "{payload:?}");
    }
    assert_eq!(
        hear(7, &genuine),
        [Some(ports(7))],
        "a port that its own word brings is followed"
    );
}

#[test]
fn echo_that_was_not_asked_for_shows_no_endpoint_of_this_node() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(60));
    let seen = |world: &World| world.machines[A].node.seen.places();
    let before = seen(&world);
    assert!(
        before.contains(&world.machines[A].at),
        "heartbeats were answered: {before:?}"
    );
    let recipient = world.machines[A].key;
    for liar in [HUB, B] {
        let mut auth = Auth::new(private(liar), AddressHash::Sha1);
        let lies: Vec<Timed> = [u32::MAX, 0, 1, 2, 1 << 31]
            .map(|number| said(liar, unasked_echo(number), 0))
            .into();
        for runs in wire::pack_compact(auth.public_key(), &lies) {
            let payload = &auth.tag_compact(&recipient, &runs).unwrap();
            let source = AddressHash::Sha1.link_local(auth.public_key());
            world.machines[A].node.handle(
                world.now,
                Input::Packet {
                    source,
                    ports: PortPair::default(),
                    payload,
                },
            );
        }
    }
    assert_eq!(seen(&world), before);
    assert_eq!(world.machines[A].node.status(world.now).rejections, []);
}

fn unasked_echo(number: u32) -> Value {
    let beat = Heartbeat {
        number,
        version: 0,
        ready: true,
        turns: false,
    };
    Value::Echo(Box::new(Echo {
        beat,
        received: 1,
        at: seconds(1),
        seen: Some(SocketAddr::from(([198, 51, 100, 7], 666))),
    }))
}

#[test]
fn rejections_are_counted_by_sender_and_seldom_logged() {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(30));
    let now = world.now;
    let [hub, own] = [HUB, A].map(|index| world.machines[index].node.address());
    for _ in 0..1000 {
        for source in [hub, own, "fe80::dead".parse().unwrap()] {
            let payload = &[0xd3; 99];
            world.machines[A].node.handle(
                now,
                Input::Packet {
                    source,
                    ports: PortPair::default(),
                    payload,
                },
            );
        }
    }
    world.machines[A].events.clear();
    world.carry_out(A);
    let told = world.machines[A].events.iter();
    let rejected: Vec<_> = told.filter(|event| matches!(event, Event::Rejected { .. })).collect();
    assert_eq!(rejected.len(), 2, "once for the hub, once for strangers: {rejected:?}");
    let totals: Vec<_> = world.machines[A].node.status(now).rejections;
    let of = |key| {
        totals
            .iter()
            .filter(|(sender, ..)| *sender == key)
            .map(|(.., times)| times)
            .sum::<u64>()
    };
    assert_eq!((of(Some(world.machines[HUB].key)), of(None)), (1000, 2000));
}

#[test]
fn what_was_hearsay_is_its_subjects_own_word_once_that_says_it_however_shortly() {
    let mut victim = Victim::trusting(&[(A, TrustLevel::Endpoint), (HUB, TrustLevel::Endpoint)]);
    let subject = private(HUB).public_key();
    victim.hear(A, &[said(HUB, endpoint(7, 1), 255)]);
    let fact = Fact {
        subject,
        value: endpoint(7, 1),
    };
    let origin = |victim: &Victim| victim.node.store.get(&fact).map(|stored| stored.origin);
    assert_eq!(origin(&victim), Some(Origin::Peer(private(A).public_key())));
    victim.hear(HUB, &[said(HUB, endpoint(7, 1), 200)]);
    assert_eq!(origin(&victim), Some(Origin::Peer(subject)), "so it is passed on");
    victim.hear(A, &[said(HUB, endpoint(7, 1), 255)]);
    assert_eq!(origin(&victim), Some(Origin::Peer(subject)));
}
