//! Every knob, with its default, unit, bound and reason; and the times that are no knobs.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use glob::Pattern;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::mesh::base::identity::{AddressHash, PublicKey};

/// How long news waits for more of its kind before it is acted on and passed on.
pub const DEBOUNCE: Duration = Duration::from_millis(50);

/// How long a fact of ours lives without being renewed (wirelink v1).
pub const FACT_TTL: Duration = Duration::from_secs(255);

/// The most STUN servers: two tell all that there is to know.
pub const MAX_STUN: usize = 4;

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
    /// What facts may bring: a prefix that they claim for a peer must be inside one of these, masked, or it is not programmed.
    /// What the operator wrote is not limited. Default: all that [`overlap`](crate::mesh::route::overlap) leaves.
    pub allow_prefixes: Option<Vec<IpNet>>,
    /// How link-local addresses follow from keys. Default: SHA-1, as deployed nodes do.
    pub address_hash: AddressHash,
    /// Which peers go when nobody names them members any more. Default: those that the node brought.
    pub prune: Prune,
    /// Whether what the node brought stays on the device when it stops. Default: no.
    pub leave_peers: bool,
    /// Whether ports of NATs that count them up are predicted, of this machine's and of others'. It takes up to 64 flows an attempt
    /// and 256 in ten minutes; off is for NATs with little room. Default: yes.
    pub port_prediction: Option<bool>,
    /// STUN servers that are asked from where they see this node while fewer than two peers tell it, or they differ, at most
    /// [`MAX_STUN`]. Worth it for a node with a single hub, whose word alone does not show what its NAT does. Default: none, as they
    /// belong to others.
    pub stun: Vec<Host>,
    /// What the operator knows of single peers; the node's own key may be among them.
    pub peers: BTreeMap<PublicKey, PeerSettings>,
    /// What the operator said to the running node about single peers; no file holds it.
    pub overrides: BTreeMap<PublicKey, Override>,
}

impl Settings {
    /// Returns the port for facts, or `None` where it follows from a listen port that has no successor.
    pub fn fact_port(&self, listen_port: u16) -> Option<u16> {
        self.port.or(listen_port.checked_add(1).filter(|_| listen_port != 0))
    }

    /// Returns whether ports are predicted.
    pub fn predicts_ports(&self) -> bool {
        self.port_prediction.unwrap_or(true)
    }
}

/// What the operator said to the running node about one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Override {
    /// Whether traffic goes through a router, whatever links are possible. Default: no.
    pub paused: bool,
    /// Whose word counts for what, before what is written.
    pub trust: Option<TrustLevel>,
}

/// What the operator knows of one peer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PeerSettings {
    /// The name to show. Default: the name that the network tells, else the key.
    pub name: Option<String>,
    /// Whose word counts for what. Default: see [`TrustPolicy`](crate::mesh::believe::trust::TrustPolicy).
    pub trust: Option<TrustLevel>,
    /// Whether to tell this peer all facts, whatever it is. Default: no.
    pub fact_exchanger: bool,
    /// Where the peer may be reached.
    pub endpoints: Vec<Host>,
    /// Prefixes that belong to the peer; masked.
    pub allowed_ips: Vec<IpNet>,
    /// Whether the peer runs WireGuard without wirelink, and so gives no sign of life. Default: no.
    pub basic: bool,
    /// Whether the key is out: banned here, and at all nodes that trust this one with members; or never, whatever others say.
    /// Default: not decided here.
    pub denied: Option<bool>,
}

/// Which peers go when nobody names them members any more. Routers never do, nor whom the settings name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prune {
    /// Those that the node brought: the operator's stay.
    #[default]
    Introduced,
    /// The operator's, too (wirelink v1).
    All,
    /// None.
    Never,
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

    /// Returns the name as operators write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Untrusted => "Untrusted",
            Self::Endpoint => "Endpoint",
            Self::AllowedIPs => "AllowedIPs",
            Self::Membership => "Membership",
            Self::DelegateTrust => "DelegateTrust",
        }
    }
}

/// Why a text is not a trust level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a trust level: one of Untrusted, Endpoint, AllowedIPs, Membership, DelegateTrust")]
pub struct InvalidTrustLevel;

impl FromStr for TrustLevel {
    type Err = InvalidTrustLevel;

    /// Takes the name of a level in any case.
    fn from_str(text: &str) -> Result<Self, InvalidTrustLevel> {
        let named = |level: &Self| level.name().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(named).ok_or(InvalidTrustLevel)
    }
}

