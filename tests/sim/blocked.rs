//! Borders that let nothing pass but WireGuard.

use std::time::Duration;

use crate::direct::{sends_directly, status};
use crate::scenario::border::Border;
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

/// Probes pass over IPv6 as well, and better than over IPv4; handshakes do not.
#[test]
fn ipv6_without_wireguard_leaves_ipv4_to_it() {
    let mut scenario = table::home_home();
    scenario
        .sites
        .iter_mut()
        .for_each(|site| site.ipv6 = Some(Border::GUARDED));
    for seed in 0..10 {
        let mut stage = Stage::new(&scenario, seed);
        let (a, b) = (stage.id("a"), stage.id("b"));
        stage.world.net.pass_all_but_wireguard_over(a, b, true);
        stage.act(Act::StartAll);
        let is_direct = |stage: &Stage<'_>| sends_directly(&stage.world, a, b) && sends_directly(&stage.world, b, a);
        let mut direct = Vec::new();
        for second in 0..900 {
            stage.run(Duration::from_secs(1));
            direct.extend(is_direct(&stage).then_some(second));
        }
        assert!(
            direct.first().is_some_and(|second| *second < 15),
            "seed {seed}: {:?}",
            direct.first()
        );
        assert!(direct.len() > 800, "seed {seed}: {} of 900 s", direct.len());
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
