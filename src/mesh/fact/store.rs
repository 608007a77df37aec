//! What this node believes: the best copy of each fact, until it expires.

use std::collections::BTreeMap;
use std::time::Duration;

use super::value::FactHash;
use super::{Accepted, Fact, Origin, Timed};
use crate::mesh::identity::PublicKey;
use crate::mesh::settings::FACT_TTL;
use crate::mesh::time::Timestamp;

/// The most facts that are kept: 1000 peers with 64 each.
pub const MAX_FACTS: usize = 65_536;
/// The most facts about one subject.
pub const MAX_PER_SUBJECT: usize = 4096;
/// The most of them that one other node says, so that a liar leaves room for what others say of the same subject.
pub const MAX_SHARE: usize = 1024;
/// The most facts that one other node, or memory, can hold in the store as their best source.
pub const MAX_PER_ORIGIN: usize = 32_768;
/// The most facts that are forgotten in one go: each must be struck from what a thousand peers know.
pub const EXPIRED_AT_ONCE: usize = 512;

/// Names a stored fact for as long as it is stored, and another one after that: small numbers, for sets of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FactId(u32);

impl FactId {
    /// Returns the number, less than [`MAX_FACTS`] and what this node itself says together.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the name with this number.
    pub const fn from_index(index: usize) -> Self {
        Self(index as u32)
    }
}

/// A fact with its age and source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name in this store.
    pub id: FactId,
    /// Its hash in digests.
    pub hash: FactHash,
    /// When it is forgotten unless it is renewed.
    pub expires: Timestamp,
    /// Who said the copy that lives longest.
    pub origin: Origin,
}

/// What came of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It was not known, or by memory only.
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
    /// [`MAX_SHARE`].
    #[error("at most {MAX_SHARE} about one peer from one other")]
    Share,
    /// [`MAX_PER_ORIGIN`].
    #[error("at most {MAX_PER_ORIGIN} from one peer")]
    Origin,
}

