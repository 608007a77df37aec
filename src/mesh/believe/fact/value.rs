//! Typed values and their bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::attribute::Attribute;
use super::boot::BootId;
pub use super::heartbeat::{Echo, Heartbeat};
pub use super::metadata::{Metadata, is_visible};
pub use super::signal::{Nat, Probes, Signal};
use super::wire::{Reader, WireError, varint_len};

/// The value of a fact, one variant for each meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// See [`Attribute::Alive`].
    Alive(BootId),
    /// See [`Attribute::EndpointV4`]; never an IPv4-mapped IPv6 address.
    Endpoint(SocketAddr),
    /// See [`Attribute::AllowedIpV4`]; masked.
    AllowedIp(IpNet),
    /// See [`Attribute::Member`].
    Member,
    /// See [`Attribute::MemberMetadata`].
    MemberMetadata(Metadata),
    /// See [`Attribute::Digest`].
    Digest {
        /// Of which buckets, a bit for each, the lowest for the first.
        buckets: u64,
        /// The sum of the [hashes](FactHash) of the facts in them.
        sum: FactHash,
    },
    /// See [`Attribute::Holdings`]: such a sum for each bucket.
    Holdings(Box<[FactHash; BUCKETS]>),
    /// See [`Attribute::Reset`]: a bit for each bucket, the lowest for the first.
    Reset(u64),
    /// See [`Attribute::Withdrawn`]: the hashes of the facts.
    Withdrawn(Vec<FactHash>),
    /// See [`Attribute::Probes`].
    Probes(Probes),
    /// See [`Attribute::Signal`].
    Signal(Box<Signal>),
    /// See [`Attribute::Heartbeat`].
    Heartbeat(Heartbeat),
    /// See [`Attribute::Echo`].
    Echo(Box<Echo>),
    /// See [`Attribute::Denied`].
    Denied(Denied),
}

/// What an operator decided about a key: see [`bans`](crate::mesh::members::bans).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denied {
    /// Whether the key is out.
    pub denied: bool,
    /// One more than that of the decision before.
    pub version: u32,
}

impl Denied {
    /// The length in bytes.
    pub const LEN: usize = 1 + size_of::<u32>();

    /// Returns what decides between two of them: the version, then the ban.
    pub const fn rank(self) -> (u32, bool) {
        (self.version, self.denied)
    }

    fn encode(self, out: &mut Vec<u8>) {
        out.push(u8::from(self.denied));
        out.extend_from_slice(&self.version.to_be_bytes());
    }

    fn decode(bytes: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            denied: bytes.u8()? & 1 == 1,
            version: u32::from_be_bytes(bytes.array()?),
        })
    }
}

/// The hash of a fact in digests: the first 8 bytes of the BLAKE2s-256 of its attribute, subject and value as they are on the wire;
/// the highest bit says whether it is an endpoint.
pub type FactHash = u64;

const HASH_LEN: usize = size_of::<FactHash>();

/// The number of buckets in [`Value::Holdings`]; the six highest bits of its hash say in which one a fact is. So the lower half is of
/// members and allowed IPs, the upper one of endpoints.
pub const BUCKETS: usize = 64;
/// The bit of a [`FactHash`] that says that the fact is an endpoint.
pub const IS_ENDPOINT: FactHash = 1 << 63;

/// Returns in which bucket the fact with this hash is.
pub fn bucket(hash: FactHash) -> usize {
    (hash >> (FactHash::BITS - BUCKETS.ilog2())) as usize
}

