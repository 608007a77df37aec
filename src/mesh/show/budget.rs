//! How many events are told: peers can bring about most of them at any rate, and a log must not grow at theirs.
//!
//! An event about a peer that only this peer can cause counts against that peer. An event that one peer can cause for any number of
//! others, by what it says of them, counts against all of its kind. What is left out is counted, and told once a minute for each kind.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;

/// How often it is told what was left out.
const SUMMARY_EVERY: Duration = Duration::from_secs(60);
/// The most peers that are counted apart, for each kind; beyond them only [`Quota::MANY`] bounds.
pub const MAX_PEERS: usize = 4096;

/// How many events may come at once, and how many a minute on the average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    burst: u32,
    per_minute: u32,
}

impl Quota {
    /// Of one peer, and one kind.
    pub const ONE: Self = Self {
        burst: 8,
        per_minute: 1,
    };
    /// Of all that peers cause for one another, of one kind: a network of that size may come up at once.
    pub const MANY: Self = Self {
        burst: 256,
        per_minute: 16,
    };
    /// Of the reasons for which the word of one peer is not believed: a liar finds many, and each is told once a minute at most.
    pub const REASONS: Self = Self {
        burst: 64,
        per_minute: 8,
    };
}

/// How a kind of event is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its code.
    pub code: &'static str,
    /// How many there may be.
    pub quota: Quota,
    /// The peer that alone can cause it; nobody, where any peer can.
    pub by: Option<PublicKey>,
}

/// What was left out of one kind since that was last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The code of the kind.
    pub code: &'static str,
    /// How many.
    pub times: u64,
    /// The peer with most of them, where they are counted by peer.
    pub most: Option<PublicKey>,
}

/// Counts events, and says which are told.
#[derive(Debug)]
pub struct Budget {
    kinds: BTreeMap<&'static str, Counts>,
    summary_at: Timestamp,
}

#[derive(Debug, Default)]
struct Counts {
    all: Option<Allowance>,
    peers: BTreeMap<PublicKey, Allowance>,
    left_out: u64,
}

/// What may still be told.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    /// In events times milliseconds of a minute.
    left: u64,
    at: Timestamp,
    left_out: u64,
}

const MINUTE: u64 = 60_000;

impl Allowance {
    fn full(now: Timestamp, quota: Quota) -> Self {
        Self {
            left: u64::from(quota.burst) * MINUTE,
            at: now,
            left_out: 0,
        }
    }

    fn refill(&mut self, now: Timestamp, quota: Quota) {
        let passed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let gained = passed.saturating_mul(u64::from(quota.per_minute));
        let most = u64::from(quota.burst) * MINUTE;
        self.left = self.left.saturating_add(gained).min(most);
        // Fractions of a millisecond are not lost.
        self.at = self.at + Duration::from_millis(passed);
    }

    fn take(&mut self, now: Timestamp, quota: Quota) -> bool {
        self.refill(now, quota);
        let has = self.left >= MINUTE;
        self.left -= if has { MINUTE } else { 0 };
        self.left_out += u64::from(!has);
        has
    }

    fn is_idle(&mut self, now: Timestamp, quota: Quota) -> bool {
        self.refill(now, quota);
        self.left_out == 0 && self.left == u64::from(quota.burst) * MINUTE
    }
}

impl Budget {
    /// Starts with full allowances.
    pub fn new(now: Timestamp) -> Self {
        Self {
            kinds: BTreeMap::new(),
            summary_at: now + SUMMARY_EVERY,
        }
    }

    /// Returns whether one more event of this kind is told.
    pub fn grants(&mut self, now: Timestamp, kind: Kind) -> bool {
        let quota = kind.quota;
        let counts = self.kinds.entry(kind.code).or_default();
        let granted = match kind.by {
            Some(peer) if counts.has_place(now, quota, &peer) => {
                let allowance = counts.peers.entry(peer).or_insert(Allowance::full(now, quota));
                allowance.take(now, quota)
            }
            Some(_) | None => {
                let quota = if kind.by.is_some() { Quota::MANY } else { quota };
                let all = counts.all.get_or_insert(Allowance::full(now, quota));
                all.take(now, quota)
            }
        };
        counts.left_out += u64::from(!granted);
        granted
    }

