//! The world: machines on a network, and one virtual clock.
//!
//! Everything happens in the order of (time, sequence), so the same seed gives the same course of events, byte for byte. The
//! node is driven as the daemon does it: what is due comes first, the device is read before a deadline, and what the node wants is
//! done in its order, at once.

mod acts;
mod shell;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::base::settings::Host as Endpoint;
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::show::event::{Input, Output};

use crate::draw::Draw;
use crate::host::Host;
use crate::net::{Flight, HostId, Net};
use crate::trace::Trace;
use crate::wireguard::{Effect, Message};

/// How many events a machine may have in a second of simulated time, on average over a run: far more than any has.
const EVENTS_PER_SECOND: u64 = 5_000;

/// Machines, the network between them, and what is about to happen.
pub(crate) struct World {
    /// The clock.
    pub(crate) now: Timestamp,
    /// The machines.
    pub(crate) hosts: Vec<Host>,
    /// The network.
    pub(crate) net: Net,
    /// Which of the machines are STUN servers.
    pub(crate) servers: BTreeMap<HostId, StunServer>,
    /// Whether events and changes are kept with the hosts.
    pub(crate) records: bool,
    /// Whether somebody lies: then it is no fault that something is refused.
    pub(crate) lies: bool,
    /// Whether some way takes no long packets: then it is no fault that it is said.
    pub(crate) narrow: bool,
    /// What is claimed where it does harm: that is refused.
    pub(crate) claimed: Vec<IpNet>,
    /// What broke an invariant.
    pub(crate) violations: Vec<String>,
    /// How many events there were.
    pub(crate) events: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    draw: Draw,
    echoes: u64,
    trace: Option<String>,
    /// What nodes want done goes into this hash, where there is one.
    pub(crate) hashed: Option<Trace>,
    /// Probes as they were sent, and by whom, where a test looks at them.
    pub(crate) probes: Option<Vec<(HostId, Vec<u8>)>>,
}

/// What a STUN server does (RFC 8489).
#[derive(Clone, Copy, Debug)]
pub(crate) struct StunServer {
    /// From which machine it answers: a sound one from where it was asked.
    pub(crate) answers_from: HostId,
    /// What it says, whatever it sees.
    pub(crate) says: Option<SocketAddr>,
    /// How often it was asked.
    pub(crate) asked: u64,
}

/// Something that is about to happen.
struct Entry {
    at: Timestamp,
    sequence: u64,
    what: What,
}

enum What {
    /// A packet comes to the border of its destination.
    Arrive(Flight, Message),
    /// A machine has something to do.
    Due(HostId),
    /// A machine wakes up.
    Awaken(HostId),
    /// A name was looked up, with an answer or without.
    Resolved(HostId, Endpoint, bool),
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl World {
    /// Makes an empty world, an hour after all its machines were switched on.
    pub(crate) fn new(seed: u64) -> Self {
        let draw = Draw::new(seed);
        Self {
            now: Timestamp::from_start(Duration::from_secs(3600)),
            hosts: Vec::new(),
            net: Net::new(&draw),
            servers: BTreeMap::new(),
            records: false,
            lies: false,
            narrow: false,
            claimed: Vec::new(),
            violations: Vec::new(),
            events: 0,
            queue: BinaryHeap::new(),
            sequence: 0,
            draw: draw.branch(2),
            echoes: 0,
            trace: None,
            hashed: None,
            probes: None,
        }
    }

    /// Writes down what happens from now on.
    pub(crate) fn begin_trace(&mut self) {
        self.trace = Some(String::new());
    }

    /// Returns what was written down.
    pub(crate) fn trace(&self) -> &str {
        self.trace.as_deref().unwrap_or_default()
    }

    /// Writes a line into the trace.
    pub(crate) fn note(&mut self, host: Option<HostId>, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let at = self.now.since_start().as_secs_f64() - 3600.0;
            let name = host.map_or("*", |host| &self.hosts[host].config.name);
            let _ = writeln!(trace, "{at:10.4} {name:>6} {}", line());
        }
    }

