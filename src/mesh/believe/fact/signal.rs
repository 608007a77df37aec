//! What two nodes need to know of each other to link directly, where they cannot speak to each other yet: who probes, and what
//! one says to the other through a third.

use std::net::Ipv4Addr;

use super::wire::{Reader, WireError};
use crate::mesh::base::identity::PublicKey;

/// How a probe looks on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeForm {
    /// In clear, with a tag, as older nodes of ours send and read it.
    Marked,
    /// Random to everybody but its receiver.
    #[default]
    Veiled,
}

/// That a node sends and answers probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probes {
    /// When it was started, in milliseconds since 1970: what bears less was sent before that.
    pub epoch: u64,
    /// What is between it and the others.
    pub nat: Nat,
    /// The form of probes that it reads best.
    pub form: ProbeForm,
}

/// How the NAT of a node maps its port, as its peers see it (RFC 4787, 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nat {
    /// Fewer than two observers.
    #[default]
    Unknown,
    /// All see the same address and port, or there is no NAT.
    EndpointIndependent,
    /// Each sees another port: also one that depends on address and port.
    AddressDependent,
    /// Nobody outside sees anything.
    Blocked,
}

/// A word to one node about the link between it and the subject. Whoever passes it on can neither make nor change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signal {
    /// Whom it is for.
    pub to: PublicKey,
    /// When the subject was started, in milliseconds since 1970.
    pub epoch: u64,
    /// Its number among those of the epoch to this node.
    pub counter: u64,
    /// What it says.
    pub word: Word,
    /// One more with each change of whether the subject is ready.
    pub version: u32,
    /// Where the addressee should probe, too; only to those that announce [`PORTS`](super::boot::PORTS).
    pub ports: Option<Ports>,
    /// The proof that the subject says it: see [`Pairs`](crate::mesh::reach::probe::pairs::Pairs).
    pub tag: [u8; 16],
}

/// Ports in a row, at one of which the NAT of the subject put what it sends to the addressee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    /// The outside address of the NAT.
    pub address: Ipv4Addr,
    /// The first of them.
    pub first: u16,
    /// How many.
    pub count: u8,
}

/// What a signal says: how the link is on the side of the subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(u8);

impl Nat {
    const ALL: [Self; 4] = [
        Self::Unknown,
        Self::EndpointIndependent,
        Self::AddressDependent,
        Self::Blocked,
    ];
}

impl Probes {
    pub(super) const LEN: usize = 9;
    /// The bit of the epoch that announces veiled probes. Nodes that do not know it pass it on as it is, and do nothing with the epoch of
    /// an announcement but find the latest one; it is in no probe and no signal.
    const VEILED: u64 = 1 << 63;

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let form = match self.form {
            ProbeForm::Marked => 0,
            ProbeForm::Veiled => Self::VEILED,
        };
        let epoch = self.epoch & !Self::VEILED | form;
        out.extend_from_slice(&epoch.to_be_bytes());
        out.push(self.nat as u8);
    }

    /// Reads what is known today; later revisions may say more.
    pub(super) fn decode(bytes: &mut Reader<'_>) -> Result<Self, WireError> {
        let epoch = bytes.array().map(u64::from_be_bytes)?;
        let nat = usize::from(bytes.u8()?);
        bytes.rest();
        Ok(Self {
            epoch: epoch & !Self::VEILED,
            nat: Nat::ALL.get(nat).copied().unwrap_or_default(),
            form: if epoch & Self::VEILED == 0 {
                ProbeForm::Marked
            } else {
                ProbeForm::Veiled
            },
        })
    }
}

impl Word {
    const PUNCH: u8 = 1;
    const READY: u8 = 1 << 1;
    const PING: u8 = 1 << 2;
    const PONG: u8 = 1 << 3;
    const NUMBER: u8 = 4;
    /// The bits of the class of a NAT, in the place of the number of a ping.
    const CLASS: u8 = 3;
    /// How many numbers there are for pings.
    pub const PINGS: u8 = 16;

    /// Says that the subject begins to probe now, and asks the other side to do the same: what leaves there opens the way for what
    /// comes.
    #[must_use]
    pub const fn punching(self) -> Self {
        Self(self.0 | Self::PUNCH)
    }

    /// Says whether the subject heard the other side through the direct link lately; where it did not, it sends nothing that way, and
    /// asks the same.
    #[must_use]
    pub const fn ready_if(self, ready: bool) -> Self {
        Self(if ready {
            self.0 | Self::READY
        } else {
            self.0 & !Self::READY
        })
    }

