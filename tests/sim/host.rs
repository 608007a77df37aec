//! A simulated machine: WireGuard as its operator configured it, and the node beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::base::identity::{PrivateKey, PublicKey};
use wirelink::mesh::base::prefix::is_routed;
use wirelink::mesh::base::settings::Settings;
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::believe::fact::signal::ProbeForm;
use wirelink::mesh::device::DeviceChange;
use wirelink::mesh::keep::memory::Memory;
use wirelink::mesh::reach::ping::{NoPing, Path};
use wirelink::mesh::show::event::{Event, HostState, Input, Interface, NoProbes, Route};
use zeroize::Zeroizing;

use crate::net::Nic;
use crate::program::Program;
use crate::scenario;
use crate::scenario::claim::ATTACHED;
use crate::wireguard::message::TUNNEL_MTU;
use crate::wireguard::{Packet, Tunnel};

/// Where echoes are asked for (RFC 862).
pub(crate) const ECHO: u16 = 7;
/// The time to live of what a host sends.
pub(crate) const HOPS: u8 = 64;

/// How an operator configures a machine.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// What it is called in traces.
    pub(crate) name: String,
    /// The bytes of its private key.
    pub(crate) private_key: [u8; 32],
    /// WireGuard's port.
    pub(crate) port: u16,
    /// The addresses of its interface, with their prefix lengths.
    pub(crate) inner: Vec<IpNet>,
    /// Its peers.
    pub(crate) peers: Vec<PeerConfig>,
    /// Whether it forwards what is not for itself.
    pub(crate) forwards: bool,
    /// What its operator tells the node.
    pub(crate) settings: Settings,
    /// Whether its node may have a raw socket.
    pub(crate) probes: bool,
    /// The newest form of probes that its node knows.
    pub(crate) form: ProbeForm,
    /// What runs beside WireGuard.
    pub(crate) program: scenario::Program,
}

/// A peer as an operator writes it down.
#[derive(Clone, Debug)]
pub(crate) struct PeerConfig {
    /// Its key.
    pub(crate) key: PublicKey,
    /// Its allowed IPs.
    pub(crate) allowed_ips: Vec<IpNet>,
    /// Where it is.
    pub(crate) endpoint: Option<SocketAddr>,
    /// The persistent keepalive interval, in seconds.
    pub(crate) keepalive: Option<u16>,
}

/// How much was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// How many datagrams.
    pub(crate) packets: u64,
    /// How many bytes of UDP payload.
    pub(crate) bytes: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

/// A machine.
pub(crate) struct Host {
    /// What its operator wrote down.
    pub(crate) config: Config,
    /// Its public key.
    pub(crate) key: PublicKey,
    /// WireGuard.
    pub(crate) tunnel: Tunnel,
    /// The node, while it runs.
    pub(crate) node: Option<Program>,
    /// How many datagrams the v1 nodes that ran here before refused whole.
    pub(crate) refused_before: u64,
    /// Since when it runs.
    pub(crate) started: Timestamp,
    /// Whether it has an interface more, which leads nowhere.
    pub(crate) attached: bool,
    /// Addresses that it has and where nobody reaches it: those of other tunnels, of networks that went down elsewhere.
    pub(crate) dead_ends: Vec<IpNet>,
    /// Whether the machine is suspended.
    pub(crate) asleep: bool,
    /// How far the clock on its wall was set back, in milliseconds.
    pub(crate) set_back: u64,
    /// When it is looked at again, if that is planned.
    pub(crate) scheduled: Option<Timestamp>,
    /// Whether what the node wants now comes from a deadline, and may change the device.
    pub(crate) may_configure: bool,
    /// Answers to echo requests, by number: what was left of the time to live.
    pub(crate) echoes: BTreeMap<u64, u8>,
    /// What came of pings of its node.
    pub(crate) pongs: Vec<(Path, Result<Duration, NoPing>)>,
    /// How many facts were sent.
    pub(crate) facts_sent: Traffic,
    /// How many facts were heard.
    pub(crate) facts_heard: Traffic,
    /// What WireGuard sent.
    pub(crate) wire_sent: Traffic,
    /// How often the node had its deadline.
    pub(crate) passes: u64,
    /// How often the node changed the device.
    pub(crate) writes: u64,
    /// Whether a node was killed here: what it put on the device is there still.
    pub(crate) left_behind: bool,
    /// What its node remembers, and since when.
    pub(crate) disk: Option<(Timestamp, String)>,
    /// How often that was written.
    pub(crate) saves: u64,
    /// The address that a node left behind here that was killed: where nobody listens any more the kernel says so, through the tunnel,
    /// to each once a second at most (RFC 4443, 3.1; icmp.ratelimit).
    pub(crate) left_address: Option<IpAddr>,
    /// When it said so last, and to whom.
    pub(crate) refused_at: BTreeMap<IpAddr, Timestamp>,
    /// Which peers its node sent elsewhere.
    pub(crate) sent_to: BTreeMap<PublicKey, SentTo>,
    /// What the node changed, if that is recorded.
    pub(crate) changes: Vec<(Timestamp, DeviceChange)>,
    /// What the node said, if that is recorded.
    pub(crate) events: Vec<(Timestamp, Event)>,
}

