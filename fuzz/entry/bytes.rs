//! An input of the fuzzer as choices and facts.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::believe::fact::boot::BootId;
use wirelink::mesh::believe::fact::heartbeat::{Echo, Heartbeat};
use wirelink::mesh::believe::fact::signal::ProbeForm;
use wirelink::mesh::believe::fact::signal::{Nat, Ports, Probes, Signal, Word};
use wirelink::mesh::believe::fact::value::{BUCKETS, Metadata, Value};
use wirelink::mesh::believe::fact::{Fact, Timed};

use super::{inner, key};

/// What is left of the input; zeros after its end.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub(super) fn some(&mut self) -> &'a [u8] {
        let length = usize::from(self.next()).min(self.0.len());
        let (first, rest) = self.0.split_at(length);
        self.0 = rest;
        first
    }

    pub(super) fn facts(&mut self) -> Vec<Timed> {
        let count = self.next() % 32;
        (0..count).map(|_| self.fact()).collect()
    }

    fn fact(&mut self) -> Timed {
        let subject = key(1 + self.next() % 10);
        let [kind, a, b] = [self.next(), self.next(), self.next()];
        let sum = u64::from_be_bytes([a, b, a, b, a, b, a, b]);
        let value = match kind % 16 {
            0 => Value::Alive(boot_id(a, b)),
            1 | 2 => Value::Endpoint(SocketAddr::from(([a, 0, 0, b], 51820))),
            3 => Value::AllowedIp(inner(b)),
            4 | 5 => Value::AllowedIp(
                IpNet::new(Ipv4Addr::new(10, a, b, 0).into(), b % 33)
                    .expect("a length")
                    .trunc(),
            ),
            6 => Value::Member,
            7 => Value::MemberMetadata(Metadata::from_items([(b'n', vec![b'a' + a % 26]), (b'b', vec![b % 2])])),
            8 => Value::Digest {
                buckets: if a.is_multiple_of(2) { u64::MAX } else { sum },
                sum: if b.is_multiple_of(2) { 0 } else { sum },
            },
            9 => Value::Holdings(Box::new([sum; BUCKETS])),
            10 => Value::Reset(sum),
            11 => Value::Probes(Probes {
                epoch: sum / 2,
                nat: Nat::EndpointIndependent,
                form: if b.is_multiple_of(2) {
                    ProbeForm::Veiled
                } else {
                    ProbeForm::Marked
                },
            }),
            12 => Value::Signal(Box::new(Signal {
                to: subject,
                epoch: sum,
                counter: sum,
                word: Word::from_byte(a),
                version: u32::from(b),
                ports: b.is_multiple_of(3).then_some(Ports {
                    address: [a, 0, 0, b].into(),
                    first: u16::from_be_bytes([a, b]),
                    count: b,
                }),
                tag: [b; 16],
            })),
            13 => Value::Heartbeat(beat(a, b)),
            14 => Value::Echo(Box::new(Echo {
                beat: beat(a, b),
                received: u32::from(b),
                at: Duration::from_micros(sum),
                seen: Some(SocketAddr::from(([192, 0, 2, a], 1))),
            })),
            _ => Value::Withdrawn(vec![sum; usize::from(a % 4)]),
        };
        let ttl = [0, 1, 20, 130, 255, 65_535][usize::from(self.next() % 6)];
        Timed {
            fact: Fact { subject, value },
            ttl: Duration::from_secs(ttl),
        }
    }
}

fn beat(a: u8, b: u8) -> Heartbeat {
    Heartbeat {
        number: a.into(),
        version: b.into(),
        ready: a.is_multiple_of(2),
        turns: b.is_multiple_of(2),
    }
}

fn boot_id(a: u8, b: u8) -> BootId {
    let mut bytes = [a; BootId::LEN];
    (bytes[6], bytes[8]) = if b.is_multiple_of(2) {
        (0x81, 0x80)
    } else {
        (0x40, 0x80)
    };
    bytes[12..].copy_from_slice(&u32::from(b / 2).to_be_bytes());
    BootId::from_bytes(bytes)
}
