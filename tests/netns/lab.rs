//! A scenario on real interfaces: namespaces, NATs, WireGuard, and the daemon itself beside it.

mod interface;
mod logs;
pub(crate) mod others;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use rustix::process::Signal;
use wirelink::mesh::base::identity::{AddressHash, PublicKey};

use crate::command::Process;
use crate::namespace::{Namespace, PREFIX};
use crate::network::Network;
use crate::operator;
use crate::scenario::{Name, Program, Scenario};
use crate::show::{self, Device, Peer};
use crate::sweep;
use crate::tunnel::{INTERFACE, Inner, Interface, PeerLines, Written};

/// The daemon under test.
pub(crate) const WIRELINK: &str = env!("CARGO_BIN_EXE_wirelink");

/// The network of a scenario, built and configured hub-and-spoke. Nothing of it is left when this is dropped.
pub(crate) struct Lab {
    // Fields are dropped in this order: first what runs, then where it runs.
    liars: Vec<(Name, Process)>,
    hosts: BTreeMap<Name, Host>,
    pub(crate) network: Network,
    pub(crate) scenario: Scenario,
    /// What was there before wirelink.
    found: BTreeMap<Name, Found>,
    pub(crate) logs: PathBuf,
    /// With what every wirelink is started.
    pub(crate) flags: &'static str,
    /// What starts it, such as `env` with variables; often nothing.
    pub(crate) starter: String,
}

/// A host beside its namespace.
pub(crate) struct Host {
    pub(crate) daemon: Option<Process>,
    /// The name of the interface, which is no more only while the machine starts anew.
    name: String,
    interface: Option<Interface>,
    written: Written,
    by_hand: PeerLines,
}

/// What a daemon must leave as it found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    device: Device,
    addresses: BTreeSet<IpNet>,
}

impl Found {
    /// Returns the same without a peer.
    fn without(mut self, public_key: &str) -> Self {
        self.device.peers.remove(public_key);
        self
    }
}

impl Lab {
    /// Builds a scenario.
    pub(crate) fn build(scenario: &Scenario) -> Self {
        let world = new_world();
        let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{world}-{}", scenario.name));
        std::fs::create_dir_all(&logs).unwrap_or_else(|error| panic!("{}: {error}", logs.display()));
        let mut lab = Self {
            network: Network::build(&world, scenario),
            liars: Vec::new(),
            hosts: BTreeMap::new(),
            scenario: scenario.clone(),
            found: BTreeMap::new(),
            logs,
            flags: "--debug",
            starter: String::new(),
        };
        let number = world.trim_start_matches(PREFIX).replace('-', "x");
        lab.add_hosts(&format!("{INTERFACE}{number}"));
        lab.write_names();
        lab.names().into_iter().for_each(|name| lab.write_settings(name));
        lab
    }

    fn add_hosts(&mut self, interface: &str) {
        let endpoint = |hub: &str| self.network.public_address(hub);
        for (host, letter) in operator::write(&self.scenario, endpoint).into_iter().zip('a'..='z') {
            let interface = format!("{interface}{letter}");
            let made = Interface::make(&interface, self.network.host(host.name), &host.written, &self.logs);
            if self.is_hub(host.name) {
                self.namespace(host.name).forwards();
            }
            let of_lab = Host {
                daemon: None,
                name: interface,
                interface: Some(made),
                written: host.written,
                by_hand: host.by_hand,
            };
            self.hosts.insert(host.name, of_lab);
        }
    }

    /// Returns the names of all hosts.
    pub(crate) fn names(&self) -> Vec<Name> {
        self.scenario.names()
    }

    /// Returns the names of the hubs.
    pub(crate) fn hubs(&self) -> Vec<Name> {
        self.scenario.hubs.iter().map(|hub| hub.name).collect()
    }

    /// Returns the hubs of a leaf.
    pub(crate) fn hubs_of(&self, leaf: &str) -> Vec<Name> {
        let found = self.scenario.leaves.iter().find(|of| of.name == leaf);
        let hubs = found.into_iter().flat_map(|leaf| &leaf.hubs);
        hubs.map(|index| self.scenario.hubs[*index].name).collect()
    }

    /// Returns whether a host routes for others.
    pub(crate) fn is_hub(&self, name: &str) -> bool {
        self.hubs().contains(&name)
    }

    /// Returns the names of the leaves.
    pub(crate) fn leaves(&self) -> Vec<Name> {
        self.scenario.leaves.iter().map(|leaf| leaf.name).collect()
    }

    /// Returns the two leaves of a scenario that has no more.
    pub(crate) fn two_leaves(&self) -> [Name; 2] {
        self.leaves().try_into().expect("the scenario has two leaves")
    }

    pub(crate) fn namespace(&self, name: &str) -> &Namespace {
        self.network.host(name)
    }

