//! `wirelink restore`: the interface as it was before, by hand.

use std::io::Write;

use anyhow::Context as _;
use clap::Args;
use tokio::runtime::Builder;

use super::go_on;
use crate::config::{self, Flags};
use crate::daemon;

/// The flags of `wirelink restore`.
#[derive(Clone, Debug, Args)]
pub struct RestoreArgs {
    /// The WireGuard interface [default: wg0]
    #[arg(short, long, value_name = "NAME")]
    iface: Option<String>,

    /// How addresses follow from keys, if the daemon was told so by a flag: sha1 or blake2s
    #[arg(long, value_name = "HASH")]
    address_hash: Option<String>,
}

/// Puts the interface back, and says what was done.
///
/// # Errors
/// When a daemon runs beside it; when it is missing, or may not be changed.
pub fn run(args: &RestoreArgs, mut output: impl Write) -> anyhow::Result<()> {
    let (iface, changes) = interface(args.iface.clone(), args.address_hash.clone())?;
    let said = match changes {
        0 => format!("{iface}: nothing to restore"),
        1 => format!("{iface} is as it was: 1 change"),
        changes => format!("{iface} is as it was: {changes} changes"),
    };
    go_on(writeln!(output, "{said}"))
        .map(drop)
        .context("standard output cannot be written")
}

/// Puts an interface back; returns its name, and how many changes that took.
pub(super) fn interface(iface: Option<String>, address_hash: Option<String>) -> anyhow::Result<(String, usize)> {
    let flags = Flags {
        iface,
        address_hash,
        ..Flags::default()
    };
    let config = config::load(&flags, std::env::vars_os())?.config;
    let iface = config.iface.clone();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the event loop cannot be set up")?;
    Ok((iface, runtime.block_on(daemon::restore(config))?))
}
