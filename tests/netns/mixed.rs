//! Beside the deployed program itself, wirelink v1, which `V1_WIRELINK` names. Without it these tests say so and pass: the simulator has
//! them with the model of it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::command::{self, Process, until_every};
use crate::lab::Lab;
use crate::lab::others::v1_program;
use crate::look;
use crate::play;
use crate::scenario::table::public_public;
use crate::scenario::table::v1;
use crate::scenario::{Leaf, Name, Path, Program, Scenario};

/// How long any link with v1 may take.
const LINKED: Duration = Duration::from_secs(60);
/// How long a v1 node runs until it has looked at its device twice.
const TWO_TICKS: Duration = Duration::from_secs(11);
/// Echo requests a second, as users send them here.
const RATE: u32 = 20;

/// Returns a hub and two leaves on public addresses, or `None`, after saying so, where there is no v1.
fn lab(test: &str, hub: Program, leaves: [Program; 2]) -> Option<Lab> {
    if v1_program().is_none() {
        println!("mixed::{test}: skipped, V1_WIRELINK names no program");
        return None;
    }
    let mut scenario: Scenario = public_public();
    scenario.name = format!("mixed-{test}");
    scenario.hubs[0].program = hub;
    let programs = scenario.leaves.into_iter().zip(leaves);
    scenario.leaves = programs.map(|(leaf, program)| Leaf { program, ..leaf }).collect();
    let lab = Lab::build(&scenario);
    look::arrive(&lab, &look::all_by(&lab, Path::Hub), LINKED).expect("the hub forwards");
    Some(lab)
}

/// Waits until both leaves send directly.
#[track_caller]
fn is_direct(lab: &Lab) -> Duration {
    let began = Instant::now();
    let both = || {
        [("a", "b"), ("b", "a")]
            .into_iter()
            .all(|(at, of)| sends_directly(lab, at, of))
    };
    let came = until_every(Duration::from_millis(20), LINKED, || both().then_some(()));
    assert_eq!(came, Some(()), "the leaves do not meet: {}", lab.log("a"));
    began.elapsed()
}

fn sends_directly(lab: &Lab, at: Name, of: Name) -> bool {
    let peer = lab.peer(at, of);
    peer.is_some_and(|peer| {
        lab.inner(of)
            .own()
            .iter()
            .all(|prefix| peer.allowed_ips.contains(prefix))
    })
}

/// A user of one leaf who sends to the other.
struct User(Process);

impl User {
    fn of(lab: &Lab, from: Name, to: Name) -> Self {
        let address = IpAddr::V4(lab.inner(to).v4);
        let line = format!("ping -n -q -i {} -W 1 {address}", 1.0 / f64::from(RATE));
        let mut ping = lab.spawn(from, &line, &format!("{from}-{to}-user.ping"));
        ping.catches(Signal::INT, Duration::from_secs(20));
        Self(ping)
    }

    /// Returns how many requests were sent, and how many of them were lost.
    fn end(mut self) -> (u32, u32) {
        self.0.signal(Signal::INT);
        self.0.ended(Duration::from_secs(5));
        let output = self.0.output();
        let line = output.lines().find(|line| line.contains("packets transmitted"));
        let numbers = line.unwrap_or_else(|| panic!("ping counts: {output}")).split(", ");
        let mut numbers = numbers.filter_map(|part| part.split(' ').next()?.parse::<u32>().ok());
        let sent = numbers.next().expect("how many were sent");
        (sent, sent - numbers.next().expect("how many came back"))
    }
}

#[track_caller]
fn stop(lab: &mut Lab, name: Name) {
    lab.daemon(name).signal(Signal::TERM);
    let status = lab.daemon(name).ended(Duration::from_secs(15));
    assert!(status.is_some(), "{name} stops: {}", lab.log(name));
}

