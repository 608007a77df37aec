//! Datagrams that may be probes, as far as the kernel sees, from one address, at the port of a node with two live links.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use wirelink::mesh::reach::probe::wire::{self, MIN_VEILED};

use crate::eye::Eyes;
use crate::lab::Lab;
use crate::options::Options;
use crate::processor;
use crate::scenario;
use crate::scenario::border::Border;
use crate::scenario::{Leaf, Name, Program, Scenario, Site};
use crate::stage;
use crate::table::{self as figures, Figures, Table};
use crate::tunnel::PORT;

/// Datagrams a second.
const RATE: u64 = 100_000;

/// How long a flood is, and the quiet before it.
const TIME: Duration = Duration::from_secs(5);

/// How many are sent between two looks at the clock.
const AT_ONCE: u64 = 50;

/// At whom it is aimed, and from whom it comes: a host of which nobody knows more than that it is a leaf.
const TARGET: Name = "a";
const STRANGER: Name = "d";

/// What was measured in all floods.
#[derive(Default)]
struct Rows {
    /// What came to the target's machine, a second.
    rate: Figures,
    quiet: Figures,
    flooded: Figures,
    answers: u64,
    learnt: bool,
    lost_links: usize,
}

/// Measures as many floods as there are to be runs, one after the other.
pub(crate) fn measure(options: &Options) -> Table {
    let mut table = Table::new(
        "A flood of probes that nobody asked for; the processor in % of a core, median / worst",
        &[
            "links",
            "floods of 5 s",
            "arrived a second",
            "wirelink before",
            "wirelink meanwhile",
            "answers",
            "device changed",
            "links given up",
        ],
    );
    if !options.wants("flood") {
        return table;
    }
    let mut lab = stage::build(&scenario(), options, &[TARGET, "c"], |_| ());
    let pairs = [stage::SECOND, "c"].map(|other| Eyes::open(&lab, TARGET, other));
    lab.start(stage::SECOND);
    let are_direct = pairs.each_ref().map(|eyes| eyes.direct(stage::LIMIT).is_some());
    let mut rows = Rows::default();
    for run in 1..=options.runs {
        flood(&mut lab, &pairs, run, &mut rows);
    }
    table.row(vec![
        are_direct.iter().filter(|direct| **direct).count().to_string(),
        rows.rate.runs().to_string(),
        figures::shown(rows.rate.median(), 0),
        rows.quiet.both(1),
        rows.flooded.both(1),
        rows.answers.to_string(),
        if rows.learnt { "yes" } else { "no" }.to_owned(),
        rows.lost_links.to_string(),
    ]);
    table
}

/// A public leaf with two others behind home routers, and a public host without wirelink.
fn scenario() -> Scenario {
    let leaf = |name, site| Leaf {
        name,
        program: Program::Ours,
        site,
        hubs: vec![0],
    };
    let site = |border| Site {
        border,
        behind: None,
        ipv6: None,
    };
    Scenario {
        sites: [Border::Open, Border::HOME, Border::HOME, Border::Open]
            .map(site)
            .into(),
        leaves: vec![leaf(TARGET, 0), leaf(stage::SECOND, 1), leaf("c", 2), leaf(STRANGER, 3)],
        ..scenario::table::public_public()
    }
}

fn flood(lab: &mut Lab, pairs: &[Eyes; 2], run: usize, rows: &mut Rows) {
    let process = lab.daemon(TARGET).id();
    let share = |began: Instant, before: Duration| {
        let spent = processor::time_of(process) - before;
        spent.as_secs_f64() * 100.0 / began.elapsed().as_secs_f64()
    };
    let (began, before) = (Instant::now(), processor::time_of(process));
    std::thread::sleep(TIME);
    let quiet = share(began, before);

    let (known, log) = (known(lab), lab.log(TARGET).len());
    let stranger = stranger(lab);
    let (began, before) = (Instant::now(), processor::time_of(process));
    let arrived = arrived(lab);
    send(&stranger, TIME);
    let flooded = share(began, before);
    let rate = (self::arrived(lab) - arrived) as f64 / began.elapsed().as_secs_f64();

    let answers = std::iter::from_fn(|| stranger.recv(&mut [0; 2048]).ok()).count() as u64;
    let learnt = self::known(lab) != known;
    let log = lab.log(TARGET)[log..].to_owned();
    let given_up = log
        .lines()
        .filter(|line| line.contains("is suspect") || line.contains("is lost"));
    let given_up = given_up.count() + pairs.iter().filter(|eyes| !eyes.show_direct()).count();
    println!(
        "flood {run}: {rate:.0} datagrams arrived a second, wirelink {quiet:.1} % before and {flooded:.1} % meanwhile, {answers} answers, \
         device changed: {learnt}, links given up: {given_up}"
    );
    rows.rate.add(Some(rate));
    rows.quiet.add(Some(quiet));
    rows.flooded.add(Some(flooded));
    rows.answers += answers;
    rows.learnt |= learnt;
    rows.lost_links += given_up;
}

/// Returns how many packets came to the target so far, outside of the tunnel.
fn arrived(lab: &Lab) -> u64 {
    let counters = lab.namespace(TARGET).run("cat /proc/net/dev");
    let line = counters.lines().find_map(|line| line.trim().strip_prefix("eth0:"));
    let packets = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    packets.expect("a counter of packets")
}

/// Returns what the target has of all its peers that a probe could change.
fn known(lab: &Lab) -> BTreeMap<String, String> {
    let device = lab.device(TARGET).expect("the device can be read");
    let peers = device.peers.into_iter();
    let shown = peers.map(|(key, peer)| (key, format!("{:?} {:?}", peer.endpoint, peer.allowed_ips)));
    shown.collect()
}

/// Makes the socket that sends; what the kernel says of earlier datagrams is passed over.
fn stranger(lab: &Lab) -> UdpSocket {
    let target = format!("{}:{PORT}", lab.network.public_address(TARGET));
    let made = lab.namespace(STRANGER).inside(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(&target)?;
        socket.set_nonblocking(true).map(|()| socket)
    });
    made.unwrap_or_else(|error| panic!("{target}: {error}"))
}

/// Sends at the rate, as far as the machine can.
fn send(socket: &UdpSocket, time: Duration) {
    let (began, mut sent, mut datagram) = (Instant::now(), 0u64, forged());
    while began.elapsed() < time {
        let due = began.elapsed().as_micros() as u64 * RATE / 1_000_000;
        if sent >= due {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        for _ in 0..AT_ONCE {
            // Another nonce and another pair each time: nothing of it may be remembered.
            let number = sent.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            datagram[8..16].copy_from_slice(&number);
            datagram[24..32].copy_from_slice(&number);
            sent += u64::from(socket.send(&datagram).is_ok());
        }
    }
}

/// Makes a probe as anybody can who knows the source: nobody without the key of a pair can tell that it is none.
fn forged() -> [u8; MIN_VEILED] {
    let datagram = [0x55; MIN_VEILED];
    assert!(wire::is_possible(&datagram), "the kernel's filter must let it through");
    datagram
}
