//! What the command line may ask a running daemon, and what that answers: types only.
//!
//! A client connects to the socket of an interface and sends one [`Request`], a line of JSON. The daemon answers with one [`Response`], a
//! line of JSON, or with one for each thing that happens, until either side closes. What a side does not know it leaves out of account:
//! fields may be added in any version, and [`VERSION`] changes when one is taken away or means something else.

mod facts;
mod pong;

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::settings::TrustLevel;

pub use self::facts::{Fact, Facts, Refused, Rejected};
pub use self::pong::{Pong, Trip};

/// The version of these types.
pub const VERSION: u32 = 1;
/// The longest request, in bytes: a key, a name and some words.
pub const MAX_REQUEST: usize = 4096;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`] of the client.
    pub version: u32,
    /// What it wants.
    #[serde(flatten)]
    pub ask: Ask,
}

impl Request {
    /// Returns a request of this version.
    pub fn new(ask: Ask) -> Self {
        Self { version: VERSION, ask }
    }
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Ask {
    /// How the node and its peers are, or one of them.
    Status {
        /// A name, a key or the beginning of a key.
        peer: Option<String>,
    },
    /// How a peer came to be as it is.
    Explain {
        /// A name, a key or the beginning of a key.
        peer: String,
    },
    /// What is believed, about all or about one.
    Facts {
        /// A name, a key or the beginning of a key.
        peer: Option<String>,
    },
    /// What happened lately.
    Events {
        /// Whether to go on with what happens from now on.
        follow: bool,
    },
    /// How long the ways to a peer take: both are measured.
    Ping {
        /// A name, a key or the beginning of a key.
        peer: String,
    },
    /// The peers as they are on the interface now.
    Export,
    /// Read the configuration again.
    Reload,
    /// Log details, or no longer.
    Log {
        /// Whether details are logged.
        debug: bool,
    },
    /// Treat a peer otherwise, until the next start.
    Set {
        /// A name, a key or the beginning of a key.
        peer: String,
        /// How.
        change: PeerChange,
    },
}

impl Ask {
    /// Returns whether this changes something, which only root may.
    pub fn is_change(&self) -> bool {
        match self {
            Self::Status { .. }
            | Self::Explain { .. }
            | Self::Facts { .. }
            | Self::Events { .. }
            | Self::Ping { .. }
            | Self::Export => false,
            Self::Reload | Self::Log { .. } | Self::Set { .. } => true,
        }
    }
}

/// What can be changed about a peer until the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerChange {
    /// No direct link to it.
    Pause,
    /// A direct link again, where one is possible.
    Resume,
    /// How far its word goes.
    Trust(TrustLevel),
    /// It is out, here and at all nodes that trust this one with members, across restarts.
    Ban,
    /// It is out no longer.
    Unban,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Response {
    /// To [`Ask::Status`].
    Status(Box<Status>),
    /// To [`Ask::Explain`].
    Explanation(Box<Explanation>),
    /// To [`Ask::Facts`].
    Facts(Box<Facts>),
    /// To [`Ask::Events`]: one of them.
    Event(Event),
    /// To [`Ask::Ping`].
    Pong(Box<Pong>),
    /// To [`Ask::Export`].
    Export(Export),
    /// It is done.
    Done {
        /// What was done, for people.
        text: String,
    },
    /// It is not done.
    Error {
        /// Why, for programs.
        code: ErrorCode,
        /// Why, for people.
        text: String,
    },
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// It is no request that this version knows.
    BadRequest,
    /// Only root may.
    NotPermitted,
    /// There is no such peer.
    NoSuchPeer,
    /// Several peers are called like that.
    Ambiguous,
    /// The configuration is wrong, and nothing is changed.
    BadConfiguration,
    /// Some of it works only after a restart, and nothing is changed.
    NeedsRestart,
    /// There are too many clients.
    Busy,
    /// WireGuard does not answer.
    DeviceFails,
}

/// How a node and its peers are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`VERSION`] of the daemon.
    pub version: u32,
    /// The node itself.
    pub node: Node,
    /// Its peers, in the order of their names.
    pub peers: Vec<Peer>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The program and its version.
    pub program: String,
    /// The WireGuard interface.
    pub interface: String,
    /// What WireGuard that is.
    pub backend: String,
    /// The public key.
    pub key: PublicKey,
    /// The link-local address in the tunnel.
    pub address: Ipv6Addr,
    /// `router`, `leaf` or `unknown`.
    pub role: String,
    /// Why it has that role, and which setting fixes it; empty from daemons that do not say.
    #[serde(default)]
    pub role_reason: String,
    /// The peers whose word counts for members, and why; empty from daemons that do not say.
    #[serde(default)]
    pub trust_reason: String,
    /// Whether all facts are told to every peer.
    pub chatty: bool,
    /// The class of the NAT in front of it, where that is certain, else `unknown`.
    pub nat: String,
    /// The class that the NAT likely has, where two observers show one, however far they are trusted.
    #[serde(default)]
    pub nat_likely: String,
    /// The observers that see the node from outside of its NAT: names of peers, and `STUN`.
    #[serde(default)]
    pub nat_by: Vec<String>,
    /// Why there are no probes, where that is so.
    pub no_probes: Option<String>,
    /// The UDP ports inside the tunnel on which facts are received, the first of which is spoken from; empty where the daemon is older.
    #[serde(default)]
    pub fact_ports: Vec<FactPort>,
    /// How long it runs, in seconds.
    pub up_seconds: u64,
    /// Whether details are logged.
    pub debug: bool,
    /// What was changed until the next start, for people.
    pub overrides: Vec<String>,
}

/// A UDP port for facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactPort {
    /// The port.
    pub port: u16,
    /// Whether it is bound; otherwise a raw socket receives beside whoever has it, or may want to have it.
    pub bound: bool,
    /// Whether it takes the place of one that another program has.
    pub fallback: bool,
    /// The other program or interface that has it, where that is known.
    pub holder: Option<String>,
}

impl fmt::Display for FactPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.port)?;
        match (self.fallback, self.bound, &self.holder) {
            (true, ..) => f.write_str(" (in place of one that is taken)"),
            (false, true, _) => Ok(()),
            (false, false, Some(holder)) => write!(f, " (beside {holder})"),
            (false, false, None) => f.write_str(" (left free for other interfaces)"),
        }
    }
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// The public key.
    pub key: PublicKey,
    /// What it is called.
    pub name: Option<String>,
    /// Which way traffic takes to it.
    pub path: Path,
    /// The router through which it is reached, where that is so.
    pub via: Option<String>,
    /// Why traffic does not go directly, or that it does, as a stable code.
    pub reason: String,
    /// What it means, in a few words.
    pub reason_text: String,
    /// How that shows at present.
    pub detail: String,
    /// The state of the direct link.
    pub link: String,
    /// How long it has been so, in seconds.
    pub since_seconds: u64,
    /// Where WireGuard sends to.
    pub endpoint: Option<SocketAddr>,
    /// The prefixes that WireGuard sends there.
    pub allowed_ips: Vec<IpNet>,
    /// Seconds since the last handshake.
    pub handshake_seconds: Option<u64>,
    /// Bytes that came from it.
    pub received_bytes: u64,
    /// Bytes that went to it.
    pub sent_bytes: u64,
    /// What heartbeats measure, where there is a link.
    pub quality: Option<Quality>,
    /// How far its word goes.
    pub trust: Option<TrustLevel>,
    /// Whether it routes for others.
    pub router: bool,
    /// Whether facts brought it onto the interface.
    pub introduced: bool,
    /// Whether several machines used its private key in the last ten minutes.
    #[serde(default)]
    pub shared_key: bool,
}

/// Which way traffic takes to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// To the peer itself.
    Direct,
    /// Through a router.
    Via,
    /// None.
    Down,
}

/// What heartbeats measure of a link.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// The smoothed round-trip time, in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// How much of what was sent lately did not arrive there, from 0 to 1.
    pub loss_out: Option<f64>,
    /// How much of what was sent there lately did not arrive here, from 0 to 1.
    pub loss_in: Option<f64>,
    /// The interarrival jitter of what goes there, in milliseconds.
    pub jitter_out_ms: f64,
    /// The interarrival jitter of what comes from there, in milliseconds.
    pub jitter_in_ms: f64,
}

/// How a peer came to be as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// [`VERSION`] of the daemon.
    pub version: u32,
    /// How it is.
    pub peer: Peer,
    /// What would have to change.
    pub remedy: String,
    /// Who says that it is a member: how this node knows it.
    pub vouchers: Vec<String>,
    /// Where it may be, the best first.
    pub candidates: Vec<Candidate>,
    /// The class of the NAT in front of this node.
    pub nat_here: String,
    /// The class of the NAT in front of the peer, where that announces it.
    pub nat_there: Option<String>,
    /// The class that the NAT in front of this node likely has, where two observers show one, however far they are trusted.
    #[serde(default)]
    pub nat_here_likely: String,
    /// The class that the NAT in front of the peer likely has, by its own word.
    #[serde(default)]
    pub nat_there_likely: Option<String>,
    /// The observers that see this node from outside of its NAT: names of peers, and `STUN`.
    #[serde(default)]
    pub nat_by: Vec<String>,
    /// What happened to it lately, in order.
    pub events: Vec<Event>,
}

/// Where a peer may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Where.
    pub endpoint: SocketAddr,
    /// How it is known: `host`, `reflexive`, `remembered`, `configured` or `rumour`.
    pub kind: String,
    /// Who says so.
    pub said_by: Option<String>,
    /// For how many seconds that still counts.
    pub expires_seconds: Option<u64>,
    /// How often it was asked by a probe.
    pub asked: u32,
    /// How many seconds ago it was asked last.
    pub asked_seconds: Option<u64>,
    /// How long its last answer took, in milliseconds.
    pub answer_ms: Option<f64>,
    /// How many seconds ago that came.
    pub answered_seconds: Option<u64>,
    /// Whether WireGuard sends there.
    pub in_use: bool,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// `debug`, `info` or `warn`.
    pub level: String,
    /// What kind of thing, as a stable code.
    pub code: String,
    /// With which peer.
    pub peer: Option<PublicKey>,
    /// From which peer it went to that one, or to a router: a prefix that moved.
    pub from: Option<PublicKey>,
    /// What happened, for people.
    pub text: String,
}

/// The peers of an interface as a static configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Export {
    /// The WireGuard interface.
    pub interface: String,
    /// The peers, in the order of their names.
    pub peers: Vec<ExportedPeer>,
}

/// One of them. Secrets are not shown: a peer with a preshared key is said to have one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExportedPeer {
    /// The public key.
    pub key: PublicKey,
    /// What it is called.
    pub name: Option<String>,
    /// Whether it has a preshared key, which stays where it is.
    pub preshared_key: bool,
    /// Where it is.
    pub endpoint: Option<SocketAddr>,
    /// What goes to it.
    pub allowed_ips: Vec<IpNet>,
    /// How often something is sent for the sake of NATs, in seconds.
    pub keepalive_seconds: Option<u16>,
}

#[cfg(test)]
mod tests;