impl Value {
    /// Returns the attribute that has such values.
    pub fn attribute(&self) -> Attribute {
        match self {
            Self::Alive(_) => Attribute::Alive,
            Self::Endpoint(SocketAddr::V4(_)) => Attribute::EndpointV4,
            Self::Endpoint(SocketAddr::V6(_)) => Attribute::EndpointV6,
            Self::AllowedIp(IpNet::V4(_)) => Attribute::AllowedIpV4,
            Self::AllowedIp(IpNet::V6(_)) => Attribute::AllowedIpV6,
            Self::Member => Attribute::Member,
            Self::MemberMetadata(_) => Attribute::MemberMetadata,
            Self::Digest { .. } => Attribute::Digest,
            Self::Holdings(_) => Attribute::Holdings,
            Self::Reset(_) => Attribute::Reset,
            Self::Withdrawn(_) => Attribute::Withdrawn,
            Self::Probes(_) => Attribute::Probes,
            Self::Signal(_) => Attribute::Signal,
            Self::Heartbeat(_) => Attribute::Heartbeat,
            Self::Echo(_) => Attribute::Echo,
            Self::Denied(_) => Attribute::Denied,
        }
    }

    /// Returns whether the value says that the subject is a member.
    pub fn is_membership(&self) -> bool {
        match self {
            Self::Member | Self::MemberMetadata(_) => true,
            Self::Alive(_)
            | Self::Endpoint(_)
            | Self::AllowedIp(_)
            | Self::Digest { .. }
            | Self::Holdings(_)
            | Self::Reset(_)
            | Self::Withdrawn(_)
            | Self::Probes(_)
            | Self::Signal(_)
            | Self::Heartbeat(_)
            | Self::Echo(_)
            | Self::Denied(_) => false,
        }
    }

    /// Returns the endpoint, if it is one.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        if let Self::Endpoint(endpoint) = self {
            Some(*endpoint)
        } else {
            None
        }
    }

    /// Returns the prefix, if it is an allowed IP.
    pub fn allowed_ip(&self) -> Option<IpNet> {
        if let Self::AllowedIp(prefix) = self {
            Some(*prefix)
        } else {
            None
        }
    }

    /// Returns what is announced of probes, if it is that.
    pub fn probes(&self) -> Option<Probes> {
        if let Self::Probes(probes) = self {
            Some(*probes)
        } else {
            None
        }
    }

    /// Returns how many bytes the value takes, with its length where it is extended.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Alive(_) => BootId::LEN,
            Self::Endpoint(SocketAddr::V4(_)) => 6,
            Self::Endpoint(SocketAddr::V6(_)) => 18,
            Self::AllowedIp(IpNet::V4(_)) => 5,
            Self::AllowedIp(IpNet::V6(_)) => 17,
            Self::Member => 0,
            Self::MemberMetadata(metadata) => metadata.len(),
            Self::Digest { .. } => 1 + 2 * HASH_LEN,
            Self::Reset(_) => 1 + HASH_LEN,
            Self::Holdings(sums) => 2 + HASH_LEN * sums.len(),
            Self::Withdrawn(hashes) => varint_len(HASH_LEN * hashes.len()) + HASH_LEN * hashes.len(),
            Self::Probes(_) => 1 + Probes::LEN,
            Self::Signal(signal) => 1 + signal.len(),
            Self::Heartbeat(_) => 1 + Heartbeat::LEN,
            Self::Echo(_) => 1 + Echo::LEN,
            Self::Denied(_) => 1 + Denied::LEN,
        }
    }

    /// Appends the bytes of the value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Alive(boot_id) => out.extend_from_slice(boot_id.as_bytes()),
            Self::Endpoint(endpoint) => {
                put_address(endpoint.ip(), out);
                out.extend_from_slice(&endpoint.port().to_be_bytes());
            }
            Self::AllowedIp(prefix) => {
                put_address(prefix.addr(), out);
                out.push(prefix.prefix_len());
            }
            Self::Member => {}
            Self::MemberMetadata(metadata) => metadata.encode(out),
            Self::Digest { buckets, sum } => put_hashes(&[*buckets, *sum], out),
            Self::Reset(buckets) => put_hashes(&[*buckets], out),
            Self::Holdings(sums) => put_hashes(&**sums, out),
            Self::Withdrawn(hashes) => put_hashes(hashes, out),
            Self::Probes(probes) => probes.encode(out),
            Self::Signal(signal) => signal.encode(out),
            Self::Heartbeat(heartbeat) => heartbeat.encode(out),
            Self::Echo(echo) => echo.encode(out),
            Self::Denied(denied) => denied.encode(out),
        }
    }

    /// Reads the value that belongs to `attribute`.
    pub(super) fn decode(attribute: Attribute, bytes: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(match attribute {
            Attribute::Alive => Self::Alive(BootId::from_bytes(bytes.array()?)),
            Attribute::EndpointV4 => Self::Endpoint(SocketAddr::new(v4(bytes)?, bytes.u16()?)),
            Attribute::EndpointV6 => Self::Endpoint(SocketAddr::new(unmapped_v6(bytes)?, bytes.u16()?)),
            Attribute::AllowedIpV4 => Self::AllowedIp(prefix(v4(bytes)?, bytes.u8()?)?),
            Attribute::AllowedIpV6 => Self::AllowedIp(prefix(v6(bytes)?, bytes.u8()?)?),
            Attribute::Member => Self::Member,
            Attribute::MemberMetadata => Self::MemberMetadata(Metadata::decode(bytes)?),
            Attribute::Digest => Self::Digest {
                buckets: hash(bytes)?,
                sum: hash(bytes)?,
            },
            Attribute::Holdings => Self::Holdings(holdings(bytes)?),
            Attribute::Reset => Self::Reset(hash(bytes)?),
            Attribute::Withdrawn => Self::Withdrawn(withdrawn(bytes)?),
            Attribute::Probes => Self::Probes(Probes::decode(bytes)?),
            Attribute::Signal => Self::Signal(Box::new(Signal::decode(bytes)?)),
            Attribute::Heartbeat => Self::Heartbeat(Heartbeat::decode(bytes)?),
            Attribute::Echo => Self::Echo(Box::new(Echo::decode(bytes)?)),
            Attribute::Denied => Self::Denied(Denied::decode(bytes)?),
        })
    }
}

