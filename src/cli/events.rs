//! `wirelink events`: what happened lately, and what happens.

use std::io::Write;

use anyhow::Context as _;
use clap::Args;

use super::client::{Reader, Which, unexpected};
use super::{go_on, humane};
use crate::control::{Ask, Event, Response};

/// The flags of `wirelink events`.
#[derive(Clone, Debug, Args)]
pub struct EventsArgs {
    /// Go on with what happens from now on
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    which: Which,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// Asks, and prints until there is no more.
///
/// # Errors
/// When there is no daemon, or it goes.
pub fn run(args: &EventsArgs, mut output: impl Write) -> anyhow::Result<()> {
    let mut answers = args
        .which
        .begin(Ask::Events { follow: args.follow }, Reader::of(args.json))?;
    while let Some(answer) = answers.next(!args.follow)? {
        let Response::Event(event) = answer else {
            return unexpected();
        };
        let line = if args.json {
            serde_json::to_string(&event)?
        } else {
            line(&event)
        };
        let written = writeln!(output, "{line}").and_then(|()| output.flush());
        if !go_on(written).context("standard output cannot be written")? {
            break;
        }
    }
    Ok(())
}

fn line(event: &Event) -> String {
    format!("{} {:<5} {}", humane::moment(event.at_ms), event.level, event.text)
}
