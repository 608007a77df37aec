//! Any course of probes and signals: of strangers, of a peer that lies, and of one that does not. Nothing may panic or spin, answers amplify
//! nothing, and what is probed is where a peer is looked for, or was heard, or, within bounds, where it says that it may be.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng as _;
use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::believe::fact::signal::ProbeForm;
use wirelink::mesh::believe::fact::signal::{Ports, Signal, Word};
use wirelink::mesh::reach::probe::pairs::Pairs;
use wirelink::mesh::reach::probe::wire::{self, Kind, Message};
use wirelink::mesh::reach::probe::{Heard, MAX_PORTS, Probing};
use zeroize::Zeroizing;

const OWN: u8 = 1;
const PEERS: [u8; 3] = [2, 3, 4];
/// When both sides were started.
const EPOCH: u64 = 1000;
/// The most places that a peer can have probed by its own word, in ten minutes.
const MAX_FORESEEN: usize = 256;

/// Takes each byte for what happens, or for a part of it.
pub(crate) fn run(data: &[u8]) {
    read(data);
    let mut course = Course::new();
    let mut bytes = Bytes(data);
    while !bytes.0.is_empty() {
        course.step(&mut bytes);
    }
    course.wait(Duration::from_secs(30));
}

/// What is read must be written in the same way, but for what is reserved.
fn read(data: &[u8]) {
    let _ = pairs(OWN, PEERS[0]).read(data);
    if let Ok(envelope) = wire::decode(data) {
        let again = pairs(PEERS[0], OWN)
            .seal(&key(OWN), &envelope.message)
            .expect("it was admitted");
        assert_eq!(again.len(), wire::LEN);
        assert_eq!(
            again[16..wire::LEN - wire::TAG_LEN],
            data[16..wire::LEN - wire::TAG_LEN]
        );
        assert_eq!(wire::decode(&again).expect("our own bytes").message, envelope.message);
    }
}

struct Course {
    now: Timestamp,
    probing: Probing,
    random: ChaCha20Rng,
    /// Where peers may be probed: where they are looked for, or were heard.
    places: BTreeSet<SocketAddr>,
    looked_for: BTreeSet<IpAddr>,
    foreseen: Vec<(Timestamp, SocketAddr)>,
    /// The last probes that were sent, for honest answers.
    sent: Vec<(SocketAddr, Vec<u8>)>,
}

impl Course {
    fn new() -> Self {
        let now = Timestamp::from_start(Duration::from_secs(1000));
        let mut probing = Probing::new(key(OWN), now, true);
        probing.observe(EPOCH, true);
        for peer in PEERS {
            probing.admit(&key(peer), Zeroizing::new([OWN ^ peer; 32]));
        }
        Self {
            now,
            probing,
            random: ChaCha20Rng::from_seed([7; 32]),
            places: BTreeSet::new(),
            looked_for: BTreeSet::new(),
            foreseen: Vec::new(),
            sent: Vec::new(),
        }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let peer = PEERS[usize::from(bytes.next()) % PEERS.len()];
        match bytes.next() % 10 {
            0 => self.hear(place(bytes), bytes.some()),
            1 => self.aim(peer, bytes),
            2 => self.wait(Duration::from_millis(bytes.next().into())),
            3 => self.wait(Duration::from_secs(bytes.next().into())),
            4 => self.lie(peer, bytes),
            5 => self.signal(peer, bytes),
            6 | 7 => self.answer(bytes),
            8 => self.probing.reset(self.now),
            _ => self.probing.rest(&key(peer)),
        }
    }

    fn aim(&mut self, peer: u8, bytes: &mut Bytes<'_>) {
        let places: Vec<SocketAddr> = (0..bytes.next() % 20).map(|_| place(bytes)).collect();
        self.places.extend(&places);
        self.looked_for.extend(places.iter().map(SocketAddr::ip));
        let observer = bytes
            .next()
            .is_multiple_of(2)
            .then(|| (key(PEERS[0]), SocketAddr::from(([198, 51, 100, 1], 1))));
        self.places.extend(observer.map(|(_, to)| to));
        bytes.next();
        self.probing.aim(self.now, &key(peer), &places, observer);
    }

    /// What a peer says that has the key and any intention.
    fn lie(&mut self, peer: u8, bytes: &mut Bytes<'_>) {
        let source = place(bytes);
        let number = bytes.next();
        let form = if (number / 3).is_multiple_of(2) {
            ProbeForm::Marked
        } else {
            ProbeForm::Veiled
        };
        let kind = match number % 3 {
            0 => Kind::Probe,
            1 => Kind::Look,
            _ => Kind::Answer { source: place(bytes) },
        };
        let message = Message {
            form,
            kind,
            epoch: bytes.number(EPOCH),
            counter: bytes.number(0),
            transaction: bytes.number(0),
        };
        let datagram = pairs(peer, OWN).seal(&key(OWN), &message);
        self.hear(source, &datagram.expect("it was admitted"));
    }

