//! What an operator, or wirelink, does to the device, and what it shows.

use std::net::SocketAddr;

use ipnet::IpNet;
use proptest::prelude::*;
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::device::{DeviceChange, DeviceState};

use super::{A, B, Kind, LATENCY, Wire, key, seconds};
use crate::wireguard::Tunnel;

fn set_endpoint(wire: &mut Wire, at: usize, peer: usize, endpoint: SocketAddr) {
    wire.apply(
        at,
        DeviceChange::SetEndpoint {
            peer: key(peer),
            endpoint,
        },
    );
}

#[test]
fn setting_an_endpoint_sends_nothing() {
    let mut wire = Wire::pair();
    set_endpoint(&mut wire, A, B, "198.51.100.1:1".parse().unwrap());
    wire.run(seconds(60.0));
    assert_eq!(wire.count(A, Kind::Any), 0);
}

#[test]
fn an_endpoint_lets_go_what_waited_for_one() {
    let mut wire = Wire::strangers(2);
    wire.introduce(B, A);
    let change = DeviceChange::AddPeer {
        peer: key(B),
        allowed_ips: [].into(),
        endpoint: None,
    };
    wire.apply(A, change);
    wire.keepalive(A, B, 25);
    assert_eq!(wire.count(A, Kind::Any), 0, "there is nowhere to send to");
    wire.run(seconds(1.0));
    let endpoint = wire.hosts[B].address;
    set_endpoint(&mut wire, A, B, endpoint);
    assert_eq!(wire.count(A, Kind::Any), 0, "an attempt was made 1 s ago, if to nobody");
    wire.run(seconds(5.0));
    assert!(wire.peer(A, B).last_handshake.is_some());
}

#[test]
fn with_a_session_the_next_packet_goes_to_the_new_endpoint() {
    let mut wire = Wire::session();
    let elsewhere = "198.51.100.5:5".parse().unwrap();
    wire.hosts[B].address = elsewhere;
    set_endpoint(&mut wire, A, B, elsewhere);
    wire.send(A, B);
    wire.run(LATENCY);
    assert_eq!(wire.delivered.len(), 2);
    assert_eq!(wire.count(A, Kind::Initiation), 1, "with the same session");
}

#[test]
fn a_keepalive_from_none_to_some_sends_at_once() {
    let mut wire = Wire::pair();
    wire.keepalive(A, B, 25);
    assert_eq!(wire.count(A, Kind::Initiation), 1);
    wire.run(LATENCY * 3);
    assert!(wire.peer(A, B).last_handshake.is_some() && wire.peer(B, A).last_handshake.is_some());
    let sent = wire.count(A, Kind::Any);
    wire.keepalive(A, B, 5);
    assert_eq!(wire.count(A, Kind::Any), sent, "from some to another sends nothing");
    wire.keepalive(A, B, 0);
    assert_eq!(wire.peer(A, B).keepalive, None);
    wire.keepalive(A, B, 25);
    assert_eq!(wire.count(A, Kind::Any), sent + 1, "with a session it is a keepalive");
    assert_eq!(wire.count(A, Kind::Initiation), 1);
}

#[test]
fn without_a_persistent_keepalive_an_idle_session_is_silent() {
    let mut wire = Wire::session();
    wire.keepalive(A, B, 25);
    wire.keepalive(A, B, 0);
    wire.run(seconds(20.0));
    let sent = wire.sent.len();
    wire.run(seconds(1000.0));
    assert_eq!(wire.sent.len(), sent);
    assert_eq!(wire.next(), None, "and no timer is left");
}

#[test]
fn a_peer_made_anew_has_no_limit_no_session_and_no_counters() {
    let mut wire = Wire::session();
    wire.apply(A, DeviceChange::RemovePeer { peer: key(B) });
    wire.introduce(A, B);
    assert_eq!((wire.peer(A, B).tx_bytes, wire.peer(A, B).last_handshake), (0, None));
    wire.send(A, B);
    assert_eq!(wire.count(A, Kind::Initiation), 2, "1 s after the first");
    wire.run(seconds(1.0));
    assert_eq!(wire.delivered.len(), 2);
}

