//! Networks in which some or all run wirelink v1. It leaves the device as it is when it stops, so nobody does here.

use super::{held, hub, leaf, pair, step};
use crate::scenario::border::Border;
use crate::scenario::{Act, Hub, Leaf, Program, Scenario, Step, Worlds};

/// How long a link with a v1 node may take, in seconds: it looks every 5 s, and tries each of two or three endpoints for 15 s,
/// whatever the other side does meanwhile.
const UNTIL_LINKED: u64 = 60;
/// How long until a v1 node that ran for longer than 255 s takes a dead link's prefixes back: a handshake counts for 165 s.
const UNTIL_GIVEN_UP: u64 = 165 + 10;

/// All of them.
pub(crate) fn beside_v1() -> Vec<Scenario> {
    vec![
        v1_hub(),
        v1_leaf(),
        v1_hub_and_leaf(),
        v1_leaves(),
        v1_everywhere(),
        two_hubs_one_v1(),
        v1_leaf_of_two_hubs(),
        v1_hub_for_a_minute(),
        v1_leaf_for_a_minute(),
    ]
}

/// A hub that was not brought up to date yet.
pub(crate) fn v1_hub() -> Scenario {
    beside("v1-hub", Program::V1, [Program::Ours, Program::Ours])
}

/// A leaf that was not brought up to date yet.
pub(crate) fn v1_leaf() -> Scenario {
    beside("v1-leaf", Program::Ours, [Program::V1, Program::Ours])
}

/// The first leaf that is brought up to date.
pub(crate) fn v1_hub_and_leaf() -> Scenario {
    beside("v1-hub-and-leaf", Program::V1, [Program::Ours, Program::V1])
}

/// The hub is the first that is brought up to date.
pub(crate) fn v1_leaves() -> Scenario {
    beside("v1-leaves", Program::Ours, [Program::V1, Program::V1])
}

/// The network as it is deployed: what the model does without ours.
pub(crate) fn v1_everywhere() -> Scenario {
    beside("v1-everywhere", Program::V1, [Program::V1, Program::V1])
}

/// One of two hubs is v1, and the other one is cut off for a while.
pub(crate) fn two_hubs_one_v1() -> Scenario {
    two_hubs("two-hubs-one-v1", [Program::Ours, Program::Ours])
}

/// The same, and a leaf is v1, too.
pub(crate) fn v1_leaf_of_two_hubs() -> Scenario {
    two_hubs("v1-leaf-of-two-hubs", [Program::Ours, Program::V1])
}

/// A v1 hub with a leaf of each kind, for as long as a test may take.
pub(crate) fn v1_hub_for_a_minute() -> Scenario {
    for_a_minute("v1-hub-for-a-minute", Program::V1, [Program::Ours, Program::V1])
}

/// The hub is ours, and so is one leaf.
pub(crate) fn v1_leaf_for_a_minute() -> Scenario {
    for_a_minute("v1-leaf-for-a-minute", Program::Ours, [Program::V1, Program::Ours])
}

fn for_a_minute(name: &str, at_hub: Program, leaves: [Program; 2]) -> Scenario {
    Scenario {
        worlds: Worlds::Both,
        script: vec![held(Act::StartAll, UNTIL_LINKED, 60)],
        ..beside(name, at_hub, leaves)
    }
}

fn two_hubs(name: &str, [a, b]: [Program; 2]) -> Scenario {
    let know_both = |name, site, program| Leaf {
        hubs: vec![0, 1],
        program,
        ..leaf(name, site)
    };
    let old = Hub {
        program: Program::V1,
        ..hub("hub2")
    };
    let mut script = vec![
        step(Act::StartAll, UNTIL_LINKED),
        held(Act::Isolate("hub"), UNTIL_GIVEN_UP, 300),
        step(Act::Rejoin("hub"), UNTIL_LINKED),
    ];
    script.extend(cut_and_heal());
    Scenario {
        hubs: vec![hub("hub"), old],
        leaves: vec![know_both("a", 0, a), know_both("b", 1, b)],
        script,
        ..beside(name, Program::Ours, [a, b])
    }
}

/// A hub and two leaves behind home routers: the direct way is cut and healed.
fn beside(name: &str, at_hub: Program, [a, b]: [Program; 2]) -> Scenario {
    let runs = |program, leaf| Leaf { program, ..leaf };
    let mut script = vec![held(Act::StartAll, UNTIL_LINKED, 300)];
    script.extend(cut_and_heal());
    Scenario {
        hubs: vec![Hub {
            program: at_hub,
            ..hub("hub")
        }],
        leaves: vec![runs(a, leaf("a", 0)), runs(b, leaf("b", 1))],
        worlds: Worlds::BothSlow,
        script,
        ..pair(name, Border::HOME, Border::HOME)
    }
}

fn cut_and_heal() -> [Step; 2] {
    [
        held(Act::Cut("a", "b"), UNTIL_GIVEN_UP, 300),
        held(Act::Heal("a", "b"), UNTIL_LINKED, 300),
    ]
}