    fn signal(&mut self, peer: u8, bytes: &mut Bytes<'_>) {
        let signal = Signal {
            to: key(OWN),
            epoch: bytes.number(EPOCH),
            counter: bytes.number(0),
            word: Word::from_byte(bytes.next()),
            version: bytes.next().into(),
            ports: bytes.next().is_multiple_of(2).then(|| Ports {
                address: [192, 0, 2, bytes.next() % 8].into(),
                first: u16::from_be_bytes([bytes.next(), bytes.next()]),
                count: bytes.next(),
            }),
            tag: [bytes.next(); 16],
        };
        let signed = pairs(peer, OWN).sign(signal).expect("it was admitted");
        let signal = if bytes.next().is_multiple_of(8) { signal } else { signed };
        let _ = self.probing.hear_signal(self.now, &key(peer), &signal);
    }

    /// What an honest peer, or router, answers to one of the last datagrams.
    fn answer(&mut self, bytes: &mut Bytes<'_>) {
        let number = usize::from(bytes.next());
        let Some((to, datagram)) = self.sent.get(number % self.sent.len().max(1)).cloned() else {
            return;
        };
        let seen = SocketAddr::from(([203, 0, 113, 9], 4000 + u16::from(bytes.next())));
        let counter = bytes.number(0);
        for peer in PEERS {
            let pairs = pairs(peer, OWN);
            if let Ok((_, question)) = pairs.read(&datagram) {
                let kind = Kind::Answer { source: seen };
                let answer = Message {
                    kind,
                    epoch: EPOCH,
                    counter,
                    ..question
                };
                let answer = pairs.seal(&key(OWN), &answer).expect("it was admitted");
                self.hear(to, &answer);
            }
        }
    }

    fn hear(&mut self, source: SocketAddr, datagram: &[u8]) {
        match self.probing.hear(self.now, source, datagram, &mut self.random) {
            Ok(Heard::Asked { answer, ask_back, .. }) => {
                self.places.insert(source);
                assert_eq!(answer.len(), datagram.len(), "nothing is amplified");
                self.note_sent(ask_back.map(|probe| (source, probe)));
            }
            Ok(Heard::Looked { answer, .. }) => assert_eq!(answer.len(), datagram.len(), "nothing is amplified"),
            Ok(Heard::Shown { about }) => {
                if let Some(peer) = about {
                    let ports = self.probing.ports_for(self.now, &peer);
                    assert!(ports.iter().all(|ports| (1..=MAX_PORTS).contains(&ports.count)));
                }
            }
            Ok(Heard::Answered { .. }) => {}
            Err((dropped, _)) => drop(dropped.to_string()),
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..200 {
            let Some(next) = self.probing.next().filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            let due = self.probing.due(self.now, &mut self.random);
            let looks = due.before.into_iter().chain(due.after).map(|(_, to, look)| (to, look));
            let probes: Vec<_> = due.probes.into_iter().chain(looks).collect();
            probes.iter().for_each(|(to, _)| self.check(*to));
            self.note_sent(probes);
            assert!(self.probing.next().is_none_or(|next| next > self.now), "it spins");
        }
        self.now = end;
    }

    fn check(&mut self, to: SocketAddr) {
        if !self.places.contains(&to) {
            assert!(self.looked_for.contains(&to.ip()), "{to} is where nobody is looked for");
            self.foreseen.push((self.now, to));
            let lately = self
                .foreseen
                .iter()
                .filter(|(at, _)| self.now.since(*at) < Duration::from_secs(600));
            // Those that were taken up ten minutes ago may still have been on their way out.
            assert!(lately.count() <= MAX_FORESEEN + usize::from(MAX_PORTS));
        }
    }

    fn note_sent(&mut self, sent: impl IntoIterator<Item = (SocketAddr, Vec<u8>)>) {
        self.sent.extend(sent);
        let many = self.sent.len().saturating_sub(64);
        self.sent.drain(..many);
    }
}

/// What is left of the input; zeros after its end.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn some(&mut self) -> &'a [u8] {
        let length = usize::from(self.next()).min(self.0.len());
        let (first, rest) = self.0.split_at(length);
        self.0 = rest;
        first
    }

    /// Returns a number near another one, mostly.
    fn number(&mut self, near: u64) -> u64 {
        match self.next() {
            255 => u64::MAX,
            254 => 1 << 63,
            more => near + u64::from(more),
        }
    }
}

fn place(bytes: &mut Bytes<'_>) -> SocketAddr {
    let (host, port) = (bytes.next(), 1 + u16::from(bytes.next()));
    if host.is_multiple_of(4) {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(host % 8)], port))
    } else {
        SocketAddr::from(([192, 0, 2, host % 8], port))
    }
}

fn key(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

/// The keys that one of two nodes has for the other.
fn pairs(own: u8, peer: u8) -> Pairs {
    let mut pairs = Pairs::default();
    pairs.admit(&key(own), &key(peer), Zeroizing::new([own ^ peer; 32]));
    pairs
}
