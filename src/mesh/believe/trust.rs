//! Whose word counts for what (wirelink v1).
//!
//! What a member can bring about on the device of a node, by the level that it has there; each can do what those before it can:
//!
//! | level | it can | for which it says |
//! |---|---|---|
//! | none: no peer | nothing: what it sends costs a look into a table, and no cryptography | |
//! | `Untrusted` | have traffic for itself go to it directly, while WireGuard has a session with it | signs of life |
//! | `Endpoint` | have endpoints of peers without a session tried, after all others and four of them; its own in their turn | endpoints |
//! | `AllowedIPs` | give prefixes that nobody owns, or a router alone, to peers with a link; have endpoints tried in their turn, with probes or without | allowed IPs, how others probe |
//! | `Membership` | make strangers peers, up to 4096, and speak about them; name peers, and call them basic; ban keys, which takes peers off the device, also those made by hand, but none that this node relies on | members, verdicts |
//! | `DelegateTrust` | no more than that | |
//!
//! None of them can change the endpoint of a peer with a session, remove a peer or a prefix of the operator's or take one from a peer
//! that is no router, have this node's own addresses or anybody's link-local one, or send WireGuard through itself. What it says is
//! forgotten 255 s after its last word, and hearsay, which is what a level below `AllowedIPs` says of others, is not passed on. How a peer
//! probes is not believed by hearsay either, but for what routers say, which pass on its words; and only by its own word, with a tag, are
//! probes of an earlier run of it refused.
//! Where the operator set no level for any peer, the peers that carry this node's traffic to the network have `Membership`
//! ([`role`](crate::mesh::believe::role)), and all others `Endpoint`: a leaf with a site behind it names no members. It may claim prefixes for itself
//! inside those that the operator gave it, which takes nothing from anybody.
//! `tests/sim/powers.rs` is this table as code, against which tests hold every change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::prefix;
use crate::mesh::base::settings::{FACT_TTL, Settings, TrustLevel};
use crate::mesh::believe::fact::attribute::Speaker;
use crate::mesh::believe::fact::value::{Metadata, Value};
use crate::mesh::believe::fact::{Accepted, Fact, Origin, Rank, Source, Timed, Verified};
use crate::mesh::believe::role::Holding;
use crate::mesh::device::outward::{Leads, Outward};
use crate::mesh::device::tunnel_routes::TunnelRoutes;

/// The rules, and what they must know of the moment.
#[derive(Debug)]
pub struct TrustPolicy {
    own_key: PublicKey,
    configured: BTreeMap<PublicKey, TrustLevel>,
    /// What the operator said to the running node: it does not make a trust model of those that are written.
    overridden: BTreeMap<PublicKey, TrustLevel>,
    peers: BTreeSet<PublicKey>,
    routers: BTreeSet<PublicKey>,
    /// Who is out.
    denied: BTreeSet<PublicKey>,
    /// What the operator gave to peers with networks.
    sites: BTreeMap<PublicKey, Holding>,
    outward: Outward,
    own_addresses: BTreeSet<IpAddr>,
}

/// Why a fact is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// The sender, or the subject, is out.
    #[error("about or from a key that is banned")]
    Denied,
    /// The sender is no peer of the device.
    #[error("the sender is no WireGuard peer")]
    NotAPeer,
    /// Its word does not reach that far.
    #[error("the sender is trusted with {has:?}, this needs {needed:?}")]
    NotTrusted {
        /// What the fact needs.
        needed: TrustLevel,
        /// What the sender has.
        has: TrustLevel,
    },
    /// Only the subject itself may say it.
    #[error("only the peer itself may say this")]
    NotItsOwn,
    /// This node knows best about itself.
    #[error("about this node itself")]
    AboutUs,
    /// WireGuard would be sent through itself.
    #[error("an endpoint that routes through the tunnel")]
    ThroughTunnel,
    /// Nobody can be reached there.
    #[error("an endpoint that nobody can have")]
    NotAnEndpoint,
    /// Link-local and multicast prefixes belong to nobody.
    #[error("a link-local or multicast prefix")]
    ReservedPrefix,
    /// What is sent to this node would be its peer's.
    #[error("an address of this node itself")]
    OwnAddress,
    /// More than a member needs, and than is passed on.
    #[error("metadata of more than {} bytes", Metadata::MAX_LEN)]
    TooLong,
}

