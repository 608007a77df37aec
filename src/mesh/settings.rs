//! Every knob, with its default, unit, bound and reason; and the times that are no knobs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use glob::Pattern;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::identity::{AddressHash, PublicKey};

/// How long news waits for more of its kind before it is acted on and passed on.
pub const DEBOUNCE: Duration = Duration::from_millis(50);

/// How long a fact of ours lives without being renewed (wirelink v1).
pub const FACT_TTL: Duration = Duration::from_secs(255);

/// What the operator decides about a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The UDP port for facts inside the tunnel, 1 to 65535. Default: the WireGuard listen port + 1.
    pub port: Option<u16>,
    /// Whether this node routes for others. Default: found out; it does when none of its peers does.
    pub router: Option<bool>,
    /// Whether to tell all facts to every peer with a healthy handshake, as a router does. Default: no.
    pub chatty: bool,
    /// Interfaces whose addresses are told to others, by name. Default: all that are not hidden.
    pub report_ifaces: Vec<Pattern>,
    /// Interfaces whose addresses are never told. Default: none.
    pub hide_ifaces: Vec<Pattern>,
    /// How link-local addresses follow from keys. Default: SHA-1, as deployed nodes do.
    pub address_hash: AddressHash,
    /// What the operator knows of single peers; the node's own key may be among them.
    pub peers: BTreeMap<PublicKey, PeerSettings>,
}

impl Settings {
    /// Returns the port for facts, or `None` where it follows from a listen port that has no successor.
    pub fn fact_port(&self, listen_port: u16) -> Option<u16> {
        self.port.or(listen_port.checked_add(1).filter(|_| listen_port != 0))
    }
}

/// What the operator knows of one peer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerSettings {
    /// The name to show. Default: the name that the network tells, else the key.
    pub name: Option<String>,
    /// Whose word counts for what. Default: see [`TrustPolicy`](crate::mesh::trust::TrustPolicy).
    pub trust: Option<TrustLevel>,
    /// Whether to tell this peer all facts, whatever it is. Default: no.
    pub fact_exchanger: bool,
    /// Where the peer may be reached.
    pub endpoints: Vec<Host>,
    /// Prefixes that belong to the peer; masked.
    pub allowed_ips: Vec<IpNet>,
    /// Whether the peer runs WireGuard without wirelink, and so gives no sign of life. Default: no.
    pub basic: bool,
}

/// How far the word of a peer goes; each level includes the ones before it (wirelink v1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TrustLevel {
    /// Nothing but its own sign of life.
    Untrusted,
    /// Endpoints.
    Endpoint,
    /// And which allowed IPs a peer has.
    AllowedIPs,
    /// And who is a member.
    Membership,
    /// And, one day, whom else to trust.
    DelegateTrust,
}

impl TrustLevel {
    /// All levels, rising.
    pub const ALL: [Self; 5] = [
        Self::Untrusted,
        Self::Endpoint,
        Self::AllowedIPs,
        Self::Membership,
        Self::DelegateTrust,
    ];
}

/// A place to reach a peer at, as an operator writes it: `host:port`, where the host is an address or a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An address: nothing to resolve.
    Address(SocketAddr),
    /// A name for the resolver.
    Name {
        /// The name, in lower case.
        name: String,
        /// The UDP port, not 0.
        port: u16,
    },
}
