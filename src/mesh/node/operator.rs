//! What is the operator's: left to the operator while the node runs, put back as it was when the node stops.

use ipnet::IpNet;

use crate::mesh::device::DeviceChange;
use crate::mesh::identity::PublicKey;
use crate::mesh::mirror::Mirror;
use crate::mesh::node::Node;
use crate::mesh::node::pass::apply_move;
use crate::mesh::time::Timestamp;

impl Node {
    /// Puts the device back: peers, prefixes and addresses that are there because of us go, endpoints that we tried in vain
    /// give way to the one that was found.
    pub(super) fn restore(&mut self, now: Timestamp) {
        let Some(mut device) = self.device.take() else { return };
        for (key, link) in &self.links {
            let lost = !self.contact_on(&device, key).is_healthy(now);
            if let Some(endpoint) = link.found().filter(|_| lost) {
                device.apply(&DeviceChange::SetEndpoint { peer: *key, endpoint });
            }
        }
        for step in self.routes.undo(&device) {
            apply_move(&mut device, &step);
        }
        for peer in self.membership.all_introduced() {
            device.apply(&DeviceChange::RemovePeer { peer: *peer });
        }
        self.plan(&mut device);
    }

    /// Returns whether a peer of ours has what we did not give it.
    pub(super) fn is_touched(&self, device: &Mirror, key: &PublicKey) -> bool {
        let address = self.settings.address_hash.allowed_ip(key);
        let foreign = |prefix: &IpNet| *prefix != address && !self.routes.introduced(key, prefix);
        let peer = device.peers.get(key);
        peer.is_some_and(|peer| peer.keepalive.is_some() || peer.allowed_ips.iter().any(foreign))
    }

    /// Leaves a peer of ours to the operator, who has laid hands on it; the address that we gave it is all that is still ours.
    pub(super) fn hand_over(&mut self, device: &Mirror, key: &PublicKey) {
        let address = self.settings.address_hash.allowed_ip(key);
        self.membership.hand_over(key);
        if device.owner(&address) == Some(*key) {
            self.routes.hand_over(*key, address);
        }
    }
}
