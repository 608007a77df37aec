//! Does the model do what the description says?

use std::net::SocketAddr;
use std::time::Duration;

use wirelink::mesh::base::identity::{AddressHash, PrivateKey, PublicKey};
use wirelink::mesh::base::settings::{PeerSettings, Settings, TrustLevel};
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::believe::auth::Auth;
use wirelink::mesh::device::{DeviceChange, DeviceState, PeerState};
use wirelink::mesh::share::ports::PortPair;
use wirelink::mesh::show::event::{HostState, Input, Output, Route};
use zeroize::Zeroizing;

use super::wire::{Fact, Timed, Value, decode, encode};
use super::{FACT_TTL, Node, TICK};

const OWN: u8 = 1;
const HUB: u8 = 2;
const LEAF: u8 = 3;
const OTHER: u8 = 4;

fn private(number: u8) -> PrivateKey {
    PrivateKey::from_bytes(&Zeroizing::new([number; 32]))
}

fn key(number: u8) -> PublicKey {
    private(number).public_key()
}

/// One node, with its peers played by the test.
struct Bench {
    node: Node,
    now: Timestamp,
    device: DeviceState,
    /// What it said to whom.
    said: Vec<(Timestamp, PublicKey, Vec<Timed>)>,
    changes: Vec<DeviceChange>,
}

impl Bench {
    /// A leaf of a hub that routes 10.0.0.0/24 and has just had a handshake.
    fn leaf(settings: Settings) -> Self {
        let mut bench = Self::alone(settings);
        bench.add_peer(HUB, "10.0.0.0/24");
        bench
    }

    fn alone(settings: Settings) -> Self {
        let now = Timestamp::START + Duration::from_secs(100);
        Self {
            node: Node::new(settings, private(OWN), [5; 32], now),
            now,
            device: DeviceState::new(key(OWN), 51820),
            said: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn add_peer(&mut self, number: u8, prefix: &str) {
        let state = PeerState {
            endpoint: Some(SocketAddr::from(([192, 0, 2, number], 51820))),
            last_handshake: Some(self.now),
            allowed_ips: [prefix.parse().unwrap(), AddressHash::Sha1.allowed_ip(&key(number))].into(),
            ..PeerState::default()
        };
        self.device.peers.insert(key(number), state);
    }

    fn hear(&mut self, from: u8, facts: &[(u8, Value)]) {
        let facts: Vec<u8> = facts
            .iter()
            .flat_map(|(subject, value)| {
                let fact = Fact {
                    subject: key(*subject),
                    value: value.clone(),
                };
                encode(&Timed { fact, ttl: 255 })
            })
            .collect();
        self.hear_bytes(from, &facts);
    }

    fn hear_bytes(&mut self, from: u8, facts: &[u8]) {
        let mut auth = Auth::new(private(from), AddressHash::Sha1);
        let payload = auth.tag(&key(OWN), [9; 24], facts).unwrap();
        let source = AddressHash::Sha1.link_local(&key(from));
        self.node.handle(
            self.now,
            Input::Packet {
                source,
                ports: PortPair::default(),
                payload: &payload,
            },
        );
    }

    /// Lets time pass; peers whose number is given have a handshake and give a sign of life with every tick.
    fn run(&mut self, time: Duration, alive: &[u8]) {
        let end = self.now + time;
        while self.node.poll_timeout().unwrap().at <= end {
            self.now = self.node.poll_timeout().unwrap().at;
            for number in alive {
                self.hear(*number, &[(*number, Value::Alive([*number; 16]))]);
                if let Some(peer) = self.device.peers.get_mut(&key(*number)) {
                    peer.last_handshake = Some(self.now);
                }
            }
            self.node.handle(self.now, Input::Device(&self.device));
            self.node.handle(self.now, Input::Timeout);
            self.drain();
        }
        self.now = end;
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Configure(change) => {
                    self.device.apply(&change);
                    self.changes.push(change);
                }
                Output::Transmit { to, payload, .. } => {
                    let mut peers = self.device.peers.keys();
                    let to = peers.find(|key| AddressHash::Sha1.link_local(key) == to).unwrap();
                    let (sender, facts) = decode(&payload).unwrap();
                    assert_eq!(sender, key(OWN));
                    self.said.push((self.now, *to, facts));
                }
                Output::Remember(_)
                | Output::Probe { .. }
                | Output::FindRoute(_)
                | Output::Stun { .. }
                | Output::Resolve(_)
                | Output::Pong { .. }
                | Output::Notify(_) => {}
            }
        }
    }

