//! What happens to networks of other shapes than one hub with two leaves.

use std::time::Duration;

use super::{at, behind, held, hub, leaf, pair, step};
use crate::scenario::border::Border;
use crate::scenario::claim::{Claim, Harm};
use crate::scenario::{Act, Hub, Leaf, Scenario, Site, Worlds};

/// How long a link may take to come back, in seconds, where a session looks alive whose endpoint is wrong: only a handshake that is
/// older than 165 s tells, and then the candidates are tried.
const UNTIL_STALE: u64 = 165 + 75;

/// Both leaves know two hubs and have their addresses from the first; the second keeps the facts alive when the first is gone.
pub(crate) fn two_hubs() -> Scenario {
    let know_both = |name, site| Leaf {
        hubs: vec![0, 1],
        ..leaf(name, site)
    };
    Scenario {
        hubs: vec![hub("hub"), hub("hub2")],
        leaves: vec![know_both("a", 0), know_both("b", 1)],
        script: vec![
            step(Act::StartAll, 30),
            held(Act::Isolate("hub"), 20, 60),
            step(Act::Rejoin("hub"), 60),
            step(Act::Cut("a", "b"), 60),
            step(Act::Heal("a", "b"), 120),
            step(Act::StopAll, 20),
        ],
        ..pair("two-hubs", Border::HOME, Border::HOME)
    }
}

/// Each leaf knows a hub of its own, and only the hubs know each other: what one leaf says passes two routers.
pub(crate) fn chained_routers() -> Scenario {
    let below = |name, site, hub| Leaf {
        hubs: vec![hub],
        ..leaf(name, site)
    };
    Scenario {
        hubs: vec![hub("hub"), hub("hub2")],
        leaves: vec![below("a", 0, 0), below("b", 1, 1)],
        script: vec![held(Act::StartAll, 30, 60), step(Act::StopAll, 20)],
        ..pair("chained-routers", Border::HOME, Border::HOME)
    }
}

/// The same for longer than any fact lives, with two leaves of each hub: what passes two routers is renewed by both of them.
pub(crate) fn chained_routers_for_long() -> Scenario {
    let below = |name, site, hub| Leaf {
        hubs: vec![hub],
        ..leaf(name, site)
    };
    Scenario {
        name: "chained-routers-for-long".to_owned(),
        sites: vec![at(Border::HOME), at(Border::HOME), at(Border::Open), at(Border::HOME)],
        leaves: vec![below("a", 0, 0), below("b", 1, 1), below("c", 2, 0), below("d", 3, 1)],
        worlds: Worlds::Simulator("nobody waits for so long"),
        script: vec![held(Act::StartAll, 30, 900), step(Act::StopAll, 20)],
        ..chained_routers()
    }
}

/// Leaves of two hubs between which no direct link is possible.
pub(crate) fn chained_routers_apart() -> Scenario {
    Scenario {
        sites: vec![at(Border::SYMMETRIC), at(Border::SYMMETRIC)],
        name: "chained-routers-apart".to_owned(),
        ..chained_routers()
    }
}

/// The hub's machine starts anew; the direct link does not notice.
pub(crate) fn hub_restarts() -> Scenario {
    Scenario {
        script: vec![
            step(Act::StartAll, 30),
            held(Act::Reboot("hub"), 5, 90),
            step(Act::Cut("a", "b"), 60),
            step(Act::Heal("a", "b"), 120),
            step(Act::StopAll, 20),
        ],
        ..pair("hub-restarts", Border::HOME, Border::HOME)
    }
}

/// The hub is cut off for longer than any fact lives; the direct link does not need it.
pub(crate) fn hub_is_away() -> Scenario {
    Scenario {
        worlds: Worlds::BothSlow,
        script: vec![
            step(Act::StartAll, 30),
            held(Act::Isolate("hub"), 5, 900),
            held(Act::Rejoin("hub"), 60, 60),
            step(Act::StopAll, 20),
        ],
        ..pair("hub-is-away", Border::HOME, Border::HOME)
    }
}

/// A leaf goes from behind one home router to behind another.
pub(crate) fn leaf_roams() -> Scenario {
    Scenario {
        sites: vec![at(Border::HOME), at(Border::HOME), at(Border::HOME)],
        script: vec![
            step(Act::StartAll, 30),
            step(Act::Roam("a", 2), UNTIL_STALE),
            step(Act::Roam("a", 0), UNTIL_STALE),
            step(Act::StopAll, 20),
        ],
        worlds: Worlds::BothSlow,
        ..pair("leaf-roams", Border::HOME, Border::HOME)
    }
}

