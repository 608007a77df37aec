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

fn main() {
    let options = Options::read(std::env::args().skip(1)).unwrap_or_else(|why| panic!("{why}"));
    println!("{}", options.headline());
    for part in &options.parts {
        let table = match part {
            Part::Pairs => pairs::measure(&options),
            Part::Moves => moves::measure(&options),
            Part::Flood => flood::measure(&options),
        };
        println!("\n{table}");
    }
}
