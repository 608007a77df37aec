//! What one peer is told in one go, within a bound.

use std::time::Duration;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::believe::fact::boot::BootId;
use crate::mesh::believe::fact::value::Value;
use crate::mesh::believe::fact::{Fact, Timed, wire};

/// It grows as long as there is room.
pub(super) struct Batch {
    /// What is said about what was said, in this order, before all facts.
    pub(super) control: Vec<(Value, Duration)>,
    pub(super) facts: Vec<Timed>,
    /// Come last: they stand for all before them, too.
    pub(super) digests: Vec<(Value, Duration)>,
    pub(super) room: usize,
    used: usize,
    /// How many facts may still be looked at.
    pub(super) looks: usize,
    compact: bool,
    pub(super) cut: bool,
}

impl Batch {
    pub(super) fn new(room: usize, looks: usize, compact: bool) -> Self {
        Self {
            control: Vec::new(),
            facts: Vec::new(),
            digests: Vec::new(),
            room,
            used: 0,
            looks,
            compact,
            cut: false,
        }
    }

    /// Returns how many bytes it takes.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Returns how many facts may still be looked at.
    pub(super) fn looks(&self) -> usize {
        self.looks
    }

    /// Returns whether something did not fit.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    pub(super) fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.control.is_empty()
    }

    /// Adds a fact, if there is room.
    pub(super) fn add(&mut self, fact: &Fact, ttl: Duration) -> bool {
        let timed = Timed {
            fact: fact.clone(),
            ttl,
        };
        let in_run = self.compact && self.facts.last().is_some_and(|last| last.fact.subject == fact.subject);
        let cost = wire::fact_len(&timed) - if in_run { PublicKey::LEN } else { 0 };
        if self.used + cost > self.room {
            self.cut = true;
            return false;
        }
        self.used += cost;
        self.facts.push(timed);
        true
    }

    /// Returns all, after a sign of life.
    pub(super) fn finish(self, own_key: &PublicKey, boot_id: BootId, alive_ttl: Duration) -> Vec<Timed> {
        let alive = (Value::Alive(boot_id), alive_ttl);
        let own = |(value, ttl)| about_sender(own_key, value, ttl);
        let control = [alive].into_iter().chain(self.control).map(own);
        control
            .chain(self.facts)
            .chain(self.digests.into_iter().map(own))
            .collect()
    }
}

fn about_sender(own_key: &PublicKey, value: Value, ttl: Duration) -> Timed {
    Timed {
        fact: Fact {
            subject: *own_key,
            value,
        },
        ttl,
    }
}
