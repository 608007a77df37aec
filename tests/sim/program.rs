//! What runs beside WireGuard on a host: ours or a deployed v1, with one contract.

use std::net::Ipv6Addr;

use wirelink::mesh::base::identity::PrivateKey;
use wirelink::mesh::base::settings::Settings;
use wirelink::mesh::base::time::{Deadline, Timestamp};
use wirelink::mesh::node::Node;
use wirelink::mesh::show::event::{Input, Output};

use crate::scenario;
use crate::v1;

/// A node of either kind.
pub(crate) enum Program {
    /// The one under test.
    Ours(Box<Node>),
    /// The model of the deployed one.
    V1(Box<v1::Node>),
}

impl Program {
    /// Starts a node.
    pub(crate) fn start(
        kind: scenario::Program,
        settings: Settings,
        identity: PrivateKey,
        seed: [u8; 32],
        now: Timestamp,
    ) -> Self {
        match kind {
            scenario::Program::Ours => Self::Ours(Box::new(Node::new(settings, identity, seed, now))),
            scenario::Program::V1 => Self::V1(Box::new(v1::Node::new(settings, identity, seed, now))),
        }
    }

    /// Takes in what happened.
    pub(crate) fn handle(&mut self, now: Timestamp, input: Input<'_>) {
        match self {
            Self::Ours(node) => node.handle(now, input),
            Self::V1(node) => node.handle(now, input),
        }
    }

    /// Returns what to do next, until there is nothing more.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Ours(node) => node.poll_output(),
            Self::V1(node) => node.poll_output(),
        }
    }

    /// Returns when to hand in [`Input::Timeout`], after the device.
    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        match self {
            Self::Ours(node) => node.poll_timeout(),
            Self::V1(node) => node.poll_timeout(),
        }
    }

    /// Returns the link-local address.
    pub(crate) fn address(&self) -> Ipv6Addr {
        match self {
            Self::Ours(node) => node.address(),
            Self::V1(node) => node.address(),
        }
    }

    /// Returns the node, if it is the one under test.
    pub(crate) fn ours(&self) -> Option<&Node> {
        match self {
            Self::Ours(node) => Some(node),
            Self::V1(_) => None,
        }
    }

    /// Returns how many datagrams a v1 node refused whole; ours make it refuse none.
    pub(crate) fn refused(&self) -> u64 {
        match self {
            Self::Ours(_) => 0,
            Self::V1(node) => node.refused().values().sum(),
        }
    }
}
