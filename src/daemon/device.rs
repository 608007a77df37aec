//! The WireGuard device: read as a whole, changed in the smallest steps, never rewritten.
//!
//! Only [`Device::identity`] looks at the private key; preshared keys are never looked at. What the kernel or a userspace
//! WireGuard tells of them is wiped after reading, as far as it lies in memory of ours.

mod handshake;
mod kernel;
mod uapi;
mod uapi_text;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::clock::since_1970;
use super::netlink::NetlinkError;
use super::rtnl::{self, Rtnl};
use crate::advice;
use crate::mesh::base::identity::{PrivateKey, PublicKey};
use crate::mesh::base::time::Timestamp;
use crate::mesh::device::{DeviceChange, DeviceState, PeerState};

use handshake::{HandshakeClock, Stamp};
use kernel::Kernel;
use uapi::Uapi;
pub(super) use uapi::has_socket;

/// How far apart two readings of one handshake may be: userspace implementations count ages in seconds.
const USERSPACE_WOBBLE: Duration = Duration::from_millis(1500);

/// Why a device could not be opened, read or changed. Each says to the operator what to do.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// No interface has this name.
    #[error("there is no interface {0}: make it first, for example with `wg-quick up {name}`", name = advice::quoted(.0))]
    NoSuchInterface(String),
    /// The interface was there and is not any more.
    #[error("interface {0} is gone")]
    Gone(String),
    /// The name cannot be that of an interface.
    #[error("{0:?} cannot be the name of an interface: 1 to 15 characters, no slash, no space")]
    BadName(String),
    /// The interface is something else.
    #[error("interface {0} is not WireGuard: the kernel does not call it that, and there is no socket {1}")]
    NotWireGuard(String, String),
    /// The interface is AmneziaWG, by this sign.
    #[error(
        "interface {0} is AmneziaWG ({1}): its packets are no longer WireGuard's, and wirelink works beside WireGuard alone, in the \
         kernel or by wireguard-go"
    )]
    Amnezia(String, String),
    /// The process lacks the right.
    #[error("may not control the WireGuard interface {0}: run as root or with CAP_NET_ADMIN")]
    Permission(String),
    /// The socket of a userspace WireGuard may not be opened.
    #[error("may not open {0}: run as root, or with CAP_DAC_OVERRIDE where the socket belongs to root")]
    SocketPermission(String),
    /// A userspace WireGuard left its socket behind, or refuses it.
    #[error("nobody answers on {0}: the userspace WireGuard behind it has ended; start it again")]
    StaleSocket(String),
    /// The kernel has WireGuard interfaces, but does not answer for them.
    #[error("the kernel has no WireGuard support loaded: try `modprobe wireguard`")]
    NoModule,
    /// The device has no private key yet.
    #[error("interface {0} has no private key: give it one, for example with `{cmd}`", cmd = advice::set_private_key(.0))]
    NoPrivateKey(String),
    /// The userspace WireGuard lacks what safe changes need.
    #[error(
        "the userspace WireGuard of {0} cannot change a peer without the danger of making one (no `update_only`): use \
         wireguard-go or the kernel's WireGuard, boringtun cannot do this"
    )]
    Unsupported(String),
    /// Something else changed the device all the time.
    #[error("interface {0} kept changing while it was read")]
    Unstable(String),
    /// There was no answer in time.
    #[error("interface {0} did not answer within 5 s")]
    TimedOut(String),
    /// The answer was refused with another error number.
    #[error("interface {0} refused a request: {1}")]
    Refused(String, io::Error),
    /// The answer makes no sense.
    #[error("interface {0} gave an answer that could not be understood: {1}")]
    Malformed(String, &'static str),
}

