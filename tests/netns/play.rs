//! Plays the script of a scenario with real daemons, and looks from outside whether what must follow does.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::claims;
use crate::command;
use crate::lab::Lab;
use crate::look::{self, Watch};
use crate::scenario::course::Course;
use crate::scenario::{Act, Name, Path, Program, Scenario, Step};

/// How long a daemon may take to take its changes off the device and end.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// How long daemons may take until they listen.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// How long the tunnel to the hub may take when nothing but WireGuard runs.
const TUNNEL_WITHIN: Duration = Duration::from_secs(20);

/// How long a leaf may not reach its hub, whatever happens between the leaves.
const HUB_SILENCE: Duration = Duration::from_secs(5);

/// How long leaves may not reach each other while nothing happens.
const HOLD_SILENCE: Duration = Duration::from_secs(2);

/// How often it is looked whether somebody is forgotten, which takes minutes.
const FORGOTTEN_EVERY: Duration = Duration::from_secs(1);

/// How a scenario ends, if its script does not say.
const END: Step = Step {
    act: Act::StopAll,
    within: Duration::from_secs(20),
    hold: Duration::ZERO,
};

/// Plays a scenario to its end.
pub(crate) fn play(scenario: &Scenario) {
    play_and(scenario, |_| ());
}

/// Plays a scenario to its end, and looks once all daemons run and what must follow is there.
pub(crate) fn play_and(scenario: &Scenario, look: impl Fn(&Lab)) {
    let mut lab = Lab::build(scenario);
    let mut course = Course::new(scenario);
    let before = look::arrive(&lab, &look::ways(&course), TUNNEL_WITHIN);
    before.unwrap_or_else(|why| panic!("{}: before: {why}", scenario.name));
    lab.remember();
    if lab.names().iter().any(|name| lab.program(name) == Program::V1) {
        return play_beside_v1(&mut lab, course);
    }
    for step in scenario.script.iter().chain([&END]) {
        if step.act != Act::StopAll || lab.names().iter().any(|name| course.runs(name)) {
            course.take(step.act);
            take(&mut lab, &course, step);
        }
        if step.act == Act::StartAll {
            look(&lab);
        }
    }
    let gone: Vec<Name> = lab
        .leaves()
        .into_iter()
        .filter(|leaf| !course.is_member(leaf))
        .collect();
    lab.expect_as_found(&gone);
}

/// The same beside v1 nodes, which leave their devices as they are: ours keep what those still send to, and are as they were found once
/// that is taken away.
fn play_beside_v1(lab: &mut Lab, mut course: Course<'_>) {
    for step in &course.scenario().script {
        course.take(step.act);
        take(lab, &course, step);
    }
    act(lab, Act::StopAll);
    let ours = lab
        .names()
        .into_iter()
        .filter(|name| lab.program(name) == Program::Ours);
    ours.for_each(|name| lab.restore(name));
    lab.expect_as_found(&[]);
}

