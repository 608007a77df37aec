//! What there is to tell: the facts that a look compares with what a peer knows.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use super::knowledge::{RENEW_BEFORE, WORTHWHILE, seconds};
use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::store::{FactId, Store, Stored};
use crate::mesh::believe::fact::{Fact, Origin};

/// Makes of whole seconds the next ones.
const ALMOST_A_SECOND: Duration = Duration::from_nanos(999_999_999);

/// What is looked at to find out what is due.
pub(super) struct Context<'a> {
    pub(super) now: Timestamp,
    pub(super) store: &'a Store,
    pub(super) news: &'a BTreeSet<Fact>,
    pub(super) is_present: &'a dyn Fn(&PublicKey) -> bool,
    pub(super) is_hearsay: &'a dyn Fn(&PublicKey, Origin) -> bool,
}

impl Context<'_> {
    /// Returns whether facts with this origin about this subject are passed on: what this node knows itself while the subject is
    /// there, and what another node says for as long as that one says it; what one said before this node was started not at all.
    /// Nor hearsay: with whoever trusts this node it would count
    /// for as much as what this node sees.
    pub(super) fn passes_on(&self, subject: &PublicKey, origin: Origin) -> bool {
        match origin {
            Origin::Peer(_) => !(self.is_hearsay)(subject, origin),
            Origin::Observed | Origin::Configured => (self.is_present)(subject),
            Origin::Remembered => false,
        }
    }
}

/// A fact that is passed on. What a look needs of it stands side by side: a router compares ten thousand of them with what each of a
/// thousand peers knows.
pub(super) struct Offer<'a> {
    pub(super) id: FactId,
    /// Whoever knows it until this second or longer gains nothing by hearing it.
    pub(super) in_vain_from: u32,
    /// Which capabilities whoever is told it must have announced.
    pub(super) needs: u32,
    /// When its own source renews it, after which it lives longer.
    pub(super) renewal: Timestamp,
    pub(super) fact: &'a Fact,
    pub(super) stored: &'a Stored,
}

/// What is passed on now, ordered by subject; made when the first peer needs it.
pub(super) struct Offers<'a> {
    context: &'a Context<'a>,
    news: Option<Vec<Offer<'a>>>,
    all: Option<Vec<Offer<'a>>>,
}

impl<'a> Offers<'a> {
    pub(super) fn new(context: &'a Context<'a>) -> Self {
        Self {
            context,
            news: None,
            all: None,
        }
    }

    /// Returns what is new.
    pub(super) fn news(&mut self) -> &[Offer<'a>] {
        let context = self.context;
        self.news.get_or_insert_with(|| {
            offers(
                context,
                context.news.iter().filter_map(|fact| context.store.entry(fact)),
            )
        })
    }

    /// Returns all that there is.
    pub(super) fn all(&mut self) -> &[Offer<'a>] {
        let context = self.context;
        self.all.get_or_insert_with(|| offers(context, context.store.iter()))
    }
}

/// Returns where the facts about one subject begin.
pub(super) fn from(offers: &[Offer<'_>], subject: &PublicKey) -> usize {
    offers.partition_point(|offer| offer.fact.subject < *subject)
}

/// Returns where the facts about one subject are.
pub(super) fn about(offers: &[Offer<'_>], subject: &PublicKey) -> Range<usize> {
    let from = from(offers, subject);
    let others = &offers[from..];
    from..from + others.partition_point(|offer| offer.fact.subject == *subject)
}

fn offers<'a>(context: &Context<'_>, facts: impl Iterator<Item = (&'a Fact, &'a Stored)>) -> Vec<Offer<'a>> {
    // Most facts about one subject are of one origin.
    let mut last: Option<(PublicKey, Origin, bool)> = None;
    let mut passes_on = |subject: &PublicKey, origin: Origin| match last {
        Some((of, from, passes_on)) if of == *subject && from == origin => passes_on,
        _ => {
            let passes_on = context.passes_on(subject, origin);
            last = Some((*subject, origin, passes_on));
            passes_on
        }
    };
    let passed_on = facts.filter(|(fact, stored)| passes_on(&fact.subject, stored.origin));
    let offer = |(fact, stored): (&'a Fact, &'a Stored)| Offer {
        id: stored.id,
        in_vain_from: seconds(stored.expires + ALMOST_A_SECOND).saturating_sub(WORTHWHILE),
        needs: fact.attribute().row().capability,
        renewal: stored.expires - RENEW_BEFORE,
        fact,
        stored,
    };
    passed_on.map(offer).collect()
}