impl TrustPolicy {
    /// Takes the levels that the operator set.
    pub fn new(own_key: PublicKey, settings: &Settings) -> Self {
        let configured = settings
            .peers
            .iter()
            .filter_map(|(key, peer)| Some((*key, peer.trust?)))
            .collect();
        let overrides = settings.overrides.iter();
        Self {
            own_key,
            configured,
            overridden: overrides.filter_map(|(key, said)| Some((*key, said.trust?))).collect(),
            peers: BTreeSet::new(),
            routers: BTreeSet::new(),
            sites: BTreeMap::new(),
            outward: Outward::default(),
            denied: BTreeSet::new(),
            own_addresses: BTreeSet::new(),
        }
    }

    /// Takes other levels of the operator's, in the place of those before.
    pub fn configure(&mut self, settings: &Settings) {
        let new = Self::new(self.own_key, settings);
        (self.configured, self.overridden) = (new.configured, new.overridden);
    }

    /// Takes in who is a peer, and who of them routes for others; returns whether that is news.
    pub fn observe_peers(&mut self, peers: BTreeSet<PublicKey>, routers: BTreeSet<PublicKey>) -> bool {
        let is_news = self.peers != peers || self.routers != routers;
        self.peers = peers;
        self.routers = routers;
        is_news
    }

    /// Takes in who carries this node's traffic.
    pub fn observe_routers(&mut self, routers: BTreeSet<PublicKey>) {
        self.routers = routers;
    }

    /// Takes in who is out.
    pub fn observe_denied(&mut self, denied: BTreeSet<PublicKey>) {
        self.denied = denied;
    }

    /// Returns who is out.
    pub const fn denied(&self) -> &BTreeSet<PublicKey> {
        &self.denied
    }

    /// Returns whether a key is out: nothing that it says, or that others say of it, is believed.
    pub fn is_denied(&self, node: &PublicKey) -> bool {
        self.denied.contains(node)
    }

    /// Returns whether this node relies on a peer: its traffic goes through it, or its word counts for members.
    pub fn relies_on(&self, node: &PublicKey) -> bool {
        self.routers.contains(node) || self.level_unless_denied(node) >= Some(TrustLevel::Membership)
    }

    /// Takes in what the operator gave to the peers that have networks; returns whether that is news.
    pub fn observe_sites(&mut self, sites: BTreeMap<PublicKey, Holding>) -> bool {
        let is_news = self.sites != sites;
        self.sites = sites;
        is_news
    }

    /// Takes in what routes through the tunnel, and whether rules route beside the main table; returns whether that is news.
    pub fn observe_routes(&mut self, tunnel: TunnelRoutes, ruled: bool) -> bool {
        self.outward.observe(tunnel, ruled)
    }

    /// Returns what is known of the way to addresses.
    pub fn outward(&mut self) -> &mut Outward {
        &mut self.outward
    }

    /// Takes in the addresses of this node inside the tunnel; returns whether that is news.
    pub fn observe_addresses(&mut self, addresses: BTreeSet<IpAddr>) -> bool {
        let is_news = self.own_addresses != addresses;
        self.own_addresses = addresses;
        is_news
    }

    /// Returns how far the word of a node goes, or `None` where nothing has an opinion. The first opinion counts: the
    /// operator's, what was said to the running node before what is written; where the operator has none of any peer, that a router is trusted; that the node is a peer.
    pub fn level(&self, node: &PublicKey) -> Option<TrustLevel> {
        (!self.is_denied(node))
            .then(|| self.level_unless_denied(node))
            .flatten()
    }

    fn level_unless_denied(&self, node: &PublicKey) -> Option<TrustLevel> {
        self.overridden
            .get(node)
            .or_else(|| self.configured.get(node))
            .copied()
            .or_else(|| (self.trusts_routers() && self.routers.contains(node)).then_some(TrustLevel::Membership))
            .or_else(|| self.peers.contains(node).then_some(TrustLevel::Endpoint))
    }