    /// Returns when a peer was told something of a kind.
    fn times(&self, to: u8, told: impl Fn(&Timed) -> bool) -> Vec<Timestamp> {
        let said = self.said.iter().filter(|(_, whom, _)| *whom == key(to));
        said.filter(|(.., facts)| facts.iter().any(&told))
            .map(|(at, ..)| *at)
            .collect()
    }
}

fn is_alive(timed: &Timed) -> bool {
    matches!(timed.fact.value, Value::Alive(_))
}

fn endpoint(text: &str) -> Value {
    Value::Endpoint(text.parse().unwrap())
}

fn allowed(text: &str) -> Value {
    Value::AllowedIp(text.parse().unwrap())
}

fn metadata() -> Value {
    Value::Metadata([(b'n', b"x".to_vec())].into())
}

#[test]
fn a_group_with_an_extended_fact_is_refused_whole() {
    let mut bench = Bench::leaf(Settings::default());
    let good = encode(&Timed {
        fact: Fact {
            subject: key(HUB),
            value: allowed("10.0.7.0/24"),
        },
        ttl: 255,
    });
    let extended = [&[0x81, 5][..], key(HUB).as_bytes(), &[0]].concat();
    bench.hear_bytes(HUB, &[&good[..], &extended].concat());
    bench.run(TICK, &[]);
    assert_eq!(*bench.node.refused(), [("an extended fact", 1)].into());
    assert!(
        bench
            .node
            .facts()
            .keys()
            .all(|fact| fact.value != allowed("10.0.7.0/24"))
    );
    bench.hear_bytes(HUB, &good);
    bench.run(TICK, &[]);
    assert!(
        bench
            .node
            .facts()
            .keys()
            .any(|fact| fact.value == allowed("10.0.7.0/24"))
    );
}

#[test]
fn a_sign_of_life_is_due_every_thirty_seconds_with_a_version_4_boot_id() {
    let mut bench = Bench::leaf(Settings::default());
    assert_eq!(bench.node.address(), AddressHash::Sha1.link_local(&key(OWN)));
    bench.add_peer(LEAF, "10.0.0.3/32");
    bench.run(Duration::from_secs(300), &[HUB, LEAF]);
    let times = bench.times(LEAF, is_alive);
    assert!(
        times
            .windows(2)
            .all(|pair| pair[1].since(pair[0]) == Duration::from_secs(30)),
        "{times:?}"
    );
    assert_eq!(
        bench.times(LEAF, |timed| !is_alive(timed)),
        [],
        "a leaf is told nothing else by a leaf"
    );
    assert_eq!((bench.node.boot_id[6] >> 4, bench.node.boot_id[8] >> 6), (4, 2));
}

#[test]
fn a_fact_is_told_again_when_half_of_its_life_is_over() {
    let mut bench = Bench::alone(Settings::default());
    bench.add_peer(LEAF, "10.0.0.3/32");
    bench.add_peer(OTHER, "10.0.0.4/32");
    bench.run(Duration::from_secs(600), &[LEAF, OTHER]);
    assert!(bench.node.is_up(bench.now, &key(LEAF)));
    let told = bench.times(LEAF, |timed| timed.fact.subject == key(OTHER));
    let gaps: Vec<u64> = told.windows(2).map(|pair| pair[1].since(pair[0]).as_secs()).collect();
    assert_eq!(gaps, [125, 125, 125, 125], "255 less 127.5 and 5, with the next tick");
    let told = bench.times(LEAF, |timed| timed.fact.subject == key(LEAF));
    assert_eq!(told, [], "nobody is told about itself");
}

#[test]
fn a_changed_boot_id_wants_everything_told_again() {
    let mut bench = Bench::leaf(Settings::default());
    bench.add_peer(LEAF, "10.0.0.3/32");
    bench.run(Duration::from_secs(60), &[HUB, LEAF]);
    let told = |bench: &Bench| bench.times(HUB, |timed| timed.fact.subject == key(LEAF)).len();
    assert_eq!(told(&bench), 1);
    bench.hear(HUB, &[(HUB, Value::Alive([0x77; 16]))]);
    bench.run(TICK, &[]);
    assert_eq!(told(&bench), 2);
}