#[test]
fn leaves_of_ours_beside_v1_hub_do_not_wait_for_its_tick() {
    let Some(mut lab) = lab("hub", Program::V1, [Program::Ours, Program::Ours]) else {
        return;
    };
    lab.start("hub");
    std::thread::sleep(TWO_TICKS);
    lab.start("b");
    std::thread::sleep(TWO_TICKS);
    lab.start("a");
    let took = is_direct(&lab);
    println!("mixed: direct {took:?} after the second leaf was started beside a v1 hub");
    assert!(took < Duration::from_millis(2500), "{took:?}");
}

#[test]
fn moving_with_v1_leaf_loses_next_to_nothing() {
    let Some(mut lab) = lab("move", Program::Ours, [Program::Ours, Program::V1]) else {
        return;
    };
    lab.start("hub");
    lab.start("b");
    std::thread::sleep(TWO_TICKS);
    let users = [User::of(&lab, "a", "b"), User::of(&lab, "b", "a")];
    lab.start("a");
    let took = is_direct(&lab);
    std::thread::sleep(TWO_TICKS);
    let lost = users.map(User::end);
    println!("mixed: direct after {took:?}, sent and lost on the way there: {lost:?}");
    assert!(lost.iter().all(|(_, lost)| *lost <= RATE / 2), "{lost:?}");
}

#[test]
fn stop_beside_v1_leaf_loses_nothing() {
    let Some(mut lab) = lab("stop", Program::V1, [Program::Ours, Program::V1]) else {
        return;
    };
    lab.remember();
    ["hub", "b", "a"].into_iter().for_each(|name| lab.start(name));
    is_direct(&lab);
    std::thread::sleep(TWO_TICKS);
    let users = [User::of(&lab, "a", "b"), User::of(&lab, "b", "a")];
    stop(&mut lab, "a");
    std::thread::sleep(Duration::from_secs(20));
    let lost = users.map(User::end);
    println!("mixed: sent and lost after a stop: {lost:?}");
    assert!(lost.iter().all(|(_, lost)| *lost == 0), "{lost:?}");
    assert!(
        lab.log("a").contains("wirelink v1 there goes on to send here directly"),
        "{}",
        lab.log("a")
    );
    // The next daemon takes it up and loses nothing either.
    let users = [User::of(&lab, "a", "b"), User::of(&lab, "b", "a")];
    lab.start("a");
    std::thread::sleep(Duration::from_secs(20));
    stop(&mut lab, "a");
    let lost = users.map(User::end);
    println!("mixed: sent and lost after another start and stop: {lost:?}");
    assert!(lost.iter().all(|(_, lost)| *lost <= 2), "{lost:?}");
    lab.restore("a");
    assert!(lab.peer("a", "b").is_none());
    lab.expect_as_found_on("a");
}

#[test]
#[ignore = "takes eight minutes: signs of life of v1 count for 255 s"]
fn v1_leaf_whose_daemon_ends_stays_direct() {
    let Some(mut lab) = lab("end", Program::Ours, [Program::Ours, Program::V1]) else {
        return;
    };
    ["hub", "b", "a"].into_iter().for_each(|name| lab.start(name));
    is_direct(&lab);
    std::thread::sleep(TWO_TICKS);
    lab.daemon("b").kill();
    let users = [User::of(&lab, "a", "b"), User::of(&lab, "b", "a")];
    let moved = command::until_every(Duration::from_secs(1), Duration::from_secs(450), || {
        (!sends_directly(&lab, "a", "b")).then_some(())
    });
    let lost = users.map(User::end);
    println!("mixed: sent and lost in 450 s after a v1 daemon was killed: {lost:?}");
    assert_eq!(moved, None, "{}", lab.log("a"));
    assert!(lost.iter().all(|(_, lost)| *lost <= 2), "{lost:?}");
}

#[test]
fn whole_network_with_v1_hub_meets_and_stays() {
    if lab("v1-hub", Program::V1, [Program::Ours, Program::V1]).is_some() {
        play::play(&v1::v1_hub_for_a_minute());
    }
}

#[test]
fn whole_network_with_v1_leaf_meets_and_stays() {
    if lab("v1-leaf", Program::Ours, [Program::V1, Program::Ours]).is_some() {
        play::play(&v1::v1_leaf_for_a_minute());
    }
}
