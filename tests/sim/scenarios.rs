//! All scenarios in the simulated world.

use crate::play;
use crate::scenario::{Scenario, table};

/// Plays scenarios, and fails with all that did not come true.
#[track_caller]
fn play_all(scenarios: &[Scenario]) {
    let mut failures = Vec::new();
    for scenario in scenarios {
        match play::play(scenario, 1) {
            Ok(took) => println!("{}: {took:?}", scenario.name),
            Err(why) => failures.push(why),
        }
    }
    let number = failures.len();
    assert!(failures.is_empty(), "{number} failed:\n{}", failures.join("\n"));
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
fn beside_v1() {
    play_all(&table::v1::beside_v1());
}

#[test]
fn matrix_of_linux() {
    play_all(&table::matrix_of_linux());
}

#[test]
fn matrix_of_rfc_4787() {
    play_all(&table::matrix_of_rfc_4787());
}
