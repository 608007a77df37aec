//! Handshakes: when they are made, tried again, answered and lost.

use wirelink::mesh::device::DeviceChange;

use super::{A, B, Kind, LATENCY, Wire, key, packet, seconds};
use crate::wireguard::rules::{MAX_STAGED_PACKETS, MAX_TIMER_HANDSHAKES, REKEY_TIMEOUT, REKEY_TIMEOUT_JITTER};
use crate::wireguard::{Effect, Message, Tunnel};

#[test]
fn a_packet_opens_a_session_and_waits_for_it() {
    let mut wire = Wire::pair();
    wire.send(A, B);
    assert_eq!((wire.count(A, Kind::Initiation), wire.count(A, Kind::Packet)), (1, 0));
    wire.run(LATENCY * 3);
    assert_eq!(wire.delivered.len(), 1);
    assert_eq!(wire.delivered[0].packet, packet(A, B));
    assert_eq!(wire.count(A, Kind::Keepalive), 0, "what waited confirms the session");
}

#[test]
fn messages_are_as_long_as_on_the_wire() {
    let wire = Wire::session();
    let lengths: Vec<usize> = wire.sent.iter().map(|sent| sent.message.len()).collect();
    // 20 bytes of IPv4 header and 12 of payload are 32, a multiple of 16 already.
    assert_eq!(lengths, [148, 92, 64]);
    assert_eq!(wire.peer(A, B).tx_bytes, 148 + 64);
    assert_eq!(wire.peer(A, B).rx_bytes, 92);
    assert_eq!((wire.peer(B, A).rx_bytes, wire.peer(B, A).tx_bytes), (148 + 64, 92));
}

#[test]
fn a_packet_is_padded_to_sixteen_bytes() {
    let mut wire = Wire::session();
    let mut odd = packet(A, B);
    odd.payload.push(0);
    wire.try_send(A, odd).unwrap();
    assert_eq!(wire.sent.last().unwrap().message.len(), 32 + 48);
}

#[test]
fn initiations_to_one_peer_are_five_seconds_apart_and_a_bit() {
    let mut wire = Wire::pair();
    wire.cut = true;
    for _ in 0..600 {
        wire.send(A, B);
        wire.run(seconds(0.1));
    }
    let gaps = wire.gaps(A, Kind::Initiation);
    assert!(gaps.len() >= 11 - 1, "{gaps:?}");
    assert!(
        gaps.iter()
            .all(|gap| (REKEY_TIMEOUT..REKEY_TIMEOUT + REKEY_TIMEOUT_JITTER).contains(gap)),
        "{gaps:?}"
    );
}

#[test]
fn retries_are_drawn_out_by_chance() {
    let mut wire = Wire::pair();
    wire.cut = true;
    wire.send(A, B);
    wire.run(seconds(60.0));
    let gaps = wire.gaps(A, Kind::Initiation);
    assert!(
        gaps.iter()
            .all(|gap| (REKEY_TIMEOUT..REKEY_TIMEOUT + REKEY_TIMEOUT_JITTER).contains(gap)),
        "{gaps:?}"
    );
    assert!(gaps.windows(2).all(|pair| pair[0] != pair[1]), "{gaps:?}");
}

#[test]
fn a_handshake_without_answer_is_given_up_and_what_waited_is_dropped() {
    let mut wire = Wire::pair();
    wire.cut = true;
    wire.send(A, B);
    wire.run(seconds(300.0));
    assert_eq!(wire.count(A, Kind::Initiation), usize::from(MAX_TIMER_HANDSHAKES) + 2);
    let took = wire.times(A, Kind::Initiation).last().unwrap().since(wire.sent[0].at);
    assert!(took > seconds(95.0) && took < seconds(102.0), "{took:?}");

    wire.cut = false;
    wire.send(B, A);
    wire.run(seconds(1.0));
    assert_eq!(wire.delivered.len(), 1, "B's packet; A's is gone");
}

#[test]
fn a_persistent_keepalive_begins_again_after_giving_up() {
    let mut wire = Wire::pair();
    wire.cut = true;
    wire.keepalive(A, B, 25);
    wire.run(seconds(300.0));
    let longest = wire.gaps(A, Kind::Initiation).into_iter().max().unwrap();
    assert!(longest == seconds(25.0), "{longest:?}");
}

#[test]
fn a_bounded_number_of_packets_waits_and_the_oldest_go_first() {
    let mut wire = Wire::pair();
    for number in 0..MAX_STAGED_PACKETS + 50 {
        let mut packet = packet(A, B);
        packet.payload = number.to_be_bytes().into();
        wire.try_send(A, packet).unwrap();
    }
    wire.run(seconds(1.0));
    assert_eq!(wire.delivered.len(), MAX_STAGED_PACKETS + 1);
    assert_eq!(wire.delivered[0].packet.payload, 49_usize.to_be_bytes());
}

#[test]
fn an_initiation_to_a_side_that_lacks_the_peer_is_lost_without_a_word() {
    let mut wire = Wire::strangers(2);
    wire.introduce(A, B);
    wire.send(A, B);
    wire.run(LATENCY * 2);
    assert_eq!(wire.count(B, Kind::Any), 0);
    wire.introduce(B, A);
    wire.run(seconds(4.9));
    assert_eq!(wire.delivered, [], "the next attempt is 5 s after the first");
    wire.run(seconds(0.6));
    assert_eq!(wire.delivered.len(), 1);
}

