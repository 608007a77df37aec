//! The report: one table, a line for each kind of node.

use std::time::Duration;

use wirelink::mesh::node::Node;

use crate::network::{Cost, Costs, Network, PEERS, Role};

const PAGE: usize = 4096;
/// How long nothing happens.
const QUIET: Duration = Duration::from_secs(60);
/// How often the same is done, of which the shortest time of each call counts.
const RUNS: usize = 3;
/// How long it takes until all that was said is forgotten.
const FORGETTING: Duration = Duration::from_secs(300);

pub(crate) fn print() {
    println!(
        "{PEERS} peers; longest single call (each call's shortest time of {RUNS} runs) and share of a core, from the start in a quiet minute, and when all fall silent; memory of a node"
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

/// What was measured of one node.
struct Measured {
    facts: usize,
    start: Costs,
    quiet: Costs,
    silent: Costs,
    weight: usize,
}

impl Measured {
    /// Lets a network live, and keeps its node.
    fn of(role: Role, kept: &mut Vec<Node>) -> Self {
        let before = resident();
        let mut network = Network::settled(role);
        let start = std::mem::take(&mut network.costs);
        network.run(QUIET);
        let weight = resident().saturating_sub(before);
        let quiet = std::mem::take(&mut network.costs);
        let facts = network.node.status(network.now()).facts.len();
        network.fall_silent();
        network.run(FORGETTING);
        let silent = network.costs;
        kept.push(network.node);
        Self {
            facts,
            start,
            quiet,
            silent,
            weight,
        }
    }

    /// Takes of each call the shorter time: what else the machine did meanwhile was not the node's.
    fn lessen(&mut self, again: &Self) {
        self.start.lessen(&again.start);
        self.quiet.lessen(&again.quiet);
        self.silent.lessen(&again.silent);
    }
}

fn line(role: Role, kept: &mut Vec<Node>) -> String {
    // What the first leaves of its surroundings has room for those of the second, so that only its node needs more.
    kept.push(Network::settled(role).node);
    let mut measured = Measured::of(role, kept);
    (1..RUNS).for_each(|_| measured.lessen(&Measured::of(role, kept)));
    let Measured {
        facts,
        start,
        quiet,
        silent,
        weight,
    } = measured;
    let worked: Duration = [&quiet.packets, &quiet.readings, &quiet.deadlines]
        .map(Cost::total)
        .iter()
        .sum();
    let share = worked.as_secs_f64() / QUIET.as_secs_f64() * 100.0;
    let longest = [&quiet.packets, &quiet.readings, &quiet.deadlines].map(Cost::longest);
    format!(
        "| {role} | {facts} | {}, {}, {} | {}, {:.2} %, {} | {} | {} | {}, {} |",
        millis(start.packets.longest()),
        millis(start.readings.longest()),
        millis(start.deadlines.longest()),
        quiet.deadlines.calls(),
        share,
        millis(longest.into_iter().max().unwrap_or_default()),
        millis(silent.deadlines.longest()),
        quiet.bytes_out as u64 / QUIET.as_secs(),
        weight / 1000,
        weight / usize::from(PEERS),
    )
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
