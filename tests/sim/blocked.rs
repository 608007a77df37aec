//! Borders that let nothing pass but WireGuard.

use std::time::Duration;

use crate::direct::status;
use crate::scenario::{Act, table};
use crate::stage::Stage;
use crate::{invariants, play};

#[test]
fn where_only_wireguard_passes_that_is_said_and_its_own_handshakes_find_the_way() {
    let scenario = table::home_home();
    for names in [["a"].as_slice(), &["b"], &["a", "b"]] {
        let mut stage = Stage::new(&scenario, 1);
        for name in names {
            let site = stage.site(name);
            stage.world.net.pass_wireguard_only(site);
        }
        stage.act(Act::Cut("a", "b"));
        stage.act(Act::StartAll);
        stage.run(Duration::from_secs(90));
        for name in ["a", "b"] {
            let where_ = if names.contains(&name) { "here" } else { "there" };
            let expected = format!("nothing but WireGuard gets out {where_}");
            let status = status(&stage, name);
            assert!(status.contains(&expected), "{name} of {names:?}: {status}");
        }
        stage.act(Act::Heal("a", "b"));
        play::arrive(&mut stage, Duration::from_secs(60)).unwrap_or_else(|why| panic!("{names:?}: {why}"));
        invariants::check(&mut stage.world).unwrap();
    }
}

/// The same from the beginning, without a cut: a minute at most, as nobody knows better than to wait for answers at first.
#[test]
fn where_only_wireguard_passes_a_link_takes_no_more_than_a_minute() {
    let scenario = table::home_home();
    for seed in 0..20 {
        let mut stage = Stage::new(&scenario, seed);
        let site = stage.site("a");
        stage.world.net.pass_wireguard_only(site);
        stage.act(Act::StartAll);
        play::arrive(&mut stage, Duration::from_secs(60)).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        invariants::check(&mut stage.world).unwrap();
    }
}

/// A hub that is dead, and whose session still counts, is no sign of anything on the way.
#[test]
fn a_dead_hub_blocks_nobody() {
    let scenario = table::home_home();
    let mut stage = Stage::new(&scenario, 1);
    stage.act(Act::StartAll);
    stage.run(Duration::from_secs(30));
    stage.act(Act::Isolate("hub"));
    for _ in 0..30 {
        stage.run(Duration::from_secs(10));
        for name in ["a", "b"] {
            assert!(!status(&stage, name).contains("nothing but WireGuard"));
        }
    }
}
