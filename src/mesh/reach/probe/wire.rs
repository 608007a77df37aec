//! The layout of a probe and of its answer: both are equally long, so that an answer amplifies nothing.
//!
//! Nodes that announce it send and read *veiled* probes. Without the keys of both ends, every byte looks random, and no two datagrams have
//! anything in common: an observer can neither tell wirelink from noise, nor recognise a node in another network, nor learn a clock.
//!
//! ```text
//! nonce 24        follows from all that is sealed and the key of the pair (a synthetic nonce, as in RFC 5297)
//! veiled mark 8   the mark of the pair, which finds the peer without trying keys, XOR 8 bytes of keyed BLAKE2s over the nonce; its key is
//!                 the receiver's public key, as in WireGuard's mac1
//! sealed 44..     XChaCha20-Poly1305 under a key of the pair, with the veiled mark as additional data:
//!   version 1 | kind 1: 0 a probe, 1 an answer, 2 a look
//!   epoch 8 | counter 8 | transaction 8 | source 18: as below
//!   padding       as many zeros as the lowest five bits of the transaction say: 0 to 31
//! tag 16          Poly1305's
//! ```
//!
//! A nonce that begins like a message of WireGuard is drawn again. Older nodes of ours send and read *marked* probes, and this node asks a
//! peer by them that announces no veiled ones:
//!
//! ```text
//! mark 4 | version 1 | kind 1 | look 1: its lowest bit | reserved 1; what is reserved is sent as 0 and ignored
//! pair 8          who asks whom: finds the peer without trying keys
//! epoch 8         milliseconds since 1970 when the sender was started; never less than before
//! counter 8       one more with each datagram of that epoch to that peer
//! transaction 8   drawn by who asks; the answer repeats it
//! source 18       IPv6 address, or IPv4-mapped, and port from where the probe came; zero in a probe
//! tag 16          keyed BLAKE2s-128 over all before it
//! ```
//!
//! Numbers are big-endian. The first byte of the mark is no message type of WireGuard (1 to 4), which drops it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::mesh::believe::fact::signal::ProbeForm;

/// How every marked probe begins.
pub const MARK: [u8; 4] = [0xd7, b'w', b'l', b'p'];
/// The only version there is.
pub const VERSION: u8 = 1;
/// The length of a marked probe, and of its answer.
pub const LEN: usize = SIGNED + TAG_LEN;
/// What of it the tag covers.
pub(super) const SIGNED: usize = 8 + PAIR_LEN + 3 * 8 + SOURCE_LEN;
/// The length of a tag.
pub const TAG_LEN: usize = 16;
/// The length of what says who asks whom.
pub const PAIR_LEN: usize = 8;
const SOURCE_LEN: usize = 18;
/// The length of the nonce of a veiled probe.
pub const NONCE_LEN: usize = 24;
/// The most bytes of padding.
const MAX_PADDING: usize = 31;
/// The length of a veiled probe without padding.
pub const MIN_VEILED: usize = NONCE_LEN + PAIR_LEN + BODY_LEN + TAG_LEN;
/// The length of a veiled probe with the most padding.
pub const MAX_VEILED: usize = MIN_VEILED + MAX_PADDING;
/// The length of what is sealed, without padding.
const BODY_LEN: usize = 2 + 3 * 8 + SOURCE_LEN;

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A question: do you hear me?
    Probe,
    /// The same from another port than WireGuard's: which one did the NAT give it? The answer goes to where WireGuard sends. Nodes that
    /// do not announce [`PORTS`](crate::mesh::believe::fact::boot::PORTS) take it for a [`Probe`](Self::Probe).
    Look,
    /// The answer, with where the question came from.
    Answer {
        /// The source address and port of the probe, as they arrived.
        source: SocketAddr,
    },
}

/// A probe or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// How it looks on its way; an answer has the form of its question.
    pub form: ProbeForm,
    /// Which of them.
    pub kind: Kind,
    /// When the sender was started, in milliseconds since 1970.
    pub epoch: u64,
    /// Its number among those of the epoch to this peer.
    pub counter: u64,
    /// The question that is asked or answered.
    pub transaction: u64,
}

/// A datagram whose layout is right. Nothing is known of who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Who says to ask whom.
    pub pair: [u8; PAIR_LEN],
    /// What it says.
    pub message: Message,
    pub(super) signed: &'a [u8],
    pub(super) tag: [u8; TAG_LEN],
}

