//! A daemon that is killed leaves its device as it is: WireGuard goes on, and the other side should go on sending to it.

use std::time::Duration;

use crate::host;
use crate::play;
use crate::scenario::{Act, table};
use crate::stage::Stage;

const SECOND: Duration = Duration::from_secs(1);

/// Returns how many of so many echo requests from one leaf to the other, one a second, are not answered.
fn lost(stage: &mut Stage<'_>, seconds: u32) -> u32 {
    let [a, b] = ["a", "b"].map(|name| stage.id(name));
    let target = stage.world.hosts[b].inner(false).unwrap();
    let answered = |stage: &mut Stage<'_>| {
        let number = stage.world.ping(a, target);
        stage.run(SECOND);
        u32::from(stage.world.echo(a, number) == Some(host::HOPS))
    };
    seconds - (0..seconds).map(|_| answered(stage)).sum::<u32>()
}

fn linked(scenario: &crate::scenario::Scenario) -> Stage<'_> {
    let mut stage = Stage::new(scenario, 1);
    stage.act(Act::StartAll);
    play::arrive(&mut stage, Duration::from_secs(60)).unwrap();
    stage.run(Duration::from_secs(60));
    stage
}

#[test]
fn traffic_goes_on_when_the_other_daemon_is_killed_under_it() {
    let scenario = table::home_home();
    let mut stage = linked(&scenario);
    assert_eq!(lost(&mut stage, 30), 0);
    stage.world.kill(stage.id("b"));
    assert_eq!(lost(&mut stage, 300), 0);
}

#[test]
fn traffic_that_begins_after_the_other_daemon_was_killed_arrives() {
    let scenario = table::home_home();
    let mut stage = linked(&scenario);
    stage.world.kill(stage.id("b"));
    stage.run(Duration::from_secs(90));
    assert_eq!(lost(&mut stage, 300), 0);
}

/// Returns how many of so many echo requests, ten a second from one leaf to the other, are not answered directly while the other daemon is
/// away for half a second and comes back.
fn lost_by_a_restart(scenario: &crate::scenario::Scenario, seed: u64) -> usize {
    let mut stage = Stage::new(scenario, seed);
    stage.act(Act::StartAll);
    play::arrive(&mut stage, Duration::from_secs(60)).unwrap();
    stage.run(Duration::from_secs(20 + seed));
    let [a, b] = ["a", "b"].map(|name| stage.id(name));
    let target = stage.world.hosts[b].inner(false).unwrap();
    let mut numbers = Vec::new();
    for tick in 0..300 {
        match tick {
            20 => stage.world.kill(b),
            25 => stage.act(Act::Start("b")),
            _ => {}
        }
        numbers.push(stage.world.ping(a, target));
        stage.run(SECOND / 10);
    }
    stage.run(SECOND);
    let is_lost = |number: &&u64| stage.world.echo(a, **number) != Some(host::HOPS);
    numbers.iter().filter(is_lost).count()
}

#[test]
fn a_daemon_that_is_restarted_goes_on_where_it_was() {
    for scenario in [table::home_home(), table::public_public()] {
        let lost: Vec<usize> = (0..10).map(|seed| lost_by_a_restart(&scenario, seed)).collect();
        assert_eq!(lost, [0; 10], "{}", scenario.name);
    }
}
