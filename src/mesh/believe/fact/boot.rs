//! Boot IDs: they tell when a node forgot everything, and what it can do.
//!
//! Deployed v1 nodes send a random UUID of version 4. Ours is of version 8 (RFC 9562, 5.8); its custom bits say:
//!
//! | octets | meaning |
//! |---|---|
//! | 6, low half | revision of our protocol, 1 to 15 |
//! | 7 | reserved: sent as 0, ignored |
//! | 12 to 15 | capabilities, one bit each, big-endian; unknown bits are ignored |
//! | the rest | random: 78 bits |

use std::fmt;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::Rng as _;

/// The boot ID of a node: new whenever it forgot what it was told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootId([u8; 16]);

/// What one of our own nodes announces with its boot ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The revision of our protocol, at least 1.
    pub revision: u8,
    /// What the node can do, one bit each.
    pub capabilities: u32,
}

/// The capability to read compact groups ([`wire`](super::wire)).
pub const COMPACT_GROUPS: u32 = 1;
/// The capability to renew facts by a digest of them ([`gossip`](crate::mesh::share::gossip)).
pub const DIGESTS: u32 = 1 << 1;

/// The capability to understand who sends [probes](crate::mesh::reach::probe), and to pass [signals](super::signal) on.
pub const PROBES: u32 = 1 << 2;

/// The capability to help predict ports: to answer [looks](crate::mesh::reach::probe::wire::Kind::Look), and to read and pass on signals
/// that name [ports](super::signal::Ports).
pub const PORTS: u32 = 1 << 3;

/// The capability to read [verdicts](super::value::Denied) about who is out.
pub const BANS: u32 = 1 << 4;

/// What this node announces.
pub const OURS: Announcement = Announcement {
    revision: 1,
    capabilities: COMPACT_GROUPS | DIGESTS | PROBES | PORTS | BANS,
};

impl Announcement {
    /// Returns whether the node has a capability.
    pub fn can(self, capability: u32) -> bool {
        self.capabilities & capability != 0
    }
}

impl BootId {
    /// The length in bytes.
    pub const LEN: usize = 16;

    /// Takes the raw bytes; every 16 bytes are one.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Returns the raw bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Makes a new boot ID that announces `what`.
    pub fn announcing(what: Announcement, random: &mut ChaCha20Rng) -> Self {
        let mut bytes = [0; Self::LEN];
        random.fill_bytes(&mut bytes);
        bytes[6] = 0x80 | (what.revision & 0x0f);
        bytes[7] = 0;
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        bytes[12..].copy_from_slice(&what.capabilities.to_be_bytes());
        Self(bytes)
    }

    /// Returns whether the node announces a capability.
    pub fn can(&self, capability: u32) -> bool {
        self.announcement().is_some_and(|announced| announced.can(capability))
    }

    /// Returns what the node announces, or `None` for a v1 node.
    pub fn announcement(&self) -> Option<Announcement> {
        let [.., a, b, c, d] = self.0;
        let revision = self.0[6] & 0x0f;
        let ours = self.0[6] >> 4 == 8 && self.0[8] >> 6 == 0b10 && revision > 0;
        ours.then(|| Announcement {
            revision,
            capabilities: u32::from_be_bytes([a, b, c, d]),
        })
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chacha20::rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn ours_is_a_version_8_uuid_that_says_what_it_announces() {
        let mut random = ChaCha20Rng::from_seed([3; 32]);
        let what = Announcement {
            revision: 5,
            capabilities: 0x8000_0001,
        };
        let id = BootId::announcing(what, &mut random);
        assert_eq!(id.announcement(), Some(what));
        let text = id.to_string();
        assert_eq!(text.len(), 36);
        assert_eq!(&text[14..15], "8", "version");
        assert!("89ab".contains(&text[19..20]), "variant");
        assert_ne!(id, BootId::announcing(what, &mut random));
    }

    #[test]
    fn a_version_4_uuid_announces_nothing() {
        let mut bytes = [0x85; 16];
        bytes[6] = 0x41;
        assert_eq!(BootId::from_bytes(bytes).announcement(), None);
    }
}
