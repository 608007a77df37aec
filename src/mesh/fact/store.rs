//! What this node believes: the best copy of each fact, until it expires.

use std::collections::BTreeMap;

use super::value::Value;
use super::{Accepted, Fact, Origin, Timed};
use crate::mesh::identity::PublicKey;
use crate::mesh::time::Timestamp;

/// The most facts that are kept: 1000 peers with 64 each.
pub const MAX_FACTS: usize = 65_536;
/// The most facts about one subject, so that no peer can fill the store.
pub const MAX_PER_SUBJECT: usize = 1024;
/// The most facts that one other node can hold in the store as their best source.
pub const MAX_PER_ORIGIN: usize = 32_768;

/// Names a stored fact for as long as it is stored; never used again after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FactId(u64);

/// A fact with its age and source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name in this store.
    pub id: FactId,
    /// When it is forgotten unless it is renewed.
    pub expires: Timestamp,
    /// Who said the copy that lives longest.
    pub origin: Origin,
}

/// What came of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It was not known.
    New(FactId),
    /// It was known, and lives longer now.
    Renewed(FactId),
    /// It was known, and lives as long or longer already.
    Known(FactId),
    /// There is no room for it.
    Full(Limit),
}

/// Which room was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Limit {
    /// [`MAX_FACTS`].
    #[error("at most {MAX_FACTS} in all")]
    Facts,
    /// [`MAX_PER_SUBJECT`].
    #[error("at most {MAX_PER_SUBJECT} about one peer")]
    Subject,
    /// [`MAX_PER_ORIGIN`].
    #[error("at most {MAX_PER_ORIGIN} from one peer")]
    Origin,
}

/// The facts that this node believes, by subject and value.
#[derive(Debug, Default)]
pub struct Store {
    facts: BTreeMap<Fact, Stored>,
    per_subject: BTreeMap<PublicKey, usize>,
    per_origin: BTreeMap<Origin, usize>,
    last_id: u64,
    /// No fact expires before it; some may later.
    earliest: Option<Timestamp>,
    /// Facts that became known or forgotten, or have an origin of another kind, since they were last asked for.
    changed: Vec<Fact>,
}

impl Store {
    /// Returns the facts about which it may be different now whether they are believed, and by what authority.
    pub fn take_changed(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.changed)
    }

    /// Takes a fact in; of several copies the one that expires last counts.
    pub fn insert(&mut self, now: Timestamp, accepted: Accepted) -> Insertion {
        let Accepted {
            timed: Timed { fact, ttl },
            origin,
        } = accepted;
        let expires = now + ttl;
        if let Some(stored) = self.facts.get_mut(&fact) {
            if expires <= stored.expires {
                return Insertion::Known(stored.id);
            }
            stored.expires = expires;
            if origin != stored.origin {
                decrement(&mut self.per_origin, &stored.origin);
                *self.per_origin.entry(origin).or_default() += 1;
                if origin.is_authority() != stored.origin.is_authority() {
                    self.changed.push(fact);
                }
                stored.origin = origin;
            }
            return Insertion::Renewed(stored.id);
        }
        match self.limit(&fact.subject, origin) {
            Some(limit) => Insertion::Full(limit),
            None => Insertion::New(self.add(fact, expires, origin)),
        }
    }

    fn add(&mut self, fact: Fact, expires: Timestamp, origin: Origin) -> FactId {
        self.last_id += 1;
        let id = FactId(self.last_id);
        *self.per_subject.entry(fact.subject).or_default() += 1;
        *self.per_origin.entry(origin).or_default() += 1;
        self.earliest = Some(self.earliest.map_or(expires, |earliest| earliest.min(expires)));
        self.changed.push(fact.clone());
        self.facts.insert(fact, Stored { id, expires, origin });
        id
    }

    /// What this node itself knows is never turned away for room: its own machine bounds it.
    fn limit(&self, subject: &PublicKey, origin: Origin) -> Option<Limit> {
        let Origin::Peer(_) = origin else { return None };
        if self.facts.len() >= MAX_FACTS {
            return Some(Limit::Facts);
        }
        if self
            .per_origin
            .get(&origin)
            .is_some_and(|count| *count >= MAX_PER_ORIGIN)
        {
            return Some(Limit::Origin);
        }
        self.per_subject
            .get(subject)
            .is_some_and(|count| *count >= MAX_PER_SUBJECT)
            .then_some(Limit::Subject)
    }

    /// Forgets what has expired and returns it.
    pub fn expire(&mut self, now: Timestamp) -> Vec<Fact> {
        if self.earliest.is_none_or(|earliest| now < earliest) {
            return Vec::new();
        }
        let expired: Vec<Fact> = self
            .facts
            .extract_if(.., |_, stored| stored.expires <= now)
            .map(|(fact, stored)| {
                decrement(&mut self.per_origin, &stored.origin);
                decrement(&mut self.per_subject, &fact.subject);
                fact
            })
            .collect();
        self.changed.extend_from_slice(&expired);
        self.earliest = self.facts.values().map(|stored| stored.expires).min();
        expired
    }

    /// Returns a moment before which nothing expires.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.earliest
    }

    /// Returns all facts, ordered by subject.
    pub fn iter(&self) -> impl Iterator<Item = (&Fact, &Stored)> {
        self.facts.iter()
    }

    /// Returns the facts about one subject.
    pub fn about<'a>(&'a self, subject: &'a PublicKey) -> impl Iterator<Item = (&'a Fact, &'a Stored)> {
        let first = Fact {
            subject: *subject,
            value: Value::FIRST,
        };
        self.facts
            .range(first..)
            .take_while(move |(fact, _)| fact.subject == *subject)
    }

    /// Returns a fact by its identity.
    pub fn get(&self, fact: &Fact) -> Option<&Stored> {
        self.facts.get(fact)
    }

    /// Returns a fact with what is stored of it.
    pub fn entry(&self, fact: &Fact) -> Option<(&Fact, &Stored)> {
        self.facts.get_key_value(fact)
    }

    /// Returns how many facts are stored.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Returns whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }
}

fn decrement<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::mesh::fact::FirstHand;

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
                expires: at(101),
                origin: Origin::Observed
            }
        );
    }

    #[test]
    fn a_fact_is_forgotten_at_its_expiry_and_named_anew_after_it() {
        let mut store = Store::default();
        let fact = endpoint(SUBJECT, 1);
        let first = store.insert(at(0), heard(fact.clone(), 10));
        assert_eq!(store.expire(at(9)), []);
        assert_eq!(store.expire(at(10)), std::slice::from_ref(&fact));
        assert!(store.is_empty() && store.next_expiry().is_none());
        assert_ne!(store.insert(at(10), heard(fact, 10)), first);
    }

    #[test]
    fn one_subject_cannot_fill_the_store_and_room_comes_back() {
        let mut store = Store::default();
        for port in 0..MAX_PER_SUBJECT as u16 {
            store.insert(at(0), heard(endpoint(SUBJECT, port), 10));
        }
        assert_eq!(
            store.insert(at(0), heard(endpoint(SUBJECT, 60000), 10)),
            Insertion::Full(Limit::Subject)
        );
        let other = PublicKey::from_bytes([3; 32]);
        assert!(matches!(
            store.insert(at(0), heard(endpoint(other, 1), 10)),
            Insertion::New(_)
        ));
        store.expire(at(10));
        assert!(matches!(
            store.insert(at(10), heard(endpoint(SUBJECT, 60000), 10)),
            Insertion::New(_)
        ));
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
}
