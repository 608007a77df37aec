//! Views of a node, to be shown: they explain, and decide nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::settings::TrustLevel;
use crate::mesh::base::time::Why;
use crate::mesh::believe::fact::boot::BootId;
use crate::mesh::believe::fact::signal::Nat;
use crate::mesh::believe::fact::value::{Metadata, Value};
use crate::mesh::believe::fact::{Fact, Origin};
use crate::mesh::reach::link::State;
use crate::mesh::reach::link::candidate::Kind;
use crate::mesh::reach::link::quality::Quality;
use crate::mesh::show::event::{NoProbes, PeerName, RefusedPrefix, RejectReason};
use crate::mesh::show::reason::Reason;

/// What a node knows and does. Its `Display` is the state dump, many lines.
#[derive(Debug)]
pub struct Status {
    /// The public key of the node.
    pub key: PublicKey,
    /// Its link-local address.
    pub address: Ipv6Addr,
    /// Whether it routes for others; `None` before it saw the device.
    pub router: Option<bool>,
    /// Which role that is, and why.
    pub role: Option<String>,
    /// Whose word counts for members, and why.
    pub trust: Option<String>,
    /// The class of the NAT in front of it.
    pub nat: Nat,
    /// The class that it likely has, where it cannot be certain of one.
    pub nat_likely: Nat,
    /// The peers that see this node from outside of its NAT.
    pub nat_by: Vec<PeerName>,
    /// Whether STUN servers do.
    pub nat_by_servers: bool,
    /// Why there are no probes, where that is so.
    pub no_probes: Option<NoProbes>,
    /// Its boot ID.
    pub boot_id: BootId,
    /// When it next has something to do, and what.
    pub deadline_in: Option<(Duration, Why)>,
    /// The peers of the device, in the order of their keys.
    pub peers: Vec<PeerStatus>,
    /// What it believes: each fact with its origin and the time that it still lives.
    pub facts: Vec<(Fact, Origin, Duration)>,
    /// What it believes and does not do: prefixes that are not programmed.
    pub refused: Vec<RefusedPrefix>,
    /// What it did not believe, of whom, and how often; strangers are one sender.
    pub rejections: Vec<(Option<PublicKey>, RejectReason, u64)>,
    /// How often anybody was not believed since the start, by [`RejectReason::code`].
    pub rejections_by_code: BTreeMap<&'static str, u64>,
    /// How often more was not believed, of so many kinds that there was no room to tell them apart.
    pub uncounted_rejections: u64,
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
    pub reason: Reason,
    /// The same with its circumstances.
    pub why: String,
    /// How good the path is, while heartbeats are exchanged on it.
    pub quality: Option<Quality>,
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
    /// Whether several machines used its private key in the last ten minutes.
    pub shared_key: bool,
    /// Which way traffic takes to it.
    pub way: Way,
    /// How long ago the last handshake was.
    pub handshake: Option<Duration>,
}

/// How a peer came to be as it is: what `wirelink explain` tells.
#[derive(Debug)]
pub struct Explanation {
    /// The peer.
    pub peer: PeerStatus,
    /// Who says that it is a member.
    pub vouchers: Vec<Origin>,
    /// Where it may be, the best first.
    pub places: Vec<Place>,
    /// The class of the NAT in front of it, where it announces probes.
    pub nat_there: Option<Nat>,
    /// The class that it likely has, by its own word, where it cannot be announced as certain.
    pub nat_there_likely: Nat,
    /// What the operator can do.
    pub remedy: String,
}

/// Where a peer may be, and what came of trying.
#[derive(Debug)]
pub struct Place {
    /// Where.
    pub endpoint: SocketAddr,
    /// How it is known.
    pub kind: Kind,
    /// Who says so, where it stands in a fact, and for how long that still counts.
    pub said_by: Option<(Origin, Duration)>,
    /// How often it was asked by a probe, and how long ago that was last.
    pub asked: Option<(u32, Duration)>,
    /// How long its last answer took, and how long ago it came.
    pub answered: Option<(Duration, Duration)>,
}

/// Which way traffic takes to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the peer itself.
    Direct,
    /// Through this router.
    Via(PeerName),
    /// Nobody is there who takes it.
    Down,
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
            let (subject, claim) = (self.name(&fact.subject), Claim(fact));
            writeln!(
                f,
                "fact: {subject} {claim} for {} s, from {}",
                ttl.as_secs(),
                self.source(origin)
            )?;
        }
        for refused in &self.refused {
            writeln!(f, "refused: {refused}")?;
        }
        for (sender, reason, times) in &self.rejections {
            let plural = if *times == 1 { "" } else { "s" };
            let sender = sender.map_or("strangers".to_owned(), |key| self.name(&key));
            writeln!(f, "rejected {times} time{plural} from {sender}: {reason}")?;
        }
        if self.uncounted_rejections > 0 {
            writeln!(f, "rejected {} times more, in other ways", self.uncounted_rejections)?;
        }
        Ok(())
    }
}

impl Status {
    fn name(&self, key: &PublicKey) -> String {
        if *key == self.key {
            return "this node".to_owned();
        }
        self.find(key).map_or_else(|| key.short(), |peer| peer.peer.to_string())
    }

