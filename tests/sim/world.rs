//! The world: machines on a network, and one virtual clock.
//!
//! Everything happens in the order of (time, sequence), so the same seed gives the same course of events, byte for byte. The
//! node is driven as the daemon does it: what is due comes first, the device is read before a deadline, and what the node wants is
//! done in its order, at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use wirelink::mesh::device::DeviceChange;
use wirelink::mesh::event::{Event, Input, Level, Output};
use wirelink::mesh::link::HEALTH_LIMIT;
use wirelink::mesh::settings::{FACT_TTL, Host as Endpoint};
use wirelink::mesh::time::Timestamp;

use crate::draw::Draw;
use crate::host::{self, Config, ECHO, Host};
use crate::net::{Flight, HostId, Net, Nic};
use crate::wireguard::{Effect, Message, Packet};

/// How many events a machine may have in a second of simulated time, on average over a run: far more than any has.
const EVENTS_PER_SECOND: u64 = 5_000;
/// The longest packet that the WireGuard interface takes.
const TUNNEL_MTU: usize = 1420;

/// Machines, the network between them, and what is about to happen.
pub(crate) struct World {
    /// The clock.
    pub(crate) now: Timestamp,
    /// The machines.
    pub(crate) hosts: Vec<Host>,
    /// The network.
    pub(crate) net: Net,
    /// Whether events and changes are kept with the hosts.
    pub(crate) records: bool,
    /// Whether somebody lies: then it is no fault that something is refused.
    pub(crate) lies: bool,
    /// What broke an invariant.
    pub(crate) violations: Vec<String>,
    /// How many events there were.
    pub(crate) events: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    draw: Draw,
    echoes: u64,
    trace: Option<String>,
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
    /// A name was looked up.
    Resolved(HostId, Endpoint),
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
            records: false,
            lies: false,
            violations: Vec::new(),
            events: 0,
            queue: BinaryHeap::new(),
            sequence: 0,
            draw: draw.branch(2),
            echoes: 0,
            trace: None,
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

    /// Adds a machine on which only WireGuard runs.
    pub(crate) fn add_host(&mut self, config: Config, nics: Vec<Nic>) -> HostId {
        let id = self.net.add_host();
        let seed = self.draw.next();
        self.hosts.push(Host::new(config, self.now, seed));
        self.net.plug(id, nics);
        self.settle(id);
        id
    }

    /// Starts the node of a machine.
    pub(crate) fn start(&mut self, id: HostId) {
        self.note(Some(id), || "starts".into());
        let seed = self.draw.bytes();
        self.hosts[id].start(self.now, seed);
        self.observe(id);
        self.plan(id);
    }

    /// Stops the node of a machine as the daemon does when it is asked to.
    pub(crate) fn stop(&mut self, id: HostId) {
        self.note(Some(id), || "stops".into());
        let now = self.now;
        let host = &mut self.hosts[id];
        let Some(mut node) = host.node.take() else { return };
        while node.poll_output().is_some() {}
        node.handle(now, Input::Device(host.tunnel.device().clone()));
        node.handle(now, Input::Stop);
        while let Some(output) = node.poll_output() {
            if let Output::Configure(change) = output {
                self.configure(id, change, true);
            }
        }
        self.settle(id);
    }

    /// Ends the node of a machine without a farewell.
    pub(crate) fn kill(&mut self, id: HostId) {
        self.note(Some(id), || "is killed".into());
        let host = &mut self.hosts[id];
        host.left_behind |= host.node.take().is_some();
    }

    /// Starts a machine anew: WireGuard as its operator configured it, and nothing else.
    pub(crate) fn reboot(&mut self, id: HostId) {
        self.note(Some(id), || "reboots".into());
        let seed = self.draw.next();
        self.hosts[id].reboot(self.now, seed);
        self.settle(id);
    }

    /// Suspends a machine; its clock goes on.
    pub(crate) fn sleep(&mut self, id: HostId, time: Duration) {
        self.note(Some(id), || format!("sleeps for {time:?}"));
        self.hosts[id].tunnel.suspend(self.now);
        self.hosts[id].asleep = true;
        self.push(time, What::Awaken(id));
    }