/// Where a node sent a peer.
#[derive(Clone, Debug)]
pub(crate) struct SentTo {
    /// Where it was, whenever the node did so.
    pub(crate) before: BTreeSet<Option<SocketAddr>>,
    /// Where to it was last.
    pub(crate) last: SocketAddr,
    /// Whether it is there still: WireGuard has not heard from it elsewhere.
    pub(crate) is_there: bool,
}

impl Host {
    /// Makes a machine on which only WireGuard runs.
    pub(crate) fn new(config: Config, now: Timestamp, seed: u64) -> Self {
        let key = private_key(&config.private_key).public_key();
        Self {
            tunnel: tunnel(&config, key, now, seed),
            config,
            key,
            node: None,
            refused_before: 0,
            started: now,
            attached: false,
            dead_ends: Vec::new(),
            asleep: false,
            set_back: 0,
            scheduled: None,
            may_configure: false,
            echoes: BTreeMap::new(),
            pongs: Vec::new(),
            facts_sent: Traffic::default(),
            facts_heard: Traffic::default(),
            wire_sent: Traffic::default(),
            passes: 0,
            writes: 0,
            left_behind: false,
            disk: None,
            saves: 0,
            left_address: None,
            refused_at: BTreeMap::new(),
            sent_to: BTreeMap::new(),
            changes: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Starts the machine anew; its disk is as it was.
    pub(crate) fn reboot(&mut self, now: Timestamp, seed: u64) {
        self.end();
        self.left_behind = false;
        self.left_address = None;
        self.sent_to.clear();
        self.tunnel = tunnel(&self.config, self.key, now, seed);
    }

    /// Makes the node anew.
    pub(crate) fn start(&mut self, now: Timestamp, seed: [u8; 32]) {
        let identity = private_key(&self.config.private_key);
        let (kind, settings) = (self.config.program, self.config.settings.clone());
        let mut node = Program::start(kind, settings, identity, seed, now);
        if let Some((at, text)) = &self.disk {
            let mut memory: Memory = serde_json::from_str(text).expect("it is as it was written");
            memory.check().expect("nodes keep within bounds");
            memory.grow_older(now.since(*at));
            node.handle(now, Input::Remembered(Box::new(memory)));
        }
        if let Program::Ours(node) = &mut node {
            node.know_probes(self.config.form);
        }
        let missing = (!self.config.probes).then_some(NoProbes::NotPermitted);
        let epoch = u64::try_from(now.since_start().as_millis()).unwrap_or(u64::MAX);
        let epoch = epoch.saturating_sub(self.set_back);
        node.handle(now, Input::Prober { epoch, missing });
        // Whatever is left of an earlier run is this one's again.
        self.left_behind &= self.is_v1();
        self.left_address = None;
        self.node = Some(node);
        self.started = now;
    }

    /// Takes the node away; what it put on the device is there still.
    pub(crate) fn end(&mut self) -> Option<Program> {
        let node = self.node.take()?;
        self.refused_before += node.refused();
        Some(node)
    }

    /// Takes in where WireGuard heard from its peers.
    pub(crate) fn note_roaming(&mut self) {
        let peers = &self.tunnel.device().peers;
        for (key, sent) in &mut self.sent_to {
            sent.is_there &= peers.get(key).is_some_and(|peer| peer.endpoint == Some(sent.last));
        }
    }

    /// Returns how many datagrams v1 nodes refused whole here.
    pub(crate) fn refused(&self) -> u64 {
        self.refused_before + self.node.as_ref().map_or(0, Program::refused)
    }

    /// Returns whether the deployed program runs here, with the ways of its own.
    pub(crate) fn is_v1(&self) -> bool {
        self.config.program == scenario::Program::V1
    }

    /// Returns the port on which the node sends and listens.
    pub(crate) fn fact_port(&self) -> u16 {
        let port = self.config.settings.fact_port(self.config.port);
        port.expect("the port of a simulated machine has a successor")
    }

    /// Returns whether an address is its own, inside the tunnel.
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        let node = self.node.as_ref().map(|node| IpAddr::V6(node.address()));
        let own = [node, self.left_address];
        own.contains(&Some(address)) || self.config.inner.iter().any(|net| net.addr() == address)
    }

    /// Returns whether the kernel says now that nobody listens.
    pub(crate) fn refuses(&mut self, now: Timestamp, sender: IpAddr) -> bool {
        let last = self.refused_at.get(&sender);
        let is_due = last.is_none_or(|at| now.since(*at) >= Duration::from_secs(1));
        let refuses = self.node.is_none() && is_due;
        if refuses {
            self.refused_at.insert(sender, now);
        }
        refuses
    }

    /// Returns its first address of the family inside the tunnel.
    pub(crate) fn inner(&self, ipv6: bool) -> Option<IpAddr> {
        let mut addresses = self.config.inner.iter().map(IpNet::addr);
        addresses.find(|address| address.is_ipv6() == ipv6)
    }

    /// Returns what the daemon sees of the machine.
    pub(crate) fn state(&self, nics: &[Nic]) -> HostState {
        let interfaces = nics.iter().map(|nic| Interface {
            name: nic.name.clone(),
            up: nic.up,
            addresses: nic.addresses.clone(),
            wireguard: false,
        });
        let attached = self.attached.then(|| Interface {
            name: "containers".into(),
            up: true,
            addresses: vec![ATTACHED.parse().expect("it is a prefix")],
            wireguard: false,
        });
        let elsewhere = (!self.dead_ends.is_empty()).then(|| Interface {
            name: "elsewhere".into(),
            up: true,
            addresses: self.dead_ends.clone(),
            wireguard: false,
        });
        let prefixes = self.config.peers.iter().flat_map(|peer| &peer.allowed_ips);
        let routes = prefixes.filter(|prefix| is_routed(prefix)).map(|prefix| Route {
            prefix: prefix.trunc(),
            into_tunnel: true,
        });
        HostState {
            interfaces: interfaces.chain(attached).chain(elsewhere).collect(),
            tunnel_addresses: self.config.inner.clone(),
            routes: routes.collect(),
            mtu: Some(TUNNEL_MTU as u16),
            ..HostState::default()
        }
    }

    /// Returns when something is due.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        let deadline = self.node.as_ref().and_then(Program::poll_timeout);
        let deadline = deadline.map(|deadline| deadline.at);
        let timer = self.tunnel.next();
        [deadline, timer].into_iter().flatten().min().filter(|_| !self.asleep)
    }

