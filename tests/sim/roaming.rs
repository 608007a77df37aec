//! How soon traffic is back, and direct again, when machines go to other networks.

use std::net::SocketAddr;
use std::time::Duration;

use wirelink::mesh::reach::link::State;

use crate::draw::Draw;
use crate::host::HOPS;
use crate::net::Quality;
use crate::scenario::border::Border;
use crate::scenario::table::{self, at};
use crate::scenario::{Act, Scenario};
use crate::stage::Stage;

/// A quarter of a round trip of 50 ms: from a site to the middle.
const QUARTER: Quality = Quality {
    latency: Duration::from_micros(12_500),
    ..Quality::ACCESS
};
/// The time between two packets.
const EVERY: Duration = Duration::from_millis(20);
const SEEDS: u64 = 20;

/// Two leaves at home, and as many other homes to go to.
fn scenario() -> Scenario {
    let mut scenario = table::home_home();
    scenario.sites.extend([at(Border::HOME), at(Border::HOME)]);
    scenario
}

/// When traffic is back, and when it is direct; `None` where it never is.
type Times = (Option<Duration>, Option<Duration>);

/// Lets echoes go both ways all the time; returns after how long the first came back, and the first of those that all were direct.
fn roam(scenario: &Scenario, act: Act, seed: u64) -> Times {
    let mut stage = Stage::new(scenario, seed);
    if std::env::var_os("WIRELINK_TRACE").is_some() {
        stage.world.begin_trace();
    }
    stage.set_quality(QUARTER);
    stage.act(Act::StartAll);
    let later = Draw::new(seed).branch(9).next() % 30_000;
    let settled = Duration::from_secs(60) + Duration::from_millis(later);
    let mut numbers = Vec::new();
    run(&mut stage, settled, &mut numbers);
    stage.act(act);
    let moved = numbers.len();
    run(&mut stage, Duration::from_secs(40), &mut numbers);
    let hops = |number: &[(usize, u64); 2]| number.map(|(from, number)| stage.world.echo(from, number));
    let answers: Vec<_> = numbers[moved..].iter().map(hops).collect();
    let back = answers.iter().position(|both| both.iter().all(Option::is_some));
    let indirect = answers[..answers.len() - 10]
        .iter()
        .rposition(|both| *both != [Some(HOPS); 2]);
    if std::env::var_os("WIRELINK_TRACE").is_some() {
        println!("{}", stage.world.trace());
    }
    let after = |place: usize| EVERY * place as u32;
    let direct = indirect.map_or(0, |last| last + 1);
    (back.map(after), (direct < answers.len() - 20).then_some(after(direct)))
}

fn run(stage: &mut Stage<'_>, time: Duration, numbers: &mut Vec<[(usize, u64); 2]>) {
    let end = stage.world.now + time;
    let (a, b) = (stage.id("a"), stage.id("b"));
    let inner = |id: usize| stage.world.hosts[id].inner(false).expect("it has one");
    let (at_a, at_b) = (inner(a), inner(b));
    while stage.world.now < end {
        numbers.push([(a, stage.world.ping(a, at_b)), (b, stage.world.ping(b, at_a))]);
        stage.run(EVERY);
    }
}

/// All seeds, or the one that is asked for: `WIRELINK_SEED=5 cargo test --locked --test sim roaming -- --nocapture`.
fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("WIRELINK_SEED").ok();
    let asked = asked.map(|seed| seed.parse().expect("a number"));
    asked.map_or(0..SEEDS, |seed: u64| seed..seed + 1)
}

#[test]
fn traffic_is_back_within_two_seconds_and_direct_within_ten() {
    let scenario = scenario();
    for act in [Act::Roam("a", 2), Act::Roam("b", 3), Act::RoamBoth(("a", 2), ("b", 3))] {
        let times: Vec<_> = seeds().map(|seed| roam(&scenario, act, seed)).collect();
        println!("{act:?}: {times:?}");
        let worst =
            |pick: fn(&Times) -> Option<Duration>| times.iter().map(|times| pick(times).unwrap_or(Duration::MAX)).max();
        assert!(worst(|times| times.0) <= Some(Duration::from_secs(2)), "{act:?}");
        assert!(worst(|times| times.1) <= Some(Duration::from_secs(10)), "{act:?}");
    }
}

/// Returns where `b` sends what is for `a`, if both call their link up.
fn direct_endpoint(stage: &Stage<'_>) -> Option<SocketAddr> {
    let status = |of: &'static str, other: &'static str| {
        let key = stage.world.hosts[stage.id(other)].key;
        let node = stage.world.hosts[stage.id(of)].node.as_ref()?.ours()?;
        let peers = node.status(stage.world.now).peers.into_iter();
        peers
            .filter(|peer| peer.state == State::Up)
            .find(|peer| peer.peer.key == key)
    };
    status("a", "b").and(status("b", "a")?.endpoint)
}

/// Nothing is sent over the link, so its heartbeats are 25 s apart: the side that stays follows because the other one calls.
#[test]
fn quiet_link_follows_a_move_of_the_peer_at_once() {
    let scenario = scenario();
    let mut all: Vec<Duration> = seeds()
        .map(|seed| {
            let mut stage = Stage::new(&scenario, seed);
            if std::env::var_os("WIRELINK_TRACE").is_some() {
                stage.world.begin_trace();
            }
            stage.set_quality(QUARTER);
            stage.act(Act::StartAll);
            stage.run(Duration::from_secs(90) + Duration::from_millis(1_700) * seed as u32);
            let before = direct_endpoint(&stage);
            assert!(before.is_some(), "seed {seed}");
            stage.act(Act::Roam("a", 2));
            let began = stage.world.now;
            while direct_endpoint(&stage).is_none_or(|endpoint| Some(endpoint) == before) {
                assert!(stage.world.now.since(began) < Duration::from_secs(60), "seed {seed}");
                stage.run(EVERY);
            }
            if std::env::var_os("WIRELINK_TRACE").is_some() {
                println!("{}", stage.world.trace());
            }
            stage.world.now.since(began)
        })
        .collect();
    all.sort();
    println!("{all:?}");
    assert!(all.last() <= Some(&Duration::from_secs(3)), "{all:?}");
}
