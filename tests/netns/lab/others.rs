//! Who runs beside the daemon under test: nodes of wirelink v1, and members that lie. See `understudy`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::{Lab, WIRELINK, link_local_allowed_ip};
use crate::command::Process;
use crate::look::Way;
use crate::scenario::course::Course;
use crate::scenario::{Name, Program};

const UNDERSTUDY: &str = env!("CARGO_BIN_EXE_understudy");
/// How long `wirelink restore` may take.
const RESTORED_WITHIN: Duration = Duration::from_secs(10);

/// Returns the program of wirelink v1 that tests run, if `V1_WIRELINK` names one. Its file must be called `wirelink`: it takes the names of
/// its files and variables from that.
pub(crate) fn v1_program() -> Option<PathBuf> {
    std::env::var_os("V1_WIRELINK").map(PathBuf::from)
}

impl Lab {
    /// Returns what runs on a host.
    pub(crate) fn program(&self, name: Name) -> Program {
        Course::new(&self.scenario).program(name)
    }

    /// Returns the line that starts a v1 node: the program itself, where there is one, else the one that stands in for it.
    pub(super) fn v1(&self, name: Name) -> String {
        let is_told = self.is_hub(name) && self.hubs().len() > 1;
        if let Some(program) = v1_program() {
            let router = if is_told { "--router" } else { "" };
            return format!("{} --iface {} {router}", program.display(), self.interface(name));
        }
        let router = if is_told { "router" } else { "" };
        format!("{UNDERSTUDY} v1 {} {router}", self.interface(name))
    }

    /// Gives the interface its address: v1 gives up where the kernel is not done with one that it has just added.
    pub(super) fn ready_address(&self, name: Name) {
        let line = format!(
            "ip addr add {} dev {} nodad",
            self.link_local(name),
            self.interface(name)
        );
        // It may have it already.
        let _ = self.namespace(name).attempt(&line);
    }

    /// Takes away what a stopped daemon of ours left for v1 nodes that still send to it.
    pub(crate) fn restore(&self, name: Name) {
        let line = format!("{WIRELINK} restore --iface {}", self.interface(name));
        let mut restore = self.spawn(name, &line, &format!("{name}-restore.log"));
        let status = restore.ended(RESTORED_WITHIN);
        assert!(
            status.is_some_and(|status| status.success()),
            "{name}: {}",
            restore.output()
        );
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
