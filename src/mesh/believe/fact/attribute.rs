//! THE table of attributes: one row says all that is particular to one.

use super::boot::{BANS, DIGESTS, PROBES};
use super::wire::EXTENDED;
use crate::mesh::base::settings::TrustLevel;

/// What a fact can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attribute {
    /// The sender is up, under this boot ID.
    Alive,
    /// The subject may be reached at this IPv4 address and port.
    EndpointV4,
    /// The subject may be reached at this IPv6 address and port.
    EndpointV6,
    /// This IPv4 prefix is behind the subject.
    AllowedIpV4,
    /// This IPv6 prefix is behind the subject.
    AllowedIpV6,
    /// The subject belongs to the network; the form without metadata.
    Member,
    /// The subject belongs to the network, and what it is called.
    MemberMetadata,
    /// What the sender told the recipient so far, summed up: all of it lives on.
    Digest,
    /// What the sender heard of the recipient and holds, summed up by bucket: an answer to a digest that does not fit.
    Holdings,
    /// What the recipient holds of some buckets is to be forgotten: it is told again.
    Reset,
    /// Facts that the sender told the recipient, and no longer vouches for.
    Withdrawn,
    /// The subject sends and answers probes.
    Probes,
    /// The subject says something to one other node about the link between them, through whoever passes it on.
    Signal,
    /// The sender asks whether it is heard through the link, and says how it stands to it.
    Heartbeat,
    /// The sender heard a heartbeat of the recipient.
    Echo,
    /// An operator denied the subject, or no longer does.
    Denied,
}

/// The properties of an attribute.
#[derive(Debug)]
pub struct Row {
    /// The attribute.
    pub attribute: Attribute,
    /// Its byte on the wire.
    pub byte: u8,
    /// Its name, for people.
    pub name: &'static str,
    /// The trust that a sender needs to say it about a peer.
    pub needed: TrustLevel,
    /// Who may say it.
    pub speaker: Speaker,
    /// Whether a node is told it about itself.
    pub told_to_subject: bool,
    /// Whether its expiry makes a node ask all others to tell everything again: a lost datagram may be behind it.
    pub resync_on_expiry: bool,
    /// The [capability](super::boot) that a node must have announced to be told it; 0 for what wirelink v1 has.
    pub capability: u32,
}

/// Who may say a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// Only its subject.
    Subject,
    /// Every node with the trust that it needs.
    Anyone,
}

/// One row for each attribute, in the order of [`Attribute`].
pub const TABLE: [Row; 16] = [
    about_sender(Attribute::Alive, b'!', "alive", 0),
    endpoint(Attribute::EndpointV4, b'e', "endpoint"),
    endpoint(Attribute::EndpointV6, b'E', "endpoint"),
    allowed_ip(Attribute::AllowedIpV4, b'a'),
    allowed_ip(Attribute::AllowedIpV6, b'A'),
    member(Attribute::Member, b'm', "member", false),
    member(Attribute::MemberMetadata, b'M', "member metadata", true),
    about_sender(Attribute::Digest, EXTENDED | b'd', "digest", DIGESTS),
    about_sender(Attribute::Holdings, EXTENDED | b'h', "holdings", DIGESTS),
    about_sender(Attribute::Reset, EXTENDED | b'r', "reset", DIGESTS),
    about_sender(Attribute::Withdrawn, EXTENDED | b'w', "withdrawn", DIGESTS),
    Row {
        capability: PROBES,
        ..endpoint(Attribute::Probes, EXTENDED | b'p', "probes")
    },
    Row {
        speaker: Speaker::Anyone,
        ..about_sender(Attribute::Signal, EXTENDED | b's', "signal", PROBES)
    },
    about_sender(Attribute::Heartbeat, EXTENDED | b'b', "heartbeat", PROBES),
    about_sender(Attribute::Echo, EXTENDED | b'c', "echo", PROBES),
    Row {
        resync_on_expiry: false,
        capability: BANS,
        ..member(Attribute::Denied, EXTENDED | b'x', "denied", false)
    },
];

const fn about_sender(attribute: Attribute, byte: u8, name: &'static str, capability: u32) -> Row {
    Row {
        attribute,
        byte,
        name,
        needed: TrustLevel::Untrusted,
        speaker: Speaker::Subject,
        told_to_subject: false,
        resync_on_expiry: false,
        capability,
    }
}

const fn endpoint(attribute: Attribute, byte: u8, name: &'static str) -> Row {
    Row {
        attribute,
        byte,
        name,
        needed: TrustLevel::Endpoint,
        speaker: Speaker::Anyone,
        told_to_subject: false,
        resync_on_expiry: false,
        capability: 0,
    }
}

const fn allowed_ip(attribute: Attribute, byte: u8) -> Row {
    Row {
        attribute,
        byte,
        name: "allowed IP",
        needed: TrustLevel::AllowedIPs,
        speaker: Speaker::Anyone,
        told_to_subject: false,
        resync_on_expiry: true,
        capability: 0,
    }
}

const fn member(attribute: Attribute, byte: u8, name: &'static str, told_to_subject: bool) -> Row {
    Row {
        attribute,
        byte,
        name,
        needed: TrustLevel::Membership,
        speaker: Speaker::Anyone,
        told_to_subject,
        resync_on_expiry: true,
        capability: 0,
    }
}

impl Attribute {
    /// Returns the properties.
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Returns the attribute that a byte on the wire means, if it means one.
    pub fn from_byte(byte: u8) -> Option<Self> {
        TABLE.iter().find(|row| row.byte == byte).map(|row| row.attribute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_finds_its_own_row_and_byte() {
        for row in &TABLE {
            assert_eq!(row.attribute.row().byte, row.byte);
            assert_eq!(Attribute::from_byte(row.byte), Some(row.attribute));
        }
        let extended: Vec<u8> = TABLE
            .iter()
            .map(|row| row.byte)
            .filter(|byte| byte & EXTENDED != 0)
            .collect();
        let announced = TABLE.iter().filter(|row| row.capability != 0);
        assert!(announced.map(|row| row.byte).eq(extended.iter().copied()));
        assert_eq!(
            extended,
            [0xe4, 0xe8, 0xf2, 0xf7, 0xf0, 0xf3, 0xe2, 0xe3, 0xf8],
            "the rest is wirelink v1's"
        );
    }
}
