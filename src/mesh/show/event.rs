//! All that crosses the border between the core and the shell.

mod words;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::settings::{Host, Settings};
use crate::mesh::believe::auth::AuthError;
use crate::mesh::believe::fact::store::Limit;
use crate::mesh::believe::fact::wire::WireError;
use crate::mesh::believe::trust::Refusal;
pub use crate::mesh::device::host::{HostState, Interface, Route, Whereabouts};
pub use crate::mesh::device::outward::Leads;
use crate::mesh::device::{DeviceChange, DeviceState};
use crate::mesh::keep::memory::Memory;
use crate::mesh::reach::link::Missing;
use crate::mesh::reach::link::fit::Narrow;
use crate::mesh::reach::ping::{NoPing, Path};
use crate::mesh::reach::probe::Dropped;
use crate::mesh::reach::stun::{self, Answer, Transaction};
use crate::mesh::route::overlap::Overlap;
use crate::mesh::share::ports::PortPair;
pub use crate::mesh::show::peer_name::PeerName;
pub use crate::mesh::show::refused::RefusedPrefix;

/// What the shell tells the node.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram came in on the port for facts.
    Packet {
        /// The link-local address that it came from.
        source: Ipv6Addr,
        /// The ports between which it came.
        ports: PortPair,
        /// The UDP payload.
        payload: &'a [u8],
    },
    /// A datagram that [may be a probe](crate::mesh::reach::probe::wire::is_possible) came in on WireGuard's own port.
    Probe {
        /// Where it came from, through whatever NAT; an IPv4 address never in its mapped form.
        source: SocketAddr,
        /// The address of this machine to which it came, where that is known: an answer from another one passes no firewall.
        local: Option<IpAddr>,
        /// The UDP payload.
        payload: &'a [u8],
    },
    /// What seems to be a STUN server's answer came in on WireGuard's own port.
    Stun {
        /// Where it came from; an IPv4 address never in its mapped form.
        source: SocketAddr,
        /// What it says; nothing where it cannot be read.
        answer: Option<Answer>,
    },
    /// Whether probes can be sent and heard, from now on; after what was remembered.
    Prober {
        /// When this run began, in milliseconds since 1970, as the clock says: peers know by it what is old. Where an earlier run said
        /// more, the node goes on from there.
        epoch: u64,
        /// Why there are no probes, where that is so.
        missing: Option<NoProbes>,
    },
    /// Facts are spoken on other ports now: peers learn them from what they hear next.
    FactPorts,
    /// The device was read; the node keeps what is different from the reading before.
    Device(&'a DeviceState),
    /// The machine was looked at.
    Host(HostState),
    /// The kernel was asked where a packet of WireGuard's goes, after [`Output::FindRoute`].
    Routed {
        /// The address that was asked about.
        address: IpAddr,
        /// Where a packet to it goes.
        leads: Leads,
    },
    /// A name was looked up, after [`Output::Resolve`]; no addresses where that failed.
    Resolved {
        /// What was asked for.
        host: Host,
        /// Its addresses, with the port.
        addresses: Vec<SocketAddr>,
    },
    /// Where the operator's file for wg-quick says by name that peers are; it takes the place of what it said before.
    Named(BTreeMap<PublicKey, Host>),
    /// What the operator decides from now on; how addresses follow from keys is as before.
    Settings(Box<Settings>),
    /// The operator wants to know how long the ways to a peer take; [`Output::Pong`] answers for each of them.
    Ping {
        /// Whom to ask.
        peer: PublicKey,
        /// What the answers bear.
        id: u64,
    },
    /// The operator bans a key from now on, or no longer.
    Ban {
        /// The key.
        peer: PublicKey,
        /// Whether it is out.
        denied: bool,
    },
    /// What an earlier run of this node remembered, the time since then added; before the first reading of the device.
    Remembered(Box<Memory>),
    /// The moment of [`Node::poll_timeout`](crate::mesh::node::Node::poll_timeout) has come. Before it, the shell reads the device.
    Timeout,
    /// The node stops: what it put on the device is taken off again. Nothing may be handed in after it.
    Stop,
}

/// What the node wants done, in this order.
#[derive(Debug)]
pub enum Output {
    /// Change the device. A failure needs no answer: the next reading of the device tells.
    Configure(DeviceChange),
    /// Keep this, in the place of what was kept before, until the next start. It comes before the changes of the device that it
    /// knows of: what is on the device because of this node is known before it is there.
    Remember(Box<Memory>),
    /// Send a datagram to a peer, on the port for facts.
    Transmit {
        /// The link-local address of the peer.
        to: Ipv6Addr,
        /// The ports between which its last verified datagram came; `None` where it was not heard yet, and may listen at any of the usual.
        ports: Option<PortPair>,
        /// The UDP payload.
        payload: Vec<u8>,
    },
    /// Send a probe from WireGuard's own port, past WireGuard. What cannot be sent is lost, as on any network.
    Probe {
        /// From which other port than WireGuard's, if from another one.
        from: Option<u16>,
        /// From which address of this machine; `None` leaves that to its routes.
        local: Option<IpAddr>,
        /// Where to.
        to: SocketAddr,
        /// The UDP payload.
        payload: Vec<u8>,
    },
    /// Ask a STUN server from WireGuard's own port where it sees this node (RFC 8489, Binding). What cannot be sent is lost.
    Stun {
        /// The server.
        to: SocketAddr,
        /// What the answer repeats.
        transaction: Transaction,
    },
    /// Ask the kernel where a packet of WireGuard's to this address goes, its mark included, and answer with [`Input::Routed`].
    FindRoute(IpAddr),
    /// Look a name up and answer with [`Input::Resolved`].
    Resolve(Host),
    /// Tell whoever asked by [`Input::Ping`]; nothing is told of an answer that does not come within [`PATIENCE`](crate::mesh::reach::ping::PATIENCE).
    Pong {
        /// Which ping.
        id: u64,
        /// The way that was asked for.
        path: Path,
        /// How long there and back took, or why nothing was sent.
        outcome: Result<Duration, NoPing>,
    },
    /// Tell the operator: one log line.
    Notify(Event),
}