    /// Returns what was left out, once a minute.
    pub fn take_left_out(&mut self, now: Timestamp) -> Vec<LeftOut> {
        if now < self.summary_at {
            return Vec::new();
        }
        self.summary_at = now + SUMMARY_EVERY;
        let left_out = self.kinds.iter_mut().filter(|(_, counts)| counts.left_out > 0);
        left_out.map(|(code, counts)| counts.sum_up(code)).collect()
    }

    /// Forgets all that are not peers any more.
    pub fn retain(&mut self, is_peer: impl Fn(&PublicKey) -> bool) {
        let counts = self.kinds.values_mut();
        counts.for_each(|counts| counts.peers.retain(|key, _| is_peer(key)));
    }
}

impl Counts {
    fn has_place(&mut self, now: Timestamp, quota: Quota, peer: &PublicKey) -> bool {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(peer) {
            self.peers.retain(|_, allowance| !allowance.is_idle(now, quota));
        }
        self.peers.len() < MAX_PEERS || self.peers.contains_key(peer)
    }

    fn sum_up(&mut self, code: &'static str) -> LeftOut {
        let by_peer = self.peers.iter().filter(|(_, allowance)| allowance.left_out > 0);
        let most = by_peer.max_by_key(|(_, allowance)| allowance.left_out);
        let most = most.map(|(key, _)| *key);
        self.peers.values_mut().for_each(|allowance| allowance.left_out = 0);
        let times = std::mem::take(&mut self.left_out);
        LeftOut { code, times, most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(seconds))
    }

    fn peer(number: u32) -> PublicKey {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        PublicKey::from_bytes(bytes)
    }

    fn of(by: Option<PublicKey>) -> Kind {
        let quota = if by.is_some() { Quota::ONE } else { Quota::MANY };
        Kind { code: "x", quota, by }
    }

    #[test]
    fn flood_of_one_peer_is_cut_and_summed_up() {
        let mut budget = Budget::new(at(0));
        let told = |budget: &mut Budget, seconds: std::ops::Range<u64>| {
            let mut grants = seconds.map(|second| budget.grants(at(second / 5), of(Some(peer(1)))));
            let granted = grants.by_ref().filter(|granted| *granted).count();
            u32::try_from(granted).unwrap()
        };
        assert_eq!(told(&mut budget, 0..295), Quota::ONE.burst);
        assert!(budget.grants(at(59), of(Some(peer(2)))), "another peer has its own");
        assert_eq!(budget.take_left_out(at(59)), []);
        let times = 295 - u64::from(Quota::ONE.burst);
        let (code, most) = ("x", Some(peer(1)));
        assert_eq!(budget.take_left_out(at(60)), [LeftOut { code, times, most }]);
        assert_eq!(budget.take_left_out(at(120)), []);
        assert_eq!(
            told(&mut budget, 5 * 1000..5 * 1060),
            Quota::ONE.burst + Quota::ONE.per_minute - 1
        );
    }

    #[test]
    fn events_for_many_peers_share_one_quota() {
        let mut budget = Budget::new(at(0));
        let granted = (0..5000)
            .filter(|number| budget.grants(at(number / 1000), of(None)))
            .count();
        let Quota { burst, per_minute } = Quota::MANY;
        assert!(
            (burst..burst + per_minute).contains(&u32::try_from(granted).unwrap()),
            "{granted}"
        );
        let left_out = budget.take_left_out(at(100));
        assert_eq!(left_out[0].times, 5000 - granted as u64);
        assert_eq!(left_out[0].most, None);
    }

    #[test]
    fn number_of_peers_that_are_counted_is_bounded() {
        let mut budget = Budget::new(at(0));
        for number in 0..2 * MAX_PEERS as u32 {
            let _ = budget.grants(at(0), of(Some(peer(number))));
        }
        assert_eq!(budget.kinds["x"].peers.len(), MAX_PEERS);
        let minutes = 60 * u64::from(Quota::ONE.burst);
        budget.take_left_out(at(1000 + minutes));
        assert!(budget.grants(at(1000 + minutes), of(Some(peer(u32::MAX)))));
        assert_eq!(budget.kinds["x"].peers.len(), 1, "the idle ones made room");
        budget.retain(|_| false);
        assert!(budget.kinds["x"].peers.is_empty());
    }
}
