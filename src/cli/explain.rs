//! `wirelink explain`: why a peer is reached as it is.

use std::fmt::Write as _;
use std::io::Write;

use clap::Args;
use comfy_table::Cell;

use super::client::{Reader, Which, unexpected};
use super::status::{class, name, path};
use super::table::{Lines, Mood};
use super::{humane, print};
use crate::control::{Ask, Candidate, Explanation, Response};

/// The flags of `wirelink explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The peer: its name, its key, or the beginning of its key
    peer: String,
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How many of the last events are shown.
const EVENTS: usize = 10;

/// Asks, and prints.
///
/// # Errors
/// When there is no daemon, or no such peer.
pub fn run(args: &ExplainArgs, output: impl Write) -> anyhow::Result<()> {
    let peer = args.peer.clone();
    let Response::Explanation(explained) = args.which.ask(Ask::Explain { peer }, Reader::of(args.json))? else {
        return unexpected();
    };
    let text = if args.json {
        serde_json::to_string_pretty(&explained)? + "\n"
    } else {
        words(&explained, Lines::new)
    };
    print(output, &text)
}

/// Returns an explanation for people; `begin` begins its table.
pub(super) fn words(explained: &Explanation, begin: impl Fn(&[&str]) -> Lines) -> String {
    let peer = &explained.peer;
    let mut text = format!("{} {}: {}\n\n", name(peer), peer.key, path(peer).0);
    let mut step = |title: &str, words: String| {
        let _ = writeln!(text, "{title:<10} {words}");
    };
    step("known", known(explained));
    step("NAT", nats(explained));
    step(
        "link",
        format!(
            "{} for {}: {}",
            peer.link,
            humane::time(peer.since_seconds),
            peer.detail
        ),
    );
    step("because", format!("{} ({})", peer.reason_text, peer.reason));
    step("remedy", explained.remedy.clone());
    if explained.candidates.is_empty() {
        text += "\nNo endpoint of the peer is known.\n";
    } else {
        let _ = write!(text, "\n{}", table(&explained.candidates, begin));
    }
    let events = &explained.events;
    if !events.is_empty() {
        text += "\nLately:\n";
    }
    for event in &events[events.len().saturating_sub(EVENTS)..] {
        let _ = writeln!(text, "{}  {}", humane::moment(event.at_ms), event.text);
    }
    text
}

fn known(explained: &Explanation) -> String {
    let peer = &explained.peer;
    let by = if peer.introduced {
        "added by wirelink"
    } else {
        "configured by the operator"
    };
    let vouched = match &explained.vouchers[..] {
        [] => "no node names it as a member".to_owned(),
        sources => format!("a member according to {}", sources.join(", ")),
    };
    let trust = peer
        .trust
        .map_or("not trusted".to_owned(), |level| format!("trust level {level}"));
    format!("{by}; {vouched}; {trust}")
}

fn nats(explained: &Explanation) -> String {
    let here = class(&explained.nat_here, &explained.nat_here_likely);
    let there = match (&explained.nat_there, &explained.nat_there_likely) {
        (Some(certain), likely) => class(certain, likely.as_deref().unwrap_or_default()),
        (None, _) => "not announced".to_owned(),
    };
    let by = match &explained.nat_by[..] {
        [] => String::new(),
        [one] if here == "unknown" => format!(" (only {one} sees this node from outside: one observer cannot tell)"),
        observers => format!(" (seen by {})", observers.join(", ")),
    };
    format!("here {here}{by}; on the peer's side {there}")
}

fn table(candidates: &[Candidate], begin: impl Fn(&[&str]) -> Lines) -> Lines {
    let mut lines = begin(&["CANDIDATE", "KIND", "SAID BY", "ASKED", "ANSWER"]);
    for candidate in candidates {
        let asked = match candidate.asked_seconds {
            Some(ago) => format!("{}x, {} ago", candidate.asked, humane::time(ago)),
            None => "no".to_owned(),
        };
        let (answer, mood) = match (candidate.answer_ms, candidate.answered_seconds) {
            (Some(ms), Some(ago)) => (format!("{ms:.1} ms, {} ago", humane::time(ago)), Mood::Good),
            (Some(_) | None, _) if candidate.asked > 0 => ("none".to_owned(), Mood::Bad),
            (Some(_) | None, _) => ("-".to_owned(), Mood::Fair),
        };
        let used = if candidate.in_use { " *" } else { "" };
        let answer = lines.coloured(&answer, mood);
        lines.add(vec![
            Cell::new(format!("{}{used}", candidate.endpoint)),
            Cell::new(&candidate.kind),
            Cell::new(candidate.said_by.as_deref().unwrap_or("this machine")),
            Cell::new(asked),
            answer,
        ]);
    }
    lines
}
