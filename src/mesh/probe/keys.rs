//! Who asks whom, and the proof of it: keys that follow from the secret that two nodes share, under labels of their own.

use std::collections::BTreeMap;

use blake2::Blake2sMac;
use blake2::digest::consts::{U8, U16, U32};
use blake2::digest::{KeyInit, Mac};
use zeroize::Zeroizing;

use super::wire::{self, Envelope, Message, PAIR_LEN, TAG_LEN};
use crate::mesh::identity::{PrivateKey, PublicKey};

/// The label under which the key for probes follows from the secret.
const KEY_LABEL: &[u8] = b"wirelink probe 1";
/// The label under which the mark of a pair follows from that key.
const PAIR_LABEL: &[u8] = b"wirelink probe pair 1";

type KeyedHash<Len> = Blake2sMac<Len>;

/// The keys of all peers that are probed, found by the mark of a pair.
#[derive(Default)]
pub struct Keys {
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

impl Keys {
    /// Takes in a peer, at the cost of an X25519 operation; one of low order is left out: anybody could make its tags.
    pub fn admit(&mut self, identity: &PrivateKey, peer: &PublicKey) {
        if self.peers.contains_key(peer) {
            return;
        }
        let Some(secret) = identity.shared_secret(peer) else {
            return;
        };
        let pair = Pair::new(&secret, &identity.public_key(), peer);
        self.senders.insert(pair.from_peer, *peer);
        self.peers.insert(*peer, pair);
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
    pub fn open(&self, envelope: &Envelope<'_>) -> Option<PublicKey> {
        let sender = self.senders.get(&envelope.pair)?;
        let pair = self.peers.get(sender)?;
        let genuine = mac::<KeyedHash<U16>>(&pair.key, envelope.signed)
            .verify(&envelope.tag.into())
            .is_ok();
        genuine.then_some(*sender)
    }
}

impl Pair {
    fn new(secret: &Zeroizing<[u8; 32]>, own: &PublicKey, peer: &PublicKey) -> Self {
        let key = Zeroizing::new(mac::<KeyedHash<U32>>(secret, KEY_LABEL).finalize().into_bytes().into());
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

    fn identity(number: u8) -> PrivateKey {
        PrivateKey::from_bytes(&Zeroizing::new([number; 32]))
    }

    /// The keys that one of two nodes has for the other.
    fn keys(own: u8, peer: u8) -> Keys {
        let mut keys = Keys::default();
        keys.admit(&identity(own), &identity(peer).public_key());
        keys
    }

    proptest! {
        #[test]
        fn only_the_other_of_a_pair_believes_it_and_only_as_it_was_said(message in any_message(), at in 0..wire::LEN, bit in 0..8u8) {
            let (a, b, c) = (keys(1, 2), keys(2, 1), keys(3, 1));
            let datagram = a.seal(&identity(2).public_key(), &message).unwrap();
            let envelope = wire::decode(&datagram).unwrap();
            prop_assert_eq!(b.open(&envelope), Some(identity(1).public_key()));
            prop_assert_eq!(a.open(&envelope), None, "sent back to where it came from");
            prop_assert_eq!(c.open(&envelope), None);
            let mut changed = datagram;
            changed[at] ^= 1 << bit;
            if let Ok(envelope) = wire::decode(&changed) {
                prop_assert_eq!(b.open(&envelope), None);
            }
        }
    }

    #[test]
    fn who_is_no_peer_has_no_key() {
        let mut keys = keys(1, 2);
        keys.admit(&identity(1), &PublicKey::from_bytes([0; 32]));
        assert_eq!(keys.peers.len(), 1, "a key of low order");
        let before = keys.peers.len() + keys.senders.len();
        keys.retain(|_| false);
        assert_eq!((before, keys.peers.len() + keys.senders.len()), (2, 0));
    }
}