/// The same towards a leaf with a public address: whatever reaches that one tells it where the other one is now.
pub(crate) fn leaf_roams_before_public() -> Scenario {
    Scenario {
        sites: vec![at(Border::HOME), at(Border::Open), at(Border::HOME)],
        script: vec![
            step(Act::StartAll, 30),
            held(Act::Roam("a", 2), 30, 15),
            held(Act::Roam("a", 0), 30, 15),
            step(Act::StopAll, 20),
        ],
        ..pair("leaf-roams-before-public", Border::HOME, Border::Open)
    }
}

/// A leaf comes to the network where another one is, and goes to where only the hub is reached.
pub(crate) fn leaf_comes_home() -> Scenario {
    Scenario {
        sites: vec![at(Border::HOME), at(Border::HOME), at(Border::SYMMETRIC)],
        script: vec![
            step(Act::StartAll, 30),
            step(Act::Roam("a", 1), UNTIL_STALE),
            held(Act::Roam("a", 2), UNTIL_STALE, 60),
            step(Act::Roam("a", 0), UNTIL_STALE),
            step(Act::StopAll, 20),
        ],
        worlds: Worlds::BothSlow,
        ..pair("leaf-comes-home", Border::HOME, Border::HOME)
    }
}

/// Both leaves move in the same moment, so neither can follow the other.
pub(crate) fn both_roam() -> Scenario {
    Scenario {
        sites: vec![at(Border::HOME), at(Border::HOME), at(Border::HOME), at(Border::HOME)],
        script: vec![
            step(Act::StartAll, 30),
            step(Act::RoamBoth(("a", 2), ("b", 3)), UNTIL_STALE),
            step(Act::StopAll, 20),
        ],
        worlds: Worlds::BothSlow,
        ..pair("both-roam", Border::HOME, Border::HOME)
    }
}

/// The hub gets another public address, and its DNS name leads there.
pub(crate) fn hub_moves() -> Scenario {
    let named = Hub {
        by_dns_name: true,
        ..hub("hub")
    };
    Scenario {
        hubs: vec![named],
        worlds: Worlds::BothSlow,
        script: vec![
            step(Act::StartAll, 30),
            held(Act::Renumber("hub"), 5, 400),
            // Without the hub nobody would notice this.
            step(Act::Cut("a", "b"), 60),
            step(Act::Heal("a", "b"), 120),
            step(Act::StopAll, 20),
        ],
        ..pair("hub-moves", Border::HOME, Border::HOME)
    }
}

/// The leaves are apart for longer than their session lives.
pub(crate) fn partition() -> Scenario {
    Scenario {
        worlds: Worlds::BothSlow,
        script: vec![
            step(Act::StartAll, 30),
            held(Act::Cut("a", "b"), 60, 600),
            step(Act::Heal("a", "b"), 60),
            step(Act::StopAll, 20),
        ],
        ..pair("partition", Border::HOME, Border::HOME)
    }
}

/// A leaf is cut off from everybody, for a while and for long.
pub(crate) fn isolation() -> Scenario {
    Scenario {
        worlds: Worlds::BothSlow,
        script: vec![
            step(Act::StartAll, 30),
            held(Act::Isolate("a"), 5, 40),
            step(Act::Rejoin("a"), 60),
            held(Act::Isolate("a"), 5, 700),
            step(Act::Rejoin("a"), 120),
            step(Act::StopAll, 20),
        ],
        ..pair("isolation", Border::HOME, Border::Open)
    }
}

/// A leaf that is no member any more is forgotten by the others, but not before the grace.
pub(crate) fn revocation() -> Scenario {
    Scenario {
        sites: vec![at(Border::HOME), at(Border::HOME), at(Border::Open)],
        leaves: vec![leaf("a", 0), leaf("b", 1), leaf("c", 2)],
        worlds: Worlds::BothSlow,
        script: vec![
            held(Act::StartAll, 60, 300),
            held(Act::Revoke("b"), 700, 60),
            step(Act::StopAll, 20),
        ],
        ..pair("revocation", Border::HOME, Border::HOME)
    }
}

