use super::candidate::Collector;
use super::liveness::{FIRST_WORDS_PERIOD, Liveness, OURS_PERIOD, V1_PERIOD};
use super::slot::{CROSSED, CROSSED_YIELDS, FIRST_SLOT, LATER_SLOT, STAGGER};
use super::*;
use crate::mesh::believe::fact::boot::BootId;
use crate::mesh::believe::fact::heartbeat::{Echo, Heartbeat};

mod beats;

const OURS: BootId = BootId::from_bytes([0, 0, 0, 0, 0, 0, 0x81, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]);
const V1: BootId = BootId::from_bytes([0, 0, 0, 0, 0, 0, 0x41, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]);

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_start(Duration::from_secs_f64(seconds))
}

fn endpoint(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 51820))
}

fn candidates(last: &[u8]) -> Vec<Candidate> {
    let own = ["10.0.0.2/24".parse().unwrap()];
    let mut collector = Collector::new(&own);
    last.iter()
        .for_each(|last| collector.add(endpoint(*last), Kind::Reflexive));
    collector.finish()
}

fn contact(handshake: Option<f64>, heard: Option<(BootId, f64)>) -> Contact {
    Contact {
        endpoint: handshake.map(|_| endpoint(1)),
        last_handshake: handshake.map(at),
        liveness: heard.map(|(boot_id, seconds)| Liveness::heard(at(seconds), boot_id, Duration::from_secs(255))),
        ..Contact::default()
    }
}

fn up_at(seconds: f64, boot_id: BootId) -> Link {
    let mut link = Link::new(at(0.0), None, false);
    link.advance(
        at(seconds),
        &contact(Some(seconds), Some((boot_id, seconds))),
        &[],
        &Reach::default(),
    );
    assert_eq!(link.state(), State::Up);
    link
}

#[test]
fn a_link_without_candidates_stays_idle() {
    let mut link = Link::new(at(0.0), None, false);
    assert_eq!(
        link.advance(at(1.0), &contact(None, None), &[], &Reach::default()),
        Step::default()
    );
    assert_eq!(link.state(), State::Idle);
}

#[test]
fn each_candidate_has_one_slot_and_the_least_recent_follows() {
    let mut link = Link::new(at(0.0), None, false);
    let candidates = candidates(&[1, 2]);
    let unseen = contact(None, None);
    assert_eq!(
        link.advance(at(0.0), &unseen, &candidates, &Reach::default()).endpoint,
        None,
        "both sides need the peer first"
    );
    let mut tries = Vec::new();
    let mut now = link.next(at(0.0), &unseen).unwrap();
    let began = now;
    for _ in 0..5 {
        let step = link.advance(now, &unseen, &candidates, &Reach::default());
        assert!(step.knock);
        tries.push((now.since(began).as_secs(), step.endpoint.unwrap()));
        let next = link.next(now, &unseen).unwrap();
        let between = link.advance(next - Duration::from_millis(1), &unseen, &candidates, &Reach::default());
        assert_eq!(
            between,
            Step {
                endpoint: step.endpoint,
                ..Step::default()
            }
        );
        now = next;
    }
    let first = FIRST_SLOT.as_secs();
    let later = LATER_SLOT.as_secs();
    let expected = [
        (0, 1),
        (first, 2),
        (2 * first, 1),
        (2 * first + later, 2),
        (2 * first + 2 * later, 1),
    ];
    assert_eq!(tries, expected.map(|(seconds, last)| (seconds, endpoint(last))));
}

#[test]
fn the_two_sides_of_a_link_do_not_knock_in_the_same_moment() {
    let first_knock = |yields| {
        let mut link = Link::new(at(0.0), None, yields);
        link.advance(at(0.0), &contact(None, None), &candidates(&[1]), &Reach::default());
        link.next(at(0.0), &contact(None, None)).unwrap()
    };
    assert_eq!(first_knock(true).since(first_knock(false)), STAGGER);
}

#[test]
fn a_new_candidate_begins_the_round_again_with_the_best() {
    let mut link = Link::new(at(0.0), None, false);
    let old = candidates(&[1, 2]);
    for seconds in [0.0, 0.2, 5.2, 10.2, 25.2] {
        link.advance(at(seconds), &contact(None, None), &old, &Reach::default());
    }
    let new = candidates(&[1, 2, 3]);
    link.advance(at(31.0), &contact(None, None), &new, &Reach::default());
    let step = link.advance(at(31.2), &contact(None, None), &new, &Reach::default());
    assert_eq!((step.endpoint, step.knock), (Some(endpoint(1)), true));
    let step = link.advance(at(36.2), &contact(None, None), &new, &Reach::default());
    assert_eq!(step.endpoint, Some(endpoint(2)));
}