impl DeviceError {
    /// Says whether the interface does not exist (any more).
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Gone(_) | Self::NoSuchInterface(_))
    }

    /// Says whether the interface lacks something that whoever makes it may be about to give it.
    pub const fn is_incomplete(&self) -> bool {
        match self {
            Self::NotWireGuard(..)
            | Self::StaleSocket(_)
            | Self::NoModule
            | Self::NoPrivateKey(_)
            | Self::Unstable(_)
            | Self::TimedOut(_) => true,
            Self::NoSuchInterface(_)
            | Self::Gone(_)
            | Self::BadName(_)
            | Self::Permission(_)
            | Self::SocketPermission(_)
            | Self::Amnezia(..)
            | Self::Unsupported(_)
            | Self::Refused(..)
            | Self::Malformed(..) => false,
        }
    }

    /// Says whether the process lacks a right: waiting does not help.
    pub const fn is_permission(&self) -> bool {
        matches!(self, Self::Permission(_) | Self::SocketPermission(_))
    }

    /// Names the kind of error, for counters and for limits on log lines.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoSuchInterface(_) => "no such interface",
            Self::Gone(_) => "gone",
            Self::BadName(_) => "bad name",
            Self::NotWireGuard(..) => "not WireGuard",
            Self::Amnezia(..) => "AmneziaWG",
            Self::Permission(_) => "permission",
            Self::SocketPermission(_) => "socket permission",
            Self::StaleSocket(_) => "stale socket",
            Self::NoModule => "no module",
            Self::NoPrivateKey(_) => "no private key",
            Self::Unsupported(_) => "unsupported",
            Self::Unstable(_) => "unstable",
            Self::TimedOut(_) => "timed out",
            Self::Refused(..) => "refused",
            Self::Malformed(..) => "malformed",
        }
    }

    fn from_netlink(iface: &str, error: NetlinkError) -> Self {
        const EPERM: i32 = 1;
        const EACCES: i32 = 13;
        let iface = iface.to_owned();
        match (error.errno(), error) {
            (Some(rtnl::ENODEV), _) => Self::Gone(iface),
            (Some(EPERM | EACCES), _) => Self::Permission(iface),
            (_, NetlinkError::Refused(error)) => Self::Refused(iface, error),
            (_, NetlinkError::Unstable | NetlinkError::Torn) => Self::Unstable(iface),
            (_, NetlinkError::TimedOut) => Self::TimedOut(iface),
            (_, NetlinkError::Lost) => Self::Malformed(iface, "the netlink connection was lost"),
            (_, NetlinkError::Malformed) => Self::Malformed(iface, "netlink attributes"),
            (_, NetlinkError::TooLarge) => Self::Malformed(iface, "too long"),
        }
    }
}

/// A WireGuard device, whoever drives it.
#[derive(Debug)]
pub struct Device {
    index: u32,
    backend: Backend,
    handshakes: HandshakeClock,
    fwmark: u32,
}

#[derive(Debug)]
enum Backend {
    /// The kernel, by generic netlink.
    Kernel(Kernel),
    /// A process such as wireguard-go, by its UAPI socket.
    Userspace(Uapi),
}

/// A device as a backend reads it, with handshake times as its implementation tells them.
#[derive(Debug)]
struct Reading {
    public_key: PublicKey,
    listen_port: u16,
    /// 0 where there is none.
    fwmark: u32,
    peers: BTreeMap<PublicKey, PeerState>,
    stamps: BTreeMap<PublicKey, Stamp>,
}

impl Device {
    /// Finds out what drives the interface and opens it.
    ///
    /// # Errors
    /// When there is no such interface, it is not WireGuard, may not be controlled, or lacks what safe changes need.
    pub async fn open(iface: &str) -> Result<Self, DeviceError> {
        check_name(iface)?;
        let link = Rtnl::default().link(iface).await.map_err(|error| match error.errno() {
            Some(rtnl::ENODEV) => DeviceError::NoSuchInterface(iface.to_owned()),
            Some(_) | None => DeviceError::from_netlink(iface, error),
        })?;
        let mut device = Self {
            index: link.index,
            backend: if link.kernel_wireguard {
                Backend::Kernel(Kernel::new(iface, link.index))
            } else {
                Backend::Userspace(Uapi::open(iface).await?)
            },
            handshakes: HandshakeClock::new(if link.kernel_wireguard {
                Duration::ZERO
            } else {
                USERSPACE_WOBBLE
            }),
            fwmark: 0,
        };
        device.reading().await?;
        Ok(device)
    }

