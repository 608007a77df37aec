//! Who is told what, when. News is passed on at once; what a peer is about to forget, before it does; a sign of life in time.
//!
//! Between nodes that announced it, what was told is renewed by a digest of it: both sides keep a [ledger](ledger::Ledger) of what one
//! told the other, and as long as the sums are equal everything in it lives on.
//!
//! ```text
//! facts        with at least MIN_LIFE to live: entered on both sides
//! digests      every DIGEST_PERIOD, and CONFIRM after news, with the next sign of life: the sum, and how long all of it still lives;
//!              one of members and allowed IPs, one of endpoints
//! holdings     the answer where the sum does not fit: the sums by bucket
//! reset        the answer to that: these buckets are emptied on both sides, and their facts told again
//! withdrawn    what is about to expire, or is about somebody who is gone: struck on both sides, it lives as long as it lives
//! ```

mod audience;
mod batch;
mod exchange;
pub mod knowledge;
pub mod ledger;
mod offer;
mod peer;
mod vouched;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use self::audience::{Audience, Standing};
use self::batch::Batch;
use self::ledger::Ids;
use self::offer::{Context, Offers};
use self::peer::Peer;
use self::vouched::Vouched;
use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::boot::{BootId, COMPACT_GROUPS, DIGESTS};
use crate::mesh::believe::fact::store::{FactId, MAX_FACTS, Store, Stored};
use crate::mesh::believe::fact::value::{BUCKETS, FactHash};
use crate::mesh::believe::fact::{Fact, Origin, Timed};

/// The most bytes of facts for one peer in one go, so that a newcomer in a large network does not drown.
const BURST: usize = 32 * crate::mesh::believe::fact::wire::MAX_FACTS;
/// The most bytes for all peers in one go.
const BURST_ALL: usize = 4 * BURST;
/// The most peers that are told anything in one go, some 20 µs each with a digest: the others follow after [`PACE`].
const TOLD_AT_ONCE: usize = 64;
/// The most facts that are looked at for all peers in one go, some 10 ns each: enough for one look at all of them.
const LOOKS: usize = MAX_FACTS;
/// With more news than this, everything is looked at instead.
const MAX_NEWS: usize = 4096;
/// How much too early a sign of life is given, to go out together with others: a thousand peers do not make a thousand deadlines.
const EARLY: Duration = Duration::from_millis(500);
/// How often a peer can ask to be told everything: more often would make this node its amplifier.
const RETELL_EVERY: Duration = Duration::from_secs(5);
/// How often a peer that waits for our sign of life is answered at most: two that answer each other must not spin.
const ANSWER_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked at whether there is room by now for facts that found none.
const RETRY_EVERY: Duration = Duration::from_secs(10);
/// The most peers that are looked at for that in one go, each with at most [`MAX_UNHELD`](ledger::MAX_UNHELD) facts.
const RETRIED_AT_ONCE: usize = 32;
/// When those follow that are not among them.
const ASK_REST: Duration = Duration::from_secs(1);
/// When what did not fit follows.
const PACE: Duration = Duration::from_millis(20);
/// How long a fact must still live to be renewed by digests: three of them may be lost.
pub const MIN_LIFE: Duration = Duration::from_secs(128);
/// How often a digest is sent. With each router that passes facts on, they live that much shorter: after three, they are renewed
/// one by one.
pub const DIGEST_PERIOD: Duration = Duration::from_secs(40);
/// Lives that differ by less are as long: whole seconds, and the time on the way.
const AS_LONG: Duration = Duration::from_secs(2);
/// How soon after news a digest tells whether it arrived.
const CONFIRM: Duration = Duration::from_secs(5);

/// A peer that can be told something.
#[derive(Clone, Copy, Debug)]
pub struct Recipient {
    /// Who.
    pub peer: PublicKey,
    /// What.
    pub audience: Audience,
    /// How often it needs a sign of life.
    pub alive_period: Duration,
    /// How long that sign counts.
    pub alive_ttl: Duration,
}

/// What a peer is told in one go.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// Who.
    pub peer: PublicKey,
    /// What, in this order.
    pub facts: Vec<Timed>,
    /// Whether it reads compact groups.
    pub compact: bool,
}

/// Remembers what each peer knows.
#[derive(Debug)]
pub struct Gossip {
    own_key: PublicKey,
    boot_id: BootId,
    peers: BTreeMap<PublicKey, Peer>,
    /// Facts that are new, or live longer, or about somebody of whom more is told now.
    news: BTreeSet<Fact>,
    /// Who is served first next time, where not everybody can be.
    turn: Option<PublicKey>,
    /// Whether from there on nobody was looked at.
    put_off: bool,
    /// When it is next looked at whether there is room for facts that found none; never, where there are no such facts.
    retry_at: Option<Timestamp>,
    /// Who comes next then.
    retry_turn: Option<PublicKey>,
}

