//! A link to a peer that answers heartbeats, from moment to moment.

use super::*;

const BEATS: BootId = BootId::from_bytes([0, 0, 0, 0, 0, 0, 0x81, 0, 0x80, 0, 0, 0, 0, 0, 0, 7]);
/// How often it is looked at.
const LOOK: f64 = 0.05;

struct Path {
    link: Link,
    now: f64,
    seen: Contact,
    /// Whether its peer is of ours, and whether it says that it is ready.
    beats: bool,
    ready: bool,
    /// Whether packets pass that are long.
    wide: bool,
    echoes: Vec<u32>,
    /// How many heartbeats were sent, of whatever size.
    sent: usize,
}

impl Path {
    fn new() -> Self {
        Self {
            link: Link::new(at(0.0), None, false),
            now: 1.0,
            seen: Contact::default(),
            beats: true,
            ready: true,
            wide: true,
            echoes: Vec::new(),
            sent: 0,
        }
    }

    fn run(&mut self, seconds: f64) {
        let end = self.now + seconds;
        while self.now < end {
            self.now += LOOK;
            self.look();
        }
    }

    fn look(&mut self) {
        for number in std::mem::take(&mut self.echoes) {
            let beat = Heartbeat {
                number,
                version: 1,
                ready: self.ready,
                turns: false,
            };
            let (received, there) = (number, Duration::from_secs_f64(self.now));
            let (at_peer, seen) = (there, None);
            self.link.hear_echo(
                at(self.now),
                &Echo {
                    beat,
                    received,
                    at: at_peer,
                    seen,
                },
            );
        }
        let boot_id = if self.beats { BEATS } else { V1 };
        let mtu = Some(1420);
        self.seen = Contact {
            mtu,
            ..contact(Some(self.now), Some((boot_id, self.now)))
        };
        let step = self.link.advance(at(self.now), &self.seen, &[], &Reach::default());
        let sized = step.sized.map(|sized| sized.number);
        self.sent += step.beat.into_iter().chain(sized).count();
        self.echoes
            .extend(step.beat.into_iter().chain(sized.filter(|_| self.wide)));
    }

    /// Returns how long nothing is to be done.
    fn rests_for(&self) -> Duration {
        let next = self.link.next(at(self.now), &self.seen);
        next.map_or(Duration::MAX, |next| next.since(at(self.now)))
    }
}

#[test]
fn a_paused_link_is_not_asked_which_packets_it_takes_nor_hurried_for_it() {
    let mut path = Path::new();
    path.wide = false;
    path.run(3.0);
    assert!(path.link.is_up() && path.link.fit.as_ref().is_some_and(|fit| fit.is_busy()));
    path.link.pause(true);
    path.run(2.0);
    let before = path.sent;
    path.run(20.0);
    assert!(path.sent - before <= 25, "{} in 20 s", path.sent - before);
    assert!(path.rests_for() > Duration::from_millis(20));
    path.link.pause(false);
    path.run(60.0);
    assert!(path.link.narrow().is_some(), "it goes on with it afterwards");
}

#[test]
fn a_peer_that_understands_no_words_any_more_leaves_none_waiting() {
    let mut path = Path::new();
    path.ready = false;
    path.run(1.0);
    let has_word = |link: &Link| link.agreement.as_ref().and_then(|agreement| agreement.next()).is_some();
    while !has_word(&path.link) {
        path.run(LOOK);
    }
    path.beats = false;
    path.run(2.0);
    assert!(path.rests_for() > Duration::from_secs(1), "{:?}", path.rests_for());
}
