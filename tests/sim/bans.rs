//! A banned key is out everywhere, at once and for good: with one hub and two, beside v1, across restarts, and after a sleep.

use std::time::Duration;

use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::base::settings::{PeerSettings, Settings, TrustLevel};
use wirelink::mesh::device::DeviceChange;
use wirelink::mesh::show::reason::Reason;

use crate::program::Program;
use crate::scenario::{Act, Name, Program as Kind, Scenario, table};
use crate::stage::Stage;

const MINUTE: Duration = Duration::from_secs(60);

fn one_hub() -> Scenario {
    let two = table::two_hubs();
    Scenario {
        hubs: two.hubs[..1].to_vec(),
        leaves: two
            .leaves
            .into_iter()
            .map(|leaf| crate::scenario::Leaf { hubs: vec![0], ..leaf })
            .collect(),
        ..two
    }
}

fn started(scenario: &Scenario) -> Stage<'_> {
    let mut stage = Stage::new(scenario, 3);
    stage.act(Act::StartAll);
    stage.run(MINUTE);
    stage
}

fn key(stage: &Stage<'_>, name: Name) -> PublicKey {
    stage.world.hosts[stage.id(name)].key
}

fn has(stage: &Stage<'_>, at: Name, of: Name) -> bool {
    let device = stage.world.hosts[stage.id(at)].tunnel.device();
    device.peers.contains_key(&key(stage, of))
}

fn ban(stage: &mut Stage<'_>, at: Name, of: Name, denied: bool) {
    let (id, key) = (stage.id(at), key(stage, of));
    stage.world.ban(id, key, denied);
}

/// Runs for so long, and sees that nobody has the peer at any time.
fn expect_out(stage: &mut Stage<'_>, out: Name, at: &[Name], time: Duration) {
    let until = stage.world.now + time;
    while stage.world.now < until {
        stage.run(Duration::from_secs(1));
        for name in at {
            assert!(
                !has(stage, name, out),
                "{out} is a peer of {name} at {:?}",
                stage.world.now
            );
        }
    }
}

fn reason(stage: &Stage<'_>, at: Name, of: Name) -> Option<Reason> {
    let host = &stage.world.hosts[stage.id(at)];
    let Some(Program::Ours(node)) = &host.node else {
        return None;
    };
    let status = node.status(stage.world.now);
    let peer = status.peers.iter().find(|peer| peer.peer.key == key(stage, of));
    peer.map(|peer| peer.reason)
}

#[test]
fn a_ban_at_the_hub_is_followed_within_a_second() {
    let scenario = one_hub();
    let mut stage = started(&scenario);
    assert!(has(&stage, "b", "a"));
    ban(&mut stage, "hub", "a", true);
    stage.run(Duration::from_secs(1));
    expect_out(&mut stage, "a", &["hub", "b"], 6 * MINUTE);
    assert_eq!(reason(&stage, "hub", "a"), Some(Reason::Denied));
    assert_eq!(reason(&stage, "b", "a"), Some(Reason::Denied));
}

#[test]
fn a_ban_at_either_of_two_hubs_holds_at_both() {
    for at in ["hub", "hub2"] {
        let scenario = table::two_hubs();
        let mut stage = started(&scenario);
        ban(&mut stage, at, "a", true);
        stage.run(Duration::from_secs(1));
        expect_out(&mut stage, "a", &["hub", "hub2", "b"], 6 * MINUTE);
    }
}

#[test]
fn a_second_hub_that_sleeps_brings_nobody_back() {
    let scenario = table::two_hubs();
    let mut stage = started(&scenario);
    stage.act(Act::Sleep("hub2", 10 * MINUTE));
    stage.run(Duration::from_secs(1));
    ban(&mut stage, "hub", "a", true);
    stage.run(Duration::from_secs(1));
    expect_out(&mut stage, "a", &["hub", "b"], 15 * MINUTE);
    assert!(!has(&stage, "hub2", "a"), "and is told when it wakes");
}

#[test]
fn a_ban_survives_restarts() {
    let scenario = table::two_hubs();
    let mut stage = started(&scenario);
    ban(&mut stage, "hub", "a", true);
    stage.run(Duration::from_secs(1));
    for name in ["b", "hub2", "hub"] {
        stage.act(Act::Stop(name));
        stage.run(Duration::from_secs(2));
        stage.act(Act::Start(name));
        stage.run(Duration::from_secs(1));
        expect_out(&mut stage, "a", &["hub", "hub2", "b"], MINUTE);
    }
    for name in ["hub", "hub2"] {
        // wg-quick makes the peer again; the node takes it away again.
        stage.act(Act::Reboot(name));
        stage.run(Duration::from_secs(2));
        expect_out(&mut stage, "a", &["hub", "hub2", "b"], 5 * MINUTE);
    }
}