    /// Makes the packet that carries a datagram of the node.
    pub(crate) fn fact(&self, to: Ipv6Addr, payload: &[u8]) -> Option<Packet> {
        let source = IpAddr::V6(self.node.as_ref()?.address());
        let port = self.fact_port();
        Some(udp(source, to.into(), port, port, payload))
    }
}

fn private_key(bytes: &[u8; 32]) -> PrivateKey {
    PrivateKey::from_bytes(&Zeroizing::new(*bytes))
}

/// Returns the public key that belongs to the bytes of a private one.
pub(crate) fn public_key(bytes: &[u8; 32]) -> PublicKey {
    private_key(bytes).public_key()
}

fn tunnel(config: &Config, key: PublicKey, now: Timestamp, seed: u64) -> Tunnel {
    let mut tunnel = Tunnel::new(key, config.port, seed);
    for peer in &config.peers {
        let add = DeviceChange::AddPeer {
            peer: peer.key,
            allowed_ips: peer.allowed_ips.iter().copied().collect(),
            endpoint: peer.endpoint,
        };
        tunnel.apply(now, &add);
        tunnel.set_keepalive(now, &peer.key, peer.keepalive);
    }
    tunnel
}

/// Makes a packet that carries a UDP datagram.
pub(crate) fn udp(source: IpAddr, destination: IpAddr, from_port: u16, to_port: u16, data: &[u8]) -> Packet {
    let length = u16::try_from(8 + data.len()).expect("a datagram is shorter than 64 kB");
    let mut payload = Vec::with_capacity(usize::from(length));
    for field in [from_port, to_port, length, 0] {
        payload.extend_from_slice(&field.to_be_bytes());
    }
    payload.extend_from_slice(data);
    Packet {
        source,
        destination,
        hops: HOPS,
        payload,
    }
}

/// Returns the ports and the data of a UDP datagram.
pub(crate) fn read_udp(packet: &Packet) -> Option<(u16, u16, &[u8])> {
    let (header, data) = packet.payload.split_at_checked(8)?;
    let port = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    Some((port(0), port(2), data))
}

/// How long a machine needs to look a name up.
pub(crate) const LOOKUP: Duration = Duration::from_millis(30);
/// How long one without an answer takes.
pub(crate) const LOOKUP_FAILS: Duration = Duration::from_secs(5);
