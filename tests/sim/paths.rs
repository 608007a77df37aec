//! The path of a link that works: a better one that appears, and one that takes no long packets.

use std::net::SocketAddr;
use std::time::Duration;

use wirelink::mesh::base::prefix::is_reserved;
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::device::DeviceChange;
use wirelink::mesh::reach::link::fit::Narrow;
use wirelink::mesh::show::event::Event;

use crate::invariants;
use crate::net::{HostId, Nic, Quality};
use crate::scenario::border::Border;
use crate::scenario::table::{self, at};
use crate::scenario::{Act, Scenario, Site};
use crate::stage::Stage;
use crate::wireguard::message::TUNNEL_MTU;

const SEEDS: u64 = 20;
const MINUTE: Duration = Duration::from_secs(60);
/// Behind a home router, with IPv6 that lets nobody in.
fn dual_stack() -> Site {
    Site {
        ipv6: Some(Border::GUARDED),
        ..at(Border::HOME)
    }
}

/// Returns where a leaf reaches the other one, and whether it sends there directly.
fn reached(stage: &Stage<'_>, from: HostId, to: HostId) -> (Option<SocketAddr>, bool) {
    let key = stage.world.hosts[to].key;
    let peer = stage.world.hosts[from].tunnel.device().peers.get(&key);
    let sends = |peer: &wirelink::mesh::device::PeerState| peer.allowed_ips.iter().any(|prefix| !is_reserved(prefix));
    peer.map_or((None, false), |peer| (peer.endpoint, sends(peer)))
}

/// Plays two leaves that are direct until then; returns the stage.
fn direct(scenario: &Scenario, seed: u64) -> Stage<'_> {
    let mut stage = Stage::new(scenario, seed);
    if std::env::var_os("WIRELINK_TRACE").is_some() {
        stage.world.begin_trace();
    }
    stage.world.records = true;
    stage.act(Act::StartAll);
    stage.run(MINUTE);
    stage
}

/// Gives a leaf one more interface.
fn plug_in(stage: &mut Stage<'_>, leaf: HostId, nic: Nic) {
    let mut nics = stage.world.net.nics(leaf).to_vec();
    nics.push(nic);
    stage.world.plug(leaf, nics);
}

/// Returns when a leaf was told where another one is.
fn turns(stage: &Stage<'_>, leaf: HostId) -> Vec<Timestamp> {
    let changes = stage.world.hosts[leaf].changes.iter();
    let is_turn = |change: &DeviceChange| matches!(change, DeviceChange::SetEndpoint { .. });
    changes
        .filter(|(_, change)| is_turn(change))
        .map(|(at, _)| *at)
        .collect()
}

/// How long after the first turn the last one may come.
const TURN_FOR: Duration = Duration::from_millis(1100);

/// Lets something appear; both must soon send by it, turned there once by one of the two, and never stop to be direct.
fn expect_better(
    scenario: &Scenario,
    seed: u64,
    appear: &dyn Fn(&mut Stage<'_>),
    is_better: &dyn Fn(SocketAddr) -> bool,
) {
    let mut stage = direct(scenario, seed);
    let (a, b) = (stage.id("a"), stage.id("b"));
    let began = stage.world.now;
    for (from, to) in [(a, b), (b, a)] {
        let (endpoint, is_direct) = reached(&stage, from, to);
        assert!(
            is_direct && !endpoint.is_some_and(is_better),
            "seed {seed}: {endpoint:?} at first"
        );
    }
    appear(&mut stage);
    stage.run(Duration::from_secs(10));
    let check = |stage: &Stage<'_>| {
        for (from, to) in [(a, b), (b, a)] {
            let (endpoint, is_direct) = reached(stage, from, to);
            assert!(
                is_direct && endpoint.is_some_and(is_better),
                "seed {seed}: {endpoint:?}, {is_direct}"
            );
        }
    };
    if std::env::var_os("WIRELINK_TRACE").is_some() {
        println!("{}", stage.world.trace());
    }
    check(&stage);
    stage.run(10 * MINUTE);
    check(&stage);
    let both = [a, b].map(|leaf| turns(&stage, leaf)).concat();
    let (first, last) = (both.iter().filter(|at| **at >= began).min(), both.iter().max());
    let took = first.zip(last).map(|(first, last)| last.since(*first));
    assert!(took <= Some(TURN_FOR), "seed {seed}: it turned for {took:?}");
    let fell = |leaf: HostId| {
        let events = stage.world.hosts[leaf].events.iter();
        events
            .filter(|(_, event)| matches!(event, Event::LinkSuspected { .. }))
            .count()
    };
    assert_eq!(fell(a) + fell(b), 0, "seed {seed}: the link was up all the time");
    invariants::check(&mut stage.world).unwrap();
}

#[test]
fn a_lan_that_two_come_to_share_takes_their_link_over_once() {
    let mut scenario = table::home_home();
    scenario.sites.push(at(Border::HOME));
    let nic = |stage: &Stage<'_>, host: u8| Nic {
        name: "eth1".into(),
        site: stage.site_at(2),
        addresses: vec![format!("192.168.77.{host}/24").parse().unwrap()],
        up: true,
    };
    for seed in 0..SEEDS {
        let appear = |stage: &mut Stage<'_>| {
            for (name, host) in [("a", 2), ("b", 3)] {
                let (leaf, nic) = (stage.id(name), nic(stage, host));
                plug_in(stage, leaf, nic);
            }
        };
        let is_lan = |endpoint: SocketAddr| endpoint.to_string().starts_with("192.168.77.");
        expect_better(&scenario, seed, &appear, &is_lan);
    }
}

