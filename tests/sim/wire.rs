//! A few modelled WireGuard interfaces on one wire: the test bench of their rules.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::device::{DeviceChange, PeerState};

use super::wireguard::{Effect, Message, Packet, Tunnel, Unroutable};

/// Long enough that two initiations of the same moment cross, and short beside every timer.
pub(crate) const LATENCY: Duration = Duration::from_millis(20);
pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;
pub(crate) const C: usize = 2;

/// A few hosts on one wire that loses nothing of what may pass.
pub(crate) struct Wire {
    pub(crate) now: Timestamp,
    pub(crate) hosts: Vec<Host>,
    /// Datagrams under way: when they arrive, from where, to where.
    pub(crate) flying: Vec<(Timestamp, SocketAddr, SocketAddr, Message)>,
    /// Whether datagrams are lost.
    pub(crate) cut: bool,
    pub(crate) sent: Vec<Sent>,
    pub(crate) delivered: Vec<Delivered>,
}

pub(crate) struct Host {
    pub(crate) tunnel: Tunnel,
    pub(crate) address: SocketAddr,
}

pub(crate) struct Sent {
    pub(crate) at: Timestamp,
    pub(crate) by: usize,
    pub(crate) message: Message,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Delivered {
    pub(crate) to: usize,
    pub(crate) from: PublicKey,
    pub(crate) packet: Packet,
}

pub(crate) fn key(host: usize) -> PublicKey {
    PublicKey::from_bytes([host as u8 + 1; 32])
}

pub(crate) fn inner(host: usize) -> IpAddr {
    IpAddr::from([10, 0, 0, host as u8 + 1])
}

pub(crate) fn packet(from: usize, to: usize) -> Packet {
    Packet {
        source: inner(from),
        destination: inner(to),
        hops: 64,
        payload: vec![0; 12],
    }
}

pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

impl Wire {
    /// Puts hosts on the wire that do not know each other.
    pub(crate) fn strangers(hosts: usize) -> Self {
        let host = |index: usize| Host {
            tunnel: Tunnel::new(key(index), 51820, 7),
            address: SocketAddr::from(([192, 0, 2, index as u8 + 1], 51820)),
        };
        Self {
            // Not the start of the clock: nothing may depend on that.
            now: Timestamp::START + seconds(1000.5),
            hosts: (0..hosts).map(host).collect(),
            flying: Vec::new(),
            cut: false,
            sent: Vec::new(),
            delivered: Vec::new(),
        }
    }

    /// Two hosts that have each other as peers, and know where.
    pub(crate) fn pair() -> Self {
        let mut wire = Self::strangers(2);
        wire.introduce(A, B);
        wire.introduce(B, A);
        wire
    }

    /// A pair that A has opened a session with B.
    pub(crate) fn session() -> Self {
        let mut wire = Self::pair();
        wire.send(A, B);
        wire.run(seconds(1.0));
        wire
    }

    /// Makes `peer` a peer of `at`, with its address.
    pub(crate) fn introduce(&mut self, at: usize, peer: usize) {
        let endpoint = Some(self.hosts[peer].address);
        let allowed_ips = [IpAddr::into(inner(peer))].into();
        self.apply(
            at,
            DeviceChange::AddPeer {
                peer: key(peer),
                allowed_ips,
                endpoint,
            },
        );
    }

    pub(crate) fn apply(&mut self, at: usize, change: DeviceChange) {
        self.hosts[at].tunnel.apply(self.now, &change);
        self.collect(at);
    }

    pub(crate) fn keepalive(&mut self, at: usize, peer: usize, interval: u16) {
        self.hosts[at]
            .tunnel
            .set_keepalive(self.now, &key(peer), Some(interval));
        self.collect(at);
    }

    pub(crate) fn send(&mut self, from: usize, to: usize) {
        self.try_send(from, packet(from, to))
            .expect("there is a peer with an endpoint");
    }

    pub(crate) fn try_send(&mut self, from: usize, packet: Packet) -> Result<(), Unroutable> {
        let result = self.hosts[from].tunnel.send(self.now, packet);
        self.collect(from);
        result
    }

    pub(crate) fn receive(&mut self, at: usize, from: SocketAddr, message: Message) {
        self.hosts[at].tunnel.receive(self.now, from, message);
        self.collect(at);
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.now = at;
            for host in 0..self.hosts.len() {
                self.hosts[host].tunnel.wake(at);
                self.collect(host);
            }
            self.arrivals();
        }
        self.now = end;
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        let timers = self.hosts.iter().filter_map(|host| host.tunnel.next());
        timers.chain(self.flying.iter().map(|(at, ..)| *at)).min()
    }

    pub(crate) fn arrivals(&mut self) {
        let (arrived, flying) = std::mem::take(&mut self.flying)
            .into_iter()
            .partition(|(at, ..)| *at <= self.now);
        self.flying = flying;
        let arrived: Vec<_> = arrived;
        for (_, from, to, message) in arrived {
            if let Some(host) = self.hosts.iter().position(|host| host.address == to) {
                self.receive(host, from, message);
            }
        }
    }

    pub(crate) fn collect(&mut self, by: usize) {
        while let Some(effect) = self.hosts[by].tunnel.effect() {
            match effect {
                Effect::Send { to, message } => {
                    if !self.cut {
                        let from = self.hosts[by].address;
                        self.flying.push((self.now + LATENCY, from, to, message.clone()));
                    }
                    let at = self.now;
                    self.sent.push(Sent { at, by, message });
                }
                Effect::Deliver { from, packet } => self.delivered.push(Delivered { to: by, from, packet }),
            }
        }
    }

    pub(crate) fn peer(&self, at: usize, of: usize) -> &PeerState {
        &self.hosts[at].tunnel.device().peers[&key(of)]
    }

    /// Returns how often a host sent a message of a kind.
    pub(crate) fn count(&self, by: usize, kind: Kind) -> usize {
        self.times(by, kind).len()
    }

    /// Returns when a host sent messages of a kind.
    pub(crate) fn times(&self, by: usize, kind: Kind) -> Vec<Timestamp> {
        let sent = self.sent.iter().filter(|sent| sent.by == by && kind.is(&sent.message));
        sent.map(|sent| sent.at).collect()
    }

    /// Returns how long it took between what a host sent of a kind.
    pub(crate) fn gaps(&self, by: usize, kind: Kind) -> Vec<Duration> {
        self.times(by, kind)
            .windows(2)
            .map(|pair| pair[1].since(pair[0]))
            .collect()
    }
}

/// A kind of message.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Initiation,
    Response,
    Packet,
    Keepalive,
    Any,
}

impl Kind {
    pub(crate) fn is(self, message: &Message) -> bool {
        match self {
            Self::Initiation => matches!(message, Message::Initiation { .. }),
            Self::Response => matches!(message, Message::Response { .. }),
            Self::Packet => matches!(message, Message::Data { packet: Some(_), .. }),
            Self::Keepalive => matches!(message, Message::Data { packet: None, .. }),
            Self::Any => true,
        }
    }
}
