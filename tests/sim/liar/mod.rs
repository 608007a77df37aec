//! A member that lies: with a key of its own and a session with everybody, it says whatever its level of trust allows, and all else.

mod reach;
mod said;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::base::identity::{AddressHash, PrivateKey, PublicKey};
use wirelink::mesh::believe::auth::Auth;
use wirelink::mesh::believe::fact::value::{BUCKETS, Value as Own};
use wirelink::mesh::believe::fact::wire::pack_compact;
use wirelink::mesh::believe::fact::{self, Timed as Extended};

use self::reach::Reach;
use self::said::{Said, endpoint};
use crate::draw::Draw;
use crate::v1::wire::{Fact, Timed, Value, encode};

/// How long a lie lives, in seconds, where its life is not the lie.
const TTL: u16 = 255;
/// How many facts fit a group at least, whatever they are.
const FACTS_PER_GROUP: usize = 16;
/// How many datagrams it keeps to say them again.
const MAX_OVERHEARD: usize = 64;

/// How many of them it says again in one go.
const REPLAYED: usize = 6;

/// A way to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Others are where nobody is, or where somebody listens.
    ForgedEndpoints,
    /// Others are to be reached through the tunnel itself.
    TunnelEndpoints,
    /// Others are where nobody can be.
    ImpossibleEndpoints,
    /// Others are at far more places than anybody can try.
    ManyEndpoints,
    /// The prefixes of others are its own, and those of whom it speaks to.
    StolenPrefixes,
    /// Everything is its own.
    DefaultRoutes,
    /// Link-local and multicast prefixes are its own.
    ReservedPrefixes,
    /// Strangers are members, as many as fit.
    Strangers,
    /// Others have another name, and run no wirelink.
    Metadata,
    /// Others are alive, under boot IDs that it made up.
    AliveForOthers,
    /// It forgot everything, again and again.
    BootIds,
    /// What it says lives as long as the wire can say.
    LongLife,
    /// It knows better about whom it speaks to.
    AboutTheListener,
    /// No datagram at all, or a group that breaks off, nests or cannot be read.
    Malformed,
    /// More than anybody takes in.
    TooLong,
    /// Extended facts that nobody has announced.
    Extended,
    /// What it heard and said before, once more.
    Replays,
    /// From another's address, or in another's name.
    WrongSource,
    /// Sums, holdings, resets and withdrawals of what it never said, as nodes of ours say them.
    Ledgers,
    /// Members with the longest and most divided metadata that a datagram holds.
    LongMetadata,
    /// It was started at another time, and has another NAT, each time that it says so.
    OwnProbes,
    /// Others were, and have.
    ProbesOfOthers,
    /// It hears the listener, or does not, and turns to other paths, without end.
    Heartbeats,
    /// It answers what nobody asked, and says that the listener is where it is not.
    Echoes,
    /// What it says of its link goes back and forth, with proof that it says it.
    OwnSignals,
    /// What others say of theirs is what it makes up, to be passed on, too.
    ForgedSignals,
}

impl Lie {
    /// All that harm nobody whom it does not speak about, as far as nodes are sound, and not the liar itself.
    pub(crate) const ALL: [Self; 22] = [
        Self::ForgedEndpoints,
        Self::TunnelEndpoints,
        Self::ImpossibleEndpoints,
        Self::ManyEndpoints,
        Self::StolenPrefixes,
        Self::DefaultRoutes,
        Self::ReservedPrefixes,
        Self::Strangers,
        Self::Metadata,
        Self::AliveForOthers,
        Self::BootIds,
        Self::LongLife,
        Self::AboutTheListener,
        Self::Malformed,
        Self::TooLong,
        Self::Extended,
        Self::Replays,
        Self::WrongSource,
        Self::Ledgers,
        Self::LongMetadata,
        Self::ProbesOfOthers,
        Self::ForgedSignals,
    ];

    /// Those with which it spoils its own links, and should spoil nobody else's.
    pub(crate) const OF_ITS_OWN_LINKS: [Self; 4] = [Self::OwnProbes, Self::Heartbeats, Self::Echoes, Self::OwnSignals];
}

/// Somebody about whom lies are told.
#[derive(Clone, Debug)]
pub(crate) struct Victim {
    /// The key.
    pub(crate) key: PublicKey,
    /// What belongs to it inside the tunnel.
    pub(crate) prefixes: Vec<IpNet>,
}

/// What goes through the tunnel.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    /// The address that it says to be from.
    pub(crate) source: Ipv6Addr,
    /// The UDP payload.
    pub(crate) payload: Vec<u8>,
}

