//! The life of a session: its age, its signs of life, its end.

use super::{A, B, Kind, LATENCY, Wire, seconds};
use crate::wireguard::rules::{KEEPALIVE_TIMEOUT, REKEY_AFTER_TIME, REKEY_TIMEOUT, REKEY_TIMEOUT_JITTER};

/// Sends from one host to another every second.
fn chat(wire: &mut Wire, from: usize, to: usize, times: usize) {
    for _ in 0..times {
        wire.send(from, to);
        wire.run(seconds(1.0));
    }
}

#[test]
fn the_initiator_renews_a_session_that_it_sends_with_at_120_seconds() {
    let mut wire = Wire::session();
    chat(&mut wire, A, B, 130);
    let gaps = wire.gaps(A, Kind::Initiation);
    assert_eq!(gaps.len(), 1);
    assert!(
        gaps[0] >= REKEY_AFTER_TIME && gaps[0] <= REKEY_AFTER_TIME + seconds(2.0),
        "{gaps:?}"
    );
    assert_eq!(wire.delivered.len(), 131, "without any loss");
}

#[test]
fn the_responder_never_renews() {
    let mut wire = Wire::session();
    chat(&mut wire, B, A, 200);
    assert_eq!(wire.count(B, Kind::Initiation), 0);
    let gap = wire.gaps(A, Kind::Initiation)[0];
    assert!(
        gap > REKEY_AFTER_TIME && gap < REKEY_AFTER_TIME + KEEPALIVE_TIMEOUT,
        "with a keepalive: {gap:?}"
    );
    assert_eq!(wire.delivered.len(), 201);
}

#[test]
fn an_idle_session_dies_at_180_seconds() {
    let mut wire = Wire::session();
    wire.run(seconds(180.0));
    wire.send(A, B);
    assert_eq!(wire.count(A, Kind::Initiation), 2);
    wire.run(seconds(1.0));
    assert_eq!(wire.delivered.len(), 2);
}

#[test]
fn either_side_may_send_with_an_idle_session_until_it_dies() {
    let mut wire = Wire::session();
    wire.run(seconds(177.0));
    wire.send(B, A);
    wire.run(LATENCY);
    assert_eq!(wire.delivered.len(), 2);
    assert_eq!(wire.count(B, Kind::Initiation), 0);
    assert_eq!(
        wire.count(A, Kind::Initiation),
        2,
        "165 s are over: the initiator renews on receiving"
    );
}

#[test]
fn data_of_a_session_that_is_too_old_is_dropped() {
    let mut wire = Wire::session();
    let late = wire.sent.last().unwrap().message.clone();
    wire.run(seconds(181.0));
    let (from, rx_bytes) = (wire.hosts[A].address, wire.peer(B, A).rx_bytes);
    wire.receive(B, from, late);
    assert_eq!(wire.peer(B, A).rx_bytes, rx_bytes);
}

#[test]
fn data_is_answered_by_a_keepalive_after_ten_seconds() {
    let mut wire = Wire::session();
    wire.run(seconds(60.0));
    assert_eq!((wire.count(B, Kind::Keepalive), wire.count(A, Kind::Keepalive)), (1, 0));
    let waited = wire.times(B, Kind::Keepalive)[0].since(wire.times(A, Kind::Packet)[0]);
    assert_eq!(waited, KEEPALIVE_TIMEOUT + LATENCY);
}

#[test]
fn an_answer_spares_the_keepalive() {
    let mut wire = Wire::session();
    wire.send(B, A);
    wire.run(seconds(5.0));
    assert_eq!(wire.count(B, Kind::Keepalive), 0);
    wire.run(seconds(60.0));
    assert_eq!((wire.count(B, Kind::Keepalive), wire.count(A, Kind::Keepalive)), (0, 1));
}

#[test]
fn data_without_answer_leads_to_a_handshake_after_15_seconds() {
    let mut wire = Wire::session();
    wire.run(seconds(30.0));
    assert_eq!(wire.count(A, Kind::Initiation), 1, "the keepalive was an answer");
    wire.cut = true;
    wire.send(A, B);
    let sent = wire.now;
    wire.run(seconds(20.0));
    let waited = wire.times(A, Kind::Initiation)[1].since(sent);
    let expected = KEEPALIVE_TIMEOUT + REKEY_TIMEOUT;
    assert!(
        (expected..expected + REKEY_TIMEOUT_JITTER).contains(&waited),
        "{waited:?}"
    );
}

#[test]
fn a_keepalive_wants_no_answer() {
    let mut wire = Wire::pair();
    wire.keepalive(A, B, 25);
    wire.run(seconds(1.0));
    wire.cut = true;
    wire.run(seconds(100.0));
    assert_eq!(wire.count(A, Kind::Initiation), 1);
    assert_eq!(wire.count(A, Kind::Keepalive), 1 + 4);
}

#[test]
fn a_persistent_keepalive_renews_what_the_initiator_opened() {
    let mut wire = Wire::pair();
    wire.keepalive(A, B, 25);
    wire.run(seconds(1000.0));
    let gaps = wire.gaps(A, Kind::Initiation);
    assert!(
        gaps.len() >= 7 && gaps.iter().all(|gap| *gap <= seconds(126.0)),
        "{gaps:?}"
    );
}

#[test]
fn an_initiator_that_sends_nothing_renews_on_receiving_at_165_seconds() {
    let mut wire = Wire::session();
    // A keepalive is not answered, so A sends nothing.
    wire.keepalive(B, A, 7);
    wire.run(seconds(400.0));
    let gaps = wire.gaps(A, Kind::Initiation);
    assert_eq!((gaps.len(), wire.count(B, Kind::Initiation)), (2, 0));
    assert!(
        gaps.iter().all(|gap| *gap >= seconds(165.0) && *gap < seconds(172.1)),
        "{gaps:?}"
    );
}

#[test]
fn any_packet_puts_the_persistent_keepalive_off() {
    let mut wire = Wire::session();
    wire.keepalive(A, B, 10);
    chat(&mut wire, A, B, 50);
    assert_eq!(wire.count(A, Kind::Keepalive), 1, "the one at once");
}

#[test]
fn what_was_sent_with_the_former_session_still_arrives() {
    let mut wire = Wire::session();
    wire.run(seconds(125.0));
    let from = wire.hosts[A].address;
    wire.send(A, B);
    wire.send(A, B);
    let former = wire.sent.last().unwrap().message.clone();
    wire.flying.pop();
    wire.run(seconds(1.0));
    assert_eq!(
        wire.count(A, Kind::Response) + wire.count(B, Kind::Response),
        2,
        "renewed meanwhile"
    );
    let before = wire.delivered.len();
    wire.receive(B, from, former);
    assert_eq!(wire.delivered.len(), before + 1);
}
