//! WireGuard interfaces, made and configured as an operator would: by `ip`, `wg` and, without kernel support, wireguard-go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use rustix::process::Signal;

use crate::command::{self, Process};
use crate::namespace::Namespace;
use crate::show::Device;

/// WireGuard's port on every host; all the same, so that two leaves behind one router compete for it.
pub(crate) const PORT: u16 = 51820;

/// The interfaces of this program are called `wll<process>x<world><host>`: all hosts share one folder of sockets.
pub(crate) const INTERFACE: &str = "wll";

/// Where userspace WireGuard has its sockets.
pub(crate) const SOCKETS: &str = "/var/run/wireguard";

/// The keepalive of the peer that the operator made by hand: no default of anything.
const HAND_MADE_KEEPALIVE: u16 = 21;

/// How long wireguard-go may take to make its interface.
const INTERFACE_WITHIN: Duration = Duration::from_secs(10);

/// Which WireGuard a host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// wireguard-go.
    Userspace,
    /// The kernel's.
    Kernel,
}

impl Backend {
    /// Returns what `WIRELINK_LAB` asks for: `userspace` (default) or `kernel`.
    pub(crate) fn wanted() -> Self {
        match std::env::var("WIRELINK_LAB").as_deref() {
            Err(_) | Ok("userspace") => Self::Userspace,
            Ok("kernel") => Self::Kernel,
            Ok(other) => panic!("WIRELINK_LAB={other}: only `userspace` and `kernel` are known"),
        }
    }
}

/// The key pair of a host.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) private: String,
    pub(crate) public: String,
}

impl Keys {
    pub(crate) fn generate() -> Self {
        let private = command::run("wg genkey").trim().to_owned();
        let public = command::attempt_with(command::words("wg pubkey"), &private).expect("wg made this key");
        Self {
            private,
            public: public.trim().to_owned(),
        }
    }

    /// Gives an interface the private key.
    pub(crate) fn give(&self, host: &Namespace, interface: &str) {
        let line = format!("wg set {interface} private-key /dev/stdin");
        host.attempt_with(&line, &self.private)
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

/// The addresses of a host inside the tunnel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inner {
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Option<Ipv6Addr>,
}

impl Inner {
    /// Returns the addresses of a host in the network of a hub; the hub itself is 1.
    pub(crate) fn of(hub: u8, host: u8, with_v6: bool) -> Self {
        let v6 = Ipv6Addr::new(0xfd99, 0, 0, hub.into(), 0, 0, 0, host.into());
        Self {
            v4: Ipv4Addr::new(10, 99, hub, host),
            v6: with_v6.then_some(v6),
        }
    }

    /// Returns the prefixes that belong to the host alone.
    pub(crate) fn own(&self) -> Vec<IpNet> {
        self.nets(32, 128)
    }

    /// Returns the prefixes of the hub whose network the host is in.
    pub(crate) fn of_hub(&self) -> Vec<IpNet> {
        self.nets(24, 64)
    }

    /// Returns the prefixes of the whole tunnel.
    pub(crate) fn all(&self) -> Vec<IpNet> {
        self.nets(16, 48)
    }

    fn nets(&self, v4: u8, v6: u8) -> Vec<IpNet> {
        let net = |address, length| IpNet::new(address, length).expect("a prefix length").trunc();
        let v6 = self.v6.map(|address| net(IpAddr::V6(address), v6));
        [net(IpAddr::V4(self.v4), v4)].into_iter().chain(v6).collect()
    }

