//! Does a border behave as its name says? Told by plain datagrams, without WireGuard, as RFC 4787 would have it tested.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::lab;
use crate::namespace::Namespace;
use crate::network::Network;
use crate::scenario::border::{Border, Filtering, Mapping, Nat, Ports};
use crate::scenario::{Scenario, Site, table};
use crate::tunnel::PORT;

/// How long a datagram may take; one that is dropped is waited for as long.
const PATIENCE: Duration = Duration::from_millis(300);

/// A port of the observers that is called, and one that is not.
const CALLED: u16 = 4000;
const NOT_CALLED: u16 = 4001;

/// What two observers can tell of a border.
#[derive(Debug, PartialEq, Eq)]
struct Behaviour {
    translates: bool,
    keeps_port: bool,
    mapping: Mapping,
    filtering: Filtering,
    /// Whether WireGuard's port is reached by whom nobody called.
    listens: bool,
}

impl Behaviour {
    fn expected(border: Border) -> Self {
        Self {
            translates: matches!(border, Border::Nat(_)),
            keeps_port: !matches!(border, Border::Nat(Nat { ports, .. }) if ports != Ports::Preserving),
            mapping: border.mapping(),
            filtering: border.filtering(),
            listens: border.filtering() == Filtering::EndpointIndependent,
        }
    }

    /// Observes the border of leaf `a` from the hub and from leaf `b`, both on the internet.
    fn observe(network: &Network) -> Self {
        let inside = socket(network.host("a"), PORT);
        let [hub, elsewhere] = ["hub", "b"].map(|name| socket(network.host(name), CALLED));
        let [same_address, other_address] = ["hub", "b"].map(|name| socket(network.host(name), NOT_CALLED));
        let public = SocketAddr::new(address(&network.public_address("a")), PORT);
        let listens = passes(&same_address, public, &inside).is_some();

        let called = |observer, port| SocketAddr::new(address(&network.public_address(observer)), port);
        let seen = passes(&inside, called("hub", CALLED), &hub).expect("what leaves is let out");
        assert!(passes(&hub, seen, &inside).is_some(), "an answer is let in");
        let again = passes(&inside, called("hub", CALLED), &hub);
        assert_eq!(again, Some(seen), "a flow keeps its mapping");
        let lets_in = [&same_address, &other_address].map(|from| passes(from, seen, &inside).is_some());

        let to_other = passes(&inside, called("b", CALLED), &elsewhere).expect("what leaves is let out");
        let to_port = passes(&inside, called("hub", NOT_CALLED), &same_address).expect("what leaves is let out");
        Self {
            translates: seen.ip() != address(&network.own_address("a")),
            keeps_port: seen.port() == PORT,
            mapping: match (to_port == seen, to_other == seen) {
                (true, true) => Mapping::EndpointIndependent,
                (true, false) => Mapping::AddressDependent,
                (false, _) => Mapping::AddressAndPortDependent,
            },
            filtering: match lets_in {
                [true, true] => Filtering::EndpointIndependent,
                [true, false] => Filtering::AddressDependent,
                [false, _] => Filtering::AddressAndPortDependent,
            },
            listens,
        }
    }
}

/// Opens a socket in a namespace, for IPv4.
fn socket(namespace: &Namespace, port: u16) -> UdpSocket {
    bound(namespace, SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
}

fn bound(namespace: &Namespace, address: SocketAddr) -> UdpSocket {
    let open = || -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind(address)?;
        socket.set_read_timeout(Some(PATIENCE)).map(|()| socket)
    };
    let opened = namespace.inside(open);
    opened.unwrap_or_else(|error| panic!("{address}: {error}"))
}

