//! The wire format, against datagrams of the deployed program and against everything that is not one.

use std::net::Ipv6Addr;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value as Json;
use wirelink::mesh::base::identity::{AddressHash, PrivateKey, PublicKey};
use wirelink::mesh::believe::auth::{Auth, AuthError};
use wirelink::mesh::believe::fact::boot::BootId;
use wirelink::mesh::believe::fact::heartbeat::{Echo, Heartbeat};
use wirelink::mesh::believe::fact::signal::ProbeForm;
use wirelink::mesh::believe::fact::signal::{Nat, Ports, Probes, Signal, Word};
use wirelink::mesh::believe::fact::value::{Metadata, Value};
use wirelink::mesh::believe::fact::wire::{self, WireError};
use wirelink::mesh::believe::fact::{Fact, Timed};

fn vectors() -> Json {
    serde_json::from_str(include_str!("vectors/wirelink-v1.json")).unwrap()
}

fn list<'a>(json: &'a Json, key: &str) -> &'a [Json] {
    let list = json[key].as_array().unwrap();
    assert!(!list.is_empty(), "no vectors under {key}");
    list
}

fn text<'a>(json: &'a Json, key: &str) -> &'a str {
    json[key].as_str().unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    assert_eq!(hex.len() % 2, 0);
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

fn address(json: &Json, key: &str) -> Ipv6Addr {
    text(json, key).parse().unwrap()
}

fn auth(json: &Json, key: &str) -> Auth {
    Auth::new(text(json, key).parse::<PrivateKey>().unwrap(), AddressHash::Sha1)
}

fn timed(json: &Json) -> Timed {
    let value = match text(json, "attribute") {
        "!" => Value::Alive(BootId::from_bytes(bytes(text(json, "value")).try_into().unwrap())),
        "e" | "E" => Value::Endpoint(text(json, "value").parse().unwrap()),
        "a" | "A" => Value::AllowedIp(text(json, "value").parse().unwrap()),
        "m" => Value::Member,
        "M" => Value::MemberMetadata(Metadata::from_items(
            json["value"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(k, v)| (k.as_bytes()[0], bytes(v.as_str().unwrap()))),
        )),
        other => panic!("unknown attribute {other} in the vectors"),
    };
    let fact = Fact {
        subject: text(json, "subject").parse().unwrap(),
        value,
    };
    assert_eq!(fact.attribute().row().byte, text(json, "attribute").as_bytes()[0]);
    Timed {
        fact,
        ttl: Duration::from_secs(json["ttl"].as_u64().unwrap()),
    }
}

#[test]
fn link_local_addresses_follow_from_keys() {
    for vector in list(&vectors(), "addresses") {
        let key: PublicKey = text(vector, "public_key").parse().unwrap();
        assert_eq!(AddressHash::Sha1.link_local(&key), address(vector, "sha1"));
        assert_eq!(AddressHash::Blake2s.link_local(&key), address(vector, "blake2s"));
    }
}

#[test]
fn groups_are_produced_byte_for_byte() {
    for vector in list(&vectors(), "groups") {
        let facts: Vec<Timed> = vector["facts"].as_array().unwrap().iter().map(timed).collect();
        let packed = wire::pack(&facts);
        assert!(packed.len() <= 1, "a vector fits one group");
        let inner = packed.first().cloned().unwrap_or_default();
        let recipient = text(vector, "recipient_public").parse().unwrap();
        let nonce = bytes(text(vector, "nonce")).try_into().unwrap();
        let datagram = auth(vector, "sender_private").tag(&recipient, nonce, &inner).unwrap();
        assert_eq!(datagram, bytes(text(vector, "datagram")));
    }
}

#[test]
fn groups_are_accepted() {
    for vector in list(&vectors(), "groups") {
        let datagram = bytes(text(vector, "datagram"));
        let envelope = wire::decode(&datagram).unwrap();
        let verified = auth(vector, "recipient_private")
            .verify(address(vector, "source"), &envelope)
            .unwrap();
        assert_eq!(verified.sender().to_string(), text(vector, "sender_public"));
        let facts: Vec<Timed> = vector["facts"].as_array().unwrap().iter().map(timed).collect();
        assert_eq!(verified.facts(), facts);
    }
}

#[test]
fn what_is_wrong_is_refused_whole_with_its_reason() {
    for vector in list(&vectors(), "rejected") {
        let datagram = bytes(text(vector, "datagram"));
        let outcome = wire::decode(&datagram)
            .map_err(AuthError::Layout)
            .and_then(|envelope| auth(vector, "recipient_private").verify(address(vector, "source"), &envelope));
        let why = text(vector, "why");
        assert_eq!(outcome, Err(reason(why)), "{why}");
    }
}