/// Why bytes are no probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum ProbeError {
    /// Not as many bytes as a probe has.
    #[error("not as long as a probe is")]
    Length,
    /// Without the [`MARK`].
    #[error("without the mark of a probe")]
    Mark,
    /// Of a version that this node does not know.
    #[error("version {0} of probes")]
    Version(u8),
    /// Neither probe nor answer.
    #[error("neither a probe nor an answer: {0}")]
    Kind(u8),
    /// A probe that names a source, or an answer that names none.
    #[error("a source that cannot be")]
    Source,
}

/// Returns whether a datagram can be a probe of either form, as far as that shows without keys. The kernel's filter asks the same.
pub fn is_possible(datagram: &[u8]) -> bool {
    match datagram.len() {
        LEN => datagram.starts_with(&MARK),
        MIN_VEILED..=MAX_VEILED => !is_wireguard(datagram),
        _ => false,
    }
}

/// Returns whether a datagram begins like one of WireGuard's four messages.
pub(super) fn is_wireguard(datagram: &[u8]) -> bool {
    matches!(datagram, [1..=4, 0, 0, 0, ..])
}

/// Returns what of a message is sealed.
pub(super) fn body(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BODY_LEN + MAX_PADDING + TAG_LEN);
    let (kind, source) = match message.kind {
        Kind::Probe => (0, [0; SOURCE_LEN]),
        Kind::Answer { source } => (1, written(source)),
        Kind::Look => (2, [0; SOURCE_LEN]),
    };
    bytes.extend_from_slice(&[VERSION, kind]);
    for number in [message.epoch, message.counter, message.transaction] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(&source);
    bytes.resize(BODY_LEN + padding(message.transaction), 0);
    bytes
}

/// Reads what was sealed.
///
/// # Errors
/// When it is no probe and no answer of this version.
pub(super) fn read_body(body: &[u8]) -> Result<Message, ProbeError> {
    if body.len() < BODY_LEN {
        return Err(ProbeError::Length);
    }
    let mut fields = Fields(body);
    let [version, kind] = fields.take();
    if version != VERSION {
        return Err(ProbeError::Version(version));
    }
    let [epoch, counter, transaction] = [(); 3].map(|()| u64::from_be_bytes(fields.take()));
    let source = read_source(fields.take());
    if body.len() != BODY_LEN + padding(transaction) {
        return Err(ProbeError::Length);
    }
    let kind = match (kind, source) {
        (0, None) => Kind::Probe,
        (1, Some(source)) => Kind::Answer { source },
        (2, None) => Kind::Look,
        (0 | 2, Some(_)) | (1, None) => return Err(ProbeError::Source),
        (kind, _) => return Err(ProbeError::Kind(kind)),
    };
    Ok(Message {
        form: ProbeForm::Veiled,
        kind,
        epoch,
        counter,
        transaction,
    })
}

/// Returns how much padding goes with a transaction: an answer repeats the transaction, and so has the length of its question.
fn padding(transaction: u64) -> usize {
    (transaction % (MAX_PADDING as u64 + 1)) as usize
}

/// Reads the layout of a marked datagram.
///
/// # Errors
/// When it is no probe and no answer of this version.
pub fn decode(datagram: &[u8]) -> Result<Envelope<'_>, ProbeError> {
    let datagram: &[u8; LEN] = datagram.try_into().map_err(|_| ProbeError::Length)?;
    let (signed, tag) = datagram.split_at(SIGNED);
    let mut fields = Fields(signed);
    if fields.take() != MARK {
        return Err(ProbeError::Mark);
    }
    let [version, kind, look, _] = fields.take();
    if version != VERSION {
        return Err(ProbeError::Version(version));
    }
    let pair = fields.take();
    let [epoch, counter, transaction] = [(); 3].map(|()| u64::from_be_bytes(fields.take()));
    let source = read_source(fields.take());
    let kind = match (kind, source) {
        (0, None) if look & 1 != 0 => Kind::Look,
        (0, None) => Kind::Probe,
        (1, Some(source)) => Kind::Answer { source },
        (0, Some(_)) | (1, None) => return Err(ProbeError::Source),
        (kind, _) => return Err(ProbeError::Kind(kind)),
    };
    Ok(Envelope {
        pair,
        message: Message {
            form: ProbeForm::Marked,
            kind,
            epoch,
            counter,
            transaction,
        },
        signed,
        tag: tag.try_into().expect("the rest is the tag"),
    })
}

/// Returns what the tag of a marked message covers.
pub(super) fn encode(pair: [u8; PAIR_LEN], message: &Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LEN);
    let (kind, look, source) = match message.kind {
        Kind::Probe => (0, 0, [0; SOURCE_LEN]),
        Kind::Look => (0, 1, [0; SOURCE_LEN]),
        Kind::Answer { source } => (1, 0, written(source)),
    };
    bytes.extend_from_slice(&MARK);
    bytes.extend_from_slice(&[VERSION, kind, look, 0]);
    bytes.extend_from_slice(&pair);
    for number in [message.epoch, message.counter, message.transaction] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(&source);
    bytes
}