#[test]
fn an_endpoint_is_tried_for_fifteen_seconds_and_the_one_that_was_not_tried_longest_is_next() {
    let mut bench = Bench::leaf(Settings::default());
    bench.add_peer(LEAF, "10.0.0.3/32");
    bench.device.peers.get_mut(&key(LEAF)).unwrap().last_handshake = None;
    bench.hear(
        HUB,
        &["198.51.100.1:1", "198.51.100.2:2"].map(|at| (LEAF, endpoint(at))),
    );
    bench.run(Duration::from_secs(59), &[HUB]);
    let tried: Vec<SocketAddr> = bench
        .changes
        .iter()
        .filter_map(|change| match change {
            DeviceChange::SetEndpoint { endpoint, .. } => Some(*endpoint),
            _ => None,
        })
        .collect();
    let [first, second] = ["198.51.100.1:1", "198.51.100.2:2"].map(|at| at.parse().unwrap());
    assert_eq!(tried, [first, second, first, second]);
}

#[test]
fn allowed_ips_come_with_a_session_and_a_fresh_sign_of_life() {
    let mut bench = Bench::leaf(Settings::default());
    bench.add_peer(LEAF, "fe80::1/128");
    let prefix = "10.0.0.3/32".parse().unwrap();
    let has = |bench: &Bench| bench.device.peers[&key(LEAF)].allowed_ips.contains(&prefix);
    bench.hear(HUB, &[(LEAF, allowed("10.0.0.3/32"))]);
    bench.hear(LEAF, &[(OTHER, Value::Member)]);
    bench.run(TICK * 3, &[HUB]);
    assert_eq!(*bench.node.distrusted(), [("not trusted with it", 1)].into());
    assert!(!has(&bench), "it never gave a sign of life");
    bench.hear(LEAF, &[(LEAF, Value::Alive([1; 16]))]);
    bench.run(TICK, &[HUB]);
    assert!(has(&bench));
}

#[test]
fn a_leaf_believes_its_router_everything_and_a_leaf_only_endpoints_of_peers() {
    let mut bench = Bench::leaf(Settings::default());
    bench.add_peer(LEAF, "10.0.0.3/32");
    bench.run(TICK, &[]);
    let judge = |bench: &Bench, from, subject, value: Value| {
        let subject = key(subject);
        bench.node.judge(&key(from), &Fact { subject, value })
    };
    for value in [
        endpoint("198.51.100.1:1"),
        allowed("10.0.0.9/32"),
        metadata(),
        Value::Member,
    ] {
        assert_eq!(judge(&bench, HUB, OTHER, value), Ok(()));
    }
    assert_eq!(judge(&bench, LEAF, HUB, endpoint("198.51.100.1:1")), Ok(()));
    assert!(judge(&bench, LEAF, OTHER, endpoint("198.51.100.1:1")).is_err());
    for value in [allowed("10.0.0.9/32"), metadata(), Value::Member, Value::Alive([1; 16])] {
        assert!(judge(&bench, LEAF, HUB, value).is_err());
    }
    assert!(
        judge(&bench, OTHER, OTHER, Value::Alive([1; 16])).is_err(),
        "a stranger"
    );
    bench.node.host = HostState {
        routes: vec![Route {
            prefix: "10.0.0.0/24".parse().unwrap(),
            into_tunnel: true,
        }],
        ..HostState::default()
    };
    assert!(
        judge(&bench, HUB, LEAF, endpoint("10.0.0.3:1")).is_err(),
        "through the tunnel"
    );
}

#[test]
fn one_configured_level_ends_the_trust_in_routers() {
    let peer = PeerSettings {
        trust: Some(TrustLevel::AllowedIPs),
        ..PeerSettings::default()
    };
    let mut bench = Bench::leaf(Settings {
        peers: [(key(OTHER), peer)].into(),
        ..Settings::default()
    });
    bench.run(TICK, &[]);
    assert_eq!(bench.node.level(&key(HUB)), Some(TrustLevel::Endpoint));
}

