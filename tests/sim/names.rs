//! A hub with a name gets another address: how soon its leaves are there, whatever runs on it.

use std::time::Duration;

use wirelink::mesh::device::DeviceState;

use crate::invariants;
use crate::play;
use crate::scenario::{Act, Hub, Program, Scenario, table};
use crate::stage::Stage;

/// What runs on the hub.
#[derive(Clone, Copy, Debug)]
enum Runs {
    Ours,
    V1,
    Nothing,
}

const TICK: Duration = Duration::from_millis(100);
/// What is promised, for the resolver's 30 ms as it is here.
const WITHIN: Duration = Duration::from_secs(30);

fn scenario(runs: Runs) -> Scenario {
    let moves = table::hub_moves();
    let program = match runs {
        Runs::Ours | Runs::Nothing => Program::Ours,
        Runs::V1 => Program::V1,
    };
    let hub = Hub {
        program,
        ..moves.hubs[0].clone()
    };
    Scenario {
        hubs: vec![hub],
        ..moves
    }
}

/// Starts all, and lets pass what makes each run another one.
fn started(scenario: &Scenario, runs: Runs, seed: u64) -> Stage<'_> {
    let mut stage = Stage::new(scenario, seed);
    stage.run(Duration::from_secs(5));
    match runs {
        Runs::Ours | Runs::V1 => stage.act(Act::StartAll),
        Runs::Nothing => ["a", "b"].into_iter().for_each(|leaf| stage.act(Act::Start(leaf))),
    }
    stage.run(Duration::from_secs(300) + Duration::from_millis(731) * seed as u32);
    stage
}

/// Returns where a leaf sends what is for the hub.
fn sent_to(stage: &Stage<'_>, leaf: &'static str) -> Option<std::net::IpAddr> {
    let device: &DeviceState = stage.world.hosts[stage.id(leaf)].tunnel.device();
    let hub = &stage.world.hosts[stage.id("hub")].key;
    device.peers[hub].endpoint.map(|endpoint| endpoint.ip())
}

/// Waits until all leaves send to where the hub is now; returns how long it took.
fn follow(stage: &mut Stage<'_>) -> Duration {
    let (began, now_at) = (stage.world.now, stage.address("hub")[0]);
    while ["a", "b"].iter().any(|leaf| sent_to(stage, leaf) != Some(now_at)) {
        assert!(stage.world.now.since(began) < 4 * WITHIN, "nobody follows the hub");
        stage.run(TICK);
    }
    stage.world.now.since(began)
}

fn reaches_hub(stage: &mut Stage<'_>, leaf: &'static str) -> bool {
    let [leaf, hub] = [leaf, "hub"].map(|name| stage.id(name));
    let number = stage.world.ping(leaf, stage.world.hosts[hub].inner(false).unwrap());
    stage.run(Duration::from_secs(1));
    stage.world.echo(leaf, number).is_some()
}

/// Plays it with many seeds; returns the longest time.
fn longest(runs: Runs) -> Duration {
    let scenario = scenario(runs);
    let mut all: Vec<Duration> = (0..40)
        .map(|seed| {
            let mut stage = started(&scenario, runs, seed);
            stage.act(Act::Renumber("hub"));
            let took = follow(&mut stage);
            assert!(
                reaches_hub(&mut stage, "a") && reaches_hub(&mut stage, "b"),
                "{runs:?} {seed}"
            );
            if !matches!(runs, Runs::V1) {
                invariants::check(&mut stage.world).unwrap();
            }
            took
        })
        .collect();
    all.sort();
    println!(
        "{runs:?}: median {:?}, longest {:?}",
        all[all.len() / 2],
        all[all.len() - 1]
    );
    all[all.len() - 1]
}

#[test]
fn a_hub_of_ours_is_followed_within_30_seconds() {
    assert!(longest(Runs::Ours) < WITHIN);
}

#[test]
fn so_is_a_v1_hub() {
    assert!(longest(Runs::V1) < WITHIN);
}

#[test]
fn so_is_one_without_any_wirelink() {
    assert!(longest(Runs::Nothing) < WITHIN);
}

#[test]
fn a_name_is_asked_for_once_a_minute_and_hardly_when_all_is_well() {
    let scenario = scenario(Runs::Ours);
    let mut stage = started(&scenario, Runs::Ours, 1);
    stage.world.begin_trace();
    let asked = |stage: &Stage<'_>| stage.world.trace().matches(" is [").count();
    stage.run(Duration::from_secs(3 * 3600));
    let in_peace = asked(&stage);
    assert!((4..=6).contains(&in_peace), "two leaves in three hours: {in_peace}");
    stage.act(Act::Isolate("hub"));
    stage.run(Duration::from_secs(600));
    let in_need = asked(&stage) - in_peace;
    assert!((16..=22).contains(&in_need), "two leaves in ten minutes: {in_need}");
}

