//! What it sees of its peers, and what it does to them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::base::identity::{AddressHash, PublicKey};
use wirelink::mesh::base::prefixes::Prefixes;
use wirelink::mesh::base::settings::{Host, TrustLevel};
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::device::{DeviceChange, PeerState};
use wirelink::mesh::show::event::Output;

use super::trust::is_global;
use super::wire::Value;
use super::{FACT_TTL, Node, TICK};

/// Up to which age a handshake is healthy: 120 + 5 + 10 + 1/3 + 30 s.
const HEALTHY: Duration = Duration::from_millis(165_333);
/// How long an endpoint is tried: a rekey timeout and a keepalive.
const TRIAL: Duration = Duration::from_secs(15);
/// How long somebody who vouches must have been up before a peer is removed.
const VOUCHED_FOR: Duration = Duration::from_secs(260);

impl Node {
    /// Finds out who has a session.
    pub(super) fn observe(&mut self, now: Timestamp) {
        for (key, state) in &self.device.peers {
            let peer = self.peers.entry(*key).or_default();
            let is_young = state.last_handshake.is_some_and(|at| now.since(at) < HEALTHY);
            let advanced = state.last_handshake > peer.handshake;
            peer.handshake = state.last_handshake;
            peer.healthy = state.endpoint.is_some() && (is_young || advanced);
        }
    }

    /// Finds out since when who is up.
    pub(super) fn observe_alive(&mut self, now: Timestamp) {
        for peer in self.peers.values_mut() {
            let up = peer.healthy && peer.is_alive(now);
            peer.up_since = up.then(|| peer.up_since.unwrap_or(now));
        }
    }

    /// Changes the device.
    pub(super) fn configure(&mut self, now: Timestamp) {
        self.resolve();
        let peers: Vec<(PublicKey, PeerState)> = self.device.peers.clone().into_iter().collect();
        let members = self.members();
        for (key, state) in &peers {
            let vouches = self.level(key) >= Some(TrustLevel::Membership);
            if self.may_remove(now) && self.is_vouched_for(now) && !vouches && !members.contains(key) {
                self.change(DeviceChange::RemovePeer { peer: *key });
                continue;
            }
            self.try_endpoint(now, key, state);
            self.configure_allowed_ips(now, key, state, members.contains(key));
        }
        for peer in members {
            if peer != self.own && !self.device.peers.contains_key(&peer) {
                let allowed_ips = [AddressHash::Sha1.allowed_ip(&peer)].into();
                self.change(DeviceChange::AddPeer {
                    peer,
                    allowed_ips,
                    endpoint: None,
                });
            }
        }
    }

    /// Whom facts or the operator call a member.
    fn members(&self) -> BTreeSet<PublicKey> {
        let is_membership = |value: &Value| matches!(value, Value::Member | Value::Metadata(_));
        let told = self
            .facts
            .keys()
            .filter(|fact| is_membership(&fact.value))
            .map(|fact| fact.subject);
        told.chain(self.settings.peers.keys().copied()).collect()
    }

    /// A router, and a node that others believe, keep what they have; and nobody removes before everybody was heard.
    fn may_remove(&self, now: Timestamp) -> bool {
        now.since(self.started) > FACT_TTL && !self.routes() && self.own_level() < Some(TrustLevel::AllowedIPs)
    }

    fn is_vouched_for(&self, now: Timestamp) -> bool {
        let mut up = self.peers.iter().filter_map(|(key, peer)| Some((key, peer.up_since?)));
        up.any(|(key, since)| now.since(since) >= VOUCHED_FOR && self.level(key) >= Some(TrustLevel::Membership))
    }

    /// Sets the endpoint that was not tried for longest, while there is no session.
    fn try_endpoint(&mut self, now: Timestamp, key: &PublicKey, state: &PeerState) {
        let mut known: BTreeSet<SocketAddr> = self.configured_endpoints(key).into_iter().collect();
        known.extend(
            self.facts
                .keys()
                .filter(|fact| fact.subject == *key)
                .filter_map(|fact| match fact.value {
                    Value::Endpoint(endpoint) => Some(endpoint),
                    Value::Alive(_) | Value::AllowedIp(_) | Value::Member | Value::Metadata(_) => None,
                }),
        );
        let peer = self.peers.entry(*key).or_default();
        if peer.healthy || peer.tried_at.is_some_and(|at| now.since(at) < TRIAL) {
            return;
        }
        peer.tried.retain(|endpoint, _| known.contains(endpoint));
        let Some(endpoint) = known
            .into_iter()
            .min_by_key(|endpoint| peer.tried.get(endpoint).copied())
        else {
            return;
        };
        peer.tried.insert(endpoint, now);
        peer.tried_at = Some(now);
        if state.endpoint != Some(endpoint) {
            self.change(DeviceChange::SetEndpoint { peer: *key, endpoint });
        }
    }

