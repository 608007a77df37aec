//! What a deadline does: from what is believed to what the device should be, and what others should hear.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipnet::IpNet;

use crate::mesh::census::{Census, is_basic};
use crate::mesh::device::{DeviceChange, DeviceState};
use crate::mesh::event::{Event, Output};
use crate::mesh::fact::boot::{BootId, OURS};
use crate::mesh::fact::store::Insertion;
use crate::mesh::fact::value::Value;
use crate::mesh::fact::{Accepted, Fact, Origin};
use crate::mesh::gossip::Recipient;
use crate::mesh::identity::PublicKey;
use crate::mesh::link::{Link, State};
use crate::mesh::node::show::candidates;
use crate::mesh::node::{LOOK, LOOK_SOON, Node};
use crate::mesh::route::Routes;
use crate::mesh::settings::FACT_TTL;
use crate::mesh::time::{Deadline, Timestamp, Why};
use crate::mesh::{local, membership, plan, route};

/// A longer time without a deadline than this means that the machine slept, and others forgot.
const GAP: Duration = Duration::from_secs(25);
/// How often others are asked at most to tell everything again.
const RESYNC_EVERY: Duration = Duration::from_secs(30);
/// How long a link that is not up is watched closely.
const WATCH_FOR: Duration = Duration::from_secs(60);
/// The shortest time between two deadlines, news apart.
const MIN_SLEEP: Duration = Duration::from_millis(100);

impl Node {
    /// Does all that is due. Without a reading of the device there is nothing to decide about.
    pub(super) fn pass(&mut self, now: Timestamp) {
        self.news_at = None;
        self.deadline = Deadline {
            at: now + LOOK_SOON,
            why: Why::DeviceLook,
        };
        let Some(device) = self.device.clone() else { return };
        self.forget(now, &device);
        self.census = self.count(now, &device);
        self.find_role();
        self.learn_locally(now, &device);
        let mut desired = device.clone();
        self.decide_members(now, &mut desired);
        let knocks = self.advance_links(now, &mut desired);
        self.decide_routes(&mut desired);
        let changes = plan::diff(&device, &desired);
        let changed = !changes.is_empty();
        self.outputs.extend(changes.into_iter().map(Output::Configure));
        knocks.iter().for_each(|peer| self.gossip.knock(peer));
        let recipients = self.recipients(now, &desired);
        self.expect(desired);
        self.speak(now, &recipients);
        self.deadline = self.next_deadline(now, &recipients, changed);
        self.last_pass = Some(now);
    }

    /// Counts on the plan until the device is read again: the first words of a new peer may come before that.
    fn expect(&mut self, desired: DeviceState) {
        let peers = desired.peers.keys().copied().collect();
        self.observe_peers(peers, self.census.routers.clone());
        self.device = Some(desired);
    }

    fn observe_peers(&mut self, peers: BTreeSet<PublicKey>, routers: BTreeSet<PublicKey>) {
        self.auth.admit(&peers);
        if self.trust.observe_peers(peers, routers) {
            self.gossip.trust_changed();
        }
    }

    fn forget(&mut self, now: Timestamp, device: &DeviceState) {
        let is_peer = |key: &PublicKey| device.peers.contains_key(key);
        self.auth.retain(is_peer);
        self.gossip.retain(is_peer);
        self.liveness.retain(|key, _| is_peer(key));
        let expired = self.store.expire(now);
        self.gossip.forget(&expired);
        if self.last_pass.is_some_and(|last| now.since(last) > GAP) {
            self.resync(now, "this machine slept");
        } else if expired
            .iter()
            .any(|(fact, stored)| self.may_be_lost(fact, stored.origin))
        {
            self.resync(now, "facts expired that may only have been lost on the way");
        }
    }

