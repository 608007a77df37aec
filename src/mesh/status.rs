//! Views of a node, to be shown: they explain, and decide nothing.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::event::{PeerName, RejectReason};
use super::fact::boot::BootId;
use super::fact::value::{Metadata, Value};
use super::fact::{Fact, Origin};
use super::identity::PublicKey;
use super::link::State;
use super::settings::TrustLevel;
use super::time::Why;

/// What a node knows and does. Its `Display` is the state dump, many lines.
#[derive(Debug)]
pub struct Status {
    /// The public key of the node.
    pub key: PublicKey,
    /// Its link-local address.
    pub address: Ipv6Addr,
    /// Whether it routes for others; `None` before it saw the device.
    pub router: Option<bool>,
    /// Its boot ID.
    pub boot_id: BootId,
    /// When it next has something to do, and what.
    pub deadline_in: Option<(Duration, Why)>,
    /// The peers of the device.
    pub peers: Vec<PeerStatus>,
    /// What it believes: each fact with its origin and the time that it still lives.
    pub facts: Vec<(Fact, Origin, Duration)>,
    /// What it did not believe, and how often.
    pub rejections: Vec<(RejectReason, u64)>,
}

/// One peer of the device.
#[derive(Debug)]
pub struct PeerStatus {
    /// Who.
    pub peer: PeerName,
    /// The state of the direct link.
    pub state: State,
    /// How long it has been in this state.
    pub since: Duration,
    /// Why traffic goes directly, or why not.
    pub why: String,
    /// Where WireGuard sends to.
    pub endpoint: Option<SocketAddr>,
    /// What WireGuard sends there.
    pub allowed_ips: Vec<IpNet>,
    /// How far the word of the peer goes.
    pub trust: Option<TrustLevel>,
    /// Whether it routes for others.
    pub router: bool,
    /// Whether facts brought it onto the device, and not the operator.
    pub introduced: bool,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.router {
            Some(true) => "router",
            Some(false) => "leaf",
            None => "device not read yet",
        };
        writeln!(
            f,
            "node {} at {}, {role}, boot ID {}",
            self.key, self.address, self.boot_id
        )?;
        if let Some((after, why)) = self.deadline_in {
            writeln!(f, "next deadline in {:.1} s ({why:?})", after.as_secs_f64())?;
        }
        for peer in &self.peers {
            writeln!(f, "{peer}")?;
        }
        for (fact, origin, ttl) in &self.facts {
            writeln!(f, "fact: {} for {} s, from {origin}", ShownFact(fact), ttl.as_secs())?;
        }
        for (reason, times) in &self.rejections {
            writeln!(f, "rejected {times} times: {reason}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PeerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Idle => "idle",
            State::Probing => "probing",
            State::Up => "up",
            State::Suspect(_) => "suspect",
        };
        write!(
            f,
            "peer {}: {state} for {} s: {}; ",
            self.peer,
            self.since.as_secs(),
            self.why
        )?;
        match self.endpoint {
            Some(endpoint) => write!(f, "endpoint {endpoint}, allowed IPs")?,
            None => write!(f, "no endpoint, allowed IPs")?,
        }
        self.allowed_ips.iter().try_for_each(|prefix| write!(f, " {prefix}"))?;
        match self.trust {
            Some(level) => write!(f, "; trusted with {level:?}")?,
            None => write!(f, "; not trusted")?,
        }
        f.write_str(if self.router { ", router" } else { "" })?;
        f.write_str(if self.introduced { ", introduced by facts" } else { "" })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Observed => f.write_str("this machine"),
            Self::Configured => f.write_str("the settings"),
            Self::Peer(key) => f.write_str(&key.short()),
        }
    }
}

/// A fact in one line.
struct ShownFact<'a>(&'a Fact);

impl fmt::Display for ShownFact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (subject, name) = (self.0.subject.short(), self.0.attribute().row().name);
        match &self.0.value {
            Value::Alive(boot_id) => write!(f, "{subject} {name} {boot_id}"),
            Value::Endpoint(endpoint) => write!(f, "{subject} {name} {endpoint}"),
            Value::AllowedIp(prefix) => write!(f, "{subject} {name} {prefix}"),
            Value::Member => write!(f, "{subject} {name}"),
            Value::MemberMetadata(metadata) => write!(f, "{subject} {name}{}", shown(metadata)),
        }
    }
}

fn shown(metadata: &Metadata) -> String {
    let name = metadata.name().map(|name| format!(" {name}")).unwrap_or_default();
    let basic = if metadata.is_basic() { " (basic)" } else { "" };
    name + basic
}
