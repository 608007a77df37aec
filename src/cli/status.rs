//! `wirelink status`: how the node and its peers are.

use std::fmt::Write as _;
use std::io::Write;

use clap::Args;
use comfy_table::Cell;

use super::client::{Reader, Which, unexpected};
use super::table::{Lines, Mood};
use super::{humane, print};
use crate::control::{Ask, Node, Path, Peer, Response, Status};

/// The flags of `wirelink status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// A peer: its name, its key, or the beginning of its key [default: all]
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
pub fn run(args: &StatusArgs, output: impl Write) -> anyhow::Result<()> {
    let peer = args.peer.clone();
    let is_one = peer.is_some();
    let Response::Status(status) = args.which.ask(Ask::Status { peer }, Reader::of(args.json))? else {
        return unexpected();
    };
    let text = match (args.json, &status.peers[..]) {
        (true, _) => serde_json::to_string_pretty(&status)? + "\n",
        (false, [peer]) if is_one => one(peer),
        (false, _) => all(&status),
    };
    print(output, &text)
}

/// Returns a table of all peers.
fn all(status: &Status) -> String {
    let mut lines = Lines::new(&["PEER", "PATH", "RTT", "LOSS", "SEEN", "FOR", "IN / OUT"]);
    for peer in &status.peers {
        let (path, mood) = path(peer);
        let seen = peer.handshake_seconds.map(humane::time);
        let traffic = [peer.received_bytes, peer.sent_bytes].map(humane::bytes).join(" / ");
        let cells = vec![
            Cell::new(shortened(&name(peer))),
            lines.coloured(&shortened(&path), mood),
            Cell::new(round_trip(peer)),
            Cell::new(loss(peer)),
            Cell::new(seen.unwrap_or_else(|| "never".to_owned())),
            Cell::new(humane::time(peer.since_seconds)),
            Cell::new(traffic),
        ];
        lines.add_with_note(cells, note(peer));
    }
    let table = if status.peers.is_empty() {
        "no peers\n".to_owned()
    } else {
        lines.to_string()
    };
    format!("{}\n{table}", headline(&status.node))
}

/// Returns where a peer is reached, and why not directly.
fn note(peer: &Peer) -> String {
    let endpoint = peer.endpoint.map(|endpoint| endpoint.to_string());
    let why = (peer.path != Path::Direct).then(|| peer.reason_text.clone());
    why.or(endpoint).unwrap_or_default()
}

/// Returns a name as long as a column is.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 16;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 1).chain(['\u{2026}']).collect()
}

/// Returns what the worse direction loses.
pub(super) fn loss(peer: &Peer) -> String {
    let quality = peer.quality.iter();
    let known = quality
        .flat_map(|quality| [quality.loss_out, quality.loss_in])
        .flatten();
    let worse = known.reduce(f64::max);
    worse.map_or("-".to_owned(), |ratio| format!("{:.0} %", ratio * 100.0))
}

pub(super) fn headline(node: &Node) -> String {
    let chatty = if node.chatty { ", chatty" } else { "" };
    let probes = node
        .no_probes
        .as_ref()
        .map_or_else(|| "probes on".to_owned(), |why| format!("probes off ({why})"));
    let mut text = format!(
        "{}: {}{chatty}, {probes}, NAT {}, up {}\n{}\n{}, {}\n",
        node.interface,
        node.role,
        class(&node.nat, &node.nat_likely),
        humane::time(node.up_seconds),
        node.key,
        node.address,
        node.backend,
    );
    if !node.fact_ports.is_empty() {
        let ports: Vec<String> = node.fact_ports.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "facts on UDP port {}", ports.join(" and "));
    }
    for said in &node.overrides {
        let _ = writeln!(text, "changed until the next start: {said}");
    }
    if node.debug {
        text += "debug messages are logged\n";
    }
    text
}

/// Returns the class of a NAT: as it is certain, else as it likely is.
pub(super) fn class(certain: &str, likely: &str) -> String {
    let is_open = certain == "unknown" && !matches!(likely, "" | "unknown");
    if is_open {
        format!("likely {likely}")
    } else {
        certain.to_owned()
    }
}

/// Returns all that is known of one peer.
fn one(peer: &Peer) -> String {
    let mut text = format!("{} {}\n", name(peer), peer.key);
    let mut line = |title: &str, value: String| {
        let _ = writeln!(text, "  {title:<12} {value}");
    };
    line("path", format!("{} ({})", path(peer).0, peer.reason));
    line("why", peer.reason_text.clone());
    line("detail", peer.detail.clone());
    line(
        "link",
        format!("{} for {}", peer.link, humane::time(peer.since_seconds)),
    );
    line(
        "endpoint",
        peer.endpoint.map_or("none".to_owned(), |endpoint| endpoint.to_string()),
    );
    let prefixes: Vec<String> = peer.allowed_ips.iter().map(ToString::to_string).collect();
    line("allowed IPs", prefixes.join(", "));
    let handshake = peer.handshake_seconds.map(|age| format!("{} ago", humane::time(age)));
    line("handshake", handshake.unwrap_or_else(|| "never".to_owned()));
    line("round trip", round_trip(peer));
    if let Some(quality) = &peer.quality {
        let percent = |ratio: Option<f64>| ratio.map_or("?".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0));
        let (out, back) = (percent(quality.loss_out), percent(quality.loss_in));
        line("loss", format!("{out} out, {back} in"));
        let (out, back) = (quality.jitter_out_ms, quality.jitter_in_ms);
        line("jitter", format!("{out:.1} ms out, {back:.1} ms in"));
    }
    let traffic = format!(
        "{} in, {} out",
        humane::bytes(peer.received_bytes),
        humane::bytes(peer.sent_bytes)
    );
    line("traffic", traffic);
    let trust = peer.trust.map_or("none".to_owned(), |level| level.to_string());
    line("trust", trust);
    let role = if peer.router { "router" } else { "leaf" };
    let by = if peer.introduced {
        "added by wirelink"
    } else {
        "configured by the operator"
    };
    line("role", format!("{role}, {by}"));
    text
}

/// Returns what a peer is called.
pub(super) fn name(peer: &Peer) -> String {
    peer.name.clone().unwrap_or_else(|| peer.key.short())
}

/// Returns the way to a peer in words.
pub(super) fn path(peer: &Peer) -> (String, Mood) {
    match (peer.path, &peer.via) {
        (Path::Direct, _) => ("direct".to_owned(), Mood::Good),
        (Path::Via, Some(via)) => (format!("via {via}"), Mood::Fair),
        (Path::Via, None) => ("via a router".to_owned(), Mood::Fair),
        (Path::Down, _) => ("down".to_owned(), Mood::Bad),
    }
}

pub(super) fn round_trip(peer: &Peer) -> String {
    humane::round_trip(peer.quality.and_then(|quality| quality.round_trip_ms))
}
