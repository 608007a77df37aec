//! Why a peer is not direct: each cause is brought about, and must be what the node names.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::base::settings::{Override, PeerSettings, TrustLevel};
use wirelink::mesh::believe::fact::signal::Nat;
use wirelink::mesh::device::DeviceChange;
use wirelink::mesh::show::reason::Reason;
use wirelink::mesh::show::status::{PeerStatus, Way};

use crate::host::PeerConfig;
use crate::net::Quality;
use crate::program::Program;
use crate::scenario::border::Border;
use crate::scenario::{self, Act, Name, Scenario, table};
use crate::stage::Stage;
use crate::why;

const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(50);

/// The reasons that were named when their causes were there, in the order in which they were.
type Named = Vec<Cell>;

/// The answer of one side at one moment: a line of docs/reasons.md.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cell {
    pair: (Name, Name),
    reason: Reason,
    here: Nat,
    there: Nat,
    remedy: String,
}

/// A cause in words, and its injection.
type Cause = (&'static str, fn(&mut Named));

const CAUSES: [Cause; 19] = [
    (
        "A firewall drops all packets between A and B. Then it is opened",
        a_firewall_that_lets_nothing_in,
    ),
    (
        "A and B are behind symmetric NATs, and two hubs show it",
        two_nats_that_show_no_port,
    ),
    ("The hub never answered A", a_hub_that_was_never_heard),
    (
        "The hub loses its uplink, and A and B have no direct link",
        a_hub_that_dies,
    ),
    (
        "B is behind a symmetric NAT, A behind a home router, and a public member shows it",
        a_symmetric_nat_beside_a_home_router,
    ),
    ("A has no CAP_NET_RAW", a_side_without_raw_sockets),
    (
        "The firewall of A inspects packets and lets only WireGuard pass",
        something_that_lets_nothing_but_wireguard_pass,
    ),
    (
        "Handshakes are dropped between A and B; other UDP passes. A preshared key on one side alone looks the same",
        something_that_lets_all_but_wireguard_pass,
    ),
    ("The path takes 300 ms both ways", a_path_that_takes_its_time),
    (
        "The path between A and B fails and returns, four times",
        a_path_that_dies_and_one_that_dies_again_and_again,
    ),
    (
        "B runs WireGuard alone (`Basic`), and loses its uplink",
        a_peer_without_wirelink_that_goes,
    ),
    (
        "A and B have a session, made by hand, and wirelink does not run on B yet",
        a_peer_on_which_wirelink_is_not_started_yet,
    ),
    ("The operator of A pauses B", a_peer_that_is_paused),
    ("The operator of A bans B", a_peer_that_is_banned),
    (
        "`AllowPrefixes` of A does not hold the addresses of B",
        prefixes_that_the_operator_does_not_allow,
    ),
    (
        "The operator of A made B a peer without allowed IPs, and believes the hub about endpoints alone",
        prefixes_that_nobody_names,
    ),
    (
        "The operator of A made B a peer without an endpoint, and B never started",
        a_peer_that_was_never_there,
    ),
    ("A has IPv4 alone, and B IPv6", a_peer_of_the_other_family),
    (
        "A route of A's operator leads to the address of B through the tunnel",
        a_peer_behind_the_own_tunnel,
    ),
];

/// Plays all causes; returns what was named in each.
fn play_all() -> Vec<Named> {
    thread::scope(|scope| {
        let running = CAUSES.map(|(_, cause)| {
            scope.spawn(move || {
                let mut named = Named::new();
                cause(&mut named);
                named
            })
        });
        let ended = running.map(|cause| cause.join());
        let ended = ended.map(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        Vec::from(ended)
    })
}

/// A new reason needs a cause here. docs/reasons.md has a line for each cause and side; `WIRELINK_DOCS=1` writes it.
#[test]
fn every_reason_is_named_when_its_cause_is_there() {
    let played = play_all();
    let named: BTreeSet<Reason> = played.iter().flatten().map(|cell| cell.reason).collect();
    assert_eq!(named, Reason::ALL.iter().copied().collect());
    let mut table = String::new();
    for ((cause, _), named) in CAUSES.iter().zip(&played) {
        let _ = write!(table, "\n**{cause}.**\n\n{}", why::HEAD);
        for cell in named {
            let (name, of) = cell.pair;
            let asked = format!("{} about {}", said(name), said(of));
            why::write_line(&mut table, &asked, cell.reason, [cell.here, cell.there], &cell.remedy);
        }
    }
    why::check_section("causes", &table);
}

/// Returns how the documentation calls a host.
fn said(name: Name) -> String {
    if name == "hub" {
        "the hub".to_owned()
    } else {
        name.to_uppercase()
    }
}

/// Returns why a node does not reach another one directly.
fn reason(stage: &Stage<'_>, name: Name, of: Name) -> Option<Reason> {
    let node = stage.world.hosts[stage.id(name)]
        .node
        .as_ref()
        .and_then(Program::ours)?;
    let key = stage.world.hosts[stage.id(of)].key;
    let peers = node.status(stage.world.now).peers;
    peers
        .into_iter()
        .find(|peer| peer.peer.key == key)
        .map(|peer| peer.reason)
}

/// Returns what a node shows of another one.
pub(crate) fn shown(stage: &Stage<'_>, name: Name, of: Name) -> PeerStatus {
    let node = stage.world.hosts[stage.id(name)].node.as_ref().and_then(Program::ours);
    let key = stage.world.hosts[stage.id(of)].key;
    let peers = node.expect("it runs").status(stage.world.now).peers;
    peers
        .into_iter()
        .find(|peer| peer.peer.key == key)
        .expect("it is a peer")
}

/// Returns the answer of a node that gives this reason for another one.
fn cell(stage: &Stage<'_>, pair: (Name, Name), reason: Reason) -> Option<Cell> {
    let host = &stage.world.hosts[stage.id(pair.0)];
    let node = host.node.as_ref().and_then(Program::ours)?;
    let key = stage.world.hosts[stage.id(pair.1)].key;
    let explained = node.explain(stage.world.now, &key)?;
    (explained.peer.reason == reason).then(|| Cell {
        pair,
        reason,
        here: node.status(stage.world.now).nat_likely,
        there: explained.nat_there_likely,
        remedy: explained.remedy.replace(&key.short(), &said(pair.1)),
    })
}

/// Waits until a node gives a reason.
#[track_caller]
fn expect(named: &mut Named, stage: &mut Stage<'_>, pair: (Name, Name), wanted: Reason, within: Duration) {
    let until = stage.world.now + within;
    let mut seen = Vec::new();
    while stage.world.now < until {
        if let Some(cell) = cell(stage, pair, wanted) {
            if !named.iter().any(|named| (named.pair, named.reason) == (pair, wanted)) {
                named.push(cell);
            }
            return;
        }
        let present = reason(stage, pair.0, pair.1);
        if seen.last() != Some(&present) {
            seen.push(present);
        }
        stage.run(TICK);
    }
    panic!("{} about {}: {wanted:?} is not among {seen:?}", pair.0, pair.1);
}

/// One about the other, and the other way round.
const PAIRS: [(Name, Name); 2] = [("a", "b"), ("b", "a")];

/// Two leaves behind home routers, between which nothing passes.
fn apart(scenario: &Scenario) -> Stage<'_> {
    let mut stage = Stage::new(scenario, 1);
    stage.act(Act::Cut("a", "b"));
    stage
}

/// Has the operator of one machine make another, with a public address, a peer by hand, and perhaps say where it is.
fn introduce(stage: &mut Stage<'_>, name: Name, other: Name, allowed_ips: &[IpNet], is_known: bool) {
    let (id, other) = (stage.id(name), stage.id(other));
    let peer = PeerConfig {
        key: stage.world.hosts[other].key,
        allowed_ips: allowed_ips.to_vec(),
        endpoint: stage.world.net.nics(other)[0]
            .addresses
            .first()
            .filter(|_| is_known)
            .map(|net| (net.addr(), stage.world.hosts[other].config.port).into()),
        keepalive: None,
    };
    let add = DeviceChange::AddPeer {
        peer: peer.key,
        allowed_ips: peer.allowed_ips.iter().copied().collect(),
        endpoint: peer.endpoint,
    };
    stage.world.operate(id, &add);
    stage.world.hosts[id].config.peers.push(peer);
}

/// Has two leaves with public addresses be peers by hand, and gives them a session.
fn connect(stage: &mut Stage<'_>) -> [IpAddr; 2] {
    let inner = PAIRS.map(|(name, _)| {
        let inner = stage.world.hosts[stage.id(name)].inner(false);
        inner.expect("it has an address")
    });
    introduce(stage, "a", "b", &[inner[1].into()], true);
    introduce(stage, "b", "a", &[inner[0].into()], true);
    stage.world.ping(stage.id("a"), inner[1]);
    stage.run(SECOND);
    inner
}

/// Changes what the operator of one machine says about another.
fn say(stage: &mut Stage<'_>, name: Name, of: Name, said: impl FnOnce(&mut PeerSettings)) {
    let (id, of) = (stage.id(name), stage.id(of));
    let key = stage.world.hosts[of].key;
    let peers = &mut stage.world.hosts[id].config.settings.peers;
    said(peers.entry(key).or_default());
}

fn a_firewall_that_lets_nothing_in(named: &mut Named) {
    let scenario = table::home_home();
    let mut stage = apart(&scenario);
    stage.act(Act::StartAll);
    expect(named, &mut stage, ("a", "b"), Reason::Searching, 5 * SECOND);
    for (name, of) in PAIRS {
        expect(named, &mut stage, (name, of), Reason::NoAnswer, 30 * SECOND);
        expect(named, &mut stage, (name, "hub"), Reason::Router, SECOND);
    }
    stage.act(Act::Heal("a", "b"));
    for pair in PAIRS {
        expect(named, &mut stage, pair, Reason::Direct, 600 * SECOND);
    }
}

fn two_nats_that_show_no_port(named: &mut Named) {
    let mut scenario = table::two_hubs();
    scenario
        .sites
        .iter_mut()
        .for_each(|site| (site.border, site.ipv6) = (Border::SYMMETRIC, None));
    let mut stage = Stage::new(&scenario, 1);
    stage.act(Act::StartAll);
    for pair in PAIRS {
        expect(named, &mut stage, pair, Reason::NatPair, 120 * SECOND);
    }
}

fn a_side_without_raw_sockets(named: &mut Named) {
    let scenario = table::home_home();
    let mut stage = apart(&scenario);
    let a = stage.id("a");
    stage.world.hosts[a].config.probes = false;
    stage.act(Act::StartAll);
    expect(named, &mut stage, ("a", "b"), Reason::NoProbesHere, 20 * SECOND);
    expect(named, &mut stage, ("b", "a"), Reason::NoProbesThere, 20 * SECOND);
}

/// It may well send probes: nobody knows.
fn a_hub_that_was_never_heard(named: &mut Named) {
    let scenario = table::home_home();
    let mut stage = Stage::new(&scenario, 1);
    stage.act(Act::Cut("a", "hub"));
    stage.act(Act::Start("a"));
    stage.run(30 * SECOND);
    expect(named, &mut stage, ("a", "hub"), Reason::NoAnswer, TICK);
}

/// All that is shown says so at once, for it and for what is behind it, and goes on to say so when the handshake is too old.
fn a_hub_that_dies(named: &mut Named) {
    let scenario = table::symmetric_symmetric();
    let mut stage = Stage::new(&scenario, 1);
    stage.act(Act::StartAll);
    stage.run(30 * SECOND);
    assert_eq!(shown(&stage, "a", "hub").way, Way::Direct);
    assert!(matches!(shown(&stage, "a", "b").way, Way::Via(_)));
    stage.act(Act::Isolate("hub"));
    expect(named, &mut stage, ("a", "hub"), Reason::RouterSilent, 30 * SECOND);
    expect(named, &mut stage, ("hub", "a"), Reason::Silent, 30 * SECOND);
    for _ in 0..60 {
        for name in ["a", "b"] {
            stage.run(3 * SECOND);
            let hub = shown(&stage, name, "hub");
            assert_eq!(
                (hub.way, hub.reason),
                (Way::Down, Reason::RouterSilent),
                "{name}: {}",
                hub.why
            );
            let lost = hub.quality.map(|quality| (quality.out.loss(), quality.round_trip));
            assert!(matches!(lost, None | Some((Some(1000), None))), "{name}: {lost:?}");
        }
        for pair in PAIRS {
            let other = shown(&stage, pair.0, pair.1);
            assert_eq!(
                (other.way, other.reason),
                (Way::Down, Reason::BehindSilentRouter),
                "{}",
                other.why
            );
            assert!(other.why.contains("router"), "{}", other.why);
            expect(named, &mut stage, pair, other.reason, TICK);
        }
        for leaf in ["a", "b"] {
            assert_eq!(shown(&stage, "hub", leaf).way, Way::Down);
        }
    }
    stage.act(Act::Rejoin("hub"));
    for name in ["a", "b"] {
        expect(named, &mut stage, (name, "hub"), Reason::Router, 60 * SECOND);
        let after = cell(&stage, (name, "hub"), Reason::Router).map(|cell| cell.here);
        assert_ne!(after, Some(Nat::Blocked), "questions to a dead hub show no firewall");
    }
    stage.run(20 * SECOND);
    assert!(matches!(shown(&stage, "a", "b").way, Way::Via(_)));
}

/// WireGuard goes on to forward there, and says so by the bytes that it counts. Before it has answered what it was sent, which takes 10 s,
/// the machine cannot be told from a dead one.
#[test]
fn hub_without_its_daemon_still_carries_traffic() {
    let scenario = table::symmetric_symmetric();
    let mut stage = Stage::new(&scenario, 1);
    stage.act(Act::StartAll);
    stage.run(30 * SECOND);
    let hub = stage.id("hub");
    stage.world.kill(hub);
    for second in 0..150 {
        stage.run(SECOND);
        let (hub, other) = (shown(&stage, "a", "hub"), shown(&stage, "a", "b"));
        if (20..50).contains(&second) {
            continue;
        }
        assert_eq!(hub.way, Way::Direct, "after {second} s: {}", hub.why);
        assert!(matches!(other.way, Way::Via(_)), "after {second} s: {}", other.why);
    }
}

fn something_that_lets_nothing_but_wireguard_pass(named: &mut Named) {
    let scenario = table::home_home();
    let mut stage = apart(&scenario);
    let site = stage.site("a");
    stage.world.net.pass_wireguard_only(site);
    stage.act(Act::StartAll);
    expect(named, &mut stage, ("a", "b"), Reason::BlockedHere, 90 * SECOND);
    expect(named, &mut stage, ("b", "a"), Reason::BlockedThere, 90 * SECOND);
}

/// A public leaf is the second observer that shows it.
fn a_symmetric_nat_beside_a_home_router(named: &mut Named) {
    let scenario = scenario::said::network(Border::HOME, Border::SYMMETRIC, true);
    let mut stage = Stage::new(&scenario, 1);
    stage.act(Act::StartAll);
    expect(named, &mut stage, ("a", "b"), Reason::NatThere, 10 * SECOND);
    expect(named, &mut stage, ("b", "a"), Reason::NatHere, 10 * SECOND);
}

/// As a preshared key on one side alone does, too.
fn something_that_lets_all_but_wireguard_pass(named: &mut Named) {
    let scenario = table::home_home();
    let mut stage = Stage::new(&scenario, 1);
    let (a, b) = (stage.id("a"), stage.id("b"));
    stage.world.net.pass_all_but_wireguard(a, b);
    stage.act(Act::StartAll);
    for pair in PAIRS {
        expect(named, &mut stage, pair, Reason::HandshakeFails, 60 * SECOND);
    }
}

/// Long enough between an answer to a probe and the handshake to be seen.
fn a_path_that_takes_its_time(named: &mut Named) {
    let scenario = table::home_home();
    let mut stage = Stage::new(&scenario, 1);
    stage.set_quality(Quality {
        latency: Duration::from_millis(150),
        ..Quality::ACCESS
    });
    stage.act(Act::StartAll);
    expect(named, &mut stage, ("a", "b"), Reason::Handshaking, 10 * SECOND);
    for pair in PAIRS {
        expect(named, &mut stage, pair, Reason::Direct, 10 * SECOND);
    }
}

fn a_path_that_dies_and_one_that_dies_again_and_again(named: &mut Named) {
    let scenario = table::home_home();
    let mut stage = Stage::new(&scenario, 1);
    stage.act(Act::StartAll);
    expect(named, &mut stage, ("a", "b"), Reason::Direct, 30 * SECOND);
    for round in 0..4 {
        stage.act(Act::Cut("a", "b"));
        for pair in PAIRS {
            expect(named, &mut stage, pair, Reason::Silent, 60 * SECOND);
        }
        stage.act(Act::Heal("a", "b"));
        if round == 3 {
            for pair in PAIRS {
                expect(named, &mut stage, pair, Reason::Held, 60 * SECOND);
            }
        }
        expect(named, &mut stage, ("a", "b"), Reason::Direct, 120 * SECOND);
    }
}

/// Of a peer of which nothing else is ever heard, only its handshakes tell.
fn a_peer_without_wirelink_that_goes(named: &mut Named) {
    let scenario = table::public_public();
    let mut stage = Stage::new(&scenario, 1);
    say(&mut stage, "a", "b", |b| b.basic = true);
    connect(&mut stage);
    for name in ["hub", "a"] {
        stage.act(Act::Start(name));
    }
    expect(named, &mut stage, ("a", "b"), Reason::Direct, 30 * SECOND);
    stage.act(Act::Isolate("b"));
    expect(named, &mut stage, ("a", "b"), Reason::NoHandshake, 200 * SECOND);
}

fn a_peer_on_which_wirelink_is_not_started_yet(named: &mut Named) {
    let scenario = table::public_public();
    let mut stage = Stage::new(&scenario, 1);
    connect(&mut stage);
    for name in ["hub", "a"] {
        stage.act(Act::Start(name));
    }
    expect(named, &mut stage, ("a", "b"), Reason::Confirming, 5 * SECOND);
    expect(named, &mut stage, ("a", "b"), Reason::NoWirelink, 30 * SECOND);
    stage.act(Act::Start("b"));
    expect(named, &mut stage, ("a", "b"), Reason::Direct, 30 * SECOND);
}

fn a_peer_that_is_paused(named: &mut Named) {
    let scenario = table::home_home();
    let mut stage = Stage::new(&scenario, 1);
    stage.act(Act::StartAll);
    expect(named, &mut stage, ("a", "b"), Reason::Direct, 30 * SECOND);
    let (a, b) = (stage.id("a"), stage.id("b"));
    let before = stage.world.hosts[a].config.settings.clone();
    let mut settings = before.clone();
    let paused = Override {
        paused: true,
        ..Override::default()
    };
    settings.overrides.insert(stage.world.hosts[b].key, paused);
    stage.world.reload(a, settings);
    expect(named, &mut stage, ("a", "b"), Reason::Paused, 5 * SECOND);
    expect(named, &mut stage, ("b", "a"), Reason::AwaitsPeer, 30 * SECOND);
    stage.world.reload(a, before);
    for pair in PAIRS {
        expect(named, &mut stage, pair, Reason::Direct, 30 * SECOND);
    }
}

fn a_peer_that_is_banned(named: &mut Named) {
    let scenario = table::public_public();
    let mut stage = Stage::new(&scenario, 1);
    connect(&mut stage);
    say(&mut stage, "a", "b", |b| b.denied = Some(true));
    stage.act(Act::Start("a"));
    // A peer that is banned is taken off the device, once it is there to be seen.
    expect(named, &mut stage, ("a", "b"), Reason::Denied, 5 * SECOND);
    stage.act(Act::Start("b"));
    expect(named, &mut stage, ("b", "a"), Reason::NoWirelink, 60 * SECOND);
}

fn prefixes_that_the_operator_does_not_allow(named: &mut Named) {
    let scenario = table::home_home();
    let mut stage = Stage::new(&scenario, 1);
    let a = stage.id("a");
    let elsewhere = "192.168.77.0/24".parse().expect("a prefix");
    stage.world.hosts[a].config.settings.allow_prefixes = Some(vec![elsewhere]);
    stage.act(Act::StartAll);
    expect(named, &mut stage, ("a", "b"), Reason::PrefixRefused, 60 * SECOND);
    expect(named, &mut stage, ("b", "a"), Reason::Direct, 60 * SECOND);
}

/// The operator made the peer without any, and believes nobody who would name them.
fn prefixes_that_nobody_names(named: &mut Named) {
    let scenario = table::public_public();
    let mut stage = Stage::new(&scenario, 1);
    introduce(&mut stage, "a", "b", &[], true);
    say(&mut stage, "a", "hub", |hub| hub.trust = Some(TrustLevel::Endpoint));
    stage.act(Act::StartAll);
    expect(named, &mut stage, ("a", "b"), Reason::NoPrefix, 60 * SECOND);
    expect(named, &mut stage, ("b", "a"), Reason::Direct, 60 * SECOND);
}

fn a_peer_that_was_never_there(named: &mut Named) {
    let scenario = table::public_public();
    let mut stage = Stage::new(&scenario, 1);
    introduce(&mut stage, "a", "b", &[], false);
    stage.act(Act::Isolate("b"));
    for name in ["hub", "a"] {
        stage.act(Act::Start(name));
    }
    expect(named, &mut stage, ("a", "b"), Reason::NoEndpoint, 60 * SECOND);
}

fn a_peer_of_the_other_family(named: &mut Named) {
    let mut scenario = table::public_public();
    scenario
        .sites
        .iter_mut()
        .for_each(|site| site.ipv6 = Some(Border::Open));
    let mut stage = Stage::new(&scenario, 1);
    for (name, is_wanted) in [("a", IpAddr::is_ipv4 as fn(&IpAddr) -> bool), ("b", IpAddr::is_ipv6)] {
        let id = stage.id(name);
        let mut nics = stage.world.net.nics(id).to_vec();
        nics.iter_mut()
            .for_each(|nic| nic.addresses.retain(|net| is_wanted(&net.addr())));
        stage.world.plug(id, nics);
    }
    reach_hub_by_ipv6(&mut stage, "b");
    stage.act(Act::StartAll);
    for pair in PAIRS {
        expect(named, &mut stage, pair, Reason::NoFamily, 60 * SECOND);
    }
}

/// A route of the operator's leads to the peer's address through the hub.
fn a_peer_behind_the_own_tunnel(named: &mut Named) {
    let scenario = table::public_public();
    let mut stage = Stage::new(&scenario, 1);
    let (a, address) = (stage.id("a"), stage.address("b")[0]);
    let around = ipnet::IpNet::new(address, 31).expect("a prefix length").trunc();
    stage.world.hosts[a].config.peers[0].allowed_ips.push(around);
    stage.act(Act::StartAll);
    expect(named, &mut stage, ("a", "b"), Reason::ThroughTunnel, 60 * SECOND);
    expect(named, &mut stage, ("b", "a"), Reason::NoAnswer, 60 * SECOND);
}

/// Has the operator of a leaf write the other address of the hub.
fn reach_hub_by_ipv6(stage: &mut Stage<'_>, name: Name) {
    let (id, hub) = (stage.id(name), stage.id("hub"));
    let addresses = stage.address("hub").into_iter();
    let port = stage.world.hosts[hub].config.port;
    let endpoint = addresses
        .map(|address| (address, port).into())
        .find(std::net::SocketAddr::is_ipv6)
        .expect("the hub has IPv6");
    let peer = stage.world.hosts[hub].key;
    let known = stage.world.hosts[id].config.peers.iter_mut();
    known
        .filter(|known| known.key == peer)
        .for_each(|known| known.endpoint = Some(endpoint));
    stage.world.operate(id, &DeviceChange::SetEndpoint { peer, endpoint });
}
