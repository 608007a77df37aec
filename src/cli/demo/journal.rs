//! What the daemons log: kept, shown only to those who ask or when something went wrong.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tracing::Subscriber;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::daemon::logs::only_message;

/// How many lines are kept.
const LINES: usize = 400;

/// The last lines of all daemons.
#[derive(Clone)]
pub(super) struct Journal {
    start: Instant,
    lines: Arc<Mutex<Lines>>,
}

#[derive(Default)]
struct Lines {
    kept: VecDeque<String>,
    unread: usize,
}

impl Journal {
    /// Starts with nothing; times are counted from `start`.
    pub(super) fn new(start: Instant) -> Self {
        Self {
            start,
            lines: Arc::default(),
        }
    }

    /// Returns what a daemon's thread logs to.
    pub(super) fn subscriber(&self, daemon: &'static str) -> impl Subscriber + Send + Sync + use<> {
        let journal = self.clone();
        let ours = Targets::new()
            .with_target("wirelink", LevelFilter::DEBUG)
            .with_default(LevelFilter::WARN);
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(debug_fn(only_message))
            .without_time()
            .with_ansi(false)
            .with_target(false)
            .with_writer(move || LineWriter(journal.clone(), daemon));
        tracing_subscriber::registry().with(layer.with_filter(ours))
    }

    /// Returns the lines that were not returned yet.
    pub(super) fn unread(&self) -> Vec<String> {
        let mut lines = self.lock();
        let from = lines.kept.len() - lines.unread;
        lines.unread = 0;
        lines.kept.iter().skip(from).cloned().collect()
    }

    /// Returns the last lines, at most `count`.
    pub(super) fn last(&self, count: usize) -> Vec<String> {
        let lines = self.lock();
        lines
            .kept
            .iter()
            .skip(lines.kept.len().saturating_sub(count))
            .cloned()
            .collect()
    }

    fn push(&self, daemon: &str, text: &str) {
        let line = format!(
            "{:7.2}s {daemon:<6} {}",
            self.start.elapsed().as_secs_f32(),
            text.trim_end()
        );
        let mut lines = self.lock();
        if lines.kept.len() == LINES {
            lines.kept.pop_front();
        }
        lines.kept.push_back(line);
        lines.unread = (lines.unread + 1).min(LINES);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes one event, which the formatter writes in one piece.
struct LineWriter(Journal, &'static str);

impl io::Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(self.1, &String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_unread_once_and_kept() {
        let journal = Journal::new(Instant::now());
        tracing::subscriber::with_default(journal.subscriber("leaf-a"), || {
            tracing::info!(target: "wirelink", "one");
            tracing::info!(target: "somebody_else", "two");
            tracing::warn!(target: "somebody_else", "three");
        });
        let lines = journal.unread();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("leaf-a") && lines[0].contains("one"), "{lines:?}");
        assert!(journal.unread().is_empty());
        assert_eq!(journal.last(1), lines[1..]);
    }

    #[test]
    fn the_oldest_lines_go() {
        let journal = Journal::new(Instant::now());
        (0..LINES + 5).for_each(|number| journal.push("hub", &number.to_string()));
        let lines = journal.unread();
        assert_eq!(lines.len(), LINES);
        assert!(lines[0].ends_with(" 5"), "{}", lines[0]);
    }
}
