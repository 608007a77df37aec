//! The layout of datagrams: one group each.
//!
//! ```text
//! fact     attribute 1 | TTL varint 1-3, seconds | subject 32 | value, as long as the attribute says
//! group    'S' | 0 | sender 32 | nonce 24 | tag 16 | facts to the end                              (wirelink v1)
//!
//! item     attribute 1 | TTL varint 1-3, seconds | value
//! run      0x80 + count 1 | items about the sender      or      count 1 | subject 32 | items about the subject
//! compact  0xd3 | tag 16 | runs to the end                       (to nodes that announced that they can read it)
//! ```
//!
//! An attribute with the [`EXTENDED`] bit has a varint length before its value; where it is unknown it is skipped. The sender
//! of a compact group is the peer whose link-local address it came from: WireGuard lets nobody else use that.

use std::time::Duration;

use super::attribute::Attribute;
pub use super::pack::{fact_len, pack, pack_compact, pack_sized, put_fact};
use super::value::Value;
use super::{Fact, Timed};
use crate::mesh::base::identity::PublicKey;

/// The largest payload that is sent: fits the least IPv6 MTU (1280) with the headers of IPv6, UDP and room to spare.
pub const MAX_SENT: usize = 1212;
/// The largest payload that is accepted.
pub const MAX_ACCEPTED: usize = 2 * MAX_SENT;
/// The bytes of a group before its facts.
pub const GROUP_OVERHEAD: usize = FACT_HEADER + NONCE_LEN + TAG_LEN;
/// The most bytes of facts in a group that is sent. Deployed nodes count the longest TTL for the group's own, so it is 1136.
pub const MAX_FACTS: usize = MAX_SENT - (1 + MAX_TTL_LEN + PublicKey::LEN) - NONCE_LEN - TAG_LEN;
/// The bit of an attribute byte that says that its value has a length.
pub const EXTENDED: u8 = 0x80;
/// The length of a nonce.
pub const NONCE_LEN: usize = 24;
/// The length of a tag.
pub const TAG_LEN: usize = 16;
/// The longest time a fact can live on the wire.
pub const MAX_TTL: Duration = Duration::from_secs(u16::MAX as u64);

/// The bytes of a compact group before its runs.
pub const COMPACT_OVERHEAD: usize = 1 + TAG_LEN;

const GROUP: u8 = b'S';
const COMPACT: u8 = EXTENDED | b'S';
/// The most items of a run.
pub(super) const MAX_RUN: u8 = 0x7f;
/// The bit of a run's first byte that says that the sender itself is the subject.
pub(super) const ABOUT_SENDER: u8 = 0x80;
const MAX_TTL_LEN: usize = 3;
const FACT_HEADER: usize = 1 + 1 + PublicKey::LEN;

/// Why bytes are not a datagram of facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum WireError {
    /// Beyond [`MAX_ACCEPTED`].
    #[error("longer than a datagram of facts can be")]
    TooLong,
    /// The bytes end inside a fact.
    #[error("cut short")]
    Truncated,
    /// The outer fact is not a signed group.
    #[error("not a signed group")]
    NotSigned,
    /// The group says that it expires.
    #[error("a group with a TTL")]
    GroupTtl,
    /// A run without items.
    #[error("a run of no facts")]
    EmptyRun,
    /// A group inside a group.
    #[error("a group inside a group")]
    Nested,
    /// No such attribute; where it ends cannot be known.
    #[error("unknown attribute {0:#04x}")]
    UnknownAttribute(u8),
    /// A TTL above 65535 s.
    #[error("a TTL above 65535 s")]
    Ttl,
    /// A length that is no varint of at most three bytes.
    #[error("a length that cannot be")]
    Length,
    /// A prefix longer than its address.
    #[error("prefix length {0} is longer than the address")]
    PrefixLength(u8),
    /// An IPv4 address in the clothes of IPv6.
    #[error("an IPv4-mapped IPv6 endpoint")]
    MappedAddress,
    /// Metadata with a key twice.
    #[error("metadata key {0:#04x} twice")]
    MetadataKeyTwice(u8),
    /// A member's name that is not UTF-8.
    #[error("a name that is not UTF-8")]
    NameNotUtf8,
    /// A basic flag that is not one byte, 0 or 1.
    #[error("a basic flag other than 0 and 1")]
    BasicFlag,
}

/// A datagram whose outer layout is right. Nothing is known of who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Its form, and what only that form has.
    pub form: Form,
    pub(in crate::mesh) tag: [u8; TAG_LEN],
    pub(in crate::mesh) facts: &'a [u8],
}

/// The two forms of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As wirelink v1 has it.
    Signed {
        /// The key that the sender claims.
        sender: PublicKey,
        /// A number that the sender uses once.
        nonce: [u8; NONCE_LEN],
    },
    /// Between nodes of ours: who sent it follows from where it came from.
    Compact,
}

/// Reads the layout of a datagram.
///
/// # Errors
/// When it is too long or too short, or no group.
pub fn decode(datagram: &[u8]) -> Result<Envelope<'_>, WireError> {
    if datagram.len() > MAX_ACCEPTED {
        return Err(WireError::TooLong);
    }
    let mut bytes = Reader(datagram);
    let form = match bytes.u8()? {
        GROUP if !ttl(&mut bytes)?.is_zero() => return Err(WireError::GroupTtl),
        GROUP => Form::Signed {
            sender: PublicKey::from_bytes(bytes.array()?),
            nonce: bytes.array()?,
        },
        COMPACT => Form::Compact,
        _ => return Err(WireError::NotSigned),
    };
    Ok(Envelope {
        form,
        tag: bytes.array()?,
        facts: bytes.rest(),
    })
}

