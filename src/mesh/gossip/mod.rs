//! Who is told what, when. News is passed on at once; what a peer is about to forget, before it does; a sign of life in time.

pub mod knowledge;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::knowledge::{Knowledge, RENEW_BEFORE};
use super::fact::boot::BootId;
use super::fact::store::{FactId, Store, Stored};
use super::fact::value::Value;
use super::fact::{Fact, Timed};
use super::identity::PublicKey;
use super::settings::TrustLevel;
use super::time::Timestamp;

/// The most bytes of facts for one peer in one go, so that a newcomer in a large network does not drown.
const BURST: usize = 32 * super::fact::wire::MAX_FACTS;
/// The most bytes for all peers in one go.
const BURST_ALL: usize = 16 * BURST;
/// With more news than this, everything is looked at instead.
const MAX_NEWS: usize = 4096;
/// How often everything is looked at anyway: what becomes first-hand knowledge lives longer without being news.
const SCAN_PERIOD: Duration = Duration::from_secs(60);
/// How much too early a sign of life is given, to go out together with others: a thousand peers do not make a thousand deadlines.
const EARLY: Duration = Duration::from_millis(500);
/// How often a peer can ask by a new boot ID to be told everything: more often would make this node its amplifier.
const RETELL_EVERY: Duration = Duration::from_secs(5);
/// How often a peer that waits for our sign of life is answered at most: two that answer each other must not spin.
const ANSWER_EVERY: Duration = Duration::from_secs(1);
/// When what did not fit follows.
const PACE: Duration = Duration::from_millis(50);

/// What a peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everything that is meant for others.
    AllFacts,
    /// That this node is alive.
    AliveOnly,
}

/// How a peer stands to this node.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Whether it runs no wirelink.
    pub basic: bool,
    /// How far its word goes.
    pub level: Option<TrustLevel>,
    /// Whether it routes for others.
    pub router: bool,
    /// Whether the operator wants it to be told all.
    pub fact_exchanger: bool,
    /// Whether there is a live session.
    pub healthy: bool,
}

impl Audience {
    /// Returns what a peer is told, by a node that is `talkative` (a router, or chatty) or not (wirelink v1).
    pub fn of(peer: &Standing, talkative: bool) -> Self {
        let passes_on = peer.level >= Some(TrustLevel::AllowedIPs) || peer.router || peer.fact_exchanger;
        if !peer.basic && (passes_on || talkative && peer.healthy) {
            Self::AllFacts
        } else {
            Self::AliveOnly
        }
    }
}

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

/// Remembers what each peer knows.
#[derive(Debug)]
pub struct Gossip {
    own_key: PublicKey,
    boot_id: BootId,
    peers: BTreeMap<PublicKey, Peer>,
    /// Facts that are new, or live longer, or about somebody of whom more is told now.
    news: BTreeSet<Fact>,
}

#[derive(Debug, Default)]
struct Peer {
    knowledge: Knowledge,
    /// The boot ID that counts, and since when.
    boot_id: Option<(BootId, Timestamp)>,
    audience: Option<Audience>,
    /// When the peer was last told that we live; never, where it must be told at once.
    alive_told: Option<Timestamp>,
    alive_due: Timestamp,
    answered: Option<Timestamp>,
    /// When all facts are compared with what the peer knows.
    scan_at: Timestamp,
}

