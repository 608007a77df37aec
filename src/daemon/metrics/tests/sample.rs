//! A network that is no more than a sample.

use std::time::Duration;

use crate::control::{Event, Node, Path, Peer, Quality, Status, VERSION};
use crate::daemon::metrics::Snapshot;
use crate::mesh::base::identity::{AddressHash, PublicKey};
use crate::mesh::base::settings::TrustLevel;

/// When it is looked at.
pub(in crate::daemon::metrics) const AT: Duration = Duration::from_secs(1_795_000_000);

const NAMES: [&str; 12] = [
    "hub-fra",
    "alice-laptop",
    "bob-phone",
    "build-server",
    "hub-nyc",
    "camera-gate",
    "dora",
    "backup",
    "printer",
    "nas",
    "office-router",
    "<img src=x onerror=alert(1)>",
];

/// Returns how a node with so many peers is after so many steps of 2 s.
pub(in crate::daemon::metrics) fn snapshot(peers: u8, step: u64) -> Snapshot {
    let mut shown: Vec<Peer> = (0..peers).map(|number| peer(number, step)).collect();
    shown.sort_by(|one, other| {
        (one.name.is_none(), &one.name, one.key).cmp(&(other.name.is_none(), &other.name, other.key))
    });
    let key = key(255);
    let node = Node {
        program: "wirelink 0.1.0".to_owned(),
        interface: "wg0".to_owned(),
        backend: "kernel WireGuard".to_owned(),
        address: AddressHash::Sha1.link_local(&key),
        key,
        role: "leaf".to_owned(),
        role_reason: String::new(),
        trust_reason: String::new(),
        chatty: false,
        nat: "endpoint-independent".to_owned(),
        nat_likely: "endpoint-independent".to_owned(),
        nat_by: vec!["hub-fra".to_owned()],
        no_probes: None,
        fact_ports: Vec::new(),
        up_seconds: 93_784 + 2 * step,
        debug: false,
        overrides: Vec::new(),
    };
    Snapshot {
        at: AT + Duration::from_secs(2 * step),
        status: Status {
            version: VERSION,
            node,
            peers: shown,
        },
        events: [("link-established", 12), ("link-lost", 1)].into(),
        rejections: [("not-trusted", 7), ("stranger", 2)].into(),
        recent: vec![
            event(
                0,
                "link-established",
                "info",
                "direct link to alice-laptop (Aq8zu2Kf) through 198.51.100.17:51820, after 0.2 s",
            ),
            event(
                41,
                "prefix-moved",
                "info",
                "10.0.0.3/32 goes to alice-laptop (Aq8zu2Kf)",
            ),
            event(
                65,
                "prefix-refused",
                "warn",
                "192.168.1.0/24 is claimed for nas (CV0xq7vn) by itself and not programmed: this machine is connected to it",
            ),
        ],
    }
}

/// Returns something that happened.
pub(super) fn event(after: u64, code: &str, level: &str, text: &str) -> Event {
    Event {
        at_ms: u64::try_from(AT.as_millis()).expect("it is small") + after * 1000,
        level: level.to_owned(),
        code: code.to_owned(),
        peer: None,
        from: None,
        text: text.to_owned(),
    }
}

fn key(number: u8) -> PublicKey {
    let looks_random = ring::digest::digest(&ring::digest::SHA256, &[number]);
    PublicKey::from_bytes(looks_random.as_ref().try_into().expect("it is 32 bytes"))
}

fn name(number: u8) -> Option<String> {
    match number {
        0..=11 => Some(NAMES[usize::from(number)].to_owned()),
        _ if number % 9 == 5 => None,
        _ => Some(format!("node-{number:03}")),
    }
}

fn peer(number: u8, step: u64) -> Peer {
    let router = number == 0 || number == 4;
    let (path, via, reason, text, link) = match number {
        0 | 4 => (
            Path::Direct,
            None,
            "router",
            "it routes for others, and traffic goes to it",
            "up",
        ),
        _ if number % 13 == 7 => (
            Path::Down,
            None,
            "no-handshake",
            "WireGuard gets no handshake any more",
            "suspect",
        ),
        _ if number % 4 == 2 || number == 5 => {
            let router = if number % 8 < 4 { NAMES[0] } else { NAMES[4] };
            (
                Path::Via,
                Some(router),
                "nat-pair",
                "both NATs give each destination a port of its own",
                "probing",
            )
        }
        _ => (Path::Direct, None, "direct", "traffic goes directly", "up"),
    };
    let pace = if path == Path::Down {
        0
    } else {
        1 << (u64::from(number) * 5 % 23)
    };
    let millis = f64::from(number) * 7.3 % 90.0 + 0.8;
    Peer {
        key: key(number),
        name: name(number),
        path,
        via: via.map(str::to_owned),
        reason: reason.to_owned(),
        reason_text: text.to_owned(),
        detail: text.to_owned(),
        link: link.to_owned(),
        since_seconds: 40 + u64::from(number) * 977 + 2 * step,
        endpoint: Some(([198, 51, 100, number], 51820).into()),
        allowed_ips: vec![format!("10.0.0.{number}/32").parse().expect("a prefix")],
        handshake_seconds: (path != Path::Down).then_some((u64::from(number) * 17 + 2 * step) % 120),
        received_bytes: 1_000_000 + pace * step * 2,
        sent_bytes: 400_000 + pace * step,
        quality: (path == Path::Direct).then_some(Quality {
            round_trip_ms: Some(millis),
            loss_out: Some(0.0),
            loss_in: Some(0.01),
            jitter_out_ms: millis / 20.0,
            jitter_in_ms: millis / 30.0,
        }),
        trust: Some(TrustLevel::Endpoint),
        router,
        introduced: number > 4,
        shared_key: false,
    }
}
