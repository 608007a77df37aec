//! Whether a path takes packets as long as WireGuard's interface lets them be.
//!
//! Beside a small heartbeat there is now and then one that fills a packet of the interface. Where it goes unanswered again and again
//! while the small ones are answered, something on the way drops what is long and does not say so (RFC 8899 calls that a black hole);
//! then a search by halves finds what passes. That is said, and changes nothing: the path carries all that is short, and which MTU an
//! interface has is the operator's business.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::heartbeat::SIZED;
use crate::mesh::believe::fact::wire::MAX_ACCEPTED;

/// How many of one size are unanswered before they are taken for dropped: one may be lost.
const TRIES: u32 = 3;
/// The smallest MTU that an interface with IPv6 can have (RFC 8200, 5).
const LEAST: u16 = 1280;
/// How exactly the size is found: WireGuard fills packets up to a multiple of it (WireGuard paper, 5.4.6).
const STEP: u16 = 16;
/// The headers of IPv6 and UDP inside the tunnel.
const HEADERS: u16 = 48;
/// How soon one follows the next while it is found out.
const AGAIN: Duration = Duration::from_millis(500);
/// How often a path is asked again that takes all.
const CHECK: Duration = Duration::from_secs(600);
/// How often one that does not.
const CHECK_NARROW: Duration = Duration::from_secs(60);

/// A path that drops long packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Narrow {
    /// The MTU of the interface, as far as it was asked for.
    pub mtu: u16,
    /// The longest packet that passes; `None` where not even the least does that IPv6 needs.
    pub passes: Option<u16>,
}

/// What is different about a path now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It drops long packets.
    Narrow(Narrow),
    /// It does not any more.
    Wide,
}

/// A heartbeat of a certain size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sized {
    /// Its number, among those with the bit [`SIZED`].
    pub number: u32,
    /// The bytes of its datagram.
    pub payload: u16,
}

/// What is found out of one path.
#[derive(Debug)]
pub(super) struct Fit {
    mtu: u16,
    endpoint: Option<SocketAddr>,
    stage: Stage,
    /// What was found last, also of the path before until this one is known.
    narrow: Option<Narrow>,
    number: u32,
    asked: Option<Asked>,
    /// How many of the present size were unanswered.
    tries: u32,
    not_before: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    number: u32,
    size: u16,
    at: Timestamp,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Whether the full size passes.
    Full,
    /// Which size does: the first does as far as is known, the second does not.
    Search(Option<u16>, u16),
    /// Whether the full size still does not, when all is known: what is said must not rest on a bad moment.
    Confirm(Option<u16>),
}

