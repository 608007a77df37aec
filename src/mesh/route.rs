//! Which peer gets which prefix. In WireGuard a prefix has one owner per device, so giving it away *is* routing: to the peer
//! itself while its link is up, back to a router when it is not.

pub mod overlap;

mod admission;
mod claims;
mod refusals;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use self::admission::Case;
pub use self::claims::Claims;
pub use self::refusals::Refusal;
use self::refusals::Refusals;
use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::prefix::{is_reserved, wider};
use crate::mesh::device::mirror::Mirror;
use crate::mesh::keep::memory::Given;
use crate::mesh::route::overlap::Protected;

/// Remembers which prefixes are where they are because of us.
///
/// What was introduced is forgotten when the device shows it to be so, and not when that is planned: a change may fail.
#[derive(Debug, Default)]
pub struct Routes {
    introduced: BTreeMap<IpNet, Given>,
    refusals: Refusals,
}

/// What a decision is made from.
pub struct View<'a> {
    /// The device.
    pub device: &'a Mirror,
    /// Who claims what.
    pub claims: &'a Claims,
    /// What claims must leave alone.
    pub protected: &'a Protected,
    /// Whether traffic may go directly to a peer.
    pub up: &'a dyn Fn(&PublicKey) -> bool,
    /// Peers that route for others.
    pub routers: &'a BTreeSet<PublicKey>,
    /// Peers with a live session.
    pub healthy: &'a BTreeSet<PublicKey>,
    /// Whether a peer was looked for long enough, and is not reached.
    pub lost: &'a dyn Fn(&PublicKey) -> bool,
    /// Whether this node routes for others.
    pub is_router: bool,
    /// Whether prefixes that nobody claims any more are taken back: not on a router, nor on a node that others believe, nor while
    /// whoever would claim them was not heard out.
    pub may_forget: bool,
}

/// A change of owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// What moves.
    pub prefix: IpNet,
    /// Who has it now.
    pub from: Option<PublicKey>,
    /// Who should have it; `None` where a router covers it with a shorter prefix.
    pub to: Option<PublicKey>,
}

/// What should become of the allowed IPs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The changes, by prefix.
    pub moves: Vec<Move>,
    /// Claims that are refused, and were not, or for another reason.
    pub refused: Vec<Refusal>,
    /// Claims that were refused, and stand, and are not refused any more.
    pub cleared: Vec<Refusal>,
}

impl Routes {
    /// Returns whether the peer has the prefix because of us.
    pub fn introduced(&self, peer: &PublicKey, prefix: &IpNet) -> bool {
        self.introduced
            .get(prefix)
            .is_some_and(|introduced| introduced.explains(peer))
    }

    /// Returns all prefixes that are where they are because of us, or will be.
    pub fn all_introduced(&self) -> &BTreeMap<IpNet, Given> {
        &self.introduced
    }

    /// Takes over what an earlier run introduced.
    pub fn resume(&mut self, introduced: BTreeMap<IpNet, Given>) {
        self.introduced = introduced;
    }

    /// Lets a peer use its own link-local address, without which it cannot be heard; returns the change that needs. With a peer
    /// that is `ours` its address will go by itself, so that of a thousand members none is remembered.
    pub fn give_address(
        &mut self,
        owner: Option<PublicKey>,
        peer: PublicKey,
        address: IpNet,
        ours: bool,
    ) -> Option<Move> {
        if owner == Some(peer) {
            return None;
        }
        if !ours || owner.is_some() {
            let taken_from = owner;
            self.introduced.insert(address, Given::new(peer, taken_from));
        }
        Some(Move {
            prefix: address,
            from: owner,
            to: Some(peer),
        })
    }

    /// Remembers the address of a peer that was ours and is the operator's now.
    pub fn hand_over(&mut self, peer: PublicKey, address: IpNet) {
        self.introduced.entry(address).or_insert(Given::new(peer, None));
    }

