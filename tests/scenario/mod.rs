//! Scenarios as data: who is where, behind what, what happens, and how long what follows may take.
//!
//! They name no world: the same tables are played by the simulator (`tests/sim`) and with real interfaces (`tests/netns`). What
//! must follow is no data but follows itself, from the topology alone: see [`oracle`].

pub(crate) mod border;
pub(crate) mod claim;
pub(crate) mod course;
pub(crate) mod oracle;
pub(crate) mod said;
pub(crate) mod table;

use std::time::Duration;

use self::border::Border;
use self::claim::Claim;

/// The name of a host; hubs and leaves share one space of names.
pub(crate) type Name = &'static str;

/// One network, and what happens to it.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// The name, as it is printed.
    pub(crate) name: String,
    /// The routers, each with a public site of its own.
    ///
    /// The hub of number `i` is 10.99.`i`.1 in the tunnel and routes 10.99.`i`.0/24. Hubs that know one another have each other
    /// as peers, with these networks, and are told that they are routers: each would take itself for a leaf of the others.
    pub(crate) hubs: Vec<Hub>,
    /// All sites that a leaf is at, or comes to.
    pub(crate) sites: Vec<Site>,
    /// The leaves.
    pub(crate) leaves: Vec<Leaf>,
    /// What the settings of the first hub say about the prefixes of leaves.
    pub(crate) claims: Vec<Claim>,
    /// Whether the tunnel also carries IPv6 (a ULA prefix).
    pub(crate) tunnel_ipv6: bool,
    /// Which worlds can play it.
    pub(crate) worlds: Worlds,
    /// What happens, in order.
    pub(crate) script: Vec<Step>,
}

/// A host that routes for others, on a public address.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    /// Its name.
    pub(crate) name: Name,
    /// What runs there.
    pub(crate) program: Program,
    /// Whether the leaves know it by a DNS name (in their settings) and not only by an address.
    pub(crate) by_dns_name: bool,
}

/// A host that knows only its hubs.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    /// Its name.
    pub(crate) name: Name,
    /// What runs there.
    pub(crate) program: Program,
    /// Where it is at the beginning: an index into [`Scenario::sites`].
    pub(crate) site: usize,
    /// Its hubs, by index into [`Scenario::hubs`]; the first is the one whose network its address is from.
    ///
    /// A leaf that knows all hubs has each with its own network; one that knows only one of several has that one with 10.99.0.0/16.
    pub(crate) hubs: Vec<usize>,
}

/// What runs beside WireGuard on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// This project's daemon.
    Ours,
    /// The deployed wirelink v1.
    V1,
}

/// A place where leaves can be.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// What stands between its leaves and the internet.
    pub(crate) border: Border,
    /// Whether it hangs behind another site's border (carrier NAT), given by index, and not on the internet itself.
    pub(crate) behind: Option<usize>,
    /// The firewall before its public IPv6 addresses; `None` where it has no IPv6. Never a NAT.
    pub(crate) ipv6: Option<Border>,
}

/// Which worlds can play a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worlds {
    /// Both.
    Both,
    /// Both, but it takes many minutes of real time: the lab plays it on demand.
    BothSlow,
    /// Only the simulator, for the reason that is given.
    Simulator(&'static str),
}

/// Something that happens, and how long until what follows from it is the case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// What happens.
    pub(crate) act: Act,
    /// How long it may take until everybody reaches everybody in the way that the oracle names.
    pub(crate) within: Duration,
    /// How long it must stay so.
    pub(crate) hold: Duration,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// wirelink starts on all hosts.
    StartAll,
    /// wirelink is asked to stop everywhere, and leaves the devices as it found them.
    StopAll,
    /// wirelink starts on one host.
    Start(Name),
    /// wirelink is asked to stop on one host.
    Stop(Name),
    /// The machine of a host starts anew: WireGuard as its operator configured it, no session, then wirelink.
    Reboot(Name),
    /// Nothing passes between two hosts any more but through others; their neighbours go on reaching each other.
    Cut(Name, Name),
    /// The way between two hosts is back.
    Heal(Name, Name),
    /// A host is cut off from everybody; where it is a hub, all that goes through it is, too.
    Isolate(Name),
    /// It is back.
    Rejoin(Name),
    /// A leaf goes to another site, by index, and has another address from then on.
    Roam(Name, usize),
    /// Two leaves go to other sites in the same moment.
    RoamBoth((Name, usize), (Name, usize)),
    /// A hub has another public address from now on, and its DNS name leads there.
    Renumber(Name),
    /// A machine is suspended for so long.
    Sleep(Name, Duration),
    /// The operator removes a leaf from its hubs, and its own daemon is stopped: it is no member any more.
    Revoke(Name),
    /// A machine gets one more interface, which leads nowhere, with the network of [`claim::ATTACHED`].
    Attach(Name),
    /// That interface is gone.
    Detach(Name),
    /// A leaf begins to say whatever its level of trust lets it say, and more, about everybody.
    Lie(Name),
    /// Nothing but time.
    Wait,
}

/// Which way two leaves reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// In one WireGuard hop.
    Direct,
    /// Through one hub or more.
    Hub,
    /// Not at all.
    Nothing,
}

impl Scenario {
    /// Returns the names of all hosts, hubs first.
    pub(crate) fn names(&self) -> Vec<Name> {
        let hubs = self.hubs.iter().map(|hub| hub.name);
        hubs.chain(self.leaves.iter().map(|leaf| leaf.name)).collect()
    }

    /// Returns every pair of leaves once.
    pub(crate) fn pairs(&self) -> Vec<(Name, Name)> {
        let names: Vec<Name> = self.leaves.iter().map(|leaf| leaf.name).collect();
        let pairs = names.iter().enumerate();
        pairs
            .flat_map(|(index, one)| names[index + 1..].iter().map(|other| (*one, *other)))
            .collect()
    }
}