impl Gossip {
    /// Starts with peers that know nothing.
    pub fn new(own_key: PublicKey, boot_id: BootId) -> Self {
        Self {
            own_key,
            boot_id,
            peers: BTreeMap::new(),
            news: BTreeSet::new(),
            turn: None,
            put_off: false,
            retry_at: None,
            retry_turn: None,
        }
    }

    /// Returns the boot ID of this node.
    pub fn boot_id(&self) -> BootId {
        self.boot_id
    }

    /// Asks all peers to tell everything again, by a new boot ID that they are told at once.
    pub fn resync(&mut self, boot_id: BootId) {
        self.boot_id = boot_id;
        self.peers.values_mut().for_each(|peer| peer.alive_told = None);
    }

    /// Asks all peers whether something of what they told is missing here: this machine is elsewhere by now, and what they said
    /// before they knew that is lost.
    pub fn moved(&mut self, now: Timestamp) {
        let exchanges = self.peers.values_mut().filter_map(|peer| peer.exchange.as_mut());
        exchanges.for_each(|exchange| exchange.miss(now));
    }

    /// Forgets all that are not peers any more.
    pub fn retain(&mut self, is_peer: impl Fn(&PublicKey) -> bool) {
        self.peers.retain(|key, _| is_peer(key));
    }

    /// Takes in that facts are no longer stored: their names may be given to others.
    pub fn forget(&mut self, expired: &[(Fact, Stored)]) {
        if expired.is_empty() {
            return;
        }
        let hashes: BTreeMap<FactId, FactHash> = expired.iter().map(|(_, stored)| (stored.id, stored.hash)).collect();
        let ids: Ids = hashes.keys().copied().collect();
        let exchanges = self.peers.values_mut().filter_map(|peer| peer.exchange.as_mut());
        exchanges.for_each(|exchange| exchange.forget(&ids, &hashes));
    }

    /// Notes that the peer gave this boot ID. Under a new one, also the first that is heard, it may lack what it was told
    /// before: it is told everything again. Returns whether the ID is new; one that follows another too soon is taken up when it
    /// is heard again.
    pub fn heard_boot_id(&mut self, now: Timestamp, peer: &PublicKey, boot_id: BootId) -> bool {
        let entry = self.peers.entry(*peer).or_default();
        let too_soon = entry.boot_id.is_some_and(|(_, since)| now.since(since) < RETELL_EVERY);
        if too_soon || entry.boot_id.is_some_and(|(known, _)| known == boot_id) {
            return false;
        }
        *entry = Peer {
            boot_id: Some((boot_id, now)),
            ..Peer::default()
        };
        true
    }

    /// Returns whether the peer announced a capability.
    pub fn can(&self, peer: &PublicKey, capability: u32) -> bool {
        self.peers.get(peer).is_some_and(|peer| peer.can(capability))
    }

    /// Returns whether what the peer tells is renewed by digests, which find out what was lost on the way.
    pub fn renews_by_digest(&self, peer: &PublicKey) -> bool {
        self.can(peer, DIGESTS)
    }

    /// Notes that the peer said this fact, which lives until then by its word, and so knows it. `ours` is how long it lived here
    /// before that.
    pub fn heard_fact(
        &mut self,
        now: Timestamp,
        peer: &PublicKey,
        stored: &Stored,
        until: Timestamp,
        ours: Option<Timestamp>,
    ) {
        let gives_way = ours.is_none_or(|ours| {
            let difference = ours.since(until).max(until.since(ours));
            if difference <= AS_LONG {
                self.own_key < *peer
            } else {
                ours < until
            }
        });
        let entry = self.peers.entry(*peer).or_default();
        let entered = entry.can(DIGESTS) && until.since(now) >= MIN_LIFE;
        let exchange = entry.exchange();
        if entered {
            exchange.hear(now, stored.id, stored.hash, gives_way);
        } else {
            exchange.knowledge.learn(stored.id, until);
        }
    }

    /// Notes that the peer said something that is not believed, with so long to live: its digests count it.
    pub fn heard_in_vain(&mut self, peer: &PublicKey, hash: FactHash, life: Duration) {
        let entry = self.peers.entry(*peer).or_default();
        if entry.can(DIGESTS) && life >= MIN_LIFE {
            entry.exchange().heard.enter_unheld(hash);
        }
    }

    /// Notes that the peer said something for which there is no room now: its digests count it, and it is asked for again when
    /// there is.
    pub fn heard_without_room(&mut self, peer: &PublicKey, fact: &Fact, life: Duration) {
        let entry = self.peers.entry(*peer).or_default();
        if entry.can(DIGESTS) && life >= MIN_LIFE {
            entry.exchange().heard.enter_waiting(fact.hash(), fact.subject);
            self.retry_at.get_or_insert(Timestamp::START);
        }
    }