    /// Returns how many prefixes are remembered, and how many claims that were refused.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.introduced.len() + self.refusals.len()
    }

    /// Forgets whom it let use their addresses and who are no peers any more.
    pub fn retain(&mut self, is_peer: impl Fn(&PublicKey) -> bool) {
        self.introduced
            .retain(|prefix, introduced| !is_reserved(prefix) || is_peer(&introduced.peer));
    }

    /// Returns all prefixes about which there is something to decide.
    pub fn all(&self, claims: &Claims) -> BTreeSet<IpNet> {
        claims.prefixes().chain(self.introduced.keys().copied()).collect()
    }

    /// Returns the owner of a prefix, or the peer that lent it to a router.
    pub fn owner(&self, device: &Mirror, prefix: &IpNet) -> Option<PublicKey> {
        let lent_by = || self.introduced.get(prefix).and_then(Given::lent_by);
        device.owner(prefix).or_else(lent_by)
    }

    /// Returns the prefixes that were taken from one of `peers`.
    pub fn dependent(&self, peers: &BTreeSet<PublicKey>) -> BTreeSet<IpNet> {
        let of_peers = |introduced: &Given| introduced.taken_from.is_some_and(|peer| peers.contains(&peer));
        let introduced = (!peers.is_empty()).then_some(&self.introduced).into_iter().flatten();
        let taken = introduced.filter(|(_, introduced)| of_peers(introduced));
        taken.map(|(prefix, _)| *prefix).collect()
    }

    /// Returns the prefixes that hold this one, itself included, and about which there is something to decide.
    pub fn around<'a>(&'a self, claims: &'a Claims, prefix: IpNet) -> impl Iterator<Item = IpNet> + use<'a> {
        let holds = wider(prefix).chain([prefix]);
        holds.filter(|holds| claims.is_claimed(*holds) || self.introduced.contains_key(holds))
    }

    /// Returns the claims that are refused, with the reason.
    pub fn refused(&self) -> impl Iterator<Item = Refusal> {
        self.refusals.iter()
    }

    /// Returns whether a claim to the prefix was found to be in the way of something.
    pub fn is_refused(&self, prefix: IpNet, claimant: PublicKey) -> bool {
        self.refusals.contains(prefix, claimant)
    }

    /// Decides about these prefixes, in their order.
    pub fn decide(&mut self, view: &View<'_>, prefixes: &BTreeSet<IpNet>) -> Decision {
        let mut decision = Decision::default();
        let mut cases = Vec::new();
        // First who may have what, of all: what is whose is no more what the device says while it is decided.
        for prefix in prefixes.iter().filter(|prefix| !is_reserved(prefix)) {
            let case = self.admit(view, *prefix, &mut decision);
            if view.claims.is_claimed(*prefix) || self.introduced.contains_key(prefix) {
                cases.push((prefix, case));
            }
        }
        for (prefix, case) in cases {
            let owner = view.device.owner(prefix);
            let to = self.decide_one(view, *prefix, owner, &case);
            if to != owner {
                decision.moves.push(Move {
                    prefix: *prefix,
                    from: owner,
                    to,
                });
            }
        }
        decision
    }

    fn decide_one(
        &mut self,
        view: &View<'_>,
        prefix: IpNet,
        owner: Option<PublicKey>,
        case: &Case,
    ) -> Option<PublicKey> {
        let introduced = self.introduced.get(&prefix).copied();
        let ours = introduced.filter(|introduced| owner.is_some_and(|owner| introduced.explains(&owner)));
        if let (Some(owner), Some(ours)) = (owner, ours) {
            // What it was before is over: should it have it once more, that will be somebody else's doing.
            self.introduced.insert(prefix, Given::new(owner, ours.taken_from));
        }
        let admitted = &case.admitted[..];
        match (owner, ours) {
            (Some(_), Some(ours)) if case.must_go => self.take_back(view, prefix, ours, admitted),
            (Some(owner), Some(ours)) => self.keep_or_return(view, prefix, owner, ours, admitted),
            (None, _) => self.give_or_restore(view, prefix, admitted),
            (Some(owner), None) => self.take(view, prefix, owner, admitted),
        }
    }

    /// Gives the prefix to the first claimant with a link; of several the lowest key, the same on every node.
    fn give(
        &mut self,
        view: &View<'_>,
        prefix: IpNet,
        taken_from: Option<PublicKey>,
        admitted: &[PublicKey],
    ) -> Option<PublicKey> {
        let claimant = admitted.iter().copied().find(|peer| (view.up)(peer))?;
        let given = Given {
            formerly: view
                .device
                .owner(&prefix)
                .filter(|owner| *owner != claimant && Some(*owner) != taken_from),
            ..Given::new(claimant, taken_from)
        };
        self.introduced.insert(prefix, given);
        Some(claimant)
    }

    /// Decides about a prefix without an owner; one that was taken from a router returns there when its peer is gone.
    fn give_or_restore(&mut self, view: &View<'_>, prefix: IpNet, admitted: &[PublicKey]) -> Option<PublicKey> {
        let introduced = self.introduced.get(&prefix);
        let taken_from = introduced.and_then(|introduced| introduced.taken_from);
        let lent_by = introduced.and_then(Given::lent_by);
        if belongs_to_router(view, &prefix, admitted) {
            self.introduced.remove(&prefix);
            return None;
        }
        if let Some(claimant) = self.give(view, prefix, taken_from, admitted) {
            return Some(claimant);
        }
        let back_to = taken_from.filter(|peer| view.device.peers.contains_key(peer));
        if lent_by.is_some()
            && back_to == lent_by
            && lent_by.is_some_and(|owner| may_lend(view, &prefix, &owner, admitted))
        {
            return None;
        }
        if back_to.is_none() {
            self.introduced.remove(&prefix);
        }
        back_to
    }

    /// Takes away from its owner a prefix that is in the way of something by now.
    fn take_back(&mut self, view: &View<'_>, prefix: IpNet, ours: Given, admitted: &[PublicKey]) -> Option<PublicKey> {
        let taken_from = ours.taken_from.filter(|peer| view.device.peers.contains_key(peer));
        self.give(view, prefix, ours.taken_from, admitted).or(taken_from)
    }

    /// Decides about a prefix that we gave to its owner.
    fn keep_or_return(
        &mut self,
        view: &View<'_>,
        prefix: IpNet,
        owner: PublicKey,
        ours: Given,
        admitted: &[PublicKey],
    ) -> Option<PublicKey> {
        let claimed = admitted.contains(&owner);
        if ours.taken_from.is_none() && belongs_to_router(view, &prefix, admitted) {
            return None;
        }
        if claimed && (view.up)(&owner) || !claimed && !view.may_forget {
            return Some(owner);
        }
        if admitted.iter().any(view.up) {
            return self.give(view, prefix, ours.taken_from, admitted);
        }
        let back_to = ours.taken_from.filter(|peer| view.device.peers.contains_key(peer));
        let reachable = back_to.map_or_else(
            || is_covered(view, &prefix, &owner),
            |peer| view.healthy.contains(&peer),
        );
        if claimed && !reachable {
            return Some(owner);
        }
        back_to
    }

    /// Decides about a prefix that the operator gave to its owner. Another claimant with a link may take it ([`admission`]). A router
    /// gets it for as long as the owner is lost: a peer that an earlier run made, and that was saved with the configuration, must not
    /// cut off the way through the hub.
    fn take(&mut self, view: &View<'_>, prefix: IpNet, owner: PublicKey, admitted: &[PublicKey]) -> Option<PublicKey> {
        self.introduced.remove(&prefix);
        if may_lend(view, &prefix, &owner, admitted) {
            self.introduced.insert(prefix, Given::lent(owner));
            return None;
        }
        if admitted.contains(&owner) || !admitted.iter().any(view.up) {
            return Some(owner);
        }
        self.give(view, prefix, Some(owner), admitted)
    }
}

