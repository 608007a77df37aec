//! Scenarios as data: who is where, behind which NAT, what happens, and what must hold when.
//!
//! They name no world: the same table is played with real interfaces (`tests/netns`) and can be played by a simulator.
//! Every scenario has a hub on a public address that routes for all; its leaves know only the hub.

use std::time::Duration;

/// One network, and what happens to it.
#[derive(Debug)]
pub(crate) struct Scenario {
    /// The name, as it is printed.
    pub(crate) name: &'static str,
    /// Where the leaves are. Two leaves in all; the hub has a public site of its own.
    pub(crate) sites: &'static [Site],
    /// Whether the tunnel also carries IPv6 (a ULA prefix).
    pub(crate) tunnel_ipv6: bool,
    /// What happens, in order.
    pub(crate) script: &'static [Step],
}

/// A place with one public address.
#[derive(Debug)]
pub(crate) struct Site {
    /// What stands between its leaves and the internet.
    pub(crate) nat: Nat,
    /// The names of its leaves. Without a NAT there is one, and it has the public address.
    pub(crate) leaves: &'static [&'static str],
}

/// What a site has at its border, in the words of RFC 4787.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nat {
    /// Nothing: the leaf has a public address, and nothing is filtered.
    None,
    /// Port-preserving mapping as long as the port is free, address-and-port-dependent filtering, no hairpinning.
    Home,
}

/// Something that happens, and what must follow.
#[derive(Debug)]
pub(crate) struct Step {
    /// What happens.
    pub(crate) act: Act,
    /// Which way the leaves must reach each other afterwards.
    pub(crate) then: Path,
    /// How long that may take.
    pub(crate) within: Duration,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// wirelink starts on the hub and on every leaf.
    Start,
    /// Nothing passes between the leaves any more but through the hub.
    Cut,
    /// The direct path is back.
    Heal,
    /// wirelink is asked to stop everywhere, and leaves the devices as it found them.
    Stop,
}

/// Which way two leaves reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// In one WireGuard hop.
    Direct,
    /// Through the hub.
    Hub,
}

/// All scenarios.
pub(crate) const ALL: [&Scenario; 4] = [&PUBLIC_PUBLIC, &HOME_HOME, &HOME_PUBLIC, &SAME_LAN];

/// Two leaves with public addresses: the first handshake slot suffices.
pub(crate) const PUBLIC_PUBLIC: Scenario = Scenario {
    name: "public-public",
    sites: &[public(&["a"]), public(&["b"])],
    tunnel_ipv6: false,
    script: DIRECT_CUT_HEAL_STOP,
};

/// Two leaves behind two home routers: both must send before either is heard.
pub(crate) const HOME_HOME: Scenario = Scenario {
    name: "home-home",
    sites: &[home(&["a"]), home(&["b"])],
    tunnel_ipv6: true,
    script: DIRECT_CUT_HEAL_STOP,
};

/// One leaf behind a home router: only it can begin.
pub(crate) const HOME_PUBLIC: Scenario = Scenario {
    name: "home-public",
    sites: &[home(&["a"]), public(&["b"])],
    tunnel_ipv6: false,
    script: DIRECT_CUT_HEAL_STOP,
};

/// Two leaves behind one home router without hairpinning: only their private addresses work.
pub(crate) const SAME_LAN: Scenario = Scenario {
    name: "same-lan",
    sites: &[home(&["a", "b"])],
    tunnel_ipv6: false,
    script: DIRECT_CUT_HEAL_STOP,
};

const DIRECT_CUT_HEAL_STOP: &[Step] = &[
    step(Act::Start, Path::Direct, 30),
    step(Act::Cut, Path::Hub, 60),
    step(Act::Heal, Path::Direct, 120),
    step(Act::Stop, Path::Hub, 20),
];

const fn step(act: Act, then: Path, seconds: u64) -> Step {
    Step {
        act,
        then,
        within: Duration::from_secs(seconds),
    }
}

const fn public(leaves: &'static [&'static str]) -> Site {
    Site { nat: Nat::None, leaves }
}

const fn home(leaves: &'static [&'static str]) -> Site {
    Site { nat: Nat::Home, leaves }
}
