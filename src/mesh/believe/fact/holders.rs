//! Who holds how much of a shared room, and who gives way where it is full.
//!
//! The lower ranks give way first; within a rank, whoever holds most, until both hold the same (max-min fairness). So the more
//! somebody says, the less room it takes from others, and no number of the least trusted takes any from those who count for more.

use std::collections::{BTreeMap, BTreeSet};

use super::{Origin, Rank, Source};

/// How many facts each origin holds by each rank, in each scope.
#[derive(Debug)]
pub(super) struct Holders<Scope> {
    counts: BTreeMap<(Scope, Rank, Origin), usize>,
    /// The same in order, so that the heaviest is found without a look at all.
    order: BTreeSet<(Scope, Rank, usize, Origin)>,
    totals: BTreeMap<(Scope, Rank), usize>,
}

/// Whose facts make room for somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Victim {
    pub(super) source: Source,
    /// How many of them may go.
    pub(super) surplus: usize,
}

impl<Scope> Default for Holders<Scope> {
    fn default() -> Self {
        Self {
            counts: BTreeMap::new(),
            order: BTreeSet::new(),
            totals: BTreeMap::new(),
        }
    }
}

impl<Scope: Copy + Ord> Holders<Scope> {
    pub(super) fn count(&self, scope: Scope, source: Source) -> usize {
        let count = self.counts.get(&(scope, source.rank, source.origin));
        count.copied().unwrap_or_default()
    }

    /// Returns how many facts of this rank and those below it there are.
    pub(super) fn up_to(&self, scope: Scope, rank: Rank) -> usize {
        let ranks = self.totals.range((scope, Rank::Hearsay)..=(scope, rank));
        ranks.map(|(_, total)| total).sum()
    }

    pub(super) fn add(&mut self, scope: Scope, source: Source) {
        let count = self.count(scope, source);
        self.set(scope, source, count, count + 1);
        *self.totals.entry((scope, source.rank)).or_default() += 1;
    }

    pub(super) fn remove(&mut self, scope: Scope, source: Source) {
        let count = self.count(scope, source);
        let Some(left) = count.checked_sub(1) else { return };
        self.set(scope, source, count, left);
        if let Some(total) = self.totals.get_mut(&(scope, source.rank)) {
            *total -= 1;
            if *total == 0 {
                self.totals.remove(&(scope, source.rank));
            }
        }
    }

    fn set(&mut self, scope: Scope, Source { origin, rank }: Source, before: usize, count: usize) {
        self.order.remove(&(scope, rank, before, origin));
        if count == 0 {
            self.counts.remove(&(scope, rank, origin));
        } else {
            self.order.insert((scope, rank, count, origin));
            self.counts.insert((scope, rank, origin), count);
        }
    }

    /// Returns who gives way to one more fact from this source; nobody, where all others count for more, or hold no more.
    pub(super) fn victim(&self, scope: Scope, newcomer: Source) -> Option<Victim> {
        let own = self.count(scope, newcomer);
        let ranks = Rank::OF_OTHERS.into_iter().filter(|rank| *rank <= newcomer.rank);
        ranks.into_iter().find_map(|rank| {
            let (count, origin) = self.heaviest(scope, rank)?;
            let surplus = if rank < newcomer.rank {
                count
            } else {
                count.saturating_sub(own) / 2
            };
            let source = Source { origin, rank };
            (surplus > 0).then_some(Victim { source, surplus })
        })
    }

    fn heaviest(&self, scope: Scope, rank: Rank) -> Option<(usize, Origin)> {
        // `Observed` is the least origin, and nobody holds so much.
        let bounds = (scope, rank, 0, Origin::Observed)..(scope, rank, usize::MAX, Origin::Observed);
        let heaviest = self.order.range(bounds).next_back();
        heaviest.map(|(_, _, count, origin)| (*count, *origin))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mesh::base::identity::PublicKey;

    fn source(who: u8, rank: Rank) -> Source {
        let origin = Origin::Peer(PublicKey::from_bytes([who; 32]));
        Source { origin, rank }
    }

    #[test]
    fn lower_rank_gives_way_first_and_then_the_heaviest_holder() {
        let mut holders = Holders::default();
        for (who, rank, times) in [
            (1, Rank::Hearsay, 2),
            (2, Rank::Itself, 9),
            (3, Rank::Itself, 5),
            (4, Rank::Voucher, 7),
        ] {
            (0..times).for_each(|_| holders.add((), source(who, rank)));
        }
        let victim = |who, rank| {
            let victim = holders.victim((), source(who, rank));
            victim.map(|victim| (victim.source, victim.surplus))
        };
        assert_eq!(victim(9, Rank::Voucher), Some((source(1, Rank::Hearsay), 2)));
        assert_eq!(victim(9, Rank::Hearsay), Some((source(1, Rank::Hearsay), 1)));
        assert_eq!(victim(1, Rank::Hearsay), None, "it is the heaviest itself");
        assert_eq!(victim(3, Rank::Itself), Some((source(1, Rank::Hearsay), 2)));
        (0..2).for_each(|_| holders.remove((), source(1, Rank::Hearsay)));
        let victim = |who, rank| {
            holders
                .victim((), source(who, rank))
                .map(|victim| (victim.source, victim.surplus))
        };
        assert_eq!(victim(3, Rank::Itself), Some((source(2, Rank::Itself), 2)));
        assert_eq!(victim(2, Rank::Itself), None);
        assert_eq!(victim(9, Rank::Hearsay), None, "all others count for more");
    }

    proptest! {
        #[test]
        fn counts_are_those_of_a_simple_model(steps in proptest::collection::vec((0..3u8, 0..4u8, 0..4usize, any::<bool>()), 0..200)) {
            let mut holders: Holders<u8> = Holders::default();
            let mut model: BTreeMap<(u8, u8, usize), usize> = BTreeMap::new();
            for (scope, who, rank, adds) in steps {
                let count = model.entry((scope, who, rank)).or_default();
                let of = source(who, Rank::OF_OTHERS[rank]);
                if adds {
                    *count += 1;
                    holders.add(scope, of);
                } else {
                    *count = count.saturating_sub(1);
                    holders.remove(scope, of);
                }
                for rank in 0..4 {
                    let all = model.iter().filter(|((of, _, at), _)| (*of, *at) == (scope, rank));
                    let heaviest = all.clone().map(|(_, count)| *count).max().filter(|count| *count > 0);
                    let found = holders.heaviest(scope, Rank::OF_OTHERS[rank]);
                    prop_assert_eq!(found.map(|(count, _)| count), heaviest);
                    let below = model.iter().filter(|((of, _, at), _)| *of == scope && *at <= rank);
                    prop_assert_eq!(holders.up_to(scope, Rank::OF_OTHERS[rank]), below.map(|(_, count)| count).sum::<usize>());
                }
            }
        }
    }
}
