//! Whether a peer is reached now, and which way traffic takes to it: the one judgement behind all that is shown of a peer's path.

use std::time::Duration;

use ipnet::IpNet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::prefix::is_reserved;
use crate::mesh::base::time::Timestamp;
use crate::mesh::device::mirror::Mirror;
use crate::mesh::node::Node;
use crate::mesh::reach::link::{Link, State};
use crate::mesh::show::status::Way;

/// How long a peer of the operator's is looked for before its traffic goes to a router: WireGuard repeats a lost initiation after 5 s.
const SOUGHT_FOR: Duration = Duration::from_secs(10);

impl Node {
    /// Returns whether packets to a peer of this machine arrive there, as far as can be told: it has a session, and what shows that the
    /// session is dead outranks the age of its handshake.
    pub(super) fn is_reached(&self, now: Timestamp, device: &Mirror, key: &PublicKey) -> bool {
        self.contact_on(device, key).is_healthy(now) && !self.is_silent(now, key)
    }

    /// Returns whether a peer does not answer what it has to answer: heartbeats, or, where it knows none, data.
    pub(super) fn is_silent(&self, now: Timestamp, key: &PublicKey) -> bool {
        self.links.get(key).is_some_and(|link| {
            link.is_silent(now) || !link.has_pulse() && !link.is_still_received(now) && self.places.is_silent(now, key)
        })
    }

    /// Returns whether a peer of the operator's was looked for long enough and is not reached: a router may carry its traffic.
    pub(super) fn is_lost(&self, now: Timestamp, device: &Mirror, key: &PublicKey) -> bool {
        let is_sought = |link: &Link| match link.state() {
            State::Suspect(_) => true,
            State::Probing | State::Idle => now.since(link.since()) >= SOUGHT_FOR,
            State::Up => false,
        };
        let is_operators = !self.membership.introduced(key);
        is_operators && self.links.get(key).is_some_and(is_sought) && !self.is_reached(now, device, key)
    }

    /// Returns which way traffic takes to a peer: to the owner of its prefixes, where that is reached. A peer whose prefixes nobody knows
    /// is reached at its address alone.
    pub(super) fn way(&self, now: Timestamp, key: &PublicKey) -> Way {
        let Some(device) = &self.device else { return Way::Down };
        let own = device.peers.get(key);
        let is_owner = own.is_some_and(|peer| peer.allowed_ips.iter().any(|prefix| !is_reserved(prefix)));
        let is_reached = self.is_reached(now, device, key);
        if is_reached && (is_owner || self.census.routers.contains(key)) {
            return Way::Direct;
        }
        let mut routers = self.routers_of(device, key);
        match routers.find(|router| self.is_reached(now, device, router)) {
            Some(router) => Way::Via(self.name(router)),
            None if is_reached && self.prefixes_of(device, key).iter().all(is_reserved) => Way::Direct,
            None => Way::Down,
        }
    }

    /// Returns a router that has the prefixes of a peer and had a session, and does not answer any more. A peer whose prefixes nobody
    /// names any more may be behind each of them.
    pub(super) fn silent_router_of(&self, now: Timestamp, key: &PublicKey) -> Option<PublicKey> {
        let device = self.device.as_ref()?;
        let is_silent = |router: &&PublicKey| *router != key && self.has_gone_silent(now, device, router);
        if self.prefixes_of(device, key).iter().all(is_reserved) {
            return self.census.routers.iter().find(is_silent).copied();
        }
        self.routers_of(device, key).find(is_silent).copied()
    }

    /// Returns whether a peer was connected and is not reached any more.
    pub(super) fn has_gone_silent(&self, now: Timestamp, device: &Mirror, key: &PublicKey) -> bool {
        self.contact_on(device, key).last_handshake.is_some() && !self.is_reached(now, device, key)
    }

    /// Returns the routers that have prefixes of a peer.
    fn routers_of<'a>(
        &'a self,
        device: &'a Mirror,
        key: &'a PublicKey,
    ) -> impl Iterator<Item = &'a PublicKey> + use<'a> {
        let claimed: Vec<IpNet> = self.prefixes_of(device, key);
        self.census.routers.iter().filter(move |router| {
            let peer = device.peers.get(*router);
            let covers =
                |prefix: &IpNet| peer.is_some_and(|peer| peer.allowed_ips.iter().any(|own| own.contains(prefix)));
            *router != key && claimed.iter().any(|prefix| !is_reserved(prefix) && covers(prefix))
        })
    }
}