    fn on_interface(&self) -> Vec<String> {
        let v6 = self.v6.map(|address| format!("{address}/64"));
        [format!("{}/24", self.v4)].into_iter().chain(v6).collect()
    }
}

/// A peer as the operator writes it down.
#[derive(Clone, Debug)]
pub(crate) struct PeerLines {
    pub(crate) public_key: String,
    pub(crate) preshared_key: Option<String>,
    pub(crate) allowed_ips: Vec<IpNet>,
    pub(crate) endpoint: Option<String>,
    pub(crate) keepalive: Option<u16>,
}

impl PeerLines {
    /// Makes up a peer that only the operator knows: nobody vouches for it and nobody ever answers.
    ///
    /// Its prefix is a single address, since a peer with more than that counts as a router.
    pub(crate) fn by_hand(number: u8) -> Self {
        Self {
            public_key: Keys::generate().public,
            preshared_key: Some(command::run("wg genpsk").trim().to_owned()),
            allowed_ips: vec![IpNet::from(IpAddr::V4(Ipv4Addr::new(172, 31, 5, number)))],
            endpoint: Some(format!("203.0.113.{}:{PORT}", 200 + number)),
            keepalive: Some(HAND_MADE_KEEPALIVE),
        }
    }

    fn section(&self) -> String {
        let allowed: Vec<String> = self.allowed_ips.iter().map(ToString::to_string).collect();
        let optional = [
            self.preshared_key.as_ref().map(|key| format!("PresharedKey = {key}\n")),
            self.endpoint
                .as_ref()
                .map(|endpoint| format!("Endpoint = {endpoint}\n")),
            self.keepalive
                .map(|seconds| format!("PersistentKeepalive = {seconds}\n")),
        ];
        let optional: String = optional.into_iter().flatten().collect();
        let (key, allowed) = (&self.public_key, allowed.join(", "));
        format!("[Peer]\nPublicKey = {key}\nAllowedIPs = {allowed}\n{optional}")
    }

    /// Returns the section of a connection of NetworkManager's (nm-settings-keyfile(5)).
    fn manager_section(&self) -> String {
        let allowed: String = self.allowed_ips.iter().map(|prefix| format!("{prefix};")).collect();
        let optional = [
            self.preshared_key
                .as_ref()
                .map(|key| format!("preshared-key={key}\npreshared-key-flags=0\n")),
            self.endpoint.as_ref().map(|endpoint| format!("endpoint={endpoint}\n")),
            self.keepalive
                .map(|seconds| format!("persistent-keepalive={seconds}\n")),
        ];
        let optional: String = optional.into_iter().flatten().collect();
        let key = &self.public_key;
        format!("[wireguard-peer.{key}]\nallowed-ips={allowed}\n{optional}")
    }
}

/// All that the operator wrote about an interface.
#[derive(Clone)]
pub(crate) struct Written {
    pub(crate) keys: Keys,
    pub(crate) inner: Inner,
    pub(crate) peers: Vec<PeerLines>,
    pub(crate) port: u16,
}

impl Written {
    /// Returns the lines for `wg setconf`; `more` is for the section of the interface.
    pub(crate) fn lines(&self, more: &str) -> String {
        let peers: String = self.peers.iter().map(PeerLines::section).collect();
        let (key, port) = (&self.keys.private, self.port);
        format!("[Interface]\nPrivateKey = {key}\nListenPort = {port}\n{more}{peers}")
    }

    /// Returns the file for `wg-quick`.
    pub(crate) fn quick_lines(&self, more: &str) -> String {
        self.lines(&format!("Address = {}\n{more}", self.inner.on_interface().join(", ")))
    }
}

/// What NetworkManager is told about IPv6 on an interface that has no address of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ipv6Method {
    /// What a new connection has, if nobody says anything: there is no IPv6.
    Disabled,
    /// A link-local address, of NetworkManager's own choice.
    LinkLocal,
}

impl Ipv6Method {
    /// Returns what NetworkManager calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::LinkLocal => "link-local",
        }
    }
}

impl Written {
    /// Returns the connection for NetworkManager, under the name of its interface.
    pub(crate) fn manager_lines(&self, interface: &str, ipv6: Ipv6Method) -> String {
        let peers: String = self.peers.iter().map(PeerLines::manager_section).collect();
        let (key, port, v4, ipv6) = (&self.keys.private, self.port, self.inner.v4, ipv6.name());
        format!(
            "[connection]\nid={interface}\ntype=wireguard\ninterface-name={interface}\n\
             [wireguard]\nprivate-key={key}\nlisten-port={port}\n{peers}\
             [ipv4]\nmethod=manual\naddress1={v4}/24\n[ipv6]\nmethod={ipv6}\n"
        )
    }
}