    /// Returns whether the subject begins to probe.
    pub const fn is_punch(self) -> bool {
        self.0 & Self::PUNCH != 0
    }

    /// Returns whether the subject is ready to send directly.
    pub const fn is_ready(self) -> bool {
        self.0 & Self::READY != 0
    }

    /// Asks for an answer the way that this takes; the number is less than [`PINGS`](Self::PINGS).
    #[must_use]
    pub const fn pinging(self, number: u8) -> Self {
        Self(self.0 | Self::PING | number << Self::NUMBER)
    }

    /// Answers.
    #[must_use]
    pub const fn ponging(self, number: u8) -> Self {
        Self(self.0 | Self::PONG | number << Self::NUMBER)
    }

    /// Returns the number of a question.
    pub fn ping(self) -> Option<u8> {
        (self.0 & Self::PING != 0).then_some(self.0 >> Self::NUMBER)
    }

    /// Returns the number that is answered.
    pub fn pong(self) -> Option<u8> {
        (self.0 & Self::PONG != 0).then_some(self.0 >> Self::NUMBER)
    }

    /// Says which class the NAT of the subject likely has, where two observers show one. A word that pings has no room for that.
    #[must_use]
    pub const fn behind(self, nat: Nat) -> Self {
        let class = match nat {
            Nat::EndpointIndependent => 1,
            Nat::AddressDependent => 2,
            Nat::Unknown | Nat::Blocked => 0,
        };
        if self.0 & (Self::PING | Self::PONG) != 0 {
            return self;
        }
        Self(self.0 & !(Self::CLASS << Self::NUMBER) | class << Self::NUMBER)
    }

    /// Returns that class.
    pub const fn nat(self) -> Nat {
        match self.0 >> Self::NUMBER & Self::CLASS {
            _ if self.0 & (Self::PING | Self::PONG) != 0 => Nat::Unknown,
            1 => Nat::EndpointIndependent,
            2 => Nat::AddressDependent,
            _ => Nat::Unknown,
        }
    }

    /// Takes all bits, those without a meaning yet, too: the tag covers them.
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// Returns all bits.
    pub const fn byte(self) -> u8 {
        self.0
    }
}

impl Signal {
    const LEN: usize = PublicKey::LEN + 8 + 8 + 1 + 4 + 16;

    /// Returns how many bytes it takes.
    pub(super) fn len(&self) -> usize {
        Self::LEN + self.ports.map_or(0, |_| Ports::LEN)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to.as_bytes());
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&self.counter.to_be_bytes());
        out.push(self.word.byte());
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&self.tag);
        out.extend(self.ports.map(Ports::bytes).into_iter().flatten());
    }

    pub(super) fn decode(bytes: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            to: PublicKey::from_bytes(bytes.array()?),
            epoch: bytes.array().map(u64::from_be_bytes)?,
            counter: bytes.array().map(u64::from_be_bytes)?,
            word: Word::from_byte(bytes.u8()?),
            version: bytes.array().map(u32::from_be_bytes)?,
            tag: bytes.array()?,
            ports: (!bytes.is_empty()).then(|| Ports::decode(bytes)).transpose()?,
        })
    }
}

impl Ports {
    const LEN: usize = 7;

    /// Returns how they are written.
    pub fn bytes(self) -> [u8; Self::LEN] {
        let [a, b, c, d] = self.address.octets();
        let [high, low] = self.first.to_be_bytes();
        [a, b, c, d, high, low, self.count]
    }

    fn decode(bytes: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            address: bytes.array::<4>()?.into(),
            first: bytes.u16()?,
            count: bytes.u8()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(form: ProbeForm) -> Vec<u8> {
        let (epoch, nat) = (1_796_000_000_000, Nat::Blocked);
        let mut bytes = Vec::new();
        Probes { epoch, nat, form }.encode(&mut bytes);
        bytes
    }

    #[test]
    fn form_of_probes_is_one_bit_of_the_epoch() {
        let [marked, veiled] = [ProbeForm::Marked, ProbeForm::Veiled].map(encoded);
        assert_eq!(
            marked[..8],
            1_796_000_000_000_u64.to_be_bytes(),
            "as older nodes write it"
        );
        assert_eq!((veiled[0] ^ marked[0], &veiled[1..]), (0x80, &marked[1..]));
        for form in [ProbeForm::Marked, ProbeForm::Veiled] {
            let read = Probes::decode(&mut Reader::new(&encoded(form))).unwrap();
            assert_eq!(
                (read.epoch, read.nat, read.form),
                (1_796_000_000_000, Nat::Blocked, form)
            );
        }
    }
}
