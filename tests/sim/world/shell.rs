//! What a machine does for its node and its tunnel, as the daemon and the kernel do it: at once, and in their order.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::base::settings::{FACT_TTL, Host as Endpoint};
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::device::DeviceChange;
use wirelink::mesh::keep::memory::Memory;
use wirelink::mesh::reach::link::{HEALTH_LIMIT, State};
use wirelink::mesh::reach::stun::Answer;
use wirelink::mesh::share::ports::PortPair;
use wirelink::mesh::show::event::{Event, Input, Level, Output};

use super::{What, World};
use crate::host::{self, ECHO, SentTo};
use crate::net::HostId;
use crate::program::Program;
use crate::wireguard::message::TUNNEL_MTU;
use crate::wireguard::{Message, Packet};

impl World {
    pub(super) fn carry_out(&mut self, id: HostId, output: Output) {
        match output {
            Output::Configure(change) => self.configure(id, change, false),
            Output::Remember(memory) => self.remember(id, &memory),
            Output::Transmit { to, payload, .. } => {
                self.hosts[id].facts_sent.add(payload.len());
                if let Some(packet) = self.hosts[id].fact(to, &payload) {
                    self.emit(id, packet);
                }
            }
            Output::Probe { from, to, payload, .. } => {
                self.probes
                    .iter_mut()
                    .for_each(|probes| probes.push((id, payload.clone())));
                self.send_from(id, from, to, Message::Foreign(payload));
            }
            Output::Stun { to, transaction } => self.send(id, to, Message::Question(transaction)),
            // Nothing but the main table routes.
            Output::FindRoute(_) => {}
            Output::Resolve(host) if self.net.without_resolver.contains(&id) => {
                self.push(host::LOOKUP_FAILS, What::Resolved(id, host, false));
            }
            Output::Resolve(host) => self.push(host::LOOKUP, What::Resolved(id, host, true)),
            Output::Pong { path, outcome, .. } => self.hosts[id].pongs.push((path, outcome)),
            Output::Notify(event) => self.hear(id, event),
        }
    }

    pub(super) fn configure(&mut self, id: HostId, change: DeviceChange, stopping: bool) {
        self.note(Some(id), || format!("{change:?}"));
        self.check_change(id, &change, stopping);
        let host = &mut self.hosts[id];
        if let DeviceChange::SetEndpoint { peer, endpoint } = change
            && !stopping
            && host.config.peers.iter().any(|config| config.key == peer)
        {
            let before = host.tunnel.device().peers.get(&peer).and_then(|peer| peer.endpoint);
            let sent = host.sent_to.entry(peer).or_insert_with(|| SentTo {
                before: BTreeSet::new(),
                last: endpoint,
                is_there: false,
            });
            if !sent.is_there {
                sent.before.insert(before);
            }
            (sent.last, sent.is_there) = (endpoint, true);
        }
        host.tunnel.apply(self.now, &change);
        host.writes += 1;
        if self.records {
            host.changes.push((self.now, change));
        }
    }

    /// Keeps what survives a restart, in the form in which it stands in a file.
    pub(super) fn remember(&mut self, id: HostId, memory: &Memory) {
        self.note(Some(id), || "remembers".into());
        let text = serde_json::to_string(memory).expect("a memory has a form in JSON");
        self.hosts[id].disk = Some((self.now, text));
        self.hosts[id].saves += 1;
    }

