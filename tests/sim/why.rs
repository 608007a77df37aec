//! Every pair of NATs in a network with one hub: what each side says of the other, and that it says so within 10 s.

use std::fmt::Write as _;
use std::time::Duration;

use wirelink::mesh::fact::signal::Nat;
use wirelink::mesh::reason::Reason;
use wirelink::mesh::status::{Explanation, Status};

use crate::direct::is_possible;
use crate::program::Program;
use crate::scenario::border::{Border, Mapping};
use crate::scenario::table::{self, at};
use crate::scenario::{Act, Leaf, Name, Scenario};
use crate::stage::Stage;

/// How long it may take until both sides say what is so.
const WITHIN: Duration = Duration::from_secs(10);
const SEEDS: u64 = 8;

/// One hub, leaves `a` and `b` behind these borders, and, where there is another observer, leaf `c` with a public address.
pub(crate) fn network(one: Border, other: Border, has_observer: bool) -> Scenario {
    let mut scenario = table::home_home();
    scenario.sites = vec![at(one), at(other)];
    if has_observer {
        scenario.sites.push(at(Border::Open));
        let c = Leaf {
            name: "c",
            site: 2,
            ..scenario.leaves[0].clone()
        };
        scenario.leaves.push(c);
    }
    scenario
}

/// Returns what the first side must say of the second one.
fn expected([one, other]: [Border; 2], has_observer: bool) -> Reason {
    let is_symmetric = |border: Border| border.mapping() == Mapping::AddressAndPortDependent;
    if is_possible(&network(one, other, has_observer)) {
        return Reason::Direct;
    }
    match (is_symmetric(one), is_symmetric(other)) {
        _ if !has_observer => Reason::NoAnswer,
        (true, true) => Reason::NatPair,
        (true, false) => Reason::NatHere,
        (false, true) => Reason::NatThere,
        (false, false) => Reason::NoAnswer,
    }
}

fn asked(stage: &Stage<'_>, name: Name, of: Name) -> (Status, Explanation) {
    let node = stage.world.hosts[stage.id(name)].node.as_ref().and_then(Program::ours);
    let node = node.expect("it runs");
    let key = stage.world.hosts[stage.id(of)].key;
    let explained = node.explain(stage.world.now, &key).expect("it is a peer");
    (node.status(stage.world.now), explained)
}

/// Returns what is wrong with what one side says of the other.
fn complaint(stage: &Stage<'_>, (name, of): (Name, Name), wanted: Reason, has_observer: bool) -> Option<String> {
    let (status, explained) = asked(stage, name, of);
    let reason = explained.peer.reason;
    let mut wrong = (reason != wanted).then(|| format!("{reason:?} instead of {wanted:?}"));
    let names_observer = explained.remedy.contains("`Stun`");
    if wanted == Reason::NoAnswer && names_observer == has_observer {
        wrong = Some(format!("the remedy is {}", explained.remedy));
    }
    if wanted == Reason::NatHere && (status.nat_likely != Nat::AddressDependent || status.nat_by.len() < 2) {
        wrong = Some(format!("the NAT is {:?} by {:?}", status.nat_likely, status.nat_by));
    }
    if wanted == Reason::NatThere && explained.nat_there_likely != Nat::AddressDependent {
        wrong = Some(format!("the NAT there is {:?}", explained.nat_there_likely));
    }
    wrong.map(|wrong| format!("{name} about {of}: {wrong}"))
}

/// Returns every pair of borders that Linux can be, by name.
fn pairs() -> Vec<[(&'static str, Border); 2]> {
    let kinds = Border::of_linux();
    let pairs = kinds.iter().enumerate();
    pairs
        .flat_map(|(index, one)| kinds[index..].iter().map(|other| [*one, *other]))
        .collect()
}

#[test]
fn one_hub_network_names_the_cause_on_both_sides() {
    let mut wrong = Vec::new();
    for [(one_name, one), (other_name, other)] in pairs() {
        for has_observer in [false, true] {
            let scenario = network(one, other, has_observer);
            let wanted = [
                expected([one, other], has_observer),
                expected([other, one], has_observer),
            ];
            for seed in 0..SEEDS {
                let mut stage = Stage::new(&scenario, seed);
                if wanted[0] != Reason::Direct {
                    // A port that fits by chance is no matter of diagnosis.
                    stage.luck = true;
                }
                // Every other time one side comes later.
                let later = (seed % 2 == 1).then_some("b");
                for name in scenario.names().into_iter().filter(|name| Some(*name) != later) {
                    stage.act(Act::Start(name));
                }
                if let Some(name) = later {
                    stage.run(Duration::from_secs(20 + seed));
                    stage.act(Act::Start(name));
                }
                for wait in [WITHIN, 20 * Duration::from_secs(1), 100 * Duration::from_secs(1)] {
                    stage.run(wait);
                    let sides = [(("a", "b"), wanted[0]), (("b", "a"), wanted[1])];
                    let found = sides
                        .into_iter()
                        .filter_map(|(pair, wanted)| complaint(&stage, pair, wanted, has_observer));
                    let place =
                        format!("{one_name}-{other_name}, observer {has_observer}, seed {seed}, {wait:?} later");
                    wrong.extend(found.map(|found| format!("{place}: {found}")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
}

/// docs/json.md shows what the test above plays.
#[test]
fn nat_pairs_of_the_documentation_are_those_played() {
    let mut table = String::from(
        "| NATs of A and B | A says, B says: with the hub alone | with a public member, or `Stun` |\n|---|---|---|\n",
    );
    for [(one_name, one), (other_name, other)] in pairs() {
        let said = |has_observer| {
            let both = [[one, other], [other, one]].map(|pair| format!("`{}`", expected(pair, has_observer).code()));
            if both[0] == both[1] {
                both[0].clone()
            } else {
                both.join(", ")
            }
        };
        let _ = writeln!(table, "| {one_name}, {other_name} | {} | {} |", said(false), said(true));
    }
    let document = include_str!("../../docs/json.md");
    assert!(document.contains(&table), "docs/json.md lacks\n{table}");
}
