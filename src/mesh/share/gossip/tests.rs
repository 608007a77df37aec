use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng as _;

use super::knowledge::RENEW_BEFORE;
use super::*;
use crate::mesh::base::settings::FACT_TTL;
use crate::mesh::believe::fact::boot::OURS;
use crate::mesh::believe::fact::store::Insertion;
use crate::mesh::believe::fact::value::{Metadata, Value};
use crate::mesh::believe::fact::{Accepted, FirstHand, Rank, Source, Timed};

const OWN: PublicKey = PublicKey::from_bytes([0; 32]);
const A: PublicKey = PublicKey::from_bytes([1; 32]);
const B: PublicKey = PublicKey::from_bytes([2; 32]);

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_start(Duration::from_secs_f64(seconds))
}

fn endpoint(subject: PublicKey, port: u16) -> Fact {
    Fact {
        subject,
        value: Value::Endpoint(([192, 0, 2, 1], port).into()),
    }
}

fn recipient(peer: PublicKey, audience: Audience) -> Recipient {
    Recipient {
        peer,
        audience,
        alive_period: Duration::from_secs(5),
        alive_ttl: Duration::from_secs(15),
    }
}

fn no_hearsay(_: &PublicKey, _: Origin) -> bool {
    false
}

struct World {
    gossip: Gossip,
    store: Store,
    recipients: Vec<Recipient>,
    random: ChaCha20Rng,
}

impl World {
    fn new(audience: Audience) -> Self {
        let mut random = ChaCha20Rng::from_seed([1; 32]);
        let boot_id = BootId::announcing(OURS, &mut random);
        Self {
            gossip: Gossip::new(OWN, boot_id),
            store: Store::default(),
            recipients: vec![recipient(A, audience), recipient(B, audience)],
            random,
        }
    }

    fn know(&mut self, seconds: f64, fact: Fact) -> FactId {
        self.know_for(seconds, fact, FACT_TTL)
    }

    fn know_for(&mut self, seconds: f64, fact: Fact, ttl: Duration) -> FactId {
        match self
            .store
            .insert(at(seconds), Accepted::first_hand(fact, ttl, FirstHand::Observed))
        {
            Insertion::New(id) | Insertion::Renewed(id) | Insertion::Known(id) => id,
            Insertion::Full(limit) => panic!("{limit:?}"),
        }
    }

    /// What each peer is told beside that we live; who is told nothing is left out.
    fn told(&mut self, seconds: f64) -> Vec<(PublicKey, Vec<Fact>)> {
        let told = self
            .gossip
            .due(at(seconds), &self.recipients, &self.store, |_| true, no_hearsay);
        let facts = |timed: Vec<Timed>| -> Vec<Fact> {
            assert_eq!(timed[0].fact.value, Value::Alive(self.gossip.boot_id()));
            timed.into_iter().skip(1).map(|timed| timed.fact).collect()
        };
        told.into_iter().map(|told| (told.peer, facts(told.facts))).collect()
    }
}

#[test]
fn everybody_is_told_once_and_not_about_itself() {
    let mut world = World::new(Audience::AllFacts);
    world.know(0.0, endpoint(OWN, 1));
    world.know(0.0, endpoint(A, 2));
    let name = Fact {
        subject: A,
        value: Value::MemberMetadata(Metadata::new(Some("a"), false)),
    };
    world.know(0.0, name.clone());
    assert_eq!(
        world.told(0.0),
        [
            (A, vec![endpoint(OWN, 1), name.clone()]),
            (B, vec![endpoint(OWN, 1), endpoint(A, 2), name]),
        ]
    );
    assert_eq!(world.told(0.1), []);
}

#[test]
fn who_was_told_a_fact_or_said_it_knows_it_until_it_forgets() {
    let mut world = World::new(Audience::AllFacts);
    let id = world.know(0.0, endpoint(A, 2));
    let knowers = |world: &World, seconds| world.gossip.knowers(at(seconds), id).copied().collect::<Vec<_>>();
    assert_eq!(knowers(&world, 0.0), []);
    world.told(0.0);
    assert_eq!(knowers(&world, 0.1), [B]);
    let (_, stored) = world.store.by_id(id).unwrap();
    world.gossip.heard_fact(at(1.0), &A, stored, at(60.0), None);
    assert_eq!(knowers(&world, 1.0), [A, B]);
    assert_eq!(knowers(&world, 100.0), [B]);
    assert_eq!(knowers(&world, 1000.0), []);
}

#[test]
fn who_is_told_only_that_we_live_is_told_no_more() {
    let mut world = World::new(Audience::AliveOnly);
    world.know(0.0, endpoint(OWN, 1));
    assert_eq!(world.told(0.0), [(A, vec![]), (B, vec![])]);
    assert_eq!(world.told(4.4), []);
    assert_eq!(world.told(4.6), [(A, vec![]), (B, vec![])]);
}

