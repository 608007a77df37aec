//! What a router with a thousand peers costs: one deadline in a steady state, and one sign of life. `cargo bench --bench node`

use std::net::SocketAddr;
use std::time::Duration;

use divan::Bencher;
use wirelink::mesh::auth::Auth;
use wirelink::mesh::device::{DeviceState, PeerState};
use wirelink::mesh::event::{HostState, Input};
use wirelink::mesh::fact::boot::BootId;
use wirelink::mesh::fact::value::Value;
use wirelink::mesh::fact::{Fact, Timed, wire};
use wirelink::mesh::identity::{AddressHash, PrivateKey};
use wirelink::mesh::node::Node;
use wirelink::mesh::settings::Settings;
use wirelink::mesh::time::Timestamp;
use zeroize::Zeroizing;

/// Fewer without optimisation, where this only shows that it works.
const PEERS: u16 = if cfg!(debug_assertions) { 30 } else { 1000 };

fn main() {
    divan::main();
}

fn private(index: u16) -> PrivateKey {
    let mut bytes = Zeroizing::new([0x40; 32]);
    bytes[1..3].copy_from_slice(&index.to_be_bytes());
    PrivateKey::from_bytes(&bytes)
}

struct Network {
    node: Node,
    device: DeviceState,
    now: Timestamp,
    signs_of_life: Vec<(std::net::Ipv6Addr, Vec<u8>)>,
}

impl Network {
    fn new() -> Self {
        let now = Timestamp::from_start(Duration::from_secs(1000));
        let node = Node::new(Settings::default(), private(0), [1; 32], now);
        let mut network = Self {
            device: DeviceState::new(*node.public_key(), 51820),
            node,
            now,
            signs_of_life: Vec::new(),
        };
        for index in 1..=PEERS {
            network.add_leaf(index);
        }
        network.node.handle(now, Input::Host(HostState::default()));
        network.deadline();
        // The first pass tells everybody everything, in bounded pieces; after these it is steady.
        for _ in 0..200 {
            network.now = network.now + Duration::from_millis(500);
            network.hear_all_if_due();
            network.deadline();
        }
        network
    }

    fn add_leaf(&mut self, index: u16) {
        let [high, low] = index.to_be_bytes();
        let mut auth = Auth::new(private(index), AddressHash::Sha1);
        let key = *auth.public_key();
        let peer = PeerState {
            endpoint: Some(SocketAddr::from(([192, 0, high, low], 51820))),
            last_handshake: Some(self.now),
            allowed_ips: [format!("10.9.{high}.{low}/32").parse().expect("a prefix")].into(),
            ..PeerState::default()
        };
        self.device.peers.insert(key, peer);
        let fact = Fact {
            subject: key,
            value: Value::Alive(boot_id(index)),
        };
        let alive = Timed {
            fact,
            ttl: Duration::from_secs(15),
        };
        let group = wire::pack([&alive]).concat();
        let datagram = auth
            .tag(self.node.public_key(), [index as u8; 24], &group)
            .expect("a sound key");
        self.signs_of_life.push((AddressHash::Sha1.link_local(&key), datagram));
    }

    fn hear_all_if_due(&mut self) {
        if self.now.since_start().as_millis().is_multiple_of(5000) {
            (0..usize::from(PEERS)).for_each(|index| self.hear(index));
            let now = self.now;
            self.device
                .peers
                .values_mut()
                .for_each(|peer| peer.last_handshake = Some(now));
        }
    }

    fn hear(&mut self, index: usize) {
        let (source, payload) = &self.signs_of_life[index];
        self.node.handle(
            self.now,
            Input::Packet {
                source: *source,
                payload,
            },
        );
    }

    fn deadline(&mut self) {
        self.node.handle(self.now, Input::Device(self.device.clone()));
        self.node.handle(self.now, Input::Timeout);
        while self.node.poll_output().is_some() {}
    }
}

fn boot_id(index: u16) -> BootId {
    let mut bytes = [7; BootId::LEN];
    bytes[..2].copy_from_slice(&index.to_be_bytes());
    (bytes[6], bytes[8]) = (0x81, 0x80);
    BootId::from_bytes(bytes)
}

#[divan::bench(sample_count = 20, sample_size = 5)]
fn a_deadline_of_a_router_with_1000_peers(bencher: Bencher<'_, '_>) {
    let mut network = Network::new();
    bencher.bench_local(|| network.deadline());
}

#[divan::bench(sample_count = 20, sample_size = 1000)]
fn a_sign_of_life_at_a_router_with_1000_peers(bencher: Bencher<'_, '_>) {
    let mut network = Network::new();
    let mut index = 0;
    bencher.bench_local(|| {
        index = (index + 1) % usize::from(PEERS);
        network.hear(index);
    });
}
