//! The node: wires the parts together and decides nothing itself.

use std::net::Ipv6Addr;

use super::event::{Input, Output};
use super::identity::PrivateKey;
use super::settings::Settings;
use super::status::Status;
use super::time::{Deadline, Timestamp};

/// One node of the mesh, as a machine without IO.
pub struct Node {
    address: Ipv6Addr,
}

impl Node {
    /// Starts a node; `seed` must be random and never be used twice.
    pub fn new(settings: Settings, identity: PrivateKey, _seed: [u8; 32], _now: Timestamp) -> Self {
        Self {
            address: settings.address_hash.link_local(&identity.public_key()),
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, _now: Timestamp, _input: Input<'_>) {}

    /// Returns what to do next, until there is nothing more.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }

    /// Returns when to hand in [`Input::Timeout`].
    pub fn poll_timeout(&self) -> Option<Deadline> {
        None
    }

    /// Returns the link-local address of this node.
    pub fn address(&self) -> Ipv6Addr {
        self.address
    }

    /// Returns what the node knows and does, to be shown.
    pub fn status(&self, _now: Timestamp) -> Status {
        Status {}
    }
}
