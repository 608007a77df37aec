//! What the nodes of a world want done, with the time of each, in words that no renaming in the program changes: two versions of the
//! program behave the same where the hashes of these words are the same.
//!
//! `traces.rs` makes the record of many runs.

use std::fmt::Write as _;

use blake2::{Blake2s256, Digest as _};
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::device::DeviceChange;
use wirelink::mesh::show::event::Output;

/// A running hash over what nodes want done.
pub(crate) struct Trace {
    hash: Blake2s256,
    outputs: u64,
    is_printed: bool,
}

impl Trace {
    /// Begins a hash; the words behind it are printed as well where that is asked for.
    pub(crate) fn new(is_printed: bool) -> Self {
        Self {
            hash: Blake2s256::new(),
            outputs: 0,
            is_printed,
        }
    }

    /// Takes in what the node of a machine wants done.
    pub(crate) fn take(&mut self, now: Timestamp, machine: &str, output: &Output) {
        let at = now.since_start().as_nanos();
        let line = format!("{at} {machine} {}", words(output));
        if self.is_printed {
            println!("{line}");
        }
        self.hash.update(line.as_bytes());
        self.outputs += 1;
    }

    /// Returns the hash in hexadecimal, with the number of outputs behind it.
    pub(crate) fn finish(self) -> String {
        let mut text = String::new();
        for byte in &self.hash.finalize()[..12] {
            write!(text, "{byte:02x}").expect("a string takes everything");
        }
        format!("{text} {}", self.outputs)
    }
}

/// Returns an output in words of its own.
fn words(output: &Output) -> String {
    match output {
        Output::Configure(change) => configure(change),
        Output::Remember(memory) => format!("remember {}", serde_json::to_string(memory).expect("it is plain data")),
        Output::Transmit { to, ports, payload } => {
            let ports = ports.map(|ports| (ports.own, ports.peer));
            format!("transmit {to} {ports:?} {payload:02x?}")
        }
        Output::Probe {
            from,
            local,
            to,
            payload,
        } => format!("probe {from:?} {local:?} {to} {payload:02x?}"),
        Output::Stun { to, transaction } => format!("stun {to} {transaction:02x?}"),
        Output::FindRoute(address) => format!("find route {address}"),
        Output::Resolve(host) => format!("resolve {host}"),
        Output::Pong { id, outcome, .. } => format!("pong {id} {:?}", outcome.as_ref().ok()),
        Output::Notify(event) => {
            let peer = event.peer().map(|peer| peer.key.to_string());
            format!("event {} {}", event.code(), peer.unwrap_or_default())
        }
    }
}

fn configure(change: &DeviceChange) -> String {
    match change {
        DeviceChange::AddPeer {
            peer,
            allowed_ips,
            endpoint,
        } => {
            let allowed: Vec<String> = allowed_ips.iter().map(ToString::to_string).collect();
            format!("add peer {peer} {} {endpoint:?}", allowed.join(","))
        }
        DeviceChange::RemovePeer { peer } => format!("remove peer {peer}"),
        DeviceChange::SetEndpoint { peer, endpoint } => format!("set endpoint {peer} {endpoint}"),
        DeviceChange::AddAllowedIp { peer, prefix } => format!("add prefix {peer} {prefix}"),
        DeviceChange::RemoveAllowedIp { peer, prefix } => format!("remove prefix {peer} {prefix}"),
        DeviceChange::MakeAgain { peer, endpoint } => format!("recreate peer {peer} {endpoint:?}"),
    }
}
