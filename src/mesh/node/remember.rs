//! What is known across restarts: taken up when the node starts, written down before the device is changed, and now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::prefix::is_reserved;
use crate::mesh::base::settings::FACT_TTL;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::value::{Metadata, Value};
use crate::mesh::believe::fact::{Accepted, Fact, FirstHand, Origin};
use crate::mesh::device::mirror::Mirror;
use crate::mesh::keep::memory::{Introduced, Known, Memory, Named, Reached};
use crate::mesh::node::Node;
use crate::mesh::show::event::Output;

/// How long news of members and endpoints waits for more of its kind before it is written down.
const SETTLED: Duration = Duration::from_secs(5);
/// How often what is written down together with what was put on the device is collected at most: that looks at all facts.
const COLLECT_EVERY: Duration = Duration::from_secs(5);
/// How often news is written down at most.
const WRITE_EVERY: Duration = Duration::from_secs(180);
/// How often ages are written down when there is no news at all: a fraction of what makes them too old.
const RENEW_EVERY: Duration = Duration::from_secs(6 * 3600);

/// What is remembered, and how far it was taken up and written down.
#[derive(Debug)]
pub(super) struct Recall {
    /// As it was written down last, or handed in.
    memory: Memory,
    /// The moment as of which its ages count.
    as_of: Timestamp,
    started: Timestamp,
    /// Whether the device was read, and the memory compared with it.
    is_taken_up: bool,
    /// To whom traffic went directly when the last run ended, as far as their links were not looked at yet.
    resumed: BTreeSet<PublicKey>,
    /// Who is remembered, and not believed in yet.
    waiting: BTreeSet<PublicKey>,
    news_since: Option<Timestamp>,
    written: Option<Timestamp>,
    /// Whether what was put on the device was written down without what is known of others, which was collected a moment before.
    is_partial: bool,
    /// Whether the epoch of this run, or a verdict, is not written down yet.
    owes: bool,
    /// Since when more is written down than is on the device because of us or may soon be.
    surplus_since: Option<Timestamp>,
}

impl Recall {
    /// Starts with no memory.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            memory: Memory::default(),
            as_of: now,
            started: now,
            is_taken_up: false,
            resumed: BTreeSet::new(),
            waiting: BTreeSet::new(),
            news_since: None,
            written: None,
            is_partial: false,
            owes: false,
            surplus_since: None,
        }
    }

    /// Takes in what was remembered before the start.
    pub(super) fn adopt(&mut self, now: Timestamp, memory: Memory) {
        self.waiting = memory.peers.keys().copied().collect();
        (self.memory, self.as_of) = (memory, now);
    }

    /// Returns the epoch of this run, for which the clock on the wall says this; written down as soon as that can be. It is never less
    /// than that of an earlier run: the clock may have been set back, and peers take what is of an earlier run for a replay.
    pub(super) fn begin_epoch(&mut self, by_clock: u64) -> u64 {
        self.memory.epoch = by_clock.max(self.memory.epoch.saturating_add(1));
        self.owes = true;
        self.memory.epoch
    }

    /// Takes in that there is something to be remembered that can wait.
    pub(super) fn expect_news(&mut self, now: Timestamp) {
        self.news_since.get_or_insert(now);
    }

    /// Forgets a peer that is no member any more.
    pub(super) fn forget(&mut self, peer: &PublicKey) {
        self.memory.peers.remove(peer);
        self.waiting.remove(peer);
    }

    /// Returns what is on the device because of us, as it was written down last.
    pub(super) fn introduced(&self) -> &Introduced {
        &self.memory.introduced
    }

    /// Returns whether traffic went directly to the peer when the last run ended, once.
    pub(super) fn resumes(&mut self, peer: &PublicKey) -> bool {
        self.resumed.remove(peer)
    }

    /// Takes in that there is something to be written down at once.
    pub(super) fn owe(&mut self) {
        self.owes = true;
    }

    /// Takes in what is to be written down as what is on the device because of us.
    pub(super) fn introduce(&mut self, introduced: Introduced) {
        (self.memory.introduced, self.surplus_since) = (introduced, None);
    }

    /// Takes in whether more is written down than has a reason by now: that can wait.
    pub(super) fn note_surplus(&mut self, now: Timestamp, is_there: bool) {
        self.surplus_since = is_there.then(|| self.surplus_since.unwrap_or(now));
    }

    /// Returns when what has no reason any more is written down no longer.
    fn trims_at(&self) -> Option<Timestamp> {
        self.surplus_since.map(|since| since + COLLECT_EVERY)
    }

    /// Returns when something is to be written down.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let renewal = self.written.map(|at| at + RENEW_EVERY);
        let news = self.news_since.map(|since| {
            let earliest = self.written.map(|at| at + WRITE_EVERY);
            earliest.unwrap_or_default().max(since + SETTLED)
        });
        let rest = self.is_partial.then(|| self.as_of + COLLECT_EVERY);
        let trim = self.trims_at();
        news.into_iter().chain(renewal).chain(rest).chain(trim).min()
    }
}