    /// Takes in that facts gave way to others: whoever said them is asked for them again when there is room.
    pub fn forget_for_room(&mut self, evicted: &[(Fact, Stored)]) {
        if evicted.is_empty() {
            return;
        }
        for exchange in self.peers.values_mut().filter_map(|peer| peer.exchange.as_mut()) {
            for (fact, stored) in evicted {
                if exchange.heard.strike(stored.id, stored.hash) {
                    exchange.heard.enter_waiting(stored.hash, fact.subject);
                }
            }
        }
        self.retry_at.get_or_insert(Timestamp::START);
        self.forget(evicted);
    }

    /// Asks peers again for facts for which there was no room, and is now. `has_room` says that of a fact of a peer about a subject.
    pub fn retry(&mut self, now: Timestamp, has_room: impl Fn(&PublicKey, &PublicKey) -> bool) {
        if self.retry_at.is_none_or(|at| now < at) {
            return;
        }
        let turn = self.retry_turn.take();
        let (before, after): (Vec<_>, Vec<_>) = self.peers.iter_mut().partition(|(key, _)| Some(**key) < turn);
        let exchanges = after.into_iter().chain(before);
        let exchanges = exchanges.filter_map(|(key, peer)| Some((key, peer.exchange.as_mut()?)));
        let mut waiting = exchanges.filter(|(_, exchange)| exchange.heard.waits());
        let mut any = false;
        for (key, exchange) in waiting.by_ref().take(RETRIED_AT_ONCE) {
            any = true;
            if exchange.heard.strike_waiting(|subject| has_room(key, subject)) {
                exchange.ask(now);
            }
        }
        self.retry_turn = waiting.next().map(|(key, _)| *key);
        let pause = if self.retry_turn.is_some() {
            ASK_REST
        } else {
            RETRY_EVERY
        };
        self.retry_at = any.then_some(now + pause);
    }

    /// Compares a digest with what the peer told; returns what it renews as far as it is in these buckets, or `None` where something was lost: the peer will be
    /// asked for it.
    pub fn heard_digest(&mut self, now: Timestamp, peer: &PublicKey, buckets: u64, sum: FactHash) -> Option<Ids> {
        let exchange = self.peers.entry(*peer).or_default().exchange();
        exchange.compare(now, buckets, sum)
    }

    /// Notes that the peer may no longer say a fact, which it said before.
    pub fn no_longer_believed(&mut self, peer: &PublicKey, id: FactId, hash: FactHash) {
        let exchange = self.peers.entry(*peer).or_default().exchange();
        if exchange.heard.strike(id, hash) {
            exchange.heard.enter_unheld(hash);
        }
    }

    /// Notes that what may be said, and by whom, is judged otherwise from now on: what was not believed is asked for again.
    pub fn trust_changed(&mut self) {
        let exchanges = self.peers.values_mut().filter_map(|peer| peer.exchange.as_mut());
        exchanges.for_each(|exchange| exchange.heard.strike_all_unheld());
    }

    /// Compares what the peer holds of ours with what it was told; what differs is told again.
    pub fn heard_holdings(&mut self, now: Timestamp, peer: &PublicKey, sums: &[FactHash; BUCKETS], store: &Store) {
        let exchange = self.peers.entry(*peer).or_default().exchange();
        exchange.mend(now, sums, store);
    }

    /// Empties buckets of what the peer told: it tells them again.
    pub fn heard_reset(&mut self, now: Timestamp, peer: &PublicKey, buckets: u64, store: &Store) {
        let exchange = self.peers.entry(*peer).or_default().exchange();
        exchange.reset(now, buckets, store);
    }

    /// Strikes what the peer does not vouch for any more; it may need to be told in turn.
    pub fn heard_withdrawn(&mut self, now: Timestamp, peer: &PublicKey, hashes: &[FactHash], store: &Store) {
        let exchange = self.peers.get_mut(peer).and_then(|peer| peer.exchange.as_mut());
        let Some(exchange) = exchange else { return };
        if !exchange.may_cost_a_look(now) {
            return;
        }
        let withdrawn: BTreeSet<FactHash> = hashes.iter().copied().collect();
        withdrawn.iter().for_each(|hash| exchange.heard.strike_unheld(*hash));
        let held = exchange.heard.facts().iter().filter_map(|id| store.by_id(id));
        let struck: Vec<_> = held.filter(|(_, stored)| withdrawn.contains(&stored.hash)).collect();
        for (fact, stored) in struck {
            exchange.heard.strike(stored.id, stored.hash);
            self.news.insert(fact.clone());
        }
    }

    /// Notes a fact that others should hear soon.
    pub fn add_news(&mut self, fact: Fact) {
        self.news.insert(fact);
        if self.news.len() > MAX_NEWS {
            self.look_at_everything();
        }
    }