impl Fit {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            mtu: 0,
            endpoint: None,
            stage: Stage::Full,
            narrow: None,
            number: 0,
            asked: None,
            tries: 0,
            not_before: now,
        }
    }

    /// Takes in which path it is by now, and which MTU the interface has; another one begins anew.
    pub(super) fn follow(&mut self, now: Timestamp, mtu: Option<u16>, endpoint: Option<SocketAddr>) {
        let most = u16::try_from(MAX_ACCEPTED).unwrap_or(u16::MAX).saturating_add(HEADERS);
        let mtu = mtu.unwrap_or_default().min(most);
        if (self.mtu, self.endpoint) != (mtu, endpoint) {
            (self.mtu, self.endpoint) = (mtu, endpoint);
            (self.stage, self.asked, self.tries) = (Stage::Full, None, 0);
            self.not_before = now;
        }
    }

    /// Returns the one that goes beside a heartbeat now, if one does.
    pub(super) fn ask(&mut self, now: Timestamp) -> Option<Sized> {
        if self.mtu < LEAST || self.asked.is_some() || now < self.not_before {
            return None;
        }
        let size = self.size();
        self.number = self.number.wrapping_add(1);
        let number = self.number | SIZED;
        self.asked = Some(Asked { number, size, at: now });
        Some(Sized {
            number,
            payload: size - HEADERS,
        })
    }

    /// Returns whether the heartbeat with this number waits for its answer.
    pub(super) fn awaits(&self, number: u32) -> bool {
        self.asked.is_some_and(|asked| asked.number == number)
    }

    /// Takes in an answer; returns what is found with it.
    pub(super) fn answer(&mut self, now: Timestamp, number: u32) -> Option<Found> {
        let asked = self.asked.take_if(|asked| asked.number == number)?;
        match self.stage {
            Stage::Full | Stage::Confirm(_) => {
                self.rest(now, CHECK);
                self.narrow.take().map(|_| Found::Wide)
            }
            Stage::Search(_, fails) => self.search(now, Some(asked.size), fails),
        }
    }

    /// Decides about one that was not answered for so long: where no small one of the same time was answered either, it says nothing.
    pub(super) fn judge(&mut self, now: Timestamp, patience: Duration, echoed: Option<Timestamp>) -> Option<Found> {
        let asked = self.asked.take_if(|asked| now.since(asked.at) >= patience)?;
        self.not_before = now + AGAIN;
        if echoed.is_none_or(|at| at < asked.at) {
            return None;
        }
        self.tries += 1;
        match self.stage {
            Stage::Full if self.narrow.is_some_and(|narrow| narrow.mtu == self.mtu) => self.still(now),
            Stage::Full | Stage::Search(..) | Stage::Confirm(_) if self.tries < TRIES => None,
            Stage::Full => self.search(now, None, asked.size),
            Stage::Search(passes, _) => self.search(now, passes, asked.size),
            Stage::Confirm(passes) => self.tell(now, passes),
        }
    }

    /// Returns whether an answer, or the next question, is awaited.
    pub(super) fn is_busy(&self) -> bool {
        let is_other = self.mtu >= LEAST && self.narrow.is_some_and(|narrow| narrow.mtu != self.mtu);
        self.asked.is_some() || self.tries > 0 || is_other || !matches!(self.stage, Stage::Full)
    }

    /// Returns when something is to be done without a heartbeat coming by.
    pub(super) fn next(&self, patience: Duration) -> Option<Timestamp> {
        let judged = self.asked.map(|asked| asked.at + patience);
        judged.or(self.is_busy().then_some(self.not_before))
    }

    pub(super) fn narrow(&self) -> Option<Narrow> {
        self.narrow
    }

    fn size(&self) -> u16 {
        match self.stage {
            Stage::Full | Stage::Confirm(_) => self.mtu,
            Stage::Search(None, _) => LEAST,
            Stage::Search(Some(passes), fails) => passes + (fails - passes) / 2 / STEP * STEP,
        }
    }

    /// Goes on with the search, or ends it.
    fn search(&mut self, now: Timestamp, passes: Option<u16>, fails: u16) -> Option<Found> {
        let is_known = fails <= LEAST || passes.is_some_and(|passes| fails - passes < 2 * STEP);
        let stage = if is_known {
            Stage::Confirm(passes)
        } else {
            Stage::Search(passes, fails)
        };
        (self.stage, self.tries, self.not_before) = (stage, 0, now);
        None
    }

    fn tell(&mut self, now: Timestamp, passes: Option<u16>) -> Option<Found> {
        let mtu = self.mtu;
        let narrow = Narrow { mtu, passes };
        self.rest(now, CHECK_NARROW);
        self.narrow.replace(narrow).is_none().then_some(Found::Narrow(narrow))
    }

    /// Ends a look at a path of which it is known that it drops long packets.
    fn still(&mut self, now: Timestamp) -> Option<Found> {
        self.rest(now, CHECK_NARROW);
        None
    }

    fn rest(&mut self, now: Timestamp, until: Duration) {
        (self.stage, self.tries, self.not_before) = (Stage::Full, 0, now + until);
    }
}

