//! Cryptokey routing: which peer an address belongs to.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use wirelink::mesh::base::identity::PublicKey;

/// All allowed IPs of a device: one table, one owner per prefix (paper, 2; `allowedips.c`).
///
/// The kernel's is a trie of bits. Here it is an ordered map and the few prefix lengths that occur, so a lookup costs as many
/// searches as there are different lengths, not peers.
#[derive(Debug, Default)]
pub(super) struct AllowedIps {
    owners: BTreeMap<IpNet, PublicKey>,
    /// How many prefixes there are, by family and length.
    lengths: BTreeMap<(Family, u8), usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

impl AllowedIps {
    /// Gives a prefix to a peer, and returns from whom that takes it.
    pub(super) fn give(&mut self, prefix: IpNet, peer: PublicKey) -> Option<PublicKey> {
        let former = self.owners.insert(prefix, peer);
        if former.is_none() {
            *self.lengths.entry(length(&prefix)).or_default() += 1;
        }
        former.filter(|former| *former != peer)
    }

    /// Takes a prefix from a peer; nothing happens where another one owns it.
    pub(super) fn take(&mut self, prefix: &IpNet, peer: &PublicKey) {
        if self.owners.get(prefix) != Some(peer) {
            return;
        }
        self.owners.remove(prefix);
        let count = self
            .lengths
            .get_mut(&length(prefix))
            .expect("each owned prefix was counted");
        *count -= 1;
        if *count == 0 {
            self.lengths.remove(&length(prefix));
        }
    }

    /// Returns the owner of the longest prefix around an address (`allowedips.c`, `lookup`).
    pub(super) fn owner(&self, address: IpAddr) -> Option<PublicKey> {
        let family = family(address);
        let longest_first = self.lengths.range((family, 0)..=(family, u8::MAX)).rev();
        longest_first
            .filter_map(|((_, length), _)| self.owners.get(&IpNet::new(address, *length).ok()?.trunc()))
            .next()
            .copied()
    }
}

fn length(prefix: &IpNet) -> (Family, u8) {
    (family(prefix.addr()), prefix.prefix_len())
}

fn family(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}