    /// Gives a machine other interfaces, which its node is told.
    pub(crate) fn plug(&mut self, id: HostId, nics: Vec<Nic>) {
        self.note(Some(id), || format!("is at {nics:?}"));
        self.net.plug(id, nics);
        self.observe(id);
        self.plan(id);
    }

    /// Does to WireGuard what an operator does by hand.
    pub(crate) fn operate(&mut self, id: HostId, change: &DeviceChange) {
        self.note(Some(id), || format!("by hand: {change:?}"));
        self.hosts[id].tunnel.apply(self.now, change);
        self.settle(id);
    }

    fn observe(&mut self, id: HostId) {
        let host = &mut self.hosts[id];
        let state = host.state(self.net.nics(id));
        if let Some(node) = &mut host.node {
            node.handle(self.now, Input::Host(state));
        }
    }

    /// Sends an echo request through the tunnel of a machine; returns its number.
    pub(crate) fn ping(&mut self, from: HostId, to: IpAddr) -> u64 {
        self.echoes += 1;
        let number = self.echoes;
        let source = self.hosts[from].inner(to.is_ipv6());
        if let Some(source) = source {
            let packet = host::udp(source, to, ECHO + 1, ECHO, &number.to_be_bytes());
            self.emit(from, packet);
            self.settle(from);
        }
        number
    }

    /// Sends a packet through the tunnel of a machine.
    pub(crate) fn inject(&mut self, from: HostId, packet: Packet) {
        self.emit(from, packet);
        self.settle(from);
    }

