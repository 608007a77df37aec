//! A flow of packets each way, and what becomes of them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::lab::Lab;
use crate::scenario::Name;

/// The time between two packets: 200 a second.
const EVERY: Duration = Duration::from_millis(5);

/// How long a receiver waits before it looks whether it is over.
const LISTEN: Duration = Duration::from_millis(50);

const PORT: u16 = 4010;

/// When the packets of one direction, by number, left and arrived.
#[derive(Debug, Default)]
struct Record {
    sent: Vec<Instant>,
    /// The first arrival of each.
    arrived: BTreeMap<u64, Instant>,
}

/// A flow in both directions; it ends when this is dropped.
pub(crate) struct Flow {
    /// From the one to the other, and back.
    records: [Arc<Mutex<Record>>; 2],
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What became of one direction in some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) lost: usize,
    /// The longest time between two arrivals.
    pub(crate) gap: Duration,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lost and {} ms without any", self.lost, self.gap.as_millis())
    }
}

impl Flow {
    pub(crate) fn start(lab: &Lab, one: Name, other: Name) -> Self {
        let ends = [one, other].map(|name| socket(lab, name));
        let addresses = ends.each_ref().map(|end| end.local_addr().expect("it is bound"));
        let mut flow = Self {
            records: [Arc::default(), Arc::default()],
            over: Arc::default(),
            threads: Vec::new(),
        };
        for (from, to) in [(0, 1), (1, 0)] {
            let (socket, address) = (copy(&ends[from]), addresses[to]);
            let (record, over) = (Arc::clone(&flow.records[from]), Arc::clone(&flow.over));
            flow.threads
                .push(std::thread::spawn(move || send(&socket, address, &record, &over)));
            let socket = copy(&ends[to]);
            let (record, over) = (Arc::clone(&flow.records[from]), Arc::clone(&flow.over));
            flow.threads
                .push(std::thread::spawn(move || receive(&socket, &record, &over)));
        }
        flow
    }

    /// Returns whether packets arrived on both sides lately, most of them.
    pub(crate) fn is_alive(&self) -> bool {
        const LATELY: Duration = Duration::from_millis(250);
        let now = Instant::now();
        let enough = (LATELY.as_micros() / EVERY.as_micros() / 2) as usize;
        self.records.iter().all(|record| {
            let record = record.lock().expect("nobody panics");
            let arrivals = record.arrived.values().rev();
            arrivals.take_while(|at| now - **at < LATELY).count() >= enough
        })
    }

    /// Returns what became of both directions between two moments; the later one should be some time ago.
    pub(crate) fn outcome(&self, from: Instant, until: Instant) -> [Outcome; 2] {
        self.records.each_ref().map(|record| {
            let record = record.lock().expect("nobody panics");
            outcome(&record, from, until)
        })
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn outcome(record: &Record, from: Instant, until: Instant) -> Outcome {
    let within = |at: &Instant| (from..until).contains(at);
    let sent = (0u64..).zip(&record.sent).filter(|(_, at)| within(at));
    let lost = sent.filter(|(number, _)| !record.arrived.contains_key(number)).count();
    let mut arrivals: Vec<Instant> = record.arrived.values().copied().filter(within).collect();
    arrivals.extend([from, until]);
    arrivals.sort();
    let gaps = arrivals.windows(2).map(|pair| pair[1] - pair[0]);
    Outcome {
        lost,
        gap: gaps.max().unwrap_or_default(),
    }
}

fn socket(lab: &Lab, name: Name) -> UdpSocket {
    let address = SocketAddr::new(IpAddr::V4(lab.inner(name).v4), PORT);
    let socket = lab.namespace(name).inside(|| UdpSocket::bind(address));
    let socket = socket.unwrap_or_else(|error| panic!("{name}: {address}: {error}"));
    socket.set_read_timeout(Some(LISTEN)).expect("a socket has this option");
    socket
}

fn copy(socket: &UdpSocket) -> UdpSocket {
    socket.try_clone().expect("an open socket can be duplicated")
}

fn send(socket: &UdpSocket, to: SocketAddr, record: &Mutex<Record>, over: &AtomicBool) {
    let mut next = Instant::now();
    for number in 0u64.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        record.lock().expect("nobody panics").sent.push(Instant::now());
        // Without a way it is refused, and so lost.
        let _ = socket.send_to(&number.to_be_bytes(), to);
        next += EVERY;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn receive(socket: &UdpSocket, record: &Mutex<Record>, over: &AtomicBool) {
    let mut buffer = [0; 8];
    while !over.load(Ordering::Relaxed) {
        if let Ok((8, _)) = socket.recv_from(&mut buffer) {
            let (number, now) = (u64::from_be_bytes(buffer), Instant::now());
            record
                .lock()
                .expect("nobody panics")
                .arrived
                .entry(number)
                .or_insert(now);
        }
    }
}
