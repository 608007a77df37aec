//! One rule of RFC 4787 a test.

use std::time::Duration;

use super::*;

const INSIDE: &str = "192.168.1.2:51820";
const NEIGHBOUR: &str = "192.168.1.3:51820";
const HUB: &str = "198.51.100.1:51820";
const HUB_ELSEWHERE: &str = "198.51.100.1:9";
const PEER: &str = "203.0.113.5:40000";

fn endpoint(text: &str) -> SocketAddr {
    text.parse().expect("an endpoint")
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_secs(1000 + seconds))
}

fn translator(change: impl FnOnce(&mut Nat)) -> Translator {
    let mut kind = Nat::HOME;
    change(&mut kind);
    Translator::new(kind, [203, 0, 113, 1].into(), Draw::new(1))
}

fn out(nat: &mut Translator, seconds: u64, inside: &str, remote: &str) -> u16 {
    let source = nat.outbound(at(seconds), endpoint(inside), endpoint(remote));
    let source = source.expect("there is room");
    assert_eq!(source.ip(), nat.outside);
    source.port()
}

fn gets_in(nat: &mut Translator, seconds: u64, remote: &str, port: u16) -> bool {
    nat.inbound(at(seconds), endpoint(remote), port).is_some()
}

/// RFC 4787, 4.1, endpoint-independent mapping: the same outside endpoint towards everybody.
#[test]
fn one_mapping_for_all_outside_endpoints() {
    let mut nat = translator(|nat| nat.ports = Ports::Random);
    let port = out(&mut nat, 0, INSIDE, HUB);
    assert_eq!(out(&mut nat, 0, INSIDE, HUB_ELSEWHERE), port);
    assert_eq!(out(&mut nat, 0, INSIDE, PEER), port);
    assert_ne!(out(&mut nat, 0, NEIGHBOUR, HUB), port);
}

/// RFC 4787, 4.1, address-dependent mapping: the same outside endpoint towards one address.
#[test]
fn one_mapping_for_each_outside_address() {
    let mut nat = translator(|nat| nat.mapping = Mapping::AddressDependent);
    let port = out(&mut nat, 0, INSIDE, HUB);
    assert_eq!(out(&mut nat, 0, INSIDE, HUB_ELSEWHERE), port);
    assert_ne!(out(&mut nat, 0, INSIDE, PEER), port);
}

/// RFC 4787, 4.1, address and port-dependent mapping: another outside endpoint towards each.
#[test]
fn one_mapping_for_each_outside_endpoint() {
    let mut nat = translator(|nat| nat.mapping = Mapping::AddressAndPortDependent);
    let ports = [HUB, HUB_ELSEWHERE, PEER].map(|remote| out(&mut nat, 0, INSIDE, remote));
    assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2]);
    assert_eq!(
        [HUB, HUB_ELSEWHERE, PEER].map(|remote| out(&mut nat, 1, INSIDE, remote)),
        ports
    );
}

/// RFC 4787, 4.2, port preservation: the inside port, as long as nobody has it.
#[test]
fn a_preserved_port_goes_to_whoever_is_first() {
    let mut nat = translator(|_| {});
    assert_eq!(out(&mut nat, 0, INSIDE, HUB), 51820);
    assert_ne!(out(&mut nat, 0, NEIGHBOUR, HUB), 51820);
    assert_eq!(out(&mut nat, 500, NEIGHBOUR, HUB), 51820, "once the first is forgotten");
}

/// RFC 4787, 4.2: without preservation ports are given in a row, or at random.
#[test]
fn ports_are_sequential_or_random() {
    let mut nat = translator(|nat| (nat.mapping, nat.ports) = (Mapping::AddressDependent, Ports::Sequential));
    let port = out(&mut nat, 0, INSIDE, HUB);
    assert_eq!(out(&mut nat, 0, INSIDE, PEER), port + 1);
    let mut nat = translator(|nat| (nat.mapping, nat.ports) = (Mapping::AddressDependent, Ports::Random));
    let port = out(&mut nat, 0, INSIDE, HUB);
    assert_ne!(out(&mut nat, 0, INSIDE, PEER), port + 1);
}

/// Where ports are given in a row, other machines of the site take some in between.
#[test]
fn other_machines_take_ports_too() {
    let after = |minutes: u64, others| {
        let mut nat = translator(|nat| (nat.mapping, nat.ports) = (Mapping::AddressDependent, Ports::Sequential));
        let first = out(&mut nat, 0, INSIDE, HUB);
        nat.others = others;
        out(&mut nat, 60 * minutes, INSIDE, PEER).wrapping_sub(first)
    };
    assert_eq!(after(1, 0), 1);
    assert!((31..=91).contains(&after(1, 60)), "{}", after(1, 60));
    assert!((301..=901).contains(&after(10, 60)), "{}", after(10, 60));
}

