//! What a flow of packets loses when it moves from the hub to the direct path.

use std::time::Duration;

use crate::draw::Draw;
use crate::net::Quality;
use crate::scenario::{Act, table};
use crate::stage::Stage;

/// Nearly 200 packets a second, and on no grid of anything else.
const EVERY: Duration = Duration::from_micros(5_037);
const SEEDS: u64 = 40;

/// Returns how many echoes between two leaves were lost while they became direct, where a packet takes so long from a site to the
/// middle.
fn lost(latency: Duration, seed: u64) -> usize {
    let scenario = table::home_home();
    let mut stage = Stage::new(&scenario, seed);
    stage.set_quality(Quality {
        latency,
        jitter: Duration::ZERO,
        ..Quality::ACCESS
    });
    stage.act(Act::Start("hub"));
    stage.act(Act::Start("a"));
    let phase = Draw::new(seed).branch(9).next() % 10_000_000;
    stage.run(Duration::from_secs(30) + Duration::from_micros(phase));
    let (a, b) = (stage.id("a"), stage.id("b"));
    let inner = |id: usize| stage.world.hosts[id].inner(false).expect("it has one");
    let (at_a, at_b) = (inner(a), inner(b));
    let mut numbers = Vec::new();
    for packet in 0..1000 {
        if packet == 100 {
            stage.act(Act::Start("b"));
        }
        numbers.push((a, stage.world.ping(a, at_b)));
        numbers.push((b, stage.world.ping(b, at_a)));
        stage.run(EVERY);
    }
    stage.run(Duration::from_secs(2));
    let last = numbers.last().expect("there are some");
    let direct = stage.world.echo(last.0, last.1);
    assert_eq!(direct, Some(crate::host::HOPS), "seed {seed}: it became direct");
    let is_lost = |(from, number): &&(usize, u64)| stage.world.echo(*from, *number).is_none();
    numbers.iter().filter(is_lost).count()
}

/// Returns what all seeds lost, and how much they may lose each: what is sent within a round trip, from both sides.
fn all_lost(latency: Duration) -> (Vec<usize>, usize) {
    // There, to the hub, and on: two links each way; through the hub twice as many.
    let round_trip = latency * 8;
    let worth = round_trip.as_micros().div_ceil(EVERY.as_micros());
    let lost = (0..SEEDS).map(|seed| lost(latency, seed)).collect();
    (lost, 2 * usize::try_from(worth).expect("a few"))
}

#[test]
fn without_delay_nothing_is_lost_but_what_is_on_its_way_in_the_very_moment() {
    let (lost, worth) = all_lost(Duration::from_micros(50));
    assert_eq!(worth, 2, "one from each side");
    assert!(lost.iter().all(|lost| *lost <= worth), "{lost:?}");
    let without = lost.iter().filter(|lost| **lost == 0).count();
    assert!(without > lost.len() * 3 / 4, "{lost:?}");
}

#[test]
fn with_delay_no_more_than_a_round_trip_is_lost() {
    let (lost, worth) = all_lost(Duration::from_micros(12_500));
    assert!(lost.iter().all(|lost| *lost <= worth), "{lost:?} of {worth}");
}
