//! Facts: what nodes tell one another, from the bytes of a datagram to what this node believes.
//!
//! A datagram passes three stages, a type each, so that no check can be skipped: [`Envelope`](wire::Envelope) (its layout is
//! right), [`Verified`] (its sender said it, to us), [`Accepted`] (and may say so). The [`Store`](store::Store) takes only the last.

pub mod attribute;
pub mod boot;
pub mod heartbeat;
mod holders;
mod metadata;
mod pack;
pub mod signal;
pub mod store;
pub mod value;
pub mod wire;

use std::time::Duration;

use blake2::{Blake2s256, Digest as _};

use self::attribute::Attribute;
use self::value::{FactHash, IS_ENDPOINT, Value};
use crate::mesh::base::identity::PublicKey;

/// What is said about a node: the attribute follows from the value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// About whom.
    pub subject: PublicKey,
    /// What.
    pub value: Value,
}

impl Fact {
    /// Returns which property of the subject this is.
    pub fn attribute(&self) -> Attribute {
        self.value.attribute()
    }

    /// Returns its hash in digests.
    pub fn hash(&self) -> FactHash {
        let mut value = Vec::with_capacity(32);
        self.value.encode(&mut value);
        let hash = Blake2s256::new()
            .chain_update([self.attribute().row().byte])
            .chain_update(self.subject.as_bytes())
            .chain_update(&value)
            .finalize();
        let (first, _) = hash.split_first_chunk().expect("32 bytes");
        let hash = FactHash::from_be_bytes(*first);
        match self.attribute() {
            Attribute::EndpointV4 | Attribute::EndpointV6 | Attribute::Probes => hash | IS_ENDPOINT,
            Attribute::AllowedIpV4
            | Attribute::AllowedIpV6
            | Attribute::Member
            | Attribute::MemberMetadata
            | Attribute::Alive
            | Attribute::Digest
            | Attribute::Holdings
            | Attribute::Reset
            | Attribute::Withdrawn
            | Attribute::Signal
            | Attribute::Heartbeat
            | Attribute::Echo
            | Attribute::Denied => hash & !IS_ENDPOINT,
        }
    }
}

/// A fact as it stands in a datagram: with the time it lives from now, in whole seconds up to 65535.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// The fact.
    pub fact: Fact,
    /// How long it lives.
    pub ttl: Duration,
}

/// Facts of which the sender is certain; whether they are true, or its to say, is not known yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Verified {
    pub(super) sender: PublicKey,
    pub(super) facts: Vec<Timed>,
}

impl Verified {
    /// Returns who said it.
    pub fn sender(&self) -> &PublicKey {
        &self.sender
    }

    /// Returns what was said.
    pub fn facts(&self) -> &[Timed] {
        &self.facts
    }

    /// Returns what was said, one by one.
    pub fn into_facts(self) -> (PublicKey, Vec<Timed>) {
        (self.sender, self.facts)
    }
}

/// A fact that this node believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub(super) timed: Timed,
    pub(super) source: Source,
}

impl Accepted {
    /// Takes a fact that needs no judgement, because this node itself knows it.
    pub fn first_hand(fact: Fact, ttl: Duration, source: FirstHand) -> Self {
        Self {
            timed: Timed { fact, ttl },
            source: source.into(),
        }
    }

    /// Takes what tests want believed, whoever may say it.
    #[cfg(test)]
    pub(crate) fn unjudged(timed: Timed, source: Source) -> Self {
        Self { timed, source }
    }

    /// Returns the fact.
    pub fn fact(&self) -> &Fact {
        &self.timed.fact
    }

    /// Returns how long it lives.
    pub fn ttl(&self) -> Duration {
        self.timed.ttl
    }

    /// Returns who said it.
    pub fn origin(&self) -> Origin {
        self.source.origin
    }
}

/// How this node itself knows a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstHand {
    /// It sees it on its own machine.
    Observed,
    /// Its operator wrote it.
    Configured,
    /// It was told so before it was started.
    Remembered,
}

/// Who said a fact, and how far that word goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Who.
    pub origin: Origin,
    /// How far.
    pub rank: Rank,
}

impl From<FirstHand> for Source {
    fn from(source: FirstHand) -> Self {
        let (origin, rank) = match source {
            FirstHand::Observed => (Origin::Observed, Rank::Own),
            FirstHand::Configured => (Origin::Configured, Rank::Own),
            FirstHand::Remembered => (Origin::Remembered, Rank::Trusted),
        };
        Self { origin, rank }
    }
}

/// Whose facts give way where there is no room for all: the lower ranks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The word of a peer that is trusted no further than any other, about somebody else.
    Hearsay,
    /// The word of such a peer about itself.
    Itself,
    /// The word of a peer that is trusted with allowed IPs, and memory.
    Trusted,
    /// The word of a peer that may say who is a member: the hub, mostly.
    Voucher,
    /// What this node itself knows: it never gives way.
    Own,
}

impl Rank {
    /// All ranks of other nodes, the lowest first.
    pub const OF_OTHERS: [Self; 4] = [Self::Hearsay, Self::Itself, Self::Trusted, Self::Voucher];
}

/// Who said a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// This node sees it on its own machine: told to others, but no reason to change that machine.
    Observed,
    /// The operator of this node.
    Configured,
    /// Another node, before this one was started: as good a reason to change this machine, but told to nobody.
    Remembered,
    /// Another node.
    Peer(PublicKey),
}

impl Origin {
    /// Returns whether the fact is a reason to change the device; what was read off the device is not.
    pub fn is_authority(self) -> bool {
        match self {
            Self::Observed => false,
            Self::Configured | Self::Remembered | Self::Peer(_) => true,
        }
    }
}
