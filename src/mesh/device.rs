//! What a WireGuard device is, to the core: a table of peers in which every allowed IP has at most one owner.

pub mod contest;
pub mod host;
pub mod mirror;
pub mod outward;
pub mod plan;
pub mod tunnel_routes;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ipnet::IpNet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::prefixes::Prefixes;
use crate::mesh::base::time::Timestamp;

/// A device as it was read. It holds no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceState {
    /// The key that the device has now; it differs from the node's when somebody changed it under us.
    pub public_key: PublicKey,
    /// The UDP port on which WireGuard listens; 0 while it has none.
    pub listen_port: u16,
    /// The peers by key.
    pub peers: BTreeMap<PublicKey, PeerState>,
}

/// One peer of a [`DeviceState`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerState {
    /// Where WireGuard sends to: set by somebody, or the source of the last authenticated packet.
    pub endpoint: Option<SocketAddr>,
    /// When the last handshake was completed. Equal in every read until the next handshake, whatever the wall clock does.
    pub last_handshake: Option<Timestamp>,
    /// Bytes received from the peer, encrypted and authentic.
    pub rx_bytes: u64,
    /// Bytes sent to the peer.
    pub tx_bytes: u64,
    /// The persistent keepalive interval in seconds, where there is one.
    pub keepalive: Option<u16>,
    /// Whether it has a preshared key; which one, nobody here wants to know.
    pub preshared: bool,
    /// Whose packets the peer may send, and which are sent to it; masked.
    pub allowed_ips: Prefixes,
}

/// The smallest changes that WireGuard knows. Each leaves alone whatever it does not name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChange {
    /// Makes a peer that the device does not have. Where it has it by now, this is as good as the other changes.
    AddPeer {
        /// The key of the peer.
        peer: PublicKey,
        /// Its first allowed IPs.
        allowed_ips: Prefixes,
        /// Where to reach it, if that is known.
        endpoint: Option<SocketAddr>,
    },
    /// Removes a peer, with its session.
    RemovePeer {
        /// The key of the peer.
        peer: PublicKey,
    },
    /// Sends to another endpoint from now on; never makes the peer.
    SetEndpoint {
        /// The key of the peer.
        peer: PublicKey,
        /// Where to send.
        endpoint: SocketAddr,
    },
    /// Gives a prefix to a peer, and so takes it from its present owner; never makes the peer.
    AddAllowedIp {
        /// The key of the new owner.
        peer: PublicKey,
        /// The prefix, masked.
        prefix: IpNet,
    },
    /// Takes a prefix from a peer; nothing happens where the peer does not own it.
    RemoveAllowedIp {
        /// The key of the owner.
        peer: PublicKey,
        /// The prefix, masked.
        prefix: IpNet,
    },
    /// Removes a peer and makes it again in one step, with its preshared key, keepalive and allowed IPs: WireGuard knows no other
    /// way to take an endpoint from it, or to send an initiation less than 5 s after the last. It loses its session, so while the
    /// node runs this is only for peers that it introduced and that never had one.
    MakeAgain {
        /// The key of the peer.
        peer: PublicKey,
        /// Where to send from then on, if anywhere.
        endpoint: Option<SocketAddr>,
    },
}

impl PeerState {
    /// Returns whether it has what only an operator gives: a keepalive, a preshared key, a prefix that nothing `explains`.
    pub fn is_touched(&self, explains: impl Fn(&IpNet) -> bool) -> bool {
        self.keepalive.is_some() || self.preshared || !self.allowed_ips.iter().all(explains)
    }

    /// Returns the peer as it is when it was just made again.
    #[must_use]
    pub fn made_again(self, endpoint: Option<SocketAddr>) -> Self {
        Self {
            endpoint,
            keepalive: self.keepalive,
            preshared: self.preshared,
            allowed_ips: self.allowed_ips,
            ..Self::default()
        }
    }
}

impl DeviceChange {
    /// Returns the peer that the change is about.
    pub const fn peer(&self) -> &PublicKey {
        match self {
            Self::AddPeer { peer, .. }
            | Self::RemovePeer { peer }
            | Self::SetEndpoint { peer, .. }
            | Self::AddAllowedIp { peer, .. }
            | Self::RemoveAllowedIp { peer, .. }
            | Self::MakeAgain { peer, .. } => peer,
        }
    }
}