    /// Returns whether a fact may have expired only because its renewal was lost: a digest would have shown that.
    fn may_be_lost(&self, fact: &Fact, origin: Origin) -> bool {
        let by_digest = match origin {
            Origin::Peer(peer) => self.gossip.renews_by_digest(&peer),
            Origin::Observed | Origin::Configured => false,
        };
        fact.attribute().row().resync_on_expiry && !by_digest
    }

    fn resync(&mut self, now: Timestamp, reason: &'static str) {
        if self.last_resync.is_some_and(|last| now.since(last) < RESYNC_EVERY) {
            return;
        }
        self.last_resync = Some(now);
        self.gossip.resync(BootId::announcing(OURS, &mut self.random));
        self.notify(Event::Resynced { reason });
    }

    fn count(&mut self, now: Timestamp, device: &DeviceState) -> Census {
        let prefix_is_ours = |key: &PublicKey, prefix: &IpNet| self.routes.introduced(key, prefix);
        let basic = |key: &PublicKey| is_basic(&self.settings, &self.store, key);
        let census = Census::take(now, device, &self.liveness, prefix_is_ours, basic);
        let appeared: Vec<_> = census
            .peers
            .iter()
            .filter(|key| census.is_present(key) && !self.census.is_present(key))
            .collect();
        for (fact, _) in appeared.into_iter().flat_map(|key| self.store.about(key)) {
            self.gossip.add_news(fact.clone());
        }
        self.observe_peers(census.peers.clone(), census.routers.clone());
        census
    }

    fn find_role(&mut self) {
        let router = self.settings.router.unwrap_or(self.census.routers.is_empty());
        if self.router != Some(router) {
            self.router = Some(router);
            self.notify(Event::RoleChanged { router });
        }
    }

    pub(super) fn is_router(&self) -> bool {
        self.router == Some(true)
    }

    fn may_forget(&self) -> bool {
        membership::may_remove(self.is_router(), self.trust.own_level())
    }

    fn learn_locally(&mut self, now: Timestamp, device: &DeviceState) {
        self.look_up_names(now);
        let facts = local::facts(&local::View {
            settings: &self.settings,
            device,
            host: &self.host,
            router: self.is_router(),
            own_level: self.trust.own_level(),
            healthy: &self.census.healthy,
            peer_is_ours: &|key| self.membership.introduced(key),
            prefix_is_ours: &|key, prefix| self.routes.introduced(key, prefix),
            resolved: &|key| {
                let hosts = self
                    .settings
                    .peers
                    .get(key)
                    .into_iter()
                    .flat_map(|peer| &peer.endpoints);
                hosts.flat_map(|host| self.names.addresses(host)).collect()
            },
        });
        for (fact, source) in facts {
            let accepted = Accepted::first_hand(fact.clone(), FACT_TTL, source);
            if let Insertion::New(_) = self.store.insert(now, accepted) {
                self.gossip.add_news(fact);
            }
        }
    }

    fn look_up_names(&mut self, now: Timestamp) {
        for (key, peer) in &self.settings.peers {
            if self.census.healthy.contains(key) || key == self.auth.public_key() {
                continue;
            }
            let asked = peer.endpoints.iter().filter(|host| self.names.ask(now, host));
            self.outputs.extend(asked.cloned().map(Output::Resolve));
        }
    }

