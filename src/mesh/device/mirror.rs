//! The device as the node counts on it: what was read last and what is planned since, with the owner of each prefix at hand.
//!
//! A pass plans on it in place; of each peer that it touches the state before is kept, so that the plan is the difference of a few
//! peers, and of none where nothing changes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use ipnet::IpNet;

use crate::mesh::base::dense::repack;
use crate::mesh::base::identity::PublicKey;
use crate::mesh::device::{DeviceChange, DeviceState, PeerState};

/// A [`DeviceState`] that remembers what changed. Counters of bytes are kept up to date, but are news only of peers without a session.
#[derive(Debug)]
pub struct Mirror {
    state: DeviceState,
    owners: BTreeMap<IpNet, PublicKey>,
    /// Peers that were changed since the last plan, as they were before; `None` where there was none.
    before: BTreeMap<PublicKey, Option<PeerState>>,
    news: News,
}

/// What is different since it was last asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Peers that came, went, or look different.
    pub peers: BTreeSet<PublicKey>,
    /// Prefixes that have another owner.
    pub prefixes: BTreeSet<IpNet>,
    /// Those of them that came or went.
    pub population: BTreeSet<PublicKey>,
    /// Whether the device itself looks different.
    pub device: bool,
}

impl Deref for Mirror {
    type Target = DeviceState;

    fn deref(&self) -> &DeviceState {
        &self.state
    }
}

impl Mirror {
    /// Takes the first reading.
    pub fn new(device: &DeviceState) -> Self {
        let mut mirror = Self {
            state: DeviceState::new(device.public_key, device.listen_port),
            owners: BTreeMap::new(),
            before: BTreeMap::new(),
            news: News {
                device: true,
                ..News::default()
            },
        };
        mirror.read(device);
        mirror
    }

    /// Takes another reading: what it shows replaces what was planned.
    pub fn read(&mut self, device: &DeviceState) {
        let head = (device.public_key, device.listen_port);
        self.news.device |= head != (self.state.public_key, self.state.listen_port);
        (self.state.public_key, self.state.listen_port) = head;
        for (key, known) in different(&self.state, device) {
            self.replace(key, known);
        }
        for (known, read) in self.state.peers.values_mut().zip(device.peers.values()) {
            (known.rx_bytes, known.tx_bytes) = (read.rx_bytes, read.tx_bytes);
        }
        self.before.clear();
    }

    /// Plans a change; does to the table what WireGuard does.
    pub fn apply(&mut self, change: &DeviceChange) {
        match change {
            DeviceChange::AddPeer {
                peer,
                allowed_ips,
                endpoint,
            } => {
                if !self.state.peers.contains_key(peer) {
                    self.remember(peer);
                    self.state.peers.insert(*peer, PeerState::default());
                    self.news.population.insert(*peer);
                }
                endpoint
                    .iter()
                    .for_each(|endpoint| self.edit(peer).endpoint = Some(*endpoint));
                allowed_ips.iter().for_each(|prefix| self.give(peer, *prefix));
            }
            DeviceChange::RemovePeer { peer } => {
                self.remember(peer);
                self.replace(*peer, None);
            }
            DeviceChange::SetEndpoint { peer, endpoint } => {
                let differs = |state: &PeerState| state.endpoint != Some(*endpoint);
                if self.state.peers.get(peer).is_some_and(differs) {
                    self.edit(peer).endpoint = Some(*endpoint);
                }
            }
            DeviceChange::AddAllowedIp { peer, prefix } => self.give(peer, *prefix),
            DeviceChange::RemoveAllowedIp { peer, prefix } => {
                if self.owner(prefix) == Some(*peer) {
                    self.take(*prefix);
                }
            }
            DeviceChange::MakeAgain { peer, endpoint } => {
                if self.state.peers.contains_key(peer) {
                    let state = self.edit(peer);
                    *state = std::mem::take(state).made_again(*endpoint);
                }
            }
        }
    }

