//! What this node vouches for to others: what is renewed by digests, and for how long.

use std::time::Duration;

use super::MIN_LIFE;
use super::ledger::Ids;
use super::offer::Context;
use crate::mesh::base::settings::FACT_TTL;
use crate::mesh::believe::fact::value::IS_ENDPOINT;

/// What this node vouches for, by how long it still lives: a digest is good for as long as the shortest life in it.
#[derive(Debug)]
pub(super) struct Vouched {
    /// What lives too short, or is about somebody who is gone.
    pub(super) not: Ids,
    /// All the rest, by the number of steps that it lives longer than [`MIN_LIFE`].
    by_life: [Lives; LIVES],
}

/// What lives equally long, by topic.
#[derive(Debug, Default)]
struct Lives {
    members: Ids,
    endpoints: Ids,
}

/// The buckets of members and allowed IPs. Endpoints have a digest of their own: one that nobody renews any more, or only by way of
/// others, must not shorten the lives of members.
pub(super) const MEMBERS: u64 = u32::MAX as u64;
/// The buckets of endpoints.
pub(super) const ENDPOINTS: u64 = !MEMBERS;

/// How finely lives are told apart.
const LIFE_STEP: Duration = Duration::from_secs(8);
/// How many lives are told apart, up to that of a fact that was just made.
const LIVES: usize = ((FACT_TTL.as_secs() - MIN_LIFE.as_secs()) / LIFE_STEP.as_secs()) as usize + 1;

impl Vouched {
    pub(super) fn of(context: &Context<'_>) -> Self {
        let mut vouched = Self {
            not: Ids::default(),
            by_life: Default::default(),
        };
        for (fact, stored) in context.store.iter() {
            let told = context.passes_on(&fact.subject, stored.origin);
            let rest = stored.expires.since(context.now);
            let ids = match rest.checked_sub(MIN_LIFE).filter(|_| told) {
                Some(more) => {
                    let steps = (more.as_secs() / LIFE_STEP.as_secs()) as usize;
                    let lives = &mut vouched.by_life[steps.min(LIVES - 1)];
                    if stored.hash & IS_ENDPOINT == 0 {
                        &mut lives.members
                    } else {
                        &mut lives.endpoints
                    }
                }
                None => &mut vouched.not,
            };
            ids.insert(stored.id);
        }
        vouched
    }

    /// Returns how long all of these that belong to a topic live at least.
    pub(super) fn life(&self, topic: u64, told: &Ids) -> Duration {
        let ids = |lives: &'_ Lives| {
            told.common(if topic == MEMBERS {
                &lives.members
            } else {
                &lives.endpoints
            })
            .next()
        };
        let shortest = self.by_life.iter().position(|lives| ids(lives).is_some());
        MIN_LIFE + LIFE_STEP * shortest.unwrap_or(LIVES - 1) as u32
    }
}
