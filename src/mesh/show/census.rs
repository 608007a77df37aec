//! Who is there now: what the device, the signs of life and the settings say of each peer, in the terms of the rules.

use std::collections::BTreeSet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::settings::Settings;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::store::Store;
use crate::mesh::believe::fact::value::Value;
use crate::mesh::reach::link::Contact;

/// The peers of the device, as they were when each was last looked at.
#[derive(Debug, Default)]
pub struct Census {
    /// Those with a live session.
    pub healthy: BTreeSet<PublicKey>,
    /// Those that were heard through the tunnel and still count.
    pub alive: BTreeSet<PublicKey>,
    /// Those that carry this node's traffic to the network ([`role`](crate::mesh::believe::role)).
    pub routers: BTreeSet<PublicKey>,
    /// Those that run no wirelink.
    pub basic: BTreeSet<PublicKey>,
}

/// What a look at a peer showed to be different.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Whether it has a session now, and had none, or the other way round.
    pub healthy: bool,
    /// Whether it is heard now, and was not, or the other way round.
    pub alive: bool,
    /// Whether facts about it were not passed on, and are now.
    pub appeared: bool,
}

impl Difference {
    /// Adds what another look showed.
    pub fn merge(&mut self, other: Self) {
        self.healthy |= other.healthy;
        self.alive |= other.alive;
        self.appeared |= other.appeared;
    }
}

impl Census {
    /// Counts one peer again; `seen` is `None` where it is no peer any more.
    pub fn recount(&mut self, now: Timestamp, key: &PublicKey, seen: Option<Contact>) -> Difference {
        let was_present = self.is_present(key);
        let is = |holds: fn(&Contact, Timestamp) -> bool| seen.is_some_and(|contact| holds(&contact, now));
        put(seen.is_some_and(|contact| contact.basic), &mut self.basic, key);
        Difference {
            healthy: put(is(Contact::is_healthy), &mut self.healthy, key),
            alive: put(is(Contact::is_alive), &mut self.alive, key),
            appeared: !was_present && self.is_present(key),
        }
    }

    /// Returns whether facts about the peer are passed on.
    pub fn is_present(&self, peer: &PublicKey) -> bool {
        self.healthy.contains(peer) || self.alive.contains(peer)
    }
}

/// Has the key in the set where something holds; returns whether that is different from before.
fn put(holds: bool, set: &mut BTreeSet<PublicKey>, key: &PublicKey) -> bool {
    if holds { set.insert(*key) } else { set.remove(key) }
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
            | Value::Digest { .. }
            | Value::Holdings(_)
            | Value::Reset(_)
            | Value::Withdrawn(_)
            | Value::Probes(_)
            | Value::Signal(_)
            | Value::Heartbeat(_)
            | Value::Echo(_)
            | Value::Denied(_) => None,
        })
    })
}
