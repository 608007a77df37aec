//! What the world itself promises, and what a network keeps in quiet times.

use std::time::{Duration, Instant};

use wirelink::mesh::device::DeviceChange;
use wirelink::mesh::show::event::Event;

use crate::net::{Nic, Quality};
use crate::scenario::border::Border;
use crate::scenario::{Act, table};
use crate::stage::Stage;
use crate::star::{Star, star};
use crate::{invariants, play};

const MINUTE: Duration = Duration::from_secs(60);

/// Everything at once: a bad network, sleep, roaming, another address.
fn trace(seed: u64) -> String {
    let scenario = table::mesh_of_five();
    let mut stage = Stage::new(&scenario, seed);
    stage.world.begin_trace();
    stage.set_quality(Quality {
        jitter: Duration::from_millis(20),
        loss: 300,
        duplicates: 100,
        reordered: 100,
        ..Quality::ACCESS
    });
    let acts = [
        Act::StartAll,
        Act::Sleep("b", MINUTE),
        Act::Roam("b", 3),
        Act::Renumber("hub"),
        Act::Reboot("c"),
        Act::StopAll,
    ];
    for act in acts {
        stage.act(act);
        stage.run(2 * MINUTE);
    }
    stage.world.trace().to_owned()
}

#[test]
fn the_same_seed_gives_the_same_course_of_events_byte_for_byte() {
    let first = trace(1);
    assert!(first.lines().count() > 1000, "{} lines", first.lines().count());
    assert!(first == trace(1), "two runs differ");
    assert!(first != trace(2), "the seed has no effect");
}

#[test]
fn hours_pass_in_moments() {
    let began = Instant::now();
    let scenario = table::home_home();
    let mut stage = Stage::new(&scenario, 1);
    stage.act(Act::StartAll);
    stage.run(60 * MINUTE);
    assert!(began.elapsed() < MINUTE, "an hour took {:?}", began.elapsed());
}

/// Invariant 3: in a steady state nothing is written at all.
#[test]
fn a_steady_state_writes_nothing() {
    for scenario in [
        table::home_home(),
        table::same_lan(),
        table::two_hubs(),
        table::native_ipv6(),
    ] {
        let mut stage = Stage::new(&scenario, 1);
        stage.act(Act::StartAll);
        stage.run(MINUTE);
        play::arrive(&mut stage, MINUTE).unwrap();
        stage.run(5 * MINUTE);
        let written = |host: &crate::host::Host| (host.writes, host.saves);
        let before: Vec<_> = stage.world.hosts.iter().map(written).collect();
        stage.run(180 * MINUTE);
        let after: Vec<_> = stage.world.hosts.iter().map(written).collect();
        assert_eq!(before, after, "{}", scenario.name);
        play::arrive(&mut stage, Duration::ZERO).unwrap();
        invariants::check(&mut stage.world).unwrap();
    }
}

/// A lossy path is a path: links are not given up for single losses.
#[test]
fn links_survive_a_bad_network() {
    let scenario = table::home_home();
    let mut stage = Stage::new(&scenario, 1);
    stage.world.records = true;
    stage.act(Act::StartAll);
    stage.run(MINUTE);
    stage.set_quality(Quality {
        latency: Duration::from_millis(150),
        jitter: Duration::from_millis(100),
        loss: 200,
        duplicates: 500,
        reordered: 500,
        mtu: 1400,
    });
    stage.run(60 * MINUTE);
    let lost = |host: &crate::host::Host| {
        let events = host.events.iter();
        events
            .filter(|(_, event)| matches!(event, Event::LinkLost { .. }))
            .count()
    };
    assert_eq!(stage.world.hosts.iter().map(lost).sum::<usize>(), 0);
    stage.set_quality(Quality::ACCESS);
    play::arrive(&mut stage, MINUTE).unwrap();
    invariants::check(&mut stage.world).unwrap();
}