fn reason(why: &str) -> AuthError {
    AuthError::Layout(match why {
        "last byte of the inner facts changed" | "tag changed" | "tagged for somebody else" => {
            return AuthError::WrongTag;
        }
        "empty"
        | "one byte"
        | "truncated in the subject"
        | "truncated in the tag"
        | "short subject"
        | "short value" => WireError::Truncated,
        "metadata length beyond the datagram" | "metadata item beyond its list" => WireError::Truncated,
        "not a group: a bare endpoint fact" => WireError::NotSigned,
        "a group inside a group" => WireError::Nested,
        "unknown attribute after a good fact" => WireError::UnknownAttribute(b'?'),
        "attribute zero" => WireError::UnknownAttribute(0),
        "ttl above 65535" | "ttl varint that never ends" => WireError::Ttl,
        "prefix length 33 on IPv4" => WireError::PrefixLength(33),
        "prefix length 129 on IPv6" => WireError::PrefixLength(129),
        "IPv4-mapped address in an IPv6 endpoint" => WireError::MappedAddress,
        "metadata key twice" => WireError::MetadataKeyTwice(b'n'),
        "metadata name not UTF-8" => WireError::NameNotUtf8,
        "metadata basic flag of two bytes" | "metadata basic flag of value 2" => WireError::BasicFlag,
        other => panic!("a vector without an expected reason: {other}"),
    })
}

#[test]
fn a_group_from_another_address_is_refused() {
    let vectors = vectors();
    let vector = &list(&vectors, "groups")[0];
    let datagram = bytes(text(vector, "datagram"));
    let envelope = wire::decode(&datagram).unwrap();
    let outcome = auth(vector, "recipient_private").verify("fe80::1".parse().unwrap(), &envelope);
    assert_eq!(outcome, Err(AuthError::WrongAddress));
}

#[test]
fn an_unknown_extended_fact_is_skipped_by_its_length() {
    let known = Timed {
        fact: Fact {
            subject: KEY,
            value: Value::Member,
        },
        ttl: Duration::from_secs(5),
    };
    let mut inner = vec![wire::EXTENDED | 0x11, 9];
    inner.extend_from_slice(KEY.as_bytes());
    inner.extend_from_slice(&[3, 1, 2, 3]);
    wire::put_fact(&known, &mut inner);
    let (mut sender, mut recipient) = two_nodes();
    let recipient_key = *recipient.public_key();
    let datagram = sender.tag(&recipient_key, [0; 24], &inner).unwrap();
    let source = AddressHash::Sha1.link_local(sender.public_key());
    let verified = recipient.verify(source, &wire::decode(&datagram).unwrap()).unwrap();
    assert_eq!(verified.facts(), [known]);
}

#[test]
fn facts_fill_a_group_before_they_begin_another() {
    let facts: Vec<Timed> = (0..60)
        .map(|port| timed_endpoint(([192, 0, 2, 1], port).into()))
        .collect();
    let groups = wire::pack(&facts);
    let len = 1 + 2 + 32 + 6;
    let per_group = wire::MAX_FACTS / len;
    assert_eq!(
        groups.iter().map(|g| g.len() / len).collect::<Vec<_>>(),
        [per_group, per_group, 60 - 2 * per_group]
    );
    assert_eq!(wire::MAX_FACTS, 1136);
}

const KEY: PublicKey = PublicKey::from_bytes([7; 32]);

fn timed_endpoint(endpoint: std::net::SocketAddr) -> Timed {
    Timed {
        fact: Fact {
            subject: KEY,
            value: Value::Endpoint(endpoint),
        },
        ttl: Duration::from_secs(255),
    }
}

fn two_nodes() -> (Auth, Auth) {
    let node = |byte| {
        Auth::new(
            PrivateKey::from_bytes(&zeroize::Zeroizing::new([byte; 32])),
            AddressHash::Sha1,
        )
    };
    let (mut sender, mut recipient) = (node(1), node(2));
    sender.admit([recipient.public_key()]);
    recipient.admit([sender.public_key()]);
    (sender, recipient)
}

#[test]
fn a_sign_of_life_in_a_compact_group_takes_36_bytes() {
    let (mut sender, mut recipient) = two_nodes();
    let alive = Timed {
        fact: Fact {
            subject: *sender.public_key(),
            value: Value::Alive(BootId::from_bytes([7; 16])),
        },
        ttl: Duration::from_secs(15),
    };
    let runs = wire::pack_compact(sender.public_key(), [&alive]).concat();
    let datagram = sender.tag_compact(recipient.public_key(), &runs).unwrap();
    assert_eq!(datagram.len(), 36);
    let source = AddressHash::Sha1.link_local(sender.public_key());
    let verified = recipient.verify(source, &wire::decode(&datagram).unwrap()).unwrap();
    assert_eq!(
        (verified.sender(), verified.facts()),
        (sender.public_key(), &[alive][..])
    );
}