#[test]
fn a_side_that_lost_its_session_hears_nothing_until_one_of_them_opens_a_new_one() {
    let mut wire = Wire::session();
    wire.apply(B, DeviceChange::RemovePeer { peer: key(A) });
    wire.introduce(B, A);
    wire.send(A, B);
    wire.run(seconds(14.0));
    assert_eq!(wire.delivered.len(), 1, "A has a session, B does not");
    wire.run(seconds(2.0));
    wire.send(A, B);
    wire.run(seconds(1.0));
    assert_eq!(wire.delivered.len(), 2, "15 s without an answer made A try again");
}

#[test]
fn the_handshake_time_stays_until_the_next_handshake() {
    let mut wire = Wire::session();
    let first = wire.peer(A, B).last_handshake;
    assert_eq!(first, Some(wire.sent[0].at + LATENCY * 2));
    assert_eq!(
        wire.peer(B, A).last_handshake,
        Some(wire.sent[0].at + LATENCY * 3),
        "with the first data"
    );
    for _ in 0..10 {
        wire.run(seconds(10.0));
        wire.send(B, A);
        assert_eq!(wire.peer(A, B).last_handshake, first);
    }
    wire.run(seconds(30.0));
    wire.send(A, B);
    wire.run(seconds(1.0));
    assert!(wire.peer(A, B).last_handshake > first);
}

#[test]
fn a_device_is_not_its_own_peer() {
    let mut wire = Wire::strangers(1);
    wire.introduce(A, A);
    assert!(wire.hosts[A].tunnel.device().peers.is_empty());
}

#[test]
fn sleep_costs_the_session_and_stops_the_timers() {
    let mut wire = Wire::session();
    wire.keepalive(A, B, 25);
    let now = wire.now;
    wire.hosts[A].tunnel.suspend(now);
    wire.send(B, A);
    wire.run(seconds(10.0));
    assert_eq!(wire.delivered.len(), 1, "B's packet is lost on a machine that sleeps");
    let sent = wire.count(A, Kind::Any);
    wire.run(seconds(3590.0));
    assert_eq!(wire.count(A, Kind::Any), sent);
    let now = wire.now;
    wire.hosts[A].tunnel.resume(now);
    wire.run(seconds(24.0));
    assert_eq!(wire.count(A, Kind::Any), sent, "the keepalive has its 25 s to go");
    wire.run(seconds(2.0));
    assert!(wire.peer(A, B).last_handshake.is_some_and(|at| at > now));
}

fn change() -> impl Strategy<Value = DeviceChange> {
    let prefix = (0_u8..6, 24_u8..=32).prop_map(|(host, length)| {
        let prefix = IpNet::new([10, 0, 0, host << 4].into(), length);
        prefix.expect("a length of IPv4").trunc()
    });
    (0_usize..4, 0_u8..5, prefix).prop_map(|(peer, what, prefix)| {
        let peer = key(peer + 1);
        match what {
            0 => DeviceChange::AddPeer {
                peer,
                allowed_ips: [prefix].into(),
                endpoint: None,
            },
            1 => DeviceChange::RemovePeer { peer },
            2 => DeviceChange::SetEndpoint {
                peer,
                endpoint: "192.0.2.1:1".parse().expect("an endpoint"),
            },
            3 => DeviceChange::AddAllowedIp { peer, prefix },
            _ => DeviceChange::RemoveAllowedIp { peer, prefix },
        }
    })
}

proptest! {
    /// The tunnel, which finds a prefix's owner without looking at every peer, makes of every change what the table does.
    #[test]
    fn the_tunnel_applies_changes_as_the_table_does(changes in prop::collection::vec(change(), 0..60)) {
        let mut table = DeviceState::new(key(0), 7);
        let mut tunnel = Tunnel::new(key(0), 7, 1);
        for change in changes {
            table.apply(&change);
            tunnel.apply(Timestamp::START, &change);
            prop_assert_eq!(&table, tunnel.device());
        }
    }
}
