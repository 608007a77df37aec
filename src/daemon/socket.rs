//! The sockets for facts, on our link-local address inside the tunnel.
//!
//! Deployed nodes send to the port that they listen on, so all nodes must have the same one. It follows from the listen port of
//! WireGuard, and where that is any port, as wg-quick leaves it on most leaves, nodes would not meet. So there may be a second port, the
//! one that the routers probably have. A peer that was not heard yet is sent to on both, and every other peer where the node heard it: the
//! node alone knows which datagrams are a peer's, and says between which ports to send.
//!
//! A bound socket keeps everybody else from binding its port for all addresses (the kernel compares addresses, and `::` overlaps with
//! ours; an interface keeps two sockets apart only where both are bound to one). That must not befall another WireGuard interface, for
//! which the port after ours is the usual one. So a port is bound only while ours is the only WireGuard interface, and heard beside
//! whoever has it otherwise ([`ear`]).

mod ear;

use std::io;
use std::net::Ipv6Addr;
use std::time::Duration;

use futures_util::future::select_all;
use tokio::time::timeout;

use self::ear::{Ear, OVERHEAD};
use super::holder;
use super::ports::Want;
use crate::mesh::believe::fact::wire::MAX_ACCEPTED;
use crate::mesh::share::ports::PortPair;

/// How often it is tried whether our own address can be reached, and how long each time: 2 s in all.
const SELF_TESTS: u32 = 200;
const SELF_TEST: Duration = Duration::from_millis(10);

/// Where another port is looked for: so far from the usual ones that no second WireGuard interface comes there.
const STEP: u16 = 1000;
const STEPS: u16 = 8;

/// Where a node speaks.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The name of the interface, for people.
    pub(super) iface: String,
    /// Its index.
    pub(super) index: u32,
    /// Our address on it.
    pub(super) address: Ipv6Addr,
}

/// The sockets. They never wait to send: what does not fit is lost, as on any network, and said again in time.
#[derive(Debug)]
pub(super) struct Socket {
    place: Place,
    wants: Vec<Want>,
    /// At least one; the first one speaks where nothing else is said.
    ears: Vec<Ear>,
    /// Which one is read first next time: a flood on one starves no other.
    turn: usize,
    buffer: [u8; OVERHEAD + MAX_ACCEPTED + 1],
}

/// How facts are received on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) port: u16,
    /// Whether nobody else can have it meanwhile.
    pub(super) is_bound: bool,
    /// Whether it takes the place of another one that cannot be had.
    pub(super) is_spare: bool,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocketError {
    /// The kernel refuses it.
    #[error("UDP port {1} on {0} cannot be opened: {2}")]
    Refused(String, u16, io::Error),
}

impl Socket {
    /// Opens the ports, the first one wherever it can be had, and the others where they can.
    pub(super) async fn open(place: Place, wants: Vec<Want>) -> Result<Self, SocketError> {
        let mut socket = Self {
            ears: open(&mut Vec::new(), &place, &wants).await?,
            place,
            wants,
            turn: 0,
            buffer: [0; OVERHEAD + MAX_ACCEPTED + 1],
        };
        socket.hear_itself().await;
        Ok(socket)
    }

    /// Moves to other ports, or holds them otherwise; where no port can be had, everything stays as it was. Returns whether anything
    /// is different.
    pub(super) async fn follow(&mut self, wants: Vec<Want>) -> Result<bool, SocketError> {
        let before = self.opened();
        self.ears = open(&mut self.ears, &self.place, &wants).await?;
        self.wants = wants;
        self.turn = 0;
        Ok(self.opened() != before)
    }

    /// Calls the interface by its new name from now on.
    pub(super) fn rename(&mut self, iface: &str) {
        iface.clone_into(&mut self.place.iface);
    }

    /// Returns the ports on which facts are received.
    pub(super) fn opened(&self) -> Vec<Open> {
        let opened = self.ears.iter().map(|ear| Open {
            port: ear.port,
            is_bound: ear.is_bound(),
            is_spare: !self.wants.iter().any(|want| want.port == ear.port),
        });
        opened.collect()
    }

    /// Returns whether a port is not held as it should be: another try may do.
    pub(super) fn is_makeshift(&self) -> bool {
        let opened = self.opened();
        let is_had = |want: &Want| {
            opened
                .iter()
                .any(|open| open.port == want.port && open.is_bound == want.hold)
        };
        !self.wants.iter().all(is_had) || opened.iter().any(|open| open.is_spare)
    }

    /// Waits until what is sent to our own address arrives. The kernel makes the route for it a little later than the address,
    /// and until then loses what peers send: a hub's first word, after which it has nothing to say for a while.
    async fn hear_itself(&mut self) {
        for _ in 0..SELF_TESTS {
            self.ears[0].send(self.place.address, self.ears[0].port, &[]).ok();
            if timeout(SELF_TEST, self.readable()).await.is_ok() && matches!(self.receive(), Ok(Some(_))) {
                return;
            }
        }
        let address = self.place.address;
        tracing::warn!("nothing arrives at {address}, not even from this machine itself: is there a firewall?");
    }

