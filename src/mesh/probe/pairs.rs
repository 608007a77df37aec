//! Who speaks to whom, and the proof of it: keys that follow from the secret that two nodes share, under labels of their own.

use std::collections::BTreeMap;

use blake2::Blake2sMac;
use blake2::digest::consts::{U8, U16};
use blake2::digest::{KeyInit, Mac};
use zeroize::Zeroizing;

use super::wire::{self, Envelope, Message, PAIR_LEN, TAG_LEN};
use crate::mesh::fact::signal::Signal;
use crate::mesh::identity::PublicKey;

/// The label under which the key for probes and signals follows from the secret of two nodes ([`Auth::derive`](crate::mesh::auth::Auth::derive)).
pub const KEY_LABEL: &[u8] = b"wirelink probe 1";
/// The label under which the mark of a pair follows from that key.
const PAIR_LABEL: &[u8] = b"wirelink probe pair 1";
/// What comes before a signal under its tag; a probe begins with its own mark.
const SIGNAL_LABEL: &[u8] = b"wirelink signal 1";

type KeyedHash<Len> = Blake2sMac<Len>;

/// The keys of all peers that may be probed, found by the mark of a pair.
#[derive(Default)]
pub struct Pairs {
    peers: BTreeMap<PublicKey, Pair>,
    /// Whose datagrams bear this mark.
    senders: BTreeMap<[u8; PAIR_LEN], PublicKey>,
}

/// What follows from the keys of two nodes.
struct Pair {
    key: Zeroizing<[u8; 32]>,
    to_peer: [u8; PAIR_LEN],
    from_peer: [u8; PAIR_LEN],
}

/// Why a datagram is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// No peer sends with this mark.
    Stranger,
    /// The tag is not the peer's, or what it said was changed.
    WrongTag(PublicKey),
}

impl Pairs {
    /// Takes in a peer, with the key for it.
    pub fn admit(&mut self, own: &PublicKey, peer: &PublicKey, key: Zeroizing<[u8; 32]>) {
        let pair = Pair::new(key, own, peer);
        self.senders.insert(pair.from_peer, *peer);
        self.peers.insert(*peer, pair);
    }

    /// Returns whether a peer was taken in.
    pub fn contains(&self, peer: &PublicKey) -> bool {
        self.peers.contains_key(peer)
    }

    /// Forgets all that are not peers any more.
    pub fn retain(&mut self, is_peer: impl Fn(&PublicKey) -> bool) {
        self.peers.retain(|key, _| is_peer(key));
        let peers = &self.peers;
        self.senders.retain(|_, key| peers.contains_key(key));
    }

    /// Returns the datagram that brings a message to a peer; `None` where it was not [admitted](Self::admit).
    pub fn seal(&self, peer: &PublicKey, message: &Message) -> Option<Vec<u8>> {
        let pair = self.peers.get(peer)?;
        let mut datagram = wire::encode(pair.to_peer, message);
        let tag: [u8; TAG_LEN] = mac::<KeyedHash<U16>>(&pair.key, &datagram)
            .finalize()
            .into_bytes()
            .into();
        datagram.extend_from_slice(&tag);
        Some(datagram)
    }

    /// Returns who sent a datagram, if it is what it says.
    ///
    /// # Errors
    /// When it is not.
    pub fn open(&self, envelope: &Envelope<'_>) -> Result<PublicKey, Unproven> {
        let sender = self.senders.get(&envelope.pair).ok_or(Unproven::Stranger)?;
        let pair = self.peers.get(sender).ok_or(Unproven::Stranger)?;
        let genuine = mac::<KeyedHash<U16>>(&pair.key, envelope.signed)
            .verify(&envelope.tag.into())
            .is_ok();
        genuine.then_some(*sender).ok_or(Unproven::WrongTag(*sender))
    }

    /// Gives a signal of ours its tag; `None` where its addressee was not [admitted](Self::admit).
    pub fn sign(&self, signal: Signal) -> Option<Signal> {
        let pair = self.peers.get(&signal.to)?;
        let tag = pair.signal(&pair.to_peer, &signal).finalize().into_bytes().into();
        Some(Signal { tag, ..signal })
    }

    /// Returns whether a signal to us is what its subject said.
    pub fn is_genuine(&self, subject: &PublicKey, signal: &Signal) -> bool {
        let pair = self.peers.get(subject);
        pair.is_some_and(|pair| pair.signal(&pair.from_peer, signal).verify(&signal.tag.into()).is_ok())
    }
}

