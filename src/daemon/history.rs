//! What happened lately, for whoever asks later.

use std::collections::{BTreeMap, VecDeque};

use super::clock::since_1970;
use crate::control;
use crate::mesh::event::{Event, Level};
use crate::mesh::identity::PublicKey;

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

    /// Returns the events with one peer, in their order.
    pub(super) fn of(&self, peer: &PublicKey) -> impl Iterator<Item = &control::Event> {
        self.last.iter().filter(move |event| event.peer.as_ref() == Some(peer))
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
    }
}
