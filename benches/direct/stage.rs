//! A lab in which all but one node run, and know their hub.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::command;
use crate::eye::Eyes;
use crate::lab::Lab;
use crate::options::Options;
use crate::scenario::{Name, Scenario};

/// What takes longer has not happened.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// How long WireGuard alone, or a daemon and its hub, may take; an emulated guest is slow.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long nothing happens before something is measured.
const QUIET: Duration = Duration::from_secs(2);

/// The last node to be started.
pub(crate) const SECOND: Name = "b";

/// Builds a scenario, and starts wirelink on its hub and on these leaves. What comes of it is new in every respect: keys, namespaces,
/// and what NATs and firewalls keep in mind.
pub(crate) fn build(scenario: &Scenario, options: &Options, first: &[Name], prepare: impl FnOnce(&Lab)) -> Lab {
    let mut lab = Lab::build(scenario);
    // Logging costs, too.
    lab.flags = "";
    if let Some(delay) = options.delay {
        lab.network.slow_down(delay);
    }
    prepare(&lab);
    for leaf in lab.leaves() {
        reaches_hub(&lab, leaf);
    }
    lab.start("hub");
    for leaf in first {
        lab.start(leaf);
        for (at, of) in [("hub", *leaf), (leaf, "hub")] {
            linked(&lab, at, of);
        }
    }
    std::thread::sleep(QUIET);
    lab
}

/// Starts the second node and returns how long it took from there until both are direct.
pub(crate) fn start_second(lab: &mut Lab, eyes: &Eyes) -> Option<Duration> {
    let began = Instant::now();
    lab.start(SECOND);
    eyes.direct(LIMIT).map(|_| began.elapsed())
}

/// Waits until a leaf reaches its hub, and so has a session with it.
fn reaches_hub(lab: &Lab, leaf: Name) {
    let hub = IpAddr::V4(lab.inner("hub").v4);
    let reached = command::until(READY_WITHIN, || lab.echo(leaf, hub));
    assert!(reached.is_some(), "{leaf} reaches no hub");
}

/// Waits until a node says that its link to another one is up.
fn linked(lab: &Lab, at: Name, of: Name) {
    let words = format!("direct link to {}", &lab.public_key(of)[..8]);
    let told = command::until(READY_WITHIN, || lab.log(at).contains(&words).then_some(()));
    assert!(told.is_some(), "{at} has no link to {of}: {}", lab.log(at));
}
