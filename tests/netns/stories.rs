//! The scenarios of the table, each as a test of its name; what takes many minutes is played when it is asked for.

use crate::play;
use crate::scenario::{Worlds, table};

macro_rules! stories {
    (quick: $($quick:ident)*; slow: $($slow:ident)*;) => {
        $(#[test]
        fn $quick() {
            play::play(&table::$quick());
        })*

        $(#[test]
        #[ignore = "takes many minutes: tests/run slow"]
        fn $slow() {
            play::play(&table::$slow());
        })*

        #[test]
        fn none_is_left_out() {
            let played = [$((table::$quick().name, Worlds::Both),)* $((table::$slow().name, Worlds::BothSlow)),*];
            let all = table::all().into_iter().chain(table::stories());
            for scenario in all.filter(|scenario| !matches!(scenario.worlds, Worlds::Simulator(_))) {
                let entry = (scenario.name, scenario.worlds);
                assert!(played.contains(&entry), "{entry:?} is not played here, or not so");
            }
        }
    };
}

stories! {
    quick:
        public_public home_home home_public same_lan
        two_hubs chained_routers chained_routers_apart hub_restarts carrier one_strict_carrier mesh_of_five;
    slow:
        hub_is_away leaf_roams leaf_comes_home both_roam hub_moves partition isolation revocation;
}
