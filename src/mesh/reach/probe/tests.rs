use chacha20::rand_core::SeedableRng as _;

use super::peer::PATIENCE;
use super::*;
use crate::mesh::believe::fact::signal::{Ports, Signal, Word};

fn key(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

fn at(milliseconds: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_millis(10_000 + milliseconds))
}

fn place(last: u8) -> SocketAddr {
    ([192, 0, 2, last], 51820).into()
}

struct Side {
    probing: Probing,
    random: ChaCha20Rng,
}

impl Side {
    fn new(own: u8, peers: &[u8]) -> Self {
        let mut probing = Probing::new(key(own), at(0), true);
        probing.observe(100, true);
        for peer in peers {
            probing.admit(&key(*peer), Zeroizing::new([own ^ peer; 32]));
        }
        Self {
            probing,
            random: ChaCha20Rng::from_seed([own; 32]),
        }
    }

    fn aim(&mut self, now: Timestamp, peer: u8, places: &[SocketAddr]) {
        self.probing.aim(now, &key(peer), places, None);
    }

    fn due(&mut self, now: Timestamp) -> Due {
        self.probing.due(now, &mut self.random)
    }

    fn hear(&mut self, now: Timestamp, from: SocketAddr, datagram: &[u8]) -> Result<Heard, Dropped> {
        let heard = self.probing.hear(now, from, datagram, &mut self.random);
        heard.map_err(|(dropped, _)| dropped)
    }
}

fn pair() -> (Side, Side) {
    (Side::new(1, &[2]), Side::new(2, &[1]))
}

