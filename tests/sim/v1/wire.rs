//! The bytes of wirelink v1, read as strictly as the deployed program reads them, and with none of our own code.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use wirelink::mesh::base::identity::PublicKey;

/// The most bytes that are taken in.
pub(super) const MAX_ACCEPTED: usize = 2424;
/// The most bytes of facts that are sent in one group.
pub(super) const MAX_INNER: usize = 1136;
/// Attribute, TTL 0, sender, nonce and tag.
const GROUP_HEADER: usize = 1 + 1 + 32 + 24 + 16;

/// What is said of whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fact {
    /// Of whom.
    pub(crate) subject: PublicKey,
    /// What.
    pub(crate) value: Value,
}

/// The seven attributes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    /// `!`
    Alive([u8; 16]),
    /// `e` and `E`
    Endpoint(SocketAddr),
    /// `a` and `A`
    AllowedIp(IpNet),
    /// `m`
    Member,
    /// `M`
    Metadata(BTreeMap<u8, Vec<u8>>),
}

/// A fact and its TTL in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timed {
    /// What is said.
    pub(crate) fact: Fact,
    /// For how long.
    pub(crate) ttl: u16,
}

/// Why a datagram is refused whole; the text is what a test shows.
pub(crate) type Refusal = &'static str;

/// Returns who claims to have sent a datagram, and what is in it.
pub(super) fn decode(datagram: &[u8]) -> Result<(PublicKey, Vec<Timed>), Refusal> {
    if datagram.len() > MAX_ACCEPTED {
        return Err("too long");
    }
    if datagram.first() != Some(&b'S') {
        return Err("does not begin with S");
    }
    let mut bytes = Bytes(&datagram[1..]);
    if bytes.varint()? != 0 {
        return Err("a group with a TTL");
    }
    if datagram.len() < GROUP_HEADER {
        return Err("short group");
    }
    let sender = bytes.key()?;
    bytes.take(24 + 16)?;
    let mut facts = Vec::new();
    while !bytes.0.is_empty() {
        facts.push(fact(&mut bytes)?);
    }
    Ok((sender, facts))
}

fn fact(bytes: &mut Bytes<'_>) -> Result<Timed, Refusal> {
    let attribute = bytes.take(1)?[0];
    if attribute >= 0x80 {
        return Err("an extended fact");
    }
    if !b"!eEaAmM".contains(&attribute) {
        return Err("an unknown attribute");
    }
    let ttl = u16::try_from(bytes.varint()?).map_err(|_| "a TTL above 65535")?;
    let subject = bytes.key()?;
    let value = value(attribute, bytes)?;
    Ok(Timed {
        fact: Fact { subject, value },
        ttl,
    })
}

fn value(attribute: u8, bytes: &mut Bytes<'_>) -> Result<Value, Refusal> {
    Ok(match attribute {
        b'!' => Value::Alive(bytes.array()?),
        b'e' => Value::Endpoint(SocketAddr::new(bytes.v4()?, bytes.port()?)),
        b'E' => {
            let address = bytes.v6()?;
            if address.to_ipv4_mapped().is_some() {
                return Err("an IPv4-mapped endpoint");
            }
            Value::Endpoint(SocketAddr::new(address.into(), bytes.port()?))
        }
        b'a' => Value::AllowedIp(prefix(bytes.v4()?, bytes.take(1)?[0])?),
        b'A' => Value::AllowedIp(prefix(bytes.v6()?.into(), bytes.take(1)?[0])?),
        b'm' => Value::Member,
        _ => Value::Metadata(metadata(bytes)?),
    })
}

fn prefix(address: IpAddr, length: u8) -> Result<IpNet, Refusal> {
    IpNet::new(address, length)
        .map(|prefix| prefix.trunc())
        .map_err(|_| "a prefix length beyond its address")
}

