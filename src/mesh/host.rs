//! What the machine around the device looks like, to the core.

use ipnet::IpNet;

/// What the machine around the device looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostState {
    /// Every network interface but the WireGuard device itself.
    pub interfaces: Vec<Interface>,
    /// Addresses on the WireGuard device, with their prefix lengths.
    pub tunnel_addresses: Vec<IpNet>,
    /// Routes of the main table: all that lead into the tunnel (masked, link-local ones left out), and of the others those
    /// that are a more specific exception from one of them.
    pub routes: Vec<Route>,
}

/// A network interface of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Whether it is up.
    pub up: bool,
    /// Its addresses, with their prefix lengths (not masked).
    pub addresses: Vec<IpNet>,
    /// Whether it is WireGuard, too: then its addresses belong to another network inside another tunnel.
    pub wireguard: bool,
}

/// A route of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destination, masked.
    pub prefix: IpNet,
    /// Whether it leads into the WireGuard device.
    pub into_tunnel: bool,
}