    /// Returns the index of the interface.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Returns the mark of all packets that WireGuard sends, as it was last read; 0 where there is none.
    pub const fn fwmark(&self) -> u32 {
        self.fwmark
    }

    /// Calls the device by its new name from now on; what drives it knows it by other means.
    pub fn rename(&mut self, iface: &str) {
        match &mut self.backend {
            Backend::Kernel(kernel) => kernel.rename(iface),
            Backend::Userspace(uapi) => uapi.rename(iface),
        }
    }

    /// Says what drives the device, for a log line.
    pub const fn backend(&self) -> &'static str {
        match self.backend {
            Backend::Kernel(_) => "kernel WireGuard",
            Backend::Userspace(_) => "userspace WireGuard",
        }
    }

    /// Reads the private key of the device.
    ///
    /// # Errors
    /// When the device cannot be read or has no key.
    pub async fn identity(&mut self) -> Result<PrivateKey, DeviceError> {
        match &mut self.backend {
            Backend::Kernel(kernel) => kernel.identity().await,
            Backend::Userspace(uapi) => uapi.identity().await,
        }
    }

    /// Reads the device, at a moment just `now`.
    ///
    /// # Errors
    /// When it cannot be read, or changed during every attempt.
    pub async fn read(&mut self, now: Timestamp) -> Result<DeviceState, DeviceError> {
        let Reading {
            public_key,
            listen_port,
            fwmark,
            mut peers,
            stamps,
        } = self.reading().await?;
        self.fwmark = fwmark;
        // Before 1970 no stamp means anything; all handshakes then look new, once.
        for (peer, at) in self.handshakes.read(now, since_1970(), &stamps) {
            if let Some(peer) = peers.get_mut(&peer) {
                peer.last_handshake = Some(at);
            }
        }
        Ok(DeviceState {
            public_key,
            listen_port,
            peers,
        })
    }

    async fn reading(&mut self) -> Result<Reading, DeviceError> {
        match &mut self.backend {
            Backend::Kernel(kernel) => kernel.read().await,
            Backend::Userspace(uapi) => uapi.read().await,
        }
    }

    /// Makes one change, and nothing else.
    ///
    /// # Errors
    /// When the device refuses it. Success means that it was understood: a peer that is not there is no error.
    pub async fn apply(&mut self, change: &DeviceChange) -> Result<(), DeviceError> {
        match &mut self.backend {
            Backend::Kernel(kernel) => kernel.apply(change).await,
            Backend::Userspace(uapi) => uapi.apply(change).await,
        }
    }

    /// Has WireGuard choose anew from which address of this machine it sends, as the addresses are others now. The kernel finds out by
    /// itself; wireguard-go keeps to one that is gone until a handshake fails, 15 s later.
    ///
    /// # Errors
    /// When the device cannot be read or refuses it.
    pub async fn forget_sources(&mut self) -> Result<(), DeviceError> {
        match &self.backend {
            Backend::Kernel(_) => Ok(()),
            Backend::Userspace(uapi) => uapi.forget_sources().await,
        }
    }
}

/// Refuses what the kernel would refuse as a name, before it becomes part of a path.
fn check_name(iface: &str) -> Result<(), DeviceError> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b':';
    if (1..=15).contains(&iface.len()) && iface.bytes().all(allowed) && iface != "." && iface != ".." {
        return Ok(());
    }
    Err(DeviceError::BadName(iface.to_owned()))
}

/// Makes a key that no peer has, for one that exists only while it takes a prefix away from another.
fn decoy() -> Result<PublicKey, io::Error> {
    let mut key = [0; PublicKey::LEN];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    Ok(PublicKey::from_bytes(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leads_out_of_the_socket_folder() {
        for good in ["wg0", "wg-home", "a.b", "123456789012345"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "../wg0",
            "a b",
            "wg0\n",
            "1234567890123456",
            "wgé",
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
