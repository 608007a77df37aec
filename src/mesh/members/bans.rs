//! Who is out: keys that an operator denied, here or at a node whose word counts for members.
//!
//! A ban is a *verdict* about a key, with a version: of two verdicts the one with the higher version counts, and of the same version
//! the ban. An operator's decision gets the next version, so a node that was away learns the latest one and cannot bring back an
//! earlier one. Nodes exchange verdicts as facts ([`Denied`](crate::mesh::believe::fact::value::Value::Denied)): the node whose operator decided says
//! it for as long as it runs, and routers pass it on.
//!
//! A verdict from a fact is kept for [`KEPT_FOR`] after it was heard last, because that is the longest time for which anything that it
//! keeps out is remembered anywhere. A verdict of the operator of this node has no end.
//!
//! `Denied` in the settings of this node outranks every verdict, in both directions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::settings::Settings;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::value::Denied;
use crate::mesh::keep::memory::{KEPT_FOR, RememberedBan};

/// The most keys with a verdict: as many as members can be brought by facts.
pub const MAX_BANS: usize = crate::mesh::keep::memory::MAX_PEERS;
/// How many of them only the operator of this node can fill.
const RESERVED: usize = MAX_BANS / 4;

/// What was decided about a key, by whom, and when that was heard last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What.
    pub what: Denied,
    /// The node whose operator, or whose word, it is.
    pub by: PublicKey,
    /// Whether it follows from the settings of this node.
    is_written: bool,
    /// How long ago it was heard last, as of a moment.
    age: Duration,
    as_of: Timestamp,
}

impl Verdict {
    fn age(&self, now: Timestamp) -> Duration {
        self.age.saturating_add(now.since(self.as_of))
    }

    const fn heard(self, now: Timestamp) -> Self {
        Self {
            age: Duration::ZERO,
            as_of: now,
            ..self
        }
    }
}

/// What this node knows of bans.
#[derive(Debug)]
pub struct Bans {
    own: PublicKey,
    verdicts: BTreeMap<PublicKey, Verdict>,
    written: BTreeMap<PublicKey, bool>,
    is_configured: bool,
}

impl Bans {
    /// Starts with none.
    pub fn new(own: PublicKey) -> Self {
        Self {
            own,
            verdicts: BTreeMap::new(),
            written: BTreeMap::new(),
            is_configured: false,
        }
    }

