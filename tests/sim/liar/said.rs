//! What a liar says of whom.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use wirelink::mesh::base::identity::{AddressHash, PublicKey};

use super::{Lie, Victim};
use crate::draw::Draw;
use crate::v1::wire::{Fact, Value};

/// It makes it up.
pub(super) struct Said {
    pub(super) own: PublicKey,
    pub(super) draw: Draw,
}

impl Said {
    pub(super) fn said(&mut self, lie: Lie, listener: &Victim, victims: &[Victim]) -> Vec<Fact> {
        let subjects: Vec<PublicKey> = victims.iter().map(|victim| victim.key).collect();
        let of_each = |values: &mut dyn FnMut() -> Vec<Value>| -> Vec<Fact> {
            let said = subjects.iter().flat_map(|subject| of(*subject, values()));
            said.collect()
        };
        match lie {
            Lie::ForgedEndpoints => of_each(&mut || self.endpoints(3)),
            Lie::ManyEndpoints => of_each(&mut || self.endpoints(60)),
            Lie::LongLife => of_each(&mut || self.endpoints(1)),
            Lie::TunnelEndpoints => {
                let inside = victims
                    .iter()
                    .flat_map(|victim| &victim.prefixes)
                    .map(|prefix| prefix.addr());
                let inside: Vec<Value> = inside.map(|address| Value::Endpoint((address, 51820).into())).collect();
                of_each(&mut || inside.clone())
            }
            Lie::ImpossibleEndpoints => of_each(&mut || IMPOSSIBLE.iter().map(|at| endpoint(at)).collect()),
            Lie::StolenPrefixes => {
                let stolen = victims.iter().chain([listener]).flat_map(|victim| &victim.prefixes);
                of(self.own, stolen.map(|prefix| Value::AllowedIp(*prefix)).collect())
            }
            Lie::DefaultRoutes => of(self.own, prefixes(&["0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/1"])),
            Lie::ReservedPrefixes => {
                let others = subjects
                    .iter()
                    .map(|key| Value::AllowedIp(AddressHash::Sha1.allowed_ip(key)));
                let ranges = prefixes(&["fe80::/10", "ff00::/8", "169.254.0.0/16", "224.0.0.0/4"]);
                of(self.own, others.chain(ranges).collect())
            }
            Lie::Strangers => (0..100).flat_map(|_| of(self.key(), vec![Value::Member])).collect(),
            Lie::LongMetadata => {
                let divided = (0..=255u8)
                    .filter(|key| ![b'n', b'b'].contains(key))
                    .map(|key| (key, vec![key; 4]));
                let long = Value::Metadata([(b'x', vec![7; 2300])].into());
                let divided = Value::Metadata(divided.collect());
                (0..4)
                    .flat_map(|_| of(self.key(), vec![long.clone(), divided.clone()]))
                    .collect()
            }
            Lie::Metadata => of_each(&mut || vec![metadata(b"\x1b[31mroot\x07", 1), metadata(b"hub", 0)]),
            Lie::AliveForOthers => of_each(&mut || vec![self.alive()]),
            Lie::BootIds => of(self.own, (0..4).map(|_| self.alive()).collect()),
            Lie::AboutTheListener => {
                let mut values = self.endpoints(3);
                values.extend(prefixes(&["0.0.0.0/0", "10.99.0.0/16"]));
                values.extend([Value::Member, metadata(b"nobody", 1), self.alive()]);
                of(listener.key, values)
            }
            Lie::Malformed
            | Lie::TooLong
            | Lie::Extended
            | Lie::Replays
            | Lie::WrongSource
            | Lie::Ledgers
            | Lie::OwnProbes
            | Lie::ProbesOfOthers
            | Lie::Heartbeats
            | Lie::Echoes
            | Lie::OwnSignals
            | Lie::ForgedSignals => Vec::new(),
        }
    }

    /// Makes up public endpoints; some are of a network that nobody has, some of one where a machine may be.
    fn endpoints(&mut self, count: usize) -> Vec<Value> {
        let address = |draw: &mut Draw| match draw.below(3) {
            0 => IpAddr::from(Ipv4Addr::new(198, 51, 100, draw.below(256) as u8)),
            1 => IpAddr::from(Ipv4Addr::from(0xc612_0000 + draw.below(1 << 12) as u32)),
            _ => IpAddr::from(Ipv6Addr::new(
                0x2001,
                0xdb8,
                0xdead,
                0,
                0,
                0,
                0,
                draw.below(1 << 16) as u16,
            )),
        };
        let endpoint = |draw: &mut Draw| SocketAddr::new(address(draw), 1 + draw.below(65_535) as u16);
        (0..count).map(|_| Value::Endpoint(endpoint(&mut self.draw))).collect()
    }

    fn alive(&mut self) -> Value {
        let mut boot_id: [u8; 16] = self.draw.bytes()[..16].try_into().expect("16 bytes");
        let version = if self.draw.below(2) == 0 { 0x41 } else { 0x81 };
        (boot_id[6], boot_id[8]) = (version, 0x80);
        Value::Alive(boot_id)
    }

    fn key(&mut self) -> PublicKey {
        PublicKey::from_bytes(self.draw.bytes())
    }
}

const IMPOSSIBLE: [&str; 8] = [
    "127.0.0.1:51820",
    "0.0.0.0:51820",
    "255.255.255.255:51820",
    "224.0.0.1:51820",
    "198.51.100.1:0",
    "[::1]:51820",
    "[fe80::1]:51820",
    "[ff02::1]:51820",
];

pub(super) fn endpoint(text: &str) -> Value {
    Value::Endpoint(text.parse().expect("an endpoint"))
}

fn prefixes(texts: &[&str]) -> Vec<Value> {
    let prefixes = texts.iter().map(|text| text.parse().expect("a prefix"));
    prefixes.map(Value::AllowedIp).collect()
}

fn metadata(name: &[u8], basic: u8) -> Value {
    Value::Metadata([(b'n', name.to_vec()), (b'b', vec![basic])].into())
}

fn of(subject: PublicKey, values: Vec<Value>) -> Vec<Fact> {
    values.into_iter().map(|value| Fact { subject, value }).collect()
}
