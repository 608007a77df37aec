//! Networks without any tunnel: which packets arrive, and from where they seem to come.

use super::*;
use crate::scenario::border::{Filtering, Nat};

const HUB: HostId = 0;
const A: HostId = 1;
const B: HostId = 2;
const PORT: u16 = 51820;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn nic(site: SiteId, net: &str) -> Nic {
    Nic {
        name: "eth0".into(),
        site,
        addresses: vec![net.parse().expect("an address with its length")],
        up: true,
    }
}

/// A hub on the internet, and two hosts at sites that are given.
fn network(add: impl FnOnce(&mut Net) -> [Nic; 2]) -> Net {
    let mut net = Net::new(&Draw::new(1));
    let hub = net.add_site(Border::Open, address("198.51.100.1"), None, None);
    let [a, b] = add(&mut net);
    for nic in [nic(hub, "198.51.100.1/30"), a, b] {
        let host = net.add_host();
        net.plug(host, vec![nic]);
    }
    net
}

/// Sends a packet; returns whom it reaches, and from where it seems to come.
fn send(net: &mut Net, from: HostId, to: &str) -> Option<(HostId, SocketAddr)> {
    let now = Timestamp::from_start(Duration::from_secs(1000));
    let departure = net.depart(now, from, PORT, to.parse().expect("an endpoint"), 100);
    departure.delays[0]?;
    let flight = departure.flight?;
    let (host, _) = net.arrive(now, flight)?;
    Some((host, flight.source))
}

fn two_homes(net: &mut Net) -> [Nic; 2] {
    let homes = ["203.0.113.1", "203.0.113.5"].map(|outside| net.add_site(Border::HOME, address(outside), None, None));
    [nic(homes[0], "192.168.1.2/24"), nic(homes[1], "192.168.1.2/24")]
}

#[test]
fn a_home_is_entered_only_where_it_was_left() {
    let mut net = network(two_homes);
    assert_eq!(send(&mut net, HUB, "203.0.113.1:51820"), None);
    let seen = send(&mut net, A, "198.51.100.1:51820");
    assert_eq!(seen, Some((HUB, "203.0.113.1:51820".parse().unwrap())));
    assert_eq!(send(&mut net, HUB, "203.0.113.1:51820").map(|(host, _)| host), Some(A));
    assert_eq!(send(&mut net, B, "203.0.113.1:51820"), None, "A has not called B");
    let seen = send(&mut net, A, "203.0.113.5:51820");
    assert_eq!(seen.map(|(host, _)| host), Some(B), "but B has called A");
    assert_eq!(send(&mut net, B, "203.0.113.1:51820").map(|(host, _)| host), Some(A));
}

#[test]
fn private_addresses_mean_something_at_one_site_only() {
    let mut net = network(two_homes);
    assert_eq!(send(&mut net, A, "192.168.1.9:51820"), None);
    assert_eq!(send(&mut net, HUB, "192.168.1.2:51820"), None);
}

/// RFC 4787, 6, REQ-9: a hairpinned packet comes from the outside endpoint of its sender.
#[test]
fn a_nat_hairpins_or_not() {
    for hairpinning in [false, true] {
        let kind = Nat {
            hairpinning,
            filtering: Filtering::EndpointIndependent,
            ..Nat::HOME
        };
        let mut net = network(|net| {
            let home = net.add_site(Border::Nat(kind), address("203.0.113.1"), None, None);
            [nic(home, "192.168.1.2/24"), nic(home, "192.168.1.3/24")]
        });
        let (_, outside) = send(&mut net, B, "198.51.100.1:51820").unwrap();
        let seen = send(&mut net, A, &outside.to_string());
        assert_eq!(seen.map(|(host, _)| host), hairpinning.then_some(B));
        assert!(seen.is_none_or(|(_, source)| source.ip() == outside.ip()), "{seen:?}");
        assert_eq!(send(&mut net, A, "192.168.1.3:51820").map(|(host, _)| host), Some(B));
    }
}

#[test]
fn a_nat_behind_a_nat_translates_twice() {
    let mut net = network(|net| {
        let carrier = net.add_site(Border::HOME, address("203.0.113.1"), None, None);
        let home = net.add_site(Border::HOME, address("100.64.0.2"), Some(carrier), None);
        [nic(home, "192.168.1.2/24"), nic(carrier, "100.64.0.3/24")]
    });
    let (_, seen) = send(&mut net, A, "198.51.100.1:51820").unwrap();
    assert_eq!(seen.ip(), address("203.0.113.1"));
    assert_eq!(send(&mut net, HUB, &seen.to_string()).map(|(host, _)| host), Some(A));
    assert_eq!(
        send(&mut net, A, "100.64.0.3:51820").map(|(host, _)| host),
        Some(B),
        "a neighbour"
    );
}

#[test]
fn what_is_cut_isolated_unplugged_or_too_long_does_not_arrive() {
    let mut net = network(two_homes);
    let arrives = |net: &mut Net| send(net, A, "198.51.100.1:51820").is_some();
    assert!(arrives(&mut net));
    net.cut(HUB, A);
    assert!(!arrives(&mut net) && send(&mut net, B, "198.51.100.1:51820").is_some());
    net.heal(A, HUB);
    net.isolate(HUB, true);
    assert!(!arrives(&mut net));
    net.isolate(HUB, false);
    let nics = net.nics(A).to_vec();
    net.plug(A, Vec::new());
    assert!(!arrives(&mut net));
    net.plug(A, nics);
    assert!(arrives(&mut net));
    let now = Timestamp::from_start(Duration::from_secs(1000));
    let to = "198.51.100.1:51820".parse().unwrap();
    let lengths = [1472, 1473].map(|length| net.depart(now, A, PORT, to, length).delays[0].is_some());
    assert_eq!(lengths, [true, false]);
}

#[test]
fn packets_are_lost_doubled_and_overtaken_as_often_as_it_says() {
    let mut net = network(two_homes);
    net.set_quality(0, Quality::LAN);
    net.set_quality(
        1,
        Quality {
            loss: 1000,
            duplicates: 1000,
            reordered: 1000,
            ..Quality::LAN
        },
    );
    let now = Timestamp::from_start(Duration::from_secs(1000));
    let to = "198.51.100.1:51820".parse().unwrap();
    let departures: Vec<_> = (0..10_000).map(|_| net.depart(now, A, PORT, to, 100).delays).collect();
    let some = |number: usize, of: &dyn Fn(&[Option<Duration>; 2]) -> bool| {
        let count = departures.iter().filter(|delays| of(delays)).count();
        assert!(count.abs_diff(number) < 150, "{count} instead of about {number}");
    };
    some(1000, &|delays| delays[0].is_none());
    some(900, &|delays| delays[1].is_some());
    some(900, &|delays| delays[0].is_some_and(|delay| delay >= OVERTAKEN_BY));
}
