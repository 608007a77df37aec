//! How long two nodes need until they are direct, and what their moves lose: real WireGuard, in namespaces of this machine, as root.
//!
//! ```text
//! cargo bench --no-default-features --features lab --bench direct                  all three parts, ten runs each
//! cargo bench --no-default-features --features lab --bench direct -- pairs --runs 3 --only home-home
//! cargo bench --no-default-features --features lab --bench direct -- moves --only blackhole
//! cargo bench --no-default-features --features lab --bench direct -- flood
//! tests/kernel/run bench pairs --delay 25                                          on the kernel's WireGuard, in qemu
//! ```
//!
//! `tests/run lab` installs what it needs. Without `--only`, everything of a part is measured; `--delay` is what every packet takes from
//! one site to another, in milliseconds, where the kernel has netem.

mod act;
mod eye;
mod flood;
mod flow;
#[path = "../../tests/netns/parts.rs"]
#[allow(dead_code, unused_imports)]
mod lab_parts;
mod moves;
mod options;
mod pairs;
mod processor;
mod stage;
mod table;

#[allow(unused_imports)]
pub(crate) use lab_parts::*;
use options::{Options, Part};
use table::Table;

fn main() {
    let options = Options::read(std::env::args().skip(1)).unwrap_or_else(|why| panic!("{why}"));
    println!("{}\n", options.headline());
    let measure = |part: &Part| match part {
        Part::Pairs => pairs::measure(&options),
        Part::Moves => moves::measure(&options),
        Part::Flood => flood::measure(&options),
    };
    let tables: Vec<Table> = options.parts.iter().map(measure).collect();
    assert!(!tables.iter().all(Table::is_empty), "nothing has this name");
    let measured = tables.iter().filter(|table| !table.is_empty());
    measured.for_each(|table| println!("\n{table}"));
}
