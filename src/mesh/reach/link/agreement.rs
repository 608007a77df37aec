//! What both sides of a link say of it: a prefix moves to the direct link when both are ready, and back as soon as one is not.
//!
//! WireGuard drops what comes from another peer than the one that its source address belongs to, so a move that only one side makes
//! loses what it sends.

use std::time::Duration;

use crate::mesh::base::time::Timestamp;

/// When a word is said again, after the first time: any may be lost, and each counts once.
const AGAIN: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];

/// How long after the last word has arrived both sides move. It is long enough for either to be done with what it does then, so that
/// both wait for the same moment.
pub const NOTICE: Duration = Duration::from_millis(30);

/// What a version counts: there are 16 months in all before it begins again, and half of them can be between a word and the next.
const UNIT: Duration = Duration::from_millis(10);

/// A word about a link: of several, the one with the latest version counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Later with each change, as RFC 1982 orders serial numbers; 0 where nothing has changed yet.
    pub version: u32,
    /// Whether the side that says so may send directly.
    pub ready: bool,
}

/// How both sides stand.
#[derive(Debug, Default)]
pub struct Agreement {
    own: Standing,
    peer: Option<Standing>,
    /// Since when this side is ready, and when it heard that the other one is.
    ready_at: Timestamp,
    heard_at: Timestamp,
    /// When traffic moves to the direct link, and whether it did.
    moves_at: Option<Timestamp>,
    moved: bool,
    /// Whether the peer counts from the beginning again: its next word counts, whatever its version.
    restarted: bool,
    /// When it is said the next time, and how often it was.
    say: Option<(Timestamp, usize)>,
}

impl Agreement {
    /// Takes in whether this side is ready; what is new is said at once.
    pub fn set(&mut self, now: Timestamp, ready: bool) {
        if self.own.ready != ready {
            // A link that was forgotten meanwhile must not count from the beginning.
            let by_time = (now.since_start().as_millis() / UNIT.as_millis()) as u32;
            let before = self.own.version;
            let version = if follows(by_time, before) {
                by_time
            } else {
                before.wrapping_add(1).max(1)
            };
            self.own = Standing { version, ready };
            self.ready_at = now;
            self.say = Some((now, 0));
            self.heed_withdrawal();
        }
    }

    /// Returns how this side stands.
    pub fn own(&self) -> Standing {
        self.own
    }

    /// Takes in what the peer says; returns whether that is news.
    pub fn hear(&mut self, now: Timestamp, standing: Standing) -> bool {
        let is_first = std::mem::take(&mut self.restarted);
        let is_newer = is_first || self.peer.is_none_or(|known| follows(standing.version, known.version));
        let was_ready = self.is_peer_ready();
        if is_newer {
            self.peer = Some(standing);
        }
        if !was_ready {
            self.heard_at = now;
        }
        self.heed_withdrawal();
        was_ready != self.is_peer_ready()
    }

    /// Moves on; a word takes so long to the other side. What was said last counts: whoever said it waits until it has arrived, and
    /// both then wait as long.
    pub fn settle(&mut self, now: Timestamp, one_way: Duration) {
        if self.own.ready && self.is_peer_ready() {
            let arrived = (self.ready_at + one_way).max(self.heard_at);
            let moves_at = *self.moves_at.get_or_insert(arrived + NOTICE);
            self.moved |= now >= moves_at;
        }
    }

    /// Returns when traffic moves, where that is still to come.
    pub fn moves_at(&self) -> Option<Timestamp> {
        self.moves_at.filter(|_| !self.moved)
    }

    /// Takes in that the peer may have been started anew. What it said last holds until it says something.
    pub fn restart(&mut self) {
        self.restarted = true;
    }

    /// Returns whether traffic may take the direct link.
    pub fn is_agreed(&self) -> bool {
        self.moved
    }

    /// Returns whether the peer says that traffic may not take the direct link.
    pub fn is_refused(&self) -> bool {
        self.peer.is_some_and(|peer| !peer.ready)
    }

    /// Returns what is to be said now.
    pub fn say(&mut self, now: Timestamp) -> Option<Standing> {
        let (_, times) = self.say.filter(|(at, _)| *at <= now)?;
        self.say = AGAIN.get(times).map(|after| (now + *after, times + 1));
        Some(self.own)
    }

    /// Returns when there is something to say.
    pub fn next(&self) -> Option<Timestamp> {
        self.say.map(|(at, _)| at)
    }

    /// Lets traffic go back as soon as one side is not ready.
    fn heed_withdrawal(&mut self) {
        if !self.own.ready || !self.is_peer_ready() {
            (self.moves_at, self.moved) = (None, false);
        }
    }

    fn is_peer_ready(&self) -> bool {
        self.peer.is_some_and(|peer| peer.ready)
    }
}