    fn decide_members(&mut self, now: Timestamp, desired: &mut DeviceState) {
        let own_key = *self.auth.public_key();
        let members: BTreeSet<PublicKey> = self
            .store
            .iter()
            .filter(|(fact, stored)| fact.value.is_membership() && stored.origin.is_authority())
            .map(|(fact, _)| fact.subject)
            .filter(|subject| *subject != own_key)
            .collect();
        let reachable = self.census.healthy.intersection(&self.census.alive);
        let view = membership::View {
            peers: &self.census.peers,
            members: &members,
            vouchers: &reachable.filter(|key| self.trust.vouches(key)).copied().collect(),
            may_remove: self.may_forget(),
        };
        self.membership.hand_over(|key| is_touched(desired, &self.routes, key));
        let decision = self.membership.decide(now, &view);
        let removal_at = self.membership.next(&view);
        for peer in decision.add {
            desired.apply(&DeviceChange::AddPeer {
                peer,
                allowed_ips: BTreeSet::new(),
                endpoint: None,
            });
            self.notify(Event::PeerAdded { peer: self.name(&peer) });
        }
        for peer in decision.remove {
            desired.apply(&DeviceChange::RemovePeer { peer });
            self.notify(Event::PeerRemoved { peer: self.name(&peer) });
        }
        let was_full = std::mem::replace(&mut self.members_full, decision.full);
        if decision.full && !was_full {
            self.notify(Event::TooManyMembers);
        }
        self.removal_at = removal_at;
    }

    /// Moves all links on; returns the peers to which WireGuard must be made to send.
    fn advance_links(&mut self, now: Timestamp, desired: &mut DeviceState) -> Vec<PublicKey> {
        self.links.retain(|key, _| desired.peers.contains_key(key));
        let own_nets = self.own_nets();
        let own_key = *self.auth.public_key();
        let keys: Vec<PublicKey> = desired.peers.keys().copied().collect();
        let mut knocks = Vec::new();
        for key in keys {
            let found = desired.peers.get(&key).and_then(|peer| peer.endpoint);
            let contact = self.contact(&key);
            let link = self
                .links
                .entry(key)
                .or_insert_with(|| Link::new(now, found, own_key > key));
            let candidates = candidates(now, link, &own_nets, &key, &self.store, &self.trust);
            let was_since = link.since();
            let step = link.advance(now, &contact, &candidates);
            let state = link.state();
            if let Some(endpoint) = step.endpoint {
                desired.apply(&DeviceChange::SetEndpoint { peer: key, endpoint });
            }
            if step.knock {
                knocks.push(key);
            }
            if let Some(left) = step.left {
                self.tell_transition(now, &key, left, state, was_since);
            }
        }
        knocks
    }

    fn tell_transition(&mut self, now: Timestamp, key: &PublicKey, left: State, state: State, was_since: Timestamp) {
        let peer = self.name(key);
        let event = match (left, state) {
            (_, State::Up) => {
                let endpoint = self.contact(key).endpoint;
                Event::LinkEstablished {
                    peer,
                    endpoint,
                    took: now.since(was_since),
                }
            }
            (_, State::Suspect(missing)) => Event::LinkSuspected { peer, missing },
            (State::Suspect(_) | State::Up, State::Probing | State::Idle) => Event::LinkLost { peer },
            (State::Probing | State::Idle, State::Probing | State::Idle) => return,
        };
        self.notify(event);
    }

    pub(super) fn contact(&self, key: &PublicKey) -> crate::mesh::link::Contact {
        self.census.contacts.get(key).copied().unwrap_or_default()
    }

    pub(super) fn own_nets(&self) -> Vec<IpNet> {
        let up = self.host.interfaces.iter().filter(|interface| interface.up);
        up.flat_map(|interface| interface.addresses.iter().copied()).collect()
    }

    fn decide_routes(&mut self, desired: &mut DeviceState) {
        self.give_addresses(desired);
        let up: BTreeSet<PublicKey> = self
            .links
            .iter()
            .filter(|(_, link)| link.is_up())
            .map(|(key, _)| *key)
            .collect();
        let mut claims: BTreeMap<IpNet, BTreeSet<PublicKey>> = BTreeMap::new();
        for (fact, _) in self.store.iter().filter(|(_, stored)| stored.origin.is_authority()) {
            if let Value::AllowedIp(prefix) = fact.value {
                claims.entry(prefix).or_default().insert(fact.subject);
            }
        }
        let decision = self.routes.decide(&route::View {
            device: desired,
            claims: &claims,
            up: &up,
            routers: &self.census.routers,
            healthy: &self.census.healthy,
            may_forget: self.may_forget(),
        });
        for step in decision.moves {
            apply_move(desired, &step);
            let to = step.to.map(|key| self.name(&key));
            self.notify(Event::PrefixMoved {
                prefix: step.prefix,
                to,
            });
        }
        for conflict in decision.conflicts {
            let (claimant, owner) = (self.name(&conflict.claimant), self.name(&conflict.owner));
            self.notify(Event::PrefixRefused {
                prefix: conflict.prefix,
                claimant,
                owner,
            });
        }
    }

