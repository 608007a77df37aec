//! What is exchanged with one peer: what it was told and what it said, and what is due.

use std::collections::BTreeMap;
use std::time::Duration;

use super::knowledge::{Knowledge, RENEW_BEFORE};
use super::ledger::{Ids, Ledger};
use super::vouched::{ENDPOINTS, MEMBERS, Vouched};
use super::{Audience, CONFIRM, DIGEST_PERIOD, MIN_LIFE, PACE, RETELL_EVERY, about_sender, hash_of};
use crate::mesh::fact::boot::BootId;
use crate::mesh::fact::store::{FactId, Store, Stored};
use crate::mesh::fact::value::{BUCKETS, FactHash, Value};
use crate::mesh::fact::{Fact, Origin, Timed, wire};
use crate::mesh::identity::PublicKey;
use crate::mesh::time::Timestamp;

/// How often everything is looked at where facts are renewed one by one: what becomes first-hand knowledge lives longer without
/// being news.
const SCAN_PERIOD: Duration = Duration::from_secs(60);
/// How often a peer is asked at most for what was lost.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// How often digests of one peer are looked at that fit: each costs a look at all that the peer said.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// After how long without a digest that fits the peer is asked for one: two and more of them were lost.
const OVERDUE: Duration = Duration::from_secs(2 * DIGEST_PERIOD.as_secs() + 15);
/// The most hashes in one withdrawal, so that it fits a datagram.
const WITHDRAWN_AT_ONCE: usize = 128;
/// The most withdrawals that wait. What does not fit is found by the next digest.
const MAX_WITHDRAWN: usize = 8 * WITHDRAWN_AT_ONCE;
/// How long a digest waits for a batch without facts, whose loss or delay would look like a difference.
const DIGEST_PATIENCE: Duration = Duration::from_secs(20);

/// The state of the exchange with one peer.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    audience: Option<Audience>,
    by_digest: bool,
    /// What is renewed one by one.
    pub(super) knowledge: Knowledge,
    /// What the peer was told and should hold.
    told: Ledger,
    /// What the peer said, as it counts it.
    pub(super) heard: Ledger,
    /// When a digest of the peer last fitted, or the first fact was heard that it will renew.
    renewed: Option<Timestamp>,
    /// Which buckets were compared lately, and since when that counts.
    compared: (Timestamp, u64),
    /// When all facts are compared with what the peer knows; never, where only news can be of use.
    pub(super) scan_at: Timestamp,
    digest_at: Timestamp,
    withdrawn: Vec<FactHash>,
    resets: u64,
    mended: Option<Timestamp>,
    owes_holdings: bool,
    asked: Option<Timestamp>,
}

/// What is looked at to find out what is due.
pub(super) struct Context<'a> {
    pub(super) now: Timestamp,
    pub(super) store: &'a Store,
    pub(super) news: &'a [(&'a Fact, &'a Stored)],
    pub(super) is_present: &'a dyn Fn(&PublicKey) -> bool,
}

impl Context<'_> {
    /// Returns whether facts with this origin about this subject are passed on: what this node knows itself while the subject is
    /// there, what another node says for as long as that one says it, and what one said before this node was started not at all.
    pub(super) fn passes_on(&self, subject: &PublicKey, origin: Origin) -> bool {
        match origin {
            Origin::Peer(_) => true,
            Origin::Observed | Origin::Configured => (self.is_present)(subject),
            Origin::Remembered => false,
        }
    }
}

impl Exchange {
    /// Takes in what is decided about the peer now.
    pub(super) fn adopt(&mut self, now: Timestamp, audience: Audience, by_digest: bool) {
        if self.audience == Some(audience) && self.by_digest == by_digest {
            return;
        }
        (self.audience, self.by_digest) = (Some(audience), by_digest);
        self.scan_at = now;
        self.digest_at = now + CONFIRM;
        if audience == Audience::AliveOnly {
            // It is not told to forget: what it holds is not renewed, and expires.
            self.told = Ledger::default();
        }
    }

    /// Takes in that facts are no longer stored.
    pub(super) fn forget(&mut self, ids: &Ids, hashes: &BTreeMap<FactId, FactHash>) {
        if !self.knowledge.is_empty() {
            hashes.keys().for_each(|id| self.knowledge.forget(*id));
        }
        let told: Vec<FactId> = self.told.facts().common(ids).collect();
        told.into_iter().for_each(|id| self.withdraw(id, hashes[&id]));
        let heard: Vec<FactId> = self.heard.facts().common(ids).collect();
        for id in heard {
            self.heard.strike(id, hashes[&id]);
        }
    }

    fn withdraw(&mut self, id: FactId, hash: FactHash) {
        if self.told.strike(id, hash) && self.withdrawn.len() < MAX_WITHDRAWN {
            self.withdrawn.push(hash);
        }
    }

