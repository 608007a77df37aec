//! What of an event is told: its code, its peer, how much it matters, and a sentence.

use std::fmt;

use super::{Event, Level, PeerName, RejectReason};
use crate::mesh::device::contest::{Made, Object};
use crate::mesh::reach::link::shared_key;
use crate::mesh::show::budget::{Kind, Quota};

/// Makes the list of all codes and the code of each kind of one table, so that none can be left out.
macro_rules! codes {
    ($($kind:pat => $code:literal,)+) => {
        impl Event {
            /// All that [`code`](Self::code) returns.
            pub const CODES: &[&str] = &[$($code),+];

            /// Returns what kind of thing happened, as a stable code.
            pub const fn code(&self) -> &'static str {
                match self {
                    $($kind => $code,)+
                }
            }
        }
    };
}

codes! {
    Self::LinkEstablished { .. } => "link-established",
    Self::LinkSuspected { .. } => "link-suspected",
    Self::LinkLost { .. } => "link-lost",
    Self::PathNarrow { .. } => "path-narrow",
    Self::PathWide { .. } => "path-wide",
    Self::PeerAdded { .. } => "peer-added",
    Self::PeerRemoved { .. } => "peer-removed",
    Self::PeerRestarted { .. } => "peer-restarted",
    Self::KeyShared { .. } => "key-shared",
    Self::PrefixMoved { .. } => "prefix-moved",
    Self::PrefixRefused(_) => "prefix-refused",
    Self::MorePrefixesRefused => "more-prefixes-refused",
    Self::PrefixCleared { .. } => "prefix-cleared",
    Self::RoleChanged { .. } => "role-changed",
    Self::TrustChanged { .. } => "trust-changed",
    Self::Banned { .. } => "banned",
    Self::Pardoned { .. } => "pardoned",
    Self::Resynced { .. } => "resynced",
    Self::TooManyMembers => "too-many-members",
    Self::Rejected { .. } => "rejected",
    Self::LeftOut { .. } => "left-out",
}

impl Event {
    /// Returns the peer with which it happened, where it is one.
    pub fn peer(&self) -> Option<&PeerName> {
        match self {
            Self::LinkEstablished { peer, .. }
            | Self::LinkSuspected { peer, .. }
            | Self::LinkLost { peer }
            | Self::PathNarrow { peer, .. }
            | Self::PathWide { peer }
            | Self::PeerAdded { peer }
            | Self::PeerRemoved { peer }
            | Self::PeerRestarted { peer }
            | Self::KeyShared { peer }
            | Self::Banned { peer, .. }
            | Self::Pardoned { peer } => Some(peer),
            Self::PrefixMoved { to, .. } => to.as_ref(),
            Self::PrefixRefused(refused) => Some(&refused.claimant),
            Self::PrefixCleared { claimant, .. } => Some(claimant),
            Self::Rejected { sender, .. } => sender.as_ref(),
            Self::LeftOut { most, .. } => most.as_ref(),
            Self::MorePrefixesRefused
            | Self::RoleChanged { .. }
            | Self::TrustChanged { .. }
            | Self::Resynced { .. }
            | Self::TooManyMembers => None,
        }
    }

    /// Returns what the event says was made of which object of the device, where it is about one.
    pub fn made(&self) -> Option<(Object, Made)> {
        match self {
            Self::PeerAdded { peer } => Some((Object::Peer(peer.key), Made::Present)),
            Self::PeerRemoved { peer } => Some((Object::Peer(peer.key), Made::Gone)),
            Self::PrefixMoved { prefix, to, .. } => {
                let made = to.as_ref().map_or(Made::Gone, |peer| Made::Of(peer.key));
                Some((Object::Prefix(*prefix), made))
            }
            Self::LinkEstablished { .. }
            | Self::LinkSuspected { .. }
            | Self::LinkLost { .. }
            | Self::PathNarrow { .. }
            | Self::PathWide { .. }
            | Self::PeerRestarted { .. }
            | Self::KeyShared { .. }
            | Self::PrefixRefused(_)
            | Self::MorePrefixesRefused
            | Self::PrefixCleared { .. }
            | Self::RoleChanged { .. }
            | Self::TrustChanged { .. }
            | Self::Banned { .. }
            | Self::Pardoned { .. }
            | Self::Resynced { .. }
            | Self::TooManyMembers
            | Self::Rejected { .. }
            | Self::LeftOut { .. } => None,
        }
    }

