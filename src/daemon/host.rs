//! The machine around the device: its interfaces, addresses and routes, and our own address on the device.

mod link;
mod route;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol, AddressScope,
};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::packet_route::rule::RuleMessage;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use self::link::Seen;
use self::route::{BestRoutes, DefaultRoutes, is_usual, note_default, note_route, question, relevant};
pub(super) use self::route::{destination, is_default, leads_into, unicast_prefix};
use super::netlink::NetlinkError;
use super::rtnl::{ENODEV, Rtnl};
use super::watch::Watch;
use crate::advice;
use crate::mesh::show::event::{HostState, Interface, Route};

/// The prefix of all addresses of a network's nodes.
const LINK_LOCAL_PREFIX: u8 = 64;

/// Marks the address as ours (`IFA_PROTO`, Linux 5.18), so that one left behind by a crash is removed at the next stop.
const OUR_PROTOCOL: AddressProtocol = AddressProtocol::Other(0x77);

/// The smallest MTU with which an interface may have IPv6 (RFC 8200, 5).
const IPV6_MTU: u32 = 1280;

/// Why the machine could not be looked at or changed.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The interface was removed or moved to another namespace; one of the same name may have taken its place.
    #[error("interface {0} is gone: it was removed, or made anew under the same name")]
    Vanished(String),
    /// The process lacks the right.
    #[error("may not change the addresses of {0}: run as root or with CAP_NET_ADMIN")]
    Permission(String),
    /// The interface cannot have IPv6 addresses.
    #[error("{0} cannot have an IPv6 address, its MTU is {1}: IPv6 needs 1280 or more, try `{cmd}`", cmd = advice::set_mtu(.0, 1280))]
    SmallMtu(String, u32),
    /// IPv6 is switched off.
    #[error(
        "IPv6 is switched off on {0}: wirelink needs it inside the tunnel, try `{cmd}`, or \
         with NetworkManager `nmcli connection modify {name} ipv6.method link-local` and `nmcli connection up {name}`",
        cmd = advice::allow_ipv6(.0),
        name = advice::quoted(.0)
    )]
    NoIpv6(String),
    /// The kernel refuses for another reason.
    #[error("the link-local address of {0} cannot be changed: {1}")]
    Address(String, NetlinkError),
    /// The kernel did not answer as it should.
    #[error("reading interfaces, addresses and routes failed: {0}")]
    Netlink(#[from] NetlinkError),
}

impl HostError {
    /// Says whether the interface does not exist any more.
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Vanished(_))
    }

    /// Says whether the interface is there but cannot be used as it is: waiting may help.
    pub const fn is_incomplete(&self) -> bool {
        matches!(self, Self::SmallMtu(..) | Self::NoIpv6(_))
    }
}

/// What one look at the machine shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The name of the WireGuard interface: it may be given another one at any time.
    pub name: String,
    /// What the node wants to know.
    pub state: HostState,
    /// Whether the WireGuard interface is up: without that it has no addresses.
    pub up: bool,
    /// The MTU of the WireGuard interface.
    pub mtu: u32,
    /// The other interfaces with addresses that are up, and their MTUs; loopback not.
    pub uplinks: Vec<(String, u32)>,
    /// Whether IPv6 is switched off on the WireGuard interface.
    pub ipv6_off: bool,
}

impl Observation {
    /// Returns the other WireGuard interfaces.
    pub fn other_wireguard(&self) -> Vec<String> {
        let others = self.state.interfaces.iter().filter(|interface| interface.wireguard);
        others.map(|interface| interface.name.clone()).collect()
    }

    /// Checks that the WireGuard interface can have an IPv6 address.
    ///
    /// # Errors
    /// When its MTU is too small for that, or IPv6 is switched off.
    pub fn expect_ipv6(&self) -> Result<(), HostError> {
        match self.mtu {
            1..IPV6_MTU => Err(HostError::SmallMtu(self.name.clone(), self.mtu)),
            _ if self.ipv6_off => Err(HostError::NoIpv6(self.name.clone())),
            _ => Ok(()),
        }
    }
}

/// The machine around one WireGuard interface.
#[derive(Debug)]
pub struct Host {
    iface: String,
    index: u32,
    rtnl: Rtnl,
    watch: Watch,
    mtu: u32,
    our_addresses: BTreeSet<Ipv6Addr>,
}

impl Host {
    /// Starts to watch the machine around the interface with this index.
    ///
    /// # Errors
    /// When the kernel gives no netlink socket.
    pub fn open(iface: &str, index: u32) -> Result<Self, HostError> {
        Ok(Self {
            iface: iface.to_owned(),
            index,
            rtnl: Rtnl::default(),
            watch: Watch::open(index)?,
            mtu: 0,
            our_addresses: BTreeSet::new(),
        })
    }

