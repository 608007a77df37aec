//! What happened lately, for whoever asks later.

use std::collections::VecDeque;

use super::clock::since_1970;
use crate::control;
use crate::mesh::event::{Event, Level};
use crate::mesh::identity::PublicKey;

/// How much is kept.
const KEPT: usize = 1000;

/// The last events.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<control::Event>);

impl History {
    /// Keeps an event of now; returns it as it is told.
    pub(super) fn note(&mut self, event: &Event) -> &control::Event {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(control::Event {
            at_ms: u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX),
            level: level(event.level()).to_owned(),
            code: event.code().to_owned(),
            peer: event.peer().map(|peer| peer.key),
            text: event.to_string(),
        });
        &self.0[self.0.len() - 1]
    }

    /// Returns the events in their order.
    pub(super) fn all(&self) -> impl Iterator<Item = &control::Event> {
        self.0.iter()
    }

    /// Returns the events with one peer, in their order.
    pub(super) fn of(&self, peer: &PublicKey) -> impl Iterator<Item = &control::Event> {
        self.0.iter().filter(move |event| event.peer.as_ref() == Some(peer))
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
    }
}
