//! Probes show a stranger nothing that it has seen before, and nodes that know only the older form are met all the same.

use std::collections::BTreeSet;
use std::time::Duration;

use wirelink::mesh::believe::fact::signal::ProbeForm;
use wirelink::mesh::reach::probe::wire::{LEN, MARK, MAX_VEILED, MIN_VEILED};

use crate::scenario::{Act, Name, table};
use crate::stage::Stage;
use crate::{invariants, play};

const ALL: [Name; 3] = ["hub", "a", "b"];

/// Lets two leaves at home meet; returns how long that took, and the probes that the leaves sent.
fn meet(older: &[Name]) -> (Duration, Vec<Vec<u8>>) {
    let scenario = table::home_home();
    let mut stage = Stage::new(&scenario, 1);
    for name in older {
        let id = stage.id(name);
        stage.world.hosts[id].config.form = ProbeForm::Marked;
    }
    stage.world.probes = Some(Vec::new());
    stage.act(Act::Start("hub"));
    stage.act(Act::Start("a"));
    stage.run(Duration::from_secs(10));
    stage.act(Act::Start("b"));
    let took = play::arrive(&mut stage, Duration::from_secs(10));
    let took = took.unwrap_or_else(|why| panic!("{older:?} are older: {why}"));
    stage.run(Duration::from_secs(60));
    invariants::check(&mut stage.world).unwrap();
    let hub = stage.id("hub");
    let probes = stage.world.probes.take().unwrap_or_default();
    let of_leaves = probes.into_iter().filter(|(from, _)| *from != hub);
    (took, of_leaves.map(|(_, payload)| payload).collect())
}

fn is_marked(probe: &[u8]) -> bool {
    probe.len() == LEN && probe.starts_with(&MARK)
}

#[test]
fn older_and_newer_nodes_meet_as_soon() {
    let (newer, _) = meet(&[]);
    for older in [&["a"][..], &["b"], &["hub"], &["hub", "a"], &["a", "b"], &ALL] {
        let (took, probes) = meet(older);
        assert!(
            took <= newer + Duration::from_millis(500),
            "{older:?}: {took:?}, and {newer:?}"
        );
        let marked = probes.iter().filter(|probe| is_marked(probe)).count();
        match older {
            ["hub"] => assert!(
                marked < probes.len(),
                "the leaves speak to one another as newer nodes do"
            ),
            _ => assert!(marked > 0, "{older:?}"),
        }
        assert!(older != ALL || marked == probes.len(), "{older:?}: {marked}");
    }
}

#[test]
fn probes_of_newer_nodes_have_nothing_in_common() {
    let (_, probes) = meet(&[]);
    assert!(probes.len() >= 8, "{}", probes.len());
    for probe in &probes {
        assert!(
            (MIN_VEILED..=MAX_VEILED).contains(&probe.len()),
            "{} bytes",
            probe.len()
        );
        assert!(!matches!(probe[..4], [1..=4, 0, 0, 0]), "WireGuard would look at it");
    }
    for at in 0..MIN_VEILED - 4 {
        let runs: BTreeSet<&[u8]> = probes.iter().map(|probe| &probe[at..at + 4]).collect();
        assert!(runs.len() + 1 >= probes.len(), "at byte {at} some are the same");
    }
}
