//! How soon two nodes link directly, from the moment in which both know of each other.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::base::prefix::is_reserved;
use wirelink::mesh::base::time::Timestamp;

use crate::draw::Draw;
use crate::net::{HostId, Quality};
use crate::program::Program;
use crate::scenario::border::Border;
use crate::scenario::{Act, Scenario, table};
use crate::scenario::{Name, oracle};
use crate::stage::Stage;
use crate::world::World;
use crate::{invariants, play};

/// A quarter of a round trip of 50 ms: from a site to the middle.
const QUARTER: Quality = Quality {
    latency: Duration::from_micros(12_500),
    ..Quality::ACCESS
};
const STEP: Duration = Duration::from_millis(5);
const SEEDS: u64 = 100;

/// Seven addresses that lead nowhere, of all classes: networks that both leaves have, and so try first, IPv6 and IPv4.
const DEAD_ENDS: [&str; 7] = [
    "10.88.0.0/16",
    "10.89.0.0/16",
    "172.28.3.0/24",
    "2001:db8:dead::/64",
    "2001:db8:beef::/64",
    "192.0.2.128/32",
    "198.51.100.64/32",
];

/// Returns how long the two leaves of a scenario take from the moment in which both know of each other; `None` where it is more than a minute.
fn time_to_direct(scenario: &Scenario, seed: u64) -> Option<Duration> {
    time_on(&mut Stage::new(scenario, seed), seed)
}

/// The same where each leaf has seven candidates more, all of them dead.
fn time_among_dead_ends(scenario: &Scenario, seed: u64) -> Option<Duration> {
    let mut stage = Stage::new(scenario, seed);
    for (number, name) in [(1, "a"), (2, "b")] {
        let id = stage.id(name);
        stage.world.hosts[id].dead_ends = DEAD_ENDS.iter().map(|net| nth(net, number)).collect();
    }
    time_on(&mut stage, seed)
}

/// Returns the address of that number in a network; a single address is its own, and another one for each number.
fn nth(net: &str, number: u8) -> IpNet {
    let net: IpNet = net.parse().expect("a network");
    let address = match net.addr() {
        IpAddr::V4(v4) => IpAddr::from(Ipv4Addr::from(u32::from(v4) + u32::from(number))),
        IpAddr::V6(v6) => IpAddr::from(Ipv6Addr::from(u128::from(v6) + u128::from(number))),
    };
    IpNet::new(address, net.prefix_len()).expect("the length fits the family")
}

pub(crate) fn time_on(stage: &mut Stage<'_>, seed: u64) -> Option<Duration> {
    if std::env::var_os("WIRELINK_TRACE").is_some() {
        stage.world.begin_trace();
    }
    stage.set_quality(QUARTER);
    for hub in &stage.course.scenario().hubs {
        stage.act(Act::Start(hub.name));
    }
    stage.act(Act::Start("a"));
    let later = Draw::new(seed).branch(9).next() % 30_000;
    stage.run(Duration::from_secs(30) + Duration::from_millis(later));
    stage.act(Act::Start("b"));
    let (a, b) = (stage.id("a"), stage.id("b"));
    let both = |world: &World, holds: fn(&World, HostId, HostId) -> bool| holds(world, a, b) && holds(world, b, a);
    let known = wait(stage, |world| both(world, knows))?;
    let direct = wait(stage, |world| both(world, sends_directly));
    if std::env::var_os("WIRELINK_TRACE").is_some() {
        println!("{}", stage.world.trace());
    }
    Some(direct?.since(known))
}

fn wait(stage: &mut Stage<'_>, holds: impl Fn(&World) -> bool) -> Option<Timestamp> {
    let until = stage.world.now + Duration::from_secs(60);
    while !holds(&stage.world) {
        if stage.world.now > until {
            return None;
        }
        stage.run(STEP);
    }
    Some(stage.world.now)
}

fn knows(world: &World, one: HostId, other: HostId) -> bool {
    world.hosts[one].tunnel.device().peers.contains_key(&key(world, other))
}

pub(crate) fn sends_directly(world: &World, one: HostId, other: HostId) -> bool {
    let peer = world.hosts[one].tunnel.device().peers.get(&key(world, other));
    peer.is_some_and(|peer| peer.allowed_ips.iter().any(|prefix| !is_reserved(prefix)))
}

fn key(world: &World, id: HostId) -> PublicKey {
    world.hosts[id].key
}

/// How long many runs of one scenario took, in rising order; a minute where it was longer.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn of(scenario: &Scenario, seeds: u64, time: impl Fn(&Scenario, u64) -> Option<Duration>) -> Self {
        let never = Duration::from_secs(60);
        let times = (0..seeds).map(|seed| time(scenario, seed).unwrap_or(never));
        let mut times: Vec<Duration> = times.collect();
        times.sort();
        Self(times)
    }

    pub(crate) fn at(&self, percent: usize) -> Duration {
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }

    /// Returns whether the median is above 0.4 s, or the 95th percentile above a second.
    fn is_slow(&self) -> bool {
        self.at(50) > Duration::from_millis(400) || self.at(95) > Duration::from_secs(1)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (median, most, worst) = (self.at(50), self.at(95), self.at(100));
        write!(f, "median {median:?}, 95 % {most:?}, worst {worst:?}")
    }
}

/// All that Linux can be, in full.
fn pairs_of_linux() -> Vec<Scenario> {
    let pairs = [
        table::all(),
        table::matrix_of_linux(),
        vec![table::carrier(), table::native_ipv6()],
    ];
    pairs.concat().into_iter().filter(is_possible).collect()
}