impl DeviceState {
    /// Returns an empty device.
    pub fn new(public_key: PublicKey, listen_port: u16) -> Self {
        Self {
            public_key,
            listen_port,
            peers: BTreeMap::new(),
        }
    }

    /// Returns every prefix with its owner.
    pub fn owners(&self) -> BTreeMap<IpNet, PublicKey> {
        let prefixes = self
            .peers
            .iter()
            .flat_map(|(key, peer)| peer.allowed_ips.iter().map(|prefix| (*prefix, *key)));
        prefixes.collect()
    }

    /// Returns the peer that has exactly this prefix.
    pub fn owner(&self, prefix: &IpNet) -> Option<&PublicKey> {
        self.peers
            .iter()
            .find(|(_, peer)| peer.allowed_ips.contains(prefix))
            .map(|(key, _)| key)
    }

    /// Does to the table what WireGuard does: moves a prefix to its new owner, ignores edits of peers it does not have.
    pub fn apply(&mut self, change: &DeviceChange) {
        match change {
            DeviceChange::AddPeer {
                peer,
                allowed_ips,
                endpoint,
            } => {
                let entry = self.peers.entry(*peer).or_default();
                entry.endpoint = endpoint.or(entry.endpoint);
                allowed_ips.iter().for_each(|prefix| self.give(peer, *prefix));
            }
            DeviceChange::RemovePeer { peer } => drop(self.peers.remove(peer)),
            DeviceChange::SetEndpoint { peer, endpoint } => {
                if let Some(state) = self.peers.get_mut(peer) {
                    state.endpoint = Some(*endpoint);
                }
            }
            DeviceChange::AddAllowedIp { peer, prefix } => self.give(peer, *prefix),
            DeviceChange::RemoveAllowedIp { peer, prefix } => {
                if let Some(state) = self.peers.get_mut(peer) {
                    state.allowed_ips.remove(prefix);
                }
            }
            DeviceChange::MakeAgain { peer, endpoint } => {
                if let Some(state) = self.peers.get_mut(peer) {
                    *state = std::mem::take(state).made_again(*endpoint);
                }
            }
        }
    }

    fn give(&mut self, peer: &PublicKey, prefix: IpNet) {
        if !self.peers.contains_key(peer) {
            return;
        }
        for (key, state) in &mut self.peers {
            if key == peer {
                state.allowed_ips.insert(prefix);
            } else {
                state.allowed_ips.remove(&prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PublicKey = PublicKey::from_bytes([1; 32]);
    const B: PublicKey = PublicKey::from_bytes([2; 32]);

    fn prefix(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn two_peers() -> DeviceState {
        let mut device = DeviceState::new(PublicKey::from_bytes([9; 32]), 51820);
        for (peer, allowed) in [(A, "10.0.0.0/24"), (B, "10.0.0.2/32")] {
            device.apply(&DeviceChange::AddPeer {
                peer,
                allowed_ips: [prefix(allowed)].into(),
                endpoint: None,
            });
        }
        device
    }

    #[test]
    fn a_prefix_has_one_owner() {
        let mut device = two_peers();
        device.apply(&DeviceChange::AddAllowedIp {
            peer: A,
            prefix: prefix("10.0.0.2/32"),
        });
        assert_eq!(device.owner(&prefix("10.0.0.2/32")), Some(&A));
        assert!(device.peers[&B].allowed_ips.is_empty());
    }

    #[test]
    fn an_edit_never_makes_a_peer() {
        let mut device = two_peers();
        device.apply(&DeviceChange::RemovePeer { peer: B });
        device.apply(&DeviceChange::AddAllowedIp {
            peer: B,
            prefix: prefix("10.0.0.0/24"),
        });
        device.apply(&DeviceChange::SetEndpoint {
            peer: B,
            endpoint: "192.0.2.1:1".parse().unwrap(),
        });
        assert_eq!(device.peers.keys().collect::<Vec<_>>(), [&A]);
        assert_eq!(device.owner(&prefix("10.0.0.0/24")), Some(&A));
    }
}