#[test]
fn invented_candidates_cannot_keep_the_round_at_its_beginning() {
    let mut link = Link::new(at(0.0), None, false);
    let mut tried = std::collections::BTreeSet::new();
    for second in 0..60_u8 {
        let own = ["10.0.0.2/24".parse().unwrap()];
        let mut collector = Collector::new(&own);
        [11, 12, 13]
            .iter()
            .for_each(|last| collector.add(endpoint(*last), Kind::Reflexive));
        (0..4).for_each(|port| collector.add(([192, 0, 2, second], port).into(), Kind::Rumour));
        let step = link.advance(
            at(second.into()),
            &contact(None, None),
            &collector.finish(),
            &Reach::default(),
        );
        tried.extend(step.endpoint.filter(|_| second >= 30));
    }
    assert!(
        [11, 12, 13].iter().all(|last| tried.contains(&endpoint(*last))),
        "{tried:?}"
    );
}

#[test]
fn up_needs_both_signals() {
    let mut link = Link::new(at(0.0), None, false);
    link.advance(at(1.0), &contact(Some(1.0), None), &[], &Reach::default());
    assert_eq!(link.state(), State::Probing, "a handshake alone");
    let mut link = Link::new(at(0.0), None, false);
    link.advance(
        at(1.0),
        &contact(None, Some((OURS, 1.0))),
        &candidates(&[1]),
        &Reach::default(),
    );
    assert_eq!(link.state(), State::Probing, "a sign of life alone");
    let step = link.advance(
        at(2.0),
        &contact(Some(2.0), Some((OURS, 1.0))),
        &candidates(&[1]),
        &Reach::default(),
    );
    assert_eq!(
        (link.state(), step.left, step.endpoint),
        (State::Up, Some(State::Probing), None)
    );
}

#[test]
fn a_sign_of_life_in_its_second_half_is_too_old_to_go_up() {
    let mut link = Link::new(at(0.0), None, false);
    link.advance(at(40.0), &contact(Some(1.0), Some((OURS, 0.0))), &[], &Reach::default());
    assert_eq!(link.state(), State::Probing);
}

#[test]
fn silence_of_one_of_ours_that_answers_no_heartbeats_is_noticed_after_three_signs_of_life_whatever_the_handshake_says()
{
    let mut link = up_at(1.0, OURS);
    let seen = contact(Some(1.0), Some((OURS, 1.0)));
    assert_eq!(link.next(at(1.0), &seen), Some(at(76.0)));
    link.advance(at(75.9), &seen, &[], &Reach::default());
    assert_eq!(link.state(), State::Up);
    let step = link.advance(at(76.0), &seen, &candidates(&[2]), &Reach::default());
    assert_eq!(link.state(), State::Suspect(Missing::SignOfLife));
    assert_eq!(
        step.endpoint, None,
        "the endpoint of a live session is WireGuard's business"
    );
}

#[test]
fn silence_of_a_v1_node_is_noticed_by_its_own_times() {
    let mut link = up_at(1.0, V1);
    link.advance(at(160.0), &contact(Some(1.0), Some((V1, 1.0))), &[], &Reach::default());
    assert_eq!(link.state(), State::Up);
    link.advance(at(167.0), &contact(Some(1.0), Some((V1, 1.0))), &[], &Reach::default());
    assert_eq!(link.state(), State::Suspect(Missing::Handshake));
    link.advance(
        at(167.0),
        &contact(Some(1.0), Some((V1, 1.0))),
        &candidates(&[1]),
        &Reach::default(),
    );
    assert_eq!(link.state(), State::Probing);
}

#[test]
fn a_suspect_that_is_heard_again_is_up_again() {
    let mut link = up_at(1.0, OURS);
    link.advance(at(80.0), &contact(Some(1.0), Some((OURS, 1.0))), &[], &Reach::default());
    link.advance(
        at(90.0),
        &contact(Some(1.0), Some((OURS, 90.0))),
        &[],
        &Reach::default(),
    );
    assert_eq!(link.state(), State::Up);
}

