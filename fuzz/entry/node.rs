//! Any course of events at one node, of which most are words of an authenticated liar: nothing may panic, no deadline may be missed,
//! and no change of the device may go beyond what the level of the liar allows.

mod bytes;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::base::identity::{AddressHash, PrivateKey, PublicKey};
use wirelink::mesh::base::settings::{PeerSettings, Settings, TrustLevel};
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::believe::auth::Auth;
use wirelink::mesh::believe::fact::value::Value;
use wirelink::mesh::believe::fact::{Timed, wire};
use wirelink::mesh::device::{DeviceChange, DeviceState, PeerState};
use wirelink::mesh::node::Node;
use wirelink::mesh::reach::link::HEALTH_LIMIT;
use wirelink::mesh::share::ports::PortPair;
use wirelink::mesh::show::event::{HostState, Input, Interface, Output};
use zeroize::Zeroizing;

use self::bytes::Bytes;
use super::powers::Power;

/// Who there is: the node, its hub, the liar, another peer; all others are strangers.
const OWN: u8 = 1;
const HUB: u8 = 2;
const LIAR: u8 = 3;
const OTHER: u8 = 4;
/// The most deadlines that one step of time has; what is left of it passes in sleep.
const MAX_DEADLINES: usize = 60;

/// Takes the first byte for the level of the liar, and the rest for what happens.
pub(crate) fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let level = TrustLevel::ALL[usize::from(*first) % TrustLevel::ALL.len()];
    let mut world = World::new(level);
    let mut bytes = Bytes(rest);
    while !bytes.0.is_empty() {
        world.step(&mut bytes);
    }
    world.wait(Duration::from_secs(60));
    let _ = world.node.status(world.now).to_string();
    world.stop();
}

struct World {
    node: Node,
    device: DeviceState,
    host: HostState,
    now: Timestamp,
    level: TrustLevel,
    liar: Auth,
    hub: Auth,
    /// What the hub said, which may be done; what it never says only a liar can bring about.
    members: BTreeSet<PublicKey>,
    /// What the operator made: it must stay.
    made: BTreeSet<PublicKey>,
    claimed: BTreeSet<(IpNet, PublicKey)>,
    endpoints: BTreeSet<SocketAddr>,
}

fn private(who: u8) -> PrivateKey {
    PrivateKey::from_bytes(&Zeroizing::new([who; 32]))
}

fn key(who: u8) -> PublicKey {
    // Nobody has the private key of a stranger; computing one would cost more than all the rest.
    match who {
        OWN | HUB | LIAR | OTHER => KEYS.with(|keys| keys[usize::from(who)]),
        _ => PublicKey::from_bytes([who; 32]),
    }
}

thread_local! {
    static KEYS: [PublicKey; 5] = [0, OWN, HUB, LIAR, OTHER].map(|who| private(who).public_key());
}

fn inner(who: u8) -> IpNet {
    IpNet::from(IpAddr::from([10, 0, 0, who]))
}

impl World {
    fn new(level: TrustLevel) -> Self {
        let now = Timestamp::from_start(Duration::from_secs(5000));
        let mut settings = Settings::default();
        for (who, level) in [(HUB, TrustLevel::Membership), (LIAR, level)] {
            let trust = Some(level);
            settings.peers.insert(
                key(who),
                PeerSettings {
                    trust,
                    ..PeerSettings::default()
                },
            );
        }
        let mut device = DeviceState::new(key(OWN), 51820);
        for (who, prefix) in [
            (HUB, "10.0.0.0/24".parse().expect("a prefix")),
            (LIAR, inner(LIAR)),
            (OTHER, inner(OTHER)),
        ] {
            let endpoint = SocketAddr::from(([192, 0, 2, who], 51820));
            device.peers.insert(
                key(who),
                PeerState {
                    endpoint: Some(endpoint),
                    allowed_ips: [prefix].into(),
                    last_handshake: (who != OTHER).then_some(now),
                    ..PeerState::default()
                },
            );
        }
        let interface = Interface {
            name: "eth0".into(),
            up: true,
            wireguard: false,
            addresses: vec!["192.0.2.1/24".parse().expect("an address")],
        };
        let host = HostState {
            interfaces: vec![interface],
            tunnel_addresses: vec!["10.0.0.1/24".parse().expect("an address")],
            ..HostState::default()
        };
        let mut world = Self {
            node: Node::new(settings, private(OWN), [7; 32], now),
            device,
            host,
            now,
            level,
            liar: Auth::new(private(LIAR), AddressHash::Sha1),
            hub: Auth::new(private(HUB), AddressHash::Sha1),
            members: BTreeSet::new(),
            made: [HUB, LIAR, OTHER].map(key).into(),
            claimed: BTreeSet::new(),
            endpoints: [HUB, LIAR, OTHER]
                .map(|who| SocketAddr::from(([192, 0, 2, who], 51820)))
                .into(),
        };
        world.node.handle(now, Input::Host(world.host.clone()));
        world.deadline();
        world
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.next() % 10 {
            0 => self.raw(bytes, false),
            1 => self.raw(bytes, true),
            2..=4 => {
                let facts = bytes.facts();
                let compact = bytes.next().is_multiple_of(2);
                self.say(LIAR, &facts, compact);
            }
            5 => {
                let facts = bytes.facts();
                self.note_honest(&facts);
                self.say(HUB, &facts, false);
            }
            6 => {
                let source = AddressHash::Sha1.link_local(&key(bytes.next() % 8));
                let payload = bytes.some().to_vec();
                self.hand_in(source, &payload);
            }
            7 => self.wait(Duration::from_millis(40 * u64::from(bytes.next()))),
            8 => self.wait(Duration::from_secs(u64::from(bytes.next()))),
            _ => self.operate(bytes),
        }
    }

