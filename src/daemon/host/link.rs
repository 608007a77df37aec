//! A link of this machine, as far as it matters.

use rtnetlink::packet_route::link::{AfSpecInet6, AfSpecUnspec, LinkAttribute, LinkFlags, LinkMessage};

use crate::daemon::device::has_socket;
use crate::daemon::rtnl::is_wireguard;
use crate::mesh::show::event::Interface;

/// A link as the kernel shows it.
pub(super) struct Seen {
    pub(super) interface: Interface,
    pub(super) mtu: u32,
    pub(super) ipv6_off: bool,
}

impl From<&LinkMessage> for Seen {
    fn from(link: &LinkMessage) -> Self {
        let mut seen = Self {
            interface: Interface {
                name: String::new(),
                up: link.header.flags.contains(LinkFlags::Up),
                addresses: Vec::new(),
                wireguard: false,
            },
            mtu: 0,
            ipv6_off: has_ipv6_off(link),
        };
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::IfName(name) => seen.interface.name.clone_from(name),
                LinkAttribute::Mtu(mtu) => seen.mtu = *mtu,
                _ => {}
            }
        }
        seen.interface.wireguard = is_wireguard(link) || has_socket(&seen.interface.name);
        seen
    }
}

impl Seen {
    /// Says whether packets of a tunnel may leave there.
    pub(super) fn is_uplink(&self) -> bool {
        let Interface {
            name,
            up,
            addresses,
            wireguard,
        } = &self.interface;
        *up && !wireguard && !addresses.is_empty() && name != "lo"
    }
}

/// Says whether IPv6 is switched off on a link (`disable_ipv6`).
fn has_ipv6_off(link: &LinkMessage) -> bool {
    let families = link.attributes.iter().filter_map(|attribute| match attribute {
        LinkAttribute::AfSpecUnspec(families) => Some(families),
        _ => None,
    });
    let ipv6 = families.flatten().filter_map(|family| match family {
        AfSpecUnspec::Inet6(ipv6) => Some(ipv6),
        _ => None,
    });
    ipv6.flatten()
        .any(|attribute| matches!(attribute, AfSpecInet6::DevConf(settings) if settings.disable_ipv6 != 0))
}
