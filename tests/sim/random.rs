//! Random walks: a network and its history drawn from a seed, with the invariants after every act. Now and then there is time
//! for everything to be as the oracle says, and in the end everything heals, and must be so.
//!
//! `WIRELINK_SEED=7 cargo test --locked --test sim random -- --nocapture` replays one of them, and prints what happens.

mod network;
mod walk;

use std::panic::{AssertUnwindSafe, catch_unwind};

use self::walk::Walk;
use crate::draw::Draw;
use crate::program::Program;
use crate::scenario::Scenario;
use crate::trace::Trace;

/// How many walks each of the tests below makes.
const SEEDS: u64 = 50;
/// How many tests there are; in the last of them some hosts run wirelink v1.
const TESTS: u64 = 4;
/// The first seed of the walks beside wirelink v1.
pub(crate) const FIRST_BESIDE_V1: u64 = (TESTS - 1) * SEEDS;

/// Makes the walks of one test, of which each has its seeds; or only the one that is asked for.
fn walks(first: u64) {
    let seeds = first..first + SEEDS;
    match std::env::var("WIRELINK_SEED") {
        Err(_) => seeds.for_each(|seed| walk(seed, false)),
        Ok(text) => {
            let seed = text
                .parse()
                .unwrap_or_else(|_| panic!("WIRELINK_SEED={text}: a number"));
            // Seeds beyond those of all tests belong to the first one.
            if seeds.contains(&seed) || first == 0 && seed >= TESTS * SEEDS {
                walk(seed, true);
            }
        }
    }
}

/// Draws the network of a seed; the history is drawn from what is left.
fn draw_network(seed: u64) -> (Scenario, Draw) {
    let mut draw = Draw::new(seed).branch(4);
    let beside_v1 = seed / SEEDS % TESTS == TESTS - 1;
    (network::draw(&mut draw, beside_v1), draw)
}

/// Makes the walk of a seed for the record; returns its trace, and whether all went as it must.
pub(crate) fn record(seed: u64, trace: Trace) -> (Option<Trace>, bool) {
    let (scenario, draw) = draw_network(seed);
    let mut walk = Walk::new(&scenario, seed, draw);
    walk.stage.world.hashed = Some(trace);
    let result = catch_unwind(AssertUnwindSafe(|| walk.go()));
    (walk.stage.world.hashed.take(), matches!(result, Ok(Ok(()))))
}

fn walk(seed: u64, traced: bool) {
    let (scenario, draw) = draw_network(seed);
    let mut walk = Walk::new(&scenario, seed, draw);
    if traced {
        println!("{scenario:#?}");
        walk.stage.world.begin_trace();
    }
    let result = catch_unwind(AssertUnwindSafe(|| walk.go()));
    if traced {
        println!("{}", walk.stage.world.trace());
        for host in &walk.stage.world.hosts {
            let node = host.node.as_ref().and_then(Program::ours);
            let status = node.map(|node| node.status(walk.stage.world.now).to_string());
            println!("{}: {}", host.config.name, status.unwrap_or_default());
        }
    }
    let why = match result {
        Ok(Ok(())) => return,
        Ok(Err(why)) => why,
        Err(_) => "it panicked, see above".to_owned(),
    };
    panic!(
        "seed {seed}: {why}\nafter {:?}\nreplay: WIRELINK_SEED={seed} cargo test --locked --test sim random -- --nocapture",
        walk.history
    );
}

#[test]
fn the_first_fifty() {
    walks(0);
}

#[test]
fn the_second_fifty() {
    walks(SEEDS);
}

#[test]
fn the_third_fifty() {
    walks(2 * SEEDS);
}

#[test]
fn fifty_beside_v1() {
    walks(FIRST_BESIDE_V1);
}
