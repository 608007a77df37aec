//! What a flow of packets loses when it moves from the hub to the direct path.

use std::time::Duration;

use crate::draw::Draw;
use crate::net::Quality;
use crate::scenario::{Act, table};
use crate::stage::Stage;

/// 200 packets a second.
const EVERY: Duration = Duration::from_millis(5);
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

#[test]
fn both_move_at_once_and_only_what_is_on_its_way_is_lost() {
    let lost: Vec<usize> = (0..SEEDS).map(|seed| lost(Duration::from_micros(50), seed)).collect();
    println!("{lost:?}");
    // One each way is on its way in the very moment: here all happens at multiples of 5 ms.
    assert!(lost.iter().all(|lost| *lost <= 2), "{lost:?}");
}
