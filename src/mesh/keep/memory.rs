//! What survives a restart: what this node put on the device, whom others named to it, and where peers were reached.
//!
//! A pure value. Ages are durations, so that it means the same on the clock of another boot; whoever keeps it adds the time that
//! passed in between. It holds no secrets.

mod ages;
mod introduced;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::mesh::base::identity::PublicKey;
use crate::mesh::believe::fact::store::MAX_FACTS;
use crate::mesh::believe::fact::value::Denied;

pub use introduced::{Given, Introduced, Session, Tried};

/// How long somebody is remembered whom nobody names any more, and an endpoint that nobody is reached at.
pub const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// The most peers that are remembered, of either kind.
pub const MAX_PEERS: usize = 4096;
/// The most prefixes of one peer that are remembered, and of all together.
pub const MAX_PREFIXES: usize = 64;
/// See [`MAX_PREFIXES`].
pub const MAX_PREFIXES_IN_ALL: usize = 16_384;
/// The endpoints of a peer that are remembered: so few that all are tried within 10 s.
pub const MAX_ENDPOINTS: usize = 2;
/// The longest name that is remembered, in bytes.
pub const MAX_NAME: usize = 64;
/// The most prefixes on the device because of this node that it takes back from a file: one for each fact, and the addresses
/// of the operator's peers.
pub const MAX_GIVEN: usize = 2 * MAX_FACTS;
/// The most endpoints of one peer that it takes back.
pub const MAX_TRIED: usize = 64;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// What is on the device because of this node.
    pub introduced: Introduced,
    /// What is known of other nodes.
    pub peers: BTreeMap<PublicKey, Known>,
    /// Verdicts about who is out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bans: BTreeMap<PublicKey, RememberedBan>,
    /// The epoch of the probes of the last run, 0 for none: peers refuse those of an earlier one.
    #[serde(default, skip_serializing_if = "is_none")]
    pub epoch: u64,
}

/// A verdict about a key: see [`bans`](crate::mesh::members::bans).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RememberedBan {
    /// What was decided.
    pub what: Denied,
    /// On whose word.
    pub by: PublicKey,
    /// Whether it follows from the settings.
    #[serde(default)]
    pub is_written: bool,
    /// How long ago it was heard last.
    #[serde(with = "ages")]
    pub age: Duration,
}

/// What is known of another node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// What others say of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<Named>,
    /// Where it was reached, the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Reached>,
}

/// What others say of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// On whose word: it counts after a restart only as far as that node is trusted then.
    pub by: PublicKey,
    /// Whether it is a member.
    pub member: bool,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it runs WireGuard without wirelink.
    #[serde(default)]
    pub basic: bool,
    /// Which prefixes are its own.
    pub allowed_ips: BTreeSet<IpNet>,
    /// How long ago somebody said so.
    #[serde(with = "ages")]
    pub age: Duration,
}

/// An endpoint with which there was a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reached {
    /// Where.
    pub endpoint: SocketAddr,
    /// How long ago.
    #[serde(with = "ages")]
    pub age: Duration,
}