    pub(crate) fn interface(&self, name: &str) -> &str {
        &self.hosts[name].name
    }

    /// Makes the userspace WireGuard of a host deaf, or lets it go on; returns whether there is one.
    pub(crate) fn suspend(&self, name: &str, deaf: bool) -> bool {
        let interface = self.hosts[name].interface.as_ref();
        interface.is_some_and(|interface| interface.suspend(deaf))
    }

    pub(crate) fn public_key(&self, name: &str) -> &str {
        &self.hosts[name].written.keys.public
    }

    pub(crate) fn inner(&self, name: &str) -> Inner {
        self.hosts[name].written.inner
    }

    /// Returns the link-local address that the daemon of a host gives its interface.
    pub(crate) fn link_local(&self, name: &str) -> IpNet {
        let key: PublicKey = self.public_key(name).parse().expect("wg made this key");
        let address = AddressHash::Sha1.link_local(&key);
        IpNet::new(IpAddr::V6(address), 64).expect("64 is a prefix length")
    }

    /// Reads the device of a host as `wg` shows it.
    pub(crate) fn device(&self, name: &str) -> Result<Device, String> {
        let interface = self.hosts[name].interface.as_ref();
        interface.ok_or("there is no interface")?.read(self.namespace(name))
    }

    /// Reads what one host has of another as its peer.
    pub(crate) fn peer(&self, at: &str, of: &str) -> Option<Peer> {
        self.device(at).ok()?.peers.remove(self.public_key(of))
    }

    /// Returns the addresses on the WireGuard interface of a host.
    pub(crate) fn addresses(&self, name: &str) -> BTreeSet<IpNet> {
        let command = format!("ip -o addr show dev {}", self.interface(name));
        show::addresses(&self.namespace(name).attempt(&command).unwrap_or_default())
    }

    /// Takes down what a daemon must leave as it is.
    pub(crate) fn found(&self, name: &str) -> Found {
        Found {
            device: self
                .device(name)
                .unwrap_or_else(|error| panic!("{name}: {error}"))
                .as_configured(),
            addresses: self.addresses(name),
        }
    }

    /// Takes down what all daemons must leave as it is.
    pub(crate) fn remember(&mut self) {
        self.found = self.names().into_iter().map(|name| (name, self.found(name))).collect();
    }

    /// Compares with what was taken down, or with the last start of the machine; `gone` are no members any more. A v1 node leaves the
    /// device as it is.
    pub(crate) fn expect_as_found(&self, gone: &[Name]) {
        for (name, found) in self
            .found
            .iter()
            .filter(|(name, _)| self.program(name) == Program::Ours)
        {
            let keys = gone.iter().map(|leaf| self.public_key(leaf));
            let expected = keys.fold(found.clone(), Found::without);
            assert_eq!(self.found(name), expected, "{name}: as it was found");
        }
    }

    /// Says what is no longer as the operator wrote it about the peer made by hand, if anything. While wirelink runs, the
    /// peer may carry its own link-local address beside its allowed IPs, as every peer does.
    pub(crate) fn by_hand_changed(&self, name: &str) -> Option<String> {
        let lines = &self.hosts[name].by_hand;
        let device = match self.device(name) {
            Ok(device) => device,
            Err(error) => return Some(format!("{name}: {error}")),
        };
        let Some(peer) = device.peers.get(&lines.public_key) else {
            return Some(format!("{name}: the peer made by hand is gone"));
        };
        let own = link_local_allowed_ip(&lines.public_key);
        let allowed_ips = peer.allowed_ips.iter().filter(|prefix| **prefix != own);
        let checks = [
            ("preshared key", peer.preshared_key == lines.preshared_key),
            ("keepalive", peer.keepalive == lines.keepalive),
            ("allowed IPs", allowed_ips.eq(lines.allowed_ips.iter())),
            (
                "endpoint",
                peer.endpoint.map(|endpoint| endpoint.to_string()) == lines.endpoint,
            ),
        ];
        let wrong: Vec<&str> = checks
            .into_iter()
            .filter(|(_, same)| !same)
            .map(|(what, _)| what)
            .collect();
        (!wrong.is_empty()).then(|| format!("{name}: the peer made by hand has another {}", wrong.join(", ")))
    }

    /// Sends one echo request through the tunnel; `None` without an answer within a second.
    pub(crate) fn echo(&self, from: &str, to: IpAddr) -> Option<show::Echo> {
        let ping = self.namespace(from).attempt(&format!("ping -n -c 1 -W 1 {to}"));
        show::echoes(&ping.ok()?).first().copied()
    }

    /// Starts a program beside the test, with its log among those of the lab.
    pub(crate) fn spawn(&self, name: &str, line: &str, log: &str) -> Process {
        self.spawn_with(name, line, log, None)
    }

