use super::*;

fn at(milliseconds: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_millis(100_000 + milliseconds))
}

/// A peer that answers after so long, until then.
struct Path {
    pulse: Pulse,
    round_trip: u64,
    dies: u64,
    returns: u64,
    /// Bytes in each 100 ms, to the peer and back.
    traffic: (u64, u64),
    sent: Vec<u64>,
    dead_at: Option<u64>,
}

impl Path {
    fn new(round_trip: u64) -> Self {
        Self {
            pulse: Pulse::new(at(0), false),
            round_trip,
            dies: u64::MAX,
            returns: u64::MAX,
            traffic: (0, 0),
            sent: Vec::new(),
            dead_at: None,
        }
    }

    fn works(&self, milliseconds: u64) -> bool {
        milliseconds < self.dies || milliseconds >= self.returns
    }

    fn run(&mut self, until: u64) {
        let (mut echoes, mut heard, mut sent) = (Vec::new(), 0, 0);
        for now in (0..until).step_by(10) {
            if let Some(number) = self.pulse.beat(at(now)) {
                self.sent.push(now);
                self.pulse.note_own(30, 0);
                sent += on_the_wire(30);
                if self.works(now) {
                    echoes.push((now + self.round_trip, number));
                }
            }
            while let Some(place) = echoes.iter().position(|(due, _)| *due <= now) {
                let (_, number) = echoes.remove(place);
                heard += on_the_wire(40);
                self.pulse.note_own(0, 40);
                self.pulse.echo(at(now), number, number, Duration::from_millis(now));
            }
            if now % 100 == 0 {
                sent += self.traffic.0;
                heard += if self.works(now) { self.traffic.1 } else { 0 };
            }
            if now % 500 == 0 {
                self.pulse.count(at(now), heard, sent);
            }
            if self.dead_at.is_none() && self.pulse.is_dead(at(now)) {
                self.dead_at = Some(now);
                self.pulse.settle(at(now), false);
            }
        }
    }

    fn beats_in(&self, from: u64, until: u64) -> usize {
        self.sent.iter().filter(|sent| (from..until).contains(sent)).count()
    }
}

#[test]
fn a_quiet_link_has_one_in_25_seconds_and_one_with_traffic_each_second() {
    let mut quiet = Path::new(50);
    quiet.run(200_000);
    assert!((3..=5).contains(&quiet.beats_in(100_000, 200_000)), "{:?}", quiet.sent);
    assert_eq!(quiet.dead_at, None);
    let mut busy = Path::new(50);
    busy.traffic = (1000, 1000);
    busy.run(60_000);
    assert!(
        (45..=52).contains(&busy.beats_in(10_000, 60_000)),
        "{}",
        busy.beats_in(10_000, 60_000)
    );
    let quality = busy.pulse.quality();
    assert_eq!(quality.round_trip, Some(Duration::from_millis(50)));
    assert_eq!(quality.out.loss(), Some(0));
}

#[test]
fn a_path_that_dies_under_traffic_is_dead_within_three_seconds_at_any_phase() {
    for phase in (0..2000).step_by(70) {
        let mut path = Path::new(50);
        path.traffic = (1000, 1000);
        path.dies = 20_000 + phase;
        path.run(30_000);
        let took = path.dead_at.expect("it is noticed") - path.dies;
        assert!((1300..2800).contains(&took), "{took} ms, phase {phase}");
    }
}

#[test]
fn traffic_that_begins_on_a_dead_path_is_noticed_too() {
    let mut path = Path::new(50);
    path.traffic = (1000, 0);
    path.dies = 0;
    path.pulse.echo(at(0), 0, 0, Duration::ZERO);
    path.run(10_000);
    assert!(path.dead_at.is_some_and(|at| at < 3500), "{:?}", path.dead_at);
}

#[test]
fn one_that_carries_in_one_direction_only_what_nobody_answers_is_not_doubted_for_long() {
    let mut path = Path::new(50);
    path.traffic = (1000, 0);
    path.run(60_000);
    assert_eq!(path.dead_at, None);
    assert!(path.beats_in(10_000, 60_000) <= 180);
}

#[test]
fn a_quiet_path_that_dies_is_dead_after_its_next_heartbeat_and_found_again_when_it_returns() {
    let mut path = Path::new(50);
    path.dies = 30_000;
    path.returns = 90_000;
    path.run(96_000);
    assert!(
        path.dead_at.is_some_and(|at| at < 30_000 + 28_000),
        "{:?}",
        path.dead_at
    );
    assert!(path.pulse.echoed >= Some(at(90_000)));
}

#[test]
fn a_slow_path_is_not_taken_for_a_dead_one() {
    let mut path = Path::new(900);
    path.traffic = (1000, 1000);
    path.run(60_000);
    assert_eq!(path.dead_at, None);
}

#[test]
fn a_machine_that_moved_decides_within_a_second_and_keeps_what_still_answers() {
    for works in [true, false] {
        let mut path = Path::new(50);
        path.traffic = (1000, 1000);
        path.run(20_000);
        path.pulse.challenge(at(20_000));
        let (mut dead_at, mut echoes) = (None, Vec::new());
        for now in (20_000..23_000).step_by(10) {
            echoes.extend(path.pulse.beat(at(now)).map(|number| (now + 50, number)));
            while let Some(place) = echoes.iter().position(|(due, _)| works && *due <= now) {
                let (_, number) = echoes.remove(place);
                path.pulse.echo(at(now), number, number, Duration::from_millis(now));
            }
            if dead_at.is_none() && path.pulse.is_dead(at(now)) {
                dead_at = Some(now - 20_000);
            }
        }
        assert_eq!(dead_at.is_some(), !works);
        assert!(dead_at.is_none_or(|took| took < 1000), "{dead_at:?}");
    }
}

#[test]
fn a_path_that_dies_after_a_lost_heartbeat_is_noticed_by_the_next_ones() {
    let mut path = Path::new(50);
    path.run(20_000);
    let (mut lost, mut dead_at) = (None, None);
    for now in (20_000..60_000).step_by(10) {
        if path.pulse.beat(at(now)).is_some() {
            lost.get_or_insert(now);
        }
        if lost.is_some_and(|lost| now == lost + 100) {
            path.pulse.hear(at(now));
        }
        if dead_at.is_none() && path.pulse.is_dead(at(now)) {
            dead_at = Some(now);
            path.pulse.settle(at(now), false);
        }
        assert!(
            path.pulse.next() > at(now),
            "nothing is due at {now} that a look does not do"
        );
    }
    let next = lost.unwrap() + 25_500;
    assert!(dead_at.is_some_and(|at| at < next + 3000), "{lost:?} {dead_at:?}");
}

#[test]
fn one_that_is_heard_and_not_answered_is_looked_at_no_more_often_than_it_beats() {
    let mut path = Path::new(50);
    path.run(20_000);
    path.pulse.settle(at(20_000), false);
    for now in (20_000..120_000).step_by(10) {
        path.pulse.beat(at(now));
        if now % 5000 == 1000 {
            path.pulse.hear(at(now));
        }
        assert!(path.pulse.next() > at(now), "at {now}");
    }
}
