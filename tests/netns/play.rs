//! Plays the script of a scenario with real daemons, and looks from outside whether it comes true: at the devices with
//! `wg`, at the traffic with `ping`.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::command::{self, Process};
use crate::lab::{self, HUB, Lab};
use crate::scenario::{Act, Path, Scenario};
use crate::show;

/// How long a daemon may take to take its changes off the device and end.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// How long the tunnel to the hub may take when nothing but WireGuard runs.
const TUNNEL_WITHIN: Duration = Duration::from_secs(20);

/// The echo requests that tell the way by the counters of the peers, and their size: above all that facts amount to.
const BURST: (u64, u64) = (20, 1200);

/// Requests a second of a [`Watch`].
const WATCHED: u64 = 5;

/// How often the way is looked at; every look starts a handful of programs.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long a leaf may not reach its hub, whatever happens between the leaves.
const HUB_SILENCE: Duration = Duration::from_secs(5);

/// Plays a scenario to its end.
pub(crate) fn play(scenario: &Scenario) {
    let mut lab = Lab::build(scenario);
    let [a, b] = lab.leaves();
    arrive(&lab, Path::Hub, TUNNEL_WITHIN).unwrap_or_else(|why| panic!("{}: before: {why}", scenario.name));
    let found = lab.names().into_iter().map(|name| (name, lab.found(name)));
    let found: Vec<_> = found.collect();
    let hub = [a, b].map(|leaf| Watch::start(&lab, leaf, HUB));

    for step in scenario.script {
        let between = Watch::start(&lab, a, b);
        let began = Instant::now();
        act(&mut lab, step.act);
        let took = arrive(&lab, step.then, step.within.saturating_sub(began.elapsed())).unwrap_or_else(|why| {
            let (name, within) = (scenario.name, step.within);
            panic!(
                "{name}: {:?} must lead to {:?} within {within:?}: {why}",
                step.act, step.then
            )
        });
        let (way, took) = (step.then, (began.elapsed() - took.confirming).as_secs_f32());
        let silence = between.end().as_secs_f32();
        println!(
            "{}: {:?}: {way:?} after {took:.1} s, longest silence {silence:.1} s",
            scenario.name, step.act
        );
        check(&mut lab, step.act != Act::Stop);
    }
    for (leaf, watch) in [a, b].into_iter().zip(hub) {
        let silence = watch.end();
        println!(
            "{}: longest silence of the hub towards {leaf} {:.1} s",
            scenario.name,
            silence.as_secs_f32()
        );
        assert!(silence <= HUB_SILENCE, "{leaf} did not reach the hub for {silence:?}");
    }
    for (name, before) in found {
        assert_eq!(lab.found(name), before, "{name}: as it was found");
    }
}

/// Does what a step says.
pub(crate) fn act(lab: &mut Lab, act: Act) {
    let [a, b] = lab.leaves();
    match act {
        Act::Start => lab.names().into_iter().for_each(|name| lab.start(name)),
        Act::Cut => lab.network.cut(a, b),
        Act::Heal => lab.network.heal(a, b),
        Act::Stop => stop(lab),
    }
}

/// Stops all daemons at once; each must end well.
fn stop(lab: &mut Lab) {
    for name in lab.names() {
        assert!(
            lab.daemon(name).catches(Signal::TERM, STOP_WITHIN),
            "{name}: wirelink does not run"
        );
        lab.daemon(name).signal(Signal::TERM);
    }
    for name in lab.names() {
        let status = lab.daemon(name).ended(STOP_WITHIN);
        assert_eq!(
            status.and_then(|status| status.code()),
            Some(0),
            "{name}: the end of wirelink"
        );
    }
}

/// Checks what must hold at any time.
pub(crate) fn check(lab: &mut Lab, running: bool) {
    for name in lab.names() {
        assert_eq!(lab.by_hand_changed(name), None);
        let log = lab.log(name);
        let bad = log
            .lines()
            .find(|line| line.contains("ERROR") || line.contains("panicked"));
        assert_eq!(bad, None, "{name}: in the log of wirelink");
        assert_eq!(lab.daemon(name).is_running(), running, "{name}: whether wirelink runs");
    }
}

/// How an arrival was seen.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// How long it took to make sure, which is no time of the daemon's.
    pub(crate) confirming: Duration,
}

