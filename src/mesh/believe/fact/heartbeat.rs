//! Heartbeats, and the answers to them: what one node says to another through the link between them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::wire::{Reader, WireError};

/// The bit of a number that says that the heartbeat has a certain size: it is answered, and not counted among the others, as what
/// becomes of it says nothing of them.
pub const SIZED: u32 = 1 << 31;

/// A question: do you hear me? With how the sender stands to the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Heartbeat {
    /// Its number among those of the session.
    pub number: u32,
    /// One more with each change of `ready`.
    pub version: u32,
    /// Whether the sender sends directly, if the recipient does.
    pub ready: bool,
    /// Whether the sender turns to a better path now, and the recipient should.
    pub turns: bool,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Echo {
    /// The number that it answers, and how the sender stands to the link.
    pub beat: Heartbeat,
    /// How many heartbeats of the session arrived.
    pub received: u32,
    /// When this one arrived, on the clock of who answers; only differences mean something, in whole microseconds.
    pub at: Duration,
    /// Where WireGuard sees the other side.
    pub seen: Option<SocketAddr>,
}

impl Heartbeat {
    /// Returns whether it has a certain size.
    pub const fn is_sized(&self) -> bool {
        self.number & SIZED != 0
    }

    pub(super) const LEN: usize = 9;

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.version.to_be_bytes());
        out.push(u8::from(self.ready) | u8::from(self.turns) << 1);
    }

    /// Reads what is known today. What follows is padding: it measures how long a datagram may be.
    pub(super) fn decode(bytes: &mut Reader<'_>) -> Result<Self, WireError> {
        let beat = Self::read(bytes)?;
        bytes.rest();
        Ok(beat)
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Self, WireError> {
        let (number, version) = (bytes.array()?, bytes.array()?);
        let flags = bytes.u8()?;
        Ok(Self {
            number: u32::from_be_bytes(number),
            version: u32::from_be_bytes(version),
            ready: flags & 1 != 0,
            turns: flags & 2 != 0,
        })
    }
}

impl Echo {
    pub(super) const LEN: usize = Heartbeat::LEN + 4 + 8 + 18;

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        self.beat.encode(out);
        out.extend_from_slice(&self.received.to_be_bytes());
        let at = u64::try_from(self.at.as_micros()).unwrap_or(u64::MAX);
        out.extend_from_slice(&at.to_be_bytes());
        let seen = self.seen.unwrap_or(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)));
        let address = match seen.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        out.extend_from_slice(&address.octets());
        out.extend_from_slice(&seen.port().to_be_bytes());
    }

    /// Reads what is known today; later revisions may say more.
    pub(super) fn decode(bytes: &mut Reader<'_>) -> Result<Self, WireError> {
        let beat = Heartbeat::read(bytes)?;
        let received = bytes.array().map(u32::from_be_bytes)?;
        let at = Duration::from_micros(bytes.array().map(u64::from_be_bytes)?);
        let address = Ipv6Addr::from(bytes.array::<16>()?).to_canonical();
        let port = bytes.u16()?;
        bytes.rest();
        Ok(Self {
            beat,
            received,
            at,
            seen: (port != 0 && !address.is_unspecified()).then_some(SocketAddr::new(address, port)),
        })
    }
}
