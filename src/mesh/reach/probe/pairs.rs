//! Who speaks to whom, and the proof of it: keys that follow from the secret that two nodes share, under labels of their own.

use std::collections::BTreeMap;

use blake2::Blake2sMac;
use blake2::digest::consts::{U8, U16, U24, U32};
use blake2::digest::{KeyInit, Mac};
use ring::aead::Aad;
use zeroize::Zeroizing;

use super::Dropped;
use super::wire::{self, Envelope, Message, NONCE_LEN, PAIR_LEN, ProbeError, TAG_LEN};
use crate::mesh::base::identity::PublicKey;
use crate::mesh::believe::auth::cipher;
use crate::mesh::believe::fact::signal::ProbeForm;
use crate::mesh::believe::fact::signal::Signal;

/// The label under which the key for probes and signals follows from the secret of two nodes ([`Auth::derive`](crate::mesh::believe::auth::Auth::derive)).
pub const KEY_LABEL: &[u8] = b"wirelink probe 1";
/// The label under which the mark of a pair follows from that key.
const PAIR_LABEL: &[u8] = b"wirelink probe pair 1";
/// The label under which the key that seals veiled probes follows from it.
const SEAL_LABEL: &[u8] = b"wirelink probe seal 1";
/// What comes before all that a synthetic nonce follows from.
const NONCE_LABEL: &[u8] = b"wirelink probe nonce 1";
/// What comes before the nonce where the mark of a pair is veiled, under the public key of the receiver.
const VEIL_LABEL: &[u8] = b"wirelink probe veil 1";
/// What comes before a signal under its tag; a probe begins with its own mark.
const SIGNAL_LABEL: &[u8] = b"wirelink signal 1";

type KeyedHash<Len> = Blake2sMac<Len>;

