//! One port for facts: bound as any UDP socket, or heard beside whoever has it.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::Range;
use std::sync::Arc;

use rustix::fd::{AsFd, OwnedFd};
use rustix::net::sockopt::{
    Ipv6PathMtuDiscovery, set_ipv6_mtu_discover, set_socket_recv_buffer_size, set_socket_send_buffer_size,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, ipproto, recvfrom, sendto, socket_with,
};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UdpSocket;

use super::Place;
use crate::daemon::probe::{UDP_HEADER, split_udp, to_port, udp_datagram};

/// A thousand peers may answer in one moment.
const BUFFER: usize = 1 << 20;

/// A port on which facts are received.
#[derive(Debug)]
pub(super) struct Ear {
    pub(super) port: u16,
    index: u32,
    address: Ipv6Addr,
    line: Line,
}

#[derive(Debug)]
enum Line {
    Udp(UdpSocket),
    /// Occupies no port: it is shown a copy of what arrives there, whoever has the port, and sends as from there. Where nobody has it,
    /// the kernel answers each datagram with "port unreachable", too, which nothing listens to.
    Raw(AsyncFd<Arc<OwnedFd>>),
}

impl Ear {
    /// Binds the port, which nobody else can bind any more: neither for our address nor for all addresses.
    pub(super) async fn bound(place: &Place, port: u16) -> io::Result<Self> {
        let socket = UdpSocket::bind(SocketAddrV6::new(place.address, port, 0, place.index)).await?;
        tune(&socket);
        let port = socket.local_addr()?.port();
        Ok(Self::new(place, port, Line::Udp(socket)))
    }

    /// Hears what comes to the port beside whoever has it, or may want to have it; needs CAP_NET_RAW.
    pub(super) fn beside(place: &Place, port: u16) -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET6, SocketType::RAW, flags, Some(ipproto::UDP))?;
        SockRef::from(&socket).attach_filter(&to_port(port))?;
        bind(&socket, &SocketAddrV6::new(place.address, 0, 0, place.index))?;
        tune(&socket);
        #[expect(
            deprecated,
            reason = "its successor is unsafe to call; what that asks of its caller, an `OwnedFd` grants"
        )]
        let watched = AsyncFd::with_interest(Arc::new(socket), Interest::READABLE)?;
        Ok(Self::new(place, port, Line::Raw(watched)))
    }

    const fn new(place: &Place, port: u16, line: Line) -> Self {
        Self {
            port,
            index: place.index,
            address: place.address,
            line,
        }
    }

    /// Says whether the port is occupied by it.
    pub(super) const fn is_bound(&self) -> bool {
        matches!(self.line, Line::Udp(_))
    }

    /// Sends a datagram; what does not fit is lost, as on any network.
    pub(super) fn send(&self, to: Ipv6Addr, port: u16, payload: &[u8]) -> io::Result<()> {
        let there = |port| SocketAddrV6::new(to, port, 0, self.index);
        match &self.line {
            Line::Udp(socket) => socket.try_send_to(payload, there(port).into()).map(drop),
            Line::Raw(socket) => {
                let datagram = udp_datagram(self.address.into(), self.port, SocketAddr::V6(there(port)), payload);
                let datagram = datagram.ok_or(io::ErrorKind::InvalidInput)?;
                // To a raw socket a port is a protocol.
                let sent = sendto(socket.get_ref(), &datagram, SendFlags::DONTWAIT, &there(0));
                sent.map(drop).map_err(io::Error::from)
            }
        }
    }

    /// Waits until a datagram can be received; may be cancelled.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match &self.line {
            Line::Udp(socket) => socket.readable().await,
            Line::Raw(socket) => {
                let mut ready = socket.readable().await?;
                ready.retain_ready();
                Ok(())
            }
        }
    }

    /// Takes one datagram that is there: from where it came, and where its payload is; nothing, where it is none of ours.
    ///
    /// # Errors
    /// `WouldBlock` where there is none.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(SocketAddrV6, Range<usize>)>> {
        match &self.line {
            Line::Udp(socket) => match socket.try_recv_from(buffer)? {
                (len, SocketAddr::V6(from)) => Ok(Some((from, 0..len))),
                (_, SocketAddr::V4(_)) => Ok(None),
            },
            Line::Raw(socket) => {
                let (len, _, from) = socket.try_io(Interest::READABLE, |socket| {
                    recvfrom(socket, &mut *buffer, RecvFlags::DONTWAIT).map_err(io::Error::from)
                })?;
                let Some(Ok(SocketAddr::V6(from))) = from.map(SocketAddr::try_from) else {
                    return Ok(None);
                };
                let read = split_udp(&buffer[..len]).filter(|(_, to, _)| *to == self.port);
                Ok(read.map(|(source, ..)| (SocketAddrV6::new(*from.ip(), source, 0, 0), UDP_HEADER..len)))
            }
        }
    }
}

/// What a datagram may take beside its payload, in a buffer for [`Ear::receive`].
pub(super) const OVERHEAD: usize = UDP_HEADER;

fn tune(socket: impl AsFd) {
    // The kernel's own limit may be lower; then that is what there is.
    set_socket_recv_buffer_size(&socket, BUFFER).ok();
    set_socket_send_buffer_size(&socket, BUFFER).ok();
    // What is too long for the interface is lost, and not cut into pieces: heartbeats find out what passes.
    set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::PROBE).ok();
}
