//! A scenario on real interfaces: namespaces, NATs, WireGuard, and the daemon itself beside it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use wirelink::mesh::identity::{AddressHash, PublicKey};

use crate::command::Process;
use crate::network::{Namespace, Network, PREFIX};
use crate::scenario::Scenario;
use crate::show::{self, Device, Peer};
use crate::sweep;
use crate::tunnel::{INTERFACE, Inner, Interface, Keys, PORT, PeerLines};

/// The name of the host that routes for all.
pub(crate) const HUB: &str = "hub";

/// The daemon under test.
pub(crate) const WIRELINK: &str = env!("CARGO_BIN_EXE_wirelink");

/// How many lines of a log are shown when a test fails.
const SHOWN_LINES: usize = 150;

/// And how many of what `ping` printed.
const SHOWN_ECHOES: usize = 5;

/// The network of a scenario, built and configured hub-and-spoke. Nothing of it is left when this is dropped.
#[derive(Debug)]
pub(crate) struct Lab {
    // Fields are dropped in this order: first what runs, then where it runs.
    hosts: BTreeMap<&'static str, Host>,
    pub(crate) network: Network,
    logs: PathBuf,
}

/// A host beside its namespace.
#[derive(Debug)]
struct Host {
    daemon: Option<Process>,
    interface: Interface,
    public_key: String,
    inner: Inner,
    by_hand: PeerLines,
}

/// What a daemon must leave as it found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    device: Device,
    addresses: std::collections::BTreeSet<IpNet>,
}