/// Why a memory is not one of ours: there is more of something than a node remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many {0}")]
pub struct TooMany(&'static str);

impl Memory {
    /// Returns whether there is nothing to remember of the device and of others.
    pub fn is_empty(&self) -> bool {
        self.introduced.is_empty() && self.peers.is_empty() && self.bans.is_empty()
    }

    /// Lets time pass; what is too old is forgotten.
    pub fn grow_older(&mut self, time: Duration) {
        for known in self.peers.values_mut() {
            known.grow_older(time);
        }
        self.peers.retain(|_, known| !known.is_empty());
        for ban in self.bans.values_mut() {
            ban.age = ban.age.saturating_add(time);
        }
    }

    /// Notes where a peer is reached now.
    pub fn reached(&mut self, peer: PublicKey, endpoint: SocketAddr) {
        let endpoints = &mut self.peers.entry(peer).or_default().endpoints;
        endpoints.retain(|known| known.endpoint != endpoint);
        let age = Duration::ZERO;
        endpoints.insert(0, Reached { endpoint, age });
        endpoints.truncate(MAX_ENDPOINTS);
    }

    /// Forgets what is more than a node remembers: the prefixes and peers of whoever named most of them, the oldest first. An endpoint where
    /// a peer was reached stays although there is no room for what others say of that peer.
    pub fn keep_within_bounds(&mut self) {
        for named in self.peers.values_mut().filter_map(|known| known.named.as_mut()) {
            named.keep_within_bounds();
        }
        let mut room = MAX_PREFIXES_IN_ALL;
        for key in self.by_fair_share() {
            let Some(known) = self.peers.get_mut(&key) else {
                continue;
            };
            let prefixes = known.prefixes();
            if prefixes > room {
                known.named = None;
            } else {
                room -= prefixes;
            }
        }
        self.peers.retain(|_, known| !known.is_empty());
        for key in self.by_fair_share().into_iter().skip(MAX_PEERS) {
            self.peers.remove(&key);
        }
    }

    /// Returns the peers in the order in which they get room: each node that names peers gets as much as every other one (max-min
    /// fairness), and within its share the latest come first.
    fn by_fair_share(&self) -> Vec<PublicKey> {
        let mut by_age: Vec<(Duration, PublicKey)> =
            self.peers.iter().map(|(key, known)| (known.age(), *key)).collect();
        by_age.sort_unstable();
        let mut shares: BTreeMap<Option<PublicKey>, usize> = BTreeMap::new();
        let with_share = |(age, key): (Duration, PublicKey)| {
            let known = &self.peers[&key];
            let share = shares.entry(known.named.as_ref().map(|named| named.by)).or_default();
            *share += 1 + known.prefixes();
            (*share, age, key)
        };
        let mut ordered: Vec<(usize, Duration, PublicKey)> = by_age.into_iter().map(with_share).collect();
        ordered.sort_unstable();
        ordered.into_iter().map(|(_, _, key)| key).collect()
    }

    /// Returns whether there is no more of anything than a node remembers.
    ///
    /// # Errors
    /// Otherwise, with what there is too much of.
    pub fn check(&self) -> Result<(), TooMany> {
        let within = |count: usize, most: usize, what| (count <= most).then_some(()).ok_or(TooMany(what));
        let named = || self.peers.values().filter_map(|known| known.named.as_ref());
        let most = |counts: &mut dyn Iterator<Item = usize>| counts.max().unwrap_or_default();
        within(self.introduced.peers.len(), MAX_PEERS, "introduced peers")?;
        within(self.introduced.prefixes.len(), MAX_GIVEN, "introduced prefixes")?;
        within(
            self.introduced.endpoints.len(),
            MAX_GIVEN,
            "peers with another endpoint",
        )?;
        let mut tried = self.introduced.endpoints.values().map(|tried| tried.tried.len());
        within(most(&mut tried), MAX_TRIED, "endpoints that were tried")?;
        within(self.peers.len(), MAX_PEERS, "peers")?;
        within(self.bans.len(), MAX_PEERS, "bans")?;
        within(
            self.peers.values().map(Known::prefixes).sum(),
            MAX_PREFIXES_IN_ALL,
            "prefixes",
        )?;
        within(
            most(&mut named().map(|named| named.allowed_ips.len())),
            MAX_PREFIXES,
            "prefixes of a peer",
        )?;
        within(
            most(&mut named().filter_map(|named| Some(named.name.as_ref()?.len()))),
            MAX_NAME,
            "characters",
        )?;
        within(
            most(&mut self.peers.values().map(|known| known.endpoints.len())),
            MAX_ENDPOINTS,
            "endpoints",
        )
    }
}

impl Known {
    fn is_empty(&self) -> bool {
        self.named.is_none() && self.endpoints.is_empty()
    }

    fn grow_older(&mut self, time: Duration) {
        if let Some(named) = &mut self.named {
            named.age = named.age.saturating_add(time);
        }
        self.named.take_if(|named| named.age >= KEPT_FOR);
        for reached in &mut self.endpoints {
            reached.age = reached.age.saturating_add(time);
        }
        self.endpoints.retain(|reached| reached.age < KEPT_FOR);
    }

    /// Returns how long ago it was last heard of.
    fn age(&self) -> Duration {
        let named = self.named.iter().map(|named| named.age);
        let reached = self.endpoints.iter().map(|reached| reached.age);
        named.chain(reached).min().unwrap_or(KEPT_FOR)
    }

    fn prefixes(&self) -> usize {
        self.named.as_ref().map_or(0, |named| named.allowed_ips.len())
    }
}

impl Named {
    fn keep_within_bounds(&mut self) {
        if let Some(beyond) = self.allowed_ips.iter().nth(MAX_PREFIXES).copied() {
            self.allowed_ips.split_off(&beyond);
        }
        self.name.take_if(|name| name.len() > MAX_NAME);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_none(epoch: &u64) -> bool {
    *epoch == 0
}

#[cfg(test)]
mod tests;
