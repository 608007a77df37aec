//! Probes from WireGuard's own port, past WireGuard: raw sockets beside the one that WireGuard has.
//!
//! They see what the network namespace of this process sees. WireGuard's own port is in the namespace in which the interface was
//! made; an interface that was moved to another one since has its port where no probe is heard.

mod filter;
mod pace;
mod packet;
mod receiver;
mod sender;
pub mod stun;

use std::io;
use std::net::{IpAddr, SocketAddr};

use futures_util::future::select_all;
use tokio::time::{Instant, sleep_until};

pub(super) use self::filter::to_port;
use self::pace::Pace;
use self::packet::Family;
pub use self::packet::{Heard, What};
pub(super) use self::packet::{UDP_HEADER, split_udp, udp_datagram};
use self::receiver::Receiver;
use self::sender::Sender;
use crate::mesh::base::settings::MAX_STUN;
use crate::mesh::reach::stun::Transaction;
use crate::mesh::show::event::NoProbes;

/// How many servers are heard at once: each of both families, where it was before its name led elsewhere included.
const MAX_ASKED: usize = 4 * MAX_STUN;

/// What is to be known of WireGuard: where it listens, and how its packets are marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The listen port; while it is 0, nothing is sent or heard.
    pub number: u16,
    /// The fwmark, 0 for none.
    pub fwmark: u32,
}

/// The raw sockets of each family that the machine has.
#[derive(Debug)]
pub struct Prober {
    port: Port,
    lines: Vec<Line>,
    /// The STUN servers that were asked, whose answers are let in; the last one last.
    asked: Vec<SocketAddr>,
    /// Which one is read first next time: a flood on one starves no other.
    turn: usize,
    pace: Pace,
    /// Until when nothing is taken in.
    resting: Option<Instant>,
}

/// The sockets of one family.
#[derive(Debug)]
struct Line {
    family: Family,
    receiver: Receiver,
    sender: Sender,
}

impl Prober {
    /// Opens what can be had: one family is enough.
    ///
    /// # Errors
    /// The first reason where there is neither.
    pub fn open(port: Port) -> Result<Self, NoProbes> {
        let mut refusal = None;
        let mut lines = Vec::new();
        for family in Family::ALL {
            match Line::open(family, port) {
                Ok(line) => lines.push(line),
                Err(error) => {
                    tracing::debug!("no probes over {family:?}: {error}");
                    refusal = refusal.or(Some(reason(&error)));
                }
            }
        }
        if let (true, Some(refusal)) = (lines.is_empty(), refusal) {
            return Err(refusal);
        }
        Ok(Self {
            port,
            lines,
            asked: Vec::new(),
            turn: 0,
            pace: Pace::new(Instant::now()),
            resting: None,
        })
    }

    /// Follows WireGuard to another port or mark.
    ///
    /// # Errors
    /// When the kernel refuses it; some sockets may have followed then.
    pub fn follow(&mut self, port: Port) -> io::Result<()> {
        if port != self.port {
            self.lines.iter().try_for_each(|line| line.follow(port, &self.asked))?;
            self.port = port;
        }
        Ok(())
    }

    /// Asks a STUN server from where it sees this machine, and hears what it says from now on.
    pub fn ask(&mut self, to: SocketAddr, transaction: Transaction) -> io::Result<()> {
        if !self.asked.contains(&to) {
            self.asked.push(to);
            let surplus = self.asked.len().saturating_sub(MAX_ASKED);
            self.asked.drain(..surplus);
            let (port, asked) = (self.port, &self.asked);
            self.lines
                .iter()
                .try_for_each(|line| line.receiver.listen(port.number, asked))?;
        }
        self.send(None, None, to, &stun::question(transaction))
    }

    /// Sends a probe from WireGuard's port, or from another one, and from this address of the machine or the one that its routes choose;
    /// what the network has no way for is an error at once.
    pub fn send(&self, from: Option<u16>, local: Option<IpAddr>, to: SocketAddr, payload: &[u8]) -> io::Result<()> {
        let line = self.lines.iter().find(|line| line.family == Family::of(to));
        match line {
            Some(line) if self.port.number != 0 => {
                line.sender.send(to, local, from.unwrap_or(self.port.number), payload)
            }
            Some(_) | None => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    /// Waits until a probe can be received; may be cancelled.
    pub async fn readable(&mut self) -> io::Result<()> {
        if let Some(until) = self.resting {
            sleep_until(until).await;
            self.resting = None;
        }
        self.lines.iter_mut().try_for_each(|line| line.receiver.watch(true))?;
        let waiting = self.lines.iter().map(|line| Box::pin(line.receiver.readable()));
        select_all(waiting).await.0
    }

    /// Receives a probe that is there, unless enough were taken in for now.
    pub fn receive(&mut self) -> io::Result<Option<Heard>> {
        let turn = self.turn;
        self.turn = (turn + 1) % self.lines.len();
        for at in 0..self.lines.len() {
            match self.receive_from((turn + at) % self.lines.len()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                heard => return heard,
            }
        }
        if self.resting.is_none() {
            let until = self.pace.count_turn(Instant::now());
            self.rest(until)?;
        }
        Ok(None)
    }

    /// Looks for a probe among the packets that came over one family; `WouldBlock` is an error here.
    fn receive_from(&mut self, at: usize) -> io::Result<Option<Heard>> {
        while self.resting.is_none() {
            let heard = self.lines[at].receiver.receive(self.port.number, &self.asked)?;
            let until = self.pace.count(Instant::now());
            self.rest(until)?;
            if heard.is_some() {
                return Ok(heard);
            }
        }
        Ok(None)
    }

    /// Takes nothing in until then, if that is to be: nothing wakes this process meanwhile.
    fn rest(&mut self, until: Option<Instant>) -> io::Result<()> {
        self.resting = until;
        if until.is_none() {
            return Ok(());
        }
        self.lines.iter_mut().try_for_each(|line| line.receiver.watch(false))
    }
}

impl Line {
    fn open(family: Family, port: Port) -> io::Result<Self> {
        let line = Self {
            family,
            receiver: Receiver::open(family)?,
            sender: Sender::open(family)?,
        };
        line.follow(port, &[]).map(|()| line)
    }

    fn follow(&self, port: Port, asked: &[SocketAddr]) -> io::Result<()> {
        self.receiver.listen(port.number, asked)?;
        self.sender.mark(port.fwmark)
    }
}

fn reason(error: &io::Error) -> NoProbes {
    match error.kind() {
        io::ErrorKind::PermissionDenied => NoProbes::NotPermitted,
        _ => NoProbes::NotSupported,
    }
}
