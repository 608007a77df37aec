//! Plays a scenario: after each act everybody must reach everybody in the way that the oracle names, within the time of the step,
//! and for as long as it says. It is checked in the tables of both, and with echoes that the hubs forward or do not.

use std::net::IpAddr;
use std::time::Duration;

use wirelink::mesh::reach::link::State;

use crate::host::HOPS;
use crate::invariants;
use crate::net::HostId;
use crate::program::Program;
use crate::scenario::{Name, Path, Scenario, Step, claim, oracle};
use crate::stage::Stage;

/// How often the tables are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long an echo may take: six ways of the slowest, through two hubs and back.
const ECHO_WITHIN: Duration = Duration::from_secs(3);
/// How long the tunnels to the hubs may take when nothing but WireGuard runs.
const TUNNEL_WITHIN: Duration = Duration::from_secs(20);

/// What an echo should show: from whom, to where, and by how many hubs at least and at most.
type Expected = (HostId, IpAddr, Option<(u8, u8)>);

/// Plays a scenario to its end; returns how long each step took, or what went wrong.
pub(crate) fn play(scenario: &Scenario, seed: u64) -> Result<Vec<Duration>, String> {
    let mut stage = Stage::new(scenario, seed);
    if std::env::var_os("WIRELINK_TRACE").is_some() {
        stage.world.begin_trace();
    }
    let played = play_on(&mut stage);
    if played.is_err() {
        println!("{}", stage.world.trace());
    }
    played.map_err(|why| format!("{} with seed {seed}: {why}", scenario.name))
}

/// Plays the script of a scenario that was built.
pub(crate) fn play_on(stage: &mut Stage<'_>) -> Result<Vec<Duration>, String> {
    arrive(stage, TUNNEL_WITHIN).map_err(|why| format!("before anything was started: {why}"))?;
    let mut took = Vec::new();
    for step in &stage.course.scenario().script {
        stage.act(step.act);
        let arrived = follow(stage, step).map_err(|why| format!("{:?}: {why}", step.act))?;
        took.push(arrived);
    }
    Ok(took)
}

/// Waits for what must follow from a step, and checks that it stays so; returns how long it took.
pub(crate) fn follow(stage: &mut Stage<'_>, step: &Step) -> Result<Duration, String> {
    let took = arrive(stage, step.within)?;
    invariants::check(&mut stage.world)?;
    let end = stage.world.now + step.hold;
    while stage.world.now < end {
        stage.run(LOOK_EVERY);
        let tables = expect_tables(stage).and_then(|()| expect_claims(stage));
        tables.map_err(|why| format!("it did not stay so: {why}"))?;
    }
    if !step.hold.is_zero() {
        expect_echoes(stage).map_err(|why| format!("it did not stay so: {why}"))?;
        invariants::check(&mut stage.world)?;
    }
    Ok(took)
}

/// Waits until everybody reaches everybody in the way that the oracle names; or says what is the case instead.
pub(crate) fn arrive(stage: &mut Stage<'_>, within: Duration) -> Result<Duration, String> {
    let began = stage.world.now;
    loop {
        let seen = stage.world.now;
        let tables = expect_tables(stage).and_then(|()| expect_claims(stage));
        let settled = tables.and_then(|()| expect_settled(stage));
        let arrived = settled.and_then(|()| expect_echoes(stage));
        let took = seen.since(began);
        match arrived {
            Ok(()) => return Ok(took),
            Err(why) if took >= within => return Err(format!("not within {within:?}: {why}")),
            Err(_) => stage.run(LOOK_EVERY),
        }
    }
}

/// Looks whether no leaf doubts a direct link: while no router can be reached, traffic stays where it was, and that is no arrival.
fn expect_settled(stage: &Stage<'_>) -> Result<(), String> {
    for (one, other) in stage.course.scenario().pairs() {
        if oracle::way(&stage.course, one, other) != Path::Direct {
            continue;
        }
        for (from, to) in [(one, other), (other, one)] {
            let key = stage.world.hosts[stage.id(to)].key;
            let node = stage.world.hosts[stage.id(from)].node.as_ref().and_then(Program::ours);
            let peers = node.map(|node| node.status(stage.world.now).peers).unwrap_or_default();
            let link = peers.iter().find(|peer| peer.peer.key == key);
            if link.is_some_and(|link| matches!(link.state, State::Suspect(_))) {
                return Err(format!("{from} doubts its link to {to}"));
            }
        }
    }
    Ok(())
}

