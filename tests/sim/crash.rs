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