/// The liar.
pub(crate) struct Liar {
    auth: Auth,
    own: PublicKey,
    draw: Draw,
    overheard: Vec<Vec<u8>>,
}

impl Liar {
    /// Takes the identity of a member.
    pub(crate) fn new(identity: PrivateKey, draw: Draw) -> Self {
        let auth = Auth::new(identity, AddressHash::Sha1);
        Self {
            own: *auth.public_key(),
            auth,
            draw,
            overheard: Vec::new(),
        }
    }

    /// Returns any of these ways to lie.
    pub(crate) fn choose(&mut self, lies: &[Lie]) -> Lie {
        lies[self.draw.index(lies.len())]
    }

    /// Keeps a datagram to say it again.
    pub(crate) fn overhear(&mut self, payload: Vec<u8>) {
        self.overheard.push(payload);
        if self.overheard.len() > MAX_OVERHEARD {
            let index = self.draw.index(self.overheard.len());
            self.overheard.swap_remove(index);
        }
    }

    /// Returns what it says to somebody about others.
    pub(crate) fn tell(&mut self, lie: Lie, listener: &Victim, victims: &[Victim]) -> Vec<Datagram> {
        let to = &listener.key;
        let payloads = match lie {
            Lie::Malformed => self.malformed(to),
            Lie::TooLong => vec![self.too_long(to)],
            Lie::Extended => self.extended(to),
            Lie::Replays => self.replays(),
            Lie::Ledgers => self.ledgers(to),
            Lie::WrongSource => return self.wrong_source(to, victims),
            Lie::OwnProbes
            | Lie::ProbesOfOthers
            | Lie::Heartbeats
            | Lie::Echoes
            | Lie::OwnSignals
            | Lie::ForgedSignals => self.reach(lie, listener, victims),
            Lie::ForgedEndpoints
            | Lie::TunnelEndpoints
            | Lie::ImpossibleEndpoints
            | Lie::ManyEndpoints
            | Lie::StolenPrefixes
            | Lie::DefaultRoutes
            | Lie::ReservedPrefixes
            | Lie::Strangers
            | Lie::Metadata
            | Lie::AliveForOthers
            | Lie::BootIds
            | Lie::LongLife
            | Lie::LongMetadata
            | Lie::AboutTheListener => self.groups(lie, listener, victims),
        };
        if lie != Lie::Replays {
            payloads.iter().for_each(|payload| self.overhear(payload.clone()));
        }
        let source = AddressHash::Sha1.link_local(&self.own);
        payloads
            .into_iter()
            .map(|payload| Datagram { source, payload })
            .collect()
    }

    /// Packs facts, each group by itself whole.
    fn groups(&mut self, lie: Lie, listener: &Victim, victims: &[Victim]) -> Vec<Vec<u8>> {
        let ttl = if lie == Lie::LongLife { u16::MAX } else { TTL };
        let facts: Vec<Vec<u8>> = self
            .said(lie, listener, victims)
            .into_iter()
            .map(|fact| encode(&Timed { fact, ttl }))
            .collect();
        facts
            .chunks(if lie == Lie::LongMetadata { 1 } else { FACTS_PER_GROUP })
            .map(|group| self.tag(&listener.key, &group.concat()))
            .collect()
    }

    fn said(&mut self, lie: Lie, listener: &Victim, victims: &[Victim]) -> Vec<Fact> {
        let mut said = Said {
            own: self.own,
            draw: self.draw.branch(2),
        };
        self.draw.next();
        said.said(lie, listener, victims)
    }

    fn tag(&mut self, to: &PublicKey, facts: &[u8]) -> Vec<u8> {
        let nonce = self.draw.bytes()[..24].try_into().expect("24 bytes");
        self.auth
            .tag(to, nonce, facts)
            .expect("the keys of the world have a secret")
    }

    fn replays(&mut self) -> Vec<Vec<u8>> {
        let count = self.overheard.len().min(REPLAYED);
        (0..count)
            .map(|_| self.overheard[self.draw.index(self.overheard.len())].clone())
            .collect()
    }

    fn too_long(&mut self, to: &PublicKey) -> Vec<u8> {
        let fact = Fact {
            subject: self.own,
            value: endpoint("198.51.100.1:1"),
        };
        self.tag(to, &encode(&Timed { fact, ttl: TTL }).repeat(100))
    }

