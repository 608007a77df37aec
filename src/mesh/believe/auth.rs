//! Who said it: the tag of a group, under the secret that two nodes share.
//!
//! XChaCha20-Poly1305 under the raw X25519 secret, with the facts as additional data and nothing to encrypt (wirelink v1); for
//! compact groups keyed BLAKE2s under a key of its own. Both prove the sender to one recipient, and nothing to a third node.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use blake2::Blake2sMac;
use blake2::digest::consts::{U16, U32};
use blake2::digest::{KeyInit as _, Mac as _};
use chacha20::{R20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::mesh::base::identity::{AddressHash, PrivateKey, PublicKey};
use crate::mesh::believe::fact::Verified;
use crate::mesh::believe::fact::wire::{self, Envelope, Form, NONCE_LEN, TAG_LEN, WireError};

/// Tags and verifies groups; it holds the private key of the node and the secrets that follow from it.
pub struct Auth {
    identity: PrivateKey,
    public_key: PublicKey,
    address_hash: AddressHash,
    peers: BTreeMap<Ipv6Addr, Peer>,
}

/// A peer, under the address that follows from its key.
struct Peer {
    key: PublicKey,
    /// Only few of a thousand peers are ever spoken to: the others have no room for it.
    secrets: Option<Box<Secrets>>,
}

/// What follows from the keys of both, computed once; nothing for a key of low order, with which there is no secret.
#[derive(Clone)]
enum Secrets {
    None,
    Shared {
        /// The raw secret, for groups of wirelink v1.
        group: Zeroizing<[u8; 32]>,
        /// What follows from it for compact groups.
        compact: Zeroizing<[u8; 32]>,
    },
}

/// The label under which the key for compact groups follows from the secret.
const COMPACT_LABEL: &[u8] = b"wirelink compact group 1";

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

    /// Forgets all that are not peers any more.
    pub fn retain(&mut self, is_peer: impl Fn(&PublicKey) -> bool) {
        self.peers.retain(|_, peer| is_peer(&peer.key));
    }

    /// Takes in who is a peer, so that it is known by its address.
    pub fn admit<'a>(&mut self, peers: impl IntoIterator<Item = &'a PublicKey>) {
        for key in peers {
            self.peer(key);
        }
    }

    /// Returns the peer that has this address, if it was [admitted](Self::admit).
    pub fn owner(&self, address: &Ipv6Addr) -> Option<PublicKey> {
        self.peers.get(address).map(|peer| peer.key)
    }

    /// Computes what follows from the key of a peer, so that its first datagram costs no more than the others.
    pub fn meet(&mut self, key: &PublicKey) {
        self.secrets(key);
    }

    /// Returns the key that follows from the secret shared with a peer under a label; none with a key of low order.
    pub fn derive(&mut self, key: &PublicKey, label: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        match self.secrets(key) {
            Secrets::None => None,
            Secrets::Shared { group, .. } => Some(derived(group, label)),
        }
    }

    /// Finds out whether the sender of a datagram is who it says, and reads what it says.
    ///
    /// Costs an X25519 operation for the first datagram of a key; the caller asks only for keys that it knows.
    ///
    /// # Errors
    /// When it is not, or anything in the group does not decode.
    pub fn verify(&mut self, source: Ipv6Addr, envelope: &Envelope<'_>) -> Result<Verified, AuthError> {
        let sender = match envelope.form {
            Form::Signed { sender, .. } if self.address_hash.link_local(&sender) == source => sender,
            Form::Signed { .. } => return Err(AuthError::WrongAddress),
            Form::Compact => self.owner(&source).ok_or(AuthError::WrongAddress)?,
        };
        let Secrets::Shared { group, compact } = self.secrets(&sender) else {
            return Err(AuthError::WeakKey);
        };
        let genuine = match envelope.form {
            Form::Signed { nonce, .. } => open(group, &nonce, envelope.facts, envelope.tag),
            Form::Compact => mac(compact, &sender, envelope.facts)
                .verify(&envelope.tag.into())
                .is_ok(),
        };
        if !genuine {
            return Err(AuthError::WrongTag);
        }
        Ok(Verified {
            facts: envelope.unverified_facts(&sender)?,
            sender,
        })
    }

    /// Makes the datagram that brings `facts` to `recipient`; `None` where that key is of low order.
    pub fn tag(&mut self, recipient: &PublicKey, nonce: [u8; NONCE_LEN], facts: &[u8]) -> Option<Vec<u8>> {
        let Secrets::Shared { group, .. } = self.secrets(recipient) else {
            return None;
        };
        let (key, once) = cipher(group, &nonce);
        let tag = key
            .seal_in_place_separate_tag(once, Aad::from(facts), &mut [])
            .expect("a datagram is far below the limit of the cipher");
        let tag: [u8; 16] = tag.as_ref().try_into().expect("a Poly1305 tag");
        Some(wire::group(&self.public_key, nonce, tag, facts))
    }

    /// Makes the compact datagram that brings `runs` to `recipient`; `None` where that key is of low order.
    pub fn tag_compact(&mut self, recipient: &PublicKey, runs: &[u8]) -> Option<Vec<u8>> {
        let sender = self.public_key;
        let Secrets::Shared { compact, .. } = self.secrets(recipient) else {
            return None;
        };
        let tag = mac(compact, &sender, runs).finalize().into_bytes();
        Some(wire::compact_group(tag.into(), runs))
    }

    fn peer(&mut self, key: &PublicKey) -> &mut Peer {
        let address = self.address_hash.link_local(key);
        self.peers.entry(address).or_insert_with(|| Peer {
            key: *key,
            secrets: None,
        })
    }

    fn secrets(&mut self, key: &PublicKey) -> &Secrets {
        let address = self.address_hash.link_local(key);
        let identity = &self.identity;
        let peer = self.peers.entry(address).or_insert_with(|| Peer {
            key: *key,
            secrets: None,
        });
        peer.secrets
            .get_or_insert_with(|| Box::new(Secrets::new(identity, key)))
    }
}