impl Lab {
    /// Builds a scenario.
    pub(crate) fn build(scenario: &Scenario) -> Self {
        require_root();
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep::sweep);
        static WORLDS: AtomicU32 = AtomicU32::new(0);
        let (process, world) = (std::process::id(), WORLDS.fetch_add(1, Ordering::Relaxed));
        let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{PREFIX}{process}-{world}-{}", scenario.name));
        std::fs::create_dir_all(&logs).unwrap_or_else(|error| panic!("{}: {error}", logs.display()));
        let mut lab = Self {
            network: Network::build(&format!("{PREFIX}{process}-{world}"), HUB, scenario.sites),
            hosts: BTreeMap::new(),
            logs,
        };
        lab.add_hosts(scenario, &format!("{INTERFACE}{process}x{world}"));
        lab
    }

    fn add_hosts(&mut self, scenario: &Scenario, interface: &str) {
        let leaves = scenario.sites.iter().flat_map(|site| site.leaves.iter().copied());
        let names: Vec<&'static str> = [HUB].into_iter().chain(leaves).collect();
        let keys: Vec<Keys> = names.iter().map(|_| Keys::generate()).collect();
        for (number, name) in (0u8..).zip(&names) {
            let inner = Inner::of(number, scenario.tunnel_ipv6);
            let by_hand = PeerLines::by_hand(number);
            let mut peers = vec![by_hand.clone()];
            if *name == HUB {
                let leaves = (1u8..).zip(&keys[1..]);
                peers.extend(leaves.map(|(leaf, keys)| leaf_at_hub(Inner::of(leaf, scenario.tunnel_ipv6), keys)));
            } else {
                peers.push(hub_at_leaf(inner, &keys[0], &self.network));
            }
            let interface = format!("{interface}{}", &name[..1]);
            let own = &keys[usize::from(number)];
            let made = Interface::make(&interface, self.network.host(name), own, &peers, inner, &self.logs);
            if *name == HUB {
                let forward = "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1";
                self.namespace(name).run(forward);
            }
            let host = Host {
                daemon: None,
                interface: made,
                public_key: own.public.clone(),
                inner,
                by_hand,
            };
            self.hosts.insert(name, host);
        }
    }

    /// Returns the names of all hosts.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.hosts.keys().copied().collect()
    }

    /// Returns the two leaves.
    pub(crate) fn leaves(&self) -> [&'static str; 2] {
        let leaves: Vec<_> = self.names().into_iter().filter(|name| *name != HUB).collect();
        leaves.try_into().expect("a scenario has two leaves")
    }

    pub(crate) fn namespace(&self, name: &str) -> &Namespace {
        self.network.host(name)
    }

    pub(crate) fn interface(&self, name: &str) -> &str {
        &self.hosts[name].interface.name
    }

    /// Makes the userspace WireGuard of a host deaf, or lets it go on; returns whether there is one.
    pub(crate) fn suspend(&self, name: &str, deaf: bool) -> bool {
        self.hosts[name].interface.suspend(deaf)
    }

    pub(crate) fn public_key(&self, name: &str) -> &str {
        &self.hosts[name].public_key
    }

    pub(crate) fn inner(&self, name: &str) -> Inner {
        self.hosts[name].inner
    }

    /// Returns the link-local address that the daemon of a host gives its interface.
    pub(crate) fn link_local(&self, name: &str) -> IpNet {
        let key: PublicKey = self.public_key(name).parse().expect("wg made this key");
        let address = AddressHash::Sha1.link_local(&key);
        IpNet::new(IpAddr::V6(address), 64).expect("64 is a prefix length")
    }

    /// Reads the device of a host as `wg` shows it.
    pub(crate) fn device(&self, name: &str) -> Result<Device, String> {
        self.hosts[name].interface.read(self.namespace(name))
    }

    /// Reads what one host has of another as its peer.
    pub(crate) fn peer(&self, at: &str, of: &str) -> Option<Peer> {
        self.device(at).ok()?.peers.remove(self.public_key(of))
    }

    /// Returns the addresses on the WireGuard interface of a host.
    pub(crate) fn addresses(&self, name: &str) -> std::collections::BTreeSet<IpNet> {
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
        let mut command = self.namespace(name).command(line);
        for (variable, _) in std::env::vars().filter(|(variable, _)| variable.starts_with("WIRELINK_")) {
            command.env_remove(variable);
        }
        Process::spawn(command, &self.logs.join(log))
    }

    /// Starts wirelink on a host.
    pub(crate) fn start(&mut self, name: &'static str) {
        let line = format!("{WIRELINK} --debug --iface {}", self.interface(name));
        let daemon = self.spawn(name, &line, &format!("{name}.log"));
        self.hosts.get_mut(name).expect("a host").daemon = Some(daemon);
    }

    /// Returns the daemon that was started on a host.
    pub(crate) fn daemon(&mut self, name: &str) -> &mut Process {
        let daemon = self.hosts.get_mut(name).expect("a host").daemon.as_mut();
        daemon.unwrap_or_else(|| panic!("no wirelink was started on {name}"))
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

impl Lab {
    fn show_logs(&self) {
        let entries = std::fs::read_dir(&self.logs).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let text = std::fs::read(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            let shown = if path.extension().is_some_and(|kind| kind == "log") {
                SHOWN_LINES
            } else {
                SHOWN_ECHOES
            };
            println!("--- {} ({} lines)", path.display(), lines.len());
            lines[lines.len().saturating_sub(shown)..]
                .iter()
                .for_each(|line| println!("{line}"));
        }
        for name in self.names() {
            let shown = self
                .namespace(name)
                .attempt(&format!("wg show {}", self.interface(name)));
            println!("--- wg show on {name}\n{}", shown.unwrap_or_else(|error| error));
        }
    }
}

/// Returns the allowed IP by which a peer may use its link-local address.
fn link_local_allowed_ip(public_key: &str) -> IpNet {
    let key: PublicKey = public_key.parse().expect("wg made this key");
    AddressHash::Sha1.allowed_ip(&key)
}

/// Says whether a peer completed a handshake so lately that its session still counts.
pub(crate) fn has_session(peer: &Peer) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    now.as_secs().saturating_sub(peer.latest_handshake) < 180
}

fn leaf_at_hub(inner: Inner, keys: &Keys) -> PeerLines {
    PeerLines {
        public_key: keys.public.clone(),
        preshared_key: None,
        allowed_ips: inner.own(),
        endpoint: None,
        keepalive: None,
    }
}

fn hub_at_leaf(inner: Inner, keys: &Keys, network: &Network) -> PeerLines {
    PeerLines {
        public_key: keys.public.clone(),
        preshared_key: None,
        allowed_ips: inner.all(),
        endpoint: Some(format!("{}:{PORT}", network.public_address(HUB))),
        keepalive: Some(25),
    }
}

fn require_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "the lab makes network namespaces: run it as root, best by `tests/run lab`"
    );
}
