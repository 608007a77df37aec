//! The raw socket that hears probes: it is shown a copy of what arrives for WireGuard, which does not notice.

use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use nix::cmsg_space;
use nix::libc::in6_pktinfo;
use nix::sys::socket::sockopt::Ipv6RecvPacketInfo;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, setsockopt};
use rustix::fd::OwnedFd;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, ipproto, recv, socket_with};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::filter::filter;
use super::packet::{self, Family, Heard, MAX_SHOWN};

/// What may wait to be heard. The kernel counts what a packet takes of its own memory, about 800 bytes here and up to 2.3 kB as
/// drivers of network cards do it, and doubles the figure: 200 to 600 probes, and a flood finds it full.
const BUFFER: usize = 256 << 10;

/// A socket for one family.
#[derive(Debug)]
pub(super) struct Receiver {
    family: Family,
    socket: Arc<OwnedFd>,
    /// Nothing while it is not to be woken.
    watch: Option<AsyncFd<Arc<OwnedFd>>>,
}

impl Receiver {
    pub(super) fn open(family: Family) -> io::Result<Self> {
        let domain = match family {
            Family::V4 => AddressFamily::INET,
            Family::V6 => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(domain, SocketType::RAW, flags, Some(ipproto::UDP))?;
        // The kernel's own limit may be lower; then that is what there is.
        set_socket_recv_buffer_size(&socket, BUFFER).ok();
        if family == Family::V6 {
            setsockopt(&socket, Ipv6RecvPacketInfo, &true).map_err(io::Error::from)?;
        }
        Ok(Self {
            family,
            socket: Arc::new(socket),
            watch: None,
        })
    }

    /// Hears what comes to this port from now on, and nothing else: probes, and what servers say that were asked.
    pub(super) fn listen(&self, port: u16, asked: &[SocketAddr]) -> io::Result<()> {
        SockRef::from(&*self.socket).attach_filter(&filter(self.family, port, asked))
    }

    /// Wants to be woken, or not: each packet would wake the process once, whether it looks or not.
    pub(super) fn watch(&mut self, wanted: bool) -> io::Result<()> {
        if self.watch.is_some() == wanted {
            return Ok(());
        }
        #[expect(
            deprecated,
            reason = "its successor is unsafe to call; what that asks of its caller, an `OwnedFd` grants"
        )]
        let watch = wanted.then(|| AsyncFd::with_interest(Arc::clone(&self.socket), Interest::READABLE));
        self.watch = watch.transpose()?;
        Ok(())
    }

    /// Waits until something can be received; for ever where it is not watched. May be cancelled.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match &self.watch {
            Some(watch) => {
                let mut ready = watch.readable().await?;
                ready.retain_ready();
                Ok(())
            }
            None => std::future::pending().await,
        }
    }

    /// Takes one packet that is there; what is in it for us, or nothing that concerns us.
    ///
    /// # Errors
    /// `WouldBlock` where there is none.
    pub(super) fn receive(&self, port: u16, asked: &[SocketAddr]) -> io::Result<Option<Heard>> {
        let Some(watch) = &self.watch else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let mut buffer = [0; MAX_SHOWN];
        match self.family {
            Family::V4 => {
                let (len, _) = watch.try_io(Interest::READABLE, |socket| {
                    recv(socket, &mut buffer[..], RecvFlags::DONTWAIT).map_err(io::Error::from)
                })?;
                Ok(packet::read_ipv4(&buffer[..len], port, asked))
            }
            Family::V6 => {
                let (len, source, local) =
                    watch.try_io(Interest::READABLE, |socket| receive_ipv6(socket, &mut buffer))?;
                let read = source.and_then(|source| packet::read_ipv6(&buffer[..len], source, local, port, asked));
                Ok(read)
            }
        }
    }
}

/// Takes one packet, from where it came, and to which address (RFC 3542, 6.2).
fn receive_ipv6(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<(usize, Option<SocketAddrV6>, Option<Ipv6Addr>)> {
    let mut control = cmsg_space!(in6_pktinfo);
    let mut buffers = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let received = recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut buffers, Some(&mut control), flags)?;
    let local = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(Ipv6Addr::from(info.ipi6_addr.s6_addr)),
        _ => None,
    });
    Ok((received.bytes, received.address.map(SocketAddrV6::from), local))
}
