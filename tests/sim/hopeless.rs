//! Pairs that cannot be direct: what passes the hub is not disturbed, their NATs are spared, and they are not tried for ever.

use std::time::Duration;

use crate::direct::{is_possible, status};
use crate::scenario::{Act, Name, Scenario, table};
use crate::stage::Stage;

/// How often a packet goes through the hub.
const EVERY: Duration = Duration::from_millis(50);
/// The time of one attempt: a round of probes, and the forecast around it.
const ATTEMPT: Duration = Duration::from_secs(1);

/// What a run shows.
#[derive(Debug, Default)]
struct Seen {
    lost: usize,
    /// The most flows that a border saw begin within an attempt.
    most_flows: u64,
    /// How many began, and how many datagrams a leaf sent, in five minutes some time later.
    later: (u64, u64),
}

fn impossible() -> Vec<Scenario> {
    let matrix = table::matrix_of_rfc_4787().into_iter();
    matrix.filter(|scenario| !is_possible(scenario)).collect()
}

fn observe(scenario: &Scenario) -> Seen {
    let mut stage = Stage::new(scenario, 1);
    let mut seen = Seen::default();
    stage.run(Duration::from_secs(1));
    for name in ["hub", "a"] {
        stage.act(Act::Start(name));
    }
    stage.run(Duration::from_secs(10));
    stage.act(Act::Start("b"));
    let (a, b) = (stage.id("a"), stage.id("b"));
    let to = stage.world.hosts[b].inner(false).expect("it has IPv4");
    let mut asked = Vec::new();
    for _ in 0..30 {
        let before = opened(&stage);
        for _ in 0..ATTEMPT.as_millis() / EVERY.as_millis() {
            asked.push(stage.world.ping(a, to));
            stage.run(EVERY);
        }
        let after = opened(&stage);
        let most = before.iter().zip(after).map(|(before, after)| after - before).max();
        seen.most_flows = seen.most_flows.max(most.unwrap_or_default());
    }
    stage.run(Duration::from_secs(3));
    seen.lost = asked
        .iter()
        .filter(|number| stage.world.echo(a, **number).is_none())
        .count();
    stage.run(Duration::from_secs(300));
    let sent = |stage: &Stage<'_>| [a, b].map(|id| stage.world.hosts[id].wire_sent.packets);
    let (flows, packets) = (opened(&stage), sent(&stage));
    stage.run(Duration::from_secs(300));
    let most = |before: [u64; 2], after: [u64; 2]| before.iter().zip(after).map(|(before, after)| after - before).max();
    let later = (most(flows, opened(&stage)), most(packets, sent(&stage)));
    seen.later = (later.0.unwrap_or_default(), later.1.unwrap_or_default());
    if scenario.name.contains("Random") {
        let why = |name: Name| status(&stage, name);
        assert!(why("a").contains("probes do not pass between the two"), "{}", why("a"));
    }
    seen
}

fn opened(stage: &Stage<'_>) -> [u64; 2] {
    ["a", "b"].map(|name| stage.world.net.flows_opened(stage.site(name)))
}

#[test]
fn they_stay_on_the_hub_undisturbed_and_are_tried_ever_more_seldom() {
    let scenarios = impossible();
    assert!(scenarios.len() > 100, "{}", scenarios.len());
    let mut wrong = Vec::new();
    let (mut flows, mut later) = (0, (0, 0));
    for scenario in &scenarios {
        let seen = observe(scenario);
        flows = flows.max(seen.most_flows);
        later = (later.0.max(seen.later.0), later.1.max(seen.later.1));
        if seen.lost > 0 || seen.most_flows > 64 || seen.later.0 > 64 || seen.later.1 > 250 {
            wrong.push(format!("{}: {seen:?}", scenario.name));
        }
    }
    println!(
        "{} pairs: {flows} flows an attempt, {later:?} in five minutes later",
        scenarios.len()
    );
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), scenarios.len());
}
