//! What is put on the device is written down first, and what will be needed for a peer of ours with the peer: so a thousand links that come
//! up one after the other are no reason to write.
//!
//! What is written down and never comes to be does no harm, as only what the device shows is undone. What would be taken for ours by
//! mistake is written down no longer at once, the rest of what has no reason any more a little later.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::device::mirror::Mirror;
use crate::mesh::keep::memory::{Given, Introduced, MAX_PREFIXES, MAX_PREFIXES_IN_ALL, Tried};
use crate::mesh::node::Node;

/// What is wrong with what is written down, the worse the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// It names what is neither on the device nor will soon be.
    Surplus,
    /// It names what is on the device, and not by us.
    Untrue,
    /// It lacks what is on the device because of us, or is about to be.
    Lack,
}

impl Node {
    /// Has what is on the device because of us written down, where what was written last does not do: to be called before the changes
    /// are asked for. Whether it names too much costs a look at all of it, and is asked only where prefixes or peers are `decided` anew.
    pub(super) fn remember_introduced(&mut self, now: Timestamp, device: &Mirror, decided: bool) {
        let fault = if decided {
            self.fault(device)
        } else {
            self.lacks_something().then_some(Fault::Lack)
        };
        if decided {
            self.recall.note_surplus(now, fault == Some(Fault::Surplus));
        }
        if fault > Some(Fault::Surplus) {
            self.recall.introduce(self.foreseen(device));
            self.write_down(now, device);
        }
    }

    /// Returns what is on the device because of us, or will be.
    pub(super) fn introduced(&self) -> Introduced {
        Introduced {
            peers: self.membership.all_introduced().clone(),
            prefixes: self.routes.all_introduced().clone(),
            endpoints: self.endpoints.all().clone(),
        }
    }

    /// Returns the same with what may soon be there: the prefixes that peers of ours claim.
    pub(super) fn foreseen(&self, device: &Mirror) -> Introduced {
        let mut all = self.introduced();
        let mut counts: BTreeMap<PublicKey, usize> = BTreeMap::new();
        let claims = self.claims.iter().filter(|(prefix, peer)| {
            let is_first = !self.routes.all_introduced().contains_key(prefix);
            let count = counts.entry(*peer).or_default();
            let is_one = is_first && *count < MAX_PREFIXES && self.may_soon_give(device, *prefix, *peer);
            *count += usize::from(is_one);
            is_one
        });
        for (prefix, peer) in claims.take(MAX_PREFIXES_IN_ALL) {
            all.prefixes.entry(prefix).or_insert(Given::new(peer, None));
        }
        all
    }

    /// Returns whether the peer is ours, and gets the prefix when its link is up. Where somebody has the prefix it is another matter, and
    /// written down when it is so.
    fn may_soon_give(&self, device: &Mirror, prefix: IpNet, peer: PublicKey) -> bool {
        self.membership.introduced(&peer)
            && self.claims.holds(prefix, peer)
            && device.owner(&prefix).is_none()
            && !self.routes.is_refused(prefix, peer)
    }

    /// Returns whether something is on the device because of us, or about to be, that is not written down.
    fn lacks_something(&self) -> bool {
        self.lacks_peers() || self.lacks_prefixes() || self.lacks_endpoints()
    }

    fn lacks_peers(&self) -> bool {
        let (written, so) = (&self.recall.introduced().peers, self.membership.all_introduced());
        written != so && !so.is_subset(written)
    }

    fn lacks_prefixes(&self) -> bool {
        let (written, so) = (&self.recall.introduced().prefixes, self.routes.all_introduced());
        let is_written =
            |(prefix, given): (&IpNet, &Given)| written.get(prefix).is_some_and(|written| written.covers(given));
        !so.iter().all(is_written)
    }

    fn lacks_endpoints(&self) -> bool {
        let (written, so) = (&self.recall.introduced().endpoints, self.endpoints.all());
        let is_written =
            |(peer, tried): (&PublicKey, &Tried)| written.get(peer).is_some_and(|written| written.covers(tried));
        !so.iter().all(is_written)
    }

    /// Compares what is written down with what is so.
    fn fault(&self, device: &Mirror) -> Option<Fault> {
        self.fault_of_peers(device)
            .max(self.fault_of_prefixes(device))
            .max(self.fault_of_endpoints(device))
    }

    fn fault_of_peers(&self, device: &Mirror) -> Option<Fault> {
        let (written, so) = (&self.recall.introduced().peers, self.membership.all_introduced());
        if written == so {
            return None;
        }
        let surplus = written.difference(so).map(|peer| {
            if device.peers.contains_key(peer) {
                Fault::Untrue
            } else {
                Fault::Surplus
            }
        });
        surplus.chain(self.lacks_peers().then_some(Fault::Lack)).max()
    }

    fn fault_of_prefixes(&self, device: &Mirror) -> Option<Fault> {
        let (written, so) = (&self.recall.introduced().prefixes, self.routes.all_introduced());
        if written == so {
            return None;
        }
        let of_one = |(prefix, given): (&IpNet, &Given)| match so.get(prefix) {
            Some(so) => (so != given).then_some(Fault::Surplus),
            None if given.is_shown(device.owner(prefix).as_ref()) => Some(Fault::Untrue),
            None if given.taken_from.is_none() && self.may_soon_give(device, *prefix, given.peer) => None,
            None => Some(Fault::Surplus),
        };
        let surplus = written.iter().filter_map(of_one);
        surplus.chain(self.lacks_prefixes().then_some(Fault::Lack)).max()
    }

    fn fault_of_endpoints(&self, device: &Mirror) -> Option<Fault> {
        let (written, so) = (&self.recall.introduced().endpoints, self.endpoints.all());
        if written == so {
            return None;
        }
        let of_one = |(peer, tried): (&PublicKey, &Tried)| {
            let seen = device.peers.get(peer).and_then(|peer| peer.endpoint);
            let is_so = so.get(peer).is_some_and(|so| so.explains(seen));
            match tried.explains(seen) && !is_so {
                true => Some(Fault::Untrue),
                false => (so.get(peer) != Some(tried)).then_some(Fault::Surplus),
            }
        };
        let surplus = written.iter().filter_map(of_one);
        surplus.chain(self.lacks_endpoints().then_some(Fault::Lack)).max()
    }
}
