//! Every pair of the borders that netfilter can be: a direct way where there is one, and the hub where there is none.

use std::time::Duration;

use serde_json::{Value, json};
use wirelink::mesh::believe::fact::signal::Nat;
use wirelink::mesh::show::reason::Reason;

use crate::command;
use crate::control::ask;
use crate::lab::Lab;
use crate::play;
use crate::scenario::border::Border;
use crate::scenario::course::Course;
use crate::scenario::said::expected;
use crate::scenario::{Act, Path, oracle, table};

/// How long a pair with a direct way is watched; the others take their time, for the daemons go on trying.
const DIRECT_HOLD: Duration = Duration::from_secs(2);

/// How long it may take until both sides say why.
const WORDS_WITHIN: Duration = Duration::from_secs(10);

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
    let borders = [0, 1].map(|site| scenario.sites[site].border);
    play::play_and(&scenario, |lab| expect_words(lab, borders, false));
}

/// Expects both sides to say of each other within 10 s why they are direct or not, and the classes of both NATs (docs/reasons.md).
pub(crate) fn expect_words(lab: &Lab, [one, other]: [Border; 2], has_observer: bool) {
    for (name, of, borders) in [("a", "b", [one, other]), ("b", "a", [other, one])] {
        let (reason, classes) = expected(borders, has_observer);
        let classes = classes.map(|class| match class {
            Nat::Unknown => "unknown",
            Nat::EndpointIndependent => "endpoint-independent",
            Nat::AddressDependent => "address-dependent",
            Nat::Blocked => "blocked",
        });
        let wanted = json!([reason.code(), classes[0], classes[1]]);
        let question = format!("explain {} --json --iface {}", lab.public_key(of), lab.interface(name));
        let mut last = Value::Null;
        let found = command::until(WORDS_WITHIN, || {
            // One that has just been started may not listen yet, nor know its peers.
            let said: Value = serde_json::from_str(&ask(lab, name, &question).text).unwrap_or_default();
            last = json!([
                said["peer"]["reason"],
                said["nat_here_likely"],
                said["nat_there_likely"]
            ]);
            let names_observer = said["remedy"].as_str().is_some_and(|remedy| remedy.contains("`Stun`"));
            (last == wanted && names_observer == (reason == Reason::NoAnswer && !has_observer)).then_some(())
        });
        assert!(found.is_some(), "{name} about {of}: wanted {wanted}, not {last}");
    }
}