/// Why there are no probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProbes {
    /// The settings say so.
    #[error("switched off in the settings")]
    Off,
    /// A raw socket needs CAP_NET_RAW.
    #[error("CAP_NET_RAW is missing")]
    NotPermitted,
    /// A raw socket cannot be had for another reason.
    #[error("the system has no raw sockets for it")]
    NotSupported,
}

/// Something that happened, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Traffic may go to the peer directly from now on.
    LinkEstablished {
        /// The peer.
        peer: PeerName,
        /// Where it is reached.
        endpoint: Option<SocketAddr>,
        /// How long it took since probing began.
        took: Duration,
    },
    /// A link lost one of its signals; its prefixes return to a router where one can be reached.
    LinkSuspected {
        /// The peer.
        peer: PeerName,
        /// Which signal.
        missing: Missing,
    },
    /// The session of a link is over; its endpoint is looked for again.
    LinkLost {
        /// The peer.
        peer: PeerName,
    },
    /// A path drops long packets, and nobody says so.
    PathNarrow {
        /// The peer.
        peer: PeerName,
        /// What passes.
        narrow: Narrow,
    },
    /// It does not any more.
    PathWide {
        /// The peer.
        peer: PeerName,
    },
    /// A member was made a peer of the device.
    PeerAdded {
        /// The peer.
        peer: PeerName,
    },
    /// A peer that we made is no member any more, and was removed.
    PeerRemoved {
        /// The peer.
        peer: PeerName,
    },
    /// A peer started anew, or forgot what it was told.
    PeerRestarted {
        /// The peer.
        peer: PeerName,
    },
    /// Several machines use the key of the peer.
    KeyShared {
        /// The peer.
        peer: PeerName,
    },
    /// A prefix has another owner.
    PrefixMoved {
        /// The prefix.
        prefix: IpNet,
        /// Who had it before.
        from: Option<PeerName>,
        /// Its new owner; nobody where a shorter prefix of a router covers it.
        to: Option<PeerName>,
    },
    /// A prefix that is claimed for a peer is not programmed.
    PrefixRefused(RefusedPrefix),
    /// More claims are refused than are told one by one.
    MorePrefixesRefused,
    /// A claim that was refused is so no more.
    PrefixCleared {
        /// The prefix.
        prefix: IpNet,
        /// For whom it is claimed.
        claimant: PeerName,
    },
    /// This node found out whether it routes for others.
    RoleChanged {
        /// Whether it does.
        router: bool,
        /// Which role that is, and why.
        why: String,
        /// Whether it had the other role before.
        is_change: bool,
    },
    /// A key is out: it is no peer any more, and nothing about it is believed.
    Banned {
        /// The key.
        peer: PeerName,
        /// Whose word that is, where it is not that of this node's operator.
        by: Option<PeerName>,
    },
    /// A key is out no longer.
    Pardoned {
        /// The key.
        peer: PeerName,
    },
    /// Other peers than before may say who is a member.
    TrustChanged {
        /// Which, and why.
        text: String,
    },
    /// All peers are asked to tell everything again.
    Resynced {
        /// Why.
        reason: &'static str,
    },
    /// There are more members than can be made peers.
    TooManyMembers,
    /// Something that was said is not believed.
    Rejected {
        /// Why.
        reason: RejectReason,
        /// Who said it, as far as that is known.
        sender: Option<PeerName>,
        /// Where it came from.
        source: IpAddr,
        /// How often this happened since it was last reported, this time included.
        times: u64,
    },
    /// More events of one kind happened in the last minute than are told.
    LeftOut {
        /// The code of that kind.
        kind: &'static str,
        /// How many are not told.
        times: u64,
        /// The peer with most of them, where they are counted by peer.
        most: Option<PeerName>,
    },
}

/// Why something that a peer said is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum RejectReason {
    /// The datagram is none of ours.
    #[error("malformed datagram: {0}")]
    Layout(WireError),
    /// Who sent it is not certain, or what it holds does not decode.
    #[error("refused datagram: {0}")]
    Auth(AuthError),
    /// The sender is no peer of the device.
    #[error("datagram from a key that is no peer")]
    Stranger,
    /// The sender may not say it.
    #[error("refused fact: {0}")]
    Refused(Refusal),
    /// A probe, or a signal, is dropped.
    #[error("dropped probe: {0}")]
    Probe(Dropped),
    /// The answer of a STUN server is dropped.
    #[error("dropped STUN answer: {0}")]
    Stun(stun::Dropped),
    /// It may not be programmed, for as long as that is so.
    #[error("prefix not programmed: {0}")]
    Overlap(Overlap),
    /// There is no room for it.
    #[error("no room for more facts ({0})")]
    Full(Limit),
}

/// How much an [`Event`] matters to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Only while looking into something.
    Debug,
    /// Worth a line.
    Info,
    /// Needs a look.
    Warn,
}