    fn malformed(&mut self, to: &PublicKey) -> Vec<Vec<u8>> {
        let member = encode(&Timed {
            fact: Fact {
                subject: *to,
                value: Value::Member,
            },
            ttl: TTL,
        });
        let noise = self.draw.bytes().to_vec();
        let whole = self.tag(to, &member);
        let cut = whole[..whole.len() - 1 - self.draw.index(whole.len() - 1)].to_vec();
        let endless_ttl = [b"m\xff\xff\xff\xff".as_slice(), to.as_bytes()].concat();
        let long_prefix = [b"a\x05".as_slice(), self.own.as_bytes(), &[10, 0, 0, 0, 33]].concat();
        let unknown = [b"?\x05".as_slice(), to.as_bytes()].concat();
        let inside =
            [&member, &whole, &unknown, &endless_ttl, &long_prefix, &noise].map(|end| [&member[..], end].concat());
        let mut datagrams: Vec<Vec<u8>> = inside.iter().map(|facts| self.tag(to, facts)).collect();
        datagrams.extend([Vec::new(), noise, member, cut]);
        datagrams
    }

    fn extended(&mut self, to: &PublicKey) -> Vec<Vec<u8>> {
        let attributes: Vec<u8> = (0..8).map(|_| 0x80 | self.draw.below(128) as u8).collect();
        let fact = |attribute: &u8| {
            let head = [*attribute, 100];
            [&head[..], self.own.as_bytes(), &[3, 1, 2, 3]].concat()
        };
        let facts: Vec<u8> = attributes.iter().flat_map(fact).collect();
        vec![self.tag(to, &facts)]
    }

    /// In compact groups, and many of them in each: every one costs its hearer something.
    fn ledgers(&mut self, to: &PublicKey) -> Vec<Vec<u8>> {
        let own = self.own;
        let about_own = |value| Extended {
            fact: fact::Fact { subject: own, value },
            ttl: Duration::from_secs(TTL.into()),
        };
        let said: Vec<Extended> = (0..64)
            .map(|_| {
                let [a, b] = [self.draw.next(), self.draw.next()];
                about_own(match self.draw.below(5) {
                    0 => Own::Digest { buckets: a, sum: b },
                    1 => Own::Digest { buckets: 0, sum: 0 },
                    2 => Own::Reset(if b % 2 == 0 { a } else { u64::MAX }),
                    3 => Own::Withdrawn(vec![a, b, a ^ b]),
                    _ => Own::Holdings(Box::new([b; BUCKETS])),
                })
            })
            .collect();
        self.compact(to, &said)
    }

    fn reach(&mut self, lie: Lie, listener: &Victim, victims: &[Victim]) -> Vec<Vec<u8>> {
        let mut reach = Reach {
            own: self.own,
            draw: self.draw.branch(3),
            auth: &mut self.auth,
        };
        self.draw.next();
        let said = reach.said(lie, listener, victims);
        self.compact(&listener.key, &said)
    }

    fn compact(&mut self, to: &PublicKey, said: &[Extended]) -> Vec<Vec<u8>> {
        let groups = pack_compact(&self.own, said);
        groups
            .iter()
            .filter_map(|runs| self.auth.tag_compact(to, runs))
            .collect()
    }

    fn wrong_source(&mut self, to: &PublicKey, victims: &[Victim]) -> Vec<Datagram> {
        let fact = Fact {
            subject: self.own,
            value: Value::Member,
        };
        let own = self.tag(to, &encode(&Timed { fact, ttl: TTL }));
        let of_others = victims.iter().flat_map(|victim| {
            let source = AddressHash::Sha1.link_local(&victim.key);
            let mut in_its_name = own.clone();
            in_its_name[2..34].copy_from_slice(victim.key.as_bytes());
            [
                (source, own.clone()),
                (source, in_its_name.clone()),
                (AddressHash::Sha1.link_local(&self.own), in_its_name),
            ]
        });
        of_others
            .map(|(source, payload)| Datagram { source, payload })
            .collect()
    }
}

/// Returns whether an endpoint is one that only a liar names: there is no such network, or sites have other addresses in theirs.
pub(crate) fn is_a_lie(endpoint: &SocketAddr) -> bool {
    match endpoint.ip() {
        IpAddr::V4(v4) => match v4.octets() {
            [198, 51, 100, _] => true,
            [198, 18 | 19, _, last] => last % 4 != 2,
            _ => false,
        },
        IpAddr::V6(v6) => v6.segments().starts_with(&[0x2001, 0xdb8, 0xdead]),
    }
}
