use super::*;
use crate::mesh::believe::fact::FirstHand;

use crate::mesh::believe::fact::value::Value;

const SUBJECT: PublicKey = PublicKey::from_bytes([1; 32]);
const PEER: Source = peer(2, Rank::Trusted);

const fn peer(who: u8, rank: Rank) -> Source {
    let origin = Origin::Peer(PublicKey::from_bytes([who; 32]));
    Source { origin, rank }
}

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
        source: PEER,
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
    assert_eq!(store.get(&fact).unwrap().source(), PEER);
    assert_eq!(store.insert(at(51), own), Insertion::Renewed(id));
    assert_eq!(
        store.get(&fact).unwrap(),
        &Stored {
            id,
            hash: fact.hash(),
            expires: at(101),
            origin: Origin::Observed,
            rank: Rank::Own,
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
    assert!(!store.renew(id, at(10), FirstHand::Observed.into()));
    assert!(store.renew(id, at(11), FirstHand::Observed.into()));
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
        store.get(&fact).map(|stored| (stored.source(), stored.expires)),
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

/// A store, and peers that speak to it without end.
#[derive(Default)]
struct Flood {
    store: Store,
    said: u32,
}

impl Flood {
    fn say(&mut self, source: Source, subject: PublicKey) -> Insertion {
        self.said += 1;
        let value = Value::Endpoint((std::net::Ipv4Addr::from(0x1400_0000 + self.said), 5).into());
        let accepted = heard(Fact { subject, value }, 100);
        let insertion = self.store.insert(at(0), Accepted { source, ..accepted });
        self.store.take_changed();
        insertion
    }

    /// Says so much about each of so many subjects; returns the last outcome.
    fn flood(&mut self, source: Source, subjects: u16, times: usize) -> Insertion {
        let mut last = Insertion::Full(Limit::Facts);
        for number in 0..subjects {
            (0..times).for_each(|_| last = self.say(source, numbered(number)));
        }
        last
    }

    fn held_by(&self, source: Source) -> usize {
        self.store
            .iter()
            .filter(|(_, stored)| stored.source() == source)
            .count()
    }
}

fn numbered(number: u16) -> PublicKey {
    let mut subject = [7; 32];
    subject[..2].copy_from_slice(&number.to_be_bytes());
    PublicKey::from_bytes(subject)
}

#[test]
fn one_subject_has_room_for_all_who_speak_of_it() {
    let mut flood = Flood::default();
    for who in 10..14 {
        let last = flood.flood(peer(who, Rank::Trusted), 1, MAX_SHARE + 1);
        assert_eq!(last, Insertion::Full(Limit::Share), "the share of {who}");
    }
    let last = flood.flood(peer(20, Rank::Trusted), 1, MAX_SHARE);
    assert_eq!(last, Insertion::Full(Limit::Subject));
    let shares = [10, 20].map(|who| flood.held_by(peer(who, Rank::Trusted)));
    assert!(
        shares.iter().all(|share| *share > MAX_PER_SUBJECT / 8),
        "the heaviest gave way: {shares:?}"
    );
    let by_hearsay = flood.say(peer(22, Rank::Hearsay), numbered(0));
    assert_eq!(by_hearsay, Insertion::Full(Limit::Subject));
    assert!(matches!(
        flood.say(peer(21, Rank::Voucher), numbered(0)),
        Insertion::New(_)
    ));
    assert!(matches!(
        flood.say(peer(10, Rank::Trusted), numbered(1)),
        Insertion::New(_)
    ));
    assert!(flood.store.about(&numbered(0)).count() <= MAX_PER_SUBJECT);
}

#[test]
fn hearsay_about_one_subject_is_bounded_and_shared() {
    let mut flood = Flood::default();
    for who in 10..40 {
        let last = flood.flood(peer(who, Rank::Hearsay), 1, MAX_HEARSAY_SHARE + 1);
        assert!(
            matches!(last, Insertion::Full(Limit::Share | Limit::Subject)),
            "{who}: {last:?}"
        );
    }
    assert_eq!(flood.store.about(&numbered(0)).count(), MAX_HEARSAY_PER_SUBJECT);
    let shares = (10..40).map(|who| flood.held_by(peer(who, Rank::Hearsay)));
    let shares: Vec<usize> = shares.collect();
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
    assert!(shares.last() >= Some(&6), "the last one has its part: {shares:?}");
}

#[test]
fn two_of_the_least_trusted_leave_room_for_all_others() {
    let mut flood = Flood::default();
    let liars = [10, 11].map(|who| peer(who, Rank::Hearsay));
    for liar in liars {
        let last = flood.flood(liar, 2000, MAX_HEARSAY_SHARE);
        assert_eq!(last, Insertion::Full(Limit::Untrusted));
    }
    assert_eq!(flood.store.len(), MAX_HEARSAY);
    assert_eq!(liars.map(|liar| flood.held_by(liar)), [MAX_HEARSAY / 2; 2]);
    for (who, rank) in [
        (20, Rank::Hearsay),
        (21, Rank::Itself),
        (22, Rank::Trusted),
        (23, Rank::Voucher),
    ] {
        let said = (0..100).map(|number| flood.say(peer(who, rank), numbered(5000 + number)));
        assert!(
            said.into_iter().all(|said| matches!(said, Insertion::New(_))),
            "{rank:?}"
        );
        assert_eq!(flood.held_by(peer(who, rank)), 100, "{rank:?}");
    }
}

#[test]
fn full_store_takes_in_what_counts_for_more() {
    let mut flood = Flood::default();
    for liar in [10, 11, 12].map(|who| peer(who, Rank::Trusted)) {
        flood.flood(liar, 40, 1000);
    }
    assert_eq!(flood.store.len(), MAX_FACTS);
    let hub = peer(20, Rank::Voucher);
    flood.store.take_evicted();
    assert!(flood.store.has_room(&numbered(900), hub));
    assert!(matches!(flood.say(hub, numbered(900)), Insertion::New(_)));
    let evicted = flood.store.take_evicted();
    assert!(!evicted.is_empty() && evicted.iter().all(|(_, stored)| stored.rank == Rank::Trusted));
    flood.flood(hub, 30, MAX_SHARE);
    assert_eq!(flood.held_by(hub), 1 + 30 * MAX_SHARE, "nobody else made it give way");
    let shares = [10, 11, 12].map(|who| flood.held_by(peer(who, Rank::Trusted)));
    let [least, most] = [shares.iter().min(), shares.iter().max()].map(|share| *share.unwrap());
    assert!(most - least <= 2 * EVICTED_AT_ONCE, "{shares:?}");
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

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(12))]
    #[test]
    fn higher_rank_is_never_refused_for_what_lower_ranks_said(
        steps in proptest::collection::vec((0..8u8, 0..4usize, 0..3u16, 1..400usize), 1..20),
    ) {
        let mut flood = Flood::default();
        for (who, rank, subject, times) in steps {
            let source = peer(10 + who, Rank::OF_OTHERS[rank]);
            for _ in 0..times {
                let had = flood.store.has_room(&numbered(subject), source);
                let said = flood.say(source, numbered(subject));
                proptest::prop_assert_eq!(had, matches!(said, Insertion::New(_)), "{:?}", said);
                let own = flood.store.shares.count(numbered(subject), source);
                let evicted = flood.store.take_evicted();
                proptest::prop_assert!(evicted.iter().all(|(_, stored)| stored.rank <= source.rank));
                if let Insertion::Full(_) = said {
                    // Its own share is used up, or nobody of the same rank or below has more of this subject than it has.
                    let most = if source.rank == Rank::Hearsay { MAX_HEARSAY_SHARE } else { MAX_SHARE };
                    let heavier = flood.store.about(&numbered(subject)).filter(|(_, stored)| stored.rank < source.rank).count();
                    proptest::prop_assert!(own >= most || heavier == 0);
                }
            }
            let stored = flood.store.iter().count();
            proptest::prop_assert_eq!(stored, flood.store.len());
            proptest::prop_assert_eq!(flood.store.holders.up_to((), Rank::Own), stored);
        }
    }
}