    /// Gives a peer what facts say while it is healthy and will be alive for another half of a tick, and takes away what they do not
    /// say; takes everything away while it is not healthy. Of one that is healthy and not alive nothing changes, and nothing is taken
    /// away from one that nobody names a member, as the only hub of a leaf. Routers and configured peers keep theirs here: the program
    /// takes them where it has them named, and then believes no router any more.
    fn configure_allowed_ips(&mut self, now: Timestamp, key: &PublicKey, state: &PeerState, is_named: bool) {
        let own = AddressHash::Sha1.allowed_ip(key);
        let wanted: Prefixes = self.allowed_ips(key).into_iter().chain([own]).collect();
        let configured = self.settings.peers.get(key);
        let is_kept = !is_named || configured.is_some() || self.is_router(key);
        let basic = configured.is_some_and(|peer| peer.basic) || self.is_called_basic(key);
        let peer = &self.peers[key];
        let healthy = peer.healthy;
        let lasts = peer.alive_until.is_some_and(|until| now + TICK / 2 < until);
        let ready = healthy && (lasts || basic);
        for prefix in wanted.difference(&state.allowed_ips) {
            if ready || *prefix == own {
                let (peer, prefix) = (*key, *prefix);
                self.change(DeviceChange::AddAllowedIp { peer, prefix });
            }
        }
        if is_kept || !self.may_remove(now) || healthy && !ready {
            return;
        }
        for prefix in state.allowed_ips.iter().filter(|prefix| **prefix != own) {
            if !healthy || !wanted.contains(prefix) {
                let (peer, prefix) = (*key, *prefix);
                self.change(DeviceChange::RemoveAllowedIp { peer, prefix });
            }
        }
    }

    fn allowed_ips(&self, key: &PublicKey) -> Vec<IpNet> {
        let told = self.facts.keys().filter(|fact| fact.subject == *key);
        told.filter_map(|fact| match fact.value {
            Value::AllowedIp(prefix) => Some(prefix),
            Value::Alive(_) | Value::Endpoint(_) | Value::Member | Value::Metadata(_) => None,
        })
        .collect()
    }

    fn is_called_basic(&self, key: &PublicKey) -> bool {
        self.facts
            .keys()
            .filter(|fact| fact.subject == *key)
            .any(|fact| match &fact.value {
                Value::Metadata(items) => items.get(&b'b').is_some_and(|flag| flag == &[1]),
                Value::Alive(_) | Value::Endpoint(_) | Value::AllowedIp(_) | Value::Member => false,
            })
    }

    /// Returns where the operator says a peer is.
    pub(super) fn configured_endpoints(&self, key: &PublicKey) -> Vec<SocketAddr> {
        let hosts = self
            .settings
            .peers
            .get(key)
            .into_iter()
            .flat_map(|peer| &peer.endpoints);
        hosts
            .flat_map(|host| match host {
                Host::Address(address) => vec![*address],
                Host::Name { .. } => self.resolved.get(host).cloned().unwrap_or_default(),
            })
            .filter(|endpoint| is_global(endpoint.ip()))
            .collect()
    }

    /// Looks the names up of peers without a session; the answer counts with the next tick.
    fn resolve(&mut self) {
        for (key, configured) in &self.settings.peers {
            let healthy = self.peers.get(key).is_some_and(|peer| peer.healthy);
            let names = configured
                .endpoints
                .iter()
                .filter(|host| matches!(host, Host::Name { .. }));
            let asked = names.filter(|_| !healthy && *key != self.own).cloned();
            self.outputs.extend(asked.map(Output::Resolve));
        }
    }

    fn change(&mut self, change: DeviceChange) {
        self.outputs.push_back(Output::Configure(change));
    }
}