fn asked(heard: Result<Heard, Dropped>) -> (Vec<u8>, Option<Vec<u8>>) {
    match heard {
        Ok(Heard::Asked { answer, ask_back, .. }) => (answer, ask_back),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_proves_the_path_and_says_how_long_it_is_and_from_where_it_was_asked() {
    let (mut a, mut b) = pair();
    a.aim(at(0), 2, &[place(2)]);
    let due = a.due(at(0));
    assert_eq!(due.punches, [key(2)], "the other side should open its NAT");
    let [(to, probe)] = &due.probes[..] else {
        panic!("{due:?}")
    };
    assert_eq!(*to, place(2));
    let (answer, ask_back) = asked(b.hear(at(20), place(1), probe));
    assert_eq!(answer.len(), probe.len(), "nothing is amplified");
    assert_eq!(ask_back, None, "nobody looks for it there");
    let heard = a.hear(at(50), place(2), &answer);
    let seen = place(1);
    assert_eq!(heard, Ok(Heard::Answered { peer: key(2), seen }));
    let proof = Proof {
        endpoint: place(2),
        round_trip: Duration::from_millis(50),
        at: at(50),
    };
    assert_eq!(a.probing.proofs(at(50), &key(2)), [proof]);
    assert_eq!(a.probing.proofs(at(50) + PROOF_FOR, &key(2)), [], "for a while");
}

#[test]
fn who_asks_is_asked_back_at_once_where_it_asked_from() {
    let (mut a, mut b) = pair();
    a.aim(at(0), 2, &[place(2)]);
    b.aim(at(0), 1, &[place(9)]);
    b.due(at(0));
    let due = a.due(at(0));
    let (_, ask_back) = asked(b.hear(at(20), place(1), &due.probes[0].1));
    let (answer, again) = asked(a.hear(at(40), place(2), &ask_back.unwrap()));
    assert_eq!(again, None, "it was just asked there");
    b.hear(at(60), place(1), &answer).unwrap();
    assert_eq!(b.probing.proofs(at(60), &key(1))[0].endpoint, place(1));
    assert_eq!(b.probing.heard_from(at(60), &key(1)).collect::<Vec<_>>(), [place(1)]);
}

#[test]
fn what_was_heard_before_is_not_asked_for_or_is_of_an_earlier_run_is_dropped() {
    let (mut a, mut b) = pair();
    a.aim(at(0), 2, &[place(2)]);
    let probe = a.due(at(0)).probes.remove(0).1;
    let (answer, _) = asked(b.hear(at(1), place(1), &probe));
    assert_eq!(b.hear(at(2), place(1), &probe), Err(Dropped::Stale(Stale::Replayed)));
    assert_eq!(
        a.hear(at(2) + PATIENCE, place(2), &answer),
        Err(Dropped::Unasked),
        "too late"
    );
    assert_eq!(
        a.hear(at(3) + PATIENCE, place(2), &answer),
        Err(Dropped::Stale(Stale::Replayed))
    );
    assert_eq!(Side::new(3, &[1]).hear(at(2), place(1), &probe), Err(Dropped::Stranger));
    assert_eq!(
        Side::new(1, &[2]).hear(at(2), place(1), &probe),
        Err(Dropped::Stranger),
        "sent back"
    );
    let mut forged = probe.clone();
    forged[40] ^= 1;
    assert_eq!(b.hear(at(2), place(1), &forged), Err(Dropped::WrongTag));
    let mut later = Side::new(2, &[1]);
    a.probing.observe(101, true);
    let signal = a.probing.signal(&key(2), Word::default(), 0, None).unwrap();
    later.probing.hear_signal(at(2), &key(1), &signal).unwrap();
    assert_eq!(later.hear(at(2), place(1), &probe), Err(Dropped::Stale(Stale::Epoch)));
}

#[test]
fn an_answer_from_elsewhere_is_a_place_to_ask_and_no_proof() {
    let (mut a, mut b) = pair();
    a.aim(at(0), 2, &[place(2)]);
    let probe = a.due(at(0)).probes.remove(0).1;
    let (answer, _) = asked(b.hear(at(1), place(1), &probe));
    a.hear(at(2), place(7), &answer).unwrap();
    assert_eq!(a.probing.proofs(at(2), &key(2)), []);
    assert_eq!(a.probing.heard_from(at(2), &key(2)).collect::<Vec<_>>(), [place(7)]);
}

#[test]
fn a_call_to_probe_is_followed_but_not_more_often_than_it_should_be() {
    let (mut a, mut b) = pair();
    let call = |side: &mut Side| {
        side.probing
            .signal(&key(2), Word::default().punching(), 0, None)
            .unwrap()
    };
    b.aim(at(0), 1, &[place(1)]);
    let quiet = |b: &mut Side, now: Timestamp| {
        while b.probing.next().is_some_and(|at| at <= now) {
            b.due(now);
        }
    };
    quiet(&mut b, at(100));
    let signal = call(&mut a);
    assert_eq!(b.probing.hear_signal(at(100), &key(1), &signal), Ok(()));
    let due = b.due(at(100));
    assert_eq!((due.probes.len(), due.punches.len()), (1, 0), "and calls nobody itself");
    assert_eq!(
        b.probing.hear_signal(at(101), &key(1), &signal),
        Err(Dropped::Stale(Stale::Replayed)),
        "it comes by several ways"
    );
    let signal = call(&mut a);
    b.probing.hear_signal(at(102), &key(1), &signal).unwrap();
    assert_eq!(b.due(at(102)).probes.len(), 0);
    let forged = Signal {
        word: Word::default(),
        ..call(&mut a)
    };
    assert_eq!(b.probing.hear_signal(at(103), &key(1), &forged), Err(Dropped::WrongTag));
    assert_eq!(b.probing.hear_signal(at(103), &key(9), &forged), Err(Dropped::Stranger));
}

#[test]
fn a_newcomer_with_many_peers_sends_no_more_than_it_may() {
    let many: Vec<u8> = (2..=200).collect();
    let mut side = Side::new(1, &many);
    let places: Vec<SocketAddr> = (1..=16).map(place).collect();
    many.iter().for_each(|peer| side.aim(at(0), *peer, &places));
    let (mut now, mut sent, mut served) = (at(0), 0, std::collections::BTreeSet::new());
    while now < at(8000) {
        let due = side.due(now);
        sent += due.probes.len();
        served.extend(due.punches);
        now = side.probing.next().unwrap().max(now + Duration::from_millis(5));
    }
    assert!(sent <= 9 * SENT_RATE as usize + 16, "{sent}");
    assert_eq!(served.len(), many.len(), "each has its turn");
}

#[test]
fn what_is_not_looked_for_is_not_probed() {
    let (mut a, _) = pair();
    a.aim(at(0), 2, &[place(2)]);
    a.probing.rest(&key(2));
    assert_eq!(a.due(at(10)), Due::default());
    a.aim(at(10), 2, &[place(2)]);
    a.probing.retain(|_| false);
    assert_eq!(a.due(at(20)), Due::default());
    a.aim(at(30), 2, &[place(2)]);
    a.probing.observe(100, false);
    assert_eq!(a.due(at(40)), Due::default(), "without a raw socket");
}

/// a is behind a NAT that counts ports up, b is looked for at home, and the router 3 says which port a look got.
#[test]
fn what_a_router_saw_before_and_after_says_where_the_peer_should_probe() {
    let mut a = Side::new(1, &[2, 3]);
    let mut router = Side::new(3, &[1]);
    let mut b = Side::new(2, &[1]);
    let (at_router, port) = (place(3), |port| SocketAddr::from(([192, 0, 2, 1], port)));
    let candidates = [place(2)];
    a.probing.aim(at(0), &key(2), &candidates, Some((key(3), at_router)));
    let due = a.due(at(0));
    assert_eq!((due.before.len(), due.probes.len(), due.after.len()), (2, 1, 0));
    assert!(
        due.before
            .iter()
            .all(|(from, to, _)| *from >= 49_152 && *to == at_router)
    );
    let after = a.due(at(80)).after;
    assert_eq!(after.len(), 2);
    let looks = due.before.iter().chain(&after);
    let mut shown = Vec::new();
    for ((_, _, look), seen) in looks.zip([4000, 4001, 4004, 4005]) {
        let answer = match router.hear(at(100), port(seen), look) {
            Ok(Heard::Looked { peer, answer }) if peer == key(1) => answer,
            other => panic!("{other:?}"),
        };
        assert_eq!(answer.len(), look.len(), "nothing is amplified");
        shown.push(a.hear(at(120), at_router, &answer));
    }
    let about = [None, None, Some(key(2)), None];
    assert_eq!(shown, about.map(|about| Ok(Heard::Shown { about })));
    let [ports] = a.probing.ports_for(at(120), &key(2))[..] else {
        panic!("one place")
    };
    let address = [192, 0, 2, 1].into();
    let expected = Ports {
        address,
        first: 4002,
        count: 2,
    };
    assert_eq!(ports, expected);
    let tell = |a: &mut Side| a.probing.signal(&key(2), Word::default(), 0, Some(ports)).unwrap();
    let signal = tell(&mut a);
    b.probing.hear_signal(at(130), &key(1), &signal).unwrap();
    assert_eq!(b.due(at(130)), Due::default(), "nobody looks for it");
    b.aim(at(130), 1, &[place(9)]);
    let signal = tell(&mut a);
    b.probing.hear_signal(at(130), &key(1), &signal).unwrap();
    let probed = probed(&mut b, at(130), at(400));
    assert_eq!(probed, [place(9)], "an address at which nobody looks for it");
    b.aim(at(400), 1, &[place(1)]);
    let signal = tell(&mut a);
    b.probing.hear_signal(at(400), &key(1), &signal).unwrap();
    let probed = self::probed(&mut b, at(400), at(700));
    assert_eq!(probed, [place(1), port(4002), port(4003)]);
}

/// Lets one side run, and returns where it probed.
fn probed(side: &mut Side, from: Timestamp, until: Timestamp) -> Vec<SocketAddr> {
    let (mut now, mut probed) = (from, Vec::new());
    while now < until {
        probed.extend(side.due(now).probes.into_iter().map(|(to, _)| to));
        let next = side.probing.next().unwrap();
        assert!(next > now, "it does not spin");
        now = next;
    }
    probed
}

#[test]
fn whoever_names_many_ports_has_them_probed_within_bounds() {
    let mut a = Side::new(1, &[2, 3]);
    let mut b = Side::new(2, &[1]);
    b.aim(at(0), 1, &[place(1)]);
    let mut foreseen = 0;
    for round in 0..600 {
        let ports = Ports {
            address: [192, 0, 2, 1].into(),
            first: 2000 + 64 * round,
            count: u8::MAX,
        };
        let (from, until) = (at(1000 * u64::from(round)), at(1000 * u64::from(round) + 999));
        let signal = a.probing.signal(&key(2), Word::default(), 0, Some(ports)).unwrap();
        b.probing.hear_signal(from, &key(1), &signal).unwrap();
        let probed = probed(&mut b, from, until);
        let in_round = probed.iter().filter(|to| **to != place(1)).count();
        assert!(in_round <= usize::from(MAX_PORTS), "{in_round}");
        foreseen += in_round;
    }
    assert_eq!(foreseen, 128, "in ten minutes: the other half is for other peers");
}

#[test]
fn forged_datagrams_in_the_name_of_a_peer_cost_it_no_probe() {
    let (mut a, mut b) = pair();
    a.aim(at(0), 2, &[place(2)]);
    let mut forged = a.due(at(0)).probes.remove(0).1;
    forged[20] ^= 1;
    let flood = |b: &mut Side, now: Timestamp| {
        let heard = [(); 200].map(|()| b.hear(now, place(1), &forged));
        assert_eq!(heard[199], Err(Dropped::TooMany));
    };
    let mut asked = 0;
    let mut now = at(0);
    while now < at(10_000) {
        for (_, probe) in a.due(now).probes {
            asked += 1;
            flood(&mut b, now);
            assert!(b.hear(now, place(1), &probe).is_ok());
        }
        now = a.probing.next().unwrap();
    }
    assert!(asked > 3, "{asked}");
}

#[test]
fn many_peers_behind_one_address_are_all_heard() {
    let crowd: Vec<u8> = (2..202).collect();
    let mut b = Side::new(1, &crowd);
    let mut sides: Vec<Side> = crowd.iter().map(|own| Side::new(*own, &[1])).collect();
    for (number, side) in (0..).zip(&mut sides) {
        side.aim(at(0), 1, &[place(1)]);
        let probe = side.due(at(0)).probes.remove(0).1;
        let from = SocketAddr::from(([192, 0, 2, 7], 1000 + number));
        assert!(b.hear(at(1), from, &probe).is_ok(), "{number}");
    }
}

#[test]
fn what_one_peer_says_is_bounded_and_costs_the_others_nothing() {
    let mut a = Side::new(1, &[3]);
    let mut b = Side::new(2, &[3]);
    let mut c = Side::new(3, &[1, 2]);
    let say = |side: &mut Side, now: Timestamp| {
        let probe = side.probing.ask(now, &key(3), place(3), &mut side.random);
        probe.expect("it is a peer")
    };
    let heard = (0..1000).filter(|_| {
        let probe = say(&mut a, at(0));
        c.hear(at(0), place(1), &probe).is_ok()
    });
    let heard = heard.count();
    assert!((64..200).contains(&heard), "{heard}");
    let probe = say(&mut b, at(1));
    assert!(c.hear(at(1), place(1), &probe).is_ok(), "behind the same address");
}

#[test]
fn a_node_that_is_told_not_to_predict_ports_does_so_no_longer() {
    let mut a = Side::new(1, &[2, 3]);
    let observer = (key(3), place(3));
    let looks = |a: &mut Side, last: u8| {
        let to = SocketAddr::from(([203, 0, 113, last], 1));
        a.probing.foretell(at(0), &key(2), to, observer, &mut a.random).len()
    };
    assert!(looks(&mut a, 1) > 0);
    a.probing.predict(false);
    assert_eq!(looks(&mut a, 2), 0);
    assert_eq!(a.due(at(1000)).after, [], "nor are they finished that were begun");
    a.probing.predict(true);
    assert!(looks(&mut a, 3) > 0);
}