    /// Sends to a peer between these ports, where it was heard; one that was not heard yet on every port on which it may listen.
    pub(super) fn send(&self, to: Ipv6Addr, ports: Option<PortPair>, payload: &[u8]) -> io::Result<()> {
        if let Some(PortPair { own, peer }) = ports {
            return self.voice(own).send(to, peer, payload);
        }
        let wanted = self.wants.iter().map(|want| want.port);
        let spare = self.opened().into_iter().filter(|open| open.is_spare);
        let numbers = wanted.chain(spare.map(|open| open.port));
        let sent = numbers.map(|port| self.voice(port).send(to, port, payload));
        sent.fold(Ok(()), Result::and)
    }

    /// Returns what speaks for a port of ours: itself, where it is bound, and otherwise one that is, so that answers come there.
    fn voice(&self, own: u16) -> &Ear {
        let bound = || self.ears.iter().filter(|ear| ear.is_bound());
        let itself = || self.ears.iter().find(|ear| ear.port == own);
        let voice = bound().find(|ear| ear.port == own).or_else(|| bound().next());
        voice.or_else(itself).unwrap_or(&self.ears[0])
    }

    /// Waits until a datagram can be received; may be cancelled.
    pub(super) async fn readable(&self) -> io::Result<()> {
        let waiting = self.ears.iter().map(|ear| Box::pin(ear.readable()));
        select_all(waiting).await.0
    }

    /// Receives a datagram that is there; one that is too long arrives cut, and still too long.
    pub(super) fn receive(&mut self) -> io::Result<Option<(Ipv6Addr, PortPair, &[u8])>> {
        let turn = self.turn;
        self.turn = (turn + 1) % self.ears.len();
        let mut received = None;
        for ear in self.ears.iter().cycle().skip(turn).take(self.ears.len()) {
            match ear.receive(&mut self.buffer) {
                Ok(Some((from, payload))) => {
                    let ports = PortPair {
                        own: ear.port,
                        peer: from.port(),
                    };
                    received = Some((*from.ip(), ports, payload));
                    break;
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(received.map(|(from, ports, payload)| (from, ports, &self.buffer[payload])))
    }
}

/// Opens what is wanted, and takes over those of `old` that are open already; the rest is closed. `old` stays as it is where no port can
/// be had.
async fn open(old: &mut Vec<Ear>, place: &Place, wants: &[Want]) -> Result<Vec<Ear>, SocketError> {
    let (mut ears, mut retired, mut refusal) = (Vec::new(), Vec::new(), None);
    for want in wants {
        let had = old.iter().position(|ear| ear.port == want.port);
        let had = had.map(|at| old.swap_remove(at));
        match (open_one(place, *want, had.as_ref()).await, had) {
            (Ok(Some(ear)), had) => {
                ears.push(ear);
                retired.extend(had);
            }
            (Ok(None), Some(had)) => ears.push(had),
            (Ok(None), None) => {}
            (Err(error), had) => {
                tracing::debug!("UDP port {} on {}: {error}", want.port, place.iface);
                refusal = refusal.or(Some((want.port, error)));
                // A port that nobody else could have any more is given up.
                ears.extend(had.filter(|had| !had.is_bound()));
            }
        }
    }
    if let Some(first) = wants.first()
        && needs_spare(place, first.port, &ears)
    {
        let spare = old.iter().position(Ear::is_bound).map(|at| old.swap_remove(at));
        let spare = match spare {
            Some(spare) => Some(spare),
            None => look_for_another(place, first.port).await,
        };
        spare.into_iter().for_each(|spare| ears.insert(0, spare));
    }
    match refusal {
        Some((port, error)) if ears.is_empty() => {
            old.extend(retired);
            Err(SocketError::Refused(place.iface.clone(), port, error))
        }
        _ => Ok(ears),
    }
}

/// Opens a port; nothing, where it is open already and cannot be had better.
async fn open_one(place: &Place, want: Want, had: Option<&Ear>) -> io::Result<Option<Ear>> {
    if had.is_some_and(|had| had.is_bound() == want.hold) {
        return Ok(None);
    }
    let bound = match want.hold {
        true => Ear::bound(place, want.port).await,
        false => Err(io::ErrorKind::AddrInUse.into()),
    };
    match bound {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match had {
            Some(had) if !had.is_bound() => Ok(None),
            Some(_) | None => Ear::beside(place, want.port).map(Some),
        },
        bound => bound.map(Some),
    }
}

/// Returns whether a node needs another port to speak from: its own one is not heard, or somebody has it who would read along.
fn needs_spare(place: &Place, port: u16, ears: &[Ear]) -> bool {
    let heard = ears.iter().find(|ear| ear.port == port);
    heard
        .is_none_or(|ear| !ear.is_bound() && holder::of(port, place.address).is_some_and(|holder| holder.is_stranger()))
}

/// Binds a port that nobody is known to use.
async fn look_for_another(place: &Place, port: u16) -> Option<Ear> {
    let ports = (1..=STEPS).map(|step| port.checked_add(step * STEP).unwrap_or(port - step * STEP));
    // The last one is any that is free.
    for port in ports.chain([0]) {
        match Ear::bound(place, port).await {
            Ok(ear) => return Some(ear),
            Err(error) => tracing::debug!("UDP port {port} on {}: {error}", place.iface),
        }
    }
    None
}
