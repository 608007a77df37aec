//! How long the ways to a peer take, as the node measures it: what the network of the model is made of is known.

use std::time::Duration;

use wirelink::mesh::reach::ping::{NoPing, Path};

use crate::net::Quality;
use crate::play;
use crate::scenario::{Act, Scenario, table};
use crate::stage::Stage;

/// A quarter of the round trip between two sites, from one of them to the middle: through the hub it is twice as far.
const QUARTER: Quality = Quality {
    latency: Duration::from_micros(12_500),
    jitter: Duration::ZERO,
    ..Quality::ACCESS
};
const MINUTE: Duration = Duration::from_secs(60);

type Outcome = Result<u128, NoPing>;

/// Has one host ask another; returns what came within 3 s, in milliseconds, for the direct path and the relayed one.
fn ask(stage: &mut Stage<'_>, from: &'static str, to: &'static str) -> [Option<Outcome>; 2] {
    let (from, to) = (stage.id(from), stage.id(to));
    let key = stage.world.hosts[to].key;
    stage.world.ask(from, key);
    stage.run(Duration::from_secs(4));
    let pongs = std::mem::take(&mut stage.world.hosts[from].pongs);
    Path::ALL.map(|path| {
        let mut of_path = pongs.iter().filter(|(way, _)| *way == path);
        let found = of_path.next().map(|(_, outcome)| outcome.map(|took| took.as_millis()));
        assert_eq!(of_path.next(), None, "one answer for {path:?}");
        found
    })
}

fn settled(scenario: &Scenario) -> Stage<'_> {
    let mut stage = Stage::new(scenario, 1);
    stage.set_quality(QUARTER);
    stage.act(Act::StartAll);
    stage.run(MINUTE);
    play::arrive(&mut stage, MINUTE).expect("the scenario comes to rest");
    stage
}

#[test]
fn both_ways_to_a_peer_are_measured_whichever_is_used() {
    let scenario = table::home_home();
    let mut stage = settled(&scenario);
    let [direct, relayed] = ask(&mut stage, "a", "b");
    assert!(matches!(direct, Some(Ok(50..54))), "{direct:?}");
    assert!(matches!(relayed, Some(Ok(100..106))), "{relayed:?}");
    let [direct, relayed] = ask(&mut stage, "a", "hub");
    assert!(matches!(direct, Some(Ok(50..54))), "{direct:?}");
    assert_eq!(
        relayed,
        Some(Err(NoPing::NoRouter)),
        "nobody is between a leaf and its hub"
    );
}

#[test]
fn a_peer_that_cannot_be_direct_is_measured_through_the_hub() {
    let scenario = table::symmetric_symmetric();
    let mut stage = settled(&scenario);
    let [direct, relayed] = ask(&mut stage, "a", "b");
    assert_eq!(direct, Some(Err(NoPing::NoSession)));
    assert!(matches!(relayed, Some(Ok(100..106))), "{relayed:?}");
}

#[test]
fn whoever_went_does_not_answer() {
    let scenario = table::home_home();
    let mut stage = settled(&scenario);
    let b = stage.id("b");
    stage.world.kill(b);
    let [direct, relayed] = ask(&mut stage, "a", "b");
    assert_eq!((direct, relayed), (None, None), "nobody hears it");
}

#[test]
fn what_does_not_know_of_pings_is_not_asked() {
    let scenario = table::v1::v1_leaf();
    let mut stage = settled(&scenario);
    let v1 = scenario
        .leaves
        .iter()
        .find(|leaf| leaf.program != crate::scenario::Program::Ours);
    let v1 = v1.expect("one of v1").name;
    let ours = if v1 == "a" { "b" } else { "a" };
    let heard = |stage: &Stage<'_>, name| stage.world.hosts[stage.id(name)].refused();
    let before = heard(&stage, v1);
    let [direct, relayed] = ask(&mut stage, ours, v1);
    assert_eq!((direct, relayed), (Some(Err(NoPing::NotUnderstood)), None));
    assert_eq!(heard(&stage, v1), before, "and it complains of nothing");
}