/// The keys of all peers that may be probed, found by the mark of a pair.
#[derive(Default)]
pub struct Pairs {
    own: Option<PublicKey>,
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
        self.own = Some(*own);
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
        match message.form {
            ProbeForm::Marked => Some(pair.seal_marked(message)),
            ProbeForm::Veiled => Some(pair.seal_veiled(peer, message)),
        }
    }

    /// Returns who sent a datagram, and what it says.
    ///
    /// # Errors
    /// When it is no probe, or of nobody.
    pub fn read(&self, datagram: &[u8]) -> Result<(PublicKey, Message), Dropped> {
        if datagram.len() == wire::LEN {
            let envelope = wire::decode(datagram).map_err(Dropped::Layout)?;
            let sender = self.open(&envelope)?;
            return Ok((sender, envelope.message));
        }
        if !wire::is_possible(datagram) {
            return Err(Dropped::Layout(ProbeError::Length));
        }
        let (sender, body) = self.unveil(datagram)?;
        let message = wire::read_body(&body).map_err(Dropped::Layout)?;
        Ok((sender, message))
    }

    /// Opens a veiled datagram: one hash says whether it is of a peer.
    fn unveil(&self, datagram: &[u8]) -> Result<(PublicKey, Vec<u8>), Unproven> {
        let own = self.own.as_ref().ok_or(Unproven::Stranger)?;
        let (nonce, rest) = datagram.split_first_chunk::<NONCE_LEN>().ok_or(Unproven::Stranger)?;
        let (veiled, sealed) = rest.split_first_chunk::<PAIR_LEN>().ok_or(Unproven::Stranger)?;
        let sender = self.senders.get(&veil(own, nonce, veiled)).ok_or(Unproven::Stranger)?;
        let pair = self.peers.get(sender).ok_or(Unproven::Stranger)?;
        let (key, once) = cipher(&pair.sealing_key(), nonce);
        let mut sealed = sealed.to_vec();
        let opened = key.open_in_place(once, Aad::from(veiled), &mut sealed);
        let length = opened.map_err(|_| Unproven::WrongTag(*sender))?.len();
        sealed.truncate(length);
        Ok((*sender, sealed))
    }

    /// Returns who sent a marked datagram, if it is what it says.
    ///
    /// # Errors
    /// When it is not.
    fn open(&self, envelope: &Envelope<'_>) -> Result<PublicKey, Unproven> {
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

    fn seal_marked(&self, message: &Message) -> Vec<u8> {
        let mut datagram = wire::encode(self.to_peer, message);
        let tag: [u8; TAG_LEN] = mac::<KeyedHash<U16>>(&self.key, &datagram)
            .finalize()
            .into_bytes()
            .into();
        datagram.extend_from_slice(&tag);
        datagram
    }

    /// Seals a message so that nothing of it shows. The nonce is new with each message, as epoch and counter are in what it follows from.
    fn seal_veiled(&self, receiver: &PublicKey, message: &Message) -> Vec<u8> {
        let mut body = wire::body(message);
        let nonces = (0..=u8::MAX).map(|attempt| self.nonce(attempt, &body));
        let nonce = nonces.into_iter().find(|nonce| !wire::is_wireguard(nonce));
        let nonce = nonce.expect("256 nonces in a row do not all begin with three zeros");
        let veiled = veil(receiver, &nonce, &self.to_peer);
        let (key, once) = cipher(&self.sealing_key(), &nonce);
        key.seal_in_place_append_tag(once, Aad::from(&veiled), &mut body)
            .expect("a datagram is far below the limit of the cipher");
        [&nonce[..], &veiled, &body].concat()
    }

    fn nonce(&self, attempt: u8, body: &[u8]) -> [u8; NONCE_LEN] {
        let mut mac = mac::<KeyedHash<U24>>(&self.key, NONCE_LABEL);
        mac.update(&self.to_peer);
        mac.update(&[attempt]);
        mac.update(body);
        mac.finalize().into_bytes().into()
    }

    fn sealing_key(&self) -> Zeroizing<[u8; 32]> {
        let mac = mac::<KeyedHash<U32>>(&self.key, SEAL_LABEL);
        Zeroizing::new(mac.finalize().into_bytes().into())
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

/// Veils the mark of a pair, or takes the veil off, with the public key of the receiver.
fn veil(receiver: &PublicKey, nonce: &[u8; NONCE_LEN], mark: &[u8; PAIR_LEN]) -> [u8; PAIR_LEN] {
    let mut mac = <KeyedHash<U8> as KeyInit>::new_from_slice(receiver.as_bytes()).expect("32 bytes are a key");
    Mac::update(&mut mac, VEIL_LABEL);
    Mac::update(&mut mac, nonce);
    let mask: [u8; PAIR_LEN] = mac.finalize().into_bytes().into();
    std::array::from_fn(|index| mark[index] ^ mask[index])
}

/// Begins a keyed BLAKE2s with these bytes.
fn mac<M: KeyInit + Mac>(key: &Zeroizing<[u8; 32]>, bytes: &[u8]) -> M {
    let mut mac = <M as KeyInit>::new_from_slice(&**key).expect("32 bytes are a key");
    Mac::update(&mut mac, bytes);
    mac
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::wire::Kind;
    use super::super::wire::tests::any_message;
    use super::*;
    use crate::mesh::believe::fact::signal::{Ports, Word};

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
        fn only_the_other_of_a_pair_believes_it_and_only_as_it_was_said(message in any_message(), at in 0..wire::MAX_VEILED, bit in 0..8u8) {
            let (a, b, c) = (pairs(1, 2), pairs(2, 1), pairs(3, 1));
            let datagram = a.seal(&key(2), &message).unwrap();
            prop_assert!(wire::is_possible(&datagram));
            prop_assert_eq!(b.read(&datagram), Ok((key(1), message)));
            prop_assert!(a.read(&datagram).is_err(), "sent back to where it came from");
            prop_assert!(c.read(&datagram).is_err());
            let mut changed = datagram;
            let at = at % changed.len();
            changed[at] ^= 1 << bit;
            let is_reserved = message.form == ProbeForm::Marked && at == 7;
            prop_assert!(b.read(&changed).is_err() || is_reserved);
            prop_assert!(b.read(&changed[..at]).is_err(), "cut");
        }

        #[test]
        fn answer_is_as_long_as_its_question(question in any_message()) {
            let kind = Kind::Answer { source: ([192, 0, 2, 1], 7).into() };
            let answer = Message { kind, counter: 9, ..question };
            let [asked, answered] = [(1, 2, question), (2, 1, answer)]
                .map(|(own, peer, message)| pairs(own, peer).seal(&key(peer), &message).unwrap().len());
            prop_assert_eq!(asked, answered);
        }

        #[test]
        fn any_datagram_is_refused_without_the_key(bytes in proptest::collection::vec(any::<u8>(), 0..150)) {
            prop_assert!(pairs(1, 2).read(&bytes).is_err());
        }
    }

    /// A stranger sees all that one node sends to another, from run to run.
    #[test]
    fn veiled_probes_have_nothing_in_common() {
        let a = pairs(1, 2);
        let datagram = |number: u64| {
            let (form, transaction) = (ProbeForm::Veiled, number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let message = Message {
                form,
                kind: Kind::Probe,
                epoch: 1_796_000_000_000 + number / 100,
                counter: number % 100,
                transaction,
            };
            a.seal(&key(2), &message).unwrap()
        };
        let seen: Vec<Vec<u8>> = (0..1000).map(datagram).collect();
        let lengths: BTreeSet<usize> = seen.iter().map(Vec::len).collect();
        assert_eq!(lengths.len(), wire::MAX_VEILED - wire::MIN_VEILED + 1, "{lengths:?}");
        for at in 0..wire::MIN_VEILED - 3 {
            let runs: BTreeSet<&[u8]> = seen.iter().map(|datagram| &datagram[at..at + 4]).collect();
            assert!(runs.len() >= 999, "byte {at}: by chance there is one pair in 8,600");
            let bytes: BTreeSet<u8> = seen.iter().map(|datagram| datagram[at]).collect();
            assert!(bytes.len() > 200, "byte {at} has only {} values", bytes.len());
        }
    }

    #[test]
    fn veiled_probe_never_begins_like_wireguard() {
        assert!(wire::is_wireguard(&[4, 0, 0, 0, 9]) && !wire::is_wireguard(&[5, 0, 0, 0, 9]));
        let mut wireguard = vec![9; wire::MIN_VEILED];
        assert!(wire::is_possible(&wireguard));
        wireguard[..4].copy_from_slice(&[2, 0, 0, 0]);
        assert!(!wire::is_possible(&wireguard));
        assert!(pairs(1, 2).read(&wireguard).is_err());
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
