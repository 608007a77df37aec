//! How soon two nodes link directly, from the moment in which both know of each other.

use std::time::Duration;

use wirelink::mesh::identity::PublicKey;
use wirelink::mesh::prefix::is_reserved;
use wirelink::mesh::time::Timestamp;

use crate::draw::Draw;
use crate::net::{HostId, Quality};
use crate::program::Program;
use crate::scenario::border::Border;
use crate::scenario::{Act, Scenario, table};
use crate::scenario::{Name, oracle};
use crate::stage::Stage;
use crate::world::World;
use crate::{invariants, play};

/// A quarter of a round trip of 50 ms: from a site to the middle.
const QUARTER: Quality = Quality {
    latency: Duration::from_micros(12_500),
    ..Quality::ACCESS
};
const STEP: Duration = Duration::from_millis(5);
const SEEDS: u64 = 100;

/// Returns how long the two leaves of a scenario take; `None` where it is more than a minute.
fn time_to_direct(scenario: &Scenario, seed: u64) -> Option<Duration> {
    let mut stage = Stage::new(scenario, seed);
    if std::env::var_os("WIRELINK_TRACE").is_some() {
        stage.world.begin_trace();
    }
    stage.set_quality(QUARTER);
    stage.act(Act::Start("hub"));
    stage.act(Act::Start("a"));
    let later = Draw::new(seed).branch(9).next() % 30_000;
    stage.run(Duration::from_secs(30) + Duration::from_millis(later));
    stage.act(Act::Start("b"));
    let (a, b) = (stage.id("a"), stage.id("b"));
    let both = |world: &World, holds: fn(&World, HostId, HostId) -> bool| holds(world, a, b) && holds(world, b, a);
    let known = wait(&mut stage, |world| both(world, knows))?;
    let direct = wait(&mut stage, |world| both(world, sends_directly));
    if std::env::var_os("WIRELINK_TRACE").is_some() {
        println!("{}", stage.world.trace());
    }
    Some(direct?.since(known))
}

fn wait(stage: &mut Stage<'_>, holds: impl Fn(&World) -> bool) -> Option<Timestamp> {
    let until = stage.world.now + Duration::from_secs(60);
    while !holds(&stage.world) {
        if stage.world.now > until {
            return None;
        }
        stage.run(STEP);
    }
    Some(stage.world.now)
}

fn knows(world: &World, one: HostId, other: HostId) -> bool {
    world.hosts[one].tunnel.device().peers.contains_key(&key(world, other))
}

fn sends_directly(world: &World, one: HostId, other: HostId) -> bool {
    let peer = world.hosts[one].tunnel.device().peers.get(&key(world, other));
    peer.is_some_and(|peer| peer.allowed_ips.iter().any(|prefix| !is_reserved(prefix)))
}

fn key(world: &World, id: HostId) -> PublicKey {
    world.hosts[id].key
}

/// Returns the median and the 95th percentile of many runs.
fn measure(scenario: &Scenario) -> (Duration, Duration) {
    let never = Duration::from_secs(60);
    let mut times: Vec<Duration> = (0..SEEDS)
        .map(|seed| time_to_direct(scenario, seed).unwrap_or(never))
        .collect();
    times.sort();
    let at = |percent: usize| times[times.len() * percent / 100];
    println!(
        "{}: median {:?}, 95 % {:?}, worst {:?}",
        scenario.name,
        at(50),
        at(95),
        times[times.len() - 1]
    );
    (at(50), at(95))
}

#[test]
fn every_pair_that_can_be_direct_links_within_a_second() {
    let pairs = [
        table::all(),
        table::matrix_of_linux(),
        vec![table::carrier(), table::native_ipv6()],
    ]
    .concat();
    let scenarios = pairs.into_iter().filter(is_possible);
    let scenarios: Vec<Scenario> = scenarios.collect();
    assert!(scenarios.len() > 12, "most of them");
    let slow: Vec<String> = scenarios
        .into_iter()
        .filter_map(|scenario| {
            let (median, most) = measure(&scenario);
            let is_slow = median > Duration::from_millis(400) || most > Duration::from_secs(1);
            is_slow.then_some(format!("{}: {median:?}, {most:?}", scenario.name))
        })
        .collect();
    assert!(slow.is_empty(), "{slow:#?}");
}

fn is_possible(scenario: &Scenario) -> bool {
    let stage = Stage::new(scenario, 1);
    oracle::can_be_direct(&stage.course, "a", "b")
}

/// The fallback: one candidate for each handshake slot.
#[test]
fn without_raw_sockets_on_one_side_or_both_it_takes_longer_and_says_why() {
    let scenario = table::home_home();
    for without in [["a", "b"].as_slice(), &["a"], &["b"]] {
        let mut stage = Stage::new(&scenario, 1);
        for name in without {
            let id = stage.id(name);
            stage.world.hosts[id].config.probes = false;
        }
        stage.act(Act::Start("hub"));
        stage.act(Act::Start("a"));
        stage.run(Duration::from_secs(10));
        stage.act(Act::Start("b"));
        stage.run(Duration::from_millis(300));
        let why = |name: Name| {
            let node = stage.world.hosts[stage.id(name)].node.as_ref().and_then(Program::ours);
            let status = node.map(|node| node.status(stage.world.now).to_string());
            status.unwrap_or_default()
        };
        for name in ["a", "b"] {
            let reason = if without.contains(&name) {
                "CAP_NET_RAW is missing"
            } else {
                "announces no probes"
            };
            assert!(why(name).contains(reason), "{name} of {without:?}: {}", why(name));
        }
        play::arrive(&mut stage, Duration::from_secs(30)).unwrap_or_else(|why| panic!("{without:?}: {why}"));
        invariants::check(&mut stage.world).unwrap();
    }
}

/// Neither of two symmetric NATs shows a port at which the other side could be met; two hubs tell that they are symmetric.
#[test]
fn a_pair_that_cannot_work_says_why_and_is_left_alone() {
    let mut scenario = table::two_hubs();
    scenario
        .sites
        .iter_mut()
        .for_each(|site| (site.border, site.ipv6) = (Border::SYMMETRIC, None));
    let mut stage = Stage::new(&scenario, 1);
    stage.act(Act::StartAll);
    stage.run(Duration::from_secs(600));
    let (a, b) = (stage.id("a"), stage.id("b"));
    let status = |id: HostId| {
        let node = stage.world.hosts[id].node.as_ref().and_then(Program::ours);
        node.map(|node| node.status(stage.world.now).to_string())
            .unwrap_or_default()
    };
    for id in [a, b] {
        assert!(status(id).contains("neither side can be met"), "{}", status(id));
    }
    let before = stage.world.hosts[a].wire_sent.packets;
    stage.run(Duration::from_secs(600));
    let sent = stage.world.hosts[a].wire_sent.packets - before;
    assert!(sent < 600, "{sent} packets in ten minutes");
    invariants::check(&mut stage.world).unwrap();
}