    /// Returns whether the word of a node goes further than that of any peer. The same as by its [`level`](Self::level), without looking
    /// for it among a thousand peers.
    pub fn counts_for_more(&self, node: &PublicKey) -> bool {
        if self.is_denied(node) {
            return false;
        }
        let said = self.overridden.get(node).or_else(|| self.configured.get(node));
        said.map_or_else(
            || self.trusts_routers() && self.routers.contains(node),
            |level| *level >= TrustLevel::AllowedIPs,
        )
    }

    /// Returns what the operator trusts this very node with: what it may say of its own knowledge.
    pub fn own_level(&self) -> Option<TrustLevel> {
        self.configured.get(&self.own_key).copied()
    }

    /// Returns the peers whose level the operator set, in the settings or at the running node.
    pub fn set_levels(&self) -> impl Iterator<Item = (&PublicKey, TrustLevel)> {
        let written = self
            .configured
            .iter()
            .filter(|(key, _)| !self.overridden.contains_key(key));
        let levels = self.overridden.iter().chain(written);
        levels
            .map(|(key, level)| (key, *level))
            .filter(|(key, _)| **key != self.own_key)
    }

    /// Returns whether routers are trusted because the operator set no level for any peer.
    pub fn trusts_routers(&self) -> bool {
        self.configured.keys().all(|key| *key == self.own_key)
    }

    /// Returns whether the node may say who is a member.
    pub fn vouches(&self, node: &PublicKey) -> bool {
        self.level(node) >= Some(TrustLevel::Membership)
    }

    /// Returns whether an endpoint may be tried at all, whoever named it.
    pub fn is_endpoint(&self, endpoint: &SocketAddr) -> Result<(), Refusal> {
        if endpoint.port() == 0 || !prefix::is_global_unicast(endpoint.ip()) {
            return Err(Refusal::NotAnEndpoint);
        }
        match self.outward.leads(endpoint.ip()) {
            Leads::IntoTunnel => Err(Refusal::ThroughTunnel),
            Leads::Outside => Ok(()),
        }
    }

    /// Returns whether an endpoint may be believed: one to which the way is not known yet may turn out to be one to try.
    fn may_be_endpoint(&self, endpoint: &SocketAddr) -> Result<(), Refusal> {
        match self.is_endpoint(endpoint) {
            Err(Refusal::ThroughTunnel) if self.outward.known(endpoint.ip()).is_none() => Ok(()),
            judged => judged,
        }
    }

    /// Decides about each fact of a group, in order; what is refused comes with the reason.
    pub fn judge(&self, verified: Verified) -> impl Iterator<Item = Result<Accepted, (Refusal, Timed)>> {
        let (sender, facts) = verified.into_facts();
        let level = self.level_as_sender(&sender);
        facts
            .into_iter()
            .map(move |timed| match self.check(&sender, level, &timed.fact) {
                Ok(()) => Ok(Accepted {
                    source: source(sender, level, &timed.fact.subject),
                    timed: bounded(timed),
                }),
                Err(refusal) => Err((refusal, timed)),
            })
    }

    /// Returns as what the word of a peer about the subject counts.
    pub fn source(&self, sender: &PublicKey, subject: &PublicKey) -> Source {
        source(*sender, self.level(sender), subject)
    }

    /// Returns whether a fact that the sender said is one that it may say.
    pub fn believes(&self, sender: &PublicKey, fact: &Fact) -> bool {
        self.check(sender, self.level_as_sender(sender), fact).is_ok()
    }

    /// Returns whether what is said of the subject rests on the word of somebody else who is trusted no further than any peer.
    pub fn is_hearsay(&self, subject: &PublicKey, origin: Origin) -> bool {
        match origin {
            Origin::Observed | Origin::Configured | Origin::Remembered => false,
            Origin::Peer(sender) => sender != *subject && self.level(&sender) < Some(TrustLevel::AllowedIPs),
        }
    }

    /// Returns whether the sender may let a stored fact live longer by its word. Hearsay takes nothing over from better sources: they
    /// would count for no more than it does.
    pub fn may_renew(&self, sender: &PublicKey, subject: &PublicKey, stored: Origin) -> bool {
        self.is_hearsay(subject, stored) || !self.is_hearsay(subject, Origin::Peer(*sender))
    }