impl Envelope<'_> {
    /// Reads all facts as those of `sender`, without asking whether it said them: for showing a capture, where no key is at hand.
    ///
    /// # Errors
    /// When any of them does not decode.
    pub fn unverified_facts(&self, sender: &PublicKey) -> Result<Vec<Timed>, WireError> {
        let mut facts = Vec::with_capacity(self.facts.len() / (FACT_HEADER + 5));
        let mut bytes = Reader(self.facts);
        while !bytes.is_empty() {
            match self.form {
                Form::Signed { .. } => read_fact(&mut bytes, &mut facts)?,
                Form::Compact => read_run(&mut bytes, sender, &mut facts)?,
            }
        }
        Ok(facts)
    }
}

/// Reads one fact, or skips one that is extended and unknown.
fn read_fact(bytes: &mut Reader<'_>, facts: &mut Vec<Timed>) -> Result<(), WireError> {
    let byte = attribute(bytes)?;
    let ttl = ttl(bytes)?;
    let subject = PublicKey::from_bytes(bytes.array()?);
    read_value(bytes, byte, ttl, subject, facts)
}

fn read_run(bytes: &mut Reader<'_>, sender: &PublicKey, facts: &mut Vec<Timed>) -> Result<(), WireError> {
    let first = bytes.u8()?;
    let count = first & MAX_RUN;
    if count == 0 {
        return Err(WireError::EmptyRun);
    }
    let subject = match first & ABOUT_SENDER {
        0 => PublicKey::from_bytes(bytes.array()?),
        _ => *sender,
    };
    for _ in 0..count {
        let byte = attribute(bytes)?;
        let ttl = ttl(bytes)?;
        read_value(bytes, byte, ttl, subject, facts)?;
    }
    Ok(())
}

/// Reads an attribute byte; one that is unknown and not extended makes the rest unreadable, whatever follows.
fn attribute(bytes: &mut Reader<'_>) -> Result<u8, WireError> {
    match bytes.u8()? {
        GROUP => Err(WireError::Nested),
        byte if byte & EXTENDED == 0 && Attribute::from_byte(byte).is_none() => Err(WireError::UnknownAttribute(byte)),
        byte => Ok(byte),
    }
}

fn read_value(
    bytes: &mut Reader<'_>,
    byte: u8,
    ttl: Duration,
    subject: PublicKey,
    facts: &mut Vec<Timed>,
) -> Result<(), WireError> {
    let mut counted = if byte & EXTENDED != 0 {
        Some(bytes.counted()?)
    } else {
        None
    };
    let Some(attribute) = Attribute::from_byte(byte) else {
        return Ok(());
    };
    let value = Value::decode(attribute, counted.as_mut().unwrap_or(bytes))?;
    if counted.is_some_and(|rest| !rest.is_empty()) {
        return Err(WireError::Length);
    }
    facts.push(Timed {
        fact: Fact { subject, value },
        ttl,
    });
    Ok(())
}

fn ttl(bytes: &mut Reader<'_>) -> Result<Duration, WireError> {
    let seconds = bytes.varint().map_err(|error| {
        if error == WireError::Length {
            WireError::Ttl
        } else {
            error
        }
    })?;
    u16::try_from(seconds)
        .map(|seconds| Duration::from_secs(seconds.into()))
        .map_err(|_| WireError::Ttl)
}

/// Puts a group together.
pub(in crate::mesh) fn group(sender: &PublicKey, nonce: [u8; NONCE_LEN], tag: [u8; TAG_LEN], facts: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(GROUP_OVERHEAD + facts.len());
    datagram.extend_from_slice(&[GROUP, 0]);
    datagram.extend_from_slice(sender.as_bytes());
    datagram.extend_from_slice(&nonce);
    datagram.extend_from_slice(&tag);
    datagram.extend_from_slice(facts);
    datagram
}

/// Puts a compact group together.
pub(in crate::mesh) fn compact_group(tag: [u8; TAG_LEN], runs: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(COMPACT_OVERHEAD + runs.len());
    datagram.push(COMPACT);
    datagram.extend_from_slice(&tag);
    datagram.extend_from_slice(runs);
    datagram
}

/// Appends an unsigned LEB128 number.
pub(super) fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Returns how many bytes [`put_varint`] appends.
pub(super) fn varint_len(number: usize) -> usize {
    match number {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        _ => 3,
    }
}

/// Bytes that are read from the front; every read is checked.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (first, rest) = self.0.split_first_chunk().ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Reads as many bytes as the varint before them says.
    pub(super) fn counted(&mut self) -> Result<Reader<'a>, WireError> {
        let length = usize::try_from(self.varint()?).map_err(|_| WireError::Length)?;
        let (first, rest) = self.0.split_at_checked(length).ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(Reader(first))
    }

    /// Reads a varint of at most three bytes: 21 bits hold every number that can stand in a datagram.
    fn varint(&mut self) -> Result<u64, WireError> {
        let mut number = 0;
        for shift in [0, 7, 14] {
            let byte = self.u8()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(WireError::Length)
    }
}