#[test]
fn news_goes_to_all_but_its_sender_at_once() {
    let mut world = World::new(Audience::AllFacts);
    world.told(0.0);
    let id = world.know(1.0, endpoint(OWN, 7));
    let (_, stored) = world.store.by_id(id).unwrap();
    world.gossip.heard_fact(at(1.0), &A, stored, at(256.0), None);
    world.gossip.add_news(endpoint(OWN, 7));
    assert_eq!(world.told(1.0), [(B, vec![endpoint(OWN, 7)])]);
}

#[test]
fn a_fact_is_renewed_before_the_peer_forgets_it_and_only_if_ours_lives_longer() {
    let mut world = World::new(Audience::AllFacts);
    world.know(0.0, endpoint(OWN, 1));
    world.know(0.0, endpoint(B, 2));
    world.told(0.0);
    let due = 255.0 - RENEW_BEFORE.as_secs_f64();
    for step in 1..=24 {
        world.know(f64::from(step) * 5.0, endpoint(OWN, 1));
        let told = world.told(f64::from(step) * 5.0);
        assert!(
            told.iter().all(|(_, facts)| facts.is_empty()),
            "at {} s: {told:?}",
            step * 5
        );
    }
    world.know(due, endpoint(OWN, 1));
    let next = world.gossip.next(&world.recipients).unwrap();
    assert!(next <= at(due), "{next:?}");
    let told = world.told(due);
    assert_eq!(told, [(A, vec![endpoint(OWN, 1)]), (B, vec![endpoint(OWN, 1)])]);
}

#[test]
fn a_new_boot_id_makes_a_peer_hear_everything_again() {
    let mut world = World::new(Audience::AllFacts);
    world.know(0.0, endpoint(OWN, 1));
    world.told(0.0);
    let boot_id = BootId::announcing(OURS, &mut world.random);
    assert!(world.gossip.heard_boot_id(at(0.1), &A, boot_id));
    assert_eq!(world.told(0.1), [(A, vec![endpoint(OWN, 1)])]);
    assert!(!world.gossip.heard_boot_id(at(0.2), &A, boot_id));
    assert_eq!(world.told(0.2), []);
}

#[test]
fn a_peer_that_always_forgets_is_told_everything_every_5_seconds_at_most() {
    let mut world = World::new(Audience::AllFacts);
    world.know_for(0.0, endpoint(OWN, 1), Duration::from_secs(1000));
    let mut times = 0;
    for step in 0..600 {
        let boot_id = BootId::announcing(OURS, &mut world.random);
        let now = f64::from(step) / 20.0;
        world.gossip.heard_boot_id(at(now), &A, boot_id);
        times += world
            .told(now)
            .iter()
            .filter(|(peer, facts)| *peer == A && !facts.is_empty())
            .count();
    }
    assert_eq!(times, 6);
}

#[test]
fn a_peer_that_waits_is_answered_but_not_more_than_once_a_second() {
    let mut world = World::new(Audience::AliveOnly);
    world.told(0.0);
    for (seconds, answers) in [(0.1, 1), (0.9, 0), (1.1, 1)] {
        world.gossip.answer(at(seconds), &A);
        assert_eq!(world.told(seconds).len(), answers, "at {seconds} s");
    }
}

#[test]
fn our_own_new_boot_id_is_told_at_once() {
    let mut world = World::new(Audience::AliveOnly);
    world.told(0.0);
    let boot_id = BootId::announcing(OURS, &mut world.random);
    world.gossip.resync(boot_id);
    assert_eq!(world.told(0.1), [(A, vec![]), (B, vec![])]);
}

#[test]
fn facts_about_absent_peers_are_not_passed_on() {
    let mut world = World::new(Audience::AllFacts);
    world.know(0.0, endpoint(B, 1));
    let told = world.gossip.due(
        at(0.0),
        &world.recipients,
        &world.store,
        |subject| *subject != B,
        no_hearsay,
    );
    assert!(told.iter().all(|told| told.facts.len() == 1), "{told:?}");
}

#[test]
fn a_newcomer_in_a_large_network_is_told_everything_in_bounded_pieces() {
    let mut world = World::new(Audience::AllFacts);
    world.recipients.truncate(1);
    for port in 1..=5000 {
        world.know(0.0, endpoint(B, port));
    }
    let mut heard = 0;
    let mut now = at(0.0);
    for _ in 0..10 {
        for told in world
            .gossip
            .due(now, &world.recipients, &world.store, |_| true, no_hearsay)
        {
            let facts = told.facts;
            let bytes: usize = crate::mesh::believe::fact::wire::pack(&facts)
                .iter()
                .map(Vec::len)
                .sum();
            assert!(bytes <= BURST + 100);
            heard += facts.len() - 1;
        }
        now = world.gossip.next(&world.recipients).unwrap();
    }
    assert_eq!(heard, 5000);
    assert!(now <= at(60.0));
}