impl Gossip {
    /// Starts with peers that know nothing.
    pub fn new(own_key: PublicKey, boot_id: BootId) -> Self {
        Self {
            own_key,
            boot_id,
            peers: BTreeMap::new(),
            news: BTreeSet::new(),
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

    /// Forgets all that are not peers any more.
    pub fn retain(&mut self, is_peer: impl Fn(&PublicKey) -> bool) {
        self.peers.retain(|key, _| is_peer(key));
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

    /// Notes that the peer said this fact, and so knows it.
    pub fn heard_fact(&mut self, peer: &PublicKey, id: FactId, until: Timestamp) {
        self.peers.entry(*peer).or_default().knowledge.learn(id, until);
    }

    /// Notes a fact that others should hear soon.
    pub fn add_news(&mut self, fact: Fact) {
        self.news.insert(fact);
        if self.news.len() > MAX_NEWS {
            self.news.clear();
            self.peers.values_mut().for_each(|peer| peer.scan_at = Timestamp::START);
        }
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

    /// Returns what each peer is told now, and counts on it being sent. Nothing is told about subjects that `is_told` turns
    /// down.
    pub fn due(
        &mut self,
        now: Timestamp,
        recipients: &[Recipient],
        store: &Store,
        is_told: impl Fn(&PublicKey) -> bool,
    ) -> Vec<(PublicKey, Vec<Timed>)> {
        let news = std::mem::take(&mut self.news);
        let news: Vec<(&Fact, &Stored)> = news.iter().filter_map(|fact| store.entry(fact)).collect();
        let mut budget = BURST_ALL;
        let mut told = Vec::new();
        for recipient in recipients {
            let own_key = &self.own_key;
            let is_meant = |fact: &Fact| {
                let about_it = fact.subject == recipient.peer;
                (fact.subject == *own_key || is_told(&fact.subject))
                    && (!about_it || fact.attribute().row().told_to_subject)
            };
            let peer = self.peers.entry(recipient.peer).or_default();
            peer.adopt(now, recipient);
            let room = budget.min(BURST);
            let mut batch = Batch {
                facts: Vec::new(),
                room,
                cut: false,
            };
            peer.collect(now, &mut batch, store, &news, is_meant);
            if !batch.facts.is_empty() || peer.alive_due <= now + EARLY {
                batch.facts.insert(0, alive(own_key, self.boot_id, recipient.alive_ttl));
                peer.alive_told = Some(now);
                peer.alive_due = now + recipient.alive_period;
                budget -= room - batch.room;
                told.push((recipient.peer, batch.facts));
            }
        }
        told
    }

    /// Returns when [`due`](Self::due) next has something to say to any of the recipients.
    pub fn next(&self, recipients: &[Recipient]) -> Option<Timestamp> {
        let peers = recipients
            .iter()
            .filter_map(|recipient| self.peers.get(&recipient.peer));
        peers
            .map(|peer| match peer.audience {
                Some(Audience::AllFacts) => peer.alive_due.min(peer.scan_at),
                Some(Audience::AliveOnly) | None => peer.alive_due,
            })
            .min()
    }
}

/// What one peer is told in one go.
struct Batch {
    facts: Vec<Timed>,
    room: usize,
    cut: bool,
}

impl Peer {
    /// Takes in what is decided about the peer now.
    fn adopt(&mut self, now: Timestamp, recipient: &Recipient) {
        self.alive_due = self.alive_told.map_or(now, |told| told + recipient.alive_period);
        if self.audience != Some(recipient.audience) {
            self.audience = Some(recipient.audience);
            self.scan_at = now;
        }
    }

    fn collect(
        &mut self,
        now: Timestamp,
        batch: &mut Batch,
        store: &Store,
        news: &[(&Fact, &Stored)],
        is_meant: impl Fn(&Fact) -> bool,
    ) {
        if self.audience != Some(Audience::AllFacts) {
            return;
        }
        if now < self.scan_at {
            let next = self.offer(now, batch, news.iter().copied(), is_meant);
            self.scan_at = next.map_or(self.scan_at, |next| next.min(self.scan_at));
        } else {
            self.knowledge.prune(now);
            let next = self.offer(now, batch, store.iter(), is_meant);
            self.scan_at = next.map_or(now + SCAN_PERIOD, |next| next.min(now + SCAN_PERIOD));
        }
        if batch.cut {
            self.scan_at = now + PACE;
        }
    }

    /// Takes from the facts what the peer needs now; returns when it next needs one of them.
    fn offer<'a>(
        &mut self,
        now: Timestamp,
        batch: &mut Batch,
        facts: impl Iterator<Item = (&'a Fact, &'a Stored)>,
        is_meant: impl Fn(&Fact) -> bool,
    ) -> Option<Timestamp> {
        let mut next: Option<Timestamp> = None;
        let mut later = |at: Timestamp| next = Some(next.map_or(at, |next| next.min(at)));
        for (fact, stored) in facts.filter(|(fact, _)| is_meant(fact)) {
            match self.knowledge.due(stored.id, stored.expires) {
                Some(at) if at <= now => batch.add(now, fact, stored, &mut self.knowledge),
                Some(at) => later(at),
                None => {}
            }
            // A copy that lives longer by then is due; one that was not renewed in between costs a look.
            if stored.expires - RENEW_BEFORE > now {
                later(stored.expires - RENEW_BEFORE);
            }
        }
        next
    }
}

impl Batch {
    fn add(&mut self, now: Timestamp, fact: &Fact, stored: &Stored, knowledge: &mut Knowledge) {
        let ttl = Duration::from_secs(stored.expires.since(now).as_secs());
        if ttl.is_zero() {
            return;
        }
        let timed = Timed {
            fact: fact.clone(),
            ttl,
        };
        let mut bytes = Vec::new();
        super::fact::wire::put_fact(&timed, &mut bytes);
        if bytes.len() > self.room {
            self.cut = true;
            return;
        }
        self.room -= bytes.len();
        knowledge.learn(stored.id, stored.expires);
        self.facts.push(timed);
    }
}

fn alive(own_key: &PublicKey, boot_id: BootId, ttl: Duration) -> Timed {
    Timed {
        fact: Fact {
            subject: *own_key,
            value: Value::Alive(boot_id),
        },
        ttl,
    }
}

#[cfg(test)]
mod tests;
