//! What a pass looks at: peers and prefixes about which something may be different; from time to time all of them.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::IpNet;

use crate::mesh::fact::{Fact, store};
use crate::mesh::identity::PublicKey;
use crate::mesh::time::Timestamp;

/// How often everything is looked at anyway: our own facts live on by it, and nothing overlooked lasts.
pub(super) const REVIEW_EVERY: Duration = Duration::from_secs(20);
/// The most peers that one pass looks at, some 3 µs each; the rest waits for the next, which follows soon.
const PEERS_AT_ONCE: usize = 256;
/// The most prefixes that one pass decides about, some 1 µs each.
const PREFIXES_AT_ONCE: usize = 1024;
/// The most changed facts that one pass takes in, some 2 µs each.
const FACTS_AT_ONCE: usize = 1024;
/// The most of each kind that wait for another pass. A flood that brings more makes the pass longer, and not the list.
pub(super) const MAX_WAITING: usize = store::MAX_FACTS;

#[derive(Debug, Default)]
pub(super) struct Agenda {
    peers: BTreeSet<PublicKey>,
    prefixes: BTreeSet<IpNet>,
    /// Facts that came, went, or have another origin.
    facts: Vec<Fact>,
    /// Whether peers looked different on the device, as it was read or planned.
    pub(super) device_differs: bool,
    /// Whether who is a member, or who may say so, may be different.
    pub(super) members: bool,
    reviewed: Option<Timestamp>,
}

impl Agenda {
    pub(super) fn add_peers(&mut self, peers: impl IntoIterator<Item = PublicKey>) {
        self.peers.extend(peers);
    }

    pub(super) fn add_prefixes(&mut self, prefixes: impl IntoIterator<Item = IpNet>) {
        self.prefixes.extend(prefixes);
    }

    pub(super) fn add_facts(&mut self, facts: Vec<Fact>) {
        self.facts.extend(facts);
    }

    /// Has everything looked at in the next pass.
    pub(super) fn add_all(&mut self) {
        self.reviewed = None;
    }

    /// Returns whether everything is due, and counts on it being looked at.
    pub(super) fn take_review(&mut self, now: Timestamp) -> bool {
        let due = self.reviewed.is_none_or(|at| now.since(at) >= REVIEW_EVERY);
        if due {
            self.reviewed = Some(now);
        }
        due
    }

    pub(super) fn take_peers(&mut self) -> BTreeSet<PublicKey> {
        take_some(&mut self.peers, PEERS_AT_ONCE)
    }

    pub(super) fn take_prefixes(&mut self) -> BTreeSet<IpNet> {
        take_some(&mut self.prefixes, PREFIXES_AT_ONCE)
    }

    /// Takes the latest: in which order makes no difference, as each is looked up.
    pub(super) fn take_facts(&mut self) -> Vec<Fact> {
        let waits = self.facts.len().saturating_sub(FACTS_AT_ONCE).min(MAX_WAITING);
        if waits == 0 {
            // Not `split_off`, which would keep the room.
            return std::mem::take(&mut self.facts);
        }
        self.facts.split_off(waits)
    }

    /// Returns how much waits for the next pass.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.peers.len() + self.prefixes.len() + self.facts.len()
    }

    /// Returns whether something waits for the next pass.
    pub(super) fn is_empty(&self) -> bool {
        self.peers.is_empty() && self.prefixes.is_empty() && self.facts.is_empty()
    }
}

fn take_some<T: Ord + Copy>(all: &mut BTreeSet<T>, at_once: usize) -> BTreeSet<T> {
    let most = at_once.max(all.len().saturating_sub(MAX_WAITING));
    match all.iter().nth(most).copied() {
        Some(rest) => {
            let later = all.split_off(&rest);
            std::mem::replace(all, later)
        }
        None => std::mem::take(all),
    }
}