impl fmt::Display for Narrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.passes {
            Some(passes) => write!(
                f,
                "only packets of up to {passes} bytes pass: lower the MTU of the WireGuard interface from {} to {passes} here, \
                 or find out what drops longer ones on the way",
                self.mtu
            ),
            None => write!(
                f,
                "not even packets of {LEAST} bytes pass, which IPv6 needs: find out what drops them on the way"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(400);

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(milliseconds))
    }

    /// A path that takes so long packets, asked beside a heartbeat every 500 ms.
    struct Path {
        fit: Fit,
        now: u64,
        mtu: u16,
        takes: u16,
        carries_small: bool,
        asked: Vec<u16>,
        found: Vec<Found>,
    }

    impl Path {
        fn new(mtu: u16, takes: u16) -> Self {
            Self {
                fit: Fit::new(at(0)),
                now: 0,
                mtu,
                takes,
                carries_small: true,
                asked: Vec::new(),
                found: Vec::new(),
            }
        }

        fn run(&mut self, seconds: u64) {
            for _ in 0..seconds * 2 {
                self.now += 500;
                let now = at(self.now);
                let echoed = self.carries_small.then_some(now);
                self.fit.follow(now, Some(self.mtu), None);
                self.found.extend(self.fit.judge(now, PATIENCE, echoed));
                let Some(sized) = self.fit.ask(now) else { continue };
                let size = sized.payload + HEADERS;
                self.asked.push(size);
                if self.carries_small && size <= self.takes {
                    self.found.extend(self.fit.answer(at(self.now + 50), sized.number));
                }
            }
        }
    }

    #[test]
    fn a_path_that_takes_all_is_asked_seldom() {
        let mut path = Path::new(1420, 1420);
        path.run(3600);
        assert_eq!(path.asked, [1420; 6]);
        assert!(path.found.is_empty());
    }

    #[test]
    fn what_passes_is_found_within_a_bound_and_said_once() {
        for (mtu, takes) in [
            (1420, 1300),
            (1420, 1419),
            (1420, 1280),
            (1500, 1410),
            (9000, 1400),
            (1280, 0),
            (1420, 1000),
        ] {
            let mut path = Path::new(mtu, takes);
            path.run(60);
            let asked = path.asked.len();
            assert!(asked <= 3 + 3 * 8 + 3, "{asked} for {mtu}");
            let [Found::Narrow(narrow)] = path.found[..] else {
                panic!("{:?} for {mtu}, {takes}", path.found);
            };
            match narrow.passes {
                Some(passes) => assert!(passes <= takes && takes - passes < 2 * STEP, "{narrow:?}, {takes}"),
                None => assert!(takes < LEAST),
            }
            path.run(600);
            assert!(path.asked.len() <= asked + 10, "{:?}", path.asked);
            assert_eq!(path.found.len(), 1);
        }
    }

    #[test]
    fn it_is_said_when_all_pass_again_and_another_path_is_asked_at_once() {
        let mut path = Path::new(1420, 1300);
        path.run(60);
        path.takes = 1420;
        path.run(70);
        assert_eq!(path.found.last(), Some(&Found::Wide));
        assert_eq!(path.fit.narrow(), None);
        let before = path.asked.len();
        path.mtu = 1400;
        path.run(1);
        assert_eq!(path.asked[before..], [1400]);
    }

    #[test]
    fn a_path_that_carries_nothing_at_all_is_not_called_narrow() {
        let mut path = Path::new(1420, 1420);
        path.carries_small = false;
        path.run(60);
        assert!(path.found.is_empty());
        path.carries_small = true;
        path.run(2);
        assert!(path.found.is_empty() && !path.fit.is_busy());
    }

    #[test]
    fn an_unknown_mtu_is_asked_about_never() {
        let mut path = Path::new(0, 1420);
        path.run(60);
        assert!(path.asked.is_empty());
        (path.mtu, path.takes) = (1420, 1300);
        path.run(60);
        path.mtu = 0;
        path.run(1);
        assert!(path.fit.narrow().is_some());
        assert_eq!(path.fit.next(PATIENCE), None, "also after one that was known");
    }
}
