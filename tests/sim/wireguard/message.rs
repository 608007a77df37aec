//! What WireGuard sends, and what it carries, without any cryptography: keys are identities, sessions are numbers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::reach::stun::{Answer, Transaction};

/// The longest packet that the WireGuard interface takes.
pub(crate) const TUNNEL_MTU: usize = 1420;
/// The header and the authentication tag of a data message (paper, 5.4.6).
const DATA_OVERHEAD: usize = 32;
/// What a packet is padded to inside a data message (paper, 5.4.6).
const PADDING: usize = 16;
/// How many copies of a data message are told apart by their counters; the kernel's window has 8128 (`receive.c`,
/// `counter_validate`), which is never used up by packets that overtake one another in a simulated network.
const WINDOW: u64 = u128::BITS as u64;

/// An IP packet inside the tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Who sent it.
    pub(crate) source: IpAddr,
    /// Who shall get it.
    pub(crate) destination: IpAddr,
    /// How often it may still be forwarded (time to live, hop limit). WireGuard itself neither reads nor changes it.
    pub(crate) hops: u8,
    /// All that follows the IP header, a UDP header included.
    pub(crate) payload: Vec<u8>,
}

impl Packet {
    /// Returns its length with the IP header, in bytes.
    pub(crate) fn len(&self) -> usize {
        let header = if self.destination.is_ipv4() { 20 } else { 40 };
        header + self.payload.len()
    }
}

/// One UDP payload of WireGuard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Opens a handshake (paper, 5.4.2).
    Initiation {
        /// Whose it is; on the wire, only the addressee can read it.
        from: PublicKey,
        /// For whom it is; nobody else can make anything of it.
        to: PublicKey,
        /// The initiator's ephemeral key and index: which of its attempts it is.
        attempt: u64,
        /// The initiator's clock, rounded down to 2^24 ns: later ones only are accepted.
        stamp: Duration,
    },
    /// Answers an initiation (paper, 5.4.3).
    Response {
        /// Who answers.
        from: PublicKey,
        /// The [`Message::Initiation::attempt`] that it answers.
        attempt: u64,
        /// The session that comes of it: the responder's ephemeral key and index.
        session: u64,
    },
    /// Carries a packet (paper, 5.4.6).
    Data {
        /// Who sends it. On the wire it follows from the receiver's index, as the session does.
        from: PublicKey,
        /// With which keys.
        session: u64,
        /// The how-manieth of the session it is.
        counter: u64,
        /// The packet; a keepalive has none.
        packet: Option<Packet>,
    },
    /// What is none of WireGuard's, which drops it (`receive.c`, `prepare_skb_header`).
    Foreign(Vec<u8>),
    /// Neither is what a STUN server is asked,
    Question(Transaction),
    /// and what it says.
    Answer(Answer),
}

impl Message {
    /// Returns its length in bytes: a UDP payload.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Initiation { .. } => 148,
            Self::Response { .. } => 92,
            Self::Data { packet, .. } => data_len(packet.as_ref()),
            Self::Foreign(payload) => payload.len(),
            Self::Question(_) => 20,
            Self::Answer(_) => 32,
        }
    }
}

/// Returns the length of the data message that carries a packet: it is filled up, but never beyond the MTU of the interface.
pub(super) fn data_len(packet: Option<&Packet>) -> usize {
    DATA_OVERHEAD + packet.map_or(0, |packet| packet.len().next_multiple_of(PADDING).min(TUNNEL_MTU))
}

/// What WireGuard does to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A datagram leaves from WireGuard's port.
    Send {
        /// The endpoint.
        to: SocketAddr,
        /// The datagram.
        message: Message,
    },
    /// A packet comes out of the interface.
    Deliver {
        /// The peer that sent it.
        from: PublicKey,
        /// The packet.
        packet: Packet,
    },
}

/// Why a packet did not even enter the tunnel: the sender hears it from `send` (`device.c`, `wg_xmit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unroutable {
    /// No peer has the destination among its allowed IPs (`ENOKEY`).
    NoPeer,
    /// Its peer has no endpoint (`EDESTADDRREQ`).
    NoEndpoint(PublicKey),
}

/// Which counters of a session were seen: none is accepted twice (paper, 5.4.6; `receive.c`, `counter_validate`).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    /// One more than the highest counter that was seen.
    next: u64,
    /// Bit `i` tells whether `next - 1 - i` was seen.
    seen: u128,
}

impl Window {
    /// Takes note of a counter and returns whether it is new.
    pub(super) fn admit(&mut self, counter: u64) -> bool {
        if counter >= self.next {
            let ahead = u32::try_from(counter - self.next + 1).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.next = counter + 1;
            return true;
        }
        let behind = self.next - 1 - counter;
        if behind >= WINDOW || self.seen & (1 << behind) != 0 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}
