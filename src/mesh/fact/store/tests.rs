use super::*;
use crate::mesh::fact::FirstHand;

use crate::mesh::fact::value::Value;

const SUBJECT: PublicKey = PublicKey::from_bytes([1; 32]);
const PEER: Origin = Origin::Peer(PublicKey::from_bytes([2; 32]));

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_secs(seconds))
}

fn endpoint(subject: PublicKey, port: u16) -> Fact {
    Fact {
        subject,
        value: Value::Endpoint(([192, 0, 2, 1], port).into()),
    }
}

fn heard(fact: Fact, ttl: u64) -> Accepted {
    Accepted {
        timed: Timed {
            fact,
            ttl: Duration::from_secs(ttl),
        },
        origin: PEER,
    }
}

#[test]
fn the_copy_that_expires_last_wins() {
    let mut store = Store::default();
    let fact = endpoint(SUBJECT, 1);
    let Insertion::New(id) = store.insert(at(0), heard(fact.clone(), 100)) else {
        panic!()
    };
    let own = Accepted::first_hand(fact.clone(), Duration::from_secs(50), FirstHand::Observed);
    assert_eq!(store.insert(at(0), own.clone()), Insertion::Known(id));
    assert_eq!(store.get(&fact).unwrap().origin, PEER);
    assert_eq!(store.insert(at(51), own), Insertion::Renewed(id));
    assert_eq!(
        store.get(&fact).unwrap(),
        &Stored {
            id,
            hash: fact.hash(),
            expires: at(101),
            origin: Origin::Observed
        }
    );
}

#[test]
fn a_fact_is_forgotten_at_its_expiry_and_its_name_is_used_again() {
    let mut store = Store::default();
    let fact = endpoint(SUBJECT, 1);
    store.insert(at(0), heard(endpoint(SUBJECT, 2), 20));
    let first = store.insert(at(0), heard(fact.clone(), 10));
    assert_eq!(store.expire(at(9)), []);
    let expired = store.expire(at(10));
    assert_eq!(expired.iter().map(|(fact, _)| fact).collect::<Vec<_>>(), [&fact]);
    assert_eq!((store.len(), store.next_expiry()), (1, Some(at(20))));
    assert_eq!(store.insert(at(10), heard(endpoint(SUBJECT, 3), 10)), first);
    assert_eq!(store.get(&fact), None);
}

#[test]
fn an_outage_of_many_is_forgotten_in_pieces() {
    let mut store = Store::default();
    for index in 0..=EXPIRED_AT_ONCE as u16 {
        let subject = PublicKey::from_bytes([(index / 512) as u8; 32]);
        store.insert(at(0), heard(endpoint(subject, index), 10));
    }
    assert_eq!(store.expire(at(10)).len(), EXPIRED_AT_ONCE);
    assert_eq!((store.len(), store.next_expiry()), (1, Some(at(10))));
    assert_eq!(store.expire(at(10)).len(), 1);
    assert_eq!(store.next_expiry(), None);
}

#[test]
fn a_renewal_never_shortens_a_life_and_never_revives() {
    let mut store = Store::default();
    let Insertion::New(id) = store.insert(at(0), heard(endpoint(SUBJECT, 1), 10)) else {
        panic!()
    };
    assert!(!store.renew(id, at(10), Origin::Observed));
    assert!(store.renew(id, at(11), Origin::Observed));
    assert_eq!(store.by_id(id).map(|(_, stored)| stored.origin), Some(Origin::Observed));
    store.expire(at(11));
    assert!(!store.renew(id, at(20), PEER));
    assert!(store.is_empty());
}

#[test]
fn what_came_went_or_gained_authority_is_told_once() {
    let mut store = Store::default();
    let fact = endpoint(SUBJECT, 1);
    store.insert(
        at(0),
        Accepted::first_hand(fact.clone(), Duration::from_secs(5), FirstHand::Observed),
    );
    assert_eq!(store.take_changed(), std::slice::from_ref(&fact));
    store.insert(at(1), heard(fact.clone(), 60));
    assert_eq!(store.take_changed(), [], "hearsay that hardly lives longer");
    store.insert(at(1), heard(fact.clone(), 100));
    assert_eq!(store.take_changed(), std::slice::from_ref(&fact));
    store.insert(at(2), heard(fact.clone(), 100));
    assert_eq!(store.take_changed(), [], "a longer life is no change");
    store.expire(at(102));
    assert_eq!(store.take_changed(), [fact]);
}

#[test]
fn what_only_memory_said_is_new_when_somebody_says_it_and_lives_by_that() {
    let mut store = Store::default();
    let fact = endpoint(SUBJECT, 1);
    let life = Duration::from_secs(100);
    let remembered = Accepted::first_hand(fact.clone(), life, FirstHand::Remembered);
    store.insert(at(0), remembered.clone());
    store.take_changed();
    assert!(matches!(
        store.insert(at(1), heard(fact.clone(), 10)),
        Insertion::New(_)
    ));
    assert_eq!(
        store.get(&fact).map(|stored| (stored.origin, stored.expires)),
        Some((PEER, at(11)))
    );
    assert!(matches!(
        store.insert(at(2), heard(fact.clone(), 9)),
        Insertion::Known(_)
    ));
    assert_eq!(store.expire(at(11)).len(), 1);
    store.insert(at(20), remembered);
    let observed = Accepted::first_hand(fact.clone(), life, FirstHand::Observed);
    store.take_changed();
    assert!(matches!(store.insert(at(21), observed), Insertion::New(_)));
    assert_eq!(
        store.take_changed(),
        [fact],
        "it is no reason to change the device any more"
    );
}

#[test]
fn neither_a_liar_nor_a_subject_can_fill_the_store_and_room_comes_back() {
    let mut store = Store::default();
    let mut say = |now: u64, who: u8, subject: PublicKey, port: u16| {
        store.expire(at(now));
        let origin = Origin::Peer(PublicKey::from_bytes([who; 32]));
        let accepted = heard(endpoint(subject, port), 10);
        store.insert(at(now), Accepted { origin, ..accepted })
    };
    for who in 0..4 {
        let mut last = Insertion::Full(Limit::Facts);
        for port in 0..=MAX_SHARE as u16 {
            last = say(0, who, SUBJECT, u16::from(who) << 12 | port);
        }
        assert_eq!(last, Insertion::Full(Limit::Share), "the share of {who}");
    }
    assert_eq!(say(0, 5, SUBJECT, 60000), Insertion::Full(Limit::Subject));
    assert!(matches!(
        say(0, 5, PublicKey::from_bytes([3; 32]), 1),
        Insertion::New(_)
    ));
    assert!(matches!(say(10, 0, SUBJECT, 60000), Insertion::New(_)));
}

#[test]
fn facts_about_a_subject_are_found_without_its_neighbours() {
    let mut store = Store::default();
    for subject in [0, 1, 2] {
        store.insert(at(0), heard(endpoint(PublicKey::from_bytes([subject; 32]), 7), 10));
    }
    store.insert(
        at(0),
        heard(
            Fact {
                subject: SUBJECT,
                value: Value::Member,
            },
            10,
        ),
    );
    assert!(store.about(&SUBJECT).all(|(fact, _)| fact.subject == SUBJECT));
    assert_eq!(store.about(&SUBJECT).count(), 2);
}
