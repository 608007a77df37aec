//! Who runs beside the daemon under test: nodes of wirelink v1, and members that lie. See `understudy`.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{Lab, link_local_allowed_ip};
use crate::command::Process;
use crate::look::Way;
use crate::scenario::course::Course;
use crate::scenario::{Name, Program};

const UNDERSTUDY: &str = env!("CARGO_BIN_EXE_understudy");

impl Lab {
    /// Returns what runs on a host.
    pub(crate) fn program(&self, name: Name) -> Program {
        Course::new(&self.scenario).program(name)
    }

    /// Returns the line that starts a v1 node.
    pub(super) fn v1(&self, name: Name) -> String {
        let is_told = self.is_hub(name) && self.hubs().len() > 1;
        let router = if is_told { "router" } else { "" };
        format!("{UNDERSTUDY} v1 {} {router}", self.interface(name))
    }

    /// Has a host lie to all others from now on.
    pub(crate) fn lie(&mut self, name: Name) {
        let victims = self.names().into_iter().filter(|victim| *victim != name);
        let victims: Vec<String> = victims.map(|victim| self.victim(victim)).collect();
        let line = format!("{UNDERSTUDY} liar {} {}", self.interface(name), victims.join(" "));
        let liar = self.spawn(name, &line, &format!("{name}-lies.log"));
        self.liars.push((name, liar));
    }

    fn victim(&self, name: Name) -> String {
        let prefixes: Vec<String> = self.inner(name).own().iter().map(IpNet::to_string).collect();
        format!("{}:{}", self.public_key(name), prefixes.join(","))
    }

    /// Returns who lies.
    pub(crate) fn liars(&mut self) -> Vec<Name> {
        let lying = self
            .liars
            .iter_mut()
            .filter_map(|(name, liar)| liar.is_running().then_some(*name));
        lying.collect()
    }

    /// Returns the ways on which nobody lies: there the counters show what the test sends.
    pub(crate) fn without_liars(&self, ways: &[Way]) -> Vec<Way> {
        let lies = |name: &Name| self.liars.iter().any(|(liar, _)| liar == name);
        let honest = ways.iter().filter(|(one, other, _)| !lies(one) && !lies(other));
        honest.copied().collect()
    }

    /// Has all liars fall silent.
    pub(crate) fn silence_liars(&mut self) {
        self.liars.iter_mut().for_each(|(_, liar)| Process::kill(liar));
        self.liars.clear();
    }

    /// Says which lie a device shows, if any: a peer that nobody knows, or a prefix that is not its owner's.
    pub(crate) fn believed(&self, at: Name) -> Option<String> {
        let device = self.device(at).ok()?;
        let written = &self.hosts[at].written.peers;
        for (key, peer) in &device.peers {
            let named = self.names().into_iter().find(|name| self.public_key(name) == key);
            let by_operator = written.iter().find(|lines| lines.public_key == *key);
            if named.is_none() && by_operator.is_none() {
                return Some(format!("{at}: the stranger {key}"));
            }
            let mut own: BTreeSet<IpNet> = [link_local_allowed_ip(key)].into();
            own.extend(named.iter().flat_map(|name| self.inner(name).own()));
            own.extend(by_operator.iter().flat_map(|lines| lines.allowed_ips.iter().copied()));
            let taken = peer.allowed_ips.iter().find(|prefix| !own.contains(prefix));
            if let Some(prefix) = taken {
                return Some(format!("{at}: {prefix} of {key}"));
            }
        }
        None
    }
}
