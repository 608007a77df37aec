//! Which claims may be met: none that is in the way of something, nor of what the operator gave to another peer.

use ipnet::IpNet;

use super::{Decision, Routes, View, has_parts};
use crate::mesh::base::identity::PublicKey;
use crate::mesh::device::mirror::Mirror;
use crate::mesh::keep::memory::Given;
use crate::mesh::route::overlap::{Obstacle, Overlap, Table};

/// What was found out about a prefix before it is decided.
pub(super) struct Case {
    /// Whose claims may be met, in the order of their keys.
    pub(super) admitted: Vec<PublicKey>,
    /// Whether we gave it to its owner, and it is in the way of something by now.
    pub(super) must_go: bool,
}

impl Routes {
    /// Finds out whose claims to the prefix may be met, and notes the others.
    pub(super) fn admit(&mut self, view: &View<'_>, prefix: IpNet, decision: &mut Decision) -> Case {
        let owner = view.device.owner(&prefix);
        let claimed = |peer: &PublicKey| view.device.peers.contains_key(peer);
        let (mut admitted, mut refused) = (Vec::new(), Vec::new());
        for claimant in view.claims.of(prefix).filter(claimed) {
            match self.obstacle(view, &prefix, &claimant, owner) {
                Some(obstacle) => refused.push((claimant, obstacle)),
                None => admitted.push(claimant),
            }
        }
        let stands = |peer: &PublicKey| admitted.contains(peer);
        let (new, cleared) = self.refusals.note(prefix, refused, stands);
        decision.refused.extend(new);
        decision.cleared.extend(cleared);
        let ours = owner.filter(|owner| self.introduced(owner, &prefix) && !admitted.contains(owner));
        Case {
            must_go: ours.is_some_and(|owner| self.harm(view, &prefix, &owner).is_some()),
            admitted,
        }
    }

    /// Returns what is in the way of a claim, if anything is.
    fn obstacle(
        &self,
        view: &View<'_>,
        prefix: &IpNet,
        claimant: &PublicKey,
        owner: Option<PublicKey>,
    ) -> Option<Obstacle> {
        let operators = self.operators(view.device, prefix);
        if operators == Some(*claimant) {
            return None;
        }
        let is_there = operators.filter(|peer| Some(*peer) == owner);
        let is_shared = |peer: &PublicKey| view.claims.of(*prefix).any(|other| other == *peer);
        let of_another = is_there.filter(|peer| !is_shared(peer) && !may_take(view, prefix, peer, claimant));
        self.harm(view, prefix, claimant).or(of_another.map(|peer| Obstacle {
            overlap: Overlap::OperatorsPrefix,
            with: Some(*prefix),
            of: Some(peer),
        }))
    }

    /// Returns what the prefix would be in the way of, with this peer.
    fn harm(&self, view: &View<'_>, prefix: &IpNet, peer: &PublicKey) -> Option<Obstacle> {
        let table = Table {
            device: view.device,
            operators: &|prefix| self.operators(view.device, prefix),
            introduced: &self.introduced,
            routers: view.routers,
        };
        view.protected.obstacle(prefix, peer, &table)
    }

    /// Returns to whom the operator gave exactly this prefix, wherever it is now.
    fn operators(&self, device: &Mirror, prefix: &IpNet) -> Option<PublicKey> {
        let introduced = self.introduced.get(prefix);
        let Some(owner) = device.owner(prefix) else {
            return introduced.and_then(Given::lent_by);
        };
        let ours = introduced.filter(|introduced| introduced.peer == owner);
        ours.map_or(Some(owner), |ours| ours.taken_from)
    }
}

/// Returns whether what the operator gave to a peer may be a claimant's while that is up: it is taken from a router only, and only
/// where it is not a network of which others have parts.
fn may_take(view: &View<'_>, prefix: &IpNet, owner: &PublicKey, claimant: &PublicKey) -> bool {
    view.routers.contains(owner) && !view.routers.contains(claimant) && !has_parts(view, prefix)
}
