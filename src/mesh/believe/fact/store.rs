//! What this node believes: the best copy of each fact, until it expires, or gives way to one that counts for more (`holders`).

use std::collections::BTreeMap;
use std::time::Duration;

use super::holders::{Holders, Victim};
use super::value::FactHash;
use super::{Accepted, Fact, Origin, Rank, Source, Timed};
use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::settings::FACT_TTL;
use crate::mesh::base::time::Timestamp;

/// The most facts that are kept: 1000 peers with 64 each.
pub const MAX_FACTS: usize = 65_536;
/// The most of them that are hearsay, and that are the word of the least trusted about others and about themselves. The rest is for
/// those who count for more.
pub const MAX_HEARSAY: usize = MAX_FACTS / 4;
/// See [`MAX_HEARSAY`].
pub const MAX_UNTRUSTED: usize = MAX_FACTS / 2;
/// The most facts about one subject.
pub const MAX_PER_SUBJECT: usize = 4096;
/// The most of them that one other node says, so that a liar leaves room for what others say of the same subject.
pub const MAX_SHARE: usize = 1024;
/// The most hearsay about one subject, and of one other node: no more than four places are tried by hearsay.
pub const MAX_HEARSAY_PER_SUBJECT: usize = 256;
/// See [`MAX_HEARSAY_PER_SUBJECT`].
pub const MAX_HEARSAY_SHARE: usize = 16;
/// The most facts that one other node, or memory, can hold in the store as their best source.
pub const MAX_PER_ORIGIN: usize = 32_768;
/// The most facts that are forgotten in one go: each must be struck from what a thousand peers know.
pub const EXPIRED_AT_ONCE: usize = 512;
/// The most facts that give way in one go. Who gives way is looked for among all facts: one look makes room for many.
const EVICTED_AT_ONCE: usize = 256;
/// The same where there is no room for more about one subject.
const EVICTED_ABOUT_ONE: usize = 16;

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
    /// How far that word goes.
    pub rank: Rank,
}

impl Stored {
    fn source(&self) -> Source {
        Source {
            origin: self.origin,
            rank: self.rank,
        }
    }
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
    /// [`MAX_HEARSAY`] or [`MAX_UNTRUSTED`].
    #[error("at most {MAX_UNTRUSTED} from peers without AllowedIPs trust, {MAX_HEARSAY} of them about others")]
    Untrusted,
    /// [`MAX_PER_SUBJECT`], or [`MAX_HEARSAY_PER_SUBJECT`].
    #[error("at most {MAX_PER_SUBJECT} about one peer, {MAX_HEARSAY_PER_SUBJECT} of them hearsay")]
    Subject,
    /// [`MAX_SHARE`], or [`MAX_HEARSAY_SHARE`].
    #[error("at most {MAX_SHARE} about one peer from one other, {MAX_HEARSAY_SHARE} of hearsay")]
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
    /// How many facts in all are whose.
    holders: Holders<()>,
    /// How many about each subject are.
    shares: Holders<PublicKey>,
    /// No fact expires before it; some may later.
    earliest: Option<Timestamp>,
    /// Facts that became known or forgotten, or have an origin of another kind, since they were last asked for.
    changed: Vec<Fact>,
    /// Facts that gave way to others since they were last asked for.
    evicted: Vec<(Fact, Stored)>,
}

impl Store {
    /// Returns the facts that gave way to others, until the next time: their names may be given to others.
    pub fn take_evicted(&mut self) -> Vec<(Fact, Stored)> {
        std::mem::take(&mut self.evicted)
    }

