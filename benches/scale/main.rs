//! How a network grows: simulated networks of real nodes, their traffic, their time and their memory.
//!
//! ```text
//! cargo bench --no-default-features --bench scale                      10, 100, 1,000 and 3,000 leaves, as a table
//! cargo bench --no-default-features --bench scale -- mesh 10 100       every leaf linked with every other one
//! cargo bench --no-default-features --bench scale -- star 10 --kept docs/scale.txt --svg docs/scale.svg
//! ```
//!
//! With `--kept` a network that was measured before is not run again: its row is in that file, where new ones are added.
//!
//! Each network runs in a process of its own, so that its memory is its own. In a *star* no leaf can reach another one, and all
//! there is to see is what passes between leaves and hubs; in a *mesh* all of them are linked, and each leaf tells each other one
//! that it is alive.

mod network;
mod picture;
mod report;
#[path = "../../tests/sim/parts.rs"]
#[allow(dead_code, unused_imports)]
mod sim;

use std::process::Command;

use network::Kind;
use report::Row;
#[allow(unused_imports)]
pub(crate) use sim::*;

/// Without optimisation this only shows that it works.
const SIZES: &[usize] = if cfg!(debug_assertions) {
    &[3, 6]
} else {
    &[10, 100, 1000, 3000]
};

/// The word by which this program calls itself for one network.
const ONE: &str = "one";

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [ONE, kind, leaves] => {
            let leaves = leaves.parse().expect("a number of leaves");
            println!("{}", report::measure(Kind::named(kind).expect("star or mesh"), leaves));
        }
        _ => compare(&words),
    }
}

/// Runs all networks that were asked for, and shows them side by side.
fn compare(words: &[&str]) {
    let option = |name: &str| words.iter().position(|word| *word == name).map(|at| words[at + 1]);
    let kind = words.iter().find_map(|word| Kind::named(word)).unwrap_or(Kind::Star);
    let asked: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let sizes = if asked.is_empty() { SIZES } else { &asked };
    let rows: Vec<Row> = sizes
        .iter()
        .map(|leaves| known(kind, *leaves, option("--kept")))
        .collect();
    println!("{}", report::table(kind, &rows));
    if let Some(path) = option("--svg") {
        std::fs::write(path, picture::draw(kind, &rows)).expect("the picture is written");
    }
}

/// Returns the row of a network, from the file of those that were measured before, or else measured now and added there.
fn known(kind: Kind, leaves: usize, kept: Option<&str>) -> Row {
    let Some(path) = kept else { return run(kind, leaves) };
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let of_kind = text.lines().filter_map(|line| line.strip_prefix(kind.name()));
    let mut rows = of_kind.map(|row| row.trim().parse::<Row>().expect("a row"));
    rows.find(|row| row.leaves == leaves).unwrap_or_else(|| {
        let row = run(kind, leaves);
        std::fs::write(path, format!("{text}{} {row}\n", kind.name())).expect("the row is kept");
        row
    })
}

fn run(kind: Kind, leaves: usize) -> Row {
    let itself = std::env::current_exe().expect("this program");
    let output = Command::new(itself)
        .args([ONE, kind.name(), &leaves.to_string()])
        .stderr(std::process::Stdio::inherit())
        .output()
        .expect("this program runs");
    assert!(
        output.status.success(),
        "{} of {leaves}: {}",
        kind.name(),
        output.status
    );
    let text = String::from_utf8(output.stdout).expect("a line of numbers");
    text.trim().parse().expect("a row")
}
