//! What is not believed: counted by sender, for people, and by code, for what draws graphs; and the codes.

use std::collections::BTreeMap;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::auth::AuthError;
use crate::mesh::believe::fact::store::Limit;
use crate::mesh::believe::trust::Refusal;
use crate::mesh::reach::probe::Dropped;
use crate::mesh::reach::stun;
use crate::mesh::route::overlap::Overlap;
use crate::mesh::show::event::RejectReason;
use crate::mesh::show::tally::Tally;

/// The counters.
#[derive(Debug, Default)]
pub struct Rejections {
    /// By sender; strangers are one. A sender that goes takes its counters along.
    by_sender: Tally<Option<PublicKey>, RejectReason>,
    /// By code: never less than before, and no more than there are codes.
    by_code: BTreeMap<&'static str, u64>,
}

impl Rejections {
    /// Counts one more. Where a report is due, returns how many it stands for.
    pub fn count(&mut self, now: Timestamp, sender: Option<PublicKey>, reason: RejectReason) -> Option<u64> {
        *self.by_code.entry(reason.code()).or_default() += 1;
        self.by_sender.count(now, sender, reason)
    }

    /// Returns how often each was counted of each sender that is still there.
    pub fn totals(&self) -> impl Iterator<Item = (&Option<PublicKey>, &RejectReason, u64)> {
        self.by_sender.totals()
    }

    /// Returns how often each was counted of anybody, since the start.
    pub fn by_code(&self) -> &BTreeMap<&'static str, u64> {
        &self.by_code
    }

    /// Returns how often something was counted that there was no room to tell apart by sender.
    pub fn uncounted(&self) -> u64 {
        self.by_sender.uncounted()
    }

    /// Forgets senders, so that others have room.
    pub fn retain(&mut self, is_kept: impl Fn(&Option<PublicKey>) -> bool) {
        self.by_sender.retain(is_kept);
    }
}

impl RejectReason {
    /// Returns the kind as a stable code: one of some dozens, whatever a sender sends.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Layout(_) => "malformed",
            Self::Auth(AuthError::WrongAddress) => "wrong-address",
            Self::Auth(AuthError::WeakKey) => "weak-key",
            Self::Auth(AuthError::WrongTag) => "wrong-tag",
            Self::Auth(AuthError::Layout(_)) => "malformed-facts",
            Self::Stranger => "stranger",
            Self::Refused(refusal) => refused(refusal),
            Self::Probe(dropped) => probe(dropped),
            Self::Stun(stun::Dropped::Malformed) => "stun-malformed",
            Self::Stun(stun::Dropped::Unasked) => "stun-unasked",
            Self::Overlap(overlap) => overlapping(overlap),
            Self::Full(Limit::Facts) => "full",
            Self::Full(Limit::Untrusted) => "full-untrusted",
            Self::Full(Limit::Subject) => "full-about-peer",
            Self::Full(Limit::Share) => "full-about-peer-from-peer",
            Self::Full(Limit::Origin) => "full-from-peer",
        }
    }
}

const fn refused(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Denied => "denied",
        Refusal::NotAPeer => "not-a-peer",
        Refusal::NotTrusted { .. } => "not-trusted",
        Refusal::NotItsOwn => "not-its-own",
        Refusal::AboutUs => "about-us",
        Refusal::ThroughTunnel => "endpoint-through-tunnel",
        Refusal::NotAnEndpoint => "not-an-endpoint",
        Refusal::ReservedPrefix => "reserved-prefix",
        Refusal::OwnAddress => "own-address",
        Refusal::TooLong => "metadata-too-long",
    }
}

const fn probe(dropped: Dropped) -> &'static str {
    match dropped {
        Dropped::TooMany => "probe-too-many",
        Dropped::Layout(_) => "probe-malformed",
        Dropped::Stranger => "probe-stranger",
        Dropped::WrongTag => "probe-wrong-tag",
        Dropped::Stale(_) => "probe-stale",
        Dropped::Unasked => "probe-unasked",
    }
}

const fn overlapping(overlap: Overlap) -> &'static str {
    match overlap {
        Overlap::DefaultRoute => "overlap-default-route",
        Overlap::Reserved => "overlap-reserved",
        Overlap::NotAllowed => "overlap-not-allowed",
        Overlap::OwnAddress => "overlap-own-address",
        Overlap::ConnectedNetwork => "overlap-connected-network",
        Overlap::Endpoint => "overlap-endpoint",
        Overlap::OperatorsPrefix => "overlap-operators-prefix",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::believe::fact::wire::WireError;
    use std::time::Duration;

    #[test]
    fn a_sender_that_goes_takes_nothing_off_the_count_by_code() {
        let mut rejections = Rejections::default();
        let (now, sender) = (
            Timestamp::from_start(Duration::from_secs(1)),
            Some(PublicKey::from_bytes([1; 32])),
        );
        for attribute in 0..200 {
            let reason = RejectReason::Layout(WireError::UnknownAttribute(attribute));
            let _ = rejections.count(now, sender, reason);
        }
        let _ = rejections.count(now, None, RejectReason::Stranger);
        rejections.retain(Option::is_none);
        assert_eq!(rejections.totals().count(), 1);
        assert_eq!(rejections.by_code(), &[("malformed", 200), ("stranger", 1)].into());
    }
}
