//! The UDP socket for facts, on our link-local address inside the tunnel.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::mesh::fact::wire::MAX_ACCEPTED;

/// A thousand peers may answer in one moment.
const BUFFER: usize = 1 << 20;

/// How often it is tried whether our own address can be reached, and how long each time: 2 s in all.
const SELF_TESTS: u32 = 200;
const SELF_TEST: Duration = Duration::from_millis(10);

/// A bound socket. It never waits to send: what does not fit is lost, as on any network, and said again in time.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UdpSocket,
    index: u32,
    port: u16,
    buffer: [u8; MAX_ACCEPTED + 1],
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    /// Somebody has the port.
    #[error(
        "UDP port {1} on {0} is taken: is wirelink running there already? Otherwise choose another one with --port"
    )]
    Taken(String, u16),
    /// The kernel refuses it.
    #[error("UDP port {1} on {0} cannot be opened: {2}")]
    Refused(String, u16, io::Error),
}

impl Socket {
    /// Binds to `address` on the interface with this index.
    pub(super) async fn bind(iface: &str, index: u32, address: Ipv6Addr, port: u16) -> Result<Self, SocketError> {
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
        let mut socket = Self {
            socket,
            index,
            port,
            buffer: [0; MAX_ACCEPTED + 1],
        };
        socket.hear_itself(address).await;
        Ok(socket)
    }

    /// Waits until what is sent to our own address arrives. The kernel makes the route for it a little later than the address,
    /// and until then loses what peers send: a hub's first word, after which it has nothing to say for a while.
    async fn hear_itself(&mut self, address: Ipv6Addr) {
        for _ in 0..SELF_TESTS {
            self.send(address, &[]).ok();
            if timeout(SELF_TEST, self.socket.readable()).await.is_ok() && matches!(self.receive(), Ok(Some(_))) {
                return;
            }
        }
        tracing::warn!("nothing arrives at {address}, not even from this machine itself: is there a firewall?");
    }

    /// Sends to a peer.
    pub(super) fn send(&self, to: Ipv6Addr, payload: &[u8]) -> io::Result<()> {
        let to = SocketAddr::V6(SocketAddrV6::new(to, self.port, 0, self.index));
        self.socket.try_send_to(payload, to).map(drop)
    }

    /// Waits until a datagram can be received; may be cancelled.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Receives a datagram that is there; one that is too long arrives cut, and still too long.
    pub(super) fn receive(&mut self) -> io::Result<Option<(Ipv6Addr, &[u8])>> {
        match self.socket.try_recv_from(&mut self.buffer) {
            Ok((len, SocketAddr::V6(from))) => Ok(Some((*from.ip(), &self.buffer[..len]))),
            Ok((_, SocketAddr::V4(_))) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}