    fn find(&self, key: &PublicKey) -> Option<&PeerStatus> {
        let found = self.peers.binary_search_by_key(key, |peer| peer.peer.key);
        found.ok().map(|index| &self.peers[index])
    }

    /// Returns what a peer of the device is called.
    pub fn name_of(&self, key: &PublicKey) -> Option<String> {
        self.find(key)?.peer.name.clone()
    }

    /// Returns who said something, for people.
    pub fn source(&self, origin: &Origin) -> String {
        match origin {
            Origin::Observed => "this machine".to_owned(),
            Origin::Configured => "the settings".to_owned(),
            Origin::Remembered => "memory".to_owned(),
            Origin::Peer(key) => self.name(key),
        }
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
        if let Some(quality) = self.quality {
            write!(f, "{quality}; ")?;
        }
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

/// What a fact says of its subject.
struct Claim<'a>(&'a Fact);

impl fmt::Display for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.attribute().row().name)?;
        match &value_of(self.0)[..] {
            "" => Ok(()),
            value => write!(f, " {value}"),
        }
    }
}

/// Returns the value of a fact for people; nothing where the attribute says it all.
pub fn value_of(fact: &Fact) -> String {
    match &fact.value {
        Value::Alive(boot_id) => boot_id.to_string(),
        Value::Endpoint(endpoint) => endpoint.to_string(),
        Value::AllowedIp(prefix) => prefix.to_string(),
        Value::Member | Value::Holdings(_) | Value::Heartbeat(_) | Value::Echo(_) => String::new(),
        Value::MemberMetadata(metadata) => shown(metadata),
        Value::Digest { buckets, sum } => format!("{sum:016x} of {} buckets", buckets.count_ones()),
        Value::Reset(buckets) => format!("of {} buckets", buckets.count_ones()),
        Value::Probes(probes) => format!("since {}", probes.epoch),
        Value::Signal(signal) => format!("to {}", signal.to.short()),
        Value::Withdrawn(hashes) => format!("{} facts", hashes.len()),
        Value::Denied(denied) if denied.denied => format!("version {}", denied.version),
        Value::Denied(denied) => format!("no longer, version {}", denied.version),
    }
}

fn shown(metadata: &Metadata) -> String {
    let basic = metadata.is_basic().then(|| "(basic)".to_owned());
    metadata.name().into_iter().chain(basic).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::base::identity::AddressHash;
    use crate::mesh::believe::fact::boot::OURS;
    use chacha20::ChaCha20Rng;
    use chacha20::rand_core::SeedableRng as _;

    fn peer(number: u8, name: &str) -> PeerStatus {
        PeerStatus {
            peer: PeerName {
                key: PublicKey::from_bytes([number; 32]),
                name: Some(name.into()),
            },
            state: State::Idle,
            since: Duration::ZERO,
            reason: Reason::NoEndpoint,
            why: "no endpoint is known for it".into(),
            quality: None,
            endpoint: None,
            allowed_ips: Vec::new(),
            trust: None,
            router: false,
            introduced: false,
            shared_key: false,
            way: Way::Down,
            handshake: None,
        }
    }

    #[test]
    fn a_fact_names_its_subject_and_who_said_it() {
        let [own, alice, hub, stranger] = [0, 1, 2, 9].map(|number| PublicKey::from_bytes([number; 32]));
        let about = |subject| Fact {
            subject,
            value: Value::Endpoint("192.0.2.1:5".parse().unwrap()),
        };
        let ttl = Duration::from_secs(30);
        let status = Status {
            key: own,
            address: AddressHash::Sha1.link_local(&own),
            role: None,
            trust: None,
            router: Some(false),
            nat: Nat::Unknown,
            nat_likely: Nat::Unknown,
            nat_by: Vec::new(),
            nat_by_servers: false,
            no_probes: None,
            boot_id: BootId::announcing(OURS, &mut ChaCha20Rng::from_seed([0; 32])),
            deadline_in: None,
            peers: vec![peer(1, "alice"), peer(2, "hub")],
            facts: vec![
                (about(alice), Origin::Peer(hub), ttl),
                (about(own), Origin::Observed, ttl),
                (about(stranger), Origin::Configured, ttl),
            ],
            refused: Vec::new(),
            rejections: vec![
                (Some(alice), RejectReason::Stranger, 2),
                (None, RejectReason::Stranger, 1),
            ],
            rejections_by_code: BTreeMap::new(),
            uncounted_rejections: 3,
        };
        let text = status.to_string();
        for line in [
            format!(
                "fact: alice ({}) endpoint 192.0.2.1:5 for 30 s, from hub ({})",
                alice.short(),
                hub.short()
            ),
            "fact: this node endpoint 192.0.2.1:5 for 30 s, from this machine".to_owned(),
            format!(
                "fact: {} endpoint 192.0.2.1:5 for 30 s, from the settings",
                stranger.short()
            ),
            format!(
                "rejected 2 times from alice ({}): {}",
                alice.short(),
                RejectReason::Stranger
            ),
            format!("rejected 1 time from strangers: {}", RejectReason::Stranger),
            "rejected 3 times more, in other ways".to_owned(),
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
    }
}
