//! A node among a thousand others, which are nothing but the datagrams that they send.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wirelink::mesh::base::settings::Settings;
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::believe::fact::value::{Echo, Metadata, Value};
use wirelink::mesh::believe::fact::{Timed, wire};
use wirelink::mesh::device::{DeviceState, PeerState};
use wirelink::mesh::node::Node;
use wirelink::mesh::share::ports::PortPair;
use wirelink::mesh::show::event::{HostState, Input, Interface, Output};

use crate::others::{Other, endpoint, other, prefix, private, timed};

/// Fewer without optimisation, where this only shows that it works.
pub(crate) const PEERS: u16 = if cfg!(debug_assertions) { 30 } else { 1000 };
/// The endpoints that are told of each peer; with a member fact and an allowed IP ten facts.
const ENDPOINTS: u16 = 8;
/// How often each peer gives a sign of life, and how often it asks whether it is heard, as nodes of ours do on quiet links.
const ALIVE_PERIOD: Duration = Duration::from_secs(25);
/// How long the answer to a heartbeat takes.
const ROUND_TRIP: Duration = Duration::from_millis(50);
/// How often facts are told again.
const TELL_PERIOD: Duration = Duration::from_secs(100);

/// What kind of node it is, and how it stands to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A router with a thousand leaves.
    Router,
    /// A leaf with a router and direct links to all other leaves.
    Direct,
    /// A leaf with a router that reaches no other leaf, and tries.
    Probing,
}

impl Role {
    pub(crate) const ALL: [Self; 3] = [Self::Direct, Self::Probing, Self::Router];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Router => "router",
            Self::Direct => "leaf, all direct",
            Self::Probing => "leaf, all probing",
        })
    }
}

/// How long each of the calls took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cost(Vec<Duration>);

impl Cost {
    pub(crate) fn calls(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn longest(&self) -> Duration {
        self.0.iter().copied().max().unwrap_or_default()
    }

    pub(crate) fn total(&self) -> Duration {
        self.0.iter().sum()
    }

    /// Takes of each call the shorter time: the same calls were made again.
    pub(crate) fn lessen(&mut self, again: &Self) {
        assert_eq!(self.calls(), again.calls(), "the same network makes the same calls");
        self.0
            .iter_mut()
            .zip(&again.0)
            .for_each(|(took, again)| *took = (*took).min(*again));
    }

    fn add(&mut self, took: Duration) {
        self.0.push(took);
    }
}

/// What the node was made to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Costs {
    pub(crate) packets: Cost,
    pub(crate) readings: Cost,
    pub(crate) deadlines: Cost,
    pub(crate) bytes_out: usize,
}

impl Costs {
    /// Takes of each call the shorter time.
    pub(crate) fn lessen(&mut self, again: &Self) {
        self.packets.lessen(&again.packets);
        self.readings.lessen(&again.readings);
        self.deadlines.lessen(&again.deadlines);
    }
}

pub(crate) struct Network {
    role: Role,
    pub(crate) node: Node,
    device: DeviceState,
    now: Timestamp,
    others: Vec<Other>,
    by_address: BTreeMap<Ipv6Addr, usize>,
    /// Answers to heartbeats under way: when each arrives, from whom.
    answers: VecDeque<(Timestamp, usize, Vec<u8>)>,
    /// The next that gives a sign of life, and when.
    turn: (usize, Timestamp),
    tell_at: Timestamp,
    invented: u16,
    silent: bool,
    pub(crate) costs: Costs,
}

impl Network {
    /// A node that has just started, on a device as its operator made it.
    pub(crate) fn new(role: Role) -> Self {
        let now = Timestamp::from_start(Duration::from_secs(1000));
        let node = Node::new(Settings::default(), private(0), [1; 32], now);
        let own_key = *node.public_key();
        let others: Vec<Other> = (1..=PEERS).map(|index| other(index, &own_key)).collect();
        let mut network = Self {
            role,
            device: DeviceState::new(own_key, 51820),
            node,
            now,
            by_address: others
                .iter()
                .enumerate()
                .map(|(index, other)| (other.address, index))
                .collect(),
            answers: VecDeque::new(),
            others,
            turn: (0, now),
            tell_at: now + Duration::from_secs(1),
            invented: 0,
            silent: false,
            costs: Costs::default(),
        };
        match role {
            Role::Router => (0..network.others.len()).for_each(|index| network.make_peer(index)),
            Role::Direct | Role::Probing => network.make_peer(0),
        }
        let interface = Interface {
            name: "eth0".into(),
            up: true,
            addresses: vec!["198.51.100.7/24".parse().expect("a prefix")],
            wireguard: false,
        };
        let host = HostState {
            interfaces: vec![interface],
            ..HostState::default()
        };
        network.node.handle(now, Input::Host(host));
        network
    }

