//! Packets: to whom they go, from whom they are taken, and where the endpoint goes with them.

use super::{A, B, C, Kind, LATENCY, Wire, inner, key, packet, seconds};
use crate::wireguard::Unroutable;
use wirelink::mesh::device::DeviceChange;

#[test]
fn without_an_owner_or_an_endpoint_a_packet_is_refused_at_once() {
    let mut wire = Wire::strangers(3);
    assert_eq!(wire.try_send(A, packet(A, B)), Err(Unroutable::NoPeer));
    let change = DeviceChange::AddPeer {
        peer: key(B),
        allowed_ips: ["10.0.0.0/24".parse().unwrap()].into(),
        endpoint: None,
    };
    wire.apply(A, change);
    assert_eq!(wire.try_send(A, packet(A, B)), Err(Unroutable::NoEndpoint(key(B))));
    wire.introduce(A, B);
    wire.run(seconds(10.0));
    assert_eq!(wire.count(A, Kind::Any), 0, "nothing of it waited");
}

#[test]
fn the_longest_prefix_decides() {
    let mut wire = Wire::strangers(3);
    for (peer, prefix) in [(B, "10.0.0.0/24"), (C, "10.0.0.2/32"), (B, "::/0"), (C, "fd00::/8")] {
        wire.introduce(A, peer);
        let prefix = prefix.parse().unwrap();
        wire.apply(
            A,
            DeviceChange::AddAllowedIp {
                peer: key(peer),
                prefix,
            },
        );
    }
    // `introduce` gave B its /32 back each time before C took it.
    let mut goes_to = |destination: &str| {
        let mut packet = packet(A, A);
        packet.destination = destination.parse().unwrap();
        wire.hosts[A]
            .tunnel
            .send(wire.now, packet)
            .map(|()| wire.sent.len())
            .err()
    };
    assert_eq!(goes_to("10.0.1.1"), Some(Unroutable::NoPeer));
    assert_eq!(goes_to("10.0.0.77"), None);
    assert_eq!(goes_to("2001:db8::1"), None);
}

#[test]
fn a_prefix_that_goes_to_another_peer_takes_its_packets_along() {
    let mut wire = Wire::strangers(3);
    for peer in [B, C] {
        wire.introduce(A, peer);
        wire.introduce(peer, A);
    }
    let to_b = || packet(A, B);
    wire.try_send(A, to_b()).unwrap();
    wire.run(seconds(1.0));
    let prefix = inner(B).into();
    wire.apply(A, DeviceChange::AddAllowedIp { peer: key(C), prefix });
    assert!(wire.peer(A, B).allowed_ips.is_empty());
    wire.try_send(A, to_b()).unwrap();
    wire.run(seconds(1.0));
    let receivers: Vec<usize> = wire.delivered.iter().map(|delivered| delivered.to).collect();
    assert_eq!(receivers, [B, C]);
    wire.apply(A, DeviceChange::RemoveAllowedIp { peer: key(C), prefix });
    assert_eq!(wire.try_send(A, to_b()), Err(Unroutable::NoPeer));
}

#[test]
fn a_packet_whose_source_is_not_the_peers_is_dropped_and_not_counted() {
    let mut wire = Wire::session();
    let (received, delivered) = (wire.peer(B, A).rx_bytes, wire.delivered.len());
    let mut forged = packet(A, B);
    forged.source = inner(C);
    wire.try_send(A, forged).unwrap();
    wire.run(seconds(1.0));
    assert_eq!(wire.delivered.len(), delivered);
    assert_eq!(wire.peer(B, A).rx_bytes, received);
}

#[test]
fn a_dropped_packet_moves_the_endpoint_all_the_same() {
    let mut wire = Wire::session();
    let elsewhere = "198.51.100.7:4000".parse().unwrap();
    wire.hosts[A].address = elsewhere;
    let mut forged = packet(A, B);
    forged.source = inner(C);
    wire.try_send(A, forged).unwrap();
    wire.run(LATENCY);
    assert_eq!(wire.peer(B, A).endpoint, Some(elsewhere));
}

#[test]
fn the_endpoint_follows_every_authentic_message() {
    let mut wire = Wire::session();
    for (address, act) in [
        ("198.51.100.7:4000", Kind::Packet),
        ("198.51.100.8:4001", Kind::Initiation),
    ] {
        wire.hosts[A].address = address.parse().unwrap();
        if matches!(act, Kind::Initiation) {
            wire.apply(A, DeviceChange::RemovePeer { peer: key(B) });
            wire.introduce(A, B);
        }
        wire.send(A, B);
        wire.run(LATENCY);
        assert_eq!(wire.peer(B, A).endpoint, Some(wire.hosts[A].address));
    }
    // The response goes to where the initiation came from, and A follows B in turn.
    wire.run(LATENCY * 2);
    wire.hosts[B].address = "198.51.100.9:4002".parse().unwrap();
    wire.send(B, A);
    wire.run(seconds(1.0));
    assert_eq!(wire.peer(A, B).endpoint, Some("198.51.100.9:4002".parse().unwrap()));
}

#[test]
fn what_is_not_authentic_moves_nothing() {
    let mut wire = Wire::session();
    let twice = wire.sent.last().unwrap().message.clone();
    let before = wire.hosts[B].tunnel.device().clone();
    wire.receive(B, "198.51.100.7:4000".parse().unwrap(), twice);
    assert_eq!(
        *wire.hosts[B].tunnel.device(),
        before,
        "a copy of what was received already"
    );
    assert_eq!(wire.delivered.len(), 1);
}

#[test]
fn packets_may_overtake_one_another_but_not_come_twice() {
    let mut wire = Wire::session();
    let sent = wire.sent.len();
    (0..20).for_each(|_| wire.send(A, B));
    let mut messages: Vec<_> = wire.sent[sent..].iter().map(|sent| sent.message.clone()).collect();
    wire.flying.clear();
    messages.reverse();
    let from = wire.hosts[A].address;
    for message in messages.iter().chain(&messages) {
        wire.receive(B, from, message.clone());
    }
    assert_eq!(wire.delivered.len(), 1 + 20);
}

#[test]
fn a_session_survives_both_sides_getting_new_addresses_one_after_the_other() {
    let mut wire = Wire::session();
    wire.hosts[A].address = "198.51.100.1:1".parse().unwrap();
    wire.send(A, B);
    wire.run(seconds(1.0));
    wire.hosts[B].address = "198.51.100.2:2".parse().unwrap();
    wire.send(B, A);
    wire.run(seconds(1.0));
    wire.send(A, B);
    wire.run(seconds(1.0));
    assert_eq!(wire.delivered.len(), 4);
    assert_eq!(wire.count(A, Kind::Initiation) + wire.count(B, Kind::Initiation), 1);
}
