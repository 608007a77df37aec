//! All that crosses the border between the core and the shell.

use std::net::{Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::device::{DeviceChange, DeviceState};
use super::settings::Host;

/// What the shell tells the node.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram came in on the port for facts.
    Packet {
        /// The link-local address that it came from.
        source: Ipv6Addr,
        /// The UDP payload.
        payload: &'a [u8],
    },
    /// The device was read.
    Device(DeviceState),
    /// The machine was looked at.
    Host(HostState),
    /// A name was looked up, after [`Output::Resolve`]; no addresses where that failed.
    Resolved {
        /// What was asked for.
        host: Host,
        /// Its addresses, with the port.
        addresses: Vec<SocketAddr>,
    },
    /// The moment of [`Node::poll_timeout`](super::node::Node::poll_timeout) has come. Before it, the shell reads the device.
    Timeout,
    /// The node stops: what it put on the device is taken off again. Nothing may be handed in after it.
    Stop,
}

/// What the node wants done, in this order.
#[derive(Debug)]
pub enum Output {
    /// Change the device. A failure needs no answer: the next reading of the device tells.
    Configure(DeviceChange),
    /// Send a datagram to a peer, on the port for facts.
    Transmit {
        /// The link-local address of the peer.
        to: Ipv6Addr,
        /// The UDP payload.
        payload: Vec<u8>,
    },
    /// Look a name up and answer with [`Input::Resolved`].
    Resolve(Host),
    /// Tell the operator: one log line.
    Notify(Event),
}

/// Something that happened, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {}

impl Event {
    /// Returns how much it matters.
    pub const fn level(&self) -> Level {
        match *self {}
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {}
    }
}

/// How much an [`Event`] matters to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Only while looking into something.
    Debug,
    /// Worth a line.
    Info,
    /// Needs a look.
    Warn,
}

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
}

/// A route of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destination, masked.
    pub prefix: IpNet,
    /// Whether it leads into the WireGuard device.
    pub into_tunnel: bool,
}
