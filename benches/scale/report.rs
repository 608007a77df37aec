//! What is measured of a network, and how it is shown.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::host::Traffic;
use crate::net::HostId;
use crate::network::{Kind, Network};

/// Convergence that takes longer has failed.
const GIVE_UP: Duration = Duration::from_secs(300);
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long after convergence the network is taken for quiet: rounds of candidates are over, and digests have begun.
const SETTLED_AFTER: Duration = Duration::from_secs(120);

/// What was measured of one network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) leaves: usize,
    /// Seconds until every leaf had all facts.
    pub(crate) convergence: f64,
    /// UDP payload that one hub sends to one leaf, in bytes and datagrams a second.
    pub(crate) hub: (f64, f64),
    /// The same of a leaf, to everybody.
    pub(crate) leaf: (f64, f64),
    /// Seconds of a processor for each node in an hour, simulation included.
    pub(crate) processor: f64,
    /// Bytes for each node at the peak, simulation included.
    pub(crate) memory: f64,
    /// Real seconds for all of it.
    pub(crate) real: f64,
}

/// How long the quiet time is: enough datagrams for an average, few enough for a patient person.
fn quiet_time(kind: Kind, leaves: usize) -> Duration {
    let seconds = match (kind, leaves) {
        _ if cfg!(debug_assertions) => 60,
        (Kind::Mesh, 300..) => 60,
        (Kind::Star, 2000..) => 120,
        (Kind::Star | Kind::Mesh, _) => 600,
    };
    Duration::from_secs(seconds)
}

/// Runs a network.
pub(crate) fn measure(kind: Kind, leaves: usize) -> Row {
    let began = Instant::now();
    let mut network = Network::new(kind, leaves);
    let start = network.world.now;
    network.start();
    while !network.has_converged() {
        network.world.run(LOOK_EVERY);
        let took = network.world.now.since(start);
        assert!(took < GIVE_UP, "no convergence in {took:?}");
    }
    let convergence = network.world.now.since(start).as_secs_f64();
    network.world.run(SETTLED_AFTER);

    let quiet = quiet_time(kind, leaves);
    let before = (
        sent(&network, &network.hubs),
        sent(&network, &network.leaves),
        processor_time(),
    );
    network.world.run(quiet);
    let rate = |before: Traffic, after: Traffic, senders: usize| {
        let per = (leaves * senders) as f64 * quiet.as_secs_f64();
        (
            (after.bytes - before.bytes) as f64 / per,
            (after.packets - before.packets) as f64 / per,
        )
    };
    let nodes = (network.hubs.len() + leaves) as f64;
    let hours = quiet.as_secs_f64() / 3600.0;
    assert!(network.world.violations.is_empty(), "{:?}", network.world.violations);
    Row {
        leaves,
        convergence,
        hub: rate(before.0, sent(&network, &network.hubs), network.hubs.len()),
        leaf: rate(before.1, sent(&network, &network.leaves), 1),
        processor: (processor_time() - before.2) / nodes / hours,
        memory: peak_memory() / nodes,
        real: began.elapsed().as_secs_f64(),
    }
}

fn sent(network: &Network, hosts: &[HostId]) -> Traffic {
    let mut sum = Traffic::default();
    for id in hosts {
        let sent = network.world.hosts[*id].facts_sent;
        (sum.bytes, sum.packets) = (sum.bytes + sent.bytes, sum.packets + sent.packets);
    }
    sum
}

/// Seconds that this process has computed (proc_pid_stat(5), fields 14 and 15).
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(')').expect("the name of the program");
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

/// Bytes that this process had at most (proc_pid_status(5)).
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("the peak");
    let kilobytes = peak.trim().trim_end_matches(" kB").parse::<f64>();
    1024.0 * kilobytes.expect("a number")
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            leaves,
            convergence,
            hub,
            leaf,
            processor,
            memory,
            real,
        } = self;
        write!(
            f,
            "{leaves} {convergence} {} {} {} {} {processor} {memory} {real}",
            hub.0, hub.1, leaf.0, leaf.1
        )
    }
}

impl FromStr for Row {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
        match numbers.map_err(|error| format!("{text}: {error}"))?[..] {
            [
                leaves,
                convergence,
                hub_bytes,
                hub_packets,
                leaf_bytes,
                leaf_packets,
                processor,
                memory,
                real,
            ] => Ok(Self {
                leaves: leaves as usize,
                convergence,
                hub: (hub_bytes, hub_packets),
                leaf: (leaf_bytes, leaf_packets),
                processor,
                memory,
                real,
            }),
            _ => Err(format!("not a row: {text}")),
        }
    }
}

/// Returns the rows as a table in Markdown.
pub(crate) fn table(kind: Kind, rows: &[Row]) -> String {
    let mut text = format!(
        "| leaves ({}) | all facts everywhere after | a hub to each leaf | leaf to everybody | processor, a node and hour | memory, a node | real time |\n|---|---|---|---|---|---|---|\n",
        kind.name()
    );
    for row in rows {
        text += &format!(
            "| {} | {:.1} s | {:.1} B/s, {:.2} packets/s | {:.1} B/s, {:.2} packets/s | {:.2} s | {:.2} MiB | {:.0} s |\n",
            row.leaves,
            row.convergence,
            row.hub.0,
            row.hub.1,
            row.leaf.0,
            row.leaf.1,
            row.processor,
            row.memory / 1_048_576.0,
            row.real
        );
    }
    text
}
