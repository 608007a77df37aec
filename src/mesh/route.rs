//! Which peer gets which prefix. In WireGuard a prefix has one owner per device, so giving it away *is* routing: to the peer
//! itself while its link is up, back to a router when it is not.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::device::DeviceState;
use super::identity::PublicKey;
use super::prefix::is_reserved;

/// Remembers which prefixes are where they are because of us.
#[derive(Debug, Default)]
pub struct Routes {
    introduced: BTreeMap<IpNet, Introduced>,
    refused: BTreeMap<IpNet, BTreeSet<PublicKey>>,
}

/// A prefix that we gave to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Introduced {
    peer: PublicKey,
    /// The peer to which the operator had given exactly this prefix.
    taken_from: Option<PublicKey>,
}

/// What a decision is made from.
#[derive(Debug)]
pub struct View<'a> {
    /// The device.
    pub device: &'a DeviceState,
    /// Which peers accepted facts and the settings give each prefix to.
    pub claims: &'a BTreeMap<IpNet, BTreeSet<PublicKey>>,
    /// Peers to which traffic may go directly.
    pub up: &'a BTreeSet<PublicKey>,
    /// Peers that route for others.
    pub routers: &'a BTreeSet<PublicKey>,
    /// Peers with a live session.
    pub healthy: &'a BTreeSet<PublicKey>,
    /// Whether prefixes that nobody claims any more are taken back: not on a router, nor on a node that others believe.
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
            .is_some_and(|introduced| introduced.peer == *peer)
    }

    /// Lets a peer use its own link-local address, without which it cannot be heard; returns the change that needs.
    pub fn give_address(&mut self, owner: Option<PublicKey>, peer: PublicKey, address: IpNet) -> Option<Move> {
        if owner == Some(peer) {
            return None;
        }
        self.introduced.insert(
            address,
            Introduced {
                peer,
                taken_from: owner,
            },
        );
        Some(Move {
            prefix: address,
            from: owner,
            to: Some(peer),
        })
    }

    /// Returns the changes that undo what was introduced.
    pub fn undo(&self, device: &DeviceState) -> Vec<Move> {
        let owners = device.owners();
        let ours = |(prefix, introduced): (&IpNet, &Introduced)| {
            let from = owners.get(prefix).copied().filter(|owner| *owner == introduced.peer)?;
            let to = introduced.taken_from.filter(|peer| device.peers.contains_key(peer));
            Some(Move {
                prefix: *prefix,
                from: Some(from),
                to,
            })
        };
        self.introduced.iter().filter_map(ours).collect()
    }

    /// Decides about all prefixes at once.
    pub fn decide(&mut self, view: &View<'_>) -> Decision {
        let owners = view.device.owners();
        let mut decision = Decision::default();
        let exists = |introduced: &Introduced| view.device.peers.contains_key(&introduced.peer);
        self.introduced
            .retain(|prefix, introduced| !is_reserved(prefix) || exists(introduced));
        let known = view.claims.keys().chain(self.introduced.keys());
        let prefixes: BTreeSet<IpNet> = known.filter(|prefix| !is_reserved(prefix)).copied().collect();
        self.refused.retain(|prefix, _| prefixes.contains(prefix));
        for prefix in prefixes {
            let owner = owners.get(&prefix).copied();
            let ours = self
                .introduced
                .get(&prefix)
                .copied()
                .filter(|introduced| Some(introduced.peer) == owner);
            let next = match (owner, ours) {
                (Some(owner), Some(ours)) => self.keep_or_return(view, &owners, prefix, owner, ours),
                (None, _) => self.give_or_restore(view, &owners, prefix),
                (Some(owner), None) => self.take(view, &owners, prefix, owner, &mut decision.conflicts),
            };
            if next != owner {
                decision.moves.push(Move {
                    prefix,
                    from: owner,
                    to: next,
                });
            }
        }
        decision
    }

    /// Gives the prefix to the first claimant with a link; of several the lowest key, the same on every node.
    fn give(&mut self, view: &View<'_>, prefix: IpNet, taken_from: Option<PublicKey>) -> Option<PublicKey> {
        let claimant = claimants(view, &prefix).find(|peer| view.up.contains(peer));
        match claimant {
            Some(peer) => self.introduced.insert(prefix, Introduced { peer, taken_from }),
            None => self.introduced.remove(&prefix),
        };
        claimant
    }

    /// Decides about a prefix without an owner; one that was taken from a router returns there when its peer is gone.
    ///
    /// A network of which others have parts stays with the router that covers it: what is sent to those others by their own router
    /// comes from a peer that they do not expect it from, and is dropped.
    fn give_or_restore(
        &mut self,
        view: &View<'_>,
        owners: &BTreeMap<IpNet, PublicKey>,
        prefix: IpNet,
    ) -> Option<PublicKey> {
        let taken_from = self
            .introduced
            .get(&prefix)
            .and_then(|introduced| introduced.taken_from);
        let covered = |claimant| is_covered(view, owners, &prefix, &claimant);
        if has_parts(view, owners, &prefix) && claimants(view, &prefix).any(covered) {
            self.introduced.remove(&prefix);
            return None;
        }
        self.give(view, prefix, taken_from)
            .or(taken_from.filter(|peer| view.device.peers.contains_key(peer)))
    }

    /// Decides about a prefix that we gave to its owner.
    fn keep_or_return(
        &mut self,
        view: &View<'_>,
        owners: &BTreeMap<IpNet, PublicKey>,
        prefix: IpNet,
        owner: PublicKey,
        ours: Introduced,
    ) -> Option<PublicKey> {
        let claimed = claimants(view, &prefix).any(|peer| peer == owner);
        if claimed && view.up.contains(&owner) || !claimed && !view.may_forget {
            return Some(owner);
        }
        if claimants(view, &prefix).any(|peer| view.up.contains(&peer)) {
            return self.give(view, prefix, ours.taken_from);
        }
        let back_to = ours.taken_from.filter(|peer| view.device.peers.contains_key(peer));
        let reachable = back_to.map_or_else(
            || is_covered(view, owners, &prefix, &owner),
            |peer| view.healthy.contains(&peer),
        );
        // Where nobody else would take it, the direct way is the only one; also for a prefix that nobody claims any more because the
        // router that did is gone.
        if !reachable && (claimed || view.up.contains(&owner)) {
            return Some(owner);
        }
        self.introduced.remove(&prefix);
        back_to
    }

    /// Decides about a prefix that the operator gave to its owner: it is taken from a router only, and only where it is not a
    /// network of which others have parts.
    fn take(
        &mut self,
        view: &View<'_>,
        owners: &BTreeMap<IpNet, PublicKey>,
        prefix: IpNet,
        owner: PublicKey,
        conflicts: &mut Vec<Conflict>,
    ) -> Option<PublicKey> {
        self.introduced.remove(&prefix);
        if claimants(view, &prefix).any(|peer| peer == owner) {
            return Some(owner);
        }
        let Some(claimant) = claimants(view, &prefix).find(|peer| view.up.contains(peer)) else {
            return Some(owner);
        };
        if view.routers.contains(&owner) && !view.routers.contains(&claimant) && !has_parts(view, owners, &prefix) {
            return self.give(view, prefix, Some(owner));
        }
        if self.refused.entry(prefix).or_default().insert(claimant) {
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
    let claimed = view.claims.get(prefix).into_iter().flatten().copied();
    claimed.filter(|peer| view.device.peers.contains_key(peer))
}

/// Returns whether a router that can be reached has a shorter prefix for the same addresses.
fn is_covered(view: &View<'_>, owners: &BTreeMap<IpNet, PublicKey>, prefix: &IpNet, but: &PublicKey) -> bool {
    let shorter = (0..prefix.prefix_len()).filter_map(|length| IpNet::new(prefix.addr(), length).ok());
    shorter
        .filter_map(|wider| owners.get(&wider.trunc()))
        .any(|owner| owner != but && view.routers.contains(owner) && view.healthy.contains(owner))
}

/// Returns whether others own or claim addresses inside the prefix.
fn has_parts(view: &View<'_>, owners: &BTreeMap<IpNet, PublicKey>, prefix: &IpNet) -> bool {
    owners
        .keys()
        .chain(view.claims.keys())
        .any(|other| other != prefix && prefix.contains(other))
}

#[cfg(test)]
mod tests;