impl fmt::Display for TrustLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
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

/// Why a text is not a place to reach a peer at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an endpoint: host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or vpn.example.org:51820")]
pub struct InvalidHost;

impl FromStr for Host {
    type Err = InvalidHost;

    /// Takes `host:port`, with an IPv6 address in brackets and a port from 1 to 65535. An IPv4-mapped address is taken
    /// as the IPv4 address that it is: the wire refuses the mapped form.
    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            let unmapped = match address {
                SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => {
                    SocketAddr::new(v6.ip().to_canonical(), v6.port())
                }
                SocketAddr::V4(_) | SocketAddr::V6(_) => address,
            };
            return (unmapped.port() != 0)
                .then_some(Self::Address(unmapped))
                .ok_or(InvalidHost);
        }
        let (name, port) = text.rsplit_once(':').ok_or(InvalidHost)?;
        // Only digits: `u16::from_str` takes a plus sign too.
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port
            .parse()
            .ok()
            .filter(|port| digits && *port != 0)
            .ok_or(InvalidHost)?;
        let name = name.to_ascii_lowercase();
        is_host_name(&name)
            .then_some(Self::Name { name, port })
            .ok_or(InvalidHost)
    }
}

/// Tells whether a resolver may be asked for `name`: RFC 1123, 2.1, and underscores, which some networks use. A last
/// label of digits belongs to an IPv4 address with a mistake in it.
fn is_host_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let in_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(in_label)
    };
    let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(is_label) && !name.rsplit('.').next().is_some_and(numeric)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trust_level_is_read_in_any_case_and_written_in_one() {
        for level in TrustLevel::ALL {
            for text in [
                level.name().to_owned(),
                level.name().to_lowercase(),
                level.name().to_uppercase(),
            ] {
                assert_eq!(text.parse(), Ok(level), "{text}");
            }
            assert_eq!(level.to_string().parse(), Ok(level));
        }
    }

    #[test]
    fn the_message_about_a_wrong_trust_level_names_every_right_one() {
        for text in ["", "Root", "Endpoints", " Endpoint"] {
            assert_eq!(text.parse::<TrustLevel>(), Err(InvalidTrustLevel), "{text:?}");
        }
        let message = InvalidTrustLevel.to_string();
        for level in TrustLevel::ALL {
            assert!(message.contains(level.name()), "{level} is missing in {message:?}");
        }
    }

    #[test]
    fn an_endpoint_survives_its_text_form() {
        for text in [
            "192.0.2.1:51820",
            "[2001:db8::1]:1",
            "[fe80::1%3]:51820",
            "vpn.example.org:65535",
            "vpn.example.org.:51820",
            "localhost:51820",
            "my_host-2.lan:51820",
            "4you:51820",
        ] {
            let host: Host = text.parse().unwrap_or_else(|_| panic!("{text} is refused"));
            assert_eq!(host.to_string(), text);
        }
    }

    #[test]
    fn an_endpoint_by_name_is_one_whatever_its_case() {
        let name = "vpn.example.org".to_owned();
        assert_eq!("VPN.Example.ORG:51820".parse(), Ok(Host::Name { name, port: 51820 }));
    }

    #[test]
    fn a_mapped_address_is_the_one_it_maps() {
        assert_eq!("[::ffff:192.0.2.1]:51820".parse::<Host>(), "192.0.2.1:51820".parse());
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        let long = format!("{}.example.org:51820", "a".repeat(64));
        let longer = format!("{}org:51820", "abcdefg.".repeat(40));
        for text in [
            "",
            ":",
            ":51820",
            "vpn.example.org",
            "vpn.example.org:",
            "vpn.example.org:0",
            "vpn.example.org:65536",
            "vpn.example.org:+5",
            "vpn.example.org:wireguard",
            "vpn..example.org:51820",
            ".example.org:51820",
            "-vpn.example.org:51820",
            "vpn-.example.org:51820",
            "vpn example.org:51820",
            "vpn/example.org:51820",
            "b\u{fc}cher.example:51820",
            "192.0.2.1",
            "192.0.2.1:0",
            "192.0.2.256:51820",
            "192.0.2:51820",
            "2001:db8::1",
            "2001:db8::1:51820",
            "[2001:db8::1]",
            "[2001:db8::1]:0",
            "[2001:db8::1%wan]:51820",
            "[vpn.example.org]:51820",
            &long,
            &longer,
        ] {
            assert_eq!(text.parse::<Host>(), Err(InvalidHost), "{text:?}");
        }
    }
}