/// Takes one step of a script; the course has taken it already.
fn take(lab: &mut Lab, course: &Course<'_>, step: &Step) {
    let name = lab.scenario.name.clone();
    let pairs: Vec<Watch> = look::ways(course)
        .iter()
        .map(|(one, other, _)| Watch::start(lab, one, other))
        .collect();
    let hubs: Vec<Watch> = to_undisturbed_hubs(lab, course, step.act);
    let began = Instant::now();
    act(lab, step.act);
    // What a liar says of itself is its own affair.
    let ways = lab.without_liars(&look::ways(course));
    let fail = |why: String| -> ! {
        panic!(
            "{name}: {:?} must lead to {ways:?} within {:?}: {why}",
            step.act, step.within
        )
    };
    let within = step.within.saturating_sub(began.elapsed());
    let arrival = look::arrive(lab, &ways, within).unwrap_or_else(|why| fail(why));
    let took = (began.elapsed() - arrival.confirming).as_secs_f32();
    let left = step.within.saturating_sub(began.elapsed());
    expect_forgotten(lab, course, left).unwrap_or_else(|why| fail(why));
    let left = step.within.saturating_sub(began.elapsed());
    claims::arrive(lab, course, left).unwrap_or_else(|why| fail(why));
    let silence = pairs
        .into_iter()
        .map(Watch::end)
        .max()
        .unwrap_or_default()
        .as_secs_f32();
    let paths: Vec<Path> = ways.iter().map(|(_, _, path)| *path).collect();
    let act = step.act;
    println!("{name}: {act:?}: {paths:?} after {took:.1} s, longest silence {silence:.1} s");

    if !step.hold.is_zero() {
        let reach = ways.iter().filter(|(_, _, path)| *path != Path::Nothing);
        let pairs: Vec<Watch> = reach.map(|(one, other, _)| Watch::start(lab, one, other)).collect();
        let stayed = look::stay(lab, &ways, step.hold);
        stayed.unwrap_or_else(|why| fail(format!("and stay so for {:?}: {why}", step.hold)));
        let silence = expect_answers(&name, pairs, HOLD_SILENCE);
        println!("{name}: stayed so for {:?}, longest silence {silence:.1} s", step.hold);
    }
    let silence = expect_answers(&name, hubs, HUB_SILENCE);
    if silence > 0.0 {
        println!("{name}: longest silence of a hub {silence:.1} s");
    }
    check(lab, course);
}

/// Waits until nobody has those as peers any more who are no members.
fn expect_forgotten(lab: &Lab, course: &Course<'_>, within: Duration) -> Result<(), String> {
    let leaves = lab.leaves().into_iter();
    let gone: Vec<Name> = leaves.filter(|leaf| !course.is_member(leaf)).collect();
    let known = || {
        let members = lab.names().into_iter().filter(|name| course.is_member(name));
        let mut pairs = members.flat_map(|at| gone.iter().map(move |of| (at, *of)));
        pairs.find(|(at, of)| lab.peer(at, of).is_some())
    };
    let forgotten = command::until_every(FORGOTTEN_EVERY, within, || known().is_none().then_some(()));
    forgotten.ok_or_else(|| format!("who still knows whom: {:?}", known()))
}

/// Ends watches and returns the longest silence, in seconds.
fn expect_answers(scenario: &str, watches: Vec<Watch>, limit: Duration) -> f32 {
    let silences = watches.into_iter().map(|watch| {
        let (from, to) = (watch.from, watch.to);
        let silence = watch.end();
        assert!(
            silence <= limit,
            "{scenario}: {from} did not reach {to} for {silence:?}"
        );
        silence
    });
    silences.max().unwrap_or_default().as_secs_f32()
}

/// Watches the way of every leaf to its hubs, but where what happens now, or happened before, is in that way itself.
fn to_undisturbed_hubs(lab: &Lab, course: &Course<'_>, act: Act) -> Vec<Watch> {
    let touched = touched(act);
    let leaves = lab.leaves().into_iter().filter(|leaf| course.is_member(leaf));
    let pairs = leaves.flat_map(|leaf| lab.hubs_of(leaf).into_iter().map(move |hub| (leaf, hub)));
    let open = pairs.filter(|(leaf, hub)| {
        let between_leaves = matches!(act, Act::Cut(..) | Act::Heal(..)) && !touched.contains(hub);
        let left_alone = between_leaves || ![*leaf, *hub].iter().any(|name| touched.contains(name));
        left_alone && !course.is_cut(leaf, hub)
    });
    open.map(|(leaf, hub)| Watch::start(lab, leaf, hub)).collect()
}

/// Returns the hosts that something happens to.
fn touched(act: Act) -> Vec<Name> {
    match act {
        Act::StartAll | Act::StopAll | Act::Start(_) | Act::Stop(_) | Act::Lie(_) | Act::Wait => Vec::new(),
        Act::Reboot(name)
        | Act::Isolate(name)
        | Act::Rejoin(name)
        | Act::Roam(name, _)
        | Act::Renumber(name)
        | Act::Sleep(name, _)
        | Act::Attach(name)
        | Act::Detach(name)
        | Act::Revoke(name) => vec![name],
        Act::Cut(one, other) | Act::Heal(one, other) | Act::RoamBoth((one, _), (other, _)) => vec![one, other],
    }
}