impl Secrets {
    fn new(identity: &PrivateKey, peer: &PublicKey) -> Self {
        let Some(group) = identity.shared_secret(peer) else {
            return Self::None;
        };
        let compact = derived(&group, COMPACT_LABEL);
        Self::Shared { group, compact }
    }
}

fn derived(secret: &Zeroizing<[u8; 32]>, label: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut derived = KeyedHash::<U32>::new_from_slice(&**secret).expect("32 bytes are a key");
    derived.update(label);
    Zeroizing::new(derived.finalize().into_bytes().into())
}

type KeyedHash<Len> = Blake2sMac<Len>;

/// Keyed BLAKE2s-128 over who says it and what. No nonce, and no counter, which would have to survive restarts of both sides: WireGuard
/// itself drops what was replayed on the way, and the sender may repeat itself.
fn mac(key: &Zeroizing<[u8; 32]>, sender: &PublicKey, runs: &[u8]) -> KeyedHash<U16> {
    let mut mac = KeyedHash::<U16>::new_from_slice(&**key).expect("32 bytes are a key");
    mac.update(sender.as_bytes());
    mac.update(runs);
    mac
}

fn open(secret: &Zeroizing<[u8; 32]>, nonce: &[u8; NONCE_LEN], facts: &[u8], mut tag: [u8; TAG_LEN]) -> bool {
    let (key, nonce) = cipher(secret, nonce);
    key.open_in_place(nonce, Aad::from(facts), &mut tag).is_ok()
}

/// Returns the key and the nonce of ChaCha20-Poly1305 that stand for the secret and the long nonce of XChaCha20-Poly1305
/// (draft-irtf-cfrg-xchacha, 2.3).
pub(crate) fn cipher(secret: &Zeroizing<[u8; 32]>, nonce: &[u8; NONCE_LEN]) -> (LessSafeKey, Nonce) {
    let (first, last) = nonce.split_at(16);
    let first: [u8; 16] = first.try_into().expect("16 bytes");
    let key = Zeroizing::new(<[u8; 32]>::from(hchacha::<R20>(&(**secret).into(), &first.into())));
    let mut rest = [0; 12];
    rest[4..].copy_from_slice(last);
    let key = UnboundKey::new(&CHACHA20_POLY1305, &*key).expect("32 bytes");
    (LessSafeKey::new(key), Nonce::assume_unique_for_key(rest))
}
