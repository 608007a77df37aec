//! Every pair of NATs in a network with one hub: what each side says of the other, and that it says so within 10 s.

use std::fmt::Write as _;
use std::fs;
use std::sync::Mutex;
use std::time::Duration;

use wirelink::mesh::believe::fact::signal::Nat;
use wirelink::mesh::show::reason::Reason;
use wirelink::mesh::show::status::{Explanation, Status};

use crate::program::Program;
use crate::scenario::border::Border;
use crate::scenario::said::{expected, network};
use crate::scenario::{Act, Name};
use crate::stage::Stage;

/// How long it may take until both sides say what is so.
const WITHIN: Duration = Duration::from_secs(10);
const SEEDS: u64 = 8;

fn asked(stage: &Stage<'_>, name: Name, of: Name) -> (Status, Explanation) {
    let node = stage.world.hosts[stage.id(name)].node.as_ref().and_then(Program::ours);
    let node = node.expect("it runs");
    let key = stage.world.hosts[stage.id(of)].key;
    let explained = node.explain(stage.world.now, &key).expect("it is a peer");
    (node.status(stage.world.now), explained)
}

/// Returns the faults in the words of one side about the other.
fn complaint(stage: &Stage<'_>, pair: (Name, Name), borders: [Border; 2], has_observer: bool) -> Option<String> {
    let (status, explained) = asked(stage, pair.0, pair.1);
    let wanted = expected(borders, has_observer);
    let found = (explained.peer.reason, [status.nat_likely, explained.nat_there_likely]);
    let needs_observer = wanted.0 == Reason::NoAnswer && !has_observer;
    let wrong = if found != wanted {
        format!("{found:?} instead of {wanted:?}")
    } else if explained.remedy.contains("`Stun`") != needs_observer {
        format!("the remedy is {}", explained.remedy)
    } else if status.nat_likely == Nat::AddressDependent && status.nat_by.len() < 2 {
        format!("the NAT is shown by {:?}", status.nat_by)
    } else {
        return None;
    };
    Some(format!("{} about {}: {wrong}", pair.0, pair.1))
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
            for seed in 0..SEEDS {
                let mut stage = Stage::new(&scenario, seed);
                if expected([one, other], has_observer).0 != Reason::Direct {
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
                    let sides = [(("a", "b"), [one, other]), (("b", "a"), [other, one])];
                    let found = sides
                        .into_iter()
                        .filter_map(|(pair, borders)| complaint(&stage, pair, borders, has_observer));
                    let place =
                        format!("{one_name}-{other_name}, observer {has_observer}, seed {seed}, {wait:?} later");
                    wrong.extend(found.map(|found| format!("{place}: {found}")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
}

/// docs/reasons.md shows what the test above plays; `WIRELINK_DOCS=1` writes it.
#[test]
fn nat_pairs_of_the_documentation_are_those_played() {
    let mut table = format!("\n{HEAD}");
    for [(one_name, one), (other_name, other)] in pairs() {
        for has_observer in [false, true] {
            let scenario = network(one, other, has_observer);
            let mut stage = Stage::new(&scenario, 0);
            stage.luck = expected([one, other], has_observer).0 != Reason::Direct;
            stage.act(Act::StartAll);
            stage.run(WITHIN);
            let with = if has_observer { "hub and observer" } else { "hub" };
            for (pair, names) in [
                (("a", "b"), [one_name, other_name]),
                (("b", "a"), [other_name, one_name]),
            ] {
                let (status, explained) = asked(&stage, pair.0, pair.1);
                let place = format!("{} about {}, {with}", names[0], names[1]);
                let nats = [status.nat_likely, explained.nat_there_likely];
                let line = (explained.peer.reason, &explained.remedy);
                let key = stage.world.hosts[stage.id(pair.1)].key.short();
                write_line(&mut table, &place, line.0, nats, &line.1.replace(&key, "the peer"));
                if one_name == other_name {
                    break;
                }
            }
        }
    }
    check_section("pairs", &table);
}

/// The head of each table in docs/reasons.md.
pub(crate) const HEAD: &str = "| asked | reason | NAT here | NAT there | remedy |\n|---|---|---|---|---|\n";

/// Writes a line of such a table.
pub(crate) fn write_line(table: &mut String, asked: &str, reason: Reason, [here, there]: [Nat; 2], remedy: &str) {
    let class = |nat| match nat {
        Nat::Unknown => "unknown",
        Nat::EndpointIndependent => "endpoint-independent",
        Nat::AddressDependent => "address-dependent",
        Nat::Blocked => "blocked",
    };
    let _ = writeln!(
        table,
        "| {asked} | `{}` | {} | {} | {remedy} |",
        reason.code(),
        class(here),
        class(there)
    );
}

/// Compares a generated section of docs/reasons.md, or writes it where `WIRELINK_DOCS` is set.
pub(crate) fn check_section(name: &str, generated: &str) {
    static WRITER: Mutex<()> = Mutex::new(());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reasons.md");
    let _one_at_a_time = WRITER.lock();
    let document = fs::read_to_string(path).expect("the document is there");
    let [open, close] = ["begin", "end"].map(|edge| format!("<!-- {edge} {name} -->\n"));
    let (before, rest) = document.split_once(&open).expect("it has the section");
    let (present, after) = rest.split_once(&close).expect("the section ends");
    if std::env::var_os("WIRELINK_DOCS").is_some() {
        fs::write(path, [before, &open, generated, &close, after].concat()).expect("it can be written");
    } else {
        assert_eq!(
            present, generated,
            "run the test with WIRELINK_DOCS=1, and look at the difference"
        );
    }
}