    /// Lets every peer be heard from its own link-local address.
    fn give_addresses(&mut self, desired: &mut DeviceState) {
        let owners = desired.owners();
        let keys: Vec<PublicKey> = desired.peers.keys().copied().collect();
        for key in &keys {
            let address = self.settings.address_hash.allowed_ip(key);
            let step = self.routes.give_address(owners.get(&address).copied(), *key, address);
            step.iter().for_each(|step| apply_move(desired, step));
        }
    }

    fn next_deadline(&self, now: Timestamp, recipients: &[Recipient], changed: bool) -> Deadline {
        let watched = |link: &Link| {
            matches!(link.state(), State::Probing | State::Suspect(_)) && now.since(link.since()) < WATCH_FOR
        };
        let soon = changed || self.links.values().any(watched);
        let look = now + if soon { LOOK_SOON } else { LOOK };
        let links = self
            .links
            .iter()
            .filter_map(|(key, link)| link.next(now, &self.contact(key)))
            .min();
        let candidates = [
            Some(Deadline {
                at: look,
                why: Why::DeviceLook,
            }),
            self.store.next_expiry().map(|at| Deadline { at, why: Why::Expiry }),
            self.gossip.next(recipients).map(|at| Deadline { at, why: Why::Gossip }),
            links.map(|at| Deadline { at, why: Why::Link }),
            self.removal_at.map(|at| Deadline {
                at,
                why: Why::Membership,
            }),
        ];
        let next = candidates
            .into_iter()
            .flatten()
            .min()
            .expect("the device is always looked at again");
        // Whatever asks for less is served a little later; no part can make the node spin.
        Deadline {
            at: next.at.max(now + MIN_SLEEP),
            ..next
        }
    }

    /// Puts the device back: peers, prefixes and addresses that are there because of us go, endpoints that we tried in vain
    /// give way to the one that was found.
    pub(super) fn restore(&mut self, now: Timestamp) {
        let Some(device) = self.device.take() else { return };
        let mut desired = device.clone();
        self.routes
            .undo(&device)
            .iter()
            .for_each(|step| apply_move(&mut desired, step));
        for peer in self.membership.all_introduced() {
            desired.apply(&DeviceChange::RemovePeer { peer: *peer });
        }
        for (key, link) in &self.links {
            if let Some(endpoint) = link.found().filter(|_| !self.contact(key).is_healthy(now)) {
                desired.apply(&DeviceChange::SetEndpoint { peer: *key, endpoint });
            }
        }
        self.outputs
            .extend(plan::diff(&device, &desired).into_iter().map(Output::Configure));
    }
}

/// Returns whether a peer has what we did not give it.
fn is_touched(device: &DeviceState, routes: &Routes, key: &PublicKey) -> bool {
    let foreign = |prefix: &IpNet| !routes.introduced(key, prefix);
    let peer = device.peers.get(key);
    peer.is_some_and(|peer| peer.keepalive.is_some() || peer.allowed_ips.iter().any(foreign))
}

fn apply_move(device: &mut DeviceState, step: &route::Move) {
    let prefix = step.prefix;
    match (step.to, step.from) {
        (Some(peer), _) => device.apply(&DeviceChange::AddAllowedIp { peer, prefix }),
        (None, Some(peer)) => device.apply(&DeviceChange::RemoveAllowedIp { peer, prefix }),
        (None, None) => {}
    }
}