    /// Checks what no change of a node may do.
    pub(super) fn check_change(&mut self, id: HostId, change: &DeviceChange, stopping: bool) {
        let host = &self.hosts[id];
        let wrong = match change {
            _ if !stopping && !host.may_configure => Some("a packet alone changed the device"),
            DeviceChange::MakeAgain { .. } if stopping => None,
            DeviceChange::MakeAgain { endpoint: None, .. } => Some("a peer lost its endpoint"),
            DeviceChange::MakeAgain { peer, .. } => {
                let seen = host.tunnel.device().peers.get(peer);
                let last = seen.map(|peer| peer.last_handshake);
                let may_have = |at: Timestamp| self.now.since(at) <= Duration::from_secs(180);
                let had_session = last.is_none_or(|last| last.is_some_and(may_have));
                let is_operators = host.config.peers.iter().any(|config| config.key == *peer);
                (had_session || is_operators).then_some("a peer was made again that may not be")
            }
            DeviceChange::SetEndpoint { .. } if stopping => None,
            DeviceChange::SetEndpoint { peer, .. } => {
                let last = host
                    .tunnel
                    .device()
                    .peers
                    .get(peer)
                    .and_then(|peer| peer.last_handshake);
                let live = last.is_some_and(|at| self.now.since(at) < HEALTH_LIMIT);
                let live =
                    live && !self.doubts(id, peer) && !self.is_by_name(id, change) && !self.is_better(id, change);
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

    /// Returns whether an endpoint is set that is nearer than the one before: in a network of the machine, or by IPv6 instead of IPv4.
    fn is_better(&self, id: HostId, change: &DeviceChange) -> bool {
        let DeviceChange::SetEndpoint { peer, endpoint } = change else {
            return false;
        };
        let nets = || self.net.nics(id).iter().flat_map(|nic| &nic.addresses);
        let class = |endpoint: &SocketAddr| {
            let is_near = nets().any(|net| net.contains(&endpoint.ip()));
            (!is_near, !is_near && endpoint.is_ipv4())
        };
        let host = &self.hosts[id];
        let known = host.tunnel.device().peers.get(peer);
        let before = known.and_then(|peer| peer.endpoint);
        !host.config.forwards && before.is_some_and(|before| class(endpoint) < class(&before))
    }

    /// Returns whether a node no longer hears a peer: then it may turn its session to where the peer answers.
    fn doubts(&self, id: HostId, peer: &PublicKey) -> bool {
        let node = self.hosts[id].node.as_ref().and_then(Program::ours);
        let peers = node.map(|node| node.status(self.now).peers).unwrap_or_default();
        let link = peers.iter().find(|link| link.peer.key == *peer);
        link.is_some_and(|link| matches!(link.state, State::Suspect(_)))
    }

    /// Returns whether an endpoint is set because the operator's name of the peer leads there, or was before, and it was not heard.
    fn is_by_name(&self, id: HostId, change: &DeviceChange) -> bool {
        let DeviceChange::SetEndpoint { peer, endpoint } = change else {
            return false;
        };
        let host = &self.hosts[id];
        let leads = |place: &Endpoint| match place {
            Endpoint::Address(address) => address == endpoint,
            Endpoint::Name { name, .. } => {
                let found = self.net.names.get(name).into_iter().flatten();
                found.into_iter().any(|address| *address == endpoint.ip())
            }
        };
        let was_there = |sent: &SentTo| sent.before.contains(&Some(*endpoint));
        let settings = host.config.settings.peers.get(peer);
        settings.is_some_and(|written| written.endpoints.iter().any(leads))
            || host.sent_to.get(peer).is_some_and(was_there)
    }

    /// Checks that peers of the operator's that a node sent elsewhere are sent again to where they were before it stopped; with a
    /// session they may stay.
    pub(super) fn check_endpoints(&mut self, id: HostId) {
        let host = &mut self.hosts[id];
        let sent_to = std::mem::take(&mut host.sent_to);
        let wrong = host.config.peers.iter().filter_map(|config| {
            let seen = host.tunnel.device().peers.get(&config.key)?.endpoint;
            let sent = sent_to.get(&config.key).filter(|sent| sent.is_there)?;
            if sent.before.contains(&seen) || seen == config.endpoint {
                return None;
            }
            let before = &sent.before;
            let has_session = host.tunnel.device().peers[&config.key]
                .last_handshake
                .is_some_and(|at| self.now.since(at) < HEALTH_LIMIT);
            if has_session {
                return None;
            }
            Some(format!("left {} at {seen:?}, not {before:?}", config.key.short()))
        });
        let wrong: Vec<String> = wrong.collect();
        if !host.is_v1() && !host.config.settings.leave_peers {
            wrong.iter().for_each(|wrong| self.violate(id, wrong));
        }
    }

    /// Takes note that something is wrong.
    pub(crate) fn violate(&mut self, id: HostId, wrong: &str) {
        let line = format!("{:?}: {}: {wrong}", self.now, self.hosts[id].config.name);
        self.note(None, || format!("WRONG: {line}"));
        self.violations.push(line);
    }

    pub(super) fn hear(&mut self, id: HostId, event: Event) {
        self.note(Some(id), || format!("{:?}: {event}", event.level()));
        let is_expected = match &event {
            Event::PrefixRefused(refused) => self.claimed.contains(&refused.prefix),
            Event::PathNarrow { .. } => self.narrow,
            _ => false,
        };
        if event.level() == Level::Warn && !self.lies && !is_expected {
            self.violate(id, &event.to_string());
        }
        if self.records {
            self.hosts[id].events.push((self.now, event));
        }
    }

    pub(super) fn resolved(&mut self, id: HostId, host: Endpoint, is_answered: bool) {
        let Endpoint::Name { name, port } = &host else { return };
        let found = self
            .net
            .names
            .get(name)
            .filter(|_| is_answered)
            .cloned()
            .unwrap_or_default();
        let addresses = found.into_iter().map(|address| (address, *port).into()).collect();
        self.note(Some(id), || format!("{host} is {addresses:?}"));
        if let Some(node) = self.hosts[id].node.as_mut() {
            node.handle(self.now, Input::Resolved { host, addresses });
        }
        self.settle(id);
    }

    /// Gives a packet to the WireGuard interface.
    pub(super) fn emit(&mut self, id: HostId, packet: Packet) {
        if packet.len() <= TUNNEL_MTU
            && let Err(error) = self.hosts[id].tunnel.send(self.now, packet)
        {
            self.note(Some(id), || format!("nothing sent: {error:?}"));
        }
    }

    /// Hands a datagram that WireGuard drops to a node that listens beside it.
    pub(super) fn hear_probe(&mut self, id: HostId, source: SocketAddr, payload: &[u8]) {
        self.note(Some(id), || format!("a probe from {source}"));
        let now = self.now;
        let host = &mut self.hosts[id];
        if let Some(node) = host.node.as_mut().filter(|_| host.config.probes) {
            node.handle(
                now,
                Input::Probe {
                    source,
                    local: None,
                    payload,
                },
            );
            self.settle(id);
        }
    }

    /// Lets a machine answer that is a STUN server, or hands what one said to the node.
    pub(super) fn hear_stun(&mut self, id: HostId, source: SocketAddr, message: Message) {
        let now = self.now;
        match message {
            Message::Question(transaction) => {
                if let Some(server) = self.servers.get_mut(&id) {
                    server.asked += 1;
                    let seen = server.says.unwrap_or(source);
                    let by = server.answers_from;
                    self.send(by, source, Message::Answer(Answer { transaction, seen }));
                }
            }
            Message::Answer(answer) => {
                let answer = Some(answer);
                if let Some(node) = self.hosts[id].node.as_mut() {
                    node.handle(now, Input::Stun { source, answer });
                }
                self.settle(id);
            }
            Message::Initiation { .. } | Message::Response { .. } | Message::Data { .. } | Message::Foreign(_) => {}
        }
    }

    pub(super) fn send(&mut self, id: HostId, to: SocketAddr, message: Message) {
        self.send_from(id, None, to, message);
    }

    /// Sends a datagram from WireGuard's port, or from another one.
    fn send_from(&mut self, id: HostId, from: Option<u16>, to: SocketAddr, message: Message) {
        let host = &mut self.hosts[id];
        host.wire_sent.add(message.len());
        if host.asleep || self.is_inspected_away(id, &message) {
            return;
        }
        let host = &self.hosts[id];
        let from = from.unwrap_or(host.config.port);
        let departure = self.net.depart(self.now, id, from, to, message.len());
        self.note(Some(id), || {
            let from = departure.flight.map(|flight| flight.source);
            format!("to {to}: {} {:?}, from {from:?}", kind(&message), departure.delays)
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

    /// Returns whether a border between a machine and the others drops a datagram for what it is.
    pub(super) fn is_inspected_away(&self, id: HostId, message: &Message) -> bool {
        matches!(message, Message::Foreign(_)) && self.net.is_wireguard_only(id)
    }

    /// Takes a packet out of the WireGuard interface.
    pub(super) fn deliver(&mut self, id: HostId, packet: Packet) {
        if self.hosts[id].owns(packet.destination) {
            self.receive(id, &packet);
        } else if self.hosts[id].config.forwards && packet.hops > 1 {
            let hops = packet.hops - 1;
            self.emit(id, Packet { hops, ..packet });
        }
    }

    pub(super) fn receive(&mut self, id: HostId, packet: &Packet) {
        let now = self.now;
        let host = &mut self.hosts[id];
        let Some((from_port, to_port, data)) = host::read_udp(packet) else {
            return;
        };
        if host.left_address == Some(packet.destination) && to_port == host.fact_port() {
            if host.refuses(now, packet.source) {
                // What matters is that something comes back: ports are as good as a type of ICMP.
                let refusal = host::udp(packet.destination, packet.source, 0, 0, &packet.payload);
                self.emit(id, refusal);
            }
            return;
        }
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
                    node.handle(
                        now,
                        Input::Packet {
                            source,
                            ports: PortPair::default(),
                            payload,
                        },
                    );
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
        Message::Foreign(_) => "probe",
        Message::Question(_) => "question",
        Message::Answer(_) => "answer",
    }
}