/// Looks whether every leaf has the others where they should be.
fn expect_tables(stage: &Stage<'_>) -> Result<(), String> {
    for (one, other) in stage.course.scenario().pairs() {
        let way = oracle::way(&stage.course, one, other);
        for (from, to) in [(one, other), (other, one)] {
            for ipv6 in [false, true] {
                expect_table(stage, from, to, way, ipv6)?;
            }
        }
    }
    let members = stage.course.scenario().names();
    let (gone, members): (Vec<Name>, Vec<Name>) = members.into_iter().partition(|name| !stage.course.is_member(name));
    for (gone, member) in gone
        .iter()
        .flat_map(|gone| members.iter().map(move |member| (gone, member)))
    {
        let key = stage.world.hosts[stage.id(gone)].key;
        let host = &stage.world.hosts[stage.id(member)];
        let by_operator = host.config.peers.iter().any(|peer| peer.key == key);
        if !by_operator && host.tunnel.device().peers.contains_key(&key) {
            return Err(format!("{member} still has {gone} as a peer"));
        }
    }
    Ok(())
}

fn expect_table(stage: &Stage<'_>, from: Name, to: Name, way: Path, ipv6: bool) -> Result<(), String> {
    if way == Path::Nothing {
        return Ok(());
    }
    let Some(address) = stage.world.hosts[stage.id(to)].inner(ipv6) else {
        return Ok(());
    };
    let device = stage.world.hosts[stage.id(from)].tunnel.device();
    let fitting = device.peers.iter().flat_map(|(key, peer)| {
        let around = peer.allowed_ips.iter().filter(|prefix| prefix.contains(&address));
        around.map(move |prefix| (prefix.prefix_len(), *key))
    });
    let owner = fitting.max_by_key(|(length, _)| *length).map(|(_, key)| key);
    let name = |key| {
        stage
            .hosts()
            .into_iter()
            .find(|(_, id)| stage.world.hosts[*id].key == key)
    };
    let owner = owner.and_then(name).map(|(name, _)| name);
    let hubs = &stage.course.scenario().hubs;
    let is_right = match way {
        Path::Direct => owner == Some(to),
        Path::Hub if stage.luck && owner == Some(to) => true,
        Path::Hub | Path::Nothing => hubs.iter().any(|hub| owner == Some(hub.name)),
    };
    let wrong = || format!("{from} sends to {to} ({address}) by {owner:?}, which is not {way:?}");
    is_right.then_some(()).ok_or_else(wrong)
}

/// Looks whether what is claimed is programmed where it does no harm, and only there.
fn expect_claims(stage: &Stage<'_>) -> Result<(), String> {
    for (claim, at) in claim::heard(&stage.course) {
        let Some(expected) = claim.is_programmed(&stage.course, at) else {
            continue;
        };
        let claimant = stage.world.hosts[stage.id(claim.of)].key;
        let prefix = claim.prefix.parse().expect("a claim is a prefix");
        let owner = stage.world.hosts[stage.id(at)].tunnel.device().owner(&prefix);
        if (owner == Some(&claimant)) != expected {
            return Err(format!("{at} has {prefix} with {owner:?}: {claim:?}"));
        }
    }
    Ok(())
}

/// Lets everybody call everybody.
fn expect_echoes(stage: &mut Stage<'_>) -> Result<(), String> {
    let mut expected: Vec<(Name, Name, Expected)> = Vec::new();
    for (one, other) in stage.course.scenario().pairs() {
        let way = oracle::way(&stage.course, one, other);
        for (from, to) in [(one, other), (other, one)] {
            let hops = match way {
                Path::Direct => Some((0, 0)),
                // What is left is seen on the answer, which goes the other way.
                Path::Hub => Some((
                    u8::from(!stage.luck),
                    oracle::hubs_between(&stage.course, to, from).len() as u8,
                )),
                Path::Nothing => None,
            };
            let target = &stage.world.hosts[stage.id(to)];
            let addresses = [target.inner(false), target.inner(true)].into_iter().flatten();
            expected.extend(addresses.map(|address| (from, to, (stage.id(from), address, hops))));
        }
    }
    let numbers: Vec<u64> = expected
        .iter()
        .map(|(_, _, (from, address, _))| stage.world.ping(*from, *address))
        .collect();
    stage.run(ECHO_WITHIN);
    for ((from, to, (id, address, hops)), number) in expected.into_iter().zip(numbers) {
        let seen = stage.world.echo(id, number);
        let passed = seen.map(|left| HOPS - left);
        let is_right = match hops {
            Some((least, most)) => passed.is_some_and(|passed| (least..=most).contains(&passed)),
            None => passed.is_none(),
        };
        if !is_right {
            return Err(format!(
                "{from} to {to} ({address}): an echo through {hops:?} hubs is expected, not {passed:?}"
            ));
        }
    }
    Ok(())
}