    /// Returns what was left of the time to live of the answer to an echo request, if there was one.
    pub(crate) fn echo(&self, from: HostId, number: u64) -> Option<u8> {
        self.hosts[from].echoes.get(&number).copied()
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
            What::Resolved(id, host) => self.resolved(id, host),
        }
    }

    fn arrive(&mut self, flight: Flight, message: Message) {
        let Some((id, port)) = self.net.arrive(self.now, flight) else {
            return;
        };
        let host = &mut self.hosts[id];
        if !host.asleep && host.config.port == port {
            host.tunnel.receive(self.now, flight.source, message);
            self.settle(id);
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
        node.handle(now, Input::Device(host.tunnel.device().clone()));
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

    fn carry_out(&mut self, id: HostId, output: Output) {
        match output {
            Output::Configure(change) => self.configure(id, change, false),
            Output::Transmit { to, payload } => {
                self.hosts[id].facts_sent.add(payload.len());
                if let Some(packet) = self.hosts[id].fact(to, &payload) {
                    self.emit(id, packet);
                }
            }
            Output::Resolve(host) => self.push(host::LOOKUP, What::Resolved(id, host)),
            Output::Notify(event) => self.hear(id, event),
        }
    }

    fn configure(&mut self, id: HostId, change: DeviceChange, stopping: bool) {
        self.note(Some(id), || format!("{change:?}"));
        self.check_change(id, &change, stopping);
        let host = &mut self.hosts[id];
        host.tunnel.apply(self.now, &change);
        host.writes += 1;
        if self.records {
            host.changes.push((self.now, change));
        }
    }

    /// Checks what no change of a node may do.
    fn check_change(&mut self, id: HostId, change: &DeviceChange, stopping: bool) {
        let host = &self.hosts[id];
        let wrong = match change {
            _ if !stopping && !host.may_configure => Some("a packet alone changed the device"),
            DeviceChange::SetEndpoint { peer, .. } => {
                let last = host
                    .tunnel
                    .device()
                    .peers
                    .get(peer)
                    .and_then(|peer| peer.last_handshake);
                let live = last.is_some_and(|at| self.now.since(at) < HEALTH_LIMIT);
                live.then_some("the endpoint of a peer with a live handshake was overwritten")
            }
            DeviceChange::RemovePeer { .. } => {
                let early = self.now.since(host.started) <= FACT_TTL;
                (early && !stopping).then_some("a peer was removed inside the grace")
            }
            DeviceChange::AddPeer { .. } | DeviceChange::AddAllowedIp { .. } | DeviceChange::RemoveAllowedIp { .. } => {
                None
            }
        };
        if let Some(wrong) = wrong {
            self.violate(id, &format!("{wrong}: {change:?}"));
        }
    }

    /// Takes note that something is wrong.
    pub(crate) fn violate(&mut self, id: HostId, wrong: &str) {
        let line = format!("{:?}: {}: {wrong}", self.now, self.hosts[id].config.name);
        self.note(None, || format!("WRONG: {line}"));
        self.violations.push(line);
    }

    fn hear(&mut self, id: HostId, event: Event) {
        self.note(Some(id), || format!("{:?}: {event}", event.level()));
        if event.level() == Level::Warn && !self.lies {
            self.violate(id, &event.to_string());
        }
        if self.records {
            self.hosts[id].events.push((self.now, event));
        }
    }

    fn resolved(&mut self, id: HostId, host: Endpoint) {
        let Endpoint::Name { name, port } = &host else { return };
        let found = self.net.names.get(name).cloned().unwrap_or_default();
        let addresses = found.into_iter().map(|address| (address, *port).into()).collect();
        self.note(Some(id), || format!("{host} is {addresses:?}"));
        if let Some(node) = self.hosts[id].node.as_mut() {
            node.handle(self.now, Input::Resolved { host, addresses });
        }
        self.settle(id);
    }

    /// Gives a packet to the WireGuard interface.
    fn emit(&mut self, id: HostId, packet: Packet) {
        if packet.len() <= TUNNEL_MTU
            && let Err(error) = self.hosts[id].tunnel.send(self.now, packet)
        {
            self.note(Some(id), || format!("nothing sent: {error:?}"));
        }
    }

    fn send(&mut self, id: HostId, to: std::net::SocketAddr, message: Message) {
        let host = &mut self.hosts[id];
        host.wire_sent.add(message.len());
        if host.asleep {
            return;
        }
        let departure = self.net.depart(self.now, id, host.config.port, to, message.len());
        self.note(Some(id), || {
            format!("to {to}: {} {:?}", kind(&message), departure.delays)
        });
        let Some(flight) = departure.flight else { return };
        let [first, second] = departure.delays;
        if let Some(delay) = second {
            self.push(delay, What::Arrive(flight, message.clone()));
        }
        if let Some(delay) = first {
            self.push(delay, What::Arrive(flight, message));
        }
    }

    /// Takes a packet out of the WireGuard interface.
    fn deliver(&mut self, id: HostId, packet: Packet) {
        if self.hosts[id].owns(packet.destination) {
            self.receive(id, &packet);
        } else if self.hosts[id].config.forwards && packet.hops > 1 {
            let hops = packet.hops - 1;
            self.emit(id, Packet { hops, ..packet });
        }
    }

    fn receive(&mut self, id: HostId, packet: &Packet) {
        let now = self.now;
        let host = &mut self.hosts[id];
        let Some((from_port, to_port, data)) = host::read_udp(packet) else {
            return;
        };
        match (to_port, from_port, packet.source) {
            (ECHO, _, source) => {
                let answer = host::udp(packet.destination, source, ECHO, from_port, data);
                self.emit(id, answer);
            }
            (_, ECHO, _) => {
                let number = data.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                host.echoes.insert(number, packet.hops);
            }
            (port, _, IpAddr::V6(source)) if port == host.fact_port() => {
                host.facts_heard.add(data.len());
                if let Some(node) = &mut host.node {
                    let payload = data;
                    node.handle(now, Input::Packet { source, payload });
                }
            }
            _ => {}
        }
    }
}

fn kind(message: &Message) -> &'static str {
    match message {
        Message::Initiation { .. } => "initiation",
        Message::Response { .. } => "response",
        Message::Data { packet: None, .. } => "keepalive",
        Message::Data { packet: Some(_), .. } => "data",
    }
}
