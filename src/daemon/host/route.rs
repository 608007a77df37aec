//! Which routes of this machine matter: those into the tunnel, exceptions from them, and the ways out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteType};

use crate::mesh::event::Route;

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
    let table = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    let in_main = table.unwrap_or_else(|| route.header.table.into()) == u32::from(RouteHeader::RT_TABLE_MAIN);
    let counts = matches!(
        route.header.kind,
        RouteType::Unicast | RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit | RouteType::Throw
    );
    if !in_main || !counts || route.header.tos != 0 || route.header.flags.contains(RouteFlags::Cloned) {
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