/// RFC 4787, 5, the three kinds of filtering.
#[test]
fn filtering_lets_in_whom_its_kind_names() {
    for (filtering, admitted) in [
        (Filtering::EndpointIndependent, [true, true, true]),
        (Filtering::AddressDependent, [true, true, false]),
        (Filtering::AddressAndPortDependent, [true, false, false]),
    ] {
        let seen = [HUB, HUB_ELSEWHERE, PEER].map(|remote| {
            let mut nat = translator(|nat| nat.filtering = filtering);
            let port = out(&mut nat, 0, INSIDE, HUB);
            gets_in(&mut nat, 1, remote, port)
        });
        assert_eq!(seen, admitted, "{filtering:?}");
        let mut nat = translator(|nat| nat.filtering = filtering);
        assert!(!gets_in(&mut nat, 0, HUB, 51820), "there is no mapping");
    }
}

/// RFC 4787, 5: what is sent to another mapping's peers does not open this mapping.
#[test]
fn filters_belong_to_their_mapping() {
    let mut nat = translator(|nat| {
        (nat.mapping, nat.filtering) = (Mapping::AddressAndPortDependent, Filtering::AddressDependent);
    });
    let port = out(&mut nat, 0, INSIDE, HUB);
    out(&mut nat, 0, INSIDE, PEER);
    assert!(!gets_in(&mut nat, 1, PEER, port));
}

/// RFC 4787, 4.3, REQ-5: a mapping lives two minutes at least, once it was answered.
#[test]
fn a_mapping_ends_when_it_is_not_used() {
    let mut nat = translator(|_| {});
    out(&mut nat, 0, INSIDE, HUB);
    assert!(gets_in(&mut nat, 29, HUB, 51820));
    assert!(!gets_in(&mut nat, 29 + 120, HUB, 51820));
    out(&mut nat, 200, INSIDE, HUB);
    assert!(!gets_in(&mut nat, 231, HUB, 51820), "nothing came back");
}

/// RFC 4787, 4.3, REQ-6: packets from inside refresh a mapping, those from outside may.
#[test]
fn packets_refresh_a_mapping_in_the_directions_that_count() {
    for inbound_refreshes in [true, false] {
        let mut nat = translator(|_| {});
        nat.flows.timers.inbound_refreshes = inbound_refreshes;
        out(&mut nat, 0, INSIDE, HUB);
        assert!(gets_in(&mut nat, 1, HUB, 51820));
        out(&mut nat, 2, INSIDE, HUB);
        assert!(gets_in(&mut nat, 100, HUB, 51820));
        assert_eq!(gets_in(&mut nat, 130, HUB, 51820), inbound_refreshes);
    }
}

/// RFC 4787, 5: a packet that is let in is answered through the mapping by which it came.
#[test]
fn an_answer_leaves_by_the_mapping_that_let_the_question_in() {
    let mut nat = translator(|nat| {
        (nat.mapping, nat.filtering) = (Mapping::AddressAndPortDependent, Filtering::EndpointIndependent);
    });
    let port = out(&mut nat, 0, INSIDE, HUB);
    assert!(gets_in(&mut nat, 1, PEER, port));
    assert_eq!(out(&mut nat, 2, INSIDE, PEER), port);
}

/// Linux, `nf_conntrack_max`: what counts is flows, not mappings, and one that finds no room is dropped.
#[test]
fn a_full_table_drops_new_flows_and_keeps_the_old() {
    let mut nat = translator(|_| {});
    nat.flows.room = 2;
    out(&mut nat, 0, INSIDE, HUB);
    out(&mut nat, 20, INSIDE, PEER);
    let third = endpoint(HUB_ELSEWHERE);
    assert_eq!(nat.outbound(at(21), endpoint(INSIDE), third), None);
    out(&mut nat, 22, INSIDE, PEER);
    assert!(
        nat.outbound(at(31), endpoint(INSIDE), third).is_some(),
        "the first flow is forgotten"
    );
}

/// RFC 4787, 5, for firewalls, which translate nothing (RFC 6092 for IPv6).
#[test]
fn a_firewall_filters_in_the_same_words() {
    let inside = endpoint("[2001:db8::2]:51820");
    let (hub, other_port) = (endpoint("[2001:db8:1::1]:1"), endpoint("[2001:db8:1::1]:2"));
    let other = endpoint("[2001:db8:2::1]:1");
    for (filtering, admitted) in [
        (Filtering::EndpointIndependent, [true, true, true]),
        (Filtering::AddressDependent, [true, true, false]),
        (Filtering::AddressAndPortDependent, [true, false, false]),
    ] {
        let seen = [hub, other_port, other].map(|remote| {
            let mut firewall = Firewall::new(filtering);
            assert!(!firewall.inbound(at(0), inside, remote), "nobody asked");
            assert!(firewall.outbound(at(0), inside, hub));
            firewall.inbound(at(1), inside, remote)
        });
        assert_eq!(seen, admitted, "{filtering:?}");
    }
}
