//! `wirelink reload`, `wirelink set` and `wirelink log`: what changes something about a running daemon.

use std::io::Write;

use clap::{Args, ValueEnum};

use super::client::{NoDaemon, Reader, Which, unexpected};
use super::{UsageError, print, unit};
use crate::control::{Ask, PeerChange, Response};
use crate::mesh::base::settings::TrustLevel;
use crate::printable::redact;

/// The flags of `wirelink reload`.
#[derive(Clone, Debug, Args)]
pub struct ReloadArgs {
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The flags of `wirelink set`.
#[derive(Clone, Debug, Args)]
#[group(id = "change", required = true, multiple = false, args = ["pause", "resume", "trust", "ban", "unban"])]
pub struct SetArgs {
    /// The peer: its name, its key, or the beginning of its key
    peer: String,
    /// Send its traffic through a router
    #[arg(long)]
    pause: bool,
    /// Send its traffic directly again, where that is possible
    #[arg(long)]
    resume: bool,
    /// How far its word goes: Untrusted, Endpoint, AllowedIPs, Membership or DelegateTrust
    #[arg(long, value_name = "LEVEL")]
    trust: Option<String>,
    /// Keep its key out, here and at all nodes that trust this one with members; it lasts across restarts
    #[arg(long)]
    ban: bool,
    /// Keep its key out no longer
    #[arg(long)]
    unban: bool,
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The flags of `wirelink log`.
#[derive(Clone, Debug, Args)]
pub struct LogArgs {
    /// What is logged
    detail: Detail,
    #[command(flatten)]
    which: Which,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Detail {
    /// Details, too
    Debug,
    /// What an operator would want to know in a quiet week
    Info,
}

/// Has the configuration read again.
///
/// # Errors
/// When there is no daemon, or the configuration cannot be followed.
pub fn reload(args: &ReloadArgs, output: impl Write) -> anyhow::Result<()> {
    unit::hand_out_settings(&args.which)?;
    let done = done(&args.which, Ask::Reload, args.json, output);
    done.or_else(|error| {
        if error.is::<NoDaemon>() {
            unit::reload_later().ok_or(error)
        } else {
            Err(error)
        }
    })
}

/// Has a peer treated otherwise.
///
/// # Errors
/// When there is no daemon, no such peer, or it may not be asked for.
pub fn set(args: &SetArgs, output: impl Write) -> anyhow::Result<()> {
    let change = match &args.trust {
        Some(text) => PeerChange::Trust(
            text.parse::<TrustLevel>()
                .map_err(|error| UsageError(format!("--trust {:?}: {error}", redact(text))))?,
        ),
        None if args.ban => PeerChange::Ban,
        None if args.unban => PeerChange::Unban,
        None if args.pause => PeerChange::Pause,
        None => PeerChange::Resume,
    };
    let peer = args.peer.clone();
    done(&args.which, Ask::Set { peer, change }, args.json, output)
}

/// Has details logged, or no longer.
///
/// # Errors
/// When there is no daemon, or it may not be asked for.
pub fn log(args: &LogArgs, output: impl Write) -> anyhow::Result<()> {
    let debug = args.detail == Detail::Debug;
    done(&args.which, Ask::Log { debug }, args.json, output)
}

fn done(which: &Which, ask: Ask, json: bool, output: impl Write) -> anyhow::Result<()> {
    let answer = which.ask(ask, Reader::of(json))?;
    let Response::Done { text } = &answer else {
        return unexpected();
    };
    let line = if json {
        serde_json::to_string(&answer)?
    } else {
        text.clone()
    };
    print(output, &(line + "\n"))
}