    /// Takes what a node wants done into the hash, where there is one.
    fn hash(&mut self, id: HostId, output: &Output) {
        if let Some(hash) = &mut self.hashed {
            hash.take(self.now, &self.hosts[id].config.name, output);
        }
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let bound = (time.as_secs() + 10) * (self.hosts.len() as u64 + 1) * EVENTS_PER_SECOND;
        let mut events = 0;
        while self.queue.peek().is_some_and(|Reverse(entry)| entry.at <= end) {
            let Reverse(entry) = self.queue.pop().expect("it was just seen");
            self.now = self.now.max(entry.at);
            self.happen(entry.what);
            events += 1;
            assert!(events < bound, "{events} events within {time:?}: something spins");
        }
        self.events += events;
        self.now = end;
    }

    fn push(&mut self, after: Duration, what: What) {
        self.sequence += 1;
        self.queue.push(Reverse(Entry {
            at: self.now + after,
            sequence: self.sequence,
            what,
        }));
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Arrive(flight, message) => self.arrive(flight, message),
            What::Due(id) => self.due(id),
            What::Awaken(id) => {
                self.note(Some(id), || "wakes up".into());
                self.hosts[id].asleep = false;
                self.hosts[id].tunnel.resume(self.now);
                self.settle(id);
            }
            What::Resolved(id, host, is_answered) => self.resolved(id, host, is_answered),
        }
    }

    fn arrive(&mut self, flight: Flight, message: Message) {
        let Some((id, port)) = self.net.arrive(self.now, flight) else {
            return;
        };
        let dropped = self.is_inspected_away(id, &message);
        let host = &mut self.hosts[id];
        if host.asleep || host.config.port != port || dropped {
            return;
        }
        match message {
            Message::Foreign(payload) => self.hear_probe(id, flight.source, &payload),
            Message::Question(_) | Message::Answer(_) => self.hear_stun(id, flight.source, message),
            _ if self
                .net
                .is_without_wireguard(flight.origin, id, flight.source.is_ipv6()) => {}
            Message::Initiation { .. } | Message::Response { .. } | Message::Data { .. } => {
                host.tunnel.receive(self.now, flight.source, message);
                host.note_roaming();
                self.settle(id);
            }
        }
    }

    fn due(&mut self, id: HostId) {
        let now = self.now;
        let host = &mut self.hosts[id];
        if host.scheduled != Some(now) {
            return;
        }
        host.scheduled = None;
        if host.asleep {
            return;
        }
        if host.tunnel.next().is_some_and(|at| at <= now) {
            host.tunnel.wake(now);
            self.settle(id);
        }
        let deadline = self.hosts[id].node.as_ref().and_then(|node| node.poll_timeout());
        if deadline.is_some_and(|deadline| deadline.at <= now) {
            self.pass(id);
        }
        self.plan(id);
    }

    /// Lets a node have its deadline.
    pub(crate) fn pass(&mut self, id: HostId) {
        let now = self.now;
        let host = &mut self.hosts[id];
        let Some(node) = &mut host.node else { return };
        node.handle(now, Input::Device(host.tunnel.device()));
        node.handle(now, Input::Timeout);
        host.passes += 1;
        host.may_configure = true;
        let next = node.poll_timeout();
        if next.is_none_or(|deadline| deadline.at <= now) {
            let name = &host.config.name;
            panic!("{name} spins: at {now:?} its next deadline is {next:?}");
        }
        self.settle(id);
    }

    /// Does all that a machine wants done now.
    fn settle(&mut self, id: HostId) {
        loop {
            if let Some(output) = self.hosts[id].node.as_mut().and_then(|node| node.poll_output()) {
                self.hash(id, &output);
                self.carry_out(id, output);
                continue;
            }
            self.hosts[id].may_configure = false;
            match self.hosts[id].tunnel.effect() {
                Some(Effect::Send { to, message }) => self.send(id, to, message),
                Some(Effect::Deliver { packet, .. }) => self.deliver(id, packet),
                None => break,
            }
        }
        self.plan(id);
    }

    /// Makes sure that a machine is looked at when something is due.
    fn plan(&mut self, id: HostId) {
        let host = &mut self.hosts[id];
        let Some(due) = host.due() else { return };
        let due = due.max(self.now);
        if host.scheduled.is_none_or(|at| due < at || at < self.now) {
            host.scheduled = Some(due);
            self.push(due.since(self.now), What::Due(id));
        }
    }
}