#[test]
fn initiations_that_crossed_are_followed_by_others_before_wireguard_would_send_them() {
    for yields in [false, true] {
        let mut link = Link::new(at(0.0), None, yields);
        let candidates = candidates(&[1, 2]);
        let mut seen = contact(None, None);
        link.advance(at(0.0), &seen, &candidates, &Reach::default());
        let first = link.next(at(0.0), &seen).unwrap();
        assert!(link.advance(first, &seen, &candidates, &Reach::default()).knock);
        // It initiated, from a place that nobody named; a session would be seen in a round-trip time.
        (seen.heard_bytes, seen.endpoint) = (148, Some(endpoint(9)));
        let heard = first + Duration::from_secs(1);
        let holds = Step {
            endpoint: Some(endpoint(9)),
            ..Step::default()
        };
        assert_eq!(link.advance(heard, &seen, &candidates, &Reach::default()), holds);
        let crossed = link.next(heard, &seen).unwrap();
        let patience = CROSSED + if yields { CROSSED_YIELDS } else { Duration::ZERO };
        assert_eq!(crossed, heard + patience);
        let again = Step {
            knock: true,
            afresh: true,
            ..holds
        };
        assert_eq!(link.advance(crossed, &seen, &candidates, &Reach::default()), again);
        assert_eq!(
            link.advance(crossed, &seen, &candidates, &Reach::default()),
            holds,
            "once for each"
        );
        seen.heard_bytes = 0;
        link.advance(crossed, &seen, &candidates, &Reach::default());
        seen.heard_bytes = 148;
        link.advance(crossed, &seen, &candidates, &Reach::default());
        assert_eq!(link.next(crossed, &seen), Some(crossed + patience));
        // Of one that has, or had, a session the bytes say nothing.
        (seen.heard_bytes, seen.last_handshake) = (200, Some(at(0.0)));
        assert!(!link.advance(at(500.0), &seen, &candidates, &Reach::default()).afresh);
    }
}

#[test]
fn a_basic_peer_needs_no_sign_of_life() {
    let mut link = Link::new(at(0.0), None, false);
    let seen = Contact {
        basic: true,
        ..contact(Some(1.0), None)
    };
    link.advance(at(100.0), &seen, &[], &Reach::default());
    assert_eq!(link.state(), State::Up);
    link.advance(at(200.0), &seen, &[], &Reach::default());
    assert_eq!(link.state(), State::Suspect(Missing::Handshake));
}

#[test]
fn a_peer_with_a_new_session_is_told_again_soon_until_it_is_heard() {
    let pace = |handshake, heard, now| contact(handshake, heard).alive_pace(at(now)).0;
    assert_eq!(pace(Some(100.0), None, 110.0), FIRST_WORDS_PERIOD);
    assert_eq!(pace(Some(100.0), None, 131.0), V1_PERIOD, "it may run no wirelink");
    assert_eq!(pace(Some(100.0), Some((V1, 105.0)), 110.0), V1_PERIOD);
    assert_eq!(pace(Some(100.0), Some((OURS, 105.0)), 110.0), OURS_PERIOD);
    assert_eq!(
        pace(Some(100.0), Some((OURS, 80.0)), 110.0),
        OURS_PERIOD,
        "ours, though silent now"
    );
    assert_eq!(pace(None, None, 110.0), V1_PERIOD);
}

#[test]
fn a_link_that_fails_again_and_again_waits_ever_longer() {
    const BEATS: BootId = BootId::from_bytes([0, 0, 0, 0, 0, 0, 0x81, 0, 0x80, 0, 0, 0, 0, 0, 0, 7]);
    let mut link = Link::new(at(0.0), None, false);
    let (mut now, mut echoes) = (1.0, Vec::new());
    let mut step = |link: &mut Link, works: bool, until: &dyn Fn(&Link) -> bool| {
        let began = now;
        while !until(link) {
            assert!(now - began < 200.0, "{:?}", link.state());
            now += 0.05;
            let seen = contact(Some(now), Some((BEATS, now)));
            for number in echoes.drain(..) {
                let beat = Heartbeat {
                    number,
                    version: 0,
                    ready: false,
                    turns: false,
                };
                let (received, at_peer) = (number, Duration::from_secs_f64(now));
                let echo = Echo {
                    beat,
                    received,
                    at: at_peer,
                    seen: None,
                };
                link.hear_echo(at(now), &echo);
            }
            let beat = link.advance(at(now), &seen, &[], &Reach::default()).beat;
            echoes.extend(beat.filter(|_| works));
            if let Some(pulse) = link.pulse() {
                pulse.count(at(now), 0, (now * 10_000.0) as u64);
            }
        }
        now - began
    };
    step(&mut link, true, &Link::is_up);
    let mut waits = Vec::new();
    for _ in 0..6 {
        step(&mut link, false, &|link| !link.is_up());
        waits.push(step(&mut link, true, &Link::is_up));
    }
    assert!(waits.windows(2).all(|pair| pair[0] <= pair[1] + 1.5), "{waits:?}");
    assert!(waits[0] < 3.0 && waits[5] > 50.0, "{waits:?}");
}
