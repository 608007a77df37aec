//! Which peer gets which prefix. In WireGuard a prefix has one owner per device, so giving it away *is* routing: to the peer
//! itself while its link is up, back to a router when it is not.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::identity::PublicKey;
use super::memory::Given;
use super::mirror::Mirror;
use super::prefix::is_reserved;

/// Remembers which prefixes are where they are because of us.
///
/// What was introduced is forgotten when the device shows it to be so, and not when that is planned: a change may fail.
#[derive(Debug, Default)]
pub struct Routes {
    introduced: BTreeMap<IpNet, Given>,
    /// Claims that were refused, and still stand.
    refused: BTreeSet<(IpNet, PublicKey)>,
}

/// Which peers accepted facts and the settings give each prefix to.
#[derive(Debug, Default)]
pub struct Claims(BTreeSet<(IpNet, PublicKey)>);

impl Claims {
    /// Notes whether the prefix is claimed for the peer.
    pub fn note(&mut self, prefix: IpNet, peer: PublicKey, holds: bool) {
        if holds {
            self.0.insert((prefix, peer));
        } else {
            self.0.remove(&(prefix, peer));
        }
    }

    /// Returns how many claims there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether nothing is claimed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the claimed prefixes that hold this one and more.
    pub fn wider(&self, prefix: &IpNet) -> impl Iterator<Item = IpNet> + use<'_> {
        let prefix = *prefix;
        wider(prefix).filter(|wider| self.of(*wider).next().is_some())
    }

    /// Returns for whom the prefix is claimed, in the order of their keys.
    fn of(&self, prefix: IpNet) -> impl Iterator<Item = PublicKey> + use<'_> {
        let claims = self.0.range((prefix, PublicKey::FIRST)..);
        claims
            .take_while(move |(other, _)| *other == prefix)
            .map(|(_, peer)| *peer)
    }
}

/// What a decision is made from.
pub struct View<'a> {
    /// The device.
    pub device: &'a Mirror,
    /// Who claims what.
    pub claims: &'a Claims,
    /// Whether traffic may go directly to a peer.
    pub up: &'a dyn Fn(&PublicKey) -> bool,
    /// Peers that route for others.
    pub routers: &'a BTreeSet<PublicKey>,
    /// Peers with a live session.
    pub healthy: &'a BTreeSet<PublicKey>,
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

/// A claim that cannot be met without taking something of the operator's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What is claimed.
    pub prefix: IpNet,
    /// For whom.
    pub claimant: PublicKey,
    /// Who has it.
    pub owner: PublicKey,
}

