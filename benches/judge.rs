//! How many full datagrams a core takes in: decode, verify, judge. `cargo bench --bench judge`; aim: 300,000 a second.

use std::net::SocketAddr;
use std::time::Duration;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use wirelink::mesh::base::identity::{AddressHash, PrivateKey, PublicKey};
use wirelink::mesh::base::settings::Settings;
use wirelink::mesh::believe::auth::Auth;
use wirelink::mesh::believe::fact::value::Value;
use wirelink::mesh::believe::fact::wire::{self, MAX_FACTS};
use wirelink::mesh::believe::fact::{Fact, Timed};
use wirelink::mesh::believe::trust::TrustPolicy;
use wirelink::mesh::device::tunnel_routes::TunnelRoutes;
use wirelink::mesh::show::event::Route;
use zeroize::Zeroizing;

fn main() {
    divan::main();
}

fn auth(byte: u8) -> Auth {
    Auth::new(PrivateKey::from_bytes(&Zeroizing::new([byte; 32])), AddressHash::Sha1)
}

fn subject(index: u8) -> PublicKey {
    PublicKey::from_bytes([index; 32])
}

/// 16 endpoints of 41 bytes and 12 allowed IPs of 40: exactly 1136 bytes.
fn full_group() -> Vec<u8> {
    let fact = |index: u8, value| Timed {
        fact: Fact {
            subject: subject(index),
            value,
        },
        ttl: Duration::from_secs(255),
    };
    let endpoints = (0..16).map(|index| fact(index, Value::Endpoint(SocketAddr::from(([192, 0, 2, index], 51820)))));
    let prefix = |index: u8| format!("10.0.{index}.0/24").parse().expect("a prefix");
    let prefixes = (0..12).map(|index| fact(index, Value::AllowedIp(prefix(index))));
    let facts: Vec<Timed> = endpoints.chain(prefixes).collect();
    let groups = wire::pack(&facts);
    assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_FACTS]);
    groups.concat()
}

/// A leaf with 1000 peers, one of them the router that speaks.
fn policy(own: PublicKey, router: PublicKey) -> TrustPolicy {
    let mut policy = TrustPolicy::new(own, &Settings::default());
    let others = (0..1000_u32).map(|index| {
        let mut bytes = [index as u8; 32];
        bytes[28..].copy_from_slice(&(index >> 8 << 8 | index & 0xff).to_be_bytes());
        PublicKey::from_bytes(bytes)
    });
    let known = (0..16).map(subject).chain([router]).chain(others).collect();
    policy.observe_peers(known, [router].into());
    let route = |text: &str| Route {
        prefix: text.parse().expect("a prefix"),
        into_tunnel: true,
    };
    policy.observe_routes(TunnelRoutes::new(&[route("10.0.0.0/24"), route("10.8.0.0/16")]), false);
    policy
}

#[divan::bench(sample_count = 100, sample_size = 1000)]
fn decode_verify(bencher: Bencher<'_, '_>) {
    let (mut sender, mut recipient) = (auth(1), auth(2));
    let source = AddressHash::Sha1.link_local(sender.public_key());
    let recipient_key = *recipient.public_key();
    let datagram = sender.tag(&recipient_key, [7; 24], &full_group()).expect("a sound key");
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        let envelope = wire::decode(black_box(&datagram)).expect("well formed");
        recipient.verify(source, &envelope).expect("the sender's own")
    });
}
#[divan::bench(sample_count = 100, sample_size = 1000)]
fn decode(bencher: Bencher<'_, '_>) {
    let (mut sender, recipient) = (auth(1), auth(2));
    let recipient_key = *recipient.public_key();
    let datagram = sender.tag(&recipient_key, [7; 24], &full_group()).expect("a sound key");
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        wire::decode(black_box(&datagram))
            .expect("well formed")
            .unverified_facts(sender.public_key())
    });
}

#[divan::bench(sample_count = 100, sample_size = 1000)]
fn decode_verify_judge(bencher: Bencher<'_, '_>) {
    let (mut sender, mut recipient) = (auth(1), auth(2));
    let policy = policy(*recipient.public_key(), *sender.public_key());
    let source = AddressHash::Sha1.link_local(sender.public_key());
    let recipient_key = *recipient.public_key();
    let datagram = sender.tag(&recipient_key, [7; 24], &full_group()).expect("a sound key");
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        let envelope = wire::decode(black_box(&datagram)).expect("well formed");
        let verified = recipient.verify(source, &envelope).expect("the sender's own");
        let accepted = policy.judge(verified).filter(Result::is_ok).count();
        assert_eq!(accepted, 28);
    });
}
