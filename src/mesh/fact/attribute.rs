//! THE table of attributes: one row says all that is particular to one.

use crate::mesh::settings::TrustLevel;

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
pub const TABLE: [Row; 7] = [
    Row {
        attribute: Attribute::Alive,
        byte: b'!',
        name: "alive",
        needed: TrustLevel::Untrusted,
        speaker: Speaker::Subject,
        told_to_subject: false,
        resync_on_expiry: false,
    },
    endpoint(Attribute::EndpointV4, b'e'),
    endpoint(Attribute::EndpointV6, b'E'),
    allowed_ip(Attribute::AllowedIpV4, b'a'),
    allowed_ip(Attribute::AllowedIpV6, b'A'),
    member(Attribute::Member, b'm', "member", false),
    member(Attribute::MemberMetadata, b'M', "member metadata", true),
];

const fn endpoint(attribute: Attribute, byte: u8) -> Row {
    Row {
        attribute,
        byte,
        name: "endpoint",
        needed: TrustLevel::Endpoint,
        speaker: Speaker::Anyone,
        told_to_subject: false,
        resync_on_expiry: false,
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
            assert_eq!(row.byte & wire_extended_bit(), 0, "the high bit marks extended facts");
        }
    }

    fn wire_extended_bit() -> u8 {
        super::super::wire::EXTENDED
    }
}
