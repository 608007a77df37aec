//! The report: one table, a line for each kind of node.

use std::time::Duration;

use wirelink::mesh::node::Node;

use crate::network::{Cost, Costs, Network, PEERS, Role};

const PAGE: usize = 4096;
/// How long nothing happens.
const QUIET: Duration = Duration::from_secs(60);
/// How long it takes until all that was said is forgotten.
const FORGETTING: Duration = Duration::from_secs(300);

pub(crate) fn print() {
    println!(
        "{PEERS} peers; longest single call and share of a core, from the start in a quiet minute, and when all fall silent; memory of a node"
    );
    println!(
        "| node | facts | start: longest packet, reading, deadline | quiet: deadlines, core, longest | all silent: longest | B/s out | kB a node, B a peer |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut kept = Vec::new();
    for role in Role::ALL {
        println!("{}", line(role, &mut kept));
    }
}

fn line(role: Role, kept: &mut Vec<Node>) -> String {
    // What the first leaves of its surroundings has room for those of the second, so that only its node needs more.
    kept.push(Network::settled(role).node);
    let before = resident();
    let mut network = Network::settled(role);
    let start = network.costs;
    network.costs = Costs::default();
    let worked = cpu_time();
    network.run(QUIET);
    let share = (cpu_time() - worked).as_secs_f64() / QUIET.as_secs_f64() * 100.0;
    let weight = resident().saturating_sub(before);
    let quiet = network.costs;
    let facts = network.node.status(network.now()).facts.len();
    network.costs = Costs::default();
    network.fall_silent();
    network.run(FORGETTING);
    let silent = network.costs.deadlines;
    let longest = [quiet.packets, quiet.readings, quiet.deadlines].map(|cost| cost.longest);
    let line = format!(
        "| {role} | {facts} | {}, {}, {} | {}, {:.2} %, {} | {} | {} | {}, {} |",
        longest_of(start.packets),
        longest_of(start.readings),
        longest_of(start.deadlines),
        quiet.deadlines.calls,
        share,
        millis(longest.into_iter().max().unwrap_or_default()),
        longest_of(silent),
        quiet.bytes_out as u64 / QUIET.as_secs(),
        weight / 1000,
        weight / usize::from(PEERS),
    );
    kept.push(network.node);
    line
}

fn longest_of(cost: Cost) -> String {
    millis(cost.longest)
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// Returns how much memory of this process is in use, in bytes; 0 where the system does not say.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * PAGE
}

/// Returns how long this process has computed, in steps of 10 ms: a busy machine makes calls longer, and this not. It counts
/// what the surroundings of the node need, too.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = after_name.split_whitespace().skip(11).take(2);
    Duration::from_millis(10 * fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>())
}
