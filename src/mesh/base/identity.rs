//! Who a node is: its WireGuard key, and the address that follows from it.

use std::cmp::Ordering;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::Blake2s256;
use ipnet::{IpNet, Ipv6Net};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha1::{Digest as _, Sha1};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

/// A WireGuard public key; its text form is the 44 characters of base64 that `wg` shows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

/// A WireGuard private key. It is wiped when dropped, and cannot be copied or printed. It stays in its place on the heap: a value that
/// moves leaves its bytes behind.
pub struct PrivateKey(Box<StaticSecret>);

/// Why a text is not a WireGuard key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a WireGuard key: 44 characters of base64 that hold 32 bytes, as `wg pubkey` prints them")]
pub struct InvalidKey;

/// How the link-local address follows from a public key; all nodes of a network must use the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressHash {
    /// The first 8 bytes of SHA-1, as deployed nodes do.
    #[default]
    Sha1,
    /// The first 8 bytes of BLAKE2s-256, for a network that wants no SHA-1.
    Blake2s,
}

impl AddressHash {
    /// Returns the address in `fe80::/64` of the node that holds `key`.
    pub fn link_local(self, key: &PublicKey) -> Ipv6Addr {
        let identifier: [u8; 8] = match self {
            Self::Sha1 => first_eight(&Sha1::digest(key.0)),
            Self::Blake2s => first_eight(&Blake2s256::digest(key.0)),
        };
        let mut octets = [0; 16];
        octets[..2].copy_from_slice(&[0xfe, 0x80]);
        octets[8..].copy_from_slice(&identifier);
        Ipv6Addr::from(octets)
    }

    /// Returns the allowed IP by which WireGuard lets a peer use its link-local address.
    pub fn allowed_ip(self, key: &PublicKey) -> IpNet {
        IpNet::V6(Ipv6Net::from(self.link_local(key)))
    }
}

fn first_eight(digest: &[u8]) -> [u8; 8] {
    digest[..8].try_into().expect("digests are at least 20 bytes long")
}

impl PublicKey {
    /// The length of a key in bytes.
    pub const LEN: usize = 32;

    /// The first of all keys in their order.
    pub(crate) const FIRST: Self = Self([0; Self::LEN]);

    /// Takes the raw bytes of a key; every 32 bytes are one.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Returns the raw bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Returns the first characters of the text form: enough for a log line, where the peer has no name.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text
    }
}

impl PrivateKey {
    /// Takes the raw bytes of a key.
    pub fn from_bytes(bytes: &Zeroizing<[u8; 32]>) -> Self {
        Self(Box::new(StaticSecret::from(**bytes)))
    }

    /// Returns the public key that belongs to it.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(x25519_dalek::PublicKey::from(&*self.0).to_bytes())
    }

    /// Returns the X25519 secret shared with the holder of `peer`, or `None` where `peer` is a point of low order,
    /// with which every secret is the same (RFC 7748, 6.1).
    pub(in crate::mesh) fn shared_secret(&self, peer: &PublicKey) -> Option<Zeroizing<[u8; 32]>> {
        let secret = self.0.diffie_hellman(&x25519_dalek::PublicKey::from(peer.0));
        secret.was_contributory().then(|| Zeroizing::new(secret.to_bytes()))
    }
}

impl FromStr for PrivateKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Ok(Self::from_bytes(&Zeroizing::new(decode(text)?)))
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        decode(text).map(Self)
    }
}

fn decode(text: &str) -> Result<[u8; 32], InvalidKey> {
    let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| InvalidKey)?);
    bytes.as_slice().try_into().map_err(|_| InvalidKey)
}

impl Ord for PublicKey {
    /// The order of the bytes, eight at a time: keys are what every table here is sorted by, and mostly differ in the first word.
    fn cmp(&self, other: &Self) -> Ordering {
        let (ours, _) = self.0.as_chunks::<8>();
        let (theirs, _) = other.0.as_chunks::<8>();
        let mut words = ours
            .iter()
            .zip(theirs)
            .map(|(a, b)| u64::from_be_bytes(*a).cmp(&u64::from_be_bytes(*b)));
        words.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_length_is_refused() {
        for text in [
            "",
            "AAAA",
            "not base64 at all",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(text.parse::<PublicKey>(), Err(InvalidKey), "{text:?}");
        }
    }

    #[test]
    fn a_key_survives_its_text_form() {
        let key = PublicKey::from_bytes(std::array::from_fn(|i| i as u8));
        assert_eq!(key.to_string().parse(), Ok(key));
    }

    #[test]
    fn keys_are_ordered_by_their_bytes() {
        for (a, b) in [(0, 31), (7, 8), (8, 7), (31, 0)] {
            let key = |index: usize| PublicKey::from_bytes(std::array::from_fn(|i| u8::from(i == index) * 200));
            assert_eq!(key(a).cmp(&key(b)), key(a).as_bytes().cmp(key(b).as_bytes()), "{a} {b}");
        }
    }

    #[test]
    fn a_low_order_point_gives_no_secret() {
        let private = PrivateKey::from_bytes(&Zeroizing::new([7; 32]));
        assert!(private.shared_secret(&PublicKey::from_bytes([0; 32])).is_none());
    }
}