    /// Returns the facts about which it may be different now whether they are believed, and by what authority.
    pub fn take_changed(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.changed)
    }

    /// Takes a fact in; of several copies the one that expires last counts.
    pub fn insert(&mut self, now: Timestamp, accepted: Accepted) -> Insertion {
        let Accepted {
            timed: Timed { fact, ttl },
            source,
        } = accepted;
        let expires = now + ttl;
        match self.find(&fact) {
            Ok(id) if self.is_only_remembered(id) && source.origin != Origin::Remembered => {
                self.supersede(id, expires, source);
                Insertion::New(id)
            }
            Ok(id) if self.renew(id, expires, source) => Insertion::Renewed(id),
            Ok(id) => Insertion::Known(id),
            Err(_) => match self.make_room(&fact.subject, source) {
                Err(limit) => Insertion::Full(limit),
                Ok(()) => Insertion::New(self.add(fact, expires, source)),
            },
        }
    }

    fn is_only_remembered(&self, id: FactId) -> bool {
        self.by_id(id)
            .is_some_and(|(_, stored)| stored.origin == Origin::Remembered)
    }

    /// Lets a fact that nobody is told live no longer by memory, or hearsay, but by the word of `source`, however long that is.
    pub fn supersede(&mut self, id: FactId, expires: Timestamp, source: Source) {
        if let Some((_, stored)) = self.entries.get_mut(id.index()).and_then(Option::as_mut) {
            stored.expires = Timestamp::START;
            self.earliest = self.earliest.map(|earliest| earliest.min(expires));
            self.renew(id, expires, source);
        }
    }

    /// Lets a fact live until `expires` by the word of `source`; returns whether it lives longer by that.
    pub fn renew(&mut self, id: FactId, expires: Timestamp, source: Source) -> bool {
        let Some((fact, stored)) = self.entries.get_mut(id.index()).and_then(Option::as_mut) else {
            return false;
        };
        if expires <= stored.expires + head_start(stored.origin, source.origin) {
            return false;
        }
        stored.expires = expires;
        let before = stored.source();
        (stored.origin, stored.rank) = (source.origin, source.rank);
        if before != source {
            let subject = fact.subject;
            if before.origin.is_authority() != source.origin.is_authority() {
                self.changed.push(fact.clone());
            }
            self.count_out(subject, before);
            self.count_in(subject, source);
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

    fn add(&mut self, fact: Fact, expires: Timestamp, source: Source) -> FactId {
        let place = self.find(&fact).expect_err("only facts that are not stored are added");
        let id = self.free.pop().unwrap_or(FactId::from_index(self.entries.len()));
        self.subjects.entry(fact.subject).or_default().insert(place, id);
        self.count_in(fact.subject, source);
        self.earliest = Some(self.earliest.map_or(expires, |earliest| earliest.min(expires)));
        self.changed.push(fact.clone());
        let stored = Stored {
            id,
            hash: fact.hash(),
            expires,
            origin: source.origin,
            rank: source.rank,
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

    /// Returns whether one more fact about the subject from this source would be taken in.
    pub fn has_room(&self, subject: &PublicKey, source: Source) -> bool {
        let fits_subject =
            self.full_subject(subject, source).is_none() || self.shares.victim(*subject, source).is_some();
        let fits = self.full(source).is_none() || self.holders.victim((), source).is_some();
        self.own_limit(subject, source).is_none() && fits_subject && fits
    }

    /// Has facts give way to one more about the subject, where that is necessary. What this node itself knows is never turned away
    /// for room, and makes nobody give way: its own machine bounds it.
    fn make_room(&mut self, subject: &PublicKey, source: Source) -> Result<(), Limit> {
        self.own_limit(subject, source).map_or(Ok(()), Err)?;
        if let Some(limit) = self.full_subject(subject, source) {
            let victim = self.shares.victim(*subject, source).ok_or(limit)?;
            let about = self.subjects.get(subject).into_iter().flatten().copied();
            self.evict(victim, EVICTED_ABOUT_ONE, about.collect::<Vec<_>>().into_iter());
        }
        if let Some(limit) = self.full(source) {
            let victim = self.holders.victim((), source).ok_or(limit)?;
            self.evict(victim, EVICTED_AT_ONCE, (0..self.entries.len()).map(FactId::from_index));
        }
        Ok(())
    }

    /// Returns which limit of its own the source has reached.
    fn own_limit(&self, subject: &PublicKey, source: Source) -> Option<Limit> {
        let Source { origin, rank } = source;
        let most_about = match rank {
            Rank::Own => return None,
            Rank::Hearsay => MAX_HEARSAY_SHARE,
            Rank::Itself | Rank::Trusted | Rank::Voucher => MAX_SHARE,
        };
        let by_ranks = Rank::OF_OTHERS.map(|rank| self.holders.count((), Source { origin, rank }));
        if by_ranks.iter().sum::<usize>() >= MAX_PER_ORIGIN {
            Some(Limit::Origin)
        } else {
            (self.shares.count(*subject, source) >= most_about).then_some(Limit::Share)
        }
    }

    /// Returns whether there are too many facts about the subject for one more of this source.
    fn full_subject(&self, subject: &PublicKey, source: Source) -> Option<Limit> {
        let is_full = match source.rank {
            Rank::Own => false,
            Rank::Hearsay => self.shares.up_to(*subject, Rank::Hearsay) >= MAX_HEARSAY_PER_SUBJECT,
            Rank::Itself | Rank::Trusted | Rank::Voucher => false,
        };
        let about = self.subjects.get(subject).map_or(0, Vec::len);
        (is_full || source.rank != Rank::Own && about >= MAX_PER_SUBJECT).then_some(Limit::Subject)
    }

    /// Returns whether there are too many facts in all for one more of this source.
    fn full(&self, source: Source) -> Option<Limit> {
        let is_at = |rank, most| source.rank <= rank && self.holders.up_to((), rank) >= most;
        if source.rank == Rank::Own {
            None
        } else if is_at(Rank::Hearsay, MAX_HEARSAY) || is_at(Rank::Itself, MAX_UNTRUSTED) {
            Some(Limit::Untrusted)
        } else {
            (self.len() >= MAX_FACTS).then_some(Limit::Facts)
        }
    }

    /// Forgets facts of whoever gives way, out of these.
    fn evict(&mut self, victim: Victim, at_most: usize, among: impl Iterator<Item = FactId>) {
        let entries = &mut self.entries;
        let its = among.filter_map(|id| {
            let entry = entries.get_mut(id.index())?;
            entry.take_if(|(_, stored)| stored.source() == victim.source)
        });
        let evicted: Vec<(Fact, Stored)> = its.take(victim.surplus.min(at_most)).collect();
        self.strike(&evicted);
        self.evicted.extend(evicted);
    }

    fn count_in(&mut self, subject: PublicKey, source: Source) {
        self.holders.add((), source);
        self.shares.add(subject, source);
    }

    fn count_out(&mut self, subject: PublicKey, source: Source) {
        self.holders.remove((), source);
        self.shares.remove(subject, source);
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
        self.strike(&expired);
        self.earliest = self.entries.iter().flatten().map(|(_, stored)| stored.expires).min();
        expired
    }

    /// Clears up behind facts that are stored no longer.
    fn strike(&mut self, gone: &[(Fact, Stored)]) {
        for (fact, stored) in gone {
            self.free.push(stored.id);
            self.count_out(fact.subject, stored.source());
            if let Some(about) = self.subjects.get_mut(&fact.subject) {
                about.retain(|id| *id != stored.id);
                if about.is_empty() {
                    self.subjects.remove(&fact.subject);
                }
            }
        }
        self.changed.extend(gone.iter().map(|(fact, _)| fact.clone()));
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

#[cfg(test)]
mod tests;
