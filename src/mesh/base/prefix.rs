//! Which addresses can be reached from anywhere, and which ones through the tunnel.

use std::net::IpAddr;

use ipnet::IpNet;

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

/// Returns all shorter prefixes of the same addresses, masked.
pub fn wider(prefix: IpNet) -> impl Iterator<Item = IpNet> {
    let shorter = (0..prefix.prefix_len()).filter_map(move |length| IpNet::new(prefix.addr(), length).ok());
    shorter.map(|wider| wider.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

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
