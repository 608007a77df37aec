//! What the machine around the device looks like, to the core.

use ipnet::IpNet;

/// What the machine around the device looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostState {
    /// Every network interface but the WireGuard device itself.
    pub interfaces: Vec<Interface>,
    /// Addresses on the WireGuard device, with their prefix lengths.
    pub tunnel_addresses: Vec<IpNet>,
    /// Routes of the main table: all that lead into the tunnel (masked, link-local ones left out), and of the others those
    /// that are a more specific exception from one of them.
    pub routes: Vec<Route>,
    /// The longest packet that the WireGuard device takes, where that is known.
    pub mtu: Option<u16>,
}

/// A network interface of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Whether it is up.
    pub up: bool,
    /// Its addresses, with their prefix lengths (not masked).
    pub addresses: Vec<IpNet>,
    /// Whether it is WireGuard, too: then its addresses belong to another network inside another tunnel.
    pub wireguard: bool,
}

/// A route of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destination, masked.
    pub prefix: IpNet,
    /// Whether it leads into the WireGuard device.
    pub into_tunnel: bool,
}

/// How interfaces are called that lead to containers and virtual machines, or into tunnels of other programs.
const INNER: [&str; 14] = [
    "docker",
    "veth",
    "virbr",
    "vnet",
    "lxc",
    "lxd",
    "cni",
    "cali",
    "flannel",
    "podman",
    "tun",
    "tap",
    "tailscale",
    "zt",
];

impl Interface {
    /// Returns whether nobody outside can reach this machine by the interface, as its name has it. A bridge of Docker's is called
    /// `br-` and twelve hexadecimal digits; one that somebody named otherwise may be the LAN.
    pub fn leads_inside(&self) -> bool {
        let is_dockers = |digits: &str| digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_inner = INNER.iter().any(|inner| self.name.starts_with(inner));
        is_inner || self.name.strip_prefix("br-").is_some_and(is_dockers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridges_of_containers_and_other_tunnels_lead_inside_and_a_bridge_to_the_lan_does_not() {
        let leads_inside = |name: &str| {
            let interface = Interface {
                name: name.into(),
                up: true,
                addresses: Vec::new(),
                wireguard: false,
            };
            interface.leads_inside()
        };
        assert!(
            ["docker0", "br-0123456789ab", "veth1a2b", "virbr0", "tun0", "tailscale0"]
                .into_iter()
                .all(leads_inside)
        );
        assert!(
            !["eth0", "br0", "br-lan", "wlan0", "enp3s0", "bond0", "br-lan-of-12ab"]
                .into_iter()
                .any(leads_inside)
        );
    }
}