#[test]
fn many_peers_are_told_a_piece_of_news_in_bounded_groups_and_each_of_them_once() {
    let mut world = World::new(Audience::AllFacts);
    let peers = (1..=200).map(|number| PublicKey::from_bytes([number; 32]));
    world.recipients = peers.map(|peer| recipient(peer, Audience::AllFacts)).collect();
    for time in [0.0, 1.0] {
        world.know(time, endpoint(OWN, time as u16 + 1));
        world.gossip.add_news(endpoint(OWN, time as u16 + 1));
        let mut heard = BTreeSet::new();
        let mut goes = 0;
        while goes == 0 || world.gossip.next(&world.recipients) <= Some(at(time)) {
            let told = world.told(time);
            assert!(told.len() <= TOLD_AT_ONCE);
            for (peer, facts) in told {
                assert_eq!((facts.len(), heard.insert(peer)), (1, true), "{peer}");
            }
            goes += 1;
        }
        assert_eq!((heard.len(), goes), (200, 200_usize.div_ceil(TOLD_AT_ONCE)));
    }
}

#[test]
fn what_did_not_fit_comes_before_what_is_known_since() {
    let mut world = World::new(Audience::AllFacts);
    let subjects = (3..=252).map(|number| PublicKey::from_bytes([number; 32]));
    subjects.for_each(|subject| (1..=16).for_each(|port| _ = world.know(0.0, endpoint(subject, port))));
    let mut heard: Vec<(PublicKey, Fact)> = Vec::new();
    let mut now = at(0.0);
    for _ in 0..10 {
        let told = world
            .gossip
            .due(now, &world.recipients, &world.store, |_| true, no_hearsay);
        let facts = told
            .into_iter()
            .flat_map(|told| told.facts.into_iter().map(move |timed| (told.peer, timed.fact)));
        heard.extend(facts.filter(|(_, fact)| fact.subject != OWN));
        if world.gossip.next(&world.recipients) > Some(at(1.0)) {
            break;
        }
        world.know(0.1, endpoint(B, 1));
        now = now + PACE;
    }
    let told_a: Vec<_> = heard.iter().filter(|(to, _)| *to == A).map(|(_, fact)| fact).collect();
    assert_eq!(told_a.len(), 250 * 16 + 1);
    assert!(
        told_a[..250 * 16].is_sorted(),
        "each go takes up where the last one ended"
    );
    assert_eq!(*told_a[250 * 16], endpoint(B, 1));
}

#[test]
fn who_is_told_all_facts_follows_the_table_of_v1() {
    let plain = Standing {
        basic: false,
        trusted: false,
        router: false,
        fact_exchanger: false,
        healthy: false,
    };
    let told = |peer: Standing, talkative| Audience::of(&peer, talkative) == Audience::AllFacts;
    assert!(
        !told(plain, false) && !told(plain, true),
        "without a session nobody talks at random"
    );
    assert!(told(Standing { trusted: true, ..plain }, false));
    assert!(told(Standing { router: true, ..plain }, false));
    assert!(told(
        Standing {
            fact_exchanger: true,
            ..plain
        },
        false
    ));
    assert!(told(Standing { healthy: true, ..plain }, true) && !told(Standing { healthy: true, ..plain }, false));
    assert!(
        !told(
            Standing {
                basic: true,
                router: true,
                healthy: true,
                ..plain
            },
            true
        ),
        "it could not listen"
    );
}

#[test]
fn hearsay_is_not_passed_on() {
    let mut world = World::new(Audience::AllFacts);
    world.know(0.0, endpoint(A, 1));
    let by_hearsay = |_: &PublicKey, _: Origin| true;
    let timed = Timed {
        fact: endpoint(OWN, 2),
        ttl: FACT_TTL,
    };
    let source = Source {
        origin: Origin::Peer(A),
        rank: Rank::Hearsay,
    };
    let heard = Accepted::unjudged(timed, source);
    world.store.insert(at(0.0), heard);
    let told = world
        .gossip
        .due(at(0.0), &world.recipients[1..], &world.store, |_| true, by_hearsay);
    let said: Vec<&Fact> = told[0].facts.iter().skip(1).map(|timed| &timed.fact).collect();
    assert_eq!(said, [&endpoint(A, 1)]);
}

/// A datagram has room for 200 withdrawals, each of which costs a look at all that its sender said.
#[test]
fn a_peer_can_have_only_so_much_looked_at_in_a_second() {
    let mut world = World::new(Audience::AllFacts);
    let ours = BootId::announcing(OURS, &mut world.random);
    world.gossip.heard_boot_id(at(0.0), &A, ours);
    let mut said = Vec::new();
    for port in 0..1000 {
        let id = world.know(0.0, endpoint(B, port));
        let (_, stored) = world.store.by_id(id).unwrap();
        world.gossip.heard_fact(at(0.0), &A, stored, at(255.0), None);
        said.push(stored.hash);
    }
    let holds = |world: &World| {
        world.gossip.peers[&A]
            .exchange
            .as_ref()
            .unwrap()
            .heard
            .facts()
            .iter()
            .count()
    };
    assert_eq!(holds(&world), 1000);
    for _ in 0..100_000 {
        world.gossip.heard_reset(at(1.0), &A, 0, &world.store);
    }
    world.gossip.heard_withdrawn(at(1.5), &A, &said, &world.store);
    assert_eq!(holds(&world), 1000, "too much for this second");
    world.gossip.heard_withdrawn(at(2.0), &A, &said, &world.store);
    assert_eq!(holds(&world), 0);
}