fn written(source: SocketAddr) -> [u8; SOURCE_LEN] {
    let address = match source.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let mut bytes = [0; SOURCE_LEN];
    bytes[..16].copy_from_slice(&address.octets());
    bytes[16..].copy_from_slice(&source.port().to_be_bytes());
    bytes
}

/// Returns where a probe came from; nothing where all is zero. The flow label and scope of IPv6 mean nothing elsewhere.
fn read_source(bytes: [u8; SOURCE_LEN]) -> Option<SocketAddr> {
    let (address, port) = bytes.split_at(16);
    let address: [u8; 16] = address.try_into().expect("16 bytes");
    let port = u16::from_be_bytes([port[0], port[1]]);
    let address = Ipv6Addr::from(address).to_canonical();
    (!address.is_unspecified() || port != 0).then_some(SocketAddr::new(address, port))
}

/// Bytes that are read from the front; their number was checked.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (first, rest) = self.0.split_first_chunk().expect("all fields are there");
        self.0 = rest;
        *first
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in super::super) fn any_message() -> impl Strategy<Value = Message> {
        let source =
            (any::<IpAddr>(), any::<u16>()).prop_filter_map("an address that can be a source", |(ip, port)| {
                let is_mapped = matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
                (!ip.is_unspecified() && !is_mapped).then_some(SocketAddr::new(ip, port))
            });
        let kind = prop_oneof![
            Just(Kind::Probe),
            Just(Kind::Look),
            source.prop_map(|source| Kind::Answer { source })
        ];
        let form = prop_oneof![Just(ProbeForm::Marked), Just(ProbeForm::Veiled)];
        (form, kind, any::<[u64; 3]>()).prop_map(|(form, kind, [epoch, counter, transaction])| Message {
            form,
            kind,
            epoch,
            counter,
            transaction,
        })
    }

    fn datagram(pair: [u8; PAIR_LEN], message: &Message) -> Vec<u8> {
        [encode(pair, message), vec![7; TAG_LEN]].concat()
    }

    #[test]
    fn what_is_no_probe_is_refused_with_its_reason() {
        let message = Message {
            form: ProbeForm::Marked,
            kind: Kind::Probe,
            epoch: 1,
            counter: 2,
            transaction: 3,
        };
        let sound = datagram([5; PAIR_LEN], &message);
        assert_eq!(sound.len(), LEN);
        assert!(!(1..=4).contains(&sound[0]), "WireGuard must drop it");
        let with = |at: usize, byte: u8| {
            let mut bytes = sound.clone();
            bytes[at] = byte;
            decode(&bytes).map(|_| ()).unwrap_err()
        };
        assert_eq!(decode(&sound[1..]), Err(ProbeError::Length));
        assert_eq!(with(0, 1), ProbeError::Mark);
        assert_eq!(with(4, 2), ProbeError::Version(2));
        assert_eq!(with(5, 2), ProbeError::Kind(2));
        assert_eq!(with(5, 1), ProbeError::Source, "an answer without a source");
        assert_eq!(with(SIGNED - 1, 9), ProbeError::Source, "a probe with one");
        assert!(
            decode(&{
                let mut later = sound.clone();
                later[7] = 1;
                later
            })
            .is_ok(),
            "reserved for later"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(pair: [u8; PAIR_LEN], message in any_message()) {
            let bytes = datagram(pair, &message);
            prop_assert_eq!(bytes.len(), LEN);
            let envelope = decode(&bytes).unwrap();
            let form = ProbeForm::Marked;
            prop_assert_eq!((envelope.pair, envelope.message), (pair, Message { form, ..message }));
            let form = ProbeForm::Veiled;
            prop_assert_eq!(read_body(&body(&message)), Ok(Message { form, ..message }));
        }

        #[test]
        fn any_body_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2 * BODY_LEN), kind in 0..4u8) {
            let mut near = bytes.clone();
            near.splice(..near.len().min(2), [VERSION, kind]);
            for bytes in [bytes, near] {
                if let Ok(message) = read_body(&bytes) {
                    prop_assert_eq!(read_body(&body(&message)), Ok(message));
                }
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2 * LEN)) {
            let _ = decode(&bytes);
            let mut marked = bytes;
            marked.resize(LEN, 0);
            marked[..4].copy_from_slice(&MARK);
            marked[4] = VERSION;
            if let Ok(envelope) = decode(&marked) {
                prop_assert_eq!(&decode(&datagram(envelope.pair, &envelope.message)).unwrap().message, &envelope.message);
            }
        }
    }
}