/// Waits until the leaves reach each other in a way, both in the tables and in the counters; or says what is the case instead.
pub(crate) fn arrive(lab: &Lab, wanted: Path, within: Duration) -> Result<Arrival, String> {
    let mut last = String::new();
    let arrived = command::until_every(LOOK_EVERY, within, || {
        let seen = Instant::now();
        let [a, b] = lab.leaves();
        let both = expect_way(lab, a, b, wanted).and_then(|()| expect_way(lab, b, a, wanted));
        let sure = both
            .and_then(|()| expect_traffic(lab, a, b, wanted))
            .and_then(|()| expect_traffic(lab, b, a, wanted));
        sure.map_err(|why| last = why).ok().map(|()| Arrival {
            confirming: seen.elapsed(),
        })
    });
    arrived.ok_or(last)
}

/// Looks at the table of a leaf and at the hops of an echo.
fn expect_way(lab: &Lab, from: &str, to: &str, wanted: Path) -> Result<(), String> {
    let peer = lab.peer(from, to);
    let inner = lab.inner(to);
    let owns = |prefix| peer.as_ref().is_some_and(|peer| peer.allowed_ips.contains(prefix));
    let (session, ttl) = match wanted {
        Path::Direct => (peer.as_ref().is_some_and(lab::has_session), 64),
        Path::Hub => (true, 63),
    };
    let routed = inner
        .own()
        .iter()
        .all(|prefix| owns(prefix) == (wanted == Path::Direct));
    if !routed || !session {
        return Err(format!("{from} has {to} as {peer:?}"));
    }
    let v6 = inner.v6.map(IpAddr::V6);
    for address in [IpAddr::V4(inner.v4)].into_iter().chain(v6) {
        let echo = lab.echo(from, address);
        if echo.map(|echo| echo.ttl) != Some(ttl) {
            return Err(format!(
                "{from} to {address}: wanted a time to live of {ttl}, got {echo:?}"
            ));
        }
    }
    Ok(())
}

/// Sends a burst, and looks which peer's counters rise by it.
fn expect_traffic(lab: &Lab, from: &str, to: &str, wanted: Path) -> Result<(), String> {
    let (count, size) = BURST;
    let before = (volume(lab, from, to), volume(lab, from, HUB));
    let address = lab.inner(to).v4;
    lab.namespace(from)
        .attempt(&format!("ping -n -q -c {count} -i 0.05 -s {size} -W 1 {address}"))?;
    let direct = volume(lab, from, to).since(before.0);
    let hub = volume(lab, from, HUB).since(before.1);
    let (by, not_by) = match wanted {
        Path::Direct => (direct, hub),
        Path::Hub => (hub, direct),
    };
    let moved = by.sent.min(by.received) >= count * size && not_by.sent.max(not_by.received) < count * size / 2;
    moved.then_some(()).ok_or_else(|| {
        format!(
            "{from} to {to}: a burst of {} bytes moved {direct:?} directly, {hub:?} by the hub",
            count * size
        )
    })
}

/// The counters of a peer.
#[derive(Clone, Copy, Debug, Default)]
struct Volume {
    sent: u64,
    received: u64,
}

impl Volume {
    fn since(self, before: Self) -> Self {
        Self {
            sent: self.sent.saturating_sub(before.sent),
            received: self.received.saturating_sub(before.received),
        }
    }
}

fn volume(lab: &Lab, at: &str, of: &str) -> Volume {
    lab.peer(at, of).map_or_else(Volume::default, |peer| Volume {
        sent: peer.sent,
        received: peer.received,
    })
}

/// Echo requests in the background, as long as it lives.
struct Watch {
    ping: Process,
}

impl Watch {
    fn start(lab: &Lab, from: &str, to: &str) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let line = format!("ping -n -i 0.2 -W 1 {}", lab.inner(to).v4);
        let mut ping = lab.spawn(from, &line, &format!("{from}-{to}-{number}.ping"));
        ping.catches(Signal::INT, TUNNEL_WITHIN);
        Self { ping }
    }

    /// Returns how long there was no answer, at most.
    fn end(mut self) -> Duration {
        self.ping.signal(Signal::INT);
        self.ping.ended(STOP_WITHIN);
        let output = self.ping.output();
        let missed = show::longest_silence(&output).unwrap_or_else(|| panic!("no summary of ping: {output}"));
        Duration::from_millis(missed * 1000 / WATCHED)
    }
}