    /// Returns the peer that has exactly this prefix.
    pub fn owner(&self, prefix: &IpNet) -> Option<PublicKey> {
        self.owners.get(prefix).copied()
    }

    /// Returns every prefix with its owner.
    pub fn owners(&self) -> &BTreeMap<IpNet, PublicKey> {
        &self.owners
    }

    /// Returns what is different since the last time, and forgets it.
    pub fn take_news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    /// Returns the peers that were touched since the last reading or the last call, as they were and as they are planned.
    pub fn take_plan(&mut self) -> (DeviceState, DeviceState) {
        if !self.news.population.is_empty() {
            repack(&mut self.state.peers);
        }
        let empty = DeviceState::new(self.state.public_key, self.state.listen_port);
        let (mut observed, mut desired) = (empty.clone(), empty);
        for (key, before) in std::mem::take(&mut self.before) {
            observed.peers.extend(before.map(|state| (key, state)));
            desired
                .peers
                .extend(self.state.peers.get(&key).map(|state| (key, state.clone())));
        }
        (observed, desired)
    }

    fn remember(&mut self, peer: &PublicKey) {
        self.news.peers.insert(*peer);
        let state = &self.state.peers;
        self.before.entry(*peer).or_insert_with(|| state.get(peer).cloned());
    }

    fn edit(&mut self, peer: &PublicKey) -> &mut PeerState {
        self.remember(peer);
        self.state.peers.entry(*peer).or_default()
    }

    fn give(&mut self, peer: &PublicKey, prefix: IpNet) {
        if !self.state.peers.contains_key(peer) || self.owner(&prefix) == Some(*peer) {
            return;
        }
        self.take(prefix);
        self.edit(peer).allowed_ips.insert(prefix);
        self.owners.insert(prefix, *peer);
        self.news.prefixes.insert(prefix);
    }

    fn take(&mut self, prefix: IpNet) {
        if let Some(owner) = self.owners.remove(&prefix) {
            self.edit(&owner).allowed_ips.remove(&prefix);
            self.news.prefixes.insert(prefix);
        }
    }

    /// Puts a peer as it was read, or none, in the place of what was there.
    fn replace(&mut self, key: PublicKey, read: Option<PeerState>) {
        let old = self.state.peers.remove(&key);
        if old.is_some() != read.is_some() {
            self.news.population.insert(key);
        }
        self.news.peers.insert(key);
        let had = old.into_iter().flat_map(|peer| peer.allowed_ips);
        for prefix in had.filter(|prefix| read.as_ref().is_none_or(|peer| !peer.allowed_ips.contains(prefix))) {
            // Where the new owner was read before the old one, it is the new one's by now.
            if self.owners.get(&prefix) == Some(&key) {
                self.owners.remove(&prefix);
            }
            self.news.prefixes.insert(prefix);
        }
        let Some(peer) = read else { return };
        for prefix in &peer.allowed_ips {
            if self.owners.insert(*prefix, key) != Some(key) {
                self.news.prefixes.insert(*prefix);
            }
        }
        self.state.peers.insert(key, peer);
    }
}

/// Returns the peers that look different in a reading, as they are there.
fn different(known: &DeviceState, read: &DeviceState) -> Vec<(PublicKey, Option<PeerState>)> {
    let gone = known.peers.keys().filter(|key| !read.peers.contains_key(key));
    let mut different: Vec<_> = if known.peers.keys().eq(read.peers.keys()) {
        Vec::new()
    } else {
        gone.map(|key| (*key, None)).collect()
    };
    let mut kept = known.peers.iter().peekable();
    for (key, state) in &read.peers {
        while kept.next_if(|(other, _)| *other < key).is_some() {}
        let same = kept
            .peek()
            .is_some_and(|(other, old)| *other == key && looks_same(old, state));
        if !same {
            different.push((*key, Some(state.clone())));
        }
    }
    different
}

