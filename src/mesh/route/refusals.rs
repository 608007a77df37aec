//! Which claims are refused, and why: said once, and shown for as long as it is so.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::route::overlap::Obstacle;

/// A claim that is not met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is claimed.
    pub prefix: IpNet,
    /// For whom.
    pub claimant: PublicKey,
    /// What is in the way.
    pub obstacle: Obstacle,
}

/// The claims that are refused now.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<(IpNet, PublicKey), Obstacle>);

impl Refusals {
    /// Takes in which claims to a prefix are refused, and who `stands` with one that is not; returns those that were not refused
    /// before, or in another way, and those that were refused and stand.
    pub(super) fn note(
        &mut self,
        prefix: IpNet,
        refused: Vec<(PublicKey, Obstacle)>,
        stands: impl Fn(&PublicKey) -> bool,
    ) -> (Vec<Refusal>, Vec<Refusal>) {
        let of_prefix = self.0.range((prefix, PublicKey::FIRST)..);
        let of_prefix = of_prefix.take_while(|((other, _), _)| *other == prefix);
        let mut before: BTreeMap<PublicKey, Obstacle> =
            of_prefix.map(|((_, peer), obstacle)| (*peer, *obstacle)).collect();
        let refusal = |(claimant, obstacle)| Refusal {
            prefix,
            claimant,
            obstacle,
        };
        let mut new = Vec::new();
        for (claimant, obstacle) in refused {
            let known = before.remove(&claimant);
            if known.is_none_or(|known| known.overlap != obstacle.overlap) {
                new.push(refusal((claimant, obstacle)));
            }
            self.0.insert((prefix, claimant), obstacle);
        }
        before.keys().for_each(|claimant| {
            self.0.remove(&(prefix, *claimant));
        });
        let cleared = before.into_iter().filter(|(claimant, _)| stands(claimant));
        (new, cleared.map(refusal).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Refusal> {
        self.0.iter().map(|((prefix, claimant), obstacle)| Refusal {
            prefix: *prefix,
            claimant: *claimant,
            obstacle: *obstacle,
        })
    }

    pub(super) fn contains(&self, prefix: IpNet, claimant: PublicKey) -> bool {
        self.0.contains_key(&(prefix, claimant))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
