//! The three machines and their addresses. All are from ranges that exist for examples and private networks.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::settings::{PeerSettings, Settings};

use super::wireguard::{PeerSetup, SecretKey, Setup};

const LISTEN_PORT: u16 = 51820;
const TUNNEL_PREFIX: u8 = 24;

/// The interval that keeps a leaf's NAT open for the hub, as everybody has it in the file for `wg-quick`.
const KEEPALIVE: u16 = 25;

/// One of the machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Host {
    /// The one with a public address, through which the leaves reach each other.
    Hub,
    /// A leaf behind NAT A.
    LeafA,
    /// A leaf behind NAT B.
    LeafB,
}

impl Host {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Hub, Self::LeafA, Self::LeafB];

    /// Who is asked for echoes by whom.
    pub(super) const PAIRS: [(Self, Self); 4] = [
        (Self::LeafA, Self::LeafB),
        (Self::LeafB, Self::LeafA),
        (Self::LeafA, Self::Hub),
        (Self::LeafB, Self::Hub),
    ];

    /// Returns its name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::LeafA => "leaf-a",
            Self::LeafB => "leaf-b",
        }
    }

    /// Returns the name of its WireGuard interface.
    pub(super) const fn interface(self) -> &'static str {
        match self {
            Self::Hub => "wg-hub",
            Self::LeafA => "wg-a",
            Self::LeafB => "wg-b",
        }
    }

    /// Returns its address in the tunnel.
    pub(super) const fn tunnel_address(self) -> Ipv4Addr {
        match self {
            Self::Hub => Ipv4Addr::new(10, 77, 0, 1),
            Self::LeafA => Ipv4Addr::new(10, 77, 0, 2),
            Self::LeafB => Ipv4Addr::new(10, 77, 0, 3),
        }
    }

    /// Returns its address on the Internet: its own, or that of its NAT.
    pub(super) const fn public_address(self) -> Ipv4Addr {
        match self {
            Self::Hub => Ipv4Addr::new(203, 0, 113, 1),
            Self::LeafA => Ipv4Addr::new(203, 0, 113, 2),
            Self::LeafB => Ipv4Addr::new(203, 0, 113, 3),
        }
    }

    /// Returns its address at home, behind its NAT.
    pub(super) const fn home_address(self) -> Option<Ipv4Addr> {
        match self {
            Self::Hub => None,
            Self::LeafA => Some(Ipv4Addr::new(192, 168, 1, 2)),
            Self::LeafB => Some(Ipv4Addr::new(192, 168, 2, 2)),
        }
    }

    /// Returns its address in the tunnel, with the prefix of the whole network.
    pub(super) fn tunnel_net(self) -> Ipv4Net {
        Ipv4Net::new(self.tunnel_address(), TUNNEL_PREFIX).expect("24 is at most 32")
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The public keys of the machines.
#[derive(Clone, Copy)]
pub(super) struct Keys([PublicKey; 3]);

impl Keys {
    /// Returns whose key it is.
    pub(super) fn host(&self, key: &PublicKey) -> Option<Host> {
        Host::ALL.into_iter().find(|host| self.of(*host) == *key)
    }

    fn of(&self, host: Host) -> PublicKey {
        self.0[host as usize]
    }
}

/// Returns what an operator would have set up: leaves that know only the hub, and a hub that knows both.
pub(super) fn hub_and_spoke() -> anyhow::Result<(Keys, Vec<(Host, Setup)>)> {
    let [hub, a, b] = [SecretKey::generate()?, SecretKey::generate()?, SecretKey::generate()?];
    let keys = Keys([hub.public_key(), a.public_key(), b.public_key()]);
    let setups = Host::ALL.into_iter().zip([hub, a, b]).map(|(host, key)| {
        let peers = match host {
            Host::Hub => vec![leaf(&keys, Host::LeafA), leaf(&keys, Host::LeafB)],
            Host::LeafA | Host::LeafB => vec![to_hub(&keys)],
        };
        let name = host.interface().to_owned();
        let setup = Setup {
            name,
            key,
            listen_port: LISTEN_PORT,
            peers,
        };
        (host, setup)
    });
    Ok((keys, setups.collect()))
}

/// Returns what the operator tells wirelink: the names of the peers that each machine has from the start, so that the logs
/// show names. All else is the default.
pub(super) fn settings(keys: &Keys, host: Host) -> Settings {
    let known: &[Host] = match host {
        Host::Hub => &[Host::LeafA, Host::LeafB],
        Host::LeafA | Host::LeafB => &[Host::Hub],
    };
    let named = |peer: &Host| PeerSettings {
        name: Some(peer.name().to_owned()),
        ..PeerSettings::default()
    };
    Settings {
        peers: known.iter().map(|peer| (keys.of(*peer), named(peer))).collect(),
        ..Settings::default()
    }
}

fn leaf(keys: &Keys, host: Host) -> PeerSetup {
    PeerSetup {
        key: keys.of(host),
        allowed_ips: [IpNet::V4(host.tunnel_address().into())].into(),
        endpoint: None,
        keepalive: None,
    }
}

fn to_hub(keys: &Keys) -> PeerSetup {
    PeerSetup {
        key: keys.of(Host::Hub),
        allowed_ips: [IpNet::V4(Host::Hub.tunnel_net().trunc())].into(),
        endpoint: Some(SocketAddr::from((Host::Hub.public_address(), LISTEN_PORT))),
        keepalive: Some(KEEPALIVE),
    }
}
