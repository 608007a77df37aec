//! The UDP socket for facts, on our link-local address inside the tunnel.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use futures_util::future::select_all;
use rustix::net::sockopt::{
    Ipv6PathMtuDiscovery, set_ipv6_mtu_discover, set_socket_recv_buffer_size, set_socket_send_buffer_size,
};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::ports::Ports;
use crate::mesh::fact::wire::MAX_ACCEPTED;

/// A thousand peers may answer in one moment.
const BUFFER: usize = 1 << 20;

/// How often it is tried whether our own address can be reached, and how long each time: 2 s in all.
const SELF_TESTS: u32 = 200;
const SELF_TEST: Duration = Duration::from_millis(10);

/// The most senders whose port is remembered: each has come through WireGuard from an address of its own.
const MAX_HEARD: usize = 8192;

/// The bound sockets. They never wait to send: what does not fit is lost, as on any network, and said again in time.
///
/// Deployed nodes send to the port that they listen on, so all nodes must have the same one. It follows from the listen port of
/// WireGuard, and where that is any port, as wg-quick leaves it on most leaves, nodes would not meet. So there may be a second
/// socket, on the port that the routers probably have; who was not heard yet is sent to on both, everybody else where he speaks from.
#[derive(Debug)]
pub(super) struct Socket {
    bound: Vec<Bound>,
    index: u32,
    /// Which one is read first next time: a flood on one starves no other.
    turn: usize,
    heard: BTreeMap<Ipv6Addr, Heard>,
    buffer: [u8; MAX_ACCEPTED + 1],
}

#[derive(Debug)]
struct Bound {
    socket: UdpSocket,
    port: u16,
}

/// Where a peer speaks from, and on which of our sockets it was heard.
#[derive(Clone, Copy, Debug)]
struct Heard {
    at: usize,
    port: u16,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    /// Somebody has the port.
    #[error(
        "UDP port {1} on {0} is taken: if wirelink is running there already, one is enough; otherwise choose another port with --port"
    )]
    Taken(String, u16),
    /// The kernel refuses it.
    #[error("UDP port {1} on {0} cannot be opened: {2}")]
    Refused(String, u16, io::Error),
}

impl Socket {
    /// Binds to `address` on the interface with this index, and on the second port too, where that can be had.
    pub(super) async fn bind(iface: &str, index: u32, address: Ipv6Addr, ports: Ports) -> Result<Self, SocketError> {
        let mut socket = Self {
            bound: bind(&mut Vec::new(), iface, index, address, ports).await?,
            index,
            turn: 0,
            heard: BTreeMap::new(),
            buffer: [0; MAX_ACCEPTED + 1],
        };
        socket.hear_itself(address).await;
        Ok(socket)
    }

    /// Moves to other ports; where the first cannot be had, everything stays as it was.
    pub(super) async fn follow(&mut self, iface: &str, address: Ipv6Addr, ports: Ports) -> Result<(), SocketError> {
        self.bound = bind(&mut self.bound, iface, self.index, address, ports).await?;
        self.turn = 0;
        // Who was heard on a socket that is closed is answered on whatever there is now.
        self.heard.clear();
        Ok(())
    }

    /// Waits until what is sent to our own address arrives. The kernel makes the route for it a little later than the address,
    /// and until then loses what peers send: a hub's first word, after which it has nothing to say for a while.
    async fn hear_itself(&mut self, address: Ipv6Addr) {
        for _ in 0..SELF_TESTS {
            self.bound[0].send(self.index, address, self.bound[0].port, &[]).ok();
            if timeout(SELF_TEST, self.readable()).await.is_ok() && matches!(self.receive(), Ok(Some(_))) {
                return;
            }
        }
        tracing::warn!("nothing arrives at {address}, not even from this machine itself: is there a firewall?");
    }

    /// Sends to a peer.
    pub(super) fn send(&self, to: Ipv6Addr, payload: &[u8]) -> io::Result<()> {
        if let Some(heard) = self.heard.get(&to) {
            return self.bound[heard.at].send(self.index, to, heard.port, payload);
        }
        let sent = self
            .bound
            .iter()
            .map(|bound| bound.send(self.index, to, bound.port, payload));
        sent.fold(Ok(()), Result::and)
    }

    /// Waits until a datagram can be received; may be cancelled.
    pub(super) async fn readable(&self) -> io::Result<()> {
        let waiting = self.bound.iter().map(|bound| Box::pin(bound.socket.readable()));
        select_all(waiting).await.0
    }

    /// Receives a datagram that is there; one that is too long arrives cut, and still too long.
    pub(super) fn receive(&mut self) -> io::Result<Option<(Ipv6Addr, &[u8])>> {
        let turn = self.turn;
        self.turn = (turn + 1) % self.bound.len();
        for (at, bound) in self.bound.iter().enumerate().cycle().skip(turn).take(self.bound.len()) {
            match bound.socket.try_recv_from(&mut self.buffer) {
                Ok((len, SocketAddr::V6(from))) => {
                    if self.heard.len() >= MAX_HEARD {
                        self.heard.clear();
                    }
                    self.heard.insert(*from.ip(), Heard { at, port: from.port() });
                    return Ok(Some((*from.ip(), &self.buffer[..len])));
                }
                Ok((_, SocketAddr::V4(_))) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// Opens a socket for each port, and takes over those of `old` that are open already.
async fn bind(
    old: &mut Vec<Bound>,
    iface: &str,
    index: u32,
    address: Ipv6Addr,
    ports: Ports,
) -> Result<Vec<Bound>, SocketError> {
    let mut missing = Vec::new();
    for port in ports.all().filter(|port| !old.iter().any(|bound| bound.port == *port)) {
        match Bound::new(iface, index, address, port).await {
            Ok(bound) => missing.push(bound),
            Err(error) if port == ports.first => return Err(error),
            Err(error) => tracing::warn!("nodes that speak on the routers' port are not heard: {error}"),
        }
    }
    let mut bound: Vec<Bound> = old.drain(..).chain(missing).collect();
    bound.retain(|bound| ports.all().any(|port| port == bound.port));
    bound.sort_by_key(|bound| bound.port != ports.first);
    Ok(bound)
}

impl Bound {
    async fn new(iface: &str, index: u32, address: Ipv6Addr, port: u16) -> Result<Self, SocketError> {
        let refused = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => SocketError::Taken(iface.to_owned(), port),
            _ => SocketError::Refused(iface.to_owned(), port, error),
        };
        let socket = UdpSocket::bind(SocketAddrV6::new(address, port, 0, index))
            .await
            .map_err(refused)?;
        // The kernel's own limit may be lower; then that is what there is.
        set_socket_recv_buffer_size(&socket, BUFFER).ok();
        set_socket_send_buffer_size(&socket, BUFFER).ok();
        // What is too long for the interface is lost, and not cut into pieces: heartbeats find out what passes.
        set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::PROBE).ok();
        Ok(Self { socket, port })
    }

    fn send(&self, index: u32, to: Ipv6Addr, port: u16, payload: &[u8]) -> io::Result<()> {
        self.socket
            .try_send_to(payload, SocketAddr::V6(SocketAddrV6::new(to, port, 0, index)))
            .map(drop)
    }
}