    /// Returns the peer that lost what the other one got, where there is one.
    pub fn other_peer(&self) -> Option<&PeerName> {
        match self {
            Self::PrefixMoved { from, .. } => from.as_ref(),
            Self::LinkEstablished { .. }
            | Self::LinkSuspected { .. }
            | Self::LinkLost { .. }
            | Self::PathNarrow { .. }
            | Self::PathWide { .. }
            | Self::PeerAdded { .. }
            | Self::PeerRemoved { .. }
            | Self::PeerRestarted { .. }
            | Self::KeyShared { .. }
            | Self::PrefixRefused(_)
            | Self::MorePrefixesRefused
            | Self::PrefixCleared { .. }
            | Self::RoleChanged { .. }
            | Self::TrustChanged { .. }
            | Self::Banned { .. }
            | Self::Pardoned { .. }
            | Self::Resynced { .. }
            | Self::TooManyMembers
            | Self::Rejected { .. }
            | Self::LeftOut { .. } => None,
        }
    }

    /// Returns against which budget it counts. What one peer can cause for any number of others, by what it says of them, counts
    /// together; what only the peer itself can cause counts against it.
    pub fn kind(&self) -> Kind {
        let own = self.peer().map(|peer| peer.key);
        let (quota, by) = match self {
            Self::LinkEstablished { .. }
            | Self::LinkSuspected { .. }
            | Self::LinkLost { .. }
            | Self::PathNarrow { .. }
            | Self::PathWide { .. }
            | Self::PeerRestarted { .. }
            | Self::KeyShared { .. } => (Quota::ONE, own),
            Self::Rejected { .. } => (Quota::REASONS, own),
            Self::PeerAdded { .. }
            | Self::PeerRemoved { .. }
            | Self::PrefixMoved { .. }
            | Self::PrefixRefused(_)
            | Self::MorePrefixesRefused
            | Self::PrefixCleared { .. }
            | Self::RoleChanged { .. }
            | Self::TrustChanged { .. }
            | Self::Banned { .. }
            | Self::Pardoned { .. }
            | Self::Resynced { .. }
            | Self::TooManyMembers
            | Self::LeftOut { .. } => (Quota::MANY, None),
        };
        let code = self.code();
        Kind { code, quota, by }
    }

    /// Returns how much it matters.
    pub const fn level(&self) -> Level {
        match self {
            Self::LinkEstablished { .. }
            | Self::LinkSuspected { .. }
            | Self::LinkLost { .. }
            | Self::PathWide { .. }
            | Self::PeerAdded { .. }
            | Self::PeerRemoved { .. }
            | Self::PrefixMoved { .. }
            | Self::PrefixCleared { .. }
            | Self::TrustChanged { .. }
            | Self::Pardoned { .. }
            | Self::LeftOut { .. }
            | Self::RoleChanged { is_change: false, .. } => Level::Info,
            Self::PeerRestarted { .. } | Self::Resynced { .. } => Level::Debug,
            Self::PathNarrow { .. }
            | Self::KeyShared { .. }
            | Self::PrefixRefused(_)
            | Self::MorePrefixesRefused
            | Self::TooManyMembers
            | Self::Banned { .. }
            | Self::RoleChanged { is_change: true, .. } => Level::Warn,
            Self::Rejected { reason, .. } => reason.level(),
        }
    }
}

