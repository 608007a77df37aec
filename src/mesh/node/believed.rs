//! What the node believes and does not, to be listed in pieces: nothing is copied, and each piece goes on behind the one before.

use std::time::Duration;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::settings::TrustLevel;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::{Fact, Origin};
use crate::mesh::node::Node;
use crate::mesh::route::Refusal;
use crate::mesh::show::event::{PeerName, RefusedPrefix, RejectReason};

impl Node {
    /// Returns the facts behind `last`, ordered by subject and value, with who said each and how long it still counts.
    pub fn believed(&self, now: Timestamp, last: Option<&Fact>) -> impl Iterator<Item = (&Fact, Origin, Duration)> {
        let behind = self.store.after(last);
        behind.map(move |(fact, stored)| (fact, stored.origin, stored.expires.since(now)))
    }

    /// Returns the facts about one subject behind `last`.
    pub fn believed_about(
        &self,
        now: Timestamp,
        subject: PublicKey,
        last: Option<&Fact>,
    ) -> impl Iterator<Item = (&Fact, Origin, Duration)> {
        let begun = last.is_some_and(|last| last.subject == subject);
        let behind = begun.then(|| self.store.after(last));
        let whole = (!begun).then(|| self.store.about(&subject));
        let about = behind.into_iter().flatten().chain(whole.into_iter().flatten());
        let about = about.take_while(move |(fact, _)| fact.subject == subject);
        about.map(move |(fact, stored)| (fact, stored.origin, stored.expires.since(now)))
    }

    /// Returns the prefixes that are claimed, for one claimant or all, and not programmed; without the first `done` of them.
    pub fn refused_prefixes(&self, claimant: Option<PublicKey>, done: usize) -> impl Iterator<Item = RefusedPrefix> {
        let is_asked = move |refusal: &Refusal| claimant.is_none_or(|claimant| claimant == refusal.claimant);
        let refused = self.routes.refused().filter(is_asked).skip(done);
        refused.map(|refusal| self.refused(&refusal))
    }

    /// Returns what was not believed of whom, and how often; strangers are one.
    pub fn rejected(&self) -> impl Iterator<Item = (Option<PublicKey>, RejectReason, u64)> {
        let totals = self.rejections.totals();
        totals.map(|(sender, reason, times)| (*sender, *reason, times))
    }

    /// Returns what a node is called.
    pub fn called(&self, key: &PublicKey) -> PeerName {
        self.name(key)
    }

    /// Returns how far the word of a node goes.
    pub fn trusts(&self, key: &PublicKey) -> Option<TrustLevel> {
        self.trust.level(key)
    }
}
