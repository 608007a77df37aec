//! The raw socket that probes leave by. It receives nothing: no packet has its protocol, 255 (raw(7)).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::fd::OwnedFd;
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, bind, connect, connect_unspec, getsockname, ipproto, send,
    socket_with, sockopt,
};
use socket2::SockRef;

use super::packet::{self, Family};

/// A socket for one family.
#[derive(Debug)]
pub(super) struct Sender {
    socket: OwnedFd,
    /// What the machine gives packets for which nobody asks otherwise, as WireGuard's.
    hops: u8,
}

impl Sender {
    pub(super) fn open(family: Family) -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let domain = match family {
            Family::V4 => AddressFamily::INET,
            Family::V6 => AddressFamily::INET6,
        };
        let socket = socket_with(domain, SocketType::RAW, flags, Some(ipproto::RAW))?;
        let hops = match family {
            Family::V4 => u8::try_from(sockopt::ip_ttl(&socket)?).unwrap_or(u8::MAX),
            Family::V6 => sockopt::ipv6_unicast_hops(&socket)?,
        };
        Ok(Self { socket, hops })
    }

    /// Gives all packets from now on a mark, as WireGuard does; 0 is none.
    pub(super) fn mark(&self, mark: u32) -> io::Result<()> {
        SockRef::from(&self.socket).set_mark(mark)
    }

    /// Sends a probe, or a question to a server, as from WireGuard's `port`.
    pub(super) fn send(&self, to: SocketAddr, local: Option<IpAddr>, port: u16, payload: &[u8]) -> io::Result<()> {
        let from = self.connect(to, local)?;
        let packet = packet::build(from, to, port, self.hops, payload).ok_or(io::ErrorKind::InvalidInput)?;
        send(&self.socket, &packet, SendFlags::DONTWAIT)
            .map(drop)
            .map_err(io::Error::from)
    }

    /// Has the kernel choose the route, as for any packet with the mark, and from this address where it is one of the machine's, which
    /// rules may ask for. Returns the source address that goes with it: the checksum covers it. What was chosen last time is forgotten
    /// first.
    fn connect(&self, mut to: SocketAddr, local: Option<IpAddr>) -> io::Result<IpAddr> {
        // To a raw socket a port is a protocol.
        to.set_port(0);
        connect_unspec(&self.socket)?;
        let any = match to {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        // An address may be gone by now, or one that nobody sends from.
        let asked = local.map(|local| bind(&self.socket, &SocketAddr::new(local, 0)));
        if !matches!(asked, Some(Ok(()))) {
            bind(&self.socket, &SocketAddr::new(any, 0))?;
        }
        connect(&self.socket, &to)?;
        let own = SocketAddr::try_from(getsockname(&self.socket)?)?;
        Ok(own.ip())
    }
}