/// Sends a datagram, and another if need be, and returns from where it came, if one did.
fn passes(from: &UdpSocket, to: SocketAddr, at: &UdpSocket) -> Option<SocketAddr> {
    static PROBES: AtomicU32 = AtomicU32::new(0);
    let probe = PROBES.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let arrives = || {
        from.send_to(&probe, to).expect("a datagram can be sent");
        let mut buffer = [0; 16];
        // What was sent before may come only now.
        let mut received = std::iter::from_fn(|| at.recv_from(&mut buffer).ok().map(|(_, source)| (buffer, source)));
        received.find_map(|(bytes, source)| bytes.starts_with(&probe).then_some(source))
    };
    arrives().or_else(arrives)
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn site(border: Border, behind: Option<usize>) -> Site {
    Site {
        border,
        behind,
        ipv6: None,
    }
}

/// Builds a network with leaf `a` at the first site and leaf `b` on the internet, without WireGuard.
fn network(sites: Vec<Site>) -> Network {
    let public_public = table::public_public();
    let mut leaves = public_public.leaves.clone();
    leaves[1].site = sites.len();
    let scenario = Scenario {
        sites: sites.into_iter().chain([site(Border::Open, None)]).collect(),
        leaves,
        ..public_public
    };
    Network::build(&lab::new_world(), &scenario)
}

#[test]
fn every_border_behaves_as_its_name_says() {
    for (name, border) in Border::of_linux() {
        let seen = Behaviour::observe(&network(vec![site(border, None)]));
        assert_eq!(seen, Behaviour::expected(border), "{name}");
    }
}

#[test]
fn borders_in_a_row_are_as_the_strictest_of_them() {
    for (inner, outer, as_one) in [
        (Border::HOME, Border::HOME, Border::HOME),
        (Border::SYMMETRIC, Border::HOME, Border::SYMMETRIC),
        (Border::HOME, Border::SYMMETRIC, Border::SYMMETRIC),
        (Border::FORWARDED, Border::HOME, Border::HOME),
    ] {
        let network = network(vec![site(inner, Some(1)), site(outer, None)]);
        let seen = Behaviour::observe(&network);
        assert_eq!(seen, Behaviour::expected(as_one), "{inner:?} behind {outer:?}");
    }
}

#[test]
fn a_forwarded_port_follows_the_leaf() {
    let mut network = network(vec![site(Border::FORWARDED, None), site(Border::HOME, None)]);
    network.roam(&[("a", 1)]);
    let home = Behaviour::observe(&network);
    assert_eq!(home, Behaviour::expected(Border::HOME), "elsewhere");
    network.roam(&[("a", 0)]);
    let back = Behaviour::observe(&network);
    assert_eq!(back, Behaviour::expected(Border::FORWARDED), "back again");
}

#[test]
fn before_ipv6_there_is_a_firewall_and_no_translation() {
    for (border, listens) in [(Border::GUARDED, false), (Border::Open, true)] {
        let home = Site {
            ipv6: Some(border),
            ..site(Border::HOME, None)
        };
        let mut network = network(vec![home]);
        let address = |network: &Network, name| IpAddr::V6(network.v6_address(name).expect("it has IPv6"));
        let [at_a, at_hub] = ["a", "hub"].map(|name| SocketAddr::new(address(&network, name), CALLED));
        let [inside, hub] = [("a", at_a), ("hub", at_hub)].map(|(name, at)| bound(network.host(name), at));
        assert_eq!(
            passes(&hub, at_a, &inside).is_some(),
            listens,
            "{border:?}: who was not called"
        );
        assert_eq!(
            passes(&inside, at_hub, &hub),
            Some(at_a),
            "{border:?}: nothing is translated"
        );
        assert!(passes(&hub, at_a, &inside).is_some(), "{border:?}: an answer is let in");
        network.cut("a", "hub");
        assert_eq!(passes(&inside, at_hub, &hub), None, "{border:?}: cut");
        network.heal("a", "hub");
        assert!(passes(&inside, at_hub, &hub).is_some(), "{border:?}: healed");
    }
}

#[test]
fn who_is_isolated_reaches_nobody_and_a_cut_parts_two() {
    for border in [Border::Open, Border::GUARDED, Border::HOME] {
        let mut network = network(vec![site(border, None)]);
        let inside = socket(network.host("a"), PORT);
        let outside = ["hub", "b"].map(|name| (name, socket(network.host(name), CALLED)));
        let reached = |network: &Network| {
            let call = |(name, at): &(&str, UdpSocket)| {
                let to = SocketAddr::new(address(&network.public_address(name)), CALLED);
                passes(&inside, to, at).is_some()
            };
            outside.each_ref().map(call)
        };
        assert_eq!(reached(&network), [true, true], "{border:?}");
        network.cut("a", "b");
        assert_eq!(reached(&network), [true, false], "{border:?}: cut");
        network.isolate("a");
        assert_eq!(reached(&network), [false, false], "{border:?}: isolated");
        network.heal("a", "b");
        network.rejoin("a");
        assert_eq!(reached(&network), [true, true], "{border:?}: healed");
    }
}
