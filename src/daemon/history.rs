//! What happened lately, for whoever asks later.

use std::collections::{BTreeMap, VecDeque};

use super::clock::since_1970;
use crate::control;
use crate::mesh::base::identity::PublicKey;
use crate::mesh::show::event::{Event, Level};

/// How much is kept.
const KEPT: usize = 1000;

/// The last events, and how many there were.
#[derive(Debug)]
pub(super) struct History {
    last: VecDeque<control::Event>,
    counts: BTreeMap<&'static str, u64>,
}

impl Default for History {
    /// Nothing happened: each kind no times.
    fn default() -> Self {
        Self {
            last: VecDeque::new(),
            counts: Event::CODES.iter().map(|code| (*code, 0)).collect(),
        }
    }
}

impl History {
    /// Keeps an event of now; returns it as it is told.
    pub(super) fn note(&mut self, event: &Event) -> &control::Event {
        *self.counts.entry(event.code()).or_default() += 1;
        if self.last.len() >= KEPT {
            self.last.pop_front();
        }
        self.last.push_back(control::Event {
            at_ms: u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX),
            level: level(event.level()).to_owned(),
            code: event.code().to_owned(),
            peer: event.peer().map(|peer| peer.key),
            from: event.other_peer().map(|peer| peer.key),
            text: event.to_string(),
        });
        &self.last[self.last.len() - 1]
    }

    /// Returns the events in their order.
    pub(super) fn all(&self) -> impl Iterator<Item = &control::Event> {
        self.last.iter()
    }

    /// Returns the last so many events, in their order.
    pub(super) fn last(&self, count: usize) -> impl Iterator<Item = &control::Event> {
        self.last.iter().skip(self.last.len().saturating_sub(count))
    }

    /// Returns how many of each kind there were since the start, by [`Event::code`].
    pub(super) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// Returns the events with one peer, in their order; what went from it to another included.
    pub(super) fn of(&self, peer: &PublicKey) -> impl Iterator<Item = &control::Event> {
        let concerns = move |event: &&control::Event| [&event.peer, &event.from].contains(&&Some(*peer));
        self.last.iter().filter(concerns)
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::show::event::PeerName;

    #[test]
    fn a_prefix_that_went_away_from_a_peer_is_part_of_its_history() {
        let [a, hub, other] = [1, 2, 3].map(|byte| PublicKey::from_bytes([byte; 32]));
        let name = |key: PublicKey| Some(PeerName { key, name: None });
        let prefix = "10.0.0.3/32".parse().expect("a prefix");
        let mut history = History::default();
        for [from, to] in [[None, name(a)], [name(a), None], [name(a), name(hub)]] {
            history.note(&Event::PrefixMoved { prefix, from, to });
        }
        assert_eq!(history.of(&a).count(), 3);
        assert_eq!(history.of(&hub).count(), 1);
        assert_eq!(history.of(&other).count(), 0);
    }
}
