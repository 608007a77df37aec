//! A liar whom every node trusts as far as it likes, in a network where anything happens: no change of any device goes beyond what
//! the table of powers gives its level.

use std::time::Duration;

use proptest::prelude::*;
use wirelink::mesh::base::settings::TrustLevel;
use wirelink::mesh::device::DeviceChange;

use crate::host::Host;
use crate::invariants;
use crate::lies::is_honest;
use crate::powers::Power;
use crate::scenario::{Act, Name, table};
use crate::stage::Stage;

const LIAR: Name = "c";
const HUB: Name = "hub";

/// How often the liar speaks to everybody after each act, and how long that takes.
const WORDS: u32 = 12;
const BETWEEN_ACTS: Duration = Duration::from_secs(120);

fn level() -> impl Strategy<Value = TrustLevel> {
    (0..TrustLevel::ALL.len()).prop_map(|index| TrustLevel::ALL[index])
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        Just(Act::Start("b")),
        Just(Act::Wait),
        Just(Act::Reboot("a")),
        Just(Act::Reboot(HUB)),
        Just(Act::Stop("b")),
        Just(Act::Cut("a", "b")),
        Just(Act::Heal("a", "b")),
        Just(Act::Sleep("a", Duration::from_secs(90))),
    ]
}

/// Returns whether the liar can have a host do this: by its own word there, or by the word of somebody who believes it so far as not
/// to take it for hearsay, and passes it on; the hub is believed by every host, and others as far as every peer is.
fn may(stage: &Stage<'_>, host: &Host, change: &DeviceChange) -> bool {
    let [liar, hub] = [LIAR, HUB].map(|name| stage.world.hosts[stage.id(name)].key);
    let level_at = |host: &Host| host.config.settings.peers.get(&liar).and_then(|peer| peer.trust);
    let passed_on = |other: &Host| {
        let word = if other.key == hub {
            TrustLevel::Membership
        } else {
            TrustLevel::Endpoint
        };
        let believed = level_at(other).filter(|level| *level >= TrustLevel::AllowedIPs);
        believed.is_some_and(|level| Power::of(level).permits(change)) && Power::of(word).permits(change)
    };
    let mut others = stage
        .world
        .hosts
        .iter()
        .filter(|other| ![liar, host.key].contains(&other.key));
    let level = level_at(host).expect("every host has an opinion");
    is_honest(&stage.world.hosts, host, change) || Power::of(level).permits(change) || others.any(passed_on)
}

/// Returns whether an act makes sense now: a node that runs is not started, nor one stopped that does not.
fn is_possible(stage: &Stage<'_>, act: Act) -> bool {
    let runs = |name| stage.world.hosts[stage.id(name)].node.is_some();
    let starts_twice = matches!(act, Act::Start(name) if runs(name));
    let stops_twice = matches!(act, Act::Stop(name) if !runs(name));
    !starts_twice && !stops_twice
}

/// Checks what was done since it was last checked.
fn check(stage: &mut Stage<'_>) -> Result<(), TestCaseError> {
    let liar = stage.id(LIAR);
    for id in 0..stage.world.hosts.len() {
        let changes = std::mem::take(&mut stage.world.hosts[id].changes);
        let host = &stage.world.hosts[id];
        let wrong = changes
            .iter()
            .find(|(_, change)| id != liar && !may(stage, host, change));
        prop_assert_eq!(wrong, None, "at {}", host.config.name);
    }
    prop_assert_eq!(invariants::check_devices(&mut stage.world), Ok(()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 10, ..ProptestConfig::with_cases(10) })]

    #[test]
    fn no_change_goes_beyond_what_the_level_of_the_liar_allows(
        levels in [level(), level(), level()], seed in 1u64..1000, acts in proptest::collection::vec(act(), 1..7), early in any::<bool>(),
    ) {
        let scenario = table::a_liar_among_friends();
        let mut stage = Stage::new(&scenario, seed);
        let [hub, liar] = [HUB, LIAR].map(|name| stage.world.hosts[stage.id(name)].key);
        for (name, level) in ["hub", "a", "b", LIAR].into_iter().zip(levels.into_iter().chain([TrustLevel::Untrusted])) {
            let id = stage.id(name);
            let peers = &mut stage.world.hosts[id].config.settings.peers;
            peers.entry(hub).or_default().trust = Some(TrustLevel::Membership);
            peers.entry(liar).or_default().trust = Some(level);
        }
        stage.world.records = true;
        let first = if early { [Act::Lie(LIAR), Act::StartAll] } else { [Act::StartAll, Act::Lie(LIAR)] };
        for act in first.into_iter().chain(acts) {
            if is_possible(&stage, act) {
                stage.act(act);
            }
            for _ in 0..WORDS {
                stage.run(BETWEEN_ACTS / WORDS);
                check(&mut stage)?;
            }
        }
    }
}
