//! What is on the device because of this node, and how the device becomes again what it was before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::mesh::base::identity::{AddressHash, PublicKey};
use crate::mesh::base::prefix::is_reserved;
use crate::mesh::device::{DeviceChange, DeviceState};

/// What this node put on the device, or is about to: an entry that never came to be there does no harm, as it undoes only what
/// the device shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Introduced {
    /// Peers that facts brought.
    pub peers: BTreeSet<PublicKey>,
    /// Prefixes that peers have because of this node, the link-local addresses of the operator's peers among them. Those of its own
    /// peers go with them.
    pub prefixes: BTreeMap<IpNet, Given>,
    /// The operator's peers that were made to send elsewhere.
    pub endpoints: BTreeMap<PublicKey, Tried>,
}

/// A prefix that was given to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Who has it.
    pub peer: PublicKey,
    /// To whom it was given before, and who has it still where the last change never reached the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formerly: Option<PublicKey>,
    /// The peer to which the operator had given exactly this prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_from: Option<PublicKey>,
}

/// The endpoints that a peer of the operator's was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// Where WireGuard sent before; `None` where it knew no endpoint.
    pub before: Option<SocketAddr>,
    /// Where it was made to send since, or soon may be.
    pub tried: BTreeSet<SocketAddr>,
}

/// What speaks for the endpoint that a peer of the operator's has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// WireGuard has no session with the peer.
    None,
    /// It has one, but heard nothing since the peer was sent there.
    Unheard,
    /// It hears the peer from there.
    Heard,
}

impl Given {
    /// Takes a prefix that nobody had because of this node.
    pub const fn new(peer: PublicKey, taken_from: Option<PublicKey>) -> Self {
        Self {
            peer,
            formerly: None,
            taken_from,
        }
    }

    /// Takes a prefix that the operator gave to a peer, and that a router has with a shorter prefix for now.
    pub const fn lent(owner: PublicKey) -> Self {
        Self::new(owner, Some(owner))
    }

    /// Returns the operator's peer that lent the prefix to a router, where that is so.
    pub fn lent_by(&self) -> Option<PublicKey> {
        self.taken_from.filter(|owner| *owner == self.peer)
    }

    /// Returns whether a peer that has the prefix has it because of this node: not where it is back with the one that it was taken from.
    pub fn explains(&self, owner: &PublicKey) -> bool {
        let is_given = self.peer == *owner || self.formerly == Some(*owner);
        is_given && self.taken_from != Some(*owner)
    }

    /// Returns whether this explains all that `other` explains, and says the same of what was before.
    pub fn covers(&self, other: &Self) -> bool {
        let same = (self.peer, self.taken_from) == (other.peer, other.taken_from);
        same && (other.formerly.is_none() || self.formerly == other.formerly)
    }

    /// Returns whether a prefix with this owner, or none, would be taken for this node's doing.
    pub fn is_shown(&self, owner: Option<&PublicKey>) -> bool {
        owner.map_or(self.taken_from.is_some(), |owner| self.explains(owner))
    }
}

impl Tried {
    /// Returns whether the endpoint of the peer is one that it was given.
    pub fn explains(&self, seen: Option<SocketAddr>) -> bool {
        seen.is_some_and(|seen| self.tried.contains(&seen))
    }

    /// Returns whether this explains all that `other` explains, and says the same of what was before.
    pub fn covers(&self, other: &Self) -> bool {
        self.before == other.before && self.tried.is_superset(&other.tried)
    }
}