#[test]
fn hundred_facts_make_a_tick() {
    let mut bench = Bench::leaf(Settings::default());
    bench.add_peer(LEAF, "fe80::1/128");
    bench.run(TICK * 3, &[HUB, LEAF]);
    let due = bench.node.poll_timeout().unwrap().at;
    let facts = vec![(HUB, Value::Alive([HUB; 16])); 20];
    (0..4).for_each(|_| bench.hear(HUB, &facts));
    assert_eq!(bench.node.poll_timeout().unwrap().at, due);
    bench.hear(HUB, &facts);
    assert_eq!(bench.node.poll_timeout().unwrap().at, bench.now);
    bench.run(Duration::ZERO, &[]);
    assert_eq!(bench.node.poll_timeout().unwrap().at, due, "its clock ticks on");
}

#[test]
fn silent_peer_keeps_its_prefixes_while_it_has_a_session() {
    let mut bench = Bench::leaf(Settings::default());
    bench.add_peer(LEAF, "10.0.0.3/32");
    let prefix = "10.0.0.3/32".parse().unwrap();
    let has = |bench: &Bench| bench.device.peers[&key(LEAF)].allowed_ips.contains(&prefix);
    let told = [
        (LEAF, Value::Member),
        (HUB, Value::Member),
        (HUB, allowed("10.0.0.0/24")),
    ];
    for _ in 0..60 {
        bench.device.peers.get_mut(&key(LEAF)).unwrap().last_handshake = Some(bench.now);
        bench.hear(HUB, &told);
        bench.run(Duration::from_secs(20), &[HUB]);
        assert!(has(&bench));
    }
    for _ in 0..10 {
        bench.hear(HUB, &told);
        bench.run(Duration::from_secs(20), &[HUB]);
    }
    assert!(!has(&bench));
}

#[test]
fn members_come_at_once_and_go_when_nobody_has_vouched_for_them_for_long() {
    let mut bench = Bench::leaf(Settings::default());
    bench.hear(HUB, &[(LEAF, Value::Member), (HUB, Value::Member)]);
    bench.run(TICK, &[HUB]);
    assert!(bench.device.peers.contains_key(&key(LEAF)));
    let boot_id = bench.node.boot_id;
    for _ in 0..10 {
        bench.hear(HUB, &[(HUB, Value::Member)]);
        bench.run(Duration::from_secs(24), &[HUB]);
        assert!(bench.device.peers.contains_key(&key(LEAF)));
    }
    bench.run(Duration::from_secs(40), &[HUB]);
    assert!(!bench.device.peers.contains_key(&key(LEAF)));
    assert!(bench.device.peers.contains_key(&key(HUB)));
    assert_ne!(
        bench.node.boot_id, boot_id,
        "an expired member makes it ask for everything"
    );
}

#[test]
fn without_a_voucher_nobody_is_removed() {
    let mut bench = Bench::leaf(Settings::default());
    bench.add_peer(LEAF, "10.0.0.3/32");
    bench.run(FACT_TTL * 3, &[LEAF]);
    assert!(bench.device.peers.contains_key(&key(LEAF)));
}

#[test]
fn a_router_says_who_is_a_member_and_what_they_have_and_removes_nothing() {
    let mut bench = Bench::alone(Settings::default());
    bench.add_peer(LEAF, "10.0.0.3/32");
    bench.add_peer(OTHER, "10.0.0.4/32");
    bench.run(TICK, &[LEAF]);
    let (.., facts) = bench.said.iter().find(|(_, to, _)| *to == key(LEAF)).unwrap();
    let of_other: Vec<&Value> = facts
        .iter()
        .filter(|timed| timed.fact.subject == key(OTHER))
        .map(|timed| &timed.fact.value)
        .collect();
    assert_eq!(
        of_other,
        [&endpoint("192.0.2.4:51820"), &allowed("10.0.0.4/32"), &Value::Member]
    );
    bench.run(FACT_TTL * 4, &[LEAF]);
    assert_eq!(bench.device.peers.len(), 2);
}

#[test]
fn nothing_is_said_of_a_peer_that_is_gone() {
    let mut bench = Bench::alone(Settings::default());
    bench.add_peer(LEAF, "10.0.0.3/32");
    bench.add_peer(OTHER, "10.0.0.4/32");
    bench.run(Duration::from_secs(1000), &[LEAF]);
    let told = bench.times(LEAF, |timed| timed.fact.subject == key(OTHER));
    assert!(
        told.last().unwrap().since_start() < Duration::from_secs(100 + 170),
        "{told:?}"
    );
}
