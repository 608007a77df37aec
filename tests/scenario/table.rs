//! All scenarios.

use std::time::Duration;

use super::border::Border;
use super::{Act, Hub, Leaf, Program, Scenario, Site, Step, Worlds};

/// Two leaves with public addresses: the first handshake slot suffices.
pub(crate) fn public_public() -> Scenario {
    pair("public-public", Border::Open, Border::Open)
}

/// Two leaves behind two home routers: both must send before either is heard.
pub(crate) fn home_home() -> Scenario {
    Scenario {
        tunnel_ipv6: true,
        ..pair("home-home", Border::HOME, Border::HOME)
    }
}

/// One leaf behind a home router: only it can begin.
pub(crate) fn home_public() -> Scenario {
    pair("home-public", Border::HOME, Border::Open)
}

/// Two leaves behind one home router without hairpinning: only their private addresses work.
pub(crate) fn same_lan() -> Scenario {
    Scenario {
        sites: vec![at(Border::HOME)],
        leaves: vec![leaf("a", 0), leaf("b", 0)],
        ..pair("same-lan", Border::HOME, Border::HOME)
    }
}

/// The scenarios that are played in full: start, cut, heal, stop.
pub(crate) fn all() -> Vec<Scenario> {
    vec![public_public(), home_home(), home_public(), same_lan()]
}

/// Two leaves at two sites with one hub: everybody starts, the direct way is cut and healed, and everybody stops.
fn pair(name: &str, one: Border, other: Border) -> Scenario {
    Scenario {
        name: name.to_owned(),
        hubs: vec![hub("hub")],
        sites: vec![at(one), at(other)],
        leaves: vec![leaf("a", 0), leaf("b", 1)],
        tunnel_ipv6: false,
        worlds: Worlds::Both,
        script: vec![
            step(Act::StartAll, 30),
            step(Act::Cut("a", "b"), 60),
            step(Act::Heal("a", "b"), 120),
            step(Act::StopAll, 20),
        ],
    }
}

fn hub(name: &'static str) -> Hub {
    Hub {
        name,
        program: Program::Ours,
        by_dns_name: false,
    }
}

fn leaf(name: &'static str, site: usize) -> Leaf {
    Leaf {
        name,
        program: Program::Ours,
        site,
        hubs: vec![0],
    }
}

fn at(border: Border) -> Site {
    Site { border, behind: None }
}

fn step(act: Act, seconds: u64) -> Step {
    Step {
        act,
        within: Duration::from_secs(seconds),
        hold: Duration::ZERO,
    }
}