    /// The liar tags whatever bytes.
    fn raw(&mut self, bytes: &mut Bytes<'_>, compact: bool) {
        let facts = bytes.some();
        let payload = if compact {
            self.liar.tag_compact(&key(OWN), facts)
        } else {
            self.liar.tag(&key(OWN), [1; 24], facts)
        };
        if let Some(payload) = payload {
            self.hand_in(AddressHash::Sha1.link_local(&key(LIAR)), &payload);
        }
    }

    fn say(&mut self, who: u8, facts: &[Timed], compact: bool) {
        let groups = if compact {
            wire::pack_compact(&key(who), facts)
        } else {
            wire::pack(facts)
        };
        for group in groups {
            let auth = if who == LIAR { &mut self.liar } else { &mut self.hub };
            let payload = if compact {
                auth.tag_compact(&key(OWN), &group)
            } else {
                auth.tag(&key(OWN), [2; 24], &group)
            };
            self.hand_in(
                AddressHash::Sha1.link_local(&key(who)),
                &payload.expect("these keys have a secret"),
            );
        }
    }

    fn note_honest(&mut self, facts: &[Timed]) {
        for Timed { fact, .. } in facts {
            match &fact.value {
                Value::Member | Value::MemberMetadata(_) => drop(self.members.insert(fact.subject)),
                Value::AllowedIp(prefix) => drop(self.claimed.insert((*prefix, fact.subject))),
                Value::Endpoint(endpoint) => drop(self.endpoints.insert(*endpoint)),
                Value::Alive(_)
                | Value::Digest { .. }
                | Value::Holdings(_)
                | Value::Reset(_)
                | Value::Withdrawn(_)
                | Value::Probes(_)
                | Value::Signal(_)
                | Value::Heartbeat(_)
                | Value::Echo(_)
                | Value::Denied(_) => {}
            }
        }
    }

    fn hand_in(&mut self, source: std::net::Ipv6Addr, payload: &[u8]) {
        self.node.handle(
            self.now,
            Input::Packet {
                source,
                ports: PortPair::default(),
                payload,
            },
        );
        self.carry_out(false);
    }

