//! The simulator: a seeded world with a virtual clock, in which the real node runs on modelled machines and networks.

mod draw;
mod flows;
mod host;
mod invariants;
mod nat;
mod net;
mod play;
#[path = "../scenario/mod.rs"]
mod scenario;
mod stage;
mod wireguard;
mod world;

use scenario::{Scenario, table};

/// Plays scenarios, and fails with all that did not come true.
#[track_caller]
fn play_all(scenarios: &[Scenario]) {
    let results: Vec<_> = scenarios
        .iter()
        .map(|scenario| (scenario, play::play(scenario, 1)))
        .collect();
    let mut failures = Vec::new();
    for (scenario, result) in results {
        match result {
            Ok(took) => println!("{}: {took:?}", scenario.name),
            Err(why) => failures.push(why),
        }
    }
    assert!(
        failures.is_empty(),
        "{} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn pairs() {
    play_all(&table::all());
}

#[test]
fn stories() {
    play_all(&table::stories());
}

#[test]
fn matrix_of_linux() {
    play_all(&table::matrix_of_linux());
}

#[test]
fn matrix_of_rfc_4787() {
    play_all(&table::matrix_of_rfc_4787());
}
