//! What a network knows after a power cut, and what a machine is left with after a crash.

use std::time::Duration;

use wirelink::mesh::reach::probe::Dropped;
use wirelink::mesh::reach::probe::window::Stale;
use wirelink::mesh::show::event::RejectReason;

use crate::draw::Draw;
use crate::net::HostId;
use crate::program::Program;
use crate::scenario::{Act, Name, Path, Scenario, oracle, table};
use crate::stage::Stage;
use crate::{invariants, play};

const MINUTE: Duration = Duration::from_secs(60);
/// How long a direct link that there was before a power cut may take after it.
const WITHIN: Duration = Duration::from_secs(10);

/// Pairs that the oracle has direct.
fn direct_pairs(stage: &Stage<'_>) -> Vec<(Name, Name)> {
    let pairs = stage.course.scenario().pairs().into_iter();
    let is_direct = |(one, other): &(Name, Name)| oracle::way(&stage.course, one, other) == Path::Direct;
    pairs.filter(is_direct).collect()
}

/// Says whether a leaf sends to another one directly.
fn sends_directly(stage: &Stage<'_>, from: Name, to: Name) -> bool {
    let target = &stage.world.hosts[stage.id(to)];
    let device = stage.world.hosts[stage.id(from)].tunnel.device();
    let peer = device.peers.get(&target.key);
    let own = target.config.inner.iter().map(|net| ipnet::IpNet::from(net.addr()));
    peer.is_some_and(|peer| own.clone().all(|own| peer.allowed_ips.contains(&own)))
}

/// Cuts the power everywhere, and lets the leaves start again at these times while the hubs stay away; returns how long it took
/// after the last one until every pair that was direct is so again.
///
/// # Panics
/// Where that is more than `limit`.
fn power_cut(scenario: &Scenario, seed: u64, apart: Duration, limit: Duration) -> Duration {
    let mut stage = Stage::new(scenario, seed);
    stage.act(Act::StartAll);
    play::arrive(&mut stage, MINUTE).unwrap();
    stage.run(4 * MINUTE);
    let pairs = direct_pairs(&stage);
    assert!(!pairs.is_empty(), "{}: nobody is direct", scenario.name);
    let leaves: Vec<Name> = scenario.leaves.iter().map(|leaf| leaf.name).collect();
    for (name, id) in stage.hosts() {
        stage.world.reboot(id);
        if !leaves.contains(&name) {
            stage.world.net.isolate(id, true);
        }
    }
    for (number, leaf) in leaves.iter().enumerate() {
        if number > 0 {
            stage.run(apart);
        }
        stage.world.start(stage.id(leaf));
    }
    let began = stage.world.now;
    let is_done = |stage: &Stage<'_>| {
        let both = |(one, other): &(Name, Name)| sends_directly(stage, one, other) && sends_directly(stage, other, one);
        pairs.iter().all(both)
    };
    while !is_done(&stage) {
        let took = stage.world.now.since(began);
        assert!(took < limit, "{} with seed {seed}: not within {took:?}", scenario.name);
        stage.run(Duration::from_millis(100));
    }
    let took = stage.world.now.since(began);
    for (one, other) in &pairs {
        let (from, to) = (stage.id(one), stage.id(other));
        let number = stage.world.ping(from, stage.world.hosts[to].inner(false).unwrap());
        stage.run(Duration::from_secs(1));
        assert_eq!(
            stage.world.echo(from, number),
            Some(crate::host::HOPS),
            "{one} to {other}"
        );
    }
    invariants::check(&mut stage.world).unwrap();
    took
}

/// With starts 200 ms apart, as much as one side waits for the other, first initiations cross.
#[test]
fn after_a_power_cut_every_direct_link_is_back_in_ten_seconds_while_the_hub_is_away() {
    let scenarios = [
        table::public_public(),
        table::home_home(),
        table::home_public(),
        table::same_lan(),
        table::native_ipv6(),
        table::two_hubs(),
        table::carrier(),
        table::mesh_of_five(),
    ];
    for scenario in scenarios {
        for seed in 1..6 {
            for apart in [0, 200, 3000] {
                power_cut(&scenario, seed, Duration::from_millis(apart), WITHIN);
            }
        }
    }
}

/// Where the first initiations of both sides cross, as they do in a few starts of a hundred, WireGuard sends others only 5 s later.
#[test]
fn initiations_that_cross_are_followed_by_others_at_once() {
    let scenario = table::mesh_of_five();
    for seed in 0..100 {
        power_cut(
            &scenario,
            seed,
            Duration::from_millis(seed * 37 % 1000),
            Duration::from_secs(3),
        );
    }
}

/// The device as it would be shown, without what WireGuard found out by itself.
fn shown(stage: &Stage<'_>, id: HostId) -> Vec<String> {
    let peers = stage.world.hosts[id].tunnel.device().peers.iter();
    let line = |(key, peer): (
        &wirelink::mesh::base::identity::PublicKey,
        &wirelink::mesh::device::PeerState,
    )| { format!("{key} {:?} {:?}", peer.allowed_ips, peer.keepalive) };
    peers.map(line).collect()
}

/// Killed again and again, at any moment: a stop after the last start leaves nothing.
#[test]
fn however_often_a_node_is_killed_the_last_stop_leaves_the_device_as_it_was() {
    for seed in 0..20 {
        let scenario = table::mesh_of_five();
        let mut stage = Stage::new(&scenario, seed);
        let before: Vec<_> = stage
            .hosts()
            .into_iter()
            .map(|(_, id)| (id, shown(&stage, id)))
            .collect();
        let mut draw = Draw::new(seed).branch(9);
        stage.act(Act::StartAll);
        for _ in 0..15 {
            stage.run(Duration::from_millis(draw.below(8000)));
            let (_, id) = stage.hosts()[draw.index(before.len())];
            stage.world.kill(id);
            stage.run(Duration::from_millis(draw.below(3000)));
            stage.world.start(id);
        }
        stage.act(Act::StopAll);
        invariants::check(&mut stage.world).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        for (id, before) in before {
            assert_eq!(shown(&stage, id), before, "seed {seed}");
        }
    }
}

/// Peers take probes of an earlier run for replayed ones.
#[test]
fn a_clock_that_was_set_back_keeps_nobody_from_being_found() {
    for (seed, is_off) in [(1, false), (2, true), (3, false), (4, true)] {
        let scenario = table::home_home();
        let mut stage = Stage::new(&scenario, seed);
        stage.act(Act::StartAll);
        play::arrive(&mut stage, MINUTE).unwrap();
        let [a, b] = ["a", "b"].map(|name| stage.id(name));
        stage.world.stop(a);
        if is_off {
            stage.world.reboot(a);
        }
        // More than once: the second time it still shows less than it did in the beginning.
        for _ in 0..2 {
            stage.world.hosts[a].set_back += 3_600_000;
            stage.run(MINUTE);
            stage.world.start(a);
            play::arrive(&mut stage, WITHIN).unwrap_or_else(|why| panic!("{seed}: {why}"));
            stage.world.kill(a);
        }
        let node = stage.world.hosts[b].node.as_ref().and_then(Program::ours).unwrap();
        let rejections = node.status(stage.world.now).rejections;
        let old = RejectReason::Probe(Dropped::Stale(Stale::Epoch));
        assert!(
            !rejections.iter().any(|(_, reason, _)| *reason == old),
            "{rejections:?}"
        );
    }
}
