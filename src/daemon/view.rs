//! What the node shows, in the words of the control socket.

use std::net::SocketAddr;
use std::time::Duration;

use crate::control;
use crate::mesh::base::identity::PublicKey;
use crate::mesh::believe::fact::Origin;
use crate::mesh::believe::fact::signal::Nat;
use crate::mesh::device::DeviceState;
use crate::mesh::reach::link::State;
use crate::mesh::reach::link::quality::{Direction, Quality};
use crate::mesh::show::status::{Explanation, PeerStatus, Place, Status, Way};

/// What the shell knows beside the node.
pub(super) struct Around<'a> {
    pub(super) iface: &'a str,
    pub(super) backend: String,
    pub(super) up: Duration,
    pub(super) debug: bool,
    pub(super) chatty: bool,
    pub(super) overrides: Vec<String>,
    pub(super) fact_ports: Vec<control::FactPort>,
}

/// Returns how the node and its peers are; `device` is read just now, for its counters.
pub(super) fn status(status: &Status, device: &DeviceState, around: Around<'_>) -> control::Status {
    let mut peers: Vec<control::Peer> = status.peers.iter().map(|shown| peer(shown, device)).collect();
    peers.sort_by(|one, other| order(one).cmp(&order(other)));
    control::Status {
        version: control::VERSION,
        node: control::Node {
            program: concat!("wirelink ", env!("CARGO_PKG_VERSION")).to_owned(),
            interface: around.iface.to_owned(),
            backend: around.backend,
            key: status.key,
            address: status.address,
            role: role(status.router).to_owned(),
            role_reason: status.role.clone().unwrap_or_default(),
            trust_reason: status.trust.clone().unwrap_or_default(),
            chatty: around.chatty,
            nat: nat(status.nat).to_owned(),
            nat_likely: nat(status.nat_likely).to_owned(),
            nat_by: observers(status),
            no_probes: status.no_probes.map(|why| why.to_string()),
            fact_ports: around.fact_ports,
            up_seconds: around.up.as_secs(),
            debug: around.debug,
            overrides: around.overrides,
        },
        peers,
    }
}

/// Names first, in their order, and then keys.
fn order(peer: &control::Peer) -> (bool, Option<&str>, &PublicKey) {
    (peer.name.is_none(), peer.name.as_deref(), &peer.key)
}

fn peer(shown: &PeerStatus, device: &DeviceState) -> control::Peer {
    let counted = device.peers.get(&shown.peer.key);
    let (path, via) = way(&shown.way);
    control::Peer {
        key: shown.peer.key,
        name: shown.peer.name.clone(),
        path,
        via,
        reason: shown.reason.code().to_owned(),
        reason_text: shown.reason.to_string(),
        detail: shown.why.clone(),
        link: link(shown.state).to_owned(),
        since_seconds: shown.since.as_secs(),
        endpoint: shown.endpoint,
        allowed_ips: shown.allowed_ips.clone(),
        handshake_seconds: shown.handshake.map(|age| age.as_secs()),
        received_bytes: counted.map_or(0, |peer| peer.rx_bytes),
        sent_bytes: counted.map_or(0, |peer| peer.tx_bytes),
        quality: shown.quality.as_ref().map(quality),
        trust: shown.trust,
        router: shown.router,
        introduced: shown.introduced,
        shared_key: shown.shared_key,
    }
}

fn quality(measured: &Quality) -> control::Quality {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let ratio = |direction: &Direction| direction.loss().map(|thousandths| f64::from(thousandths) / 1000.0);
    control::Quality {
        round_trip_ms: measured.round_trip.map(milliseconds),
        loss_out: ratio(&measured.out),
        loss_in: ratio(&measured.back),
        jitter_out_ms: milliseconds(measured.out.jitter),
        jitter_in_ms: milliseconds(measured.back.jitter),
    }
}

fn way(way: &Way) -> (control::Path, Option<String>) {
    match way {
        Way::Direct => (control::Path::Direct, None),
        Way::Via(router) => (control::Path::Via, Some(called(&router.key, router.name.as_deref()))),
        Way::Down => (control::Path::Down, None),
    }
}