/// What should become of the allowed IPs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The changes, by prefix.
    pub moves: Vec<Move>,
    /// Claims refused that were not refused before.
    pub conflicts: Vec<Conflict>,
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
        self.introduced.len() + self.refused.len()
    }

    /// Forgets whom it let use their addresses and who are no peers any more.
    pub fn retain(&mut self, is_peer: impl Fn(&PublicKey) -> bool) {
        self.introduced
            .retain(|prefix, introduced| !is_reserved(prefix) || is_peer(&introduced.peer));
    }

    /// Returns all prefixes about which there is something to decide.
    pub fn all(&self, claims: &Claims) -> BTreeSet<IpNet> {
        let claimed = claims.0.iter().map(|(prefix, _)| prefix);
        claimed.chain(self.introduced.keys()).copied().collect()
    }

    /// Returns the prefixes that hang on others: those taken from one of `peers`, and those refused, of which others may have
    /// parts no more.
    pub fn dependent(&self, peers: &BTreeSet<PublicKey>) -> BTreeSet<IpNet> {
        let of_peers = |introduced: &Given| introduced.taken_from.is_some_and(|peer| peers.contains(&peer));
        let introduced = (!peers.is_empty()).then_some(&self.introduced).into_iter().flatten();
        let taken = introduced.filter(|(_, introduced)| of_peers(introduced));
        taken
            .map(|(prefix, _)| prefix)
            .chain(self.refused.iter().map(|(prefix, _)| prefix))
            .copied()
            .collect()
    }

    /// Decides about these prefixes, in their order.
    pub fn decide(&mut self, view: &View<'_>, prefixes: &BTreeSet<IpNet>) -> Decision {
        let mut decision = Decision::default();
        for prefix in prefixes.iter().filter(|prefix| !is_reserved(prefix)) {
            self.forget_refused(view.claims, *prefix);
            if view.claims.of(*prefix).next().is_none() && !self.introduced.contains_key(prefix) {
                continue;
            }
            let owner = view.device.owner(prefix);
            let to = self.decide_one(view, *prefix, owner, &mut decision.conflicts);
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

    /// Forgets the refused claims to a prefix that have ended: a peer may claim for ever new ones.
    fn forget_refused(&mut self, claims: &Claims, prefix: IpNet) {
        let refused = self.refused.range((prefix, PublicKey::FIRST)..);
        let of_prefix = refused.take_while(|(other, _)| *other == prefix);
        let ended: Vec<_> = of_prefix.filter(|claim| !claims.0.contains(claim)).copied().collect();
        ended.iter().for_each(|claim| {
            self.refused.remove(claim);
        });
    }

    fn decide_one(
        &mut self,
        view: &View<'_>,
        prefix: IpNet,
        owner: Option<PublicKey>,
        conflicts: &mut Vec<Conflict>,
    ) -> Option<PublicKey> {
        let introduced = self.introduced.get(&prefix).copied();
        let ours = introduced.filter(|introduced| owner.is_some_and(|owner| introduced.explains(&owner)));
        if let (Some(owner), Some(ours)) = (owner, ours) {
            // What it was before is over: should it have it once more, that will be somebody else's doing.
            self.introduced.insert(prefix, Given::new(owner, ours.taken_from));
        }
        match (owner, ours) {
            (Some(owner), Some(ours)) => self.keep_or_return(view, prefix, owner, ours),
            (None, _) => self.give_or_restore(view, prefix),
            (Some(owner), None) => self.take(view, prefix, owner, conflicts),
        }
    }

    /// Gives the prefix to the first claimant with a link; of several the lowest key, the same on every node.
    fn give(&mut self, view: &View<'_>, prefix: IpNet, taken_from: Option<PublicKey>) -> Option<PublicKey> {
        let claimant = claimants(view, &prefix).find(|peer| (view.up)(peer))?;
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
    fn give_or_restore(&mut self, view: &View<'_>, prefix: IpNet) -> Option<PublicKey> {
        let taken_from = self
            .introduced
            .get(&prefix)
            .and_then(|introduced| introduced.taken_from);
        if belongs_to_router(view, &prefix) {
            self.introduced.remove(&prefix);
            return None;
        }
        if let Some(claimant) = self.give(view, prefix, taken_from) {
            return Some(claimant);
        }
        let back_to = taken_from.filter(|peer| view.device.peers.contains_key(peer));
        if back_to.is_none() {
            self.introduced.remove(&prefix);
        }
        back_to
    }

    /// Decides about a prefix that we gave to its owner.
    fn keep_or_return(&mut self, view: &View<'_>, prefix: IpNet, owner: PublicKey, ours: Given) -> Option<PublicKey> {
        let claimed = claimants(view, &prefix).any(|peer| peer == owner);
        if ours.taken_from.is_none() && belongs_to_router(view, &prefix) {
            return None;
        }
        if claimed && (view.up)(&owner) || !claimed && !view.may_forget {
            return Some(owner);
        }
        if claimants(view, &prefix).any(|peer| (view.up)(&peer)) {
            return self.give(view, prefix, ours.taken_from);
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

    /// Decides about a prefix that the operator gave to its owner: it is taken from a router only, and only where it is not a
    /// network of which others have parts.
    fn take(
        &mut self,
        view: &View<'_>,
        prefix: IpNet,
        owner: PublicKey,
        conflicts: &mut Vec<Conflict>,
    ) -> Option<PublicKey> {
        self.introduced.remove(&prefix);
        if claimants(view, &prefix).any(|peer| peer == owner) {
            return Some(owner);
        }
        let Some(claimant) = claimants(view, &prefix).find(|peer| (view.up)(peer)) else {
            return Some(owner);
        };
        if view.routers.contains(&owner) && !view.routers.contains(&claimant) && !has_parts(view, &prefix) {
            return self.give(view, prefix, Some(owner));
        }
        if self.refused.insert((prefix, claimant)) {
            conflicts.push(Conflict {
                prefix,
                claimant,
                owner,
            });
        }
        Some(owner)
    }
}

fn claimants<'a>(view: &'a View<'_>, prefix: &IpNet) -> impl Iterator<Item = PublicKey> + use<'a> {
    let claimed = view.claims.of(*prefix);
    claimed.filter(|peer| view.device.peers.contains_key(peer))
}

/// Returns all shorter prefixes of the same addresses, masked.
fn wider(prefix: IpNet) -> impl Iterator<Item = IpNet> {
    let shorter = (0..prefix.prefix_len()).filter_map(move |length| IpNet::new(prefix.addr(), length).ok());
    shorter.map(|wider| wider.trunc())
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
fn belongs_to_router(view: &View<'_>, prefix: &IpNet) -> bool {
    if view.is_router {
        let covering = wider(*prefix).filter_map(|wider| view.device.owner(&wider));
        let mut others = covering.filter(|owner| claimants(view, prefix).all(|peer| peer != *owner));
        return others.any(|owner| view.routers.contains(&owner));
    }
    has_parts(view, prefix) && claimants(view, prefix).any(|claimant| is_covered(view, prefix, &claimant))
}

/// Returns whether others own or claim addresses inside the prefix.
fn has_parts(view: &View<'_>, prefix: &IpNet) -> bool {
    // All that lies inside follows the prefix in the order of addresses, and nothing else comes between.
    let owned = view.device.owners().range(prefix..).map(|(other, _)| other);
    let claimed = view.claims.0.range((*prefix, PublicKey::FIRST)..);
    let claimed = claimed.map(|(other, _)| other).find(|other| *other != prefix);
    let owned = owned.into_iter().find(|other| *other != prefix);
    [owned, claimed]
        .into_iter()
        .flatten()
        .any(|other| prefix.contains(other))
}

#[cfg(test)]
mod tests;