impl Introduced {
    /// Returns whether nothing is on the device because of this node.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty() && self.prefixes.is_empty() && self.endpoints.is_empty()
    }

    /// Returns what of it the device shows; the rest never came to be there, or is gone, or is another's by now.
    #[must_use]
    pub fn on(mut self, device: &DeviceState) -> Self {
        let owners = device.owners();
        self.peers.retain(|peer| device.peers.contains_key(peer));
        self.prefixes.retain(|prefix, given| given.is_shown(owners.get(prefix)));
        self.endpoints.retain(|peer, tried| {
            let seen = device.peers.get(peer);
            seen.is_some_and(|seen| tried.explains(seen.endpoint))
        });
        self
    }

    /// Returns whether a peer of this node's own has what this node did not give it: then it is the operator's.
    pub fn is_touched(&self, device: &DeviceState, hash: AddressHash, key: &PublicKey) -> bool {
        let address = hash.allowed_ip(key);
        let explains = |prefix: &IpNet| self.prefixes.get(prefix).is_some_and(|given| given.explains(key));
        device
            .peers
            .get(key)
            .is_some_and(|peer| peer.is_touched(|prefix| *prefix == address || explains(prefix)))
    }

    /// Parts what is there for these peers from the rest, which is the second.
    #[must_use]
    pub fn split(self, peers: &BTreeSet<PublicKey>) -> (Self, Self) {
        let (theirs, others) = self.peers.into_iter().partition(|peer| peers.contains(peer));
        let (their_prefixes, prefixes) =
            (self.prefixes.into_iter()).partition(|(_, given)| peers.contains(&given.peer));
        let (their_endpoints, endpoints) = (self.endpoints.into_iter()).partition(|(peer, _)| peers.contains(peer));
        let theirs = Self {
            peers: theirs,
            prefixes: their_prefixes,
            endpoints: their_endpoints,
        };
        let others = Self {
            peers: others,
            prefixes,
            endpoints,
        };
        (theirs, others)
    }

    /// Returns whether a peer has a prefix for traffic because of this node.
    pub fn routes_to(&self, peer: &PublicKey) -> bool {
        let mut given = self.prefixes.iter().filter(|(_, given)| given.peer == *peer);
        given.any(|(prefix, _)| !is_reserved(prefix))
    }

    /// Returns the changes after which the device is as it was before: what is there because of this node goes or returns.
    ///
    /// A peer that WireGuard hears at an endpoint keeps it, whatever was there before: the endpoint is WireGuard's own by now, and the
    /// former one may be dead. A peer with a session and no former endpoint keeps what it has, too: only making it again would
    /// take the endpoint away, which costs the operator the session, and up to 15 s of traffic.
    pub fn undo(
        &self,
        device: &DeviceState,
        hash: AddressHash,
        session: &dyn Fn(&PublicKey) -> Session,
    ) -> Vec<DeviceChange> {
        let ours = self.peers.iter().filter(|key| device.peers.contains_key(key));
        let (kept, gone): (Vec<PublicKey>, Vec<PublicKey>) = ours.partition(|key| self.is_touched(device, hash, key));
        let stays = |peer: &PublicKey| device.peers.contains_key(peer) && !gone.contains(peer);
        let mut changes = self.return_prefixes(device, &stays);
        let addresses = kept.iter().map(|peer| (*peer, hash.allowed_ip(peer)));
        let has = |(peer, prefix): &(PublicKey, IpNet)| device.peers[peer].allowed_ips.contains(prefix);
        let addresses = addresses.filter(has);
        changes.extend(addresses.map(|(peer, prefix)| DeviceChange::RemoveAllowedIp { peer, prefix }));
        let (set, forgotten): (Vec<DeviceChange>, Vec<DeviceChange>) = self
            .return_endpoints(device, &stays, session)
            .partition(|change| matches!(change, DeviceChange::SetEndpoint { .. }));
        changes.extend(set);
        changes.extend(gone.iter().map(|peer| DeviceChange::RemovePeer { peer: *peer }));
        // Last: such a peer is made again with the allowed IPs that it has by then.
        changes.extend(forgotten);
        changes
    }

    fn return_prefixes(&self, device: &DeviceState, stays: &dyn Fn(&PublicKey) -> bool) -> Vec<DeviceChange> {
        let owners = device.owners();
        let returned = self.prefixes.iter().filter_map(|(prefix, given)| {
            let owner = owners.get(prefix);
            let is_ours = given.is_shown(owner);
            let (prefix, back_to) = (*prefix, given.taken_from.filter(stays));
            match (is_ours, back_to, owner.filter(|owner| stays(owner))) {
                (false, _, _) | (true, None, None) => None,
                (true, Some(peer), Some(owner)) if peer == *owner => None,
                (true, Some(peer), _) => Some(DeviceChange::AddAllowedIp { peer, prefix }),
                (true, None, Some(owner)) => Some(DeviceChange::RemoveAllowedIp { peer: *owner, prefix }),
            }
        });
        let (gained, lost): (Vec<_>, Vec<_>) =
            returned.partition(|change| matches!(change, DeviceChange::AddAllowedIp { .. }));
        [gained, lost].concat()
    }

    fn return_endpoints<'a>(
        &'a self,
        device: &'a DeviceState,
        stays: &'a dyn Fn(&PublicKey) -> bool,
        session: &'a dyn Fn(&PublicKey) -> Session,
    ) -> impl Iterator<Item = DeviceChange> + 'a {
        let operators = self
            .endpoints
            .iter()
            .filter(move |(peer, _)| stays(peer) && !self.peers.contains(peer));
        operators.filter_map(|(peer, tried)| {
            let seen = device.peers.get(peer)?.endpoint;
            let is_ours = tried.explains(seen) && seen != tried.before;
            let is_kept = match session(peer) {
                Session::Heard => true,
                Session::Unheard => tried.before.is_none(),
                Session::None => false,
            };
            (is_ours && !is_kept).then_some(match tried.before {
                Some(endpoint) => DeviceChange::SetEndpoint { peer: *peer, endpoint },
                None => DeviceChange::MakeAgain {
                    peer: *peer,
                    endpoint: None,
                },
            })
        })
    }
}

#[cfg(test)]
mod tests;
