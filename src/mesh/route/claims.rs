//! Who is said to have which prefix.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::prefix::wider;

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
        wider(*prefix).filter(|wider| self.is_claimed(*wider))
    }

    /// Returns the claimed prefixes inside this one, itself included.
    pub fn inside(&self, prefix: &IpNet) -> impl Iterator<Item = IpNet> + use<'_> {
        let prefix = *prefix;
        let follow = self.0.range((prefix, PublicKey::FIRST)..).map(|(other, _)| *other);
        follow.take_while(move |other| prefix.contains(other))
    }

    /// Returns whether anybody claims the prefix.
    pub fn is_claimed(&self, prefix: IpNet) -> bool {
        self.of(prefix).next().is_some()
    }

    /// Returns all that is claimed; for each claim its prefix.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = IpNet> {
        self.0.iter().map(|(prefix, _)| *prefix)
    }

    /// Returns all that is claimed, and for whom.
    pub fn iter(&self) -> impl Iterator<Item = (IpNet, PublicKey)> {
        self.0.iter().copied()
    }

    /// Returns whether the prefix is claimed for the peer.
    pub fn holds(&self, prefix: IpNet, peer: PublicKey) -> bool {
        self.0.contains(&(prefix, peer))
    }

    /// Returns the first claimed prefix after this one, in the order of addresses.
    pub(super) fn after(&self, prefix: &IpNet) -> Option<IpNet> {
        let mut follow = self.0.range((*prefix, PublicKey::FIRST)..);
        follow.find(|(other, _)| other != prefix).map(|(other, _)| *other)
    }

    /// Returns for whom the prefix is claimed, in the order of their keys.
    pub(super) fn of(&self, prefix: IpNet) -> impl Iterator<Item = PublicKey> + use<'_> {
        let claims = self.0.range((prefix, PublicKey::FIRST)..);
        claims
            .take_while(move |(other, _)| *other == prefix)
            .map(|(_, peer)| *peer)
    }
}