    /// Looks at everything.
    ///
    /// # Errors
    /// When the interface is not there any more, or the kernel does not answer.
    pub async fn read(&mut self) -> Result<Observation, HostError> {
        let mut links = BTreeMap::new();
        for message in self
            .rtnl
            .dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))
            .await?
        {
            if let RouteNetlinkMessage::NewLink(link) = message {
                links.insert(link.header.index, Seen::from(&link));
            }
        }
        let Some(tunnel) = links.remove(&self.index) else {
            return Err(HostError::Vanished(self.iface.clone()));
        };
        self.mtu = tunnel.mtu;
        self.iface.clone_from(&tunnel.interface.name);
        let (tunnel_addresses, deprecated) = self.read_addresses(&mut links).await?;
        let (routes, out) = self.read_routes().await?;
        let ruled = self.has_rules().await?;
        self.watch.care_about(&routes, ruled);
        let ways_out = out.iter().filter_map(|index| links.get(index));
        let ways_out = ways_out.map(|link| link.interface.name.clone()).collect();
        let uplinks = links.values().filter(|link| link.is_uplink());
        let uplinks = uplinks.map(|link| (link.interface.name.clone(), link.mtu)).collect();
        let mut interfaces: Vec<Interface> = links.into_values().map(|link| link.interface).collect();
        interfaces.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Observation {
            name: tunnel.interface.name,
            state: HostState {
                interfaces,
                tunnel_addresses,
                deprecated,
                routes,
                ruled,
                ways_out,
                mtu: u16::try_from(tunnel.mtu).ok(),
            },
            up: tunnel.interface.up,
            mtu: tunnel.mtu,
            uplinks,
            ipv6_off: tunnel.ipv6_off,
        })
    }

    /// Adds the addresses to their links, and returns those of the tunnel, and those of links that others took the place of.
    async fn read_addresses(
        &mut self,
        links: &mut BTreeMap<u32, Seen>,
    ) -> Result<(Vec<IpNet>, BTreeSet<IpAddr>), HostError> {
        let (mut tunnel, mut all) = (Vec::new(), Vec::new());
        let query = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        for message in self.rtnl.dump(query).await? {
            let RouteNetlinkMessage::NewAddress(message) = message else {
                continue;
            };
            let Some(address) = usable_address(&message) else {
                continue;
            };
            if message.header.index == self.index {
                tunnel.push(address);
                if message.attributes.contains(&AddressAttribute::Protocol(OUR_PROTOCOL)) {
                    self.our_addresses.extend(ipv6(address.addr()));
                }
            } else if let Some(link) = links.get_mut(&message.header.index) {
                link.interface.addresses.push(address);
                all.push((message.header.index, address, is_deprecated(&message)));
            }
        }
        links
            .values_mut()
            .for_each(|link| link.interface.addresses.sort_unstable());
        tunnel.sort_unstable();
        Ok((tunnel, replaced(&all)))
    }

    /// Returns the routes that matter, and the interfaces to which default routes lead.
    async fn read_routes(&mut self) -> Result<(Vec<Route>, BTreeSet<u32>), HostError> {
        let mut best = BestRoutes::new();
        let mut out = DefaultRoutes::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut query = RouteMessage::default();
            query.header.address_family = family;
            for message in self.rtnl.dump(RouteNetlinkMessage::GetRoute(query)).await? {
                if let RouteNetlinkMessage::NewRoute(route) = message {
                    note_route(&mut best, &route, self.index);
                    note_default(&mut out, &route);
                }
            }
        }
        let ways_out = out.into_values().flat_map(|(_, interfaces)| interfaces);
        Ok((relevant(&best), ways_out.collect()))
    }

    /// Returns whether there are other rules than the kernel's own.
    async fn has_rules(&mut self) -> Result<bool, HostError> {
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut query = RuleMessage::default();
            query.header.family = family;
            let rules = match self.rtnl.dump(RouteNetlinkMessage::GetRule(query)).await {
                Ok(rules) => rules,
                // A kernel without rules has none.
                Err(NetlinkError::Refused(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let is_other =
                |rule: &RouteNetlinkMessage| matches!(rule, RouteNetlinkMessage::NewRule(rule) if !is_usual(rule));
            if rules.iter().any(is_other) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Asks the kernel whether a packet with this mark goes into the tunnel; one for which there is no way does not.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub async fn leads_into_tunnel(&mut self, address: IpAddr, mark: u32) -> Result<bool, HostError> {
        let question = RouteNetlinkMessage::GetRoute(question(address, mark));
        match self.rtnl.request(question, 0).await {
            Ok(found) => Ok(found.iter().any(|message| match message {
                RouteNetlinkMessage::NewRoute(route) => leads_into(route, self.index),
                _ => false,
            })),
            Err(NetlinkError::Refused(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until something changed that [`Host::read`] may show, and then a moment longer for more; may be cancelled.
    pub async fn changed(&mut self) {
        self.watch.changed().await;
    }

    /// Puts `address`/64 on the interface, without duplicate address detection, unless it is there already.
    ///
    /// The kernel makes the route to the /64 that belongs to it, once the interface is up. Returns whether the address was
    /// missing.
    ///
    /// # Errors
    /// When the interface is gone, or cannot have the address.
    pub async fn ensure_address(&mut self, address: Ipv6Addr) -> Result<bool, HostError> {
        const EEXIST: i32 = 17;
        let mut message = self.address_message(address);
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        message.attributes.push(AddressAttribute::Protocol(OUR_PROTOCOL));
        let request = RouteNetlinkMessage::NewAddress(message);
        match self.rtnl.request(request, NLM_F_CREATE | NLM_F_EXCL).await {
            Ok(_) => {
                self.our_addresses.insert(address);
                Ok(true)
            }
            Err(error) if error.errno() == Some(EEXIST) => Ok(false),
            Err(error) => Err(self.explain(error)),
        }
    }

    /// Removes the addresses that were added here, or by a run that was killed; returns whether there was one.
    ///
    /// # Errors
    /// When the kernel refuses; not when one is gone already.
    pub async fn remove_address(&mut self) -> Result<bool, HostError> {
        const EADDRNOTAVAIL: i32 = 99;
        let mut removed = Ok(false);
        for address in std::mem::take(&mut self.our_addresses) {
            let request = RouteNetlinkMessage::DelAddress(self.address_message(address));
            match self.rtnl.request(request, 0).await {
                Ok(_) => removed = removed.map(|_| true),
                Err(error) if matches!(error.errno(), Some(EADDRNOTAVAIL | ENODEV)) => {}
                Err(error) => removed = removed.and(Err(self.explain(error))),
            }
        }
        removed
    }

    fn address_message(&self, address: Ipv6Addr) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet6;
        message.header.prefix_len = LINK_LOCAL_PREFIX;
        message.header.scope = AddressScope::Link;
        message.header.flags = AddressHeaderFlags::Nodad;
        message.header.index = self.index;
        message.attributes.push(AddressAttribute::Local(address.into()));
        message.attributes.push(AddressAttribute::Address(address.into()));
        message
    }

    fn explain(&self, error: NetlinkError) -> HostError {
        const EPERM: i32 = 1;
        const EACCES: i32 = 13;
        const EOPNOTSUPP: i32 = 95;
        let iface = self.iface.clone();
        match error.errno() {
            Some(ENODEV) => HostError::Vanished(iface),
            Some(EPERM) => HostError::Permission(iface),
            Some(_) if (1..IPV6_MTU).contains(&self.mtu) => HostError::SmallMtu(iface, self.mtu),
            Some(EACCES | EOPNOTSUPP) => HostError::NoIpv6(iface),
            Some(_) | None => HostError::Address(iface, error),
        }
    }
}

/// Returns the address of a message, unless it may not be used: not yet, or because another host has it.
fn usable_address(message: &AddressMessage) -> Option<IpNet> {
    let unusable = AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed;
    if message.header.flags.intersects(unusable) && !message.header.flags.contains(AddressHeaderFlags::Optimistic) {
        return None;
    }
    // On a point-to-point link `Address` is the other end, and `Local` is ours.
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    IpNet::new(local.or(address)?, message.header.prefix_len).ok()
}

/// Says whether nothing new should be begun with the address (RFC 4862, 5.5.4): a temporary one that had its day (RFC 8981, 3.4).
fn is_deprecated(message: &AddressMessage) -> bool {
    message.header.flags.contains(AddressHeaderFlags::Deprecated)
}

/// Returns the deprecated ones of addresses, each with its interface, where another of the same prefix is there.
fn replaced(all: &[(u32, IpNet, bool)]) -> BTreeSet<IpAddr> {
    let place = |(interface, net, _): &(u32, IpNet, bool)| (*interface, net.trunc());
    let good: BTreeSet<(u32, IpNet)> = all.iter().filter(|(.., deprecated)| !deprecated).map(place).collect();
    let replaced = all.iter().filter(|address| address.2 && good.contains(&place(address)));
    replaced.map(|(_, net, _)| net.addr()).collect()
}

fn ipv6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address),
    }
}

#[cfg(test)]
mod tests;
