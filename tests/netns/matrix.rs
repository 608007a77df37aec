//! Every pair of the borders that netfilter can be: a direct way where there is one, and the hub where there is none.

use std::time::Duration;

use crate::play;
use crate::scenario::course::Course;
use crate::scenario::{Act, Path, oracle, table};

/// How long a pair with a direct way is watched; the others take their time, for the daemons go on trying.
const DIRECT_HOLD: Duration = Duration::from_secs(2);

/// A test for each pair, so that they can be played side by side.
macro_rules! pairs {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            play_pair(&dashed(stringify!($name)));
        })*

        #[test]
        fn no_pair_is_left_out() {
            let all: Vec<String> = table::matrix_of_linux().into_iter().map(|scenario| scenario.name).collect();
            assert_eq!([$(dashed(stringify!($name))),*].to_vec(), all);
        }
    };
}

pairs! {
    public_public public_firewall public_home public_forwarded public_symmetric
    firewall_firewall firewall_home firewall_forwarded firewall_symmetric
    home_home home_forwarded home_symmetric
    forwarded_forwarded forwarded_symmetric
    symmetric_symmetric
}

fn dashed(name: &str) -> String {
    name.replace('_', "-")
}

fn play_pair(name: &str) {
    let all = table::matrix_of_linux().into_iter();
    let mut scenario = all
        .clone()
        .find(|scenario| scenario.name == name)
        .expect("a pair of the table");
    let mut course = Course::new(&scenario);
    course.take(Act::StartAll);
    if oracle::way(&course, "a", "b") == Path::Direct {
        scenario
            .script
            .iter_mut()
            .for_each(|step| step.hold = step.hold.min(DIRECT_HOLD));
    }
    play::play(&scenario);
}