/// Returns whether a prefix that the operator gave to a peer goes to a router that covers it: facts say that it is that peer's, and the
/// peer is lost. A router keeps what its leaves have.
fn may_lend(view: &View<'_>, prefix: &IpNet, owner: &PublicKey, admitted: &[PublicKey]) -> bool {
    let is_claimed = admitted.contains(owner) && !view.is_router && !view.routers.contains(owner);
    is_claimed && !(view.up)(owner) && (view.lost)(owner) && is_covered(view, prefix, owner)
}

/// Returns whether a router that can be reached has a shorter prefix for the same addresses.
fn is_covered(view: &View<'_>, prefix: &IpNet, but: &PublicKey) -> bool {
    wider(*prefix)
        .filter_map(|wider| view.device.owner(&wider))
        .any(|owner| owner != *but && view.routers.contains(&owner) && view.healthy.contains(&owner))
}

/// Returns whether the prefix must stay with a router that covers it, and that none of its claimants is.
///
/// WireGuard drops what comes from another peer than the one that its source address belongs to. So what passes two routers must
/// pass the same two on its way back: a leaf leaves to its own router what is in the network of another one, and a router to that
/// other one its leaves, whether that one can be reached just now or not.
fn belongs_to_router(view: &View<'_>, prefix: &IpNet, claimants: &[PublicKey]) -> bool {
    if view.is_router {
        let covering = wider(*prefix).filter_map(|wider| view.device.owner(&wider));
        let mut others = covering.filter(|owner| !claimants.contains(owner));
        return others.any(|owner| view.routers.contains(&owner));
    }
    has_parts(view, prefix) && claimants.iter().any(|claimant| is_covered(view, prefix, claimant))
}

/// Returns whether others own or claim addresses inside the prefix.
fn has_parts(view: &View<'_>, prefix: &IpNet) -> bool {
    // All that lies inside follows the prefix in the order of addresses, and nothing else comes between.
    let owned = view.device.owners().range(prefix..).map(|(other, _)| other);
    let owned = owned.copied().find(|other| other != prefix);
    [owned, view.claims.after(prefix)]
        .into_iter()
        .flatten()
        .any(|other| prefix.contains(&other))
}

#[cfg(test)]
mod tests;