impl RejectReason {
    /// What comes of trust levels is the everyday of a mixed network; what cannot come from a sound node needs a look.
    const fn level(self) -> Level {
        match self {
            Self::Refused(_) | Self::Stranger | Self::Probe(_) | Self::Stun(_) => Level::Debug,
            Self::Layout(_) | Self::Auth(_) | Self::Overlap(_) | Self::Full(_) => Level::Warn,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinkEstablished { peer, endpoint, took } => {
                write!(f, "direct link to {peer}")?;
                endpoint.map_or(Ok(()), |endpoint| write!(f, " through {endpoint}"))?;
                write!(f, ", after {:.1} s", took.as_secs_f64())
            }
            Self::LinkSuspected { peer, missing } => write!(f, "direct link to {peer} is suspect: {missing}"),
            Self::LinkLost { peer } => write!(f, "direct link to {peer} is lost; its candidates are tried again"),
            Self::PathNarrow { peer, narrow } => write!(f, "on the path to {peer} {narrow}"),
            Self::PathWide { peer } => write!(f, "on the path to {peer} packets of full size pass again"),
            Self::PeerAdded { peer } => write!(f, "added {peer}, a member of the network"),
            Self::PeerRemoved { peer } => write!(f, "removed {peer}, which is no longer a member of the network"),
            Self::PeerRestarted { peer } => write!(f, "{peer} was restarted"),
            Self::PrefixMoved {
                prefix, to: Some(peer), ..
            } => write!(f, "{prefix} is now routed to {peer}"),
            Self::PrefixMoved { prefix, to: None, .. } => write!(f, "{prefix} is routed through its router again"),
            Self::PrefixRefused(refused) => refused.fmt(f),
            Self::MorePrefixesRefused => {
                f.write_str("more prefixes are refused than are logged one by one: `wirelink facts` shows all of them")
            }
            Self::PrefixCleared { prefix, claimant } => {
                write!(
                    f,
                    "prefix {prefix} of {claimant} is no longer refused: the conflict is gone"
                )
            }
            Self::RoleChanged {
                why, is_change: false, ..
            } => f.write_str(why),
            Self::RoleChanged { why, .. } => {
                write!(f, "the role changed: {why}; `Router` in the settings makes it fixed")
            }
            Self::KeyShared { peer } => write!(
                f,
                "several machines use the private key of {peer}, and take its traffic from one another: {}",
                shared_key::REMEDY
            ),
            Self::TrustChanged { text } => f.write_str(text),
            Self::Banned { peer, by: None } => {
                write!(f, "{peer} is banned; `wirelink set {} --unban` ends that", peer.key)
            }
            Self::Banned { peer, by: Some(by) } => write!(
                f,
                "{peer} is banned, says {by}; `wirelink set {} --unban` ends that for the whole network, `Denied: false` here",
                peer.key
            ),
            Self::Pardoned { peer } => write!(
                f,
                "{peer} is banned no longer; a peer that was made by hand needs `wg set` or `wg syncconf` to return"
            ),
            Self::Resynced { reason } => write!(f, "asked all peers to send all facts again: {reason}"),
            Self::TooManyMembers => {
                f.write_str("the network has more members than this node adds as peers; the rest is left out")
            }
            Self::Rejected {
                reason,
                sender,
                source,
                times,
            } => {
                write!(f, "{reason}; from {source}")?;
                sender.as_ref().map_or(Ok(()), |sender| write!(f, ", {sender}"))?;
                if *times > 1 {
                    write!(f, ", {times} times")
                } else {
                    Ok(())
                }
            }
            Self::LeftOut { kind, times, most } => {
                write!(
                    f,
                    "{times} more events of the kind {kind} in the last minute are not told"
                )?;
                most.as_ref()
                    .map_or(Ok(()), |peer| write!(f, ", most of them of {peer}"))
            }
        }
    }
}