impl Pair {
    fn new(key: Zeroizing<[u8; 32]>, own: &PublicKey, peer: &PublicKey) -> Self {
        let mark = |sender: &PublicKey| {
            let mut mark = mac::<KeyedHash<U8>>(&key, PAIR_LABEL);
            mark.update(sender.as_bytes());
            mark.finalize().into_bytes().into()
        };
        Self {
            to_peer: mark(own),
            from_peer: mark(peer),
            key,
        }
    }

    /// Begins the tag of a signal that goes in this direction.
    fn signal(&self, direction: &[u8; PAIR_LEN], signal: &Signal) -> KeyedHash<U16> {
        let mut mac = mac::<KeyedHash<U16>>(&self.key, SIGNAL_LABEL);
        mac.update(direction);
        mac.update(&signal.epoch.to_be_bytes());
        mac.update(&signal.counter.to_be_bytes());
        mac.update(&[signal.word.byte()]);
        mac.update(&signal.version.to_be_bytes());
        if let Some(ports) = signal.ports {
            mac.update(&ports.bytes());
        }
        mac
    }
}

/// Begins a keyed BLAKE2s with these bytes.
fn mac<M: KeyInit + Mac>(key: &Zeroizing<[u8; 32]>, bytes: &[u8]) -> M {
    let mut mac = <M as KeyInit>::new_from_slice(&**key).expect("32 bytes are a key");
    Mac::update(&mut mac, bytes);
    mac
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::wire::tests::any_message;
    use super::*;
    use crate::mesh::fact::signal::{Ports, Word};

    fn key(number: u8) -> PublicKey {
        PublicKey::from_bytes([number; 32])
    }

    /// The keys that one of two nodes has for the other.
    fn pairs(own: u8, peer: u8) -> Pairs {
        let mut pairs = Pairs::default();
        pairs.admit(&key(own), &key(peer), Zeroizing::new([own ^ peer; 32]));
        pairs
    }

    proptest! {
        #[test]
        fn only_the_other_of_a_pair_believes_it_and_only_as_it_was_said(message in any_message(), at in 0..wire::LEN, bit in 0..8u8) {
            let (a, b, c) = (pairs(1, 2), pairs(2, 1), pairs(3, 1));
            let datagram = a.seal(&key(2), &message).unwrap();
            let envelope = wire::decode(&datagram).unwrap();
            prop_assert_eq!(b.open(&envelope), Ok(key(1)));
            prop_assert!(a.open(&envelope).is_err(), "sent back to where it came from");
            prop_assert!(c.open(&envelope).is_err());
            let mut changed = datagram;
            changed[at] ^= 1 << bit;
            if let Ok(envelope) = wire::decode(&changed) {
                prop_assert!(b.open(&envelope).is_err());
            }
        }
    }

    #[test]
    fn a_signal_is_its_subjects_and_for_one_only() {
        let (a, b) = (pairs(1, 2), pairs(2, 1));
        let word = Word::default().punching();
        let unsigned = Signal {
            to: key(2),
            epoch: 3,
            counter: 4,
            word,
            version: 7,
            ports: None,
            tag: [0; 16],
        };
        let signal = a.sign(unsigned).unwrap();
        assert!(b.is_genuine(&key(1), &signal));
        assert!(!b.is_genuine(&key(3), &signal), "a stranger");
        assert!(!a.is_genuine(&key(2), &signal), "sent back to who said it");
        let ready = word.ready_if(true);
        let ports = Some(Ports {
            address: [192, 0, 2, 1].into(),
            first: 7,
            count: 3,
        });
        for changed in [
            Signal { epoch: 5, ..signal },
            Signal { counter: 5, ..signal },
            Signal { word: ready, ..signal },
            Signal { version: 8, ..signal },
            Signal { ports, ..signal },
            unsigned,
        ] {
            assert!(!b.is_genuine(&key(1), &changed), "{changed:?}");
        }
        assert_eq!(a.sign(Signal { to: key(3), ..unsigned }), None);
    }

    #[test]
    fn who_is_no_peer_is_forgotten() {
        let mut pairs = pairs(1, 2);
        pairs.retain(|_| false);
        assert_eq!((pairs.peers.len(), pairs.senders.len()), (0, 0));
    }
}