    /// A node that has been told everything, and has done what there was to do.
    pub(crate) fn settled(role: Role) -> Self {
        let mut network = Self::new(role);
        network.run(Duration::from_secs(40));
        network
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) fn pass_time(&mut self, milliseconds: u64) {
        self.now = self.now + Duration::from_millis(milliseconds);
    }

    /// Lives on: all give their signs of life and heartbeats, evenly spread, answer those of the node, and tell their facts again before
    /// these expire.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let deadline = self.node.poll_timeout().expect("always something").at;
            let spoken = if self.silent {
                end
            } else {
                self.turn.1.min(self.tell_at)
            };
            let answered = self.answers.front().map_or(end, |(at, ..)| *at);
            self.now = self.now.max(deadline.min(spoken).min(answered).min(end));
            while let Some((_, index, answer)) = self.answers.pop_front_if(|(at, ..)| *at <= self.now) {
                self.receive(index, &answer);
            }
            if !self.silent && self.now >= self.tell_at {
                self.tell_at = self.now + TELL_PERIOD;
                self.tell();
            }
            if !self.silent && self.now >= self.turn.1 {
                self.hear_from(self.turn.0);
                self.beat(self.turn.0);
                self.turn = (self.turn.0 + 1, self.turn.1 + ALIVE_PERIOD / u32::from(PEERS));
            }
            if self.now >= deadline {
                self.read_device();
                self.deadline();
            }
        }
    }

    /// From now on nobody says anything: what was said expires, all of it at about the same time.
    pub(crate) fn fall_silent(&mut self) {
        self.silent = true;
    }

    pub(crate) fn hear_from(&mut self, index: usize) {
        let index = index % self.others.len();
        if self.is_reached(index) {
            self.refresh(index);
            let datagram = self.others[index].sign_of_life.clone();
            self.receive(index, &datagram);
        }
    }

    /// Lets one of the others ask whether it is heard.
    fn beat(&mut self, index: usize) {
        let index = index % self.others.len();
        if self.is_reached(index) {
            let other = &mut self.others[index];
            other.beats.0 += 1;
            let beat = Other::standing(other.beats.0);
            self.say_directly(index, Value::Heartbeat(beat), Duration::ZERO);
        }
    }

    /// Answers a heartbeat of the node, if that is what the datagram is and somebody hears it.
    fn answer(&mut self, to: &Ipv6Addr, payload: &[u8]) {
        let own_key = *self.node.public_key();
        let facts = wire::decode(payload).map(|envelope| envelope.unverified_facts(&own_key));
        let index = self.by_address[to];
        for fact in facts.into_iter().flatten().flatten() {
            let Value::Heartbeat(beat) = fact.fact.value else {
                continue;
            };
            if self.silent || !self.is_reached(index) {
                continue;
            }
            let other = &mut self.others[index];
            other.beats.1 += 1;
            let echo = Echo {
                beat: Other::standing(beat.number),
                received: other.beats.1,
                at: self.now.since_start(),
                seen: Some(SocketAddr::from(([198, 51, 100, 7], 51820))),
            };
            self.say_directly(index, Value::Echo(Box::new(echo)), ROUND_TRIP);
        }
    }

    fn say_directly(&mut self, index: usize, value: Value, later: Duration) {
        let other = &mut self.others[index];
        let mut said = timed(other.key, value);
        said.ttl = Duration::ZERO;
        let own_key = *self.node.public_key();
        let runs = wire::pack_compact(&other.key, [&said]).concat();
        let datagram = other.auth.tag_compact(&own_key, &runs).expect("a sound key");
        if later.is_zero() {
            self.receive(index, &datagram);
        } else {
            self.answers.push_back((self.now + later, index, datagram));
        }
    }

    pub(crate) fn hear_something_new(&mut self) {
        self.invented += 1;
        let [high, low] = self.invented.to_be_bytes();
        let subject = self.others[usize::from(self.invented) % self.others.len()].key;
        let speaker = match self.role {
            Role::Router => usize::from(self.invented) % self.others.len(),
            Role::Direct | Role::Probing => 0,
        };
        let value = Value::Endpoint(SocketAddr::from(([203, 0, high, low], 1)));
        self.say(speaker, &[timed(subject, value)]);
    }

    pub(crate) fn read_device(&mut self) {
        let began = computed();
        self.node.handle(self.now, Input::Device(&self.device));
        self.costs.readings.add(computed().saturating_sub(began));
    }

    pub(crate) fn deadline(&mut self) {
        let began = computed();
        self.node.handle(self.now, Input::Timeout);
        self.costs.deadlines.add(computed().saturating_sub(began));
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Configure(change) => self.device.apply(&change),
                Output::Transmit { to, payload, .. } => {
                    self.costs.bytes_out += payload.len();
                    self.answer(&to, &payload);
                }
                Output::Remember(_)
                | Output::Probe { .. }
                | Output::Stun { .. }
                | Output::FindRoute(_)
                | Output::Resolve(_)
                | Output::Pong { .. }
                | Output::Notify(_) => {}
            }
        }
    }

    fn receive(&mut self, index: usize, payload: &[u8]) {
        let source = self.others[index].address;
        let began = computed();
        self.node.handle(
            self.now,
            Input::Packet {
                source,
                ports: PortPair::default(),
                payload,
            },
        );
        self.costs.packets.add(computed().saturating_sub(began));
    }

    fn is_reached(&self, index: usize) -> bool {
        let on_device = self.device.peers.contains_key(&self.others[index].key);
        on_device && (self.role != Role::Probing || index == 0)
    }

    /// WireGuard has its handshake every two minutes.
    fn refresh(&mut self, index: usize) {
        let now = self.now;
        let peer = self.device.peers.get_mut(&self.others[index].key).expect("it is there");
        peer.rx_bytes += 148;
        if peer
            .last_handshake
            .is_none_or(|at| now.since(at) >= Duration::from_secs(120))
        {
            peer.last_handshake = Some(now);
            peer.endpoint.get_or_insert(endpoint(index as u16 + 1, 0));
        }
    }

    fn make_peer(&mut self, index: usize) {
        let number = index as u16 + 1;
        let prefix = match self.role {
            Role::Router => prefix(number),
            Role::Direct | Role::Probing => "10.9.0.0/16".to_owned(),
        };
        let peer = PeerState {
            endpoint: Some(endpoint(number, 0)),
            last_handshake: Some(self.now),
            allowed_ips: [prefix.parse().expect("a prefix")].into(),
            ..PeerState::default()
        };
        self.device.peers.insert(self.others[index].key, peer);
    }

    /// A router hears from each leaf where that is; a leaf hears from its router everything of everybody.
    fn tell(&mut self) {
        let first = if self.role == Role::Router { 0 } else { 1 };
        let mut from_router = Vec::new();
        for index in first..self.others.len() {
            let (number, key) = (index as u16 + 1, self.others[index].key);
            let endpoints = (0..ENDPOINTS).map(|port| timed(key, Value::Endpoint(endpoint(number, port))));
            let mut facts: Vec<Timed> = endpoints.collect();
            if self.role == Role::Router {
                self.say(index, &facts);
                continue;
            }
            facts.push(timed(key, Value::AllowedIp(prefix(number).parse().expect("a prefix"))));
            let name = format!("leaf-{number}");
            facts.push(timed(key, Value::MemberMetadata(Metadata::new(Some(&name), false))));
            from_router.extend(facts);
        }
        if !from_router.is_empty() {
            self.say(0, &from_router);
        }
    }

    fn say(&mut self, speaker: usize, facts: &[Timed]) {
        let own_key = *self.node.public_key();
        for group in wire::pack(facts) {
            let datagram = self.others[speaker].auth.tag(&own_key, [7; 24], &group);
            self.receive(speaker, &datagram.expect("a sound key"));
        }
    }
}

/// Returns how long this thread has computed: others on the machine make a call take longer, and this not.
fn computed() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a clock that only goes forward")
}
