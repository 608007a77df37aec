//! Records what the nodes do in all scenarios and in a hundred random walks, as a hash for each ([`trace`](crate::trace)).
//!
//! `tests/run traces FILE` writes such a record, or compares with one. `WIRELINK_TRACE_OF='walk 7'` prints the words behind one hash.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{self, available_parallelism};

use crate::scenario::{Scenario, table};
use crate::stage::Stage;
use crate::trace::Trace;
use crate::{play, random};

/// How many random walks are recorded: the first of those that [`random`] makes, and as many of those beside v1.
const WALKS: u64 = 50;

/// Returns the line of a run for the record. A run that fails is recorded too: both versions may fail alike.
fn line(name: &str, run: impl FnOnce(Trace) -> (Option<Trace>, bool)) -> String {
    let is_printed = std::env::var("WIRELINK_TRACE_OF").is_ok_and(|wanted| wanted == name);
    let (trace, passed) = run(Trace::new(is_printed));
    let hash = trace.expect("the world gives it back").finish();
    format!("{name}: {hash}{}", if passed { "" } else { " failed" })
}

fn scenario(scenario: &Scenario) -> String {
    line(&format!("scenario {}", scenario.name), |trace| {
        let mut stage = Stage::new(scenario, 1);
        stage.world.hashed = Some(trace);
        let played = catch_unwind(AssertUnwindSafe(|| play::play_on(&mut stage)));
        (stage.world.hashed.take(), matches!(played, Ok(Ok(_))))
    })
}

fn walk(seed: u64) -> String {
    line(&format!("walk {seed}"), |trace| random::record(seed, trace))
}

/// Makes the lines of all runs, on as many threads as there are processors.
fn record(runs: &[Box<dyn Fn() -> String + Sync>]) -> Vec<String> {
    let (next, lines) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let threads = available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((number, run)) =
                    Some(next.fetch_add(1, Relaxed)).and_then(|at| Some((at, runs.get(at)?)))
                {
                    let line = run();
                    lines.lock().expect("nobody panics with it").insert(number, line);
                }
            });
        }
    });
    lines
        .into_inner()
        .expect("nobody panicked with it")
        .into_values()
        .collect()
}

#[test]
#[ignore = "records for tests/run traces"]
fn record_walks_and_scenarios() {
    let tables = [
        table::all(),
        table::stories(),
        table::v1::beside_v1(),
        table::matrix_of_linux(),
        table::matrix_of_rfc_4787(),
    ];
    let scenarios: Vec<Scenario> = tables.into_iter().flatten().collect();
    let walks = (0..WALKS).chain(random::FIRST_BESIDE_V1..random::FIRST_BESIDE_V1 + WALKS);
    let mut runs: Vec<Box<dyn Fn() -> String + Sync>> = Vec::new();
    for played in scenarios {
        runs.push(Box::new(move || scenario(&played)));
    }
    for seed in walks {
        runs.push(Box::new(move || walk(seed)));
    }
    let lines = record(&runs);
    assert!(lines.len() > 2 * WALKS as usize, "no scenario was played");
    let record = std::env::var_os("WIRELINK_TRACES").expect("WIRELINK_TRACES names the file to write");
    std::fs::write(&record, lines.join("\n") + "\n").expect("the record can be written");
}
