//! The allowed IPs of a peer: mostly one or two, on every node for every peer.

use ipnet::IpNet;

/// A set of prefixes in order. It takes the room of what is in it; a tree of one would take that of eleven. Many are better added at
/// once than one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefixes(Box<[IpNet]>);

impl Prefixes {
    /// Adds a prefix; returns whether it was not there.
    pub fn insert(&mut self, prefix: IpNet) -> bool {
        let Err(place) = self.0.binary_search(&prefix) else {
            return false;
        };
        self.edit(|all| {
            all.reserve_exact(1);
            all.insert(place, prefix);
        });
        true
    }

    /// Removes a prefix; returns whether it was there.
    pub fn remove(&mut self, prefix: &IpNet) -> bool {
        let place = self.0.binary_search(prefix);
        if let Ok(place) = place {
            self.edit(|all| {
                all.remove(place);
            });
        }
        place.is_ok()
    }

    /// Returns whether exactly this prefix is there.
    pub fn contains(&self, prefix: &IpNet) -> bool {
        self.0.binary_search(prefix).is_ok()
    }

    /// Returns all, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, IpNet> {
        self.0.iter()
    }

    /// Returns those that `other` lacks, in order.
    pub fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a IpNet> {
        self.iter().filter(|prefix| !other.contains(prefix))
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn edit(&mut self, edit: impl FnOnce(&mut Vec<IpNet>)) {
        let mut all = std::mem::take(&mut self.0).into_vec();
        edit(&mut all);
        self.0 = all.into_boxed_slice();
    }
}

impl Extend<IpNet> for Prefixes {
    fn extend<I: IntoIterator<Item = IpNet>>(&mut self, prefixes: I) {
        self.edit(|all| {
            all.extend(prefixes);
            all.sort_unstable();
            all.dedup();
        });
    }
}

impl FromIterator<IpNet> for Prefixes {
    fn from_iter<I: IntoIterator<Item = IpNet>>(prefixes: I) -> Self {
        let mut set = Self::default();
        set.extend(prefixes);
        set
    }
}

impl<const N: usize> From<[IpNet; N]> for Prefixes {
    fn from(prefixes: [IpNet; N]) -> Self {
        prefixes.into_iter().collect()
    }
}

impl IntoIterator for Prefixes {
    type Item = IpNet;
    type IntoIter = std::vec::IntoIter<IpNet>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_vec().into_iter()
    }
}

impl<'a> IntoIterator for &'a Prefixes {
    type Item = &'a IpNet;
    type IntoIter = std::slice::Iter<'a, IpNet>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn prefix(number: u8) -> IpNet {
        IpNet::from(std::net::IpAddr::from([10, 0, 0, number]))
    }

    proptest! {
        #[test]
        fn it_is_a_set_in_order(
            first in proptest::collection::vec(0..8_u8, 0..8),
            steps in proptest::collection::vec((0..8_u8, any::<bool>()), 0..20),
            more in proptest::collection::vec(0..8_u8, 0..8),
        ) {
            let mut set: Prefixes = first.iter().copied().map(prefix).collect();
            let mut model: BTreeSet<IpNet> = first.into_iter().map(prefix).collect();
            for (number, is_added) in steps {
                let one = prefix(number);
                prop_assert_eq!(set.contains(&one), model.contains(&one));
                if is_added {
                    prop_assert_eq!(set.insert(one), model.insert(one));
                } else {
                    prop_assert_eq!(set.remove(&one), model.remove(&one));
                }
            }
            let other: Prefixes = more.iter().copied().map(prefix).collect();
            let other_model: BTreeSet<IpNet> = other.iter().copied().collect();
            prop_assert!(set.difference(&other).eq(model.difference(&other_model)));
            set.extend(more.iter().copied().map(prefix));
            model.extend(more.into_iter().map(prefix));
            prop_assert!(set.iter().eq(&model));
            prop_assert_eq!(set.len(), model.len());
        }
    }
}