/// Two leaves at home that get IPv6 later, with so much delay on that way compared with the other.
fn with_ipv6_later(seed: u64, delay: Duration) -> (bool, bool) {
    let mut scenario = table::home_home();
    scenario.sites.extend([dual_stack(), dual_stack()]);
    let mut stage = direct(&scenario, seed);
    let slow = Quality {
        latency: Quality::ACCESS.latency + delay / 4,
        jitter: Duration::ZERO,
        ..Quality::ACCESS
    };
    let (a, b) = (stage.id("a"), stage.id("b"));
    for (leaf, site) in [(a, 2), (b, 3)] {
        let site_id = stage.site_at(site);
        stage.world.net.set_quality(site_id, slow);
        let nic = Nic {
            name: "eth1".into(),
            site: site_id,
            addresses: vec![format!("2001:db8:{}::{leaf}/64", 50 + site).parse().unwrap()],
            up: true,
        };
        plug_in(&mut stage, leaf, nic);
    }
    stage.run(5 * MINUTE);
    let uses = |from, to| reached(&stage, from, to).0.is_some_and(|endpoint| endpoint.is_ipv6());
    let uses = (uses(a, b), uses(b, a));
    invariants::check(&mut stage.world).unwrap();
    uses
}

#[test]
fn ipv6_that_appears_takes_a_link_over_unless_it_is_much_slower() {
    for seed in 0..SEEDS {
        assert_eq!(
            with_ipv6_later(seed, Duration::ZERO),
            (true, true),
            "seed {seed}: as fast"
        );
        let little = Duration::from_millis(6);
        assert_eq!(
            with_ipv6_later(seed, little),
            (true, true),
            "seed {seed}: slower by less than the hysteresis"
        );
        let much = Duration::from_millis(40);
        assert_eq!(
            with_ipv6_later(seed, much),
            (false, false),
            "seed {seed}: slower by more"
        );
    }
}

fn narrow(stage: &Stage<'_>, leaf: HostId) -> Vec<Option<Narrow>> {
    let said = stage.world.hosts[leaf]
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::PathNarrow { narrow, .. } => Some(Some(*narrow)),
            Event::PathWide { .. } => Some(None),
            _ => None,
        });
    said.collect()
}

fn status(stage: &Stage<'_>, leaf: HostId) -> String {
    let node = stage.world.hosts[leaf]
        .node
        .as_ref()
        .and_then(crate::program::Program::ours);
    node.map(|node| node.status(stage.world.now).to_string())
        .unwrap_or_default()
}

#[test]
fn a_border_that_drops_long_packets_is_found_and_so_is_its_end() {
    for seed in 0..SEEDS {
        let scenario = table::home_home();
        let mut stage = direct(&scenario, seed);
        let leaves = [stage.id("a"), stage.id("b")];
        stage.run(10 * MINUTE);
        for leaf in leaves {
            assert_eq!(narrow(&stage, leaf), [], "seed {seed}");
            assert!(!status(&stage, leaf).contains("only packets"));
        }
        // Only before one of the two, and in both directions.
        let site = stage.site_at(1);
        stage.world.narrow = true;
        stage.world.net.set_quality(
            site,
            Quality {
                mtu: 1400,
                ..Quality::ACCESS
            },
        );
        // The headers of IPv4, UDP and WireGuard, in steps of what WireGuard fills up to.
        let passes = (1400 - 20 - 8 - 32) / 16 * 16;
        stage.run(11 * MINUTE);
        let mtu = TUNNEL_MTU as u16;
        let expected = Narrow {
            mtu,
            passes: Some(passes),
        };
        for leaf in leaves {
            assert!(
                narrow(&stage, leaf).contains(&Some(expected)),
                "seed {seed}: {:?}",
                narrow(&stage, leaf)
            );
            let words = format!("lower the MTU of the WireGuard interface from {mtu} to {passes}");
            assert!(
                status(&stage, leaf).contains(&words),
                "seed {seed}: {}",
                status(&stage, leaf)
            );
        }
        assert!(
            reached(&stage, leaves[0], leaves[1]).1,
            "what is short still goes there"
        );
        stage.world.net.set_quality(site, Quality::ACCESS);
        stage.run(3 * MINUTE);
        for leaf in leaves {
            assert_eq!(narrow(&stage, leaf).last(), Some(&None), "seed {seed}");
            assert!(!status(&stage, leaf).contains("only packets"));
        }
        invariants::check(&mut stage.world).unwrap();
    }
}

/// A path that loses a twentieth of what it is given, whatever its size, is not called narrow.
#[test]
fn a_lossy_path_is_not_taken_for_a_narrow_one() {
    for seed in 0..SEEDS {
        let scenario = table::home_home();
        let mut stage = direct(&scenario, seed);
        stage.set_quality(Quality {
            loss: 250,
            ..Quality::ACCESS
        });
        stage.run(60 * MINUTE);
        invariants::check(&mut stage.world).unwrap();
    }
}
