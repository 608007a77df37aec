//! What can be seen from outside of the way on which leaves reach each other: the devices with `wg`, the traffic with `ping`.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use crate::command::{self, Process};
use crate::lab::Lab;
use crate::scenario::course::Course;
use crate::scenario::{Name, Path, oracle};
use crate::show::{self, Peer};
use crate::traffic;

/// Requests a second of a [`Watch`].
const WATCHED: u64 = 5;

/// How long `ping` may take to begin, and to end.
const PING_WITHIN: Duration = Duration::from_secs(20);

/// How often the way is looked at; every look starts a handful of programs.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often it is looked at where nothing should happen.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// What time to live an echo leaves with.
const TIME_TO_LIVE: u8 = 64;

/// Two leaves, and the way on which they should reach each other.
pub(crate) type Way = (Name, Name, Path);

/// Returns the ways that the oracle names.
pub(crate) fn ways(course: &Course<'_>) -> Vec<Way> {
    let pairs = course.scenario().pairs().into_iter();
    pairs
        .map(|(one, other)| (one, other, oracle::way(course, one, other)))
        .collect()
}

/// Returns the same way for all.
pub(crate) fn all_by(lab: &Lab, path: Path) -> Vec<Way> {
    let pairs = lab.scenario.pairs().into_iter();
    pairs.map(|(one, other)| (one, other, path)).collect()
}

/// How an arrival was seen.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// How long it took to make sure, which is no time of the daemon's.
    pub(crate) confirming: Duration,
}

/// Waits until the leaves reach each other in these ways, both in the tables and in the counters; or says what is the case instead.
pub(crate) fn arrive(lab: &Lab, wanted: &[Way], within: Duration) -> Result<Arrival, String> {
    let mut last = String::new();
    let arrived = command::until_every(LOOK_EVERY, within, || {
        let seen = Instant::now();
        let sure = expect_ways(lab, wanted).and_then(|()| traffic::expect(lab, wanted));
        sure.map_err(|why| last = why).ok().map(|()| Arrival {
            confirming: seen.elapsed(),
        })
    });
    arrived.ok_or(last)
}

/// Sees to it that they stay so, or says what came instead.
pub(crate) fn stay(lab: &Lab, wanted: &[Way], time: Duration) -> Result<(), String> {
    let changed = command::until_every(WATCH_EVERY, time, || expect_ways(lab, wanted).err());
    changed.map_or(Ok(()), Err)
}

pub(crate) fn both_ways(ways: &[Way]) -> impl Iterator<Item = Way> {
    ways.iter()
        .flat_map(|(one, other, path)| [(*one, *other, *path), (*other, *one, *path)])
}

/// Looks at the tables of the leaves, and at the hops of echoes.
fn expect_ways(lab: &Lab, wanted: &[Way]) -> Result<(), String> {
    both_ways(wanted).try_for_each(|way| {
        expect_table(lab, way)?;
        expect_hops(lab, way)
    })
}

fn expect_table(lab: &Lab, (from, to, path): Way) -> Result<(), String> {
    let peer = lab.peer(from, to);
    let owns = |prefix| peer.as_ref().is_some_and(|peer| peer.allowed_ips.contains(prefix));
    let own = lab.inner(to).own();
    let as_wanted = match path {
        Path::Direct => own.iter().all(owns) && peer.as_ref().is_some_and(has_session),
        Path::Hub => !own.iter().any(owns),
        Path::Nothing => true,
    };
    let why = || format!("wanted {path:?}, {from} has {to} as {peer:?}");
    as_wanted.then_some(()).ok_or_else(why)
}

fn expect_hops(lab: &Lab, (from, to, path): Way) -> Result<(), String> {
    let inner = lab.inner(to);
    let v6 = inner.v6.map(IpAddr::V6);
    [IpAddr::V4(inner.v4)].into_iter().chain(v6).try_for_each(|address| {
        let echo = lab.echo(from, address);
        let hops = echo.map(|echo| usize::from(TIME_TO_LIVE - echo.ttl));
        let as_wanted = match path {
            Path::Direct => hops == Some(0),
            Path::Hub => hops.is_some_and(|hops| (1..=lab.scenario.hubs.len()).contains(&hops)),
            Path::Nothing => hops.is_none(),
        };
        let why = || format!("{from} to {address}: wanted {path:?}, got {echo:?}");
        as_wanted.then_some(()).ok_or_else(why)
    })
}

/// Says whether a peer completed a handshake so lately that its session still counts.
fn has_session(peer: &Peer) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    now.as_secs().saturating_sub(peer.latest_handshake) < 180
}

/// Echo requests in the background, as long as it lives.
pub(crate) struct Watch {
    pub(crate) from: Name,
    pub(crate) to: Name,
    ping: Process,
}

impl Watch {
    pub(crate) fn start(lab: &Lab, from: Name, to: Name) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let line = format!("ping -n -i 0.2 -W 1 {}", lab.inner(to).v4);
        let mut ping = lab.spawn(from, &line, &format!("{from}-{to}-{number}.ping"));
        ping.catches(Signal::INT, PING_WITHIN);
        Self { from, to, ping }
    }

    /// Returns how long there was no answer, at most.
    pub(crate) fn end(mut self) -> Duration {
        self.ping.signal(Signal::INT);
        self.ping.ended(PING_WITHIN);
        let output = self.ping.output();
        let missed = show::longest_silence(&output).unwrap_or_else(|| panic!("no summary of ping: {output}"));
        Duration::from_millis(missed * 1000 / WATCHED)
    }
}
