//! Why a peer is not direct: each cause is brought about, and must be what the node names.

use std::time::Duration;

use wirelink::mesh::reason::Reason;

use crate::program::Program;
use crate::scenario::border::Border;
use crate::scenario::{Act, Name, Scenario, table};
use crate::stage::Stage;

const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(50);

/// Returns why a node does not reach another one directly.
fn reason(stage: &Stage<'_>, name: Name, of: Name) -> Option<Reason> {
    let node = stage.world.hosts[stage.id(name)]
        .node
        .as_ref()
        .and_then(Program::ours)?;
    let key = stage.world.hosts[stage.id(of)].key;
    let peers = node.status(stage.world.now).peers;
    peers
        .into_iter()
        .find(|peer| peer.peer.key == key)
        .map(|peer| peer.reason)
}

/// Waits until a node gives a reason.
#[track_caller]
fn expect(stage: &mut Stage<'_>, name: Name, of: Name, wanted: Reason, within: Duration) {
    let until = stage.world.now + within;
    let mut seen = Vec::new();
    while stage.world.now < until {
        let present = reason(stage, name, of);
        if present == Some(wanted) {
            return;
        }
        if seen.last() != Some(&present) {
            seen.push(present);
        }
        stage.run(TICK);
    }
    panic!("{name} about {of}: {wanted:?} is not among {seen:?}");
}

/// Two leaves behind home routers, between which nothing passes.
fn apart(scenario: &Scenario) -> Stage<'_> {
    let mut stage = Stage::new(scenario, 1);
    stage.act(Act::Cut("a", "b"));
    stage
}

#[test]
fn a_firewall_that_lets_nothing_in() {
    let scenario = table::home_home();
    let mut stage = apart(&scenario);
    stage.act(Act::StartAll);
    expect(&mut stage, "a", "b", Reason::Searching, 5 * SECOND);
    for (name, of) in [("a", "b"), ("b", "a")] {
        expect(&mut stage, name, of, Reason::NoAnswer, 30 * SECOND);
        expect(&mut stage, name, "hub", Reason::Router, SECOND);
    }
    stage.act(Act::Heal("a", "b"));
    expect(&mut stage, "a", "b", Reason::Direct, 600 * SECOND);
}

#[test]
fn two_nats_that_show_no_port() {
    let mut scenario = table::two_hubs();
    scenario
        .sites
        .iter_mut()
        .for_each(|site| (site.border, site.ipv6) = (Border::SYMMETRIC, None));
    let mut stage = Stage::new(&scenario, 1);
    stage.act(Act::StartAll);
    expect(&mut stage, "a", "b", Reason::NatPair, 120 * SECOND);
    expect(&mut stage, "b", "a", Reason::NatPair, 120 * SECOND);
}

#[test]
fn a_side_without_raw_sockets() {
    let scenario = table::home_home();
    let mut stage = apart(&scenario);
    let a = stage.id("a");
    stage.world.hosts[a].config.probes = false;
    stage.act(Act::StartAll);
    expect(&mut stage, "a", "b", Reason::NoProbesHere, 20 * SECOND);
    expect(&mut stage, "b", "a", Reason::NoProbesThere, 20 * SECOND);
}

#[test]
fn something_that_lets_nothing_but_wireguard_pass() {
    let scenario = table::home_home();
    let mut stage = apart(&scenario);
    let site = stage.site("a");
    stage.world.net.pass_wireguard_only(site);
    stage.act(Act::StartAll);
    expect(&mut stage, "a", "b", Reason::BlockedHere, 90 * SECOND);
    expect(&mut stage, "b", "a", Reason::BlockedThere, 90 * SECOND);
}

#[test]
fn a_path_that_dies_and_one_that_dies_again_and_again() {
    let scenario = table::home_home();
    let mut stage = Stage::new(&scenario, 1);
    stage.act(Act::StartAll);
    expect(&mut stage, "a", "b", Reason::Direct, 30 * SECOND);
    for round in 0..4 {
        stage.act(Act::Cut("a", "b"));
        expect(&mut stage, "a", "b", Reason::Silent, 60 * SECOND);
        stage.act(Act::Heal("a", "b"));
        if round == 3 {
            expect(&mut stage, "a", "b", Reason::Held, 60 * SECOND);
        }
        expect(&mut stage, "a", "b", Reason::Direct, 120 * SECOND);
    }
}

#[test]
fn prefixes_that_the_operator_does_not_allow() {
    let scenario = table::home_home();
    let mut stage = Stage::new(&scenario, 1);
    let a = stage.id("a");
    let elsewhere = "192.168.77.0/24".parse().expect("a prefix");
    stage.world.hosts[a].config.settings.allow_prefixes = Some(vec![elsewhere]);
    stage.act(Act::StartAll);
    expect(&mut stage, "a", "b", Reason::PrefixRefused, 60 * SECOND);
}