    /// What an operator, a network and WireGuard itself do to the device.
    fn operate(&mut self, bytes: &mut Bytes<'_>) {
        let who = key(2 + bytes.next() % 6);
        let now = self.now;
        let peer = self.device.peers.get_mut(&who);
        match (bytes.next() % 5, peer) {
            (0 | 1, Some(peer)) => peer.last_handshake = peer.endpoint.map(|_| now),
            (2, Some(peer)) => peer.last_handshake = None,
            (3, Some(peer)) => {
                let endpoint = SocketAddr::from(([192, 0, 2, bytes.next()], 51820));
                self.endpoints.insert(endpoint);
                peer.endpoint = Some(endpoint);
            }
            _ => {
                self.host.interfaces[0].up = !self.host.interfaces[0].up;
                self.node.handle(now, Input::Host(self.host.clone()));
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..MAX_DEADLINES {
            let next = self
                .node
                .poll_timeout()
                .expect("the device is always looked at again")
                .at;
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            self.deadline();
            let next = self
                .node
                .poll_timeout()
                .expect("the device is always looked at again")
                .at;
            assert!(next > self.now, "a node must not spin");
        }
        self.now = end;
    }

    fn deadline(&mut self) {
        self.node.handle(self.now, Input::Device(&self.device));
        self.node.handle(self.now, Input::Timeout);
        self.carry_out(true);
    }

    fn carry_out(&mut self, is_deadline: bool) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Configure(change) => {
                    assert!(is_deadline, "a packet alone changed the device: {change:?}");
                    self.check(&change);
                    self.device.apply(&change);
                }
                Output::Transmit { payload, .. } => assert!(payload.len() <= wire::MAX_SENT),
                Output::Notify(event) => drop(event.to_string()),
                Output::Remember(memory) => memory.check().expect("no more than a file may hold"),
                Output::Probe { .. } | Output::FindRoute(_) | Output::Stun { .. } | Output::Pong { .. } => {}
                Output::Resolve(host) => panic!("nothing to resolve: {host:?}"),
            }
        }
    }

    fn check(&self, change: &DeviceChange) {
        let peer = change.peer();
        let is_honest = match change {
            DeviceChange::AddPeer { allowed_ips, .. } => {
                self.members.contains(peer) && allowed_ips.iter().all(|prefix| self.is_its(prefix, peer))
            }
            DeviceChange::RemovePeer { .. } => true,
            DeviceChange::SetEndpoint { endpoint, .. } => self.endpoints.contains(endpoint),
            DeviceChange::AddAllowedIp { prefix, .. } => self.is_its(prefix, peer),
            DeviceChange::RemoveAllowedIp { .. } => true,
            // Without an endpoint only a stop does that.
            DeviceChange::MakeAgain { endpoint, .. } => endpoint.is_some() && !self.made.contains(peer),
        };
        assert!(
            is_honest || Power::of(self.level).permits(change),
            "{:?} allows no {change:?}",
            self.level
        );
        match change {
            DeviceChange::SetEndpoint { endpoint, .. } => {
                let last = self.device.peers.get(peer).and_then(|peer| peer.last_handshake);
                let is_live = last.is_some_and(|at| self.now.since(at) < HEALTH_LIMIT);
                let had_one = self.device.peers.get(peer).is_some_and(|peer| peer.endpoint.is_some());
                assert!(
                    !(is_live && had_one),
                    "the endpoint of a peer with a session: {change:?}"
                );
                assert!(!endpoint.ip().is_loopback() && !endpoint.ip().is_multicast() && endpoint.port() != 0);
            }
            DeviceChange::RemovePeer { .. } => assert!(!self.made.contains(peer), "a peer of the operator's"),
            DeviceChange::AddAllowedIp { prefix, .. } => {
                assert_ne!(*prefix, inner(OWN), "an address of this node");
                let before = self.device.owner(prefix);
                let is_made = [LIAR, OTHER]
                    .iter()
                    .any(|who| inner(*who) == *prefix && before == Some(&key(*who)));
                assert!(!is_made, "what the operator gave to a leaf: {change:?}");
                let is_local = AddressHash::Sha1.allowed_ip(peer) == *prefix;
                assert!(is_local || !is_link_local(prefix), "{change:?}");
            }
            DeviceChange::RemoveAllowedIp { prefix, .. } => {
                let network: IpNet = "10.0.0.0/24".parse().expect("a prefix");
                assert!(!(*peer == key(HUB) && *prefix == network), "the network of the hub");
            }
            DeviceChange::MakeAgain { .. } => {
                let seen = self.device.peers.get(peer);
                assert!(
                    seen.is_some_and(|peer| peer.last_handshake.is_none()),
                    "a session is lost"
                );
            }
            DeviceChange::AddPeer { .. } => {}
        }
    }

    fn is_its(&self, prefix: &IpNet, peer: &PublicKey) -> bool {
        let by_operator = [
            (HUB, "10.0.0.0/24".parse().expect("a prefix")),
            (LIAR, inner(LIAR)),
            (OTHER, inner(OTHER)),
        ];
        self.claimed.contains(&(*prefix, *peer))
            || *prefix == AddressHash::Sha1.allowed_ip(peer)
            || by_operator.iter().any(|(who, own)| own == prefix && key(*who) == *peer)
    }

    /// The device is as it was made.
    fn stop(mut self) {
        self.node.handle(self.now, Input::Device(&self.device));
        self.node.handle(self.now, Input::Stop);
        while let Some(output) = self.node.poll_output() {
            if let Output::Configure(change) = output {
                self.device.apply(&change);
            }
        }
        let left: BTreeSet<PublicKey> = self.device.peers.keys().copied().collect();
        assert_eq!(left, self.made, "who is left");
        for (who, prefix) in [
            (HUB, "10.0.0.0/24".parse().expect("a prefix")),
            (LIAR, inner(LIAR)),
            (OTHER, inner(OTHER)),
        ] {
            let left: Vec<IpNet> = self.device.peers[&key(who)].allowed_ips.iter().copied().collect();
            assert_eq!(left, [prefix], "what is left with {who}");
        }
    }
}

fn is_link_local(prefix: &IpNet) -> bool {
    match prefix.addr() {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    }
}
