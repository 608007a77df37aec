//! `wirelink export`: the peers as they are now, as a static configuration.

use std::fmt::Write as _;
use std::io::Write;

use clap::{Args, ValueEnum};

use super::client::{Reader, Which, unexpected};
use super::print;
use crate::control::{Ask, Export, Response};

/// The flags of `wirelink export`.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::WgQuick)]
    format: Format,
    /// Print JSON, as --format json does
    #[arg(long, conflicts_with = "format")]
    json: bool,
    #[command(flatten)]
    which: Which,
}

/// How peers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The sections of peers of a file that `wg setconf`, `wg addconf` and wg-quick read
    WgQuick,
    /// JSON
    Json,
}

/// Asks, and prints.
///
/// # Errors
/// When there is no daemon.
pub fn run(args: &ExportArgs, output: impl Write) -> anyhow::Result<()> {
    let format = if args.json { Format::Json } else { args.format };
    let reader = Reader::of(format == Format::Json);
    let Response::Export(export) = args.which.ask(Ask::Export, reader)? else {
        return unexpected();
    };
    let text = match format {
        Format::Json => serde_json::to_string_pretty(&export)? + "\n",
        Format::WgQuick => sections(&export),
    };
    print(output, &text)
}

fn sections(export: &Export) -> String {
    let mut text = format!(
        "# The peers of {}, without private and preshared keys.\n",
        export.interface
    );
    for peer in &export.peers {
        let _ = writeln!(text, "\n[Peer]");
        if let Some(name) = &peer.name {
            let _ = writeln!(text, "# {name}");
        }
        let _ = writeln!(text, "PublicKey = {}", peer.key);
        if peer.preshared_key {
            text += "# It has a preshared key, which is not shown: PresharedKey =\n";
        }
        let prefixes: Vec<String> = peer.allowed_ips.iter().map(ToString::to_string).collect();
        if !prefixes.is_empty() {
            let _ = writeln!(text, "AllowedIPs = {}", prefixes.join(", "));
        }
        if let Some(endpoint) = peer.endpoint {
            let _ = writeln!(text, "Endpoint = {endpoint}");
        }
        if let Some(seconds) = peer.keepalive_seconds {
            let _ = writeln!(text, "PersistentKeepalive = {seconds}");
        }
    }
    text
}