impl Node {
    /// Compares what is remembered with the first reading of the device: what is on it as remembered is ours again.
    pub(super) fn take_up(&mut self, device: &Mirror) {
        if std::mem::replace(&mut self.recall.is_taken_up, true) {
            return;
        }
        let introduced = self.recall.memory.introduced.clone().on(device);
        let is_ours = |key: &PublicKey| {
            introduced.peers.contains(key) || introduced.prefixes.values().any(|given| given.peer == *key)
        };
        let carry = device
            .peers
            .iter()
            .filter(|(_, peer)| !peer.allowed_ips.iter().all(is_reserved));
        self.recall.resumed = carry.map(|(key, _)| *key).filter(is_ours).collect();
        self.membership.resume(introduced.peers);
        self.routes.resume(introduced.prefixes);
        self.endpoints.resume(introduced.endpoints, device);
    }

    /// Believes again what was remembered, for as long as a fact lives. A node whose word it was must be trusted with it now.
    pub(super) fn recall(&mut self, now: Timestamp) {
        if self.recall.waiting.is_empty() {
            return;
        }
        if now.since(self.recall.started) >= FACT_TTL {
            self.recall.waiting.clear();
            return;
        }
        for subject in std::mem::take(&mut self.recall.waiting) {
            if self.trust.is_denied(&subject) {
                continue;
            }
            let known = self.recall.memory.peers.get(&subject).cloned().unwrap_or_default();
            if !self.recall_peer(now, subject, &known) {
                self.recall.waiting.insert(subject);
            }
        }
        self.note_facts(now);
    }

    /// Returns whether all that is remembered of the peer is believed.
    fn recall_peer(&mut self, now: Timestamp, subject: PublicKey, known: &Known) -> bool {
        let said = known.named.iter().flat_map(|named| {
            let values = values(named).into_iter();
            values.map(|value| (named.by, Fact { subject, value }))
        });
        let (believed, doubted): (Vec<_>, Vec<_>) = said.partition(|(by, fact)| self.trust.believes(by, fact));
        believed.into_iter().for_each(|(_, fact)| self.recall_fact(now, fact));
        let endpoints = known.endpoints.iter().map(|reached| reached.endpoint);
        for endpoint in endpoints
            .filter(|endpoint| self.trust.is_endpoint(endpoint).is_ok())
            .collect::<Vec<_>>()
        {
            let value = Value::Endpoint(endpoint);
            self.recall_fact(now, Fact { subject, value });
        }
        doubted.is_empty()
    }

    fn recall_fact(&mut self, now: Timestamp, fact: Fact) {
        let life = FACT_TTL.saturating_sub(now.since(self.recall.started));
        let accepted = Accepted::first_hand(fact, life, FirstHand::Remembered);
        // One for which there is no room is not missed: whoever fills the store tells more than memory.
        self.store.insert(now, accepted);
        self.gossip.forget_for_room(&self.store.take_evicted());
    }

    /// Has the rest written down when it is time for that, if there is anything new.
    pub(super) fn remember_rest(&mut self, now: Timestamp, device: &Mirror) {
        if self.recall.owes {
            return self.hand_out();
        }
        if self.recall.next().is_none_or(|at| now < at) {
            return;
        }
        if self.recall.trims_at().is_some_and(|at| at <= now) {
            self.recall.introduce(self.foreseen(device));
            return self.write_down(now, device);
        }
        let is_renewal = self.recall.written.is_some_and(|at| now.since(at) >= RENEW_EVERY);
        let before = self.recall.memory.peers.clone();
        self.refresh(now, device);
        if is_renewal || !is_alike(&before, &self.recall.memory.peers) {
            self.recall.written = Some(now);
            self.hand_out();
        }
    }

    /// Has everything written down as it is at the end, with what is `left` on the device because of us.
    pub(super) fn remember_at_last(&mut self, now: Timestamp, device: &Mirror, left: Introduced) {
        let had_some = !self.recall.memory.is_empty();
        self.recall.introduce(left);
        self.refresh(now, device);
        if had_some || !self.recall.memory.is_empty() {
            self.hand_out();
        }
    }

    pub(super) fn write_down(&mut self, now: Timestamp, device: &Mirror) {
        if now.since(self.recall.as_of) >= COLLECT_EVERY || self.recall.written.is_none() {
            self.refresh(now, device);
            self.recall.written = Some(now);
        } else {
            self.recall.is_partial = true;
        }
        self.hand_out();
    }

    fn hand_out(&mut self) {
        self.recall.owes = false;
        self.recall.memory.bans = self.bans.remember(self.recall.as_of);
        let memory = Box::new(self.recall.memory.clone());
        self.outputs.push_back(Output::Remember(memory));
    }

