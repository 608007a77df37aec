//! Which addresses can be reached from anywhere, and which ones through the tunnel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::event::Route;

/// Returns whether packets to the address can leave a link: the private ranges included, as in Go's `IsGlobalUnicast`, which
/// the deployed program uses.
pub fn is_global_unicast(address: IpAddr) -> bool {
    let special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    !special
        && match address {
            IpAddr::V4(v4) => !v4.is_broadcast() && !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        }
}

/// Returns whether the holder of this allowed IP forwards for others: it is a network, not a host. The default route counts.
pub fn is_routed(prefix: &IpNet) -> bool {
    prefix.prefix_len() < prefix.max_prefix_len() && (prefix.prefix_len() == 0 || is_global_unicast(prefix.network()))
}

/// Returns whether the prefix lies in the link-local or multicast range, of which nobody owns a part.
pub fn is_reserved(prefix: &IpNet) -> bool {
    let address = prefix.network();
    prefix.prefix_len() > 0 && !is_global_unicast(address) && !address.is_unspecified()
}

/// The routes that lead into the tunnel, and their more specific exceptions: longest prefix wins.
#[derive(Debug, Default)]
pub struct TunnelRoutes {
    into_tunnel: BTreeMap<IpNet, bool>,
    /// Whether IPv4 and how long, of the routes that exist.
    lengths: BTreeSet<(bool, u8)>,
}

impl TunnelRoutes {
    /// Takes the routes of the machine.
    pub fn new(routes: &[Route]) -> Self {
        let into_tunnel: BTreeMap<_, _> = routes
            .iter()
            .map(|route| (route.prefix.trunc(), route.into_tunnel))
            .collect();
        let lengths = into_tunnel
            .keys()
            .map(|prefix| (is_v4(prefix.addr()), prefix.prefix_len()))
            .collect();
        Self { into_tunnel, lengths }
    }

    /// Returns whether a packet to `address` goes into the tunnel: WireGuard must never be sent through itself.
    pub fn lead_to(&self, address: IpAddr) -> bool {
        let longest_first = self.lengths.range((is_v4(address), 0)..=(is_v4(address), 128)).rev();
        longest_first
            .filter_map(|(_, length)| IpNet::new(address, *length).ok())
            .find_map(|prefix| self.into_tunnel.get(&prefix.trunc()).copied())
            .unwrap_or(false)
    }
}

fn is_v4(address: IpAddr) -> bool {
    address.is_ipv4()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(prefix: &str, into_tunnel: bool) -> Route {
        Route {
            prefix: prefix.parse().unwrap(),
            into_tunnel,
        }
    }

    #[test]
    fn the_most_specific_route_decides() {
        let routes = TunnelRoutes::new(&[
            route("10.0.0.0/8", true),
            route("10.9.0.0/16", false),
            route("10.9.1.0/24", true),
            route("fd00::/8", true),
        ]);
        let leads = |address: &str| routes.lead_to(address.parse().unwrap());
        assert!(leads("10.1.2.3") && leads("10.9.1.1") && leads("fd12::1"));
        assert!(!leads("10.9.2.1") && !leads("192.0.2.1") && !leads("2001:db8::1"));
    }

    #[test]
    fn a_router_has_a_network_behind_it() {
        let routed = |prefix: &str| is_routed(&prefix.parse().unwrap());
        assert!(routed("10.0.0.0/24") && routed("0.0.0.0/0") && routed("::/0") && routed("fd00::/64"));
        assert!(!routed("10.0.0.1/32") && !routed("fd00::1/128") && !routed("fe80::/64") && !routed("ff00::/8"));
    }

    #[test]
    fn link_local_and_multicast_prefixes_are_reserved() {
        let reserved = |prefix: &str| is_reserved(&prefix.parse().unwrap());
        assert!(
            reserved("fe80::1/128") && reserved("ff02::/16") && reserved("169.254.0.0/16") && reserved("224.0.0.0/4")
        );
        assert!(!reserved("10.0.0.0/8") && !reserved("::/0") && !reserved("0.0.0.0/0") && !reserved("0.0.0.0/1"));
    }
}