fn metadata(bytes: &mut Bytes<'_>) -> Result<BTreeMap<u8, Vec<u8>>, Refusal> {
    let length = bytes.varint()? as usize;
    let mut list = Bytes(bytes.take(length)?);
    let mut items = BTreeMap::new();
    while !list.0.is_empty() {
        let key = list.take(1)?[0];
        let length = list.varint()? as usize;
        let item = list.take(length)?.to_vec();
        if key == b'n' && std::str::from_utf8(&item).is_err() {
            return Err("a name that is not UTF-8");
        }
        if key == b'b' && item != [0] && item != [1] {
            return Err("a basic flag other than 0 and 1");
        }
        if items.insert(key, item).is_some() {
            return Err("a metadata key twice");
        }
    }
    Ok(items)
}

/// What is still to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Refusal> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        Ok(self.take(N)?.try_into().expect("as many as were taken"))
    }

    fn key(&mut self) -> Result<PublicKey, Refusal> {
        self.array().map(PublicKey::from_bytes)
    }

    fn v4(&mut self) -> Result<IpAddr, Refusal> {
        self.array::<4>().map(|octets| Ipv4Addr::from(octets).into())
    }

    fn v6(&mut self) -> Result<Ipv6Addr, Refusal> {
        self.array::<16>().map(Ipv6Addr::from)
    }

    fn port(&mut self) -> Result<u16, Refusal> {
        self.array().map(u16::from_be_bytes)
    }

    /// Reads a number of one to three bytes, seven bits each, lowest first.
    fn varint(&mut self) -> Result<u32, Refusal> {
        let mut number = 0;
        for place in 0..3 {
            let byte = self.take(1)?[0];
            number += u32::from(byte % 128) << (7 * place);
            if byte < 128 {
                return Ok(number);
            }
        }
        Err("a number of more than three bytes")
    }
}

/// Returns the bytes of a fact.
pub(crate) fn encode(timed: &Timed) -> Vec<u8> {
    let mut bytes = vec![attribute(&timed.fact.value)];
    put_varint(timed.ttl.into(), &mut bytes);
    bytes.extend(timed.fact.subject.as_bytes());
    match &timed.fact.value {
        Value::Alive(boot_id) => bytes.extend(boot_id),
        Value::Endpoint(endpoint) => {
            put_address(endpoint.ip(), &mut bytes);
            bytes.extend(endpoint.port().to_be_bytes());
        }
        Value::AllowedIp(prefix) => {
            put_address(prefix.network(), &mut bytes);
            bytes.push(prefix.prefix_len());
        }
        Value::Member => {}
        Value::Metadata(items) => put_metadata(items, &mut bytes),
    }
    bytes
}

fn attribute(value: &Value) -> u8 {
    match value {
        Value::Alive(_) => b'!',
        Value::Endpoint(SocketAddr::V4(_)) => b'e',
        Value::Endpoint(SocketAddr::V6(_)) => b'E',
        Value::AllowedIp(IpNet::V4(_)) => b'a',
        Value::AllowedIp(IpNet::V6(_)) => b'A',
        Value::Member => b'm',
        Value::Metadata(_) => b'M',
    }
}

fn put_address(address: IpAddr, bytes: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => bytes.extend(v4.octets()),
        IpAddr::V6(v6) => bytes.extend(v6.octets()),
    }
}

fn put_metadata(items: &BTreeMap<u8, Vec<u8>>, bytes: &mut Vec<u8>) {
    let mut list = Vec::new();
    let name = items.iter().filter(|(key, _)| **key == b'n');
    for (key, item) in name.chain(items.iter().filter(|(key, _)| **key != b'n')) {
        list.push(*key);
        put_varint(item.len(), &mut list);
        list.extend(item);
    }
    put_varint(list.len(), bytes);
    bytes.extend(list);
}

fn put_varint(mut number: usize, bytes: &mut Vec<u8>) {
    while number > 127 {
        bytes.push((number % 128 + 128) as u8);
        number /= 128;
    }
    bytes.push(number as u8);
}