fn looks_same(a: &PeerState, b: &PeerState) -> bool {
    // An initiation that leads to nothing shows nowhere else.
    if b.last_handshake.is_none() && a.rx_bytes != b.rx_bytes {
        return false;
    }
    (a.endpoint, a.last_handshake, a.keepalive, a.preshared) == (b.endpoint, b.last_handshake, b.keepalive, b.preshared)
        && a.allowed_ips == b.allowed_ips
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::mesh::device::plan;

    fn key(number: u8) -> PublicKey {
        PublicKey::from_bytes([number; 32])
    }

    fn prefix(number: u8) -> IpNet {
        IpNet::from(std::net::IpAddr::from([10, 0, 0, number]))
    }

    fn any_change() -> impl Strategy<Value = DeviceChange> {
        let parts = (0..5_u8, 0..5_u8, 0..6_u8, 1..4_u16);
        parts.prop_map(|(kind, peer, number, port)| {
            let (peer, prefix) = (key(peer), prefix(number));
            let endpoint = SocketAddr::from(([192, 0, 2, 1], port));
            match kind {
                0 => DeviceChange::AddPeer {
                    peer,
                    allowed_ips: [prefix].into(),
                    endpoint: Some(endpoint),
                },
                1 => DeviceChange::RemovePeer { peer },
                2 => DeviceChange::SetEndpoint { peer, endpoint },
                3 => DeviceChange::AddAllowedIp { peer, prefix },
                _ => DeviceChange::RemoveAllowedIp { peer, prefix },
            }
        })
    }

    fn changed(device: &DeviceState, changes: &[DeviceChange]) -> DeviceState {
        let mut device = device.clone();
        changes.iter().for_each(|change| device.apply(change));
        device
    }

    fn check(mirror: &Mirror, device: &DeviceState) -> Result<(), TestCaseError> {
        prop_assert_eq!(&**mirror, device);
        prop_assert_eq!(mirror.owners(), &device.owners());
        Ok(())
    }

    proptest! {
        #[test]
        fn it_is_the_device_whatever_is_planned_and_whatever_is_read(
            rounds in proptest::collection::vec(
                (proptest::collection::vec(any_change(), 0..6), proptest::collection::vec(any_change(), 0..6)), 1..6)
        ) {
            let mut device = DeviceState::new(key(99), 1);
            let mut mirror = Mirror::new(&device);
            for (by_others, planned) in rounds {
                device = changed(&device, &by_others);
                let owners = mirror.owners().clone();
                mirror.read(&device);
                check(&mirror, &device)?;
                let news = mirror.take_news();
                for (prefix, owner) in &owners {
                    let moved = device.owner(prefix) != Some(owner);
                    prop_assert!(!moved || news.prefixes.contains(prefix));
                }
                let desired = changed(&device, &planned);
                planned.iter().for_each(|change| mirror.apply(change));
                check(&mirror, &desired)?;
                let (before, after) = mirror.take_plan();
                prop_assert_eq!(plan::diff(&before, &after), plan::diff(&device, &desired));
            }
        }
    }

    #[test]
    fn counters_are_no_news_but_without_a_session() {
        let mut device = DeviceState::new(key(9), 1);
        device.peers.insert(key(1), PeerState::default());
        let mut mirror = Mirror::new(&device);
        mirror.take_news();
        device.peers.get_mut(&key(1)).unwrap().rx_bytes = 7;
        mirror.read(&device);
        assert_eq!(mirror.take_news().peers, [key(1)].into());
        device.peers.get_mut(&key(1)).unwrap().last_handshake = Some(crate::mesh::base::time::Timestamp::START);
        mirror.read(&device);
        mirror.take_news();
        device.peers.get_mut(&key(1)).unwrap().rx_bytes = 9;
        mirror.read(&device);
        assert_eq!(mirror.take_news(), News::default());
    }
}
