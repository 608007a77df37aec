//! The scenarios of the table, each as a test of its name; what takes many minutes is played when it is asked for.

use std::net::IpAddr;
use std::time::Duration;

use crate::command;
use crate::lab::Lab;
use crate::play;
use crate::scenario::{Worlds, table};

macro_rules! stories {
    (
        quick: $($quick:ident)*; slow: $($slow:ident)*;
        beside v1: $($beside:ident)*; beside v1, slow: $($slow_beside:ident)*;
    ) => {
        $(#[test]
        fn $quick() {
            play::play(&table::$quick());
        })*

        $(#[test]
        #[ignore = "takes many minutes: tests/run slow"]
        fn $slow() {
            play::play(&table::$slow());
        })*

        $(#[test]
        fn $beside() {
            play::play(&table::v1::$beside());
        })*

        $(#[test]
        #[ignore = "takes many minutes: tests/run slow"]
        fn $slow_beside() {
            play::play(&table::v1::$slow_beside());
        })*

        #[test]
        fn none_is_left_out() {
            let quick = [$(table::$quick().name,)* $(table::v1::$beside().name),*];
            let slow = [$(table::$slow().name,)* $(table::v1::$slow_beside().name),*];
            let others = table::v1::beside_v1().into_iter().chain(table::liars());
            for scenario in table::all().into_iter().chain(table::stories()).chain(others) {
                let played = match scenario.worlds {
                    Worlds::Both => quick.contains(&scenario.name),
                    Worlds::BothSlow => slow.contains(&scenario.name),
                    Worlds::Simulator(_) => true,
                };
                assert!(played, "{} is not played here, or not so", scenario.name);
            }
        }
    };
}

stories! {
    quick:
        public_public home_home home_public same_lan
        two_hubs chained_routers chained_routers_apart hub_restarts leaf_roams_before_public short_sleep
        carrier one_strict_carrier native_ipv6 mesh_of_five claims a_liar_for_a_minute;
    slow:
        hub_is_away leaf_roams leaf_comes_home both_roam hub_moves partition isolation revocation
        a_liar_among_friends a_liar_from_the_beginning;
    beside v1:
        v1_hub_for_a_minute v1_leaf_for_a_minute;
    beside v1, slow:
        v1_hub v1_leaf v1_hub_and_leaf v1_leaves v1_everywhere two_hubs_one_v1 v1_leaf_of_two_hubs;
}

#[test]
fn a_leaf_reaches_the_hub_of_others() {
    let mut lab = Lab::build(&table::chained_routers());
    let reaches = |lab: &Lab| {
        let echoes = [("a", "hub2"), ("b", "hub")].map(|(leaf, hub)| lab.echo(leaf, IpAddr::V4(lab.inner(hub).v4)));
        echoes.iter().all(Option::is_some).then_some(())
    };
    let soon = Duration::from_secs(10);
    assert_eq!(command::until(soon, || reaches(&lab)), Some(()), "without wirelink");
    play::start_all(&mut lab, Duration::from_secs(30));
    assert_eq!(command::until(soon, || reaches(&lab)), Some(()), "with wirelink");
}

#[test]
fn leaves_without_ipv4_go_direct() {
    let mut lab = Lab::build(&table::native_ipv6());
    lab.leave_ipv4();
    play::start_all(&mut lab, Duration::from_secs(30));
}