    /// Takes what the settings say; what they no longer deny is pardoned. Returns the keys about which something is different.
    pub fn configure(&mut self, now: Timestamp, settings: &Settings) -> BTreeSet<PublicKey> {
        self.is_configured = true;
        let written = settings
            .peers
            .iter()
            .filter_map(|(key, peer)| Some((*key, peer.denied?)));
        let before = std::mem::replace(&mut self.written, written.collect());
        let mut touched: BTreeSet<PublicKey> = before.keys().chain(self.written.keys()).copied().collect();
        touched.retain(|key| before.get(key) != self.written.get(key));
        let lifted = self.verdicts.iter().filter(|(key, verdict)| {
            verdict.is_written && verdict.what.denied && self.written.get(*key) != Some(&true)
        });
        for key in lifted.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.set(now, &key, false, true);
            touched.insert(key);
        }
        let denied = self.written.iter().filter(|(_, denied)| **denied);
        for key in denied.map(|(key, _)| *key).collect::<Vec<_>>() {
            // What another operator decided later is left to that one: it counts there, and not here.
            let is_ours = self
                .verdicts
                .get(&key)
                .is_none_or(|verdict| verdict.by == self.own && !verdict.what.denied);
            if is_ours {
                self.set(now, &key, true, true);
                touched.insert(key);
            }
        }
        touched
    }

    /// Returns whether the settings were taken in.
    pub const fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// Takes back what was remembered.
    pub fn resume(&mut self, now: Timestamp, remembered: &BTreeMap<PublicKey, RememberedBan>) {
        for (key, ban) in remembered {
            let verdict = Verdict {
                what: ban.what,
                by: ban.by,
                is_written: ban.is_written,
                age: ban.age,
                as_of: now,
            };
            self.verdicts.entry(*key).or_insert(verdict);
        }
    }

    /// Returns what is to be remembered.
    pub fn remember(&self, now: Timestamp) -> BTreeMap<PublicKey, RememberedBan> {
        let remembered = |verdict: &Verdict| RememberedBan {
            what: verdict.what,
            by: verdict.by,
            is_written: verdict.is_written,
            age: verdict.age(now),
        };
        let all = self.verdicts.iter();
        all.map(|(key, verdict)| (*key, remembered(verdict))).collect()
    }

    /// Takes the decision of the operator of this node; returns whether there was room.
    pub fn decide(&mut self, now: Timestamp, key: &PublicKey, denied: bool) -> bool {
        self.set(now, key, denied, false)
    }

    fn set(&mut self, now: Timestamp, key: &PublicKey, denied: bool, is_written: bool) -> bool {
        if *key == self.own || !self.verdicts.contains_key(key) && !self.make_room() {
            return false;
        }
        let version = self.verdicts.get(key).map_or(0, |verdict| verdict.what.version);
        let verdict = Verdict {
            what: Denied {
                denied,
                version: version.saturating_add(1),
            },
            by: self.own,
            is_written,
            age: Duration::ZERO,
            as_of: now,
        };
        self.verdicts.insert(*key, verdict);
        true
    }

    /// Makes room for a decision of the operator, who outranks all others: the oldest verdict from elsewhere goes. Returns whether there is
    /// room.
    fn make_room(&mut self) -> bool {
        if self.verdicts.len() < MAX_BANS {
            return true;
        }
        let elsewhere = self.verdicts.iter().filter(|(_, verdict)| verdict.by != self.own);
        let oldest = elsewhere.min_by_key(|(_, verdict)| verdict.as_of).map(|(key, _)| *key);
        oldest.and_then(|key| self.verdicts.remove(&key)).is_some()
    }

    /// Returns whether a node may bring another verdict. It may have as many as are free besides (the dynamic threshold of Choudhury and
    /// Hahne), so that one that brings all it can leaves as much to the next.
    fn has_room(&self, by: &PublicKey) -> bool {
        let free = (MAX_BANS - RESERVED).saturating_sub(self.verdicts.len());
        free > 0 && self.verdicts.values().filter(|verdict| verdict.by == *by).count() < free
    }

    /// Takes what a trusted node says; returns whether it is another verdict than before.
    pub fn learn(&mut self, now: Timestamp, key: &PublicKey, what: Denied, by: PublicKey) -> bool {
        let known = self.verdicts.get(key).copied();
        if *key == self.own || known.is_none() && (!what.denied || !self.has_room(&by)) {
            return false;
        }
        match known {
            Some(known) if known.what.rank() > what.rank() => false,
            Some(known) if known.what == what => {
                // Nothing makes a decision of this node's operator older or somebody else's.
                if known.by != self.own {
                    self.verdicts.insert(*key, known.heard(now));
                }
                false
            }
            Some(_) | None => {
                let verdict = Verdict {
                    what,
                    by,
                    is_written: false,
                    age: Duration::ZERO,
                    as_of: now,
                };
                self.verdicts.insert(*key, verdict);
                known.is_none_or(|known| known.what.denied != what.denied)
            }
        }
    }

    /// Forgets verdicts that are too old to keep anything out, and pardons that all have heard by now; returns whose. One that somebody still says is new.
    pub fn expire(&mut self, now: Timestamp, is_told: impl Fn(&PublicKey, Denied) -> bool) -> Vec<PublicKey> {
        for (key, verdict) in &mut self.verdicts {
            if verdict.by != self.own && is_told(key, verdict.what) {
                *verdict = verdict.heard(now);
            }
        }
        let own = self.own;
        let is_over = |verdict: &Verdict| {
            let has_end = verdict.by != own || !verdict.what.denied;
            has_end && verdict.age(now) >= KEPT_FOR
        };
        let over = self.verdicts.iter().filter(|(_, verdict)| is_over(verdict));
        let over: Vec<PublicKey> = over.map(|(key, _)| *key).collect();
        for key in &over {
            self.verdicts.remove(key);
        }
        over
    }

    /// Returns the keys that are out. A verdict from elsewhere counts for none that `is_protected`: nobody cuts this node off from
    /// the peers that it relies on.
    pub fn denied(&self, is_protected: impl Fn(&PublicKey) -> bool) -> BTreeSet<PublicKey> {
        let written = self.written.iter().filter(|(_, denied)| **denied).map(|(key, _)| *key);
        let judged = self.verdicts.iter().filter(|(key, verdict)| {
            verdict.what.denied && !self.written.contains_key(*key) && (verdict.by == self.own || !is_protected(key))
        });
        written
            .chain(judged.map(|(key, _)| *key))
            .filter(|key| *key != self.own)
            .collect()
    }

    /// Returns the verdict about a key.
    pub fn of(&self, key: &PublicKey) -> Option<&Verdict> {
        self.verdicts.get(key)
    }

    /// Returns what the settings of this node say about a key.
    pub fn written(&self, key: &PublicKey) -> Option<bool> {
        self.written.get(key).copied()
    }

    /// Returns what this node says about a key, as the decision of its operator.
    pub fn said(&self, key: &PublicKey) -> Option<Denied> {
        let verdict = self.verdicts.get(key).filter(|verdict| verdict.by == self.own);
        verdict.map(|verdict| verdict.what)
    }

    /// Returns all keys about which this node says something.
    pub fn all_said(&self) -> impl Iterator<Item = PublicKey> {
        let ours = self.verdicts.iter().filter(|(_, verdict)| verdict.by == self.own);
        ours.map(|(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::base::settings::PeerSettings;

    const OWN: PublicKey = PublicKey::from_bytes([1; 32]);
    const HUB: PublicKey = PublicKey::from_bytes([2; 32]);
    const OUT: PublicKey = PublicKey::from_bytes([3; 32]);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(seconds))
    }

    fn told(denied: bool, version: u32) -> Denied {
        Denied { denied, version }
    }

    fn is_out(bans: &Bans) -> bool {
        bans.denied(|_| false).contains(&OUT)
    }

    fn written(denied: Option<bool>) -> Settings {
        let peer = PeerSettings {
            denied,
            ..PeerSettings::default()
        };
        Settings {
            peers: [(OUT, peer)].into(),
            ..Settings::default()
        }
    }

    #[test]
    fn the_latest_decision_counts() {
        let mut bans = Bans::new(OWN);
        assert!(bans.learn(at(0), &OUT, told(true, 3), HUB) && is_out(&bans));
        assert!(
            !bans.learn(at(0), &OUT, told(false, 2), HUB),
            "an earlier one does not return"
        );
        assert!(
            !bans.learn(at(0), &OUT, told(false, 3), HUB),
            "of two at once the ban counts"
        );
        assert!(bans.learn(at(0), &OUT, told(false, 4), HUB) && !is_out(&bans));
        assert!(bans.decide(at(0), &OUT, true) && is_out(&bans));
        assert_eq!(bans.said(&OUT), Some(told(true, 5)));
    }

    #[test]
    fn told_ban_lasts_as_long_as_memory_and_a_decided_one_forever() {
        let week = KEPT_FOR.as_secs();
        let mut bans = Bans::new(OWN);
        bans.learn(at(0), &OUT, told(true, 1), HUB);
        bans.learn(at(100), &OUT, told(true, 1), HUB);
        assert!(bans.expire(at(week + 99), |_, _| false).is_empty() && is_out(&bans));
        assert_eq!(bans.expire(at(week + 100), |_, _| false), [OUT]);
        assert!(!is_out(&bans));
        bans.decide(at(0), &OUT, true);
        assert!(bans.expire(at(50 * week), |_, _| false).is_empty() && is_out(&bans));
    }

    #[test]
    fn a_restart_keeps_verdicts_and_their_ages() {
        let mut bans = Bans::new(OWN);
        bans.learn(at(0), &OUT, told(true, 7), HUB);
        let remembered = bans.remember(at(1000));
        let mut again = Bans::new(OWN);
        again.resume(at(5000), &remembered);
        assert!(is_out(&again));
        assert_eq!(again.remember(at(5000)), remembered);
    }

    #[test]
    fn the_settings_outrank_every_verdict() {
        let mut bans = Bans::new(OWN);
        bans.learn(at(0), &OUT, told(true, 7), HUB);
        bans.configure(at(0), &written(Some(false)));
        assert!(!is_out(&bans));
        bans.configure(at(0), &written(Some(true)));
        bans.learn(at(0), &OUT, told(false, 8), HUB);
        assert!(is_out(&bans));
    }

    #[test]
    fn what_the_settings_deny_no_longer_is_pardoned() {
        let mut bans = Bans::new(OWN);
        bans.configure(at(0), &written(Some(true)));
        assert_eq!((bans.said(&OUT), is_out(&bans)), (Some(told(true, 1)), true));
        assert!(bans.configure(at(0), &written(Some(true))).is_empty());
        let remembered = bans.remember(at(0));
        let mut again = Bans::new(OWN);
        again.resume(at(1), &remembered);
        again.configure(at(1), &written(None));
        assert_eq!((again.said(&OUT), is_out(&again)), (Some(told(false, 2)), false));
    }

    #[test]
    fn nobody_bans_this_node_or_a_peer_that_it_relies_on() {
        let mut bans = Bans::new(OWN);
        assert!(!bans.learn(at(0), &OWN, told(true, 1), HUB) && !bans.decide(at(0), &OWN, true));
        bans.learn(at(0), &OUT, told(true, 1), HUB);
        assert!(bans.denied(|key| *key == OUT).is_empty());
        bans.decide(at(0), &OUT, true);
        assert!(
            bans.denied(|key| *key == OUT).contains(&OUT),
            "but its own operator does"
        );
    }

    /// Has a node ban as many keys as it can.
    fn flood(bans: &mut Bans, by: PublicKey) {
        for number in 0..=u32::try_from(MAX_BANS).unwrap() {
            let mut bytes = *by.as_bytes();
            bytes[28..].copy_from_slice(&number.to_be_bytes());
            bans.learn(at(0), &PublicKey::from_bytes(bytes), told(true, 1), by);
        }
    }

    #[test]
    fn bans_of_one_node_leave_room_for_others() {
        let mut bans = Bans::new(OWN);
        flood(&mut bans, PublicKey::from_bytes([4; 32]));
        flood(&mut bans, PublicKey::from_bytes([5; 32]));
        assert!(bans.verdicts.len() <= MAX_BANS - RESERVED);
        assert!(bans.learn(at(0), &OUT, told(true, 1), HUB) && is_out(&bans));
    }

    #[test]
    fn operator_bans_although_others_filled_the_table() {
        let mut bans = Bans::new(OWN);
        (4..7).for_each(|by| flood(&mut bans, PublicKey::from_bytes([by; 32])));
        let said = |number: usize| {
            let mut bytes = [200; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            PublicKey::from_bytes(bytes)
        };
        assert!((0..MAX_BANS).all(|number| bans.decide(at(0), &said(number), true)));
        assert_eq!(bans.verdicts.len(), MAX_BANS);
        assert!(!bans.decide(at(0), &OUT, true), "all are the operator's own");
    }
}