/// Measures all scenarios, on all cores; the slowest comes first.
fn measure(scenarios: &[Scenario], seeds: u64, time: fn(&Scenario, u64) -> Option<Duration>) -> Vec<(String, Times)> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = scenarios.len().div_ceil(cores).max(1);
    let mut all: Vec<(String, Times)> = std::thread::scope(|scope| {
        let parts = scenarios.chunks(share).map(|part| {
            let of = move |scenario: &Scenario| (scenario.name.clone(), Times::of(scenario, seeds, time));
            scope.spawn(move || part.iter().map(of).collect::<Vec<_>>())
        });
        let parts: Vec<_> = parts.collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().expect("no run panics"))
            .collect()
    });
    all.sort_by_key(|(_, times)| std::cmp::Reverse((times.at(95), times.at(50))));
    all
}

#[track_caller]
fn expect_fast(measured: &[(String, Times)]) {
    for (name, times) in measured.iter().take(40) {
        println!("{name}: {times}");
    }
    let slow = measured.iter().filter(|(_, times)| times.is_slow());
    let slow: Vec<String> = slow.map(|(name, times)| format!("{name}: {times}")).collect();
    assert!(slow.is_empty(), "{} of {}: {slow:#?}", slow.len(), measured.len());
}

#[test]
fn every_pair_that_can_be_direct_links_within_a_second() {
    let scenarios = pairs_of_linux();
    assert!(scenarios.len() > 12, "most of them");
    expect_fast(&measure(&scenarios, SEEDS, time_to_direct));
}

#[test]
fn seven_dead_candidates_beside_the_one_that_works_cost_next_to_nothing() {
    expect_fast(&measure(&pairs_of_linux(), SEEDS, time_among_dead_ends));
}

/// The pairs of the matrix that the oracle calls possible, in all words of RFC 4787.
fn pairs_of_rfc_4787() -> Vec<Scenario> {
    let scenarios = table::matrix_of_rfc_4787();
    assert_eq!(scenarios.len(), 496);
    scenarios.into_iter().filter(is_possible).collect()
}

/// Of three runs one may be among the few in a hundred in which a datagram crosses another: the 95th percentile takes a hundred.
#[test]
fn every_pair_of_rfc_4787_that_can_be_direct_links_within_two_seconds() {
    let measured = measure(&pairs_of_rfc_4787(), 3, time_to_direct);
    let is_slow = |times: &Times| times.at(50) > Duration::from_millis(400) || times.at(100) > Duration::from_secs(2);
    let slow = measured.iter().filter(|(_, times)| is_slow(times));
    let slow: Vec<String> = slow.map(|(name, times)| format!("{name}: {times}")).collect();
    assert!(slow.is_empty(), "{} of {}: {slow:#?}", slow.len(), measured.len());
}

/// The same a hundred times for each: `tests/run slow` plays it, optimised.
#[test]
#[ignore = "some minutes, optimised"]
fn every_pair_of_rfc_4787_that_can_be_direct_links_within_a_second_a_hundred_times() {
    expect_fast(&measure(&pairs_of_rfc_4787(), SEEDS, time_to_direct));
}

pub(crate) fn is_possible(scenario: &Scenario) -> bool {
    let stage = Stage::new(scenario, 1);
    oracle::can_be_direct(&stage.course, "a", "b")
}

/// The fallback: one candidate for each handshake slot.
#[test]
fn without_raw_sockets_on_one_side_or_both_it_takes_longer_and_says_why() {
    let scenario = table::home_home();
    for without in [["a", "b"].as_slice(), &["a"], &["b"]] {
        let mut stage = Stage::new(&scenario, 1);
        for name in without {
            let id = stage.id(name);
            stage.world.hosts[id].config.probes = false;
        }
        stage.act(Act::Start("hub"));
        stage.act(Act::Start("a"));
        stage.run(Duration::from_secs(10));
        stage.act(Act::Start("b"));
        stage.run(Duration::from_millis(300));
        let why = |name: Name| status(&stage, name);
        for name in ["a", "b"] {
            let reason = if without.contains(&name) {
                "CAP_NET_RAW is missing"
            } else {
                "announces no probes"
            };
            assert!(why(name).contains(reason), "{name} of {without:?}: {}", why(name));
        }
        play::arrive(&mut stage, Duration::from_secs(30)).unwrap_or_else(|why| panic!("{without:?}: {why}"));
        invariants::check(&mut stage.world).unwrap();
    }
}

/// Returns what a node says of itself.
pub(crate) fn status(stage: &Stage<'_>, name: Name) -> String {
    let node = stage.world.hosts[stage.id(name)].node.as_ref().and_then(Program::ours);
    let status = node.map(|node| node.status(stage.world.now).to_string());
    status.unwrap_or_default()
}

/// Neither of two symmetric NATs shows a port at which the other side could be met; two hubs tell that they are symmetric.
#[test]
fn a_pair_that_cannot_work_says_why_and_is_left_alone() {
    let mut scenario = table::two_hubs();
    scenario
        .sites
        .iter_mut()
        .for_each(|site| (site.border, site.ipv6) = (Border::SYMMETRIC, None));
    let mut stage = Stage::new(&scenario, 1);
    stage.act(Act::StartAll);
    stage.run(Duration::from_secs(600));
    for name in ["a", "b"] {
        let status = status(&stage, name);
        assert!(status.contains("neither side can be met"), "{status}");
    }
    let a = stage.id("a");
    let before = stage.world.hosts[a].wire_sent.packets;
    stage.run(Duration::from_secs(600));
    let sent = stage.world.hosts[a].wire_sent.packets - before;
    assert!(sent < 600, "{sent} packets in ten minutes");
    invariants::check(&mut stage.world).unwrap();
}
