//! `wirelink facts`: what is believed.

use std::fmt::Write as _;
use std::io::Write;

use clap::Args;
use comfy_table::Cell;

use super::client::{Reader, Which, unexpected};
use super::table::Lines;
use super::{humane, print};
use crate::control::{Ask, Fact, Facts, Rejected, Response};

/// The flags of `wirelink facts`.
#[derive(Clone, Debug, Args)]
pub struct FactsArgs {
    /// A peer: its name, its key, or the beginning of its key; `self` is this node. Who was told a fact is said for one only
    /// [default: all]
    peer: Option<String>,
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Asks, and prints.
///
/// # Errors
/// When there is no daemon, or no such peer.
pub fn run(args: &FactsArgs, output: impl Write) -> anyhow::Result<()> {
    let peer = args.peer.clone();
    let Response::Facts(shown) = args.which.ask(Ask::Facts { peer }, Reader::of(args.json))? else {
        return unexpected();
    };
    if args.json {
        return print(output, &(serde_json::to_string_pretty(&shown)? + "\n"));
    }
    let Facts {
        facts,
        refused,
        rejected,
        ..
    } = *shown;
    let is_for_one = facts.iter().any(|fact| fact.told.is_some());
    let titles = ["ABOUT", "WHAT", "VALUE", "FROM", "TRUST", "FOR", "TOLD"];
    let shown = if is_for_one { titles.len() } else { titles.len() - 1 };
    let mut lines = Lines::new(&titles[..shown]);
    facts
        .iter()
        .for_each(|fact| lines.add(cells(fact).into_iter().take(shown).collect()));
    let mut text = if facts.is_empty() {
        "no facts are known\n".to_owned()
    } else {
        lines.to_string()
    };
    for refused in refused {
        let _ = writeln!(text, "refused: {}", refused.text);
    }
    for rejected in rejected {
        let _ = writeln!(text, "{}", words(&rejected));
    }
    print(output, &text)
}

/// Returns what was not believed of one sender.
fn words(rejected: &Rejected) -> String {
    let key = rejected.sender.map(|key| key.short());
    let sender = match (&rejected.name, key) {
        (Some(name), Some(key)) => format!("{name} ({key})"),
        (None, Some(key)) => key,
        (_, None) => "senders that are no peers".to_owned(),
    };
    let times = if rejected.times == 1 {
        "once"
    } else {
        &format!("{} times", rejected.times)
    };
    format!("rejected {times}, from {sender}: {}", rejected.text)
}

fn cells(fact: &Fact) -> Vec<Cell> {
    let subject = fact.name.clone().unwrap_or_else(|| fact.subject.short());
    vec![
        Cell::new(subject),
        Cell::new(&fact.attribute),
        Cell::new(&fact.value),
        Cell::new(&fact.origin),
        Cell::new(fact.trust.map(|level| level.to_string()).unwrap_or_default()),
        Cell::new(humane::time(fact.expires_seconds)),
        Cell::new(fact.told.as_ref().map_or("-".to_owned(), |told| told.join(", "))),
    ]
}