/// Returns what is to be said of a ping of a peer that nothing answers.
pub(super) fn unanswered(shown: &PeerStatus) -> control::Pong {
    let (path, via) = way(&shown.way);
    control::Pong::new(shown.peer.key, shown.peer.name.clone(), path, via)
}

/// Returns how a peer came to be as it is.
pub(super) fn explanation(
    status: &Status,
    explained: &Explanation,
    device: &DeviceState,
    events: Vec<control::Event>,
) -> control::Explanation {
    let shown = &explained.peer;
    control::Explanation {
        version: control::VERSION,
        peer: peer(shown, device),
        remedy: explained.remedy.clone(),
        vouchers: explained.vouchers.iter().map(|origin| source(status, origin)).collect(),
        candidates: explained
            .places
            .iter()
            .map(|place| candidate(status, place, shown.endpoint))
            .collect(),
        nat_here: nat(status.nat).to_owned(),
        nat_there: explained.nat_there.map(|class| nat(class).to_owned()),
        nat_here_likely: nat(status.nat_likely).to_owned(),
        nat_there_likely: explained.nat_there.map(|_| nat(explained.nat_there_likely).to_owned()),
        nat_by: observers(status),
        events,
    }
}

fn candidate(status: &Status, place: &Place, used: Option<SocketAddr>) -> control::Candidate {
    control::Candidate {
        endpoint: place.endpoint,
        kind: place.kind.to_string(),
        said_by: place.said_by.map(|(origin, _)| source(status, &origin)),
        expires_seconds: place.said_by.map(|(_, ttl)| ttl.as_secs()),
        asked: place.asked.map_or(0, |(times, _)| times),
        asked_seconds: place.asked.map(|(_, ago)| ago.as_secs()),
        answer_ms: place.answered.map(|(took, _)| took.as_secs_f64() * 1000.0),
        answered_seconds: place.answered.map(|(_, ago)| ago.as_secs()),
        in_use: used == Some(place.endpoint),
    }
}

/// Returns the peers as they are on the interface, without secrets.
pub(super) fn export(status: &Status, device: &DeviceState, iface: &str) -> control::Export {
    let peers = status.peers.iter().filter_map(|shown| {
        let state = device.peers.get(&shown.peer.key)?;
        Some(control::ExportedPeer {
            key: shown.peer.key,
            name: shown.peer.name.clone(),
            preshared_key: state.preshared,
            endpoint: state.endpoint,
            allowed_ips: state.allowed_ips.iter().copied().collect(),
            keepalive_seconds: state.keepalive,
        })
    });
    control::Export {
        interface: iface.to_owned(),
        peers: peers.collect(),
    }
}

/// Returns how a peer is spoken of: by its name, or by the beginning of its key.
pub(super) fn called(key: &PublicKey, name: Option<&str>) -> String {
    name.map_or_else(|| key.short(), str::to_owned)
}

/// Returns who said something.
fn source(status: &Status, origin: &Origin) -> String {
    match origin {
        Origin::Peer(key) => called(key, status.name_of(key).as_deref()),
        Origin::Observed | Origin::Configured | Origin::Remembered => status.source(origin),
    }
}

/// Returns who sees this node from outside of its NAT.
fn observers(status: &Status) -> Vec<String> {
    let peers = status.nat_by.iter();
    let peers = peers.map(|peer| called(&peer.key, peer.name.as_deref()));
    peers.chain(status.nat_by_servers.then(|| "STUN".to_owned())).collect()
}

fn role(router: Option<bool>) -> &'static str {
    match router {
        Some(true) => "router",
        Some(false) => "leaf",
        None => "unknown",
    }
}

fn nat(class: Nat) -> &'static str {
    match class {
        Nat::Unknown => "unknown",
        Nat::EndpointIndependent => "endpoint-independent",
        Nat::AddressDependent => "address-dependent",
        Nat::Blocked => "blocked",
    }
}

fn link(state: State) -> &'static str {
    match state {
        State::Idle => "idle",
        State::Probing => "probing",
        State::Up => "up",
        State::Suspect(_) => "suspect",
    }
}
