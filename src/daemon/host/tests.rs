use super::*;
use rtnetlink::packet_route::route::{RouteAttribute, RouteHeader, RouteNextHop, RouteType};

const TUNNEL: u32 = 7;
const ETHERNET: u32 = 2;

fn route(prefix: &str, oif: u32, metric: u32) -> RouteMessage {
    let prefix: IpNet = prefix.parse().unwrap();
    let mut route = RouteMessage::default();
    route.header.kind = RouteType::Unicast;
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.header.destination_prefix_length = prefix.prefix_len();
    route.header.address_family = match prefix {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    if prefix.prefix_len() != 0 {
        let destination = RouteAttribute::Destination(prefix.addr().into());
        route.attributes.push(destination);
    }
    route.attributes.push(RouteAttribute::Oif(oif));
    route.attributes.push(RouteAttribute::Priority(metric));
    route
}

fn seen(routes: &[RouteMessage]) -> Vec<(String, bool)> {
    let mut best = BestRoutes::new();
    for route in routes {
        note_route(&mut best, route, TUNNEL);
    }
    let found = relevant(&best).into_iter();
    found
        .map(|route| (route.prefix.to_string(), route.into_tunnel))
        .collect()
}

fn expected(routes: &[(&str, bool)]) -> Vec<(String, bool)> {
    routes
        .iter()
        .map(|(prefix, into)| ((*prefix).to_owned(), *into))
        .collect()
}

#[test]
fn routes_into_the_tunnel_and_exceptions_from_them_are_told() {
    let routes = [
        route("0.0.0.0/0", ETHERNET, 100),
        route("10.0.0.0/8", TUNNEL, 0),
        route("10.1.0.0/16", ETHERNET, 0),
        route("192.168.1.0/24", ETHERNET, 0),
        route("fe80::/64", TUNNEL, 256),
        route("fd00::/64", TUNNEL, 1024),
    ];
    let expected = expected(&[("10.0.0.0/8", true), ("10.1.0.0/16", false), ("fd00::/64", true)]);
    assert_eq!(seen(&routes), expected);
}

#[test]
fn a_better_metric_decides_where_a_prefix_leads() {
    let by_ethernet = [route("0.0.0.0/0", TUNNEL, 200), route("0.0.0.0/0", ETHERNET, 100)];
    assert_eq!(seen(&by_ethernet), expected(&[]));
    let by_tunnel = [route("::/0", ETHERNET, 200), route("::/0", TUNNEL, 100)];
    assert_eq!(seen(&by_tunnel), expected(&[("::/0", true)]));
}

#[test]
fn other_tables_and_kinds_of_routes_do_not_count() {
    let mut other_table = route("10.0.0.0/8", TUNNEL, 0);
    other_table.attributes.push(RouteAttribute::Table(51820));
    let mut local = route("10.0.0.1/32", TUNNEL, 0);
    local.header.kind = RouteType::Local;
    assert_eq!(seen(&[other_table, local]), expected(&[]));
}

#[test]
fn a_route_with_several_next_hops_may_lead_into_the_tunnel() {
    let mut hop = RouteNextHop::default();
    hop.interface_index = TUNNEL;
    let mut route = route("10.0.0.0/8", ETHERNET, 0);
    route
        .attributes
        .push(RouteAttribute::MultiPath(vec![RouteNextHop::default(), hop]));
    assert_eq!(seen(&[route]), expected(&[("10.0.0.0/8", true)]));
}

#[test]
fn the_way_out_is_where_the_best_default_route_leads_and_the_halves_of_one_count() {
    const WIFI: u32 = 3;
    let ways_out = |routes: &[RouteMessage]| {
        let mut best = DefaultRoutes::new();
        routes.iter().for_each(|route| note_default(&mut best, route));
        let interfaces: BTreeSet<u32> = best.into_values().flat_map(|(_, interfaces)| interfaces).collect();
        interfaces.into_iter().collect::<Vec<_>>()
    };
    let by_wifi = route("0.0.0.0/0", WIFI, 600);
    let by_ethernet = route("0.0.0.0/0", ETHERNET, 100);
    let lan = route("192.168.7.0/24", ETHERNET, 0);
    assert_eq!(ways_out(&[by_wifi.clone(), lan.clone()]), [WIFI]);
    assert_eq!(ways_out(&[by_wifi.clone(), by_ethernet.clone()]), [ETHERNET]);
    assert_eq!(ways_out(&[by_ethernet.clone(), by_wifi]), [ETHERNET]);
    let half = route("128.0.0.0/1", 9, 0);
    assert_eq!(ways_out(&[by_ethernet, half]), [ETHERNET, 9]);
    assert_eq!(ways_out(&[lan]), [0; 0]);
}

#[test]
fn an_address_in_doubt_is_not_told_and_a_point_to_point_one_is_ours() {
    let mut message = AddressMessage::default();
    message.header.prefix_len = 24;
    message.attributes = vec![
        AddressAttribute::Address("192.0.2.2".parse().unwrap()),
        AddressAttribute::Local("192.0.2.1".parse().unwrap()),
    ];
    assert_eq!(usable_address(&message), Some("192.0.2.1/24".parse().unwrap()));
    message.header.flags = AddressHeaderFlags::Tentative;
    assert_eq!(usable_address(&message), None);
}

#[test]
fn a_deprecated_address_is_replaced_by_one_of_its_prefix_on_its_interface() {
    let at = |interface: u32, text: &str, deprecated| (interface, text.parse::<IpNet>().unwrap(), deprecated);
    let old = "2001:db8::1";
    let addresses = |others: &[(u32, IpNet, bool)]| {
        let all = [&[at(ETHERNET, "2001:db8::1/64", true)], others].concat();
        replaced(&all)
    };
    assert_eq!(
        addresses(&[at(ETHERNET, "2001:db8::2/64", false)]),
        [old.parse().unwrap()].into()
    );
    for no_successor in [
        at(ETHERNET, "2001:db8::2/64", true),
        at(ETHERNET, "2001:db8:1::2/64", false),
        at(9, "2001:db8::2/64", false),
    ] {
        assert!(addresses(&[no_successor]).is_empty(), "{no_successor:?}");
    }
    let mut message = AddressMessage::default();
    assert!(!is_deprecated(&message));
    message.header.flags = AddressHeaderFlags::Deprecated | AddressHeaderFlags::Secondary;
    assert!(is_deprecated(&message));
}