/// A path with a small MTU carries the tunnel, and so the facts, or nothing at all: there are no datagrams in between.
#[test]
fn facts_pass_wherever_a_minimal_tunnel_does() {
    let scenario = table::home_home();
    let mut stage = Stage::new(&scenario, 1);
    stage.set_quality(Quality {
        mtu: 1280 + 60 + 16,
        ..Quality::ACCESS
    });
    stage.act(Act::StartAll);
    play::arrive(&mut stage, MINUTE).unwrap();
}

#[test]
fn an_interface_that_goes_and_comes_back_is_noticed() {
    let scenario = table::home_public();
    let mut stage = Stage::new(&scenario, 1);
    stage.act(Act::StartAll);
    stage.run(MINUTE);
    let id = stage.id("a");
    let nics = stage.world.net.nics(id).to_vec();
    let down = nics.iter().cloned().map(|nic| Nic { up: false, ..nic }).collect();
    stage.world.plug(id, down);
    stage.run(5 * MINUTE);
    stage.world.plug(id, nics);
    play::arrive(&mut stage, MINUTE).unwrap();
    invariants::check(&mut stage.world).unwrap();
}

/// A second interface, with another address, at another site: the first one goes, and the leaf is reached by the second.
#[test]
fn a_host_with_two_interfaces_is_reached_by_the_one_that_is_left() {
    let scenario = table::leaf_roams();
    let mut stage = Stage::new(&scenario, 1);
    let id = stage.id("a");
    let cable = stage.world.net.nics(id).to_vec();
    stage.act(Act::Roam("a", 2));
    let radio = Nic {
        name: "wlan0".into(),
        ..stage.world.net.nics(id)[0].clone()
    };
    stage.world.plug(id, vec![cable[0].clone(), radio.clone()]);
    stage.act(Act::StartAll);
    play::arrive(&mut stage, MINUTE).unwrap();
    let unplugged = Nic {
        up: false,
        ..cable[0].clone()
    };
    stage.world.plug(id, vec![unplugged, radio]);
    play::arrive(&mut stage, 4 * MINUTE).unwrap();
    invariants::check(&mut stage.world).unwrap();
}

#[test]
fn a_resolver_that_fails_is_asked_again() {
    let scenario = table::hub_moves();
    let mut stage = Stage::new(&scenario, 1);
    stage.act(Act::StartAll);
    stage.run(MINUTE);
    let names = std::mem::take(&mut stage.world.net.names);
    stage.act(Act::Renumber("hub"));
    stage.world.net.names.clear();
    stage.run(10 * MINUTE);
    let names = names.into_keys().map(|name| (name, stage.address("hub"))).collect();
    stage.world.net.names = names;
    stage.run(5 * MINUTE);
    let [a, hub] = ["a", "hub"].map(|name| stage.id(name));
    let number = stage.world.ping(a, stage.world.hosts[hub].inner(false).unwrap());
    stage.run(Duration::from_secs(1));
    assert!(
        stage.world.echo(a, number).is_some(),
        "the hub is found where it is now"
    );
}

/// The world is wrong about something if it lets this pass.
#[test]
fn what_no_node_may_do_is_noticed() {
    let scenario = table::home_home();
    let mut stage = Stage::new(&scenario, 1);
    stage.act(Act::StartAll);
    stage.run(MINUTE);
    invariants::check(&mut stage.world).unwrap();
    let a = stage.id("a");
    let by_hand = stage.world.hosts[a].config.peers[0].key;
    stage.world.operate(a, &DeviceChange::RemovePeer { peer: by_hand });
    invariants::check(&mut stage.world).unwrap_err();
}

#[test]
fn a_star_of_leaves_links_itself() {
    let mut world = star(
        1,
        &Star {
            leaves: 12,
            hubs: 2,
            border: Border::HOME,
            quality: Quality::ACCESS,
            has_candidates: true,
        },
    );
    (0..world.hosts.len()).for_each(|id| world.start(id));
    world.run(MINUTE);
    for leaf in 2..world.hosts.len() {
        let device = world.hosts[leaf].tunnel.device();
        let sessions = device.peers.values().filter(|peer| peer.last_handshake.is_some());
        assert_eq!(sessions.count(), 13, "leaf {leaf}");
    }
    invariants::check(&mut world).unwrap();
}