fn put_hashes(hashes: &[FactHash], out: &mut Vec<u8>) {
    hashes
        .iter()
        .for_each(|hash| out.extend_from_slice(&hash.to_be_bytes()));
}

fn hash(bytes: &mut Reader<'_>) -> Result<FactHash, WireError> {
    bytes.array().map(FactHash::from_be_bytes)
}

fn holdings(bytes: &mut Reader<'_>) -> Result<Box<[FactHash; BUCKETS]>, WireError> {
    let mut sums = Box::new([0; BUCKETS]);
    for sum in sums.iter_mut() {
        *sum = hash(bytes)?;
    }
    Ok(sums)
}

fn withdrawn(bytes: &mut Reader<'_>) -> Result<Vec<FactHash>, WireError> {
    let mut hashes = Vec::new();
    while !bytes.is_empty() {
        hashes.push(hash(bytes)?);
    }
    Ok(hashes)
}

fn put_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
        IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
    }
}

fn v4(bytes: &mut Reader<'_>) -> Result<IpAddr, WireError> {
    Ok(IpAddr::V4(Ipv4Addr::from(bytes.array()?)))
}

fn v6(bytes: &mut Reader<'_>) -> Result<IpAddr, WireError> {
    Ok(IpAddr::V6(Ipv6Addr::from(bytes.array::<16>()?)))
}

fn unmapped_v6(bytes: &mut Reader<'_>) -> Result<IpAddr, WireError> {
    let address = Ipv6Addr::from(bytes.array::<16>()?);
    if address.to_ipv4_mapped().is_some() {
        return Err(WireError::MappedAddress);
    }
    Ok(IpAddr::V6(address))
}

fn prefix(address: IpAddr, length: u8) -> Result<IpNet, WireError> {
    IpNet::new(address, length)
        .map(|net| net.trunc())
        .map_err(|_| WireError::PrefixLength(length))
}
