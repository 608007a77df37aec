//! A WireGuard interface for each machine of the demo: the kernel's where it has one, else GotaTun in this process.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use nl_wireguard::{WireguardHandle, WireguardIpAddress, WireguardParsed, WireguardPeerParsed};
use zeroize::Zeroizing;

use crate::mesh::base::identity::{PrivateKey, PublicKey};
use crate::mesh::device::PeerState;

use super::embedded::Embedded;
use super::ip::Network;

/// The MTU that `wg-quick` would choose.
pub(super) const MTU: u16 = 1420;

/// A private key that was made for this run.
pub(super) struct SecretKey(Zeroizing<[u8; 32]>);

impl SecretKey {
    /// Makes a new one.
    pub(super) fn generate() -> anyhow::Result<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).map_err(|error| anyhow!("the kernel gives no random numbers: {error}"))?;
        Ok(Self(bytes))
    }

    /// Returns the public key that belongs to it.
    pub(super) fn public_key(&self) -> PublicKey {
        PrivateKey::from_bytes(&self.0).public_key()
    }

    /// Returns the raw bytes.
    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A peer, as the operator would write it into the file for `wg-quick`.
pub(super) struct PeerSetup {
    /// Its key.
    pub key: PublicKey,
    /// Its allowed IPs.
    pub allowed_ips: BTreeSet<IpNet>,
    /// Where to reach it.
    pub endpoint: Option<SocketAddr>,
    /// The persistent keepalive in seconds.
    pub keepalive: Option<u16>,
}

/// An interface, as the operator would write it.
pub(super) struct Setup {
    /// Its name; UAPI sockets share a folder, so no two machines have the same.
    pub name: String,
    /// The key of this machine.
    pub key: SecretKey,
    /// Its UDP port.
    pub listen_port: u16,
    /// Its peers.
    pub peers: Vec<PeerSetup>,
}

/// What a WireGuard interface has, without secrets.
pub(super) type Peers = BTreeMap<PublicKey, PeerState>;

/// A WireGuard interface.
pub(super) enum Tunnel {
    /// Of the kernel, which the daemon changes over netlink.
    Kernel { name: String, netlink: WireguardHandle },
    /// In this process, which the daemon changes over a UAPI socket.
    Embedded(Embedded),
}

impl Tunnel {
    /// Makes the interface in the network of the calling thread; it is down and has no address yet.
    pub(super) async fn make(network: &Network, setup: Setup, force_userspace: bool) -> anyhow::Result<Self> {
        // Every refusal means the same: no module, no right to load it, or a kernel without WireGuard.
        if force_userspace || network.add_wireguard(&setup.name).await.is_err() {
            return Ok(Self::Embedded(Embedded::make(setup).await?));
        }
        let (connection, mut netlink, _) = nl_wireguard::new_connection().context("no netlink socket")?;
        tokio::spawn(connection);
        let name = setup.name.clone();
        let done = netlink.set(kernel_setup(setup)).await;
        done.map_err(|error| {
            anyhow!(
                "WireGuard of the kernel refused the keys and peers of {name}: {}",
                error.msg
            )
        })?;
        Ok(Self::Kernel { name, netlink })
    }

    /// Returns the peers as they are now.
    pub(super) async fn peers(&mut self) -> anyhow::Result<Peers> {
        match self {
            Self::Embedded(device) => Ok(device.peers().await),
            Self::Kernel { name, netlink } => {
                let read = netlink.get_by_name(name).await;
                let device = read.map_err(|error| anyhow!("{name} cannot be read: {}", error.msg))?;
                Ok(device.peers.into_iter().flatten().filter_map(kernel_peer).collect())
            }
        }
    }

    /// Returns what does the work, for people.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Kernel { .. } => "kernel",
            Self::Embedded(_) => "embedded userspace (GotaTun)",
        }
    }
}

/// Returns the peer to which a packet for `address` goes: the one with the longest prefix around it.
pub(super) fn owner(peers: &Peers, address: IpAddr) -> Option<PublicKey> {
    let matches = peers.iter().filter_map(|(key, peer)| {
        let around = peer.allowed_ips.iter().filter(|prefix| prefix.contains(&address));
        Some((around.map(IpNet::prefix_len).max()?, *key))
    });
    matches.max_by_key(|(length, _)| *length).map(|(_, key)| key)
}

fn kernel_setup(setup: Setup) -> WireguardParsed {
    let mut device = WireguardParsed::default();
    device.iface_name = Some(setup.name);
    device.private_key = Some(STANDARD.encode(setup.key.as_bytes()));
    device.listen_port = Some(setup.listen_port);
    device.peers = Some(setup.peers.into_iter().map(kernel_peer_setup).collect());
    device
}

fn kernel_peer_setup(setup: PeerSetup) -> WireguardPeerParsed {
    let mut peer = WireguardPeerParsed::default();
    peer.public_key = Some(setup.key.to_string());
    peer.endpoint = setup.endpoint;
    peer.persistent_keepalive = setup.keepalive;
    let allowed = setup.allowed_ips.iter().map(|prefix| WireguardIpAddress {
        ip_addr: prefix.network(),
        prefix_length: prefix.prefix_len(),
        flags: None,
    });
    peer.allowed_ips = Some(allowed.collect());
    peer
}

fn kernel_peer(peer: WireguardPeerParsed) -> Option<(PublicKey, PeerState)> {
    let allowed = peer.allowed_ips.into_iter().flatten();
    let state = PeerState {
        endpoint: peer.endpoint,
        keepalive: peer.persistent_keepalive.filter(|&seconds| seconds != 0),
        allowed_ips: allowed
            .filter_map(|ip| IpNet::new(ip.ip_addr, ip.prefix_length).ok())
            .collect(),
        ..PeerState::default()
    };
    Some((peer.public_key?.parse().ok()?, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_owns_an_address() {
        let (hub, leaf) = (PublicKey::from_bytes([2; 32]), PublicKey::from_bytes([1; 32]));
        let with = |prefix: &str| PeerState {
            allowed_ips: [prefix.parse().unwrap()].into(),
            ..PeerState::default()
        };
        let mut peers = Peers::from([(hub, with("10.77.0.0/24"))]);
        let address = "10.77.0.3".parse().unwrap();
        assert_eq!(owner(&peers, address), Some(hub));
        peers.insert(leaf, with("10.77.0.3/32"));
        assert_eq!(owner(&peers, address), Some(leaf));
        assert_eq!(owner(&peers, "10.78.0.3".parse().unwrap()), None);
    }
}