/// A machine sleeps for less time than its sessions live.
pub(crate) fn short_sleep() -> Scenario {
    Scenario {
        script: vec![
            step(Act::StartAll, 30),
            step(Act::Sleep("a", Duration::from_secs(60)), 60 + 60),
            step(Act::StopAll, 20),
        ],
        ..pair("short-sleep", Border::HOME, Border::HOME)
    }
}

/// A machine sleeps for so long that every fact, session and mapping is gone.
pub(crate) fn long_sleep() -> Scenario {
    const NIGHT: u64 = 3600;
    Scenario {
        worlds: Worlds::Simulator("nobody waits for so long"),
        script: vec![
            step(Act::StartAll, 30),
            step(Act::Sleep("a", Duration::from_secs(NIGHT)), NIGHT + 120),
            step(Act::StopAll, 20),
        ],
        ..pair("long-sleep", Border::HOME, Border::HOME)
    }
}

/// A home router behind a provider's NAT, towards another home router.
pub(crate) fn carrier() -> Scenario {
    Scenario {
        sites: vec![behind(Border::HOME, 2), at(Border::HOME), at(Border::HOME)],
        ..pair("carrier", Border::HOME, Border::HOME)
    }
}

/// Two home routers behind one provider's NAT that hairpins.
pub(crate) fn one_carrier() -> Scenario {
    Scenario {
        sites: vec![behind(Border::HOME, 2), behind(Border::HOME, 2), at(Border::CARRIER)],
        worlds: Worlds::Simulator("masquerading does not hairpin"),
        ..pair("one-carrier", Border::HOME, Border::HOME)
    }
}

/// Two home routers behind one provider's NAT that does not hairpin: only the hub is left.
pub(crate) fn one_strict_carrier() -> Scenario {
    Scenario {
        sites: vec![behind(Border::HOME, 2), behind(Border::HOME, 2), at(Border::HOME)],
        script: vec![held(Act::StartAll, 30, 60), step(Act::StopAll, 20)],
        ..pair("one-strict-carrier", Border::HOME, Border::HOME)
    }
}

/// Symmetric NATs, but IPv6 without any: stateful firewalls on both sides.
pub(crate) fn native_ipv6() -> Scenario {
    let dual_stack = Site {
        ipv6: Some(Border::GUARDED),
        ..at(Border::SYMMETRIC)
    };
    Scenario {
        sites: vec![dual_stack.clone(), dual_stack],
        ..pair("native-ipv6", Border::SYMMETRIC, Border::SYMMETRIC)
    }
}

/// Five leaves of every kind at once, two of them in one network.
pub(crate) fn mesh_of_five() -> Scenario {
    Scenario {
        sites: vec![
            at(Border::HOME),
            at(Border::Open),
            at(Border::GUARDED),
            at(Border::SYMMETRIC),
        ],
        leaves: vec![leaf("a", 0), leaf("b", 0), leaf("c", 1), leaf("d", 2), leaf("e", 3)],
        script: vec![
            held(Act::StartAll, 60, 60),
            step(Act::Cut("a", "c"), 60),
            step(Act::Stop("d"), 60),
            step(Act::Heal("a", "c"), 120),
            step(Act::Start("d"), 60),
            step(Act::StopAll, 20),
        ],
        ..pair("mesh-of-five", Border::HOME, Border::HOME)
    }
}

/// The hub's operator says of a leaf what is true for some of the others and in the way of something for others: what only their own
/// operators know, and what they are connected to.
pub(crate) fn claims() -> Scenario {
    let of_b = |prefix, harm| Claim { of: "b", prefix, harm };
    Scenario {
        sites: vec![at(Border::HOME), at(Border::HOME), at(Border::Open)],
        leaves: vec![leaf("a", 0), leaf("b", 1), leaf("c", 2)],
        claims: vec![
            of_b("10.88.0.0/16", Harm::None),
            of_b("0.0.0.0/1", Harm::Everywhere),
            of_b("128.0.0.0/1", Harm::Everywhere),
            // Each host has a peer that its operator made by hand: of the first leaf this is the address, and this the endpoint.
            of_b("172.31.5.1/32", Harm::At("a")),
            of_b("203.0.113.201/32", Harm::At("a")),
            of_b("10.77.7.0/24", Harm::Attached),
            of_b("10.77.7.200/29", Harm::Attached),
        ],
        script: vec![
            held(Act::StartAll, 40, 10),
            held(Act::Attach("a"), 10, 5),
            step(Act::Detach("a"), 10),
            step(Act::StopAll, 20),
        ],
        ..pair("claims", Border::HOME, Border::HOME)
    }
}