#[test]
fn facts_about_one_subject_share_its_key_in_a_compact_group() {
    let (sender, _) = two_nodes();
    let facts: Vec<Timed> = (0..300)
        .map(|port| timed_endpoint(([192, 0, 2, 1], port).into()))
        .collect();
    let groups = wire::pack_compact(sender.public_key(), &facts);
    let lens: Vec<usize> = groups.iter().map(Vec::len).collect();
    // A run has at most 127 items, and there is no room for a second one.
    assert_eq!(lens, [127 * 9 + 33, 127 * 9 + 33, 46 * 9 + 33]);
}

#[test]
fn a_compact_group_is_of_its_sender_for_its_recipient_and_as_it_was_sent() {
    let (mut sender, mut recipient) = two_nodes();
    let runs = wire::pack_compact(sender.public_key(), [&timed_endpoint(([192, 0, 2, 1], 7).into())]).concat();
    let (from, to) = (*sender.public_key(), *recipient.public_key());
    let datagram = sender.tag_compact(&to, &runs).unwrap();
    let source = AddressHash::Sha1.link_local(&from);
    let mut changed = datagram.clone();
    *changed.last_mut().unwrap() ^= 1;
    let mirrored = recipient.tag_compact(&from, &runs).unwrap();
    for wrong in [&changed, &mirrored] {
        let outcome = recipient.verify(source, &wire::decode(wrong).unwrap());
        assert_eq!(outcome, Err(AuthError::WrongTag));
    }
    let elsewhere = recipient.verify("fe80::1".parse().unwrap(), &wire::decode(&datagram).unwrap());
    assert_eq!(elsewhere, Err(AuthError::WrongAddress));
    assert!(recipient.verify(source, &wire::decode(&datagram).unwrap()).is_ok());
    assert_eq!(wire::decode(&[0xd3; 10]), Err(WireError::Truncated));
    let empty = [&[0xd3][..], &[0; 16], &[0x80]].concat();
    assert_eq!(
        wire::decode(&empty).unwrap().unverified_facts(&KEY),
        Err(WireError::EmptyRun)
    );
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<[u8; 16]>().prop_map(|id| Value::Alive(BootId::from_bytes(id))),
        (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| Value::Endpoint((ip, port).into())),
        (any::<[u8; 16]>(), any::<u16>())
            .prop_filter("an IPv4-mapped address is no endpoint", |(ip, _)| {
                Ipv6Addr::from(*ip).to_ipv4_mapped().is_none()
            })
            .prop_map(|(ip, port)| Value::Endpoint((ip, port).into())),
        (any::<[u8; 4]>(), 0..=32u8).prop_map(|(ip, len)| Value::AllowedIp(net(ip.into(), len))),
        (any::<[u8; 16]>(), 0..=128u8).prop_map(|(ip, len)| Value::AllowedIp(net(ip.into(), len))),
        Just(Value::Member),
        (any::<u64>(), any::<u64>()).prop_map(|(buckets, sum)| Value::Digest { buckets, sum }),
        any::<u64>().prop_map(Value::Reset),
        any::<[u64; 32]>().prop_map(|half| Value::Holdings(Box::new(std::array::from_fn(|index| half[index / 2])))),
        proptest::collection::vec(any::<u64>(), 0..128).prop_map(Value::Withdrawn),
        (0..u64::MAX / 2, 0..4_usize, any::<bool>()).prop_map(|(epoch, nat, is_veiled)| {
            let form = if is_veiled {
                ProbeForm::Veiled
            } else {
                ProbeForm::Marked
            };
            let all = [
                Nat::Unknown,
                Nat::EndpointIndependent,
                Nat::AddressDependent,
                Nat::Blocked,
            ];
            Value::Probes(Probes {
                epoch,
                nat: all[nat],
                form,
            })
        }),
        any_beat().prop_map(Value::Heartbeat),
        (any_beat(), any::<u32>(), any::<u64>(), any::<[u8; 4]>(), 1..u16::MAX).prop_map(
            |(beat, received, at, address, port)| {
                let (at, seen) = (Duration::from_micros(at), Some((address, port).into()));
                let seen = seen.filter(|_| address != [0; 4]);
                Value::Echo(Box::new(Echo {
                    beat,
                    received,
                    at,
                    seen,
                }))
            }
        ),
        (
            any::<[u8; 32]>(),
            any::<[u64; 2]>(),
            any::<(u8, u32)>(),
            any::<[u8; 16]>(),
            proptest::option::of(any::<([u8; 4], u16, u8)>())
        )
            .prop_map(|(to, [epoch, counter], (word, version), tag, ports)| {
                let (to, word) = (PublicKey::from_bytes(to), Word::from_byte(word));
                Value::Signal(Box::new(Signal {
                    version,
                    to,
                    epoch,
                    counter,
                    word,
                    ports: ports.map(|(address, first, count)| Ports {
                        address: address.into(),
                        first,
                        count,
                    }),
                    tag,
                }))
            }),
        (proptest::option::of("\\PC{0,20}"), any::<bool>(), any_items()).prop_map(|(name, basic, rest)| {
            let known = Metadata::new(name.as_deref(), basic);
            let known: Vec<_> = known.items().map(|(key, bytes)| (key, bytes.to_vec())).collect();
            Value::MemberMetadata(Metadata::from_items(rest.into_iter().chain(known)))
        }),
    ]
}

