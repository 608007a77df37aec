//! Contact detection: whether a peer has been heard through the tunnel lately (SWIM's alive).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::boot::{Announcement, BootId};
use crate::mesh::reach::link::shared_key::Runs;

/// How long an alive fact between our own nodes counts, whatever it says: three periods.
pub const OURS_TTL: Duration = Duration::from_secs(75);
/// How often our own nodes tell one another that they are alive.
pub const OURS_PERIOD: Duration = Duration::from_secs(25);
/// How long an alive fact to a v1 node lives (wirelink v1).
pub const V1_TTL: Duration = Duration::from_secs(255);
/// How often a v1 node is told (wirelink v1).
pub const V1_PERIOD: Duration = Duration::from_secs(30);

/// How often a peer is told that has a new session and was not heard through it: the first word may have been lost.
pub const FIRST_WORDS_PERIOD: Duration = Duration::from_secs(2);
/// How long after the handshake that goes on; then it is taken for one that runs no wirelink.
pub const FIRST_WORDS_FOR: Duration = Duration::from_secs(30);

/// The sign of life of a peer that was heard last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    boot_id: BootId,
    heard: Timestamp,
    ttl: Duration,
}

impl Liveness {
    /// Takes an alive fact in; the newest counts, even where an older one claimed to live longer.
    pub fn heard(now: Timestamp, boot_id: BootId, ttl: Duration) -> Self {
        let bound = if boot_id.announcement().is_some() {
            OURS_TTL
        } else {
            V1_TTL
        };
        Self {
            boot_id,
            heard: now,
            ttl: ttl.min(bound),
        }
    }

    /// Returns the boot ID under which the peer was heard.
    pub fn boot_id(&self) -> BootId {
        self.boot_id
    }

    /// Returns what the peer announced, if it is one of ours.
    pub fn announcement(&self) -> Option<Announcement> {
        self.boot_id.announcement()
    }

    /// Returns whether the peer announced itself as one of ours, not so long ago that it may be something else by now.
    pub fn is_one_of_ours(&self, now: Timestamp) -> bool {
        self.announcement().is_some() && now.since(self.heard) < V1_TTL
    }

    /// Returns when it was heard.
    pub fn last_heard(&self) -> Timestamp {
        self.heard
    }

    /// Returns from when on it no longer counts.
    pub fn expires(&self) -> Timestamp {
        self.heard + self.ttl
    }

    /// Returns whether it still counts.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        now < self.expires()
    }

    /// Returns whether it counts for another half of its life, and so is fresh enough to move traffic on (wirelink v1).
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now + self.ttl / 2 < self.expires()
    }
}

/// The last sign of life of each peer.
#[derive(Debug, Default)]
pub struct Heard {
    last: BTreeMap<PublicKey, Liveness>,
    /// The former boot IDs of those that had another one.
    runs: BTreeMap<PublicKey, Runs>,
    /// Who was heard since that was last asked for.
    lately: BTreeSet<PublicKey>,
}

impl Heard {
    /// Takes a sign of life in the place of the one before, which is returned.
    pub fn insert(&mut self, peer: PublicKey, liveness: Liveness) -> Option<Liveness> {
        self.lately.insert(peer);
        let before = self.last.insert(peer, liveness);
        if let Some(before) = before.filter(|before| before.boot_id != liveness.boot_id) {
            let runs = self.runs.entry(peer).or_default();
            runs.change(liveness.heard, before.boot_id, liveness.boot_id);
        }
        before
    }

    /// Returns whether several machines use the key of a peer.
    pub fn shares_key(&self, now: Timestamp, peer: &PublicKey) -> bool {
        self.runs.get(peer).is_some_and(|runs| runs.is_shared(now))
    }

    /// Returns whether to tell that several machines use the key of a peer, and counts on it being told.
    pub fn take_shared_key(&mut self, now: Timestamp, peer: &PublicKey) -> bool {
        self.runs.get_mut(peer).is_some_and(|runs| runs.take_news(now))
    }

    /// Returns the last sign of life of a peer.
    pub fn of(&self, peer: &PublicKey) -> Option<Liveness> {
        self.last.get(peer).copied()
    }

    /// Returns of how many peers there is one.
    #[cfg(test)]
    pub(in crate::mesh) fn len(&self) -> usize {
        self.last.len()
    }

    /// Returns who was heard since the last call.
    pub fn take_lately(&mut self) -> BTreeSet<PublicKey> {
        std::mem::take(&mut self.lately)
    }

    /// Forgets all that are not peers any more.
    pub fn retain(&mut self, is_peer: impl Fn(&PublicKey) -> bool) {
        self.last.retain(|key, _| is_peer(key));
        self.runs.retain(|key, _| is_peer(key));
    }

    /// Returns the last signs of life, to be tampered with.
    #[cfg(test)]
    pub(in crate::mesh) fn values_mut(&mut self) -> impl Iterator<Item = &mut Liveness> {
        self.last.values_mut()
    }
}
