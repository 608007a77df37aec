//! Whose word counts for what.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::base::settings::TrustLevel;

use super::Node;
use super::wire::{Fact, Refusal, Value};

impl Node {
    /// Returns how far the word of a node goes; the first opinion counts.
    pub(super) fn level(&self, node: &PublicKey) -> Option<TrustLevel> {
        let configured = self.settings.peers.get(node).and_then(|peer| peer.trust);
        configured
            .or_else(|| (!self.has_levels() && self.is_router(node)).then_some(TrustLevel::Membership))
            .or_else(|| self.device.peers.contains_key(node).then_some(TrustLevel::Endpoint))
    }

    /// Returns whether the operator set a level for any peer.
    fn has_levels(&self) -> bool {
        let others = self.settings.peers.iter().filter(|(key, _)| **key != self.own);
        others.into_iter().any(|(_, peer)| peer.trust.is_some())
    }

    /// Returns what the operator trusts this node itself with.
    pub(super) fn own_level(&self) -> Option<TrustLevel> {
        self.settings.peers.get(&self.own)?.trust
    }

    /// Returns whether a peer has a network behind it.
    pub(super) fn is_router(&self, peer: &PublicKey) -> bool {
        let prefixes = self.device.peers.get(peer).map(|peer| &peer.allowed_ips);
        let is_network = |prefix: &IpNet| prefix.prefix_len() < prefix.max_prefix_len() && is_global(prefix.addr());
        prefixes.is_some_and(|prefixes| prefixes.iter().any(is_network))
    }

    /// Returns whether this node is a router.
    pub(super) fn routes(&self) -> bool {
        let found_out = || !self.device.peers.keys().any(|peer| self.is_router(peer));
        self.settings.router.unwrap_or_else(found_out)
    }

    /// Returns why a fact is not believed, if it is not.
    pub(super) fn judge(&self, from: &PublicKey, fact: &Fact) -> Result<(), Refusal> {
        if !self.device.peers.contains_key(from) {
            return Err("the sender is no peer");
        }
        let mut needed = match &fact.value {
            Value::Alive(_) if fact.subject == *from => return Ok(()),
            Value::Alive(_) => return Err("alive for somebody else"),
            Value::Endpoint(_) => TrustLevel::Endpoint,
            Value::AllowedIp(_) => TrustLevel::AllowedIPs,
            Value::Member | Value::Metadata(_) => TrustLevel::Membership,
        };
        if fact.subject != self.own && !self.device.peers.contains_key(&fact.subject) {
            needed = needed.max(TrustLevel::Membership);
        }
        if self.level(from) < Some(needed) {
            return Err("not trusted with it");
        }
        match fact.value {
            Value::Endpoint(endpoint) if self.leads_into_tunnel(endpoint) => Err("an endpoint through the tunnel"),
            Value::Endpoint(_) | Value::Alive(_) | Value::AllowedIp(_) | Value::Member | Value::Metadata(_) => Ok(()),
        }
    }

    fn leads_into_tunnel(&self, endpoint: SocketAddr) -> bool {
        let around = self
            .host
            .routes
            .iter()
            .filter(|route| route.prefix.contains(&endpoint.ip()));
        let longest = around.max_by_key(|route| route.prefix.prefix_len());
        longest.is_some_and(|route| route.into_tunnel)
    }
}

/// Go's `IsGlobalUnicast`.
pub(super) fn is_global(address: IpAddr) -> bool {
    let local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !local && !address.is_unspecified() && !address.is_loopback() && !address.is_multicast()
}