    /// Brings what is known of others up to date. Who is not named any more grows older, and is forgotten at last; at once, where
    /// somebody who should name it was heard for long enough.
    fn refresh(&mut self, now: Timestamp, device: &Mirror) {
        let passed = now.since(self.recall.as_of);
        let named = self.named_now();
        let is_missed = self.membership.has_vouched_long(now);
        let memory = &mut self.recall.memory;
        memory.grow_older(passed);
        (self.recall.as_of, self.recall.news_since, self.recall.is_partial) = (now, None, false);
        if is_missed {
            let unnamed = memory.peers.iter_mut().filter(|(key, _)| !named.contains_key(key));
            unnamed.for_each(|(_, known)| known.named = None);
        }
        for (subject, named) in named {
            memory.peers.entry(subject).or_default().named = Some(named);
        }
        for key in &self.census.healthy {
            if let Some(endpoint) = device.peers.get(key).and_then(|peer| peer.endpoint) {
                memory.reached(*key, endpoint);
            }
        }
        memory.peers.retain(|key, known| {
            known.named.is_some() || device.peers.contains_key(key) && !known.endpoints.is_empty()
        });
        memory.keep_within_bounds();
    }

    /// Collects who is named by others now. What only memory says counts for those of whom others say something, too: they may
    /// not have said all yet.
    fn named_now(&self) -> BTreeMap<PublicKey, Named> {
        let own_key = self.auth.public_key();
        let about_standing = self
            .store
            .iter()
            .filter(|(fact, _)| fact.subject != *own_key && is_about_standing(&fact.value));
        let mut all = BTreeMap::new();
        // All about one subject come together.
        let mut current: Option<(PublicKey, Named, bool)> = None;
        for (fact, stored) in about_standing {
            let by = match stored.origin {
                Origin::Peer(by) => Some(by),
                Origin::Remembered => None,
                Origin::Observed | Origin::Configured => continue,
            };
            let is_other = current.as_ref().is_none_or(|(subject, ..)| *subject != fact.subject);
            if is_other {
                all.extend(current.take().and_then(said));
            }
            let (_, named, is_said) =
                current.get_or_insert_with(|| (fact.subject, nothing_by(PublicKey::FIRST), false));
            note(named, &fact.value);
            if let Some(by) = by
                && (!*is_said || fact.value.is_membership())
            {
                (named.by, *is_said) = (by, true);
            }
        }
        all.extend(current.and_then(said));
        all
    }
}

/// Returns what is named of a subject, where somebody says it who is heard.
fn said((subject, named, is_said): (PublicKey, Named, bool)) -> Option<(PublicKey, Named)> {
    is_said.then_some((subject, named))
}

fn nothing_by(by: PublicKey) -> Named {
    Named {
        by,
        member: false,
        name: None,
        basic: false,
        allowed_ips: BTreeSet::new(),
        age: Duration::ZERO,
    }
}

fn is_about_standing(value: &Value) -> bool {
    match value {
        Value::Member | Value::MemberMetadata(_) | Value::AllowedIp(_) => true,
        Value::Alive(_)
        | Value::Endpoint(_)
        | Value::Digest { .. }
        | Value::Holdings(_)
        | Value::Reset(_)
        | Value::Withdrawn(_)
        | Value::Probes(_)
        | Value::Signal(_)
        | Value::Heartbeat(_)
        | Value::Echo(_)
        | Value::Denied(_) => false,
    }
}

fn note(named: &mut Named, value: &Value) {
    match value {
        Value::Member => named.member = true,
        Value::MemberMetadata(metadata) => {
            named.member = true;
            named.name = metadata.name().or(named.name.take());
            named.basic |= metadata.is_basic();
        }
        Value::AllowedIp(prefix) => {
            named.allowed_ips.insert(*prefix);
        }
        Value::Alive(_)
        | Value::Endpoint(_)
        | Value::Digest { .. }
        | Value::Holdings(_)
        | Value::Reset(_)
        | Value::Withdrawn(_)
        | Value::Probes(_)
        | Value::Signal(_)
        | Value::Heartbeat(_)
        | Value::Echo(_)
        | Value::Denied(_) => {}
    }
}

/// Returns what is said of somebody, as the values of facts.
fn values(named: &Named) -> Vec<Value> {
    let metadata = || Value::MemberMetadata(Metadata::new(named.name.as_deref(), named.basic));
    let member = match (named.member, &named.name, named.basic) {
        (false, _, _) => None,
        (true, None, false) => Some(Value::Member),
        (true, _, _) => Some(metadata()),
    };
    let prefixes = named.allowed_ips.iter().map(|prefix| Value::AllowedIp(*prefix));
    member.into_iter().chain(prefixes).collect()
}

/// Returns whether two memories of others say the same, ages aside, and whose word it is: of two hubs now one said it last, now the
/// other.
fn is_alike(one: &BTreeMap<PublicKey, Known>, other: &BTreeMap<PublicKey, Known>) -> bool {
    let ageless = |known: &Known| Known {
        named: known.named.clone().map(|named| Named {
            by: PublicKey::FIRST,
            age: Duration::ZERO,
            ..named
        }),
        endpoints: known
            .endpoints
            .iter()
            .map(|reached| Reached {
                age: Duration::ZERO,
                ..*reached
            })
            .collect(),
    };
    let same =
        |((one, a), (other, b)): ((&PublicKey, &Known), (&PublicKey, &Known))| one == other && ageless(a) == ageless(b);
    one.len() == other.len() && one.iter().zip(other).all(same)
}
