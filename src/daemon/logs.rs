//! Where log lines go, and in which form: to the journal with fields, to standard error as text or JSON.
//!
//! What the node tells ([`Event`]) has fields beside its line: its code as `event`, the peer as `peer` and
//! `peer_key`, and the interface as `interface`. Nothing that is secret is ever in an event.

mod journal;
mod record;

use std::fmt::{self, Debug};
use std::io::{self, IsTerminal as _, Write as _};
use std::rc::Rc;

use tracing::field::Field;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, reload};

use self::journal::Journal;
use self::record::Records;
use crate::config::LogFormat;
use crate::mesh::show::event::{Event, Level, PeerName};
use crate::printable::clean;

/// Logs from now on; returns what has details logged, or no longer.
pub fn start(format: LogFormat, debug: bool) -> Rc<dyn Fn(bool)> {
    let (filtered, handle) = reload::Layer::new(filter(debug));
    tracing_subscriber::registry()
        .with(filtered)
        .with(lines(format, debug))
        .init();
    Rc::new(move |debug| {
        // There is a registry as long as the process lives.
        handle.reload(filter(debug)).ok();
    })
}

/// Returns what is logged: of other crates only what is wrong.
fn filter(debug: bool) -> Targets {
    let ours = if debug { LevelFilter::DEBUG } else { LevelFilter::INFO };
    Targets::new()
        .with_target("wirelink", ours)
        // It warns of every malformed datagram; those are counted.
        .with_target("stun_types", LevelFilter::OFF)
        .with_default(LevelFilter::WARN)
}

fn lines<S>(format: LogFormat, debug: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let is_journal = stderr_is_the_journal();
    match (format, is_journal.then(Journal::open).flatten()) {
        (LogFormat::Auto, Some(journal)) => Records(move |record: &_| journal.write(record)).boxed(),
        (LogFormat::Json, _) => Records(|record: &record::Record| print(&record.to_json())).boxed(),
        (LogFormat::Auto | LogFormat::Plain, _) => text(debug, is_journal),
    }
}

/// Returns what writes lines for people. The journal has its own clock.
fn text<S>(debug: bool, is_journal: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let color = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(format::debug_fn(only_message))
        .with_writer(io::stderr)
        .with_ansi(color)
        .with_target(debug);
    if is_journal {
        lines.without_time().boxed()
    } else {
        lines.boxed()
    }
}

/// Logs an event, with fields for who collects logs.
pub(super) fn tell(interface: &str, happened: &Event) {
    let peer = happened.peer().map(PeerName::name_or_key);
    let peer_key = happened.peer().map(|peer| peer.key.to_string());
    let event = happened.code();
    match happened.level() {
        Level::Debug => tracing::debug!(event, interface, peer, peer_key, "{happened}"),
        Level::Info => tracing::info!(event, interface, peer, peer_key, "{happened}"),
        Level::Warn => tracing::warn!(event, interface, peer, peer_key, "{happened}"),
    }
}

/// Writes what is for people: a line says all that its fields say, and steers no terminal.
///
/// # Errors
/// When the writer fails.
pub fn only_message(writer: &mut format::Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    match field.name() {
        "message" => writer.write_str(&clean(&format!("{value:?}"))),
        _ => Ok(()),
    }
}

/// Writes a line; nobody is left to tell where standard error is closed.
fn print(line: &str) {
    writeln!(io::stderr(), "{line}").ok();
}

/// Tells whether standard error is the stream that `JOURNAL_STREAM` names by device and inode (systemd.exec); the
/// variable alone says nothing, as processes inherit it.
fn stderr_is_the_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").ok();
    let actual = rustix::fs::fstat(io::stderr())
        .ok()
        .map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
    named.is_some() && named == actual
}