    /// Notes that a fact is renewed by the peer's digests from now on. Where both told it to each other, one gives way: each
    /// digest would be cut short by the other.
    pub(super) fn hear(&mut self, now: Timestamp, id: FactId, hash: FactHash, gives_way: bool) {
        self.heard.enter(id, hash);
        self.renewed.get_or_insert(now);
        if gives_way && self.told.contains(id) {
            self.withdraw(id, hash);
        }
    }

    /// Compares a digest of the peer; returns what it may renew if it fits, and asks otherwise.
    pub(super) fn compare(&mut self, now: Timestamp, buckets: u64, sum: FactHash) -> Option<Ids> {
        if self.heard.sum(buckets) != sum {
            self.ask(now);
            return None;
        }
        let (at, lately) = self.compared;
        let lately = if now.since(at) < COMPARE_EVERY { lately } else { 0 };
        if lately & buckets != 0 {
            return Some(Ids::default());
        }
        self.compared = (if lately == 0 { now } else { at }, lately | buckets);
        self.renewed = Some(now);
        Some(self.heard.facts().clone())
    }

    /// Remembers that the peer holds something else than it says it told.
    fn ask(&mut self, now: Timestamp) {
        if self.asked.is_none_or(|at| now.since(at) >= ASK_EVERY) {
            self.asked = Some(now);
            self.owes_holdings = true;
        }
    }

    /// Empties the buckets in which the peer holds something else than it was told.
    pub(super) fn mend(&mut self, now: Timestamp, sums: &[FactHash; BUCKETS], store: &Store) {
        let differing = self.told.differing(sums);
        let too_soon = self.mended.is_some_and(|at| now.since(at) < RETELL_EVERY);
        if differing == 0 {
            // Nothing is lost but digests.
            self.digest_at = now;
        }
        if differing == 0 || too_soon {
            return;
        }
        self.mended = Some(now);
        self.resets |= differing;
        self.told.empty(differing, |id| hash_of(store, id));
        self.scan_at = now;
    }

    /// Empties buckets of what the peer said; what it does not say again it may need to be told.
    pub(super) fn reset(&mut self, now: Timestamp, buckets: u64, store: &Store) {
        self.heard.empty(buckets, |id| hash_of(store, id));
        self.scan_at = self.scan_at.min(now + CONFIRM);
    }

    /// Returns when all facts are next looked at, where that is of use.
    pub(super) fn next_scan(&self) -> Option<Timestamp> {
        (self.audience == Some(Audience::AllFacts)).then_some(self.scan_at)
    }

    /// Collects what the peer needs to be told now.
    pub(super) fn collect(&mut self, context: &Context<'_>, peer: &PublicKey, batch: &mut Batch) {
        if self.is_overdue(context.now) {
            self.ask(context.now);
        }
        self.settle(batch);
        if self.audience != Some(Audience::AllFacts) {
            return;
        }
        let now = context.now;
        if now < self.scan_at {
            let next = self.offer(context, peer, batch, context.news.iter().copied());
            self.scan_at = next.map_or(self.scan_at, |next| next.min(self.scan_at));
        } else if batch.room > 0 && batch.looks > 0 {
            let one_by_one = self.knowledge.prune(now) || !self.by_digest;
            let next = self.offer(context, peer, batch, context.store.iter());
            let again = if one_by_one { SCAN_PERIOD } else { Duration::MAX };
            self.scan_at = next.map_or(now + again, |next| next.min(now + again));
        } else {
            batch.cut = true;
        }
        if batch.cut {
            self.scan_at = now + PACE;
        }
    }

    fn is_overdue(&self, now: Timestamp) -> bool {
        let overdue = self.renewed.is_some_and(|at| now.since(at) > OVERDUE);
        overdue && !self.heard.facts().is_empty()
    }

    /// Says what was decided about what was told before.
    fn settle(&mut self, batch: &mut Batch) {
        if self.resets != 0 {
            batch
                .control
                .push((Value::Reset(std::mem::take(&mut self.resets)), Duration::ZERO));
        }
        if std::mem::take(&mut self.owes_holdings) {
            batch
                .control
                .push((Value::Holdings(Box::new(*self.heard.sums())), Duration::ZERO));
        }
        for hashes in std::mem::take(&mut self.withdrawn).chunks(WITHDRAWN_AT_ONCE) {
            batch.control.push((Value::Withdrawn(hashes.to_vec()), Duration::ZERO));
        }
    }