/// Returns whether a version is later than another one (RFC 1982, 3.2). All are later than none, which is 0.
const fn follows(version: u32, other: u32) -> bool {
    let ahead = version.wrapping_sub(other);
    version != 0 && (other == 0 || ahead != 0 && ahead < 1 << 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(milliseconds))
    }

    const fn standing(version: u32, ready: bool) -> Standing {
        Standing { version, ready }
    }

    #[test]
    fn both_must_be_ready_and_one_is_enough_to_withdraw() {
        let mut agreement = Agreement::default();
        let is_agreed = |agreement: &mut Agreement| {
            agreement.settle(at(500), Duration::ZERO);
            agreement.is_agreed()
        };
        agreement.set(at(0), true);
        assert!(!is_agreed(&mut agreement));
        assert!(agreement.hear(at(0), standing(5, true)));
        assert!(is_agreed(&mut agreement));
        assert!(agreement.hear(at(0), standing(6, false)));
        assert!(!agreement.is_agreed(), "at once");
        assert!(!agreement.hear(at(0), standing(5, true)), "it was overtaken");
        assert!(!is_agreed(&mut agreement));
        agreement.restart();
        assert!(!is_agreed(&mut agreement));
        assert!(agreement.hear(at(0), standing(1, true)));
        assert!(is_agreed(&mut agreement));
        agreement.set(at(1), false);
        assert!(!agreement.is_agreed(), "at once");
    }

    #[test]
    fn words_count_in_their_order_however_long_a_machine_is_up() {
        const DAY: u64 = 24 * 3600 * 1000;
        for up in [0, 100 * DAY, 300 * DAY, 497 * DAY, 498 * DAY, 800 * DAY, 5000 * DAY] {
            for pause in [1, 50, 3_600_000, 20 * DAY, 400 * DAY] {
                let (mut own, mut peer) = (Agreement::default(), Agreement::default());
                peer.hear(at(up), own.own());
                let mut overtaken = None;
                for change in 1..40 {
                    let ready = change % 2 == 1;
                    own.set(at(up + change * pause), ready);
                    assert!(peer.hear(at(up), own.own()), "{up} {pause} {change}");
                    overtaken
                        .into_iter()
                        .for_each(|before| assert!(!peer.hear(at(up), before)));
                    assert_eq!(peer.is_refused(), !ready);
                    overtaken = Some(own.own());
                }
            }
        }
    }

    #[test]
    fn a_link_that_was_forgotten_counts_on_however_long_its_machine_is_up() {
        for up in [0, 24_000_000_000, 42_949_672_000, 42_949_672_900, 50_000_000_000] {
            let (mut before, mut after, mut peer) = <(Agreement, Agreement, Agreement)>::default();
            before.set(at(up), true);
            assert!(peer.hear(at(up), before.own()));
            assert!(!peer.hear(at(up), after.own()), "it has said nothing yet");
            after.set(at(up + 400), true);
            after.set(at(up + 500), false);
            assert!(peer.hear(at(up + 500), after.own()), "{up}");
        }
    }

    #[test]
    fn both_move_in_the_same_moment_whoever_is_ready_first() {
        const ONE_WAY: u64 = 25;
        for later in [0, 3, 24, 25, 26, 80, 900] {
            let mut sides = [Agreement::default(), Agreement::default()];
            let ready = [100, 100 + later];
            let mut moved = [None; 2];
            for now in 0..2000 {
                for (own, other) in [(0, 1), (1, 0)] {
                    if now == ready[own] {
                        sides[own].set(at(now), true);
                    }
                    if now == ready[other] + ONE_WAY {
                        sides[own].hear(at(now), standing(9, true));
                    }
                    sides[own].settle(at(now), Duration::from_millis(ONE_WAY));
                    if moved[own].is_none() && sides[own].is_agreed() {
                        moved[own] = Some(now);
                    }
                }
            }
            let expected = 100 + later + ONE_WAY + NOTICE.as_millis() as u64;
            assert_eq!(moved, [Some(expected); 2], "{later} ms later");
        }
    }

    #[test]
    fn what_is_new_is_said_three_times_and_what_is_newer_anew() {
        let mut agreement = Agreement::default();
        assert_eq!(agreement.say(at(0)), None);
        agreement.set(at(10), true);
        let mut said = Vec::new();
        while let Some(next) = agreement.next() {
            assert_eq!(agreement.say(next - Duration::from_millis(1)), None);
            said.push((next, agreement.say(next).unwrap()));
        }
        let ready = Standing {
            version: 1,
            ready: true,
        };
        assert_eq!(said, [(at(10), ready), (at(260), ready), (at(1260), ready)]);
        agreement.set(at(2000), true);
        assert_eq!(agreement.next(), None);
        agreement.set(at(2000), false);
        assert_eq!(
            agreement.say(at(2000)).map(|said| said.version),
            Some(200),
            "also where it was forgotten meanwhile"
        );
    }
}
