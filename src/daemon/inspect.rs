//! What the machine gives a node to work with, looked at from outside: nothing is changed, and no daemon is needed.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::clock::now;
use super::device::{Device, DeviceError};
use super::holder;
use super::host::{Host, Observation};
use super::ports::Ports;
use super::resolver::Resolver;
use super::wg_quick;

use crate::config::Config;
use crate::mesh::base::settings;
use crate::mesh::believe::role::{self, Role};
use crate::mesh::device::DeviceState;
use crate::mesh::show::event::PeerName;

/// What a look shows.
#[derive(Debug)]
pub struct Inspection {
    /// The device; or why it is not seen, and whether that is only for want of rights.
    pub device: Result<Seen, (String, bool)>,
    /// The machine around it, where there is a device.
    pub host: Option<Result<Observation, String>>,
    /// The host names in the settings, and how many addresses each has, or why none.
    pub names: Vec<(String, Result<usize, String>)>,
}

/// A WireGuard device.
#[derive(Debug)]
pub struct Seen {
    /// What WireGuard it is.
    pub backend: String,
    /// Where WireGuard listens.
    pub listen_port: u16,
    /// Where facts are spoken; nowhere, where nothing follows from that.
    pub ports: Vec<u16>,
    /// Which of them another program has, and which program; those of a daemon of ours, too.
    pub taken: Vec<(u16, String)>,
    /// The link-local address of the node.
    pub address: Ipv6Addr,
    /// The role that the operator's prefixes give the node.
    pub role: Role,
    /// The peers, as far as they may be routers.
    pub routers: Vec<Router>,
}

/// A peer that may route for others.
#[derive(Debug)]
pub struct Router {
    /// Who.
    pub name: PeerName,
    /// Where WireGuard sends to.
    pub endpoint: Option<SocketAddr>,
    /// How long ago the last handshake was.
    pub handshake: Option<Duration>,
}

/// Looks at the machine with the eyes of a daemon with these settings.
pub async fn inspect(config: &Config) -> Inspection {
    let named = |error: DeviceError| (error.to_string(), error.is_permission());
    let mut host = None;
    let device = match Device::open(&config.iface).await {
        Ok(mut device) => {
            host = Some(look_around(&config.iface, device.index()).await);
            let backend = device.backend().to_string();
            let around = host.as_ref().and_then(|host| host.as_ref().ok());
            match device.read(now()).await {
                Ok(state) => Ok(seen(config, backend, &state, around).await),
                Err(error) => Err(named(error)),
            }
        }
        Err(error) => Err(named(error)),
    };
    Inspection {
        device,
        host,
        names: look_up(config).await,
    }
}

async fn look_around(iface: &str, index: u32) -> Result<Observation, String> {
    let mut host = Host::open(iface, index).map_err(|error| error.to_string())?;
    host.read().await.map_err(|error| error.to_string())
}

async fn seen(config: &Config, backend: String, state: &DeviceState, around: Option<&Observation>) -> Seen {
    let own = around.map_or(&[][..], |seen: &Observation| &seen.state.tunnel_addresses);
    let others = around.map(Observation::other_wireguard).unwrap_or_default();
    let settings = &config.settings;
    let ports: Vec<u16> = Ports::of(settings, state, own)
        .into_iter()
        .flat_map(Ports::all)
        .collect();
    let role = role::of_device(settings, state, own);
    let routers = state.peers.keys().map(|key| Router {
        name: PeerName {
            key: *key,
            name: settings.peers.get(key).and_then(|peer| peer.name.clone()),
        },
        endpoint: state.peers[key].endpoint,
        handshake: state.peers[key].last_handshake.map(|at| now().since(at)),
    });
    let address = settings.address_hash.link_local(&state.public_key);
    let mut taken = Vec::new();
    for port in &ports {
        if let Some(holder) = holder::of(*port, address) {
            taken.push((*port, holder.among(*port, &others).await.to_string()));
        }
    }
    Seen {
        backend,
        listen_port: state.listen_port,
        taken,
        ports,
        address,
        routers: routers.collect(),
        role,
    }
}

/// Looks up every name in the settings, and in the file of wg-quick where that counts.
async fn look_up(config: &Config) -> Vec<(String, Result<usize, String>)> {
    let of_peers = config.settings.peers.values().flat_map(|peer| &peer.endpoints).cloned();
    let file = config.wg_quick.as_deref().and_then(|path| wg_quick::names(path).ok());
    let of_file = file.unwrap_or_default();
    let mut hosts: Vec<settings::Host> = of_peers.chain(of_file.into_values()).collect();
    hosts.retain(|host| matches!(host, settings::Host::Name { .. }));
    hosts.sort();
    hosts.dedup();
    let mut resolver = Resolver::default();
    let asked = hosts.len();
    hosts.into_iter().for_each(|host| resolver.ask(host));
    let mut names = Vec::new();
    for _ in 0..asked {
        let (host, found) = resolver.answer().await;
        let found = found
            .map(|addresses| addresses.len())
            .map_err(|error| error.to_string());
        names.push((host.to_string(), found));
    }
    names.sort();
    names
}