    fn spawn_with(&self, name: &str, line: &str, log: &str, variable: Option<(&str, PathBuf)>) -> Process {
        let mut command = self.namespace(name).command(line);
        for (variable, _) in std::env::vars().filter(|(variable, _)| variable.starts_with("WIRELINK_")) {
            command.env_remove(variable);
        }
        command.envs(variable);
        command.env("STATE_DIRECTORY", self.memories());
        command.env("RUNTIME_DIRECTORY", self.logs.join("run"));
        Process::spawn(command, &self.logs.join(log))
    }

    /// Returns the folder of what survives a restart.
    pub(crate) fn memories(&self) -> PathBuf {
        self.logs.join("state")
    }

    /// Starts wirelink on a host.
    pub(crate) fn start(&mut self, name: Name) {
        self.start_with(name, "");
    }

    /// Starts wirelink on a host, with these flags, too.
    pub(crate) fn start_with(&mut self, name: Name, flags: &str) {
        let line = match self.program(name) {
            Program::Ours => {
                let (starter, interface) = (&self.starter, self.interface(name));
                format!("{starter} {WIRELINK} {} --iface {interface} {flags}", self.flags)
            }
            Program::V1 => {
                self.ready_address(name);
                self.v1(name)
            }
        };
        let settings = Some(self.settings(name)).filter(|folder| folder.exists());
        let settings = settings.map(|folder| ("WIRELINK_CONFIG_PATH", folder));
        let daemon = self.spawn_with(name, &line, &format!("{name}.log"), settings);
        self.hosts.get_mut(name).expect("a host").daemon = Some(daemon);
    }

    /// Starts the machine of a host anew: WireGuard knows what its operator wrote, and nobody was asked to stop.
    pub(crate) fn reboot(&mut self, name: Name) {
        let host = self.hosts.get_mut(name).expect("a host");
        host.daemon.take().iter_mut().for_each(Process::kill);
        self.unmake_interface(name);
        self.make_interface(name);
        // The kernel gives an interface another address of its own each time.
        self.found.insert(name, self.found(name));
        self.start(name);
    }

    /// Suspends a machine for some time, as far as a namespace can be suspended: its programs stand still.
    pub(crate) fn sleep(&mut self, name: Name, time: Duration) {
        self.suspend(name, true);
        self.daemon(name).signal(Signal::STOP);
        std::thread::sleep(time);
        self.suspend(name, false);
        self.daemon(name).signal(Signal::CONT);
    }

    /// Removes a leaf from its hubs, as an operator does.
    pub(crate) fn revoke(&self, leaf: Name) {
        for hub in self.hubs_of(leaf) {
            let (interface, key) = (self.interface(hub), self.public_key(leaf));
            self.namespace(hub)
                .run(&format!("wg set {interface} peer {key} remove"));
        }
    }

    /// Gives a hub another public address, and its name leads there.
    pub(crate) fn renumber(&mut self, hub: Name) {
        self.network.renumber(hub);
        self.write_names();
    }

    /// Returns the daemon that was started on a host.
    pub(crate) fn daemon(&mut self, name: &str) -> &mut Process {
        let daemon = self.hosts.get_mut(name).expect("a host").daemon.as_mut();
        daemon.unwrap_or_else(|| panic!("no wirelink was started on {name}"))
    }

    /// Returns the hosts on which wirelink runs.
    pub(crate) fn running(&mut self) -> Vec<Name> {
        let hosts = &mut self.hosts;
        let runs = |name: &Name| {
            let daemon = hosts.get_mut(name).and_then(|host| host.daemon.as_mut());
            daemon.is_some_and(Process::is_running)
        };
        self.scenario.names().into_iter().filter(runs).collect()
    }

    /// Returns what the daemon of a host logged, over all its runs.
    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.logs.join(format!("{name}.log"))).unwrap_or_default()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        } else {
            let _ = std::fs::remove_dir_all(&self.logs);
        }
    }
}

/// Returns the allowed IP by which a peer may use its link-local address.
fn link_local_allowed_ip(public_key: &str) -> IpNet {
    let key: PublicKey = public_key.parse().expect("wg made this key");
    AddressHash::Sha1.allowed_ip(&key)
}

/// Makes up a name for a network, and sees to it that there can be one.
pub(crate) fn new_world() -> String {
    require_root();
    static SWEPT: Once = Once::new();
    SWEPT.call_once(sweep::sweep);
    static WORLDS: AtomicU32 = AtomicU32::new(0);
    let (process, world) = (std::process::id(), WORLDS.fetch_add(1, Ordering::Relaxed));
    format!("{PREFIX}{process}-{world}")
}

fn require_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "the lab makes network namespaces: run it as root, best by `tests/run lab`"
    );
}