    /// Takes from the facts what the peer needs now; returns when it next needs one of them.
    fn offer<'a>(
        &mut self,
        context: &Context<'_>,
        peer: &PublicKey,
        batch: &mut Batch,
        facts: impl Iterator<Item = (&'a Fact, &'a Stored)>,
    ) -> Option<Timestamp> {
        let now = context.now;
        let mut next: Option<Timestamp> = None;
        let mut later = |at: Timestamp| next = Some(next.map_or(at, |next| next.min(at)));
        for (fact, stored) in facts {
            if batch.cut {
                break;
            }
            batch.looks = batch.looks.saturating_sub(1);
            if self.told.contains(stored.id) || self.heard.contains(stored.id) {
                continue;
            }
            let about_it = fact.subject == *peer;
            if !context.passes_on(&fact.subject, stored.origin) || about_it && !fact.attribute().row().told_to_subject {
                continue;
            }
            match self.knowledge.due(stored.id, stored.expires) {
                Some(at) if at <= now => self.tell(now, fact, stored, batch),
                Some(at) => later(at),
                None => {}
            }
            // A copy that lives longer by then is due; one that was not renewed in between costs a look.
            let renewal = stored.expires - RENEW_BEFORE;
            if renewal > now && !self.told.contains(stored.id) {
                later(renewal);
            }
        }
        next
    }

    fn tell(&mut self, now: Timestamp, fact: &Fact, stored: &Stored, batch: &mut Batch) {
        // Whole seconds, as the peer hears it: both sides must come to the same decision.
        let life = Duration::from_secs(stored.expires.since(now).as_secs());
        if life.is_zero() || !batch.add(fact, life) {
            return;
        }
        if self.by_digest && life >= MIN_LIFE {
            self.told.enter(stored.id, stored.hash);
            self.digest_at = self.digest_at.min(now + CONFIRM);
        } else {
            self.knowledge.learn(stored.id, stored.expires);
            self.scan_at = self.scan_at.min(now + SCAN_PERIOD);
        }
    }

    /// Returns whether a digest goes with this batch.
    pub(super) fn digest_is_due(&self, now: Timestamp, batch: &Batch) -> bool {
        let patience = if batch.facts.is_empty() {
            Duration::ZERO
        } else {
            DIGEST_PATIENCE
        };
        let is_teller = self.by_digest && self.audience == Some(Audience::AllFacts);
        is_teller && now >= self.digest_at + patience
    }

    /// Adds a digest, and withdraws what it cannot stand for.
    pub(super) fn sum_up(&mut self, context: &Context<'_>, vouched: &Vouched, batch: &mut Batch) {
        let out: Vec<FactId> = self.told.facts().common(&vouched.not).collect();
        if !out.is_empty() {
            // What still lives for a while is told one by one.
            self.scan_at = self.scan_at.min(context.now);
        }
        for id in out {
            if let Some(hash) = hash_of(context.store, id) {
                self.withdraw(id, hash);
            }
        }
        self.settle(batch);
        for topic in [MEMBERS, ENDPOINTS] {
            let sum = self.told.sum(topic);
            let digest = Value::Digest { buckets: topic, sum };
            batch.digests.push((digest, vouched.life(topic, self.told.facts())));
        }
        self.digest_at = context.now + DIGEST_PERIOD;
    }
}

/// What one peer is told in one go.
pub(super) struct Batch {
    /// What is said about what was said, in this order, before all facts.
    control: Vec<(Value, Duration)>,
    facts: Vec<Timed>,
    /// Come last: they stand for all before them, too.
    digests: Vec<(Value, Duration)>,
    room: usize,
    used: usize,
    /// How many facts may still be looked at.
    looks: usize,
    compact: bool,
    cut: bool,
}

impl Batch {
    pub(super) fn new(room: usize, looks: usize, compact: bool) -> Self {
        Self {
            control: Vec::new(),
            facts: Vec::new(),
            digests: Vec::new(),
            room,
            used: 0,
            looks,
            compact,
            cut: false,
        }
    }

    /// Returns how many bytes it takes.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Returns how many facts may still be looked at.
    pub(super) fn looks(&self) -> usize {
        self.looks
    }

    /// Returns whether something did not fit.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    pub(super) fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.control.is_empty()
    }

    /// Adds a fact, if there is room.
    fn add(&mut self, fact: &Fact, ttl: Duration) -> bool {
        let timed = Timed {
            fact: fact.clone(),
            ttl,
        };
        let in_run = self.compact && self.facts.last().is_some_and(|last| last.fact.subject == fact.subject);
        let cost = wire::fact_len(&timed) - if in_run { PublicKey::LEN } else { 0 };
        if self.used + cost > self.room {
            self.cut = true;
            return false;
        }
        self.used += cost;
        self.facts.push(timed);
        true
    }

    /// Returns all, after a sign of life.
    pub(super) fn finish(self, own_key: &PublicKey, boot_id: BootId, alive_ttl: Duration) -> Vec<Timed> {
        let alive = (Value::Alive(boot_id), alive_ttl);
        let own = |(value, ttl)| about_sender(own_key, value, ttl);
        let control = [alive].into_iter().chain(self.control).map(own);
        control
            .chain(self.facts)
            .chain(self.digests.into_iter().map(own))
            .collect()
    }
}
