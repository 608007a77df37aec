//! The allowed IPs of a peer: mostly one or two, on every node for every peer.

use ipnet::IpNet;

/// A set of prefixes in order. It takes the room of what is in it: a set of one in a tree takes that of eleven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefixes(Vec<IpNet>);

/// Up to so many there is no room for more; then it grows ahead, so that many can be added one by one.
const FEW: usize = 4;

impl Prefixes {
    /// Adds a prefix; returns whether it was not there.
    pub fn insert(&mut self, prefix: IpNet) -> bool {
        let Err(place) = self.0.binary_search(&prefix) else {
            return false;
        };
        if self.0.len() < FEW {
            self.0.reserve_exact(1);
        }
        self.0.insert(place, prefix);
        true
    }

    /// Removes a prefix; returns whether it was there.
    pub fn remove(&mut self, prefix: &IpNet) -> bool {
        let place = self.0.binary_search(prefix);
        if let Ok(place) = place {
            self.0.remove(place);
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
}

impl Extend<IpNet> for Prefixes {
    fn extend<I: IntoIterator<Item = IpNet>>(&mut self, prefixes: I) {
        self.0.extend(prefixes);
        self.0.sort_unstable();
        self.0.dedup();
        self.0.shrink_to_fit();
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
        self.0.into_iter()
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

    #[test]
    fn a_few_take_no_room_for_more() {
        let mut set = Prefixes::default();
        for number in [2, 1, 3] {
            set.insert(prefix(number));
            assert_eq!(set.0.capacity(), set.len());
        }
    }
}
