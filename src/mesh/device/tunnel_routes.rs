//! Whether a packet goes into the tunnel, by the routes of the main table.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::host::Route;

/// The routes that lead into the tunnel, and their more specific exceptions: longest prefix wins.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TunnelRoutes {
    v4: Vec<Length>,
    v6: Vec<Length>,
}

/// The routes of one prefix length; lengths come longest first.
#[derive(Debug, PartialEq, Eq)]
struct Length {
    mask: u128,
    into_tunnel: BTreeMap<u128, bool>,
}

impl TunnelRoutes {
    /// Takes the routes of the machine.
    pub fn new(routes: &[Route]) -> Self {
        let family = |v4: bool| {
            let mut lengths: BTreeMap<u8, BTreeMap<u128, bool>> = BTreeMap::new();
            for route in routes.iter().filter(|route| route.prefix.addr().is_ipv4() == v4) {
                let same_length = lengths.entry(route.prefix.prefix_len()).or_default();
                same_length.insert(bits(route.prefix.network()), route.into_tunnel);
            }
            let longest_first = lengths.into_iter().rev();
            longest_first
                .map(|(length, into_tunnel)| Length {
                    mask: mask(v4, length),
                    into_tunnel,
                })
                .collect()
        };
        Self {
            v4: family(true),
            v6: family(false),
        }
    }

    /// Returns whether a packet to `address` goes into the tunnel: WireGuard must never be sent through itself.
    pub fn lead_to(&self, address: IpAddr) -> bool {
        let lengths = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        let bits = bits(address);
        lengths
            .iter()
            .find_map(|length| length.into_tunnel.get(&(bits & length.mask)).copied())
            .unwrap_or(false)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

fn mask(v4: bool, length: u8) -> u128 {
    let width = if v4 { 32 } else { 128 };
    u128::MAX.checked_shl(width - u32::from(length)).unwrap_or(0)
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
    fn a_default_route_leads_everywhere_of_its_family() {
        let routes = TunnelRoutes::new(&[route("0.0.0.0/0", true), route("192.0.2.1/32", false)]);
        let leads = |address: &str| routes.lead_to(address.parse().unwrap());
        assert!(leads("198.51.100.1") && !leads("192.0.2.1") && !leads("2001:db8::1"));
    }
}
