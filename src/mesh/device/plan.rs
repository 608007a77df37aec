//! From the device as it should be to the smallest changes of the device as it is.

use ipnet::IpNet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::device::{DeviceChange, DeviceState};

/// Returns the changes that make `observed` equal to `desired` in peers, endpoints and allowed IPs, in an order in which no
/// prefix is without an owner between two owners. An endpoint that `desired` lacks is left as it is.
///
/// The plan for a device to which a plan was applied is empty.
pub fn diff(observed: &DeviceState, desired: &DeviceState) -> Vec<DeviceChange> {
    let mut changes = additions(observed, desired);
    changes.extend(gained_prefixes(observed, desired));
    changes.extend(lost_prefixes(observed, desired));
    changes.extend(endpoints(observed, desired));
    let gone = observed.peers.keys().filter(|key| !desired.peers.contains_key(key));
    changes.extend(gone.map(|key| DeviceChange::RemovePeer { peer: *key }));
    changes
}

fn additions(observed: &DeviceState, desired: &DeviceState) -> Vec<DeviceChange> {
    let new = desired
        .peers
        .iter()
        .filter(|(key, _)| !observed.peers.contains_key(key));
    new.map(|(key, peer)| DeviceChange::AddPeer {
        peer: *key,
        allowed_ips: peer.allowed_ips.clone(),
        endpoint: peer.endpoint,
    })
    .collect()
}

fn gained_prefixes(observed: &DeviceState, desired: &DeviceState) -> Vec<DeviceChange> {
    pairs(observed, desired)
        .flat_map(|(peer, seen, wanted)| {
            let gained = wanted.allowed_ips.difference(&seen.allowed_ips);
            gained.map(move |prefix| DeviceChange::AddAllowedIp { peer, prefix: *prefix })
        })
        .collect()
}

/// A prefix that has a new owner was taken by giving it; only one that nobody has now is taken away.
fn lost_prefixes(observed: &DeviceState, desired: &DeviceState) -> Vec<DeviceChange> {
    let owned: std::collections::BTreeSet<&IpNet> = desired
        .peers
        .values()
        .flat_map(|peer| peer.allowed_ips.iter())
        .collect();
    pairs(observed, desired)
        .flat_map(|(peer, seen, wanted)| {
            let lost = seen.allowed_ips.difference(&wanted.allowed_ips);
            lost.filter(|prefix| !owned.contains(prefix))
                .map(move |prefix| DeviceChange::RemoveAllowedIp { peer, prefix: *prefix })
                .collect::<Vec<_>>()
        })
        .collect()
}

fn endpoints(observed: &DeviceState, desired: &DeviceState) -> Vec<DeviceChange> {
    pairs(observed, desired)
        .filter_map(|(peer, seen, wanted)| {
            let endpoint = wanted.endpoint.filter(|_| wanted.endpoint != seen.endpoint)?;
            Some(DeviceChange::SetEndpoint { peer, endpoint })
        })
        .collect()
}

fn pairs<'a>(
    observed: &'a DeviceState,
    desired: &'a DeviceState,
) -> impl Iterator<
    Item = (
        PublicKey,
        &'a crate::mesh::device::PeerState,
        &'a crate::mesh::device::PeerState,
    ),
> {
    observed
        .peers
        .iter()
        .filter_map(|(key, seen)| Some((*key, seen, desired.peers.get(key)?)))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::mesh::device::PeerState;

    type Shape = (BTreeMap<u8, Option<u16>>, BTreeMap<u8, u8>);

    /// Peers with an endpoint or none, and an owner for each of some prefixes.
    fn any_shape() -> impl Strategy<Value = Shape> {
        let peers = proptest::collection::btree_map(0..6u8, proptest::option::of(1..4u16), 0..6);
        let owners = proptest::collection::btree_map(0..8u8, 0..6u8, 0..8);
        (peers, owners)
    }

    fn device((peers, owners): &Shape) -> DeviceState {
        let mut device = DeviceState::new(PublicKey::from_bytes([99; 32]), 1);
        for (peer, port) in peers {
            let endpoint = port.map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
            device.peers.insert(
                PublicKey::from_bytes([*peer; 32]),
                PeerState {
                    endpoint,
                    ..PeerState::default()
                },
            );
        }
        for (prefix, owner) in owners {
            if let Some(peer) = device.peers.get_mut(&PublicKey::from_bytes([*owner; 32])) {
                peer.allowed_ips
                    .insert(IpNet::from(std::net::IpAddr::from([10, 0, 0, *prefix])));
            }
        }
        device
    }

    proptest! {
        #[test]
        fn an_applied_plan_leaves_nothing_to_do(observed in any_shape(), desired in any_shape()) {
            let (mut device, desired) = (device(&observed), device(&desired));
            for change in diff(&device, &desired) {
                let owned: BTreeSet<IpNet> = device.peers.values().flat_map(|p| p.allowed_ips.clone()).collect();
                device.apply(&change);
                let wanted = desired.peers.values().flat_map(|p| &p.allowed_ips);
                for prefix in wanted.filter(|prefix| owned.contains(prefix)) {
                    prop_assert!(device.owner(prefix).is_some(), "{} lost its owner by {:?}", prefix, change);
                }
            }
            prop_assert_eq!(diff(&device, &desired), vec![]);
            prop_assert_eq!(device.peers.keys().collect::<Vec<_>>(), desired.peers.keys().collect::<Vec<_>>());
            for (key, peer) in &desired.peers {
                prop_assert_eq!(&device.peers[key].allowed_ips, &peer.allowed_ips);
                prop_assert!(peer.endpoint.is_none() || device.peers[key].endpoint == peer.endpoint);
            }
        }
    }
}
