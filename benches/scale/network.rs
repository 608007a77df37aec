//! A large network: leaves behind hubs.

use std::collections::BTreeSet;
use std::time::Duration;

use wirelink::mesh::base::identity::PublicKey;

use crate::net::{HostId, Quality};
use crate::program::Program;
use crate::scenario::border::Border;
use crate::star::{Star, star};
use crate::world::World;

/// How many leaves one hub has at most.
const LEAVES_OF_A_HUB: usize = 1000;
/// Half of the way from one site to another: 50 ms there and back.
const ACCESS: Quality = Quality {
    latency: Duration::from_micros(12_500),
    jitter: Duration::ZERO,
    ..Quality::ACCESS
};

/// What the leaves can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No leaf can reach another one, or has anything to try.
    Star,
    /// All leaves have public addresses.
    Mesh,
}

impl Kind {
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Star, Self::Mesh].into_iter().find(|kind| kind.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Star => "star",
            Self::Mesh => "mesh",
        }
    }
}

/// A network in the simulated world.
pub(crate) struct Network {
    pub(crate) world: World,
    pub(crate) hubs: Vec<HostId>,
    pub(crate) leaves: Vec<HostId>,
    lacking: Vec<HostId>,
    leaf_keys: BTreeSet<PublicKey>,
}

impl Network {
    /// Builds it; nothing runs yet but WireGuard.
    pub(crate) fn new(kind: Kind, leaves: usize) -> Self {
        let hubs = leaves.div_ceil(LEAVES_OF_A_HUB);
        let shape = Star {
            leaves,
            hubs,
            border: match kind {
                Kind::Star => Border::HOME,
                Kind::Mesh => Border::Open,
            },
            quality: ACCESS,
            has_candidates: false,
        };
        let world = star(1, &shape);
        let leaves: Vec<HostId> = (hubs..hubs + leaves).collect();
        Self {
            hubs: (0..hubs).collect(),
            lacking: leaves.clone(),
            leaf_keys: leaves.iter().map(|id| world.hosts[*id].key).collect(),
            leaves,
            world,
        }
    }

    /// Starts all nodes.
    pub(crate) fn start(&mut self) {
        (0..self.world.hosts.len()).for_each(|id| self.world.start(id));
    }

    /// Returns whether every leaf knows of every other one that it is a member, what its prefix is, and where it may be reached.
    pub(crate) fn has_converged(&mut self) -> bool {
        // One that is complete stays so; the first that is not saves looking at the rest.
        while let Some(id) = self.lacking.pop() {
            if !self.is_complete(id) {
                self.lacking.push(id);
                return false;
            }
        }
        true
    }

    fn is_complete(&self, id: HostId) -> bool {
        let others = self.leaves.len() - 1;
        let host = &self.world.hosts[id];
        // Cheap, and a condition: every member is made a peer.
        if host.tunnel.device().peers.len() < others + self.hubs.len() {
            return false;
        }
        let node = host.node.as_ref().and_then(Program::ours).expect("it runs");
        let facts = node.status(self.world.now).facts;
        let about_others = facts
            .iter()
            .filter(|(fact, ..)| fact.subject != host.key && self.leaf_keys.contains(&fact.subject));
        about_others.count() >= 3 * others
    }
}