/// The facts that this node believes, by subject and value.
#[derive(Debug, Default)]
pub struct Store {
    entries: Vec<Option<(Fact, Stored)>>,
    free: Vec<FactId>,
    /// The facts about each subject, by value.
    subjects: BTreeMap<PublicKey, Vec<FactId>>,
    per_origin: BTreeMap<Origin, usize>,
    /// How many facts about each subject have which origin.
    shares: BTreeMap<(PublicKey, Origin), usize>,
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
        match self.find(&fact) {
            Ok(id) if self.is_only_remembered(id) && origin != Origin::Remembered => {
                self.supersede(id, expires, origin);
                Insertion::New(id)
            }
            Ok(id) if self.renew(id, expires, origin) => Insertion::Renewed(id),
            Ok(id) => Insertion::Known(id),
            Err(place) => match self.limit(&fact.subject, origin) {
                Some(limit) => Insertion::Full(limit),
                None => Insertion::New(self.add(place, fact, expires, origin)),
            },
        }
    }

    fn is_only_remembered(&self, id: FactId) -> bool {
        self.by_id(id)
            .is_some_and(|(_, stored)| stored.origin == Origin::Remembered)
    }

    /// Lets a fact that nobody is told live no longer by memory, or hearsay, but by the word of `origin`, however long that is.
    pub fn supersede(&mut self, id: FactId, expires: Timestamp, origin: Origin) {
        if let Some((_, stored)) = self.entries.get_mut(id.index()).and_then(Option::as_mut) {
            stored.expires = Timestamp::START;
            self.earliest = self.earliest.map(|earliest| earliest.min(expires));
            self.renew(id, expires, origin);
        }
    }

    /// Lets a fact live until `expires` by the word of `origin`; returns whether it lives longer by that.
    pub fn renew(&mut self, id: FactId, expires: Timestamp, origin: Origin) -> bool {
        let Some((fact, stored)) = self.entries.get_mut(id.index()).and_then(Option::as_mut) else {
            return false;
        };
        if expires <= stored.expires + head_start(stored.origin, origin) {
            return false;
        }
        stored.expires = expires;
        let before = std::mem::replace(&mut stored.origin, origin);
        if before != origin {
            let subject = fact.subject;
            if before.is_authority() != origin.is_authority() {
                self.changed.push(fact.clone());
            }
            self.count_out(subject, before);
            self.count_in(subject, origin);
        }
        true
    }

    /// Returns the fact's name, or where among those about its subject it belongs.
    fn find(&self, fact: &Fact) -> Result<FactId, usize> {
        let about = self.subjects.get(&fact.subject).map_or(&[][..], Vec::as_slice);
        let place = about.binary_search_by(|id| self.fact(*id).value.cmp(&fact.value));
        place.map(|place| about[place])
    }

    fn fact(&self, id: FactId) -> &Fact {
        let (fact, _) = self.by_id(id).expect("subjects name stored facts only");
        fact
    }

    fn add(&mut self, place: usize, fact: Fact, expires: Timestamp, origin: Origin) -> FactId {
        let id = self.free.pop().unwrap_or(FactId::from_index(self.entries.len()));
        self.subjects.entry(fact.subject).or_default().insert(place, id);
        self.count_in(fact.subject, origin);
        self.earliest = Some(self.earliest.map_or(expires, |earliest| earliest.min(expires)));
        self.changed.push(fact.clone());
        let stored = Stored {
            id,
            hash: fact.hash(),
            expires,
            origin,
        };
        if id.index() == self.entries.len() {
            if self.entries.len() == self.entries.capacity() {
                // Not twice as much, as it would by itself: this is most of what a node needs.
                self.entries.reserve_exact(self.entries.len() / 8 + 16);
            }
            self.entries.push(None);
        }
        self.entries[id.index()] = Some((fact, stored));
        id
    }

    /// What this node itself knows is never turned away for room: its own machine bounds it.
    fn limit(&self, subject: &PublicKey, origin: Origin) -> Option<Limit> {
        match origin {
            Origin::Observed | Origin::Configured => return None,
            Origin::Peer(_) | Origin::Remembered => {}
        }
        let count = |counts: Option<&usize>| counts.copied().unwrap_or_default();
        if self.len() >= MAX_FACTS {
            Some(Limit::Facts)
        } else if count(self.per_origin.get(&origin)) >= MAX_PER_ORIGIN {
            Some(Limit::Origin)
        } else {
            let about = self.subjects.get(subject).map_or(0, Vec::len);
            let is_share_used = about >= MAX_SHARE && count(self.shares.get(&(*subject, origin))) >= MAX_SHARE;
            let limit = is_share_used.then_some(Limit::Share);
            limit.or_else(|| (about >= MAX_PER_SUBJECT).then_some(Limit::Subject))
        }
    }

    fn count_in(&mut self, subject: PublicKey, origin: Origin) {
        *self.per_origin.entry(origin).or_default() += 1;
        *self.shares.entry((subject, origin)).or_default() += 1;
    }

    fn count_out(&mut self, subject: PublicKey, origin: Origin) {
        decrement(&mut self.per_origin, &origin);
        decrement(&mut self.shares, &(subject, origin));
    }

    /// Forgets what has expired and returns it; at most [`EXPIRED_AT_ONCE`], so that an outage of many costs no long pause. The
    /// rest is due at once.
    pub fn expire(&mut self, now: Timestamp) -> Vec<(Fact, Stored)> {
        if self.earliest.is_none_or(|earliest| now < earliest) {
            return Vec::new();
        }
        let is_due = |entry: &mut Option<(Fact, Stored)>| entry.take_if(|(_, stored)| stored.expires <= now);
        let due = self.entries.iter_mut().filter_map(is_due);
        let expired: Vec<(Fact, Stored)> = due.take(EXPIRED_AT_ONCE).collect();
        for (fact, stored) in &expired {
            self.free.push(stored.id);
            self.count_out(fact.subject, stored.origin);
            if let Some(about) = self.subjects.get_mut(&fact.subject) {
                about.retain(|id| *id != stored.id);
                if about.is_empty() {
                    self.subjects.remove(&fact.subject);
                }
            }
        }
        self.changed.extend(expired.iter().map(|(fact, _)| fact.clone()));
        self.earliest = self.entries.iter().flatten().map(|(_, stored)| stored.expires).min();
        expired
    }

    /// Has those facts expire now that do not hold any more.
    pub fn doom(&mut self, now: Timestamp, is_over: impl Fn(&Fact, Origin) -> bool) {
        let entries = self.entries.iter_mut().flatten();
        for (_, stored) in entries.filter(|(fact, stored)| is_over(fact, stored.origin)) {
            stored.expires = stored.expires.min(now);
            self.earliest = self.earliest.map(|earliest| earliest.min(now));
        }
    }

    /// Returns a moment before which nothing expires.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.earliest
    }

    /// Returns all facts, ordered by subject and value.
    pub fn iter(&self) -> impl Iterator<Item = (&Fact, &Stored)> {
        self.subjects.values().flatten().filter_map(|id| self.by_id(*id))
    }

    /// Returns the facts behind `last` in the order of [`iter`](Self::iter), whether that is still stored or not; all, where it is none.
    pub fn after<'a>(&'a self, last: Option<&Fact>) -> impl Iterator<Item = (&'a Fact, &'a Stored)> + use<'a> {
        let subjects = match last {
            None => self.subjects.range(..),
            Some(last) => self.subjects.range(last.subject..),
        };
        let done = last.and_then(|last| {
            let about = self.subjects.get(&last.subject)?;
            Some(about.partition_point(|id| self.fact(*id).value <= last.value))
        });
        let behind = subjects.flat_map(|(_, about)| about).skip(done.unwrap_or_default());
        behind.filter_map(|id| self.by_id(*id))
    }

    /// Returns the facts about one subject.
    pub fn about<'a>(&'a self, subject: &PublicKey) -> impl Iterator<Item = (&'a Fact, &'a Stored)> + use<'a> {
        let about = self.subjects.get(subject).into_iter().flatten();
        about.filter_map(|id| self.by_id(*id))
    }

    /// Returns a fact by its identity.
    pub fn get(&self, fact: &Fact) -> Option<&Stored> {
        self.entry(fact).map(|(_, stored)| stored)
    }

    /// Returns a fact with what is stored of it.
    pub fn entry(&self, fact: &Fact) -> Option<(&Fact, &Stored)> {
        self.find(fact).ok().and_then(|id| self.by_id(id))
    }

    /// Returns a fact by its name.
    pub fn by_id(&self, id: FactId) -> Option<(&Fact, &Stored)> {
        let entry = self.entries.get(id.index())?.as_ref();
        entry.map(|(fact, stored)| (fact, stored))
    }

    /// Returns how many facts are stored.
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Returns whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Returns how much longer the word of `new` must let a fact live than that of `old` to count instead: what this node sees itself it
/// sees again soon, and hearsay need not take its place in between.
fn head_start(old: Origin, new: Origin) -> Duration {
    match (old, new) {
        (Origin::Observed | Origin::Configured, Origin::Peer(_)) => FACT_TTL / 4,
        (Origin::Peer(_) | Origin::Remembered, _) | (_, Origin::Observed | Origin::Configured | Origin::Remembered) => {
            Duration::ZERO
        }
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
mod tests;
