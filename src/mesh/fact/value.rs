//! Typed values and their bytes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::attribute::Attribute;
use super::boot::BootId;
use super::wire::{Reader, WireError, put_varint, varint_len};

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
            | Self::Withdrawn(_) => false,
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

/// What is known of a member beside its key. Equal metadata are equal bytes; unknown keys are kept and passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metadata(BTreeMap<u8, Vec<u8>>);

const NAME: u8 = b'n';
const BASIC: u8 = b'b';

impl Metadata {
    /// The longest name that is sent, in bytes.
    pub const NAME_LEN: usize = 16;

    /// Describes a member. The name is cut to 16 bytes of printable characters; an empty one is left out.
    pub fn new(name: Option<&str>, basic: bool) -> Self {
        let mut items = BTreeMap::new();
        let name = name.map(presentable).unwrap_or_default();
        if !name.is_empty() {
            items.insert(NAME, name.into_bytes());
        }
        if basic {
            items.insert(BASIC, vec![1]);
        }
        Self(items)
    }

    /// Returns the name in printable characters, where it has one. What a peer sends may be longer than what we send.
    pub fn name(&self) -> Option<String> {
        let text = std::str::from_utf8(self.0.get(&NAME)?).ok()?;
        Some(presentable(text)).filter(|name| !name.is_empty())
    }

    /// Returns whether the member runs WireGuard without wirelink.
    pub fn is_basic(&self) -> bool {
        self.0.get(&BASIC).is_some_and(|flag| flag == &[1])
    }

    /// Returns all items, by key.
    pub fn items(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.0.iter().map(|(key, bytes)| (*key, bytes.as_slice()))
    }

    /// Takes items as they are; the last of several with the same key counts.
    pub fn from_items(items: impl IntoIterator<Item = (u8, Vec<u8>)>) -> Self {
        Self(items.into_iter().collect())
    }

    fn len(&self) -> usize {
        let items = self.items().map(|(_, bytes)| 1 + varint_len(bytes.len()) + bytes.len());
        let items = items.sum();
        varint_len(items) + items
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let name_first = self.items().filter(|(key, _)| *key == NAME);
        let rest = self.items().filter(|(key, _)| *key != NAME);
        let mut items = Vec::new();
        for (key, bytes) in name_first.chain(rest) {
            items.push(key);
            put_varint(bytes.len() as u64, &mut items);
            items.extend_from_slice(bytes);
        }
        put_varint(items.len() as u64, out);
        out.extend_from_slice(&items);
    }

    fn decode(bytes: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut list = bytes.counted()?;
        let mut items = BTreeMap::new();
        while !list.is_empty() {
            let key = list.u8()?;
            let value = list.counted()?.rest().to_vec();
            check(key, &value)?;
            if items.insert(key, value).is_some() {
                return Err(WireError::MetadataKeyTwice(key));
            }
        }
        Ok(Self(items))
    }
}

fn check(key: u8, value: &[u8]) -> Result<(), WireError> {
    match key {
        NAME if std::str::from_utf8(value).is_err() => Err(WireError::NameNotUtf8),
        BASIC if !matches!(value, [0 | 1]) => Err(WireError::BasicFlag),
        _ => Ok(()),
    }
}

/// Keeps what fits a log line: printable characters, at most [`Metadata::NAME_LEN`] bytes.
fn presentable(name: &str) -> String {
    let mut kept = String::new();
    for character in name.trim().chars().filter(|c| is_visible(*c)) {
        if kept.len() + character.len_utf8() > Metadata::NAME_LEN {
            break;
        }
        kept.push(character);
    }
    kept
}

/// Leaves out control characters and those that change the direction or hide: a peer must not forge the look of a log.
fn is_visible(character: char) -> bool {
    let hidden =
        matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !character.is_control() && !hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_between_characters_and_loses_what_is_not_printable() {
        let name = |text| Metadata::new(Some(text), false).name();
        assert_eq!(name("caf\u{e9}-1\n").as_deref(), Some("caf\u{e9}-1"));
        assert_eq!(name("0123456789abcde\u{e9}").as_deref(), Some("0123456789abcde"));
        assert_eq!(name("\x1b\x07"), None);
    }
}
