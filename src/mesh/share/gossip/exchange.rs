//! What is exchanged with one peer: what it was told and what it said, and what is due.

use std::collections::BTreeMap;
use std::time::Duration;

use super::batch::Batch;
use super::knowledge::{Knowledge, RENEW_BEFORE, seconds};
use super::ledger::{Ids, Ledger};
use super::offer::{Context, Offer, Offers, about, from};
use super::vouched::{ENDPOINTS, MEMBERS, Vouched};
use super::{Audience, CONFIRM, DIGEST_PERIOD, MIN_LIFE, PACE, RETELL_EVERY, hash_of};
use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::Fact;
use crate::mesh::believe::fact::boot::DIGESTS;
use crate::mesh::believe::fact::store::{FactId, MAX_FACTS, Store, Stored};
use crate::mesh::believe::fact::value::{BUCKETS, FactHash, Value};

/// How often everything is looked at where facts are renewed one by one: what becomes first-hand knowledge lives longer without
/// being news.
const SCAN_PERIOD: Duration = Duration::from_secs(60);
/// How often a peer is asked at most for what was lost.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// How long after it came elsewhere a node asks a second time for what it missed.
const MISSED_AGAIN: Duration = Duration::from_secs(1);
/// How often digests of one peer are looked at that fit: each costs a look at all that the peer said.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// How much a peer can have this node look at in a second, for withdrawals, resets and digests that fit: a full ledger 16 times, some
/// 20 ms. What goes beyond is not heard, and a later digest finds the difference.
const LOOKS_PER_SECOND: usize = 16 * MAX_FACTS;
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
    /// What the peer announced.
    capabilities: u32,
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
    /// Where the next look at all facts begins: at the subject at which there was no more room.
    resume: Option<PublicKey>,
    digest_at: Timestamp,
    withdrawn: Vec<FactHash>,
    resets: u64,
    mended: Option<Timestamp>,
    owes_holdings: bool,
    asked: Option<Timestamp>,
    /// When the peer is asked once more what this node may have missed.
    missed_until: Option<Timestamp>,
    /// How much the peer had this node look at, in the second that began then.
    looked: (Timestamp, usize),
}