#[test]
fn of_several_addresses_those_are_left_that_are_dead() {
    let scenario = scenario(Runs::Ours);
    let mut stage = started(&scenario, Runs::Ours, 1);
    stage.act(Act::Renumber("hub"));
    let dead = ["192.0.2.66", "192.0.2.67"].map(|address| address.parse().unwrap());
    for addresses in stage.world.net.names.values_mut() {
        addresses.splice(0..0, dead);
    }
    let took = follow(&mut stage);
    assert!(took < WITHIN, "{took:?}");
    stage.run(Duration::from_secs(60));
    assert_eq!(
        sent_to(&stage, "a"),
        Some(stage.address("hub")[0]),
        "and it stays there"
    );
    assert!(reaches_hub(&mut stage, "a"));
    invariants::check(&mut stage.world).unwrap();
}

/// A hub that only lost its wirelink is not sent anywhere else: WireGuard answers.
#[test]
fn a_name_that_leads_elsewhere_is_not_followed_while_the_hub_answers() {
    for runs in [Runs::Ours, Runs::Nothing] {
        let scenario = scenario(runs);
        let mut stage = started(&scenario, runs, 1);
        for addresses in stage.world.net.names.values_mut() {
            *addresses = vec!["192.0.2.66".parse().unwrap()];
        }
        if matches!(runs, Runs::Ours) {
            stage.act(Act::Stop("hub"));
        }
        let before = stage.address("hub")[0];
        for _ in 0..600 {
            stage.run(Duration::from_secs(1));
            assert_eq!(sent_to(&stage, "a"), Some(before));
        }
    }
}

/// What a leaf behind a NAT that lets nobody in has of a hub that is cut off for a while: it ends where the hub is.
#[test]
fn a_hub_that_comes_back_is_where_it_was() {
    let scenario = scenario(Runs::Ours);
    for away in [20, 60, 400] {
        let mut stage = started(&scenario, Runs::Ours, 1);
        stage.act(Act::Isolate("hub"));
        stage.run(Duration::from_secs(away));
        stage.act(Act::Rejoin("hub"));
        play::arrive(&mut stage, Duration::from_secs(60)).unwrap();
        // The leaves may be direct all the time: then the next keepalive brings the hub back.
        let reached = (0..30).any(|_| reaches_hub(&mut stage, "a"));
        assert!(reached, "after {away} s");
        invariants::check(&mut stage.world).unwrap();
    }
}

/// Takes the resolver away from some leaves, or gives all of them one.
fn resolve_all_but(stage: &mut Stage<'_>, leaves: &[&'static str]) {
    let without = leaves.iter().map(|leaf| stage.id(leaf)).collect();
    stage.world.net.without_resolver = without;
}

#[test]
fn hub_is_followed_soon_after_resolver_is_back() {
    let scenario = scenario(Runs::Ours);
    for seed in 0..20 {
        let mut stage = started(&scenario, Runs::Ours, seed);
        stage.act(Act::Renumber("hub"));
        resolve_all_but(&mut stage, &["a", "b"]);
        stage.run(Duration::from_secs(30));
        resolve_all_but(&mut stage, &[]);
        let took = follow(&mut stage);
        assert!(took < Duration::from_secs(20), "seed {seed}: {took:?}");
    }
}

/// Its resolver is behind the tunnel, say: the direct peer knows the new address.
#[test]
fn leaf_without_resolver_follows_hub_by_its_peer() {
    for runs in [Runs::Ours, Runs::V1] {
        let scenario = scenario(runs);
        for seed in 0..10 {
            let mut stage = started(&scenario, runs, seed);
            resolve_all_but(&mut stage, &["b"]);
            stage.act(Act::Renumber("hub"));
            let took = follow(&mut stage);
            assert!(took < 2 * WITHIN, "{runs:?} seed {seed}: {took:?}");
            assert!(reaches_hub(&mut stage, "b"), "{runs:?} {seed}");
        }
    }
}

#[test]
fn stop_leaves_hub_where_its_session_is() {
    for (stops, leave) in [("a", false), ("b", true)] {
        let scenario = scenario(Runs::Ours);
        let mut stage = started(&scenario, Runs::Ours, 1);
        stage.act(Act::Renumber("hub"));
        follow(&mut stage);
        let now_at = Some(stage.address("hub")[0]);
        stage.run(Duration::from_secs(1));
        if leave {
            // A daemon that is killed leaves the device to the next one.
            let id = stage.id(stops);
            stage.world.kill(id);
            stage.run(Duration::from_secs(30));
            stage.act(Act::Start(stops));
            stage.run(Duration::from_secs(30));
        }
        stage.act(Act::Stop(stops));
        assert_eq!(sent_to(&stage, stops), now_at);
        assert!(reaches_hub(&mut stage, stops), "{stops}");
    }
}
