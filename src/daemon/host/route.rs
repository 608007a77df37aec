//! Which routes of this machine matter: those into the tunnel, exceptions from them, and the ways out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteType};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};

use crate::mesh::show::event::Route;

/// For every prefix of the main table: the metric of its best route, and whether that leads into the tunnel.
pub(super) type BestRoutes = BTreeMap<IpNet, (u32, bool)>;

pub(super) fn note_route(best: &mut BestRoutes, route: &RouteMessage, tunnel: u32) {
    let Some(prefix) = unicast_prefix(route) else { return };
    let found = (metric(route), leads_into(route, tunnel));
    let entry = best.entry(prefix).or_insert(found);
    if found.0 < entry.0 {
        *entry = found;
    } else if found.0 == entry.0 {
        // Routes of equal cost share the traffic: some of it goes into the tunnel.
        entry.1 |= found.1;
    }
}

/// For every default route: the best metric, and the interfaces to which it leads.
pub(super) type DefaultRoutes = BTreeMap<IpNet, (u32, BTreeSet<u32>)>;

pub(super) fn note_default(best: &mut DefaultRoutes, route: &RouteMessage) {
    let Some(prefix) = unicast_prefix(route).filter(is_default) else {
        return;
    };
    let found = metric(route);
    let (metric, interfaces) = best.entry(prefix).or_insert((found, BTreeSet::new()));
    if found < *metric {
        (*metric, *interfaces) = (found, BTreeSet::new());
    }
    if found == *metric {
        interfaces.extend(interfaces_of(route));
    }
}

/// Says whether a route is for everything, or for the halves of it that VPNs use in its place: all of the IPv6 Internet is 2000::/3.
pub(in crate::daemon) fn is_default(prefix: &IpNet) -> bool {
    prefix.prefix_len() <= 3
}

fn metric(route: &RouteMessage) -> u32 {
    let metric = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Priority(metric) => Some(*metric),
        _ => None,
    });
    metric.unwrap_or(0)
}

/// Returns the destination of a route that ordinary traffic takes or is stopped by, in the main table.
pub(in crate::daemon) fn unicast_prefix(route: &RouteMessage) -> Option<IpNet> {
    destination(route).filter(|_| is_in_main(route))
}

fn is_in_main(route: &RouteMessage) -> bool {
    let table = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    table.unwrap_or_else(|| route.header.table.into()) == u32::from(RouteHeader::RT_TABLE_MAIN)
}

/// Returns the destination of a route of any table that ordinary traffic takes or is stopped by.
pub(in crate::daemon) fn destination(route: &RouteMessage) -> Option<IpNet> {
    let counts = matches!(
        route.header.kind,
        RouteType::Unicast | RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit | RouteType::Throw
    );
    if !counts || route.header.tos != 0 || route.header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let destination = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    });
    let destination = destination.or(match route.header.address_family {
        AddressFamily::Inet => Some([0; 4].into()),
        AddressFamily::Inet6 => Some([0; 16].into()),
        _ => None,
    });
    IpNet::new(destination?, route.header.destination_prefix_length)
        .ok()
        .map(|prefix| prefix.trunc())
}

/// Returns the question where a packet with this mark goes.
pub(super) fn question(address: IpAddr, mark: u32) -> RouteMessage {
    let mut question = RouteMessage::default();
    let (family, length, destination) = match address {
        IpAddr::V4(address) => (AddressFamily::Inet, 32, RouteAddress::Inet(address)),
        IpAddr::V6(address) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(address)),
    };
    question.header.address_family = family;
    question.header.destination_prefix_length = length;
    question.attributes.push(RouteAttribute::Destination(destination));
    if mark != 0 {
        question.attributes.push(RouteAttribute::Mark(mark));
    }
    question
}

/// Says whether a rule is one of those that the kernel makes by itself: they lead to the tables local, main and default.
pub(super) fn is_usual(rule: &RuleMessage) -> bool {
    // RT_TABLE_LOCAL and RT_TABLE_DEFAULT (linux/rtnetlink.h).
    const LOCAL: u8 = 255;
    const DEFAULT: u8 = 253;
    let is_plain = |attribute: &RuleAttribute| match attribute {
        RuleAttribute::Table(_) | RuleAttribute::Priority(_) | RuleAttribute::Protocol(_) | RuleAttribute::Other(_) => {
            true
        }
        RuleAttribute::SuppressPrefixLen(length) => *length == u32::MAX,
        _ => false,
    };
    let leads_to = rule.header.table;
    let usual = [LOCAL, RouteHeader::RT_TABLE_MAIN, DEFAULT];
    rule.header.action == RuleAction::ToTable
        && (rule.header.src_len, rule.header.dst_len, rule.header.tos) == (0, 0, 0)
        && usual.contains(&leads_to)
        && rule.attributes.iter().all(is_plain)
}

/// Says whether a route, or one of its next hops, uses the interface.
pub(in crate::daemon) fn leads_into(route: &RouteMessage, index: u32) -> bool {
    interfaces_of(route).any(|used| used == index)
}

fn interfaces_of(route: &RouteMessage) -> impl Iterator<Item = u32> {
    route.attributes.iter().flat_map(|attribute| match attribute {
        RouteAttribute::Oif(oif) => vec![*oif],
        RouteAttribute::MultiPath(hops) => hops.iter().map(|hop| hop.interface_index).collect(),
        _ => Vec::new(),
    })
}

/// Keeps the routes into the tunnel, and those that are exceptions from them.
pub(super) fn relevant(best: &BestRoutes) -> Vec<Route> {
    let link_local = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10));
    let into_tunnel = |prefix: &IpNet| best.get(prefix).is_some_and(|(_, into_tunnel)| *into_tunnel);
    let routes = best.keys().filter(|prefix| !link_local.contains(*prefix));
    routes
        .filter(|prefix| into_tunnel(prefix) || wider(prefix).any(|wider| into_tunnel(&wider)))
        .map(|prefix| Route {
            prefix: *prefix,
            into_tunnel: into_tunnel(prefix),
        })
        .collect()
}

/// Returns the prefixes that contain this one, at most 128: cheaper than comparing with every route of a large table.
fn wider(prefix: &IpNet) -> impl Iterator<Item = IpNet> {
    std::iter::successors(prefix.supernet(), IpNet::supernet)
}