impl Exchange {
    /// Takes in what is decided about the peer now.
    pub(super) fn adopt(&mut self, now: Timestamp, audience: Audience, capabilities: u32) {
        if self.audience == Some(audience) && self.capabilities == capabilities {
            return;
        }
        (self.audience, self.capabilities) = (Some(audience), capabilities);
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

    /// Returns whether the peer was told the fact, or said it, and has not forgotten it since.
    pub(super) fn knows(&self, now: Timestamp, id: FactId) -> bool {
        self.told.contains(id) || self.heard.contains(id) || self.knowledge.until(id) > seconds(now)
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
        if lately & buckets != 0 || !self.may_cost_a_look(now) {
            return Some(Ids::default());
        }
        self.compared = (if lately == 0 { now } else { at }, lately | buckets);
        self.renewed = Some(now);
        Some(self.heard.facts().clone())
    }

    /// Returns whether the peer may have this node look at all that it said, and counts on that.
    pub(super) fn may_cost_a_look(&mut self, now: Timestamp) -> bool {
        let (since, looks) = self.looked;
        let is_new = now.since(since) >= Duration::from_secs(1);
        let looks = self.heard.facts().span() + if is_new { 0 } else { looks };
        let may = looks <= LOOKS_PER_SECOND;
        if may {
            self.looked = (if is_new { now } else { since }, looks);
        }
        may
    }

    /// Takes in that what the peer said just now may have gone to where this node was before: it is told what arrived, at once and a
    /// moment later, as the first word from a new place is easily lost.
    pub(super) fn miss(&mut self, now: Timestamp) {
        if self.by_digest() && !self.heard.facts().is_empty() {
            self.owes_holdings = true;
            self.missed_until = Some(now + MISSED_AGAIN);
        }
    }

    /// Remembers that the peer holds something else than it says it told.
    pub(super) fn ask(&mut self, now: Timestamp) {
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
        if !self.may_cost_a_look(now) {
            return;
        }
        self.heard.empty(buckets, |id| hash_of(store, id));
        self.scan_at = self.scan_at.min(now + CONFIRM);
    }

    /// Returns when all facts are next looked at, where that is of use.
    pub(super) fn next_scan(&self) -> Option<Timestamp> {
        (self.audience == Some(Audience::AllFacts)).then_some(self.scan_at)
    }

    /// Collects what the peer needs to be told now.
    pub(super) fn collect(&mut self, now: Timestamp, offers: &mut Offers<'_>, peer: &PublicKey, batch: &mut Batch) {
        if self.is_overdue(now) {
            self.ask(now);
        }
        if self.missed_until.take_if(|at| *at <= now).is_some() {
            self.owes_holdings = true;
        }
        self.settle(batch);
        if self.audience != Some(Audience::AllFacts) {
            return;
        }
        if now < self.scan_at {
            let next = self.offer(now, peer, batch, offers.news(), None);
            self.scan_at = next.map_or(self.scan_at, |next| next.min(self.scan_at));
        } else if batch.room > 0 && batch.looks > 0 {
            self.knowledge.prune(now);
            let resume = self.resume.take();
            let next = self.offer(now, peer, batch, offers.all(), resume);
            // Also what was told just now for too short a time.
            let one_by_one = !self.knowledge.is_empty() || !self.by_digest();
            let again = if one_by_one { SCAN_PERIOD } else { Duration::MAX };
            self.scan_at = next.map_or(now + again, |next| next.min(now + again));
        } else {
            batch.cut = true;
        }
        if batch.cut {
            self.scan_at = now + PACE;
        }
    }

    /// Returns whether the peer renews facts by digests.
    fn by_digest(&self) -> bool {
        self.capabilities & DIGESTS != 0
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

    /// Takes from the facts what the peer needs now, those about a subject and what follows them first; returns when it next needs
    /// one of them.
    fn offer(
        &mut self,
        now: Timestamp,
        peer: &PublicKey,
        batch: &mut Batch,
        offered: &[Offer<'_>],
        first: Option<PublicKey>,
    ) -> Option<Timestamp> {
        if offered.is_empty() {
            return None;
        }
        let about_it = about(offered, peer);
        let first = first.map_or(0, |subject| from(offered, &subject));
        let due_until = seconds(now + RENEW_BEFORE);
        let (mut forgotten, mut renewed) = (u32::MAX, None::<Timestamp>);
        for place in (first..offered.len()).chain(0..first) {
            let offer = &offered[place];
            batch.looks = batch.looks.saturating_sub(1);
            let is_settled = self.told.contains(offer.id) || self.heard.contains(offer.id);
            if is_settled || offer.needs & !self.capabilities != 0 {
                continue;
            }
            if about_it.contains(&place) && !offer.fact.attribute().row().told_to_subject {
                continue;
            }
            let known = self.knowledge.until(offer.id);
            if known == 0 || known < offer.in_vain_from {
                if known <= due_until {
                    self.tell(now, offer.fact, offer.stored, batch);
                } else {
                    forgotten = forgotten.min(known);
                }
            }
            if batch.cut {
                self.resume = Some(offer.fact.subject);
                break;
            }
            // A copy that lives longer by then is due; one that was not renewed in between costs a look.
            if offer.renewal > now && !self.told.contains(offer.id) {
                renewed = Some(renewed.map_or(offer.renewal, |at| at.min(offer.renewal)));
            }
        }
        let forgotten = (forgotten < u32::MAX).then(|| Timestamp::from_start(Duration::from_secs(forgotten.into())));
        renewed.into_iter().chain(forgotten.map(|at| at - RENEW_BEFORE)).min()
    }

    fn tell(&mut self, now: Timestamp, fact: &Fact, stored: &Stored, batch: &mut Batch) {
        // Whole seconds, as the peer hears it: both sides must come to the same decision.
        let life = Duration::from_secs(stored.expires.since(now).as_secs());
        if life.is_zero() || !batch.add(fact, life) {
            return;
        }
        if self.by_digest() && life >= MIN_LIFE {
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
        let is_teller = self.by_digest() && self.audience == Some(Audience::AllFacts);
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
