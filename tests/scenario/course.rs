//! How far a scenario has come: where everybody is, and what is cut.

use std::collections::{BTreeMap, BTreeSet};

use super::{Act, Name, Program, Scenario};

/// The topology as the acts so far have made it.
#[derive(Clone, Debug)]
pub(crate) struct Course<'a> {
    scenario: &'a Scenario,
    sites: BTreeMap<Name, usize>,
    cuts: BTreeSet<(Name, Name)>,
    isolated: BTreeSet<Name>,
    running: BTreeSet<Name>,
    revoked: BTreeSet<Name>,
    attached: BTreeSet<Name>,
}

impl<'a> Course<'a> {
    /// The beginning: WireGuard is there, and wirelink runs nowhere.
    pub(crate) fn new(scenario: &'a Scenario) -> Self {
        Self {
            scenario,
            sites: scenario.leaves.iter().map(|leaf| (leaf.name, leaf.site)).collect(),
            cuts: BTreeSet::new(),
            isolated: BTreeSet::new(),
            running: BTreeSet::new(),
            revoked: BTreeSet::new(),
            attached: BTreeSet::new(),
        }
    }

    /// Takes in what happens.
    pub(crate) fn take(&mut self, act: Act) {
        match act {
            Act::StartAll => self.running.extend(self.scenario.names()),
            Act::StopAll => self.running.clear(),
            Act::Start(name) | Act::Reboot(name) => drop(self.running.insert(name)),
            Act::Stop(name) => drop(self.running.remove(name)),
            Act::Cut(one, other) => drop(self.cuts.insert(ordered(one, other))),
            Act::Heal(one, other) => drop(self.cuts.remove(&ordered(one, other))),
            Act::Isolate(name) => drop(self.isolated.insert(name)),
            Act::Rejoin(name) => drop(self.isolated.remove(name)),
            Act::Roam(name, site) => drop(self.sites.insert(name, site)),
            Act::RoamBoth(one, other) => self.sites.extend([one, other]),
            Act::Revoke(name) => {
                self.running.remove(name);
                self.revoked.insert(name);
            }
            Act::Attach(name) => drop(self.attached.insert(name)),
            Act::Detach(name) => drop(self.attached.remove(name)),
            Act::Renumber(_) | Act::Sleep(..) | Act::Lie(_) | Act::Wait => {}
        }
    }

    /// Takes in that a leaf that was revoked is a member again, and wirelink runs there.
    pub(crate) fn admit(&mut self, name: Name) {
        self.revoked.remove(name);
        self.running.insert(name);
    }

    pub(crate) fn scenario(&self) -> &'a Scenario {
        self.scenario
    }

    /// Returns where a leaf is.
    pub(crate) fn site(&self, leaf: Name) -> usize {
        self.sites[leaf]
    }

    /// Returns whether nothing passes between two hosts but through others.
    pub(crate) fn is_cut(&self, one: Name, other: Name) -> bool {
        self.cuts.contains(&ordered(one, other)) || self.is_isolated(one) || self.is_isolated(other)
    }

    /// Returns whether a host reaches nobody.
    pub(crate) fn is_isolated(&self, name: Name) -> bool {
        self.isolated.contains(name)
    }

    /// Returns whether wirelink runs on a host.
    pub(crate) fn runs(&self, name: Name) -> bool {
        self.running.contains(name)
    }

    /// Returns whether a machine has the interface that leads nowhere.
    pub(crate) fn is_attached(&self, name: Name) -> bool {
        self.attached.contains(name)
    }

    /// Returns whether a leaf is still one of the network.
    pub(crate) fn is_member(&self, name: Name) -> bool {
        !self.revoked.contains(name)
    }

    /// Returns what runs on a host.
    pub(crate) fn program(&self, name: Name) -> Program {
        let hubs = self.scenario.hubs.iter().map(|hub| (hub.name, hub.program));
        let leaves = self.scenario.leaves.iter().map(|leaf| (leaf.name, leaf.program));
        let found = hubs.chain(leaves).find(|(known, _)| *known == name);
        found.map_or_else(|| panic!("no host is called {name}"), |(_, program)| program)
    }
}

fn ordered(one: Name, other: Name) -> (Name, Name) {
    if one < other { (one, other) } else { (other, one) }
}
