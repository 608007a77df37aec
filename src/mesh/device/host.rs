//! What the machine around the device looks like, to the core.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::mesh::base::prefix::is_global_unicast;

/// What the machine around the device looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostState {
    /// Every network interface but the WireGuard device itself.
    pub interfaces: Vec<Interface>,
    /// Which of their addresses nothing new should be begun with, as another of the same prefix is there: they are told to nobody.
    pub deprecated: BTreeSet<IpAddr>,
    /// Addresses on the WireGuard device, with their prefix lengths.
    pub tunnel_addresses: Vec<IpNet>,
    /// Routes of the main table: all that lead into the tunnel (masked, link-local ones left out), and of the others those
    /// that are a more specific exception from one of them.
    pub routes: Vec<Route>,
    /// Whether rules of the operator's route beside the main table: then what that says of a packet of WireGuard's may be wrong.
    pub ruled: bool,
    /// The interfaces, the device left out, to which the default routes of the main table lead.
    pub ways_out: BTreeSet<String>,
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

/// By which interfaces a machine is in networks, and with which addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    addresses: BTreeSet<(String, IpNet)>,
    ways_out: BTreeSet<String>,
}

impl HostState {
    /// Returns where this machine is: it is elsewhere where that is different. Containers, virtual machines and tunnels come and go all
    /// day, and do not count unless a default route leads there.
    pub fn whereabouts(&self) -> Whereabouts {
        let leads_out = |interface: &&Interface| {
            let is_inner = interface.wireguard || interface.leads_inside();
            interface.up && (!is_inner || self.ways_out.contains(&interface.name))
        };
        let counted = self.interfaces.iter().filter(leads_out);
        let addresses = counted.flat_map(|interface| {
            let global = interface.addresses.iter().filter(|net| is_global_unicast(net.addr()));
            global.map(|net| (interface.name.clone(), *net))
        });
        Whereabouts {
            addresses: addresses.collect(),
            ways_out: self.ways_out.clone(),
        }
    }
}

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

    fn interface(name: &str, addresses: &[&str]) -> Interface {
        Interface {
            name: name.into(),
            up: true,
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            wireguard: false,
        }
    }

    #[test]
    fn a_machine_is_elsewhere_with_another_address_or_way_out_and_not_for_containers_and_tunnels() {
        let at_home = HostState {
            interfaces: vec![
                interface("lo", &["127.0.0.1/8"]),
                interface("wlan0", &["192.168.7.2/24"]),
            ],
            ways_out: ["wlan0".to_owned()].into(),
            ..HostState::default()
        };
        let with = |interface: Interface| {
            let mut later = at_home.clone();
            later.interfaces.push(interface);
            later
        };
        let stays = |later: &HostState| later.whereabouts() == at_home.whereabouts();
        assert!(stays(&with(interface("veth12ab", &["fe80::1/64"]))));
        assert!(stays(&with(interface("docker0", &["172.17.0.1/16"]))));
        assert!(stays(&with(interface("eth1", &["fe80::2/64"]))), "link-local");
        let mut other = interface("wg1", &["10.7.0.1/24"]);
        other.wireguard = true;
        assert!(stays(&with(other)));
        let mut down = interface("eth0", &["192.0.2.1/24"]);
        down.up = false;
        assert!(stays(&with(down)));

        assert!(!stays(&with(interface("wwan0", &["198.51.100.7/32"]))));
        let mut moved = at_home.clone();
        moved.interfaces[1].addresses = vec!["192.168.8.2/24".parse().unwrap()];
        assert!(!stays(&moved));
        let mut through_vpn = with(interface("tun0", &["10.8.0.2/24"]));
        assert!(stays(&through_vpn), "it is there, and not used");
        through_vpn.ways_out = ["tun0".to_owned()].into();
        assert!(!stays(&through_vpn));
    }

    #[test]
    fn bridges_of_containers_and_other_tunnels_lead_inside_and_a_bridge_to_the_lan_does_not() {
        let leads_inside = |name: &str| interface(name, &[]).leads_inside();
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