#[test]
fn of_two_initiations_that_cross_neither_gives_a_session_that_can_be_used() {
    let mut wire = Wire::pair();
    wire.send(A, B);
    wire.send(B, A);
    wire.run(seconds(4.0));
    assert_eq!((wire.count(A, Kind::Response), wire.count(B, Kind::Response)), (1, 1));
    assert_eq!(
        wire.delivered,
        [],
        "both are responders, and wait for the other's first data"
    );
    assert_eq!(
        (wire.peer(A, B).last_handshake, wire.peer(B, A).last_handshake),
        (None, None)
    );
    wire.run(seconds(3.0));
    assert_eq!(wire.delivered.len(), 2);
}

#[test]
fn a_response_counts_against_the_limit_of_initiations() {
    let mut wire = Wire::pair();
    wire.send(A, B);
    wire.run(LATENCY * 3);
    // B has removed and made its peer anew, and so lost the session; A still has it.
    wire.apply(A, DeviceChange::RemovePeer { peer: key(B) });
    wire.introduce(A, B);
    wire.send(A, B);
    wire.run(LATENCY);
    wire.cut = true;
    wire.apply(B, DeviceChange::RemovePeer { peer: key(A) });
    wire.introduce(B, A);
    wire.cut = false;
    wire.send(A, B);
    wire.run(seconds(6.0));
    assert!(wire.count(B, Kind::Initiation) == 0);
}

#[test]
fn the_responder_sends_nothing_before_it_hears_data() {
    let mut wire = Wire::pair();
    wire.send(A, B);
    wire.run(LATENCY);
    // The response is under way; what A would confirm it with is lost.
    wire.cut = true;
    wire.send(B, A);
    wire.run(seconds(1.0));
    assert_eq!((wire.count(B, Kind::Response), wire.count(B, Kind::Packet)), (1, 0));
    assert_eq!(wire.peer(B, A).last_handshake, None, "it is not over for B");
    assert!(wire.peer(A, B).last_handshake.is_some(), "it is for A");

    wire.cut = false;
    wire.send(A, B);
    wire.run(seconds(1.0));
    assert_eq!(wire.count(B, Kind::Packet), 1, "confirmed: what waited is sent");
    assert!(wire.peer(B, A).last_handshake.is_some());
}

#[test]
fn a_session_without_anything_to_send_is_confirmed_by_a_keepalive() {
    let mut wire = Wire::pair();
    wire.keepalive(A, B, 25);
    wire.run(seconds(1.0));
    assert_eq!(
        (wire.count(A, Kind::Initiation), wire.count(A, Kind::Keepalive)),
        (1, 1)
    );
    assert!(wire.peer(B, A).last_handshake.is_some());
}

#[test]
fn an_initiation_is_accepted_once() {
    let mut wire = Wire::pair();
    wire.send(A, B);
    let initiation = wire.sent[0].message.clone();
    wire.run(seconds(10.0));
    let from = wire.hosts[A].address;
    wire.receive(B, from, initiation);
    assert_eq!(wire.count(B, Kind::Response), 1);
}

#[test]
fn initiations_of_one_peer_are_answered_at_most_fifty_times_a_second() {
    let mut wire = Wire::pair();
    let from = wire.hosts[A].address;
    for number in 0..200_u32 {
        let message = Message::Initiation {
            from: key(A),
            to: key(B),
            attempt: number.into(),
            stamp: seconds(f64::from(number)),
        };
        wire.receive(B, from, message);
        wire.now = wire.now + seconds(0.005);
    }
    assert_eq!(wire.count(B, Kind::Response), 50);
}

#[test]
fn a_response_to_what_was_never_asked_changes_nothing() {
    let mut wire = Wire::pair();
    let before = wire.hosts[A].tunnel.device().clone();
    let response = Message::Response {
        from: key(B),
        attempt: 3,
        session: 4,
    };
    wire.receive(A, "198.51.100.9:9".parse().unwrap(), response);
    assert_eq!(*wire.hosts[A].tunnel.device(), before);
}

#[test]
fn an_initiation_for_somebody_else_is_not_answered() {
    let mut wire = Wire::pair();
    let message = Message::Initiation {
        from: key(A),
        to: key(7),
        attempt: 1,
        stamp: seconds(1.0),
    };
    let from = wire.hosts[A].address;
    wire.receive(B, from, message);
    assert_eq!(wire.count(B, Kind::Any), 0);
}

#[test]
fn one_seed_gives_one_course_and_two_hosts_draw_differently() {
    let initiation = |host: usize| {
        let mut tunnel = Tunnel::new(key(host), 1, 9);
        let peer = DeviceChange::AddPeer {
            peer: key(7),
            allowed_ips: [].into(),
            endpoint: Some("192.0.2.9:9".parse().unwrap()),
        };
        tunnel.apply(Default::default(), &peer);
        tunnel.set_keepalive(Default::default(), &key(7), Some(1));
        match tunnel.effect() {
            Some(Effect::Send {
                message: Message::Initiation { attempt, .. },
                ..
            }) => attempt,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(initiation(A), initiation(A));
    assert_ne!(initiation(A), initiation(B));
}