/// A WireGuard interface in a namespace.
#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) name: String,
    backend: Backend,
    userspace: Option<Process>,
}

impl Interface {
    /// Makes an interface and configures it.
    pub(crate) fn make(name: &str, host: &Namespace, written: &Written, logs: &Path) -> Self {
        let backend = Backend::wanted();
        let userspace = match backend {
            Backend::Userspace => Some(wireguard_go(name, host, logs)),
            Backend::Kernel => {
                host.run(&format!("ip link add name {name} type wireguard"));
                None
            }
        };
        let interface = Self {
            name: name.to_owned(),
            backend,
            userspace,
        };
        interface.configure(host, written);
        for address in written.inner.on_interface() {
            host.run(&format!("ip addr add {address} dev {name}"));
        }
        host.run(&format!("ip link set dev {name} up"));
        // As wg-quick does; the hand-made peers are left out, whom nobody calls.
        let nets = written.peers.iter().flat_map(|peer| &peer.allowed_ips);
        let own = written.inner.of_hub();
        for net in
            nets.filter(|net| !own.iter().any(|own| own.contains(*net)) && net.max_prefix_len() != net.prefix_len())
        {
            host.run(&format!("ip route replace {net} dev {name}"));
        }
        interface
    }

    /// Takes an interface that something else made; where it has a program, that ends with its socket, when this is dropped.
    pub(crate) fn made_by_another(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            backend: Backend::wanted(),
            userspace: None,
        }
    }

    /// Makes the program behind the interface deaf or lets it go on; the kernel's WireGuard has none.
    pub(crate) fn suspend(&self, deaf: bool) -> bool {
        let signal = if deaf { Signal::STOP } else { Signal::CONT };
        self.userspace.iter().for_each(|program| program.signal(signal));
        self.userspace.is_some()
    }

    /// Takes the interface away, with all that WireGuard knows.
    pub(crate) fn unmake(mut self, host: &Namespace) {
        match self.backend {
            Backend::Userspace => drop(self.userspace.take()),
            Backend::Kernel => drop(host.run(&format!("ip link del dev {}", self.name))),
        }
    }

    /// Reads the device, or says why that does not work.
    pub(crate) fn read(&self, host: &Namespace) -> Result<Device, String> {
        let dump = host.attempt(&format!("wg show {} dump", self.name))?;
        Device::parse(&dump).ok_or_else(|| "`wg show dump` printed what cannot be read".to_owned())
    }

    /// Gives the device all that is written, and nothing else.
    pub(crate) fn configure(&self, host: &Namespace, written: &Written) {
        let setconf = format!("wg setconf {} /dev/stdin", self.name);
        host.attempt_with(&setconf, &written.lines(""))
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        drop(self.userspace.take());
        if self.backend == Backend::Userspace {
            // Left behind when wireguard-go had to be killed.
            let _ = std::fs::remove_file(socket(&self.name));
        }
    }
}

fn socket(interface: &str) -> PathBuf {
    Path::new(SOCKETS).join(format!("{interface}.sock"))
}

fn wireguard_go(name: &str, host: &Namespace, logs: &Path) -> Process {
    let mut command = host.command(&format!("wireguard-go -f {name}"));
    command.env("LOG_LEVEL", "error");
    let mut process = Process::spawn(command, &logs.join(format!("{name}.wireguard-go.log")));
    let made = command::until(INTERFACE_WITHIN, || {
        // `wg` removes a socket at which nobody listens yet, so this asks first.
        let ready = UnixStream::connect(socket(name)).is_ok() && host.attempt(&format!("wg show {name}")).is_ok();
        (ready || !process.is_running()).then_some(ready)
    });
    assert_eq!(made, Some(true), "wireguard-go made no interface: {}", process.output());
    process
}