fn any_beat() -> impl Strategy<Value = Heartbeat> {
    let beat = (any::<u32>(), any::<u32>(), any::<bool>(), any::<bool>());
    beat.prop_map(|(number, version, ready, turns)| Heartbeat {
        number,
        version,
        ready,
        turns,
    })
}

fn any_items() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let key = any::<u8>().prop_filter("keys with a meaning have their own form", |key| !b"nb".contains(key));
    proptest::collection::vec((key, proptest::collection::vec(any::<u8>(), 0..40)), 0..4)
}

fn net(ip: std::net::IpAddr, len: u8) -> ipnet::IpNet {
    ipnet::IpNet::new(ip, len).unwrap().trunc()
}

proptest! {
    #[test]
    fn facts_survive_the_wire(
        facts in proptest::collection::vec((any::<[u8; 32]>(), any::<u16>(), any_value()), 0..12)
    ) {
        let facts: Vec<Timed> = facts
            .into_iter()
            .map(|(subject, ttl, value)| Timed {
                fact: Fact { subject: PublicKey::from_bytes(subject), value },
                ttl: Duration::from_secs(ttl.into()),
            })
            .collect();
        for timed in &facts {
            let mut bytes = Vec::new();
            wire::put_fact(timed, &mut bytes);
            prop_assert_eq!(bytes.len(), wire::fact_len(timed));
        }
        let (mut sender, mut recipient) = two_nodes();
        let recipient_key = *recipient.public_key();
        let source = AddressHash::Sha1.link_local(sender.public_key());
        let mut received = Vec::new();
        for inner in wire::pack(&facts) {
            let datagram = sender.tag(&recipient_key, [9; 24], &inner).unwrap();
            prop_assert!(datagram.len() <= wire::MAX_SENT);
            let verified = recipient.verify(source, &wire::decode(&datagram).unwrap()).unwrap();
            received.extend(verified.into_facts().1);
        }
        prop_assert_eq!(&received, &facts);
        let mut received = Vec::new();
        for runs in wire::pack_compact(sender.public_key(), &facts) {
            let datagram = sender.tag_compact(&recipient_key, &runs).unwrap();
            prop_assert!(datagram.len() <= wire::MAX_SENT);
            let verified = recipient.verify(source, &wire::decode(&datagram).unwrap()).unwrap();
            received.extend(verified.into_facts().1);
        }
        prop_assert_eq!(received, facts);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(envelope) = wire::decode(&bytes) {
            let _ = envelope.unverified_facts(&KEY);
        }
    }

    /// Random bytes hardly get past the outer layout; these do, so that the facts inside are reached.
    #[test]
    fn no_facts_make_it_panic(
        attribute in proptest::sample::select(&b"!eEaAmMS\x91"[..]),
        rest in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut bytes = vec![b'S', 0];
        bytes.extend_from_slice(&[0; 72]);
        bytes.extend_from_slice(&[attribute, 5]);
        bytes.extend_from_slice(&rest);
        let envelope = wire::decode(&bytes).unwrap();
        let _ = envelope.unverified_facts(&KEY);
    }

    #[test]
    fn no_runs_make_it_panic(
        first in prop_oneof![0..4u8, 0x80..0x84u8],
        attribute in proptest::sample::select(&b"!eEaAmMS\x91\xe4\xe8\xf2\xf7"[..]),
        rest in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut bytes = vec![0xd3];
        bytes.extend_from_slice(&[0; wire::TAG_LEN]);
        bytes.push(first);
        if first & 0x80 == 0 {
            bytes.extend_from_slice(KEY.as_bytes());
        }
        bytes.extend_from_slice(&[attribute, 5]);
        bytes.extend_from_slice(&rest);
        let envelope = wire::decode(&bytes).unwrap();
        let _ = envelope.unverified_facts(&KEY);
    }
}