/// Does what a step says.
pub(crate) fn act(lab: &mut Lab, act: Act) {
    match act {
        Act::StartAll => start_each(lab),
        Act::StopAll => {
            lab.silence_liars();
            let running = lab.running();
            stop(lab, &running);
        }
        Act::Start(name) => lab.start(name),
        Act::Stop(name) => stop(lab, &[name]),
        Act::Reboot(name) => lab.reboot(name),
        Act::Cut(one, other) => lab.network.cut(one, other),
        Act::Heal(one, other) => lab.network.heal(one, other),
        Act::Isolate(name) => lab.network.isolate(name),
        Act::Rejoin(name) => lab.network.rejoin(name),
        Act::Roam(name, site) => lab.network.roam(&[(name, site)]),
        Act::RoamBoth(one, other) => lab.network.roam(&[one, other]),
        Act::Renumber(hub) => lab.renumber(hub),
        Act::Sleep(name, time) => lab.sleep(name, time),
        Act::Revoke(name) => {
            stop(lab, &[name]);
            lab.revoke(name);
        }
        Act::Attach(name) => lab.attach(name),
        Act::Detach(name) => lab.detach(name),
        Act::Lie(name) => lab.lie(name),
        Act::Wait => {}
    }
}

/// Starts wirelink everywhere; v1 hubs last, and when the others listen: whom a v1 node tells something before that, it tells it again
/// after two minutes.
fn start_each(lab: &mut Lab) {
    let is_old_hub = |lab: &Lab, name: Name| lab.is_hub(name) && lab.program(name) == Program::V1;
    let (last, first): (Vec<Name>, Vec<Name>) = lab.names().into_iter().partition(|name| is_old_hub(lab, name));
    first.into_iter().for_each(|name| lab.start(name));
    if !last.is_empty() {
        std::thread::sleep(READY_WITHIN);
    }
    last.into_iter().for_each(|name| lab.start(name));
}

/// Stops daemons at once; each must end well.
pub(crate) fn stop(lab: &mut Lab, names: &[Name]) {
    for name in names {
        assert!(
            lab.daemon(name).catches(Signal::TERM, STOP_WITHIN),
            "{name}: wirelink does not run"
        );
        lab.daemon(name).signal(Signal::TERM);
    }
    for name in names {
        let status = lab.daemon(name).ended(STOP_WITHIN);
        assert_eq!(
            status.and_then(|status| status.code()),
            Some(0),
            "{name}: the end of wirelink"
        );
    }
}

/// Checks what must hold at any time.
pub(crate) fn check(lab: &mut Lab, course: &Course<'_>) {
    let running: Vec<Name> = lab.names().into_iter().filter(|name| course.runs(name)).collect();
    assert_eq!(lab.running(), running, "where wirelink runs");
    let liars = lab.liars();
    for name in lab.names() {
        if lab.program(name) == Program::Ours {
            assert_eq!(lab.by_hand_changed(name), None);
        }
        if !liars.is_empty() && !liars.contains(&name) {
            assert_eq!(lab.believed(name), None);
        }
        let log = lab.log(name);
        let bad = log
            .lines()
            .find(|line| line.contains("ERROR") || line.contains("panicked"));
        assert_eq!(bad, None, "{name}: in the log of wirelink");
    }
    claims::expect_told(lab, course);
}

/// Plays that wirelink was started everywhere, and waits for the ways of the oracle.
pub(crate) fn start_all(lab: &mut Lab, within: Duration) {
    let scenario = lab.scenario.clone();
    let mut course = Course::new(&scenario);
    let step = Step {
        act: Act::StartAll,
        within,
        hold: Duration::ZERO,
    };
    course.take(step.act);
    take(lab, &course, &step);
}
