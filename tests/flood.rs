//! What a flood makes a node hold, measured: members with the longest metadata that is believed, from as many liars as fill the store.
//! A program of its own, because only so its memory is its own.

use std::net::SocketAddr;
use std::time::Duration;

use wirelink::mesh::base::identity::{AddressHash, PrivateKey, PublicKey};
use wirelink::mesh::base::settings::{PeerSettings, Settings, TrustLevel};
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::believe::auth::Auth;
use wirelink::mesh::believe::fact::store::{MAX_FACTS, MAX_PER_ORIGIN};
use wirelink::mesh::believe::fact::value::{Metadata, Value};
use wirelink::mesh::believe::fact::{Fact, Timed, wire};
use wirelink::mesh::device::{DeviceState, PeerState};
use wirelink::mesh::node::Node;
use wirelink::mesh::share::ports::PortPair;
use wirelink::mesh::show::event::{Input, Output};
use zeroize::Zeroizing;

/// What the table in `lib.rs` adds up to.
const CAP: usize = 100_000_000;
/// How many liars it takes to fill the store, and one that finds it full.
const LIARS: u8 = 3;

fn private(who: u8) -> PrivateKey {
    PrivateKey::from_bytes(&Zeroizing::new([who; 32]))
}

/// Bytes that this process holds (proc_pid_statm(5)).
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok());
    4096 * pages.unwrap_or(0_usize)
}

struct Victim {
    node: Node,
    device: DeviceState,
    now: Timestamp,
    peak: usize,
}

impl Victim {
    fn new() -> Self {
        let mut settings = Settings::default();
        let own = private(200).public_key();
        let mut device = DeviceState::new(own, 51820);
        let now = Timestamp::from_start(Duration::from_secs(1000));
        for who in 1..=LIARS {
            let key = private(who).public_key();
            let trust = Some(TrustLevel::Membership);
            settings.peers.insert(
                key,
                PeerSettings {
                    trust,
                    ..PeerSettings::default()
                },
            );
            let endpoint = Some(SocketAddr::from(([192, 0, 2, who], 5)));
            device.peers.insert(
                key,
                PeerState {
                    endpoint,
                    last_handshake: Some(now),
                    ..PeerState::default()
                },
            );
        }
        let mut victim = Self {
            node: Node::new(settings, private(200), [9; 32], now),
            device,
            now,
            peak: 0,
        };
        victim.deadline();
        victim
    }

    fn deadline(&mut self) {
        self.now = self.now + Duration::from_millis(100);
        self.node.handle(self.now, Input::Device(&self.device));
        self.node.handle(self.now, Input::Timeout);
        while let Some(output) = self.node.poll_output() {
            if let Output::Configure(change) = output {
                self.device.apply(&change);
            }
        }
        self.peak = self.peak.max(resident());
    }

    fn hear(&mut self, liar: &mut Auth, facts: &[Timed]) {
        let source = AddressHash::Sha1.link_local(liar.public_key());
        let recipient = *self.node.public_key();
        for group in wire::pack(facts) {
            let payload = &liar.tag(&recipient, [7; 24], &group).expect("a secret");
            self.node.handle(
                self.now,
                Input::Packet {
                    source,
                    ports: PortPair::default(),
                    payload,
                },
            );
        }
    }
}

/// The fact takes as much as one can: long, or of as many items as there are keys.
fn member(liar: u8, number: usize) -> Timed {
    let mut subject = [liar; 32];
    subject[..8].copy_from_slice(&(number / 8).to_be_bytes());
    let mark = (b'x', number.to_be_bytes().to_vec());
    let metadata = if number.is_multiple_of(2) {
        Metadata::from_items([mark, (b'y', vec![1; Metadata::MAX_LEN - 13])])
    } else {
        let keys = (0..=u8::MAX)
            .filter(|key| !b"nbx".contains(key))
            .take((Metadata::MAX_LEN - 10) / 3);
        Metadata::from_items(keys.map(|key| (key, vec![key])).chain([mark]))
    };
    Timed {
        fact: Fact {
            subject: PublicKey::from_bytes(subject),
            value: Value::MemberMetadata(metadata),
        },
        ttl: Duration::from_secs(255),
    }
}

#[test]
fn a_flood_of_metadata_stays_below_the_documented_cap() {
    let mut victim = Victim::new();
    let before = resident();
    for who in 1..=LIARS {
        let mut liar = Auth::new(private(who), AddressHash::Sha1);
        for number in 0..MAX_PER_ORIGIN + 1000 {
            victim.hear(&mut liar, &[member(who, number)]);
            if number % 2000 == 0 {
                victim.deadline();
            }
        }
        victim.deadline();
    }
    let held = victim.node.status(victim.now).facts.len();
    assert!(
        held >= MAX_FACTS,
        "a flood that does not fill the store shows nothing: {held}"
    );
    // The copy for the status is gone again; whatever waits is taken in.
    (0..40).for_each(|_| victim.deadline());
    let peak = victim.peak - before;
    println!("{held} facts, {} MB at most", peak / 1_000_000);
    assert!(peak < CAP, "{} MB", peak / 1_000_000);
}
