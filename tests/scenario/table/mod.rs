//! All scenarios: the pairs and the matrix here, what happens to networks of other shapes in `stories`.

mod stories;
pub(crate) mod v1;

use std::time::Duration;

use super::border::Border;
use super::{Act, Hub, Leaf, Program, Scenario, Site, Step, Worlds};

pub(crate) use self::stories::*;

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

/// Two leaves behind NATs that give each destination its own port: only the hub is left.
pub(crate) fn symmetric_symmetric() -> Scenario {
    pair("symmetric-symmetric", Border::SYMMETRIC, Border::SYMMETRIC)
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

/// Every pair of the borders that nftables can be.
pub(crate) fn matrix_of_linux() -> Vec<Scenario> {
    let kinds = Border::of_linux().map(|(name, border)| (name.to_owned(), border));
    matrix(&kinds, Worlds::Both)
}

/// Every pair of all borders in the words of RFC 4787.
pub(crate) fn matrix_of_rfc_4787() -> Vec<Scenario> {
    let mut kinds = Border::of_rfc_4787();
    kinds.extend(Border::firewalls());
    kinds.push(("Open".to_owned(), Border::Open));
    matrix(&kinds, Worlds::Simulator("nftables cannot be all of these"))
}

/// Networks of other shapes than one hub with two leaves, and what happens to them.
pub(crate) fn stories() -> Vec<Scenario> {
    vec![
        two_hubs(),
        chained_routers(),
        hub_restarts(),
        leaf_roams(),
        leaf_roams_before_public(),
        leaf_comes_home(),
        both_roam(),
        hub_moves(),
        partition(),
        isolation(),
        revocation(),
        short_sleep(),
        long_sleep(),
        carrier(),
        one_carrier(),
        one_strict_carrier(),
        native_ipv6(),
        mesh_of_five(),
        hub_is_away(),
        chained_routers_for_long(),
        chained_routers_apart(),
        claims(),
    ]
}

fn matrix(kinds: &[(String, Border)], worlds: Worlds) -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for (index, (one_name, one)) in kinds.iter().enumerate() {
        for (other_name, other) in &kinds[index..] {
            scenarios.push(Scenario {
                worlds,
                script: vec![held(Act::StartAll, 30, 20), step(Act::StopAll, 20)],
                ..pair(&format!("{one_name}-{other_name}"), *one, *other)
            });
        }
    }
    scenarios
}

/// Networks in which somebody lies.
pub(crate) fn liars() -> Vec<Scenario> {
    vec![
        a_liar_among_friends(),
        a_liar_for_a_minute(),
        a_liar_from_the_beginning(),
    ]
}

/// One of three leaves begins to lie: nothing changes between the others, nor for the hub.
pub(crate) fn a_liar_among_friends() -> Scenario {
    Scenario {
        script: vec![
            step(Act::StartAll, 30),
            held(Act::Lie("c"), 5, 600),
            step(Act::StopAll, 20),
        ],
        ..with_a_liar("liar-among-friends")
    }
}

/// The same for a minute.
pub(crate) fn a_liar_for_a_minute() -> Scenario {
    Scenario {
        script: vec![
            step(Act::StartAll, 30),
            held(Act::Lie("c"), 5, 60),
            step(Act::StopAll, 20),
        ],
        worlds: Worlds::Both,
        ..with_a_liar("liar-for-a-minute")
    }
}

/// One of three leaves lies before anybody else has said anything: the others find each other all the same.
pub(crate) fn a_liar_from_the_beginning() -> Scenario {
    Scenario {
        script: vec![
            step(Act::Lie("c"), 5),
            held(Act::StartAll, 60, 120),
            step(Act::Cut("a", "b"), 60),
            step(Act::Heal("a", "b"), 120),
            step(Act::StopAll, 20),
        ],
        ..with_a_liar("liar-from-the-beginning")
    }
}

fn with_a_liar(name: &str) -> Scenario {
    Scenario {
        sites: vec![at(Border::HOME), at(Border::HOME), at(Border::Open)],
        leaves: vec![leaf("a", 0), leaf("b", 1), leaf("c", 2)],
        worlds: Worlds::BothSlow,
        ..pair(name, Border::HOME, Border::HOME)
    }
}

/// Two leaves at two sites with one hub: everybody starts, the direct way is cut and healed, and everybody stops.
fn pair(name: &str, one: Border, other: Border) -> Scenario {
    Scenario {
        name: name.to_owned(),
        hubs: vec![hub("hub")],
        sites: vec![at(one), at(other)],
        leaves: vec![leaf("a", 0), leaf("b", 1)],
        claims: Vec::new(),
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

pub(crate) fn at(border: Border) -> Site {
    Site {
        border,
        behind: None,
        ipv6: None,
    }
}

fn behind(border: Border, outer: usize) -> Site {
    Site {
        behind: Some(outer),
        ..at(border)
    }
}

fn step(act: Act, seconds: u64) -> Step {
    held(act, seconds, 0)
}

fn held(act: Act, seconds: u64, hold: u64) -> Step {
    Step {
        act,
        within: Duration::from_secs(seconds),
        hold: Duration::from_secs(hold),
    }
}
