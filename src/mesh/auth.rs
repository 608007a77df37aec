//! Who said it: the tag of a group, under the secret that two nodes share.
//!
//! XChaCha20-Poly1305 under the raw X25519 secret, with the facts as additional data and nothing to encrypt (wirelink v1). It
//! proves the sender to one recipient, and nothing to a third node.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use chacha20::{R20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::fact::Verified;
use super::fact::wire::{self, Envelope, NONCE_LEN, WireError};
use super::identity::{AddressHash, PrivateKey, PublicKey};

/// Tags and verifies groups; it holds the private key of the node and the secrets that follow from it.
pub struct Auth {
    identity: PrivateKey,
    public_key: PublicKey,
    address_hash: AddressHash,
    peers: BTreeMap<PublicKey, Peer>,
}

/// What follows from the key of a peer, computed once.
struct Peer {
    address: Ipv6Addr,
    /// `None` for a key of low order, with which there is no secret.
    secret: Option<Zeroizing<[u8; 32]>>,
}

/// Why a group cannot be attributed to anybody, and is refused whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum AuthError {
    /// The source address is not the one that follows from the key.
    #[error("the key does not belong to the source address")]
    WrongAddress,
    /// The key is a point of low order: anybody could make its tags.
    #[error("a key of low order")]
    WeakKey,
    /// The tag is not the sender's, or not for this node, or the facts were changed.
    #[error("the tag does not fit")]
    WrongTag,
    /// The sender is who it says, but a fact does not decode.
    #[error(transparent)]
    Layout(#[from] WireError),
}

impl Auth {
    /// Takes the identity of the node.
    pub fn new(identity: PrivateKey, address_hash: AddressHash) -> Self {
        let public_key = identity.public_key();
        Self {
            identity,
            public_key,
            address_hash,
            peers: BTreeMap::new(),
        }
    }

    /// Returns the public key of this node.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Forgets the secrets of all that are not peers any more.
    pub fn retain(&mut self, is_peer: impl Fn(&PublicKey) -> bool) {
        self.peers.retain(|key, _| is_peer(key));
    }

    /// Computes what follows from the key of a peer, so that its first datagram costs no more than the others.
    pub fn meet(&mut self, key: &PublicKey) {
        self.peer(key);
    }

    /// Finds out whether the sender of a datagram is who it says, and reads what it says.
    ///
    /// Costs an X25519 operation for the first datagram of a key; the caller asks only for keys that it knows.
    ///
    /// # Errors
    /// When it is not, or anything in the group does not decode.
    pub fn verify(&mut self, source: Ipv6Addr, envelope: &Envelope<'_>) -> Result<Verified, AuthError> {
        let peer = self.peer(&envelope.sender);
        if peer.address != source {
            return Err(AuthError::WrongAddress);
        }
        let secret = peer.secret.as_ref().ok_or(AuthError::WeakKey)?;
        let (key, nonce) = cipher(secret, &envelope.nonce);
        let mut tag = envelope.tag;
        key.open_in_place(nonce, Aad::from(envelope.facts), &mut tag)
            .map_err(|_| AuthError::WrongTag)?;
        Ok(Verified {
            sender: envelope.sender,
            facts: envelope.unverified_facts()?,
        })
    }

    /// Makes the datagram that brings `facts` to `recipient`; `None` where that key is of low order.
    pub fn tag(&mut self, recipient: &PublicKey, nonce: [u8; NONCE_LEN], facts: &[u8]) -> Option<Vec<u8>> {
        let secret = self.peer(recipient).secret.as_ref()?;
        let (key, once) = cipher(secret, &nonce);
        let tag = key
            .seal_in_place_separate_tag(once, Aad::from(facts), &mut [])
            .expect("a datagram is far below the limit of the cipher");
        let tag: [u8; 16] = tag.as_ref().try_into().expect("a Poly1305 tag");
        Some(wire::group(&self.public_key, nonce, tag, facts))
    }

    fn peer(&mut self, key: &PublicKey) -> &Peer {
        self.peers.entry(*key).or_insert_with(|| Peer {
            address: self.address_hash.link_local(key),
            secret: self.identity.shared_secret(key),
        })
    }
}

/// Returns the key and the nonce of ChaCha20-Poly1305 that stand for the secret and the long nonce of XChaCha20-Poly1305
/// (draft-irtf-cfrg-xchacha, 2.3).
fn cipher(secret: &Zeroizing<[u8; 32]>, nonce: &[u8; NONCE_LEN]) -> (LessSafeKey, Nonce) {
    let (first, last) = nonce.split_at(16);
    let first: [u8; 16] = first.try_into().expect("16 bytes");
    let key = Zeroizing::new(<[u8; 32]>::from(hchacha::<R20>(&(**secret).into(), &first.into())));
    let mut rest = [0; 12];
    rest[4..].copy_from_slice(last);
    let key = UnboundKey::new(&CHACHA20_POLY1305, &*key).expect("32 bytes");
    (LessSafeKey::new(key), Nonce::assume_unique_for_key(rest))
}