#[test]
fn a_pardoned_member_returns() {
    let scenario = one_hub();
    let mut stage = started(&scenario);
    let id = stage.id("hub");
    let peer = key(&stage, "a");
    let before = stage.world.hosts[id].tunnel.device().peers[&peer].clone();
    ban(&mut stage, "hub", "a", true);
    stage.run(MINUTE);
    ban(&mut stage, "hub", "a", false);
    stage.world.operate(
        id,
        &DeviceChange::AddPeer {
            peer,
            allowed_ips: before.allowed_ips,
            endpoint: before.endpoint,
        },
    );
    stage.run(2 * MINUTE);
    assert!(has(&stage, "hub", "a") && has(&stage, "b", "a"));
}

#[test]
fn a_ban_in_the_settings_holds_until_it_is_taken_out() {
    let scenario = one_hub();
    let mut stage = started(&scenario);
    let (hub, peer) = (stage.id("hub"), key(&stage, "a"));
    let mut settings = stage.world.hosts[hub].config.settings.clone();
    settings.peers.entry(peer).or_default().denied = Some(true);
    stage.world.reload(hub, settings.clone());
    stage.run(Duration::from_secs(1));
    expect_out(&mut stage, "a", &["hub", "b"], MINUTE);
    settings.peers.remove(&peer);
    stage.world.reload(hub, settings);
    stage.run(Duration::from_secs(1));
    assert_eq!(reason(&stage, "hub", "a"), None);
}

#[test]
fn a_leaf_bans_nobody_elsewhere() {
    let scenario = table::two_hubs();
    let mut stage = started(&scenario);
    for out in ["a", "hub", "hub2"] {
        ban(&mut stage, "b", out, true);
    }
    stage.run(Duration::from_secs(2));
    assert!(!has(&stage, "b", "a"), "its own operator decides for itself");
    for (at, of) in [
        ("hub", "a"),
        ("hub2", "a"),
        ("a", "hub"),
        ("a", "hub2"),
        ("hub", "hub2"),
    ] {
        assert!(has(&stage, at, of), "{at} has {of}");
    }
}

#[test]
fn no_hub_cuts_a_leaf_off_from_another_hub() {
    let scenario = table::two_hubs();
    let mut stage = started(&scenario);
    ban(&mut stage, "hub2", "hub", true);
    stage.run(MINUTE);
    assert!(!has(&stage, "hub2", "hub"), "the operator of hub2 decides there");
    assert!(has(&stage, "a", "hub") && has(&stage, "b", "hub"));
}

#[test]
fn the_settings_of_a_node_keep_a_peer_in() {
    let scenario = one_hub();
    let mut stage = started(&scenario);
    let (b, peer) = (stage.id("b"), key(&stage, "a"));
    let kept = PeerSettings {
        denied: Some(false),
        ..PeerSettings::default()
    };
    let settings = Settings {
        peers: [(peer, kept)].into(),
        ..Settings::default()
    };
    stage.world.reload(b, settings);
    stage.run(Duration::from_secs(2));
    ban(&mut stage, "hub", "a", true);
    stage.run(MINUTE);
    assert!(has(&stage, "b", "a") && !has(&stage, "hub", "a"));
}

#[test]
fn v1_nodes_beside_bring_nobody_back() {
    for v1 in ["hub2", "b"] {
        let mut scenario = table::two_hubs();
        let hubs = scenario.hubs.iter_mut().map(|hub| (hub.name, &mut hub.program));
        let leaves = scenario.leaves.iter_mut().map(|leaf| (leaf.name, &mut leaf.program));
        let program = hubs.chain(leaves).find(|(name, _)| *name == v1);
        *program.expect("there is one").1 = Kind::V1;
        let mut stage = started(&scenario);
        stage.run(2 * MINUTE);
        ban(&mut stage, "hub", "a", true);
        stage.run(Duration::from_secs(1));
        let ours: Vec<Name> = ["hub", "hub2", "b"].into_iter().filter(|name| *name != v1).collect();
        expect_out(&mut stage, "a", &ours, 8 * MINUTE);
    }
}

#[test]
fn a_ban_is_told_only_by_those_who_may_name_members() {
    let scenario = one_hub();
    let mut stage = started(&scenario);
    let (b, hub) = (stage.id("b"), key(&stage, "hub"));
    let little = PeerSettings {
        trust: Some(TrustLevel::AllowedIPs),
        ..PeerSettings::default()
    };
    let settings = Settings {
        peers: [(hub, little)].into(),
        ..Settings::default()
    };
    stage.world.reload(b, settings);
    ban(&mut stage, "hub", "a", true);
    stage.run(Duration::from_secs(10));
    assert_ne!(reason(&stage, "b", "a"), Some(Reason::Denied));
}
