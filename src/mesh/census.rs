//! Who is there now: what the device, the signs of life and the settings say of each peer, in the terms of the rules.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::device::DeviceState;
use super::fact::store::Store;
use super::fact::value::Value;
use super::identity::PublicKey;
use super::link::Contact;
use super::link::liveness::Liveness;
use super::prefix::is_routed;
use super::settings::Settings;
use super::time::Timestamp;

/// The peers of the device, as they are now.
#[derive(Debug, Default)]
pub struct Census {
    /// What is seen of each.
    pub contacts: BTreeMap<PublicKey, Contact>,
    /// All of them.
    pub peers: BTreeSet<PublicKey>,
    /// Those with a live session.
    pub healthy: BTreeSet<PublicKey>,
    /// Those that were heard through the tunnel and still count.
    pub alive: BTreeSet<PublicKey>,
    /// Those that route for others, by prefixes that are not there because of facts.
    pub routers: BTreeSet<PublicKey>,
}

impl Census {
    /// Counts.
    pub fn take(
        now: Timestamp,
        device: &DeviceState,
        liveness: &BTreeMap<PublicKey, Liveness>,
        prefix_is_ours: impl Fn(&PublicKey, &IpNet) -> bool,
        is_basic: impl Fn(&PublicKey) -> bool,
    ) -> Self {
        let mut census = Self::default();
        for (key, peer) in &device.peers {
            let contact = Contact {
                endpoint: peer.endpoint,
                last_handshake: peer.last_handshake,
                liveness: liveness.get(key).copied(),
                basic: is_basic(key),
            };
            let routed = peer
                .allowed_ips
                .iter()
                .any(|prefix| is_routed(prefix) && !prefix_is_ours(key, prefix));
            census.peers.insert(*key);
            insert_if(contact.is_healthy(now), &mut census.healthy, key);
            insert_if(contact.is_alive(now), &mut census.alive, key);
            insert_if(routed, &mut census.routers, key);
            census.contacts.insert(*key, contact);
        }
        census
    }

    /// Returns whether facts about the peer are passed on.
    pub fn is_present(&self, peer: &PublicKey) -> bool {
        self.healthy.contains(peer) || self.alive.contains(peer)
    }
}

fn insert_if(holds: bool, set: &mut BTreeSet<PublicKey>, key: &PublicKey) {
    if holds {
        set.insert(*key);
    }
}

/// Returns whether the peer runs no wirelink: the operator knows best, then the network.
pub fn is_basic(settings: &Settings, store: &Store, peer: &PublicKey) -> bool {
    let configured = settings.peers.get(peer).is_some_and(|peer| peer.basic);
    let told = || {
        store
            .about(peer)
            .any(|(fact, _)| matches!(&fact.value, Value::MemberMetadata(data) if data.is_basic()))
    };
    configured || told()
}

/// Returns what a peer is called: by the operator, else by the network.
pub fn name_of(settings: &Settings, store: &Store, peer: &PublicKey) -> Option<String> {
    let configured = settings.peers.get(peer).and_then(|peer| peer.name.clone());
    configured.or_else(|| {
        store.about(peer).find_map(|(fact, _)| match &fact.value {
            Value::MemberMetadata(metadata) => metadata.name(),
            Value::Alive(_)
            | Value::Endpoint(_)
            | Value::AllowedIp(_)
            | Value::Member
            | Value::Digest(_)
            | Value::Holdings(_)
            | Value::Reset(_)
            | Value::Withdrawn(_) => None,
        })
    })
}