    /// Has all facts compared with what each peer knows, because there is more news than that costs.
    fn look_at_everything(&mut self) {
        self.news.clear();
        let exchanges = self.peers.values_mut().filter_map(|peer| peer.exchange.as_mut());
        exchanges.for_each(|exchange| exchange.scan_at = Timestamp::START);
    }

    /// Makes a sign of life to the peer due now.
    pub fn knock(&mut self, peer: &PublicKey) {
        self.peers.entry(*peer).or_default().alive_told = None;
    }

    /// Makes a sign of life due now to a peer that was heard while its link is not up: both sides should move in the same moment,
    /// because what only one of them sends on the new way the other drops.
    pub fn answer(&mut self, now: Timestamp, peer: &PublicKey) {
        let entry = self.peers.entry(*peer).or_default();
        if entry.answered.is_none_or(|at| now.since(at) >= ANSWER_EVERY) {
            entry.answered = Some(now);
            entry.alive_told = None;
        }
    }

    /// Returns what each peer is told now, and counts on it being sent. What this node itself knows about others is
    /// told while they are there, and hearsay is not passed on.
    pub fn due(
        &mut self,
        now: Timestamp,
        recipients: &[Recipient],
        store: &Store,
        is_present: impl Fn(&PublicKey) -> bool,
        is_hearsay: impl Fn(&PublicKey, Origin) -> bool,
    ) -> Vec<Told> {
        if self.news.len() * recipients.len() > LOOKS {
            self.look_at_everything();
        }
        let news = std::mem::take(&mut self.news);
        let own_key = self.own_key;
        let is_present = |subject: &PublicKey| *subject == own_key || is_present(subject);
        let context = Context {
            now,
            store,
            news: &news,
            is_present: &is_present,
            is_hearsay: &is_hearsay,
        };
        let mut offers = Offers::new(&context);
        let mut vouched: Option<Vouched> = None;
        let (mut budget, mut looks) = (BURST_ALL, LOOKS);
        let mut told = Vec::new();
        let turn = self.turn.take();
        self.put_off = false;
        let first = turn.map_or(0, |turn| recipients.partition_point(|recipient| recipient.peer < turn));
        for recipient in recipients[first..].iter().chain(&recipients[..first]) {
            if told.len() == TOLD_AT_ONCE {
                self.put_off(recipient.peer, news);
                return told;
            }
            let peer = self.peers.entry(recipient.peer).or_default();
            let batch = Batch::new(budget.min(BURST), looks, peer.can(COMPACT_GROUPS));
            let batch = peer.collect(&context, &mut offers, recipient, batch, &mut vouched);
            // What is too little for one fact is nothing: a thousand peers would each be looked at in vain.
            let spent = batch.is_cut() && budget < BURST;
            budget = if spent { 0 } else { budget - batch.used() };
            looks = batch.looks();
            if batch.is_cut() && self.turn.is_none() {
                self.turn = Some(recipient.peer);
            }
            if batch.is_empty() && peer.alive_due > now + EARLY {
                continue;
            }
            peer.alive_told = Some(now);
            peer.alive_due = now + recipient.alive_period;
            told.push(Told {
                peer: recipient.peer,
                compact: peer.can(COMPACT_GROUPS),
                facts: batch.finish(&own_key, self.boot_id, recipient.alive_ttl),
            });
        }
        told
    }

    /// Begins with this peer next time; those that come before it again have little to look at in the news.
    fn put_off(&mut self, first: PublicKey, news: BTreeSet<Fact>) {
        (self.turn, self.put_off) = (Some(first), true);
        self.news = news;
    }

    /// Returns who was told the fact, or said it, and has not forgotten it since.
    pub fn knowers(&self, now: Timestamp, id: FactId) -> impl Iterator<Item = &PublicKey> {
        let knows = move |peer: &Peer| peer.exchange.as_ref().is_some_and(|exchange| exchange.knows(now, id));
        self.peers
            .iter()
            .filter_map(move |(key, peer)| knows(peer).then_some(key))
    }

    /// Returns when [`due`](Self::due) next has something to say to any of the recipients.
    pub fn next(&self, recipients: &[Recipient]) -> Option<Timestamp> {
        if self.put_off {
            return Some(Timestamp::START);
        }
        let peers = recipients
            .iter()
            .filter_map(|recipient| self.peers.get(&recipient.peer));
        let scan_at = |peer: &Peer| peer.exchange.as_ref().and_then(|exchange| exchange.next_scan());
        peers
            .map(|peer| scan_at(peer).map_or(peer.alive_due, |at| at.min(peer.alive_due)))
            .min()
    }
}

fn hash_of(store: &Store, id: FactId) -> Option<FactHash> {
    store.by_id(id).map(|(_, stored)| stored.hash)
}

#[cfg(test)]
mod tests;
