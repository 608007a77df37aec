//! The UDP ports between which each peer's facts travel, learned from datagrams whose tag holds.
//!
//! Deployed nodes listen where they send from, but not every node has the same port. A datagram that nobody verified teaches nothing: any
//! user of a member's machine can send from its address, and would divert what the member is told to a port of their own.

use std::collections::BTreeMap;

use crate::mesh::base::identity::PublicKey;

/// A port of this node and the one of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortPair {
    /// The port of this node at which the peer was heard.
    pub own: u16,
    /// The port from which the peer spoke.
    pub peer: u16,
}

/// The ports of the peers that were heard, one pair for each.
#[derive(Debug, Default)]
pub struct HeardPorts(BTreeMap<PublicKey, PortPair>);

impl HeardPorts {
    /// Takes in between which ports a verified datagram of a peer came.
    pub fn note(&mut self, peer: &PublicKey, ports: PortPair) {
        self.0.insert(*peer, ports);
    }

    /// Returns the ports for what the peer is told; `None` while it was not heard.
    pub fn of(&self, peer: &PublicKey) -> Option<PortPair> {
        self.0.get(peer).copied()
    }

    /// Forgets all that are not peers any more.
    pub fn retain(&mut self, is_peer: impl Fn(&PublicKey) -> bool) {
        self.0.retain(|peer, _| is_peer(peer));
    }
}