    fn level_as_sender(&self, sender: &PublicKey) -> Option<TrustLevel> {
        self.peers.contains(sender).then(|| self.level(sender)).flatten()
    }

    fn check(&self, sender: &PublicKey, level: Option<TrustLevel>, fact: &Fact) -> Result<(), Refusal> {
        if self.is_denied(sender) || self.is_denied(&fact.subject) && !matches!(fact.value, Value::Denied(_)) {
            return Err(Refusal::Denied);
        }
        let has = level.ok_or(Refusal::NotAPeer)?;
        let needed = self.speak(sender, fact)?;
        if has < needed {
            return Err(Refusal::NotTrusted { needed, has });
        }
        self.plausible(&fact.value)
    }

    /// Returns the level that the fact needs from this sender.
    fn speak(&self, sender: &PublicKey, fact: &Fact) -> Result<TrustLevel, Refusal> {
        let row = fact.attribute().row();
        match row.speaker {
            Speaker::Subject if fact.subject != *sender => return Err(Refusal::NotItsOwn),
            Speaker::Subject | Speaker::Anyone => {}
        }
        if fact.subject == self.own_key && !row.told_to_subject {
            return Err(Refusal::AboutUs);
        }
        if fact.subject == *sender && self.is_its_site(sender, &fact.value) {
            return Ok(TrustLevel::Endpoint);
        }
        let known = fact.subject == self.own_key || self.peers.contains(&fact.subject);
        Ok(if known {
            row.needed
        } else {
            row.needed.max(TrustLevel::Membership)
        })
    }

    /// Returns whether it is a prefix inside those that the operator gave to the peer, of which no level says otherwise.
    fn is_its_site(&self, peer: &PublicKey, value: &Value) -> bool {
        let is_set = self.overridden.contains_key(peer) || self.configured.contains_key(peer);
        let site = self.sites.get(peer).filter(|_| !is_set);
        site.zip(value.allowed_ip())
            .is_some_and(|(site, prefix)| site.contains(&prefix))
    }

    fn plausible(&self, value: &Value) -> Result<(), Refusal> {
        match value {
            Value::Endpoint(endpoint) => self.may_be_endpoint(endpoint),
            Value::AllowedIp(prefix) if prefix::is_reserved(prefix) => Err(Refusal::ReservedPrefix),
            Value::AllowedIp(prefix) if self.is_own_address(prefix) => Err(Refusal::OwnAddress),
            Value::MemberMetadata(metadata) if metadata.items_len() > Metadata::MAX_LEN => Err(Refusal::TooLong),
            Value::AllowedIp(_)
            | Value::Alive(_)
            | Value::Member
            | Value::MemberMetadata(_)
            | Value::Digest { .. }
            | Value::Holdings(_)
            | Value::Reset(_)
            | Value::Withdrawn(_)
            | Value::Probes(_)
            | Value::Signal(_)
            | Value::Heartbeat(_)
            | Value::Echo(_)
            | Value::Denied(_) => Ok(()),
        }
    }

    /// A network around an own address is another thing: so the hub has the one of its leaves.
    fn is_own_address(&self, prefix: &IpNet) -> bool {
        prefix.prefix_len() == prefix.max_prefix_len() && self.own_addresses.contains(&prefix.addr())
    }
}

fn source(sender: PublicKey, level: Option<TrustLevel>, subject: &PublicKey) -> Source {
    let rank = if level >= Some(TrustLevel::Membership) {
        Rank::Voucher
    } else if level >= Some(TrustLevel::AllowedIPs) {
        Rank::Trusted
    } else if sender == *subject {
        Rank::Itself
    } else {
        Rank::Hearsay
    };
    let origin = Origin::Peer(sender);
    Source { origin, rank }
}

/// No honest node says anything for longer than [`FACT_TTL`] (wirelink v1): what a liar says, and what is said once more by somebody
/// who kept it, is forgotten as soon.
fn bounded(timed: Timed) -> Timed {
    Timed {
        ttl: timed.ttl.min(FACT_TTL),
        ..timed
    }
}

#[cfg(test)]
mod tests;
