//! The first part of a pass: who must be looked at, and what there is to see.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::settings::TrustLevel;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::Origin;
use crate::mesh::believe::fact::value::Value;
use crate::mesh::believe::role::{Holding, Role};
use crate::mesh::device::PeerState;
use crate::mesh::device::mirror::Mirror;
use crate::mesh::node::Node;
use crate::mesh::reach::link::{Contact, Link};
use crate::mesh::show::census::{Difference, is_basic};
use crate::mesh::show::event::Event;

/// How many peers one line names.
const MOST_NAMED: usize = 4;

impl Node {
    /// Finds out what may be different, and counts the peers concerned; returns whom the pass looks at.
    pub(super) fn review(&mut self, now: Timestamp, device: &mut Mirror) -> BTreeSet<PublicKey> {
        self.note_device(device);
        self.note_facts(now);
        self.note_time(now);
        if self.agenda.take_review(now) {
            self.note_all(device);
        }
        let mut peers = self.agenda.take_peers();
        let mut differences = self.count(now, device, &peers);
        if self.find_role(now) {
            // Whom to believe, what to say and what to take back may be different for all.
            self.note_all(device);
            let others = self.agenda.take_peers();
            differences.merge(self.count(now, device, &others));
            peers.extend(others);
        }
        peers.extend(self.enforce_bans(now));
        peers
    }

    /// Takes in what is different on the device, since it was read or planned.
    fn note_device(&mut self, device: &mut Mirror) {
        let news = device.take_news();
        self.agenda.device_differs |= !news.peers.is_empty();
        for key in &news.peers {
            self.note_holding(device, key);
        }
        self.agenda.add_peers(news.peers);
        self.note_owners(news.prefixes);
        if news.device {
            self.agenda.add_all();
        }
        if news.population.is_empty() {
            return;
        }
        let is_peer = |key: &PublicKey| device.peers.contains_key(key);
        self.auth.retain(is_peer);
        self.gossip.retain(is_peer);
        self.nudges.retain(is_peer);
        self.liveness.retain(is_peer);
        self.ports.retain(is_peer);
        self.tunnelled.retain(is_peer);
        self.probing.retain(is_peer);
        self.seen.retain(is_peer);
        self.routes.retain(is_peer);
        self.rejections.retain(|sender| sender.is_none_or(|key| is_peer(&key)));
        self.endpoints
            .retain(|key| is_peer(key) && !self.membership.introduced(key));
        let claimed: Vec<IpNet> = news
            .population
            .iter()
            .flat_map(|key| self.prefixes_of(device, key))
            .collect();
        self.agenda.add_prefixes(claimed);
        self.agenda.add_prefixes(self.routes.dependent(&news.population));
        self.agenda.members = true;
        self.know(device);
    }

    /// Takes in which prefixes have another owner: what is claimed around them, or inside a network in which they are, may be decided
    /// about otherwise.
    fn note_owners(&mut self, prefixes: BTreeSet<IpNet>) {
        for prefix in &prefixes {
            self.agenda.add_prefixes(self.claims.wider(prefix));
            if self.protected.is_inside_network(prefix) {
                self.agenda.add_prefixes(self.claims.inside(prefix));
            }
        }
        self.agenda.add_prefixes(prefixes);
    }

    /// Counts on the peers that are planned: the first words of a new one may come before the device is read again.
    pub(super) fn know(&mut self, device: &Mirror) {
        let peers: BTreeSet<PublicKey> = device.peers.keys().copied().collect();
        self.auth.admit(&peers);
        if self.trust.observe_peers(peers, self.census.routers.clone()) {
            self.gossip.trust_changed();
        }
    }

    /// Takes in which facts came, went, or have another origin.
    pub(super) fn note_facts(&mut self, now: Timestamp) {
        let own_key = *self.auth.public_key();
        self.agenda.add_facts(self.store.take_changed());
        for fact in self.agenda.take_facts() {
            match fact.value {
                Value::AllowedIp(prefix) => {
                    let holds = self.store.get(&fact).is_some_and(|stored| stored.origin.is_authority());
                    self.claims.note(prefix, fact.subject, holds);
                    // A network is decided about otherwise when others have parts of it.
                    let wider = self.claims.wider(&prefix).collect::<Vec<_>>();
                    self.agenda.add_prefixes(wider.into_iter().chain([prefix]));
                }
                Value::Member | Value::MemberMetadata(_) if fact.subject != own_key => self.note_member(&fact.subject),
                Value::Member
                | Value::MemberMetadata(_)
                | Value::Endpoint(_)
                | Value::Alive(_)
                | Value::Digest { .. }
                | Value::Holdings(_)
                | Value::Reset(_)
                | Value::Withdrawn(_)
                | Value::Probes(_)
                | Value::Signal(_)
                | Value::Heartbeat(_)
                | Value::Echo(_) => {}
                Value::Denied(what) => self.note_verdict(now, &fact, what),
            }
            self.agenda.add_peers([fact.subject]);
        }
    }

    fn note_member(&mut self, subject: &PublicKey) {
        let mut facts = self.store.about(subject);
        let is_member = facts.any(|(fact, stored)| fact.value.is_membership() && stored.origin.is_authority());
        let differs = if is_member {
            self.members.insert(*subject)
        } else {
            self.members.remove(subject)
        };
        self.agenda.members |= differs;
    }

    /// Takes in who was heard, and for whom the time has come.
    fn note_time(&mut self, now: Timestamp) {
        let heard = self.liveness.take_lately();
        let unexpected = heard.into_iter().filter(|key| !self.is_expected(key));
        self.agenda.add_peers(unexpected.collect::<Vec<_>>());
        if self.links_at.is_some_and(|at| at <= now) {
            let is_due = |link: &Link| link.look_at().is_some_and(|at| at <= now);
            let due = self.links.iter().filter(|(_, link)| is_due(link));
            self.agenda.add_peers(due.map(|(key, _)| *key));
            let later = self.links.values().filter(|link| !is_due(link));
            self.links_at = later.filter_map(Link::look_at).min();
        }
    }

    /// Returns whether a sign of life of the peer only prolongs what is already so.
    fn is_expected(&self, key: &PublicKey) -> bool {
        let link = self.links.get(key).filter(|link| link.is_up());
        let until = self.liveness.of(key).map(|liveness| liveness.expires());
        self.census.alive.contains(key) && link.is_some_and(|link| link.look_at() <= until)
    }

    fn note_all(&mut self, device: &Mirror) {
        let known = device.peers.keys().chain(self.settings.peers.keys());
        self.agenda.add_peers(known.copied().chain([*self.auth.public_key()]));
        self.agenda.add_peers(self.bans.all_said().collect::<Vec<_>>());
        self.agenda.add_prefixes(self.routes.all(&self.claims));
        self.agenda.members = true;
    }

    /// Counts these peers again, and takes in what hangs on it.
    fn count(&mut self, now: Timestamp, device: &Mirror, peers: &BTreeSet<PublicKey>) -> Difference {
        let mut all = Difference::default();
        let mut flipped = BTreeSet::new();
        for key in peers {
            self.note_holding(device, key);
            let seen = device.peers.get(key).map(|_| Contact {
                basic: is_basic(&self.settings, &self.store, key),
                ..self.contact_on(device, key)
            });
            let difference = self.census.recount(now, key, seen);
            self.note_endpoints(device, key);
            if difference.appeared {
                let about = self.store.about(key).map(|(fact, _)| fact.clone());
                about.for_each(|fact| self.gossip.add_news(fact));
                self.has_urgent_news = true;
            }
            if difference.healthy {
                flipped.insert(*key);
                let contact = self.contact_on(device, key);
                self.nudge_after_session(now, key, &contact);
            }
            self.agenda.members |= (difference.healthy || difference.alive) && self.trust.vouches(key);
            all.merge(difference);
        }
        self.agenda.add_prefixes(self.routes.dependent(&flipped));
        if flipped.intersection(&self.census.routers).next().is_some() {
            // Prefixes return to routers that can be reached.
            self.agenda.add_prefixes(self.routes.all(&self.claims));
        }
        all
    }

    /// Takes in what the operator gave to a peer: facts make no router.
    fn note_holding(&mut self, device: &Mirror, key: &PublicKey) {
        let holding = device.peers.get(key).map(|peer| {
            let by_hand = peer
                .allowed_ips
                .iter()
                .filter(|prefix| !self.routes.introduced(key, prefix));
            let written = self
                .settings
                .peers
                .get(key)
                .into_iter()
                .flat_map(|peer| &peer.allowed_ips);
            let mut holding = Holding::of(by_hand.chain(written).copied());
            let introduced = self.routes.all_introduced();
            let is_lent = |prefix: &&IpNet| {
                introduced
                    .get(prefix)
                    .is_some_and(|given| given.taken_from == Some(*key))
            };
            let before = self.roles.holding(key).map_or(&[][..], Holding::networks);
            holding.keep(before.iter().filter(is_lent).copied());
            holding
        });
        self.roles.observe_peer(key, holding);
    }

    /// Takes in where a peer is reached, by the operator's word or by its session: no prefix from a fact may lead there.
    fn note_endpoints(&mut self, device: &Mirror, key: &PublicKey) {
        let peer = device.peers.get(key);
        let in_use = peer.filter(|_| self.census.healthy.contains(key));
        let found = match self.links.get(key) {
            Some(link) => link.found(),
            None => peer.and_then(|peer| peer.endpoint),
        };
        let seen = in_use.and_then(|peer| peer.endpoint).into_iter().chain(found);
        let written = peer.map(|_| self.resolved(device, key)).unwrap_or_default();
        let addresses = seen.chain(written).map(|endpoint| endpoint.ip()).collect();
        for address in self.protected.observe_peer(key, addresses) {
            self.agenda
                .add_prefixes(self.routes.around(&self.claims, address.into()));
        }
    }

    /// Finds out who routes for whom; returns whether that is different now.
    fn find_role(&mut self, now: Timestamp) -> bool {
        self.roles.observe(&self.host.tunnel_addresses, self.settings.router);
        if !self.roles.is_stale() {
            return false;
        }
        let has_other_sites = self.trust.observe_sites(self.roles.sites());
        if has_other_sites {
            self.gossip.trust_changed();
        }
        let differs = self
            .roles
            .refresh()
            .is_some_and(|(before, role)| self.follow_role(now, before.as_ref(), role));
        let trust = self.describe_trust();
        if self.roles.tell_trust(&trust) {
            self.notify(now, Event::TrustChanged { text: trust });
        }
        differs
    }

    fn follow_role(&mut self, now: Timestamp, before: Option<&Role>, role: Role) -> bool {
        let differs = before.is_none_or(|before| before.is_router != role.is_router);
        if differs {
            self.notify(
                now,
                Event::RoleChanged {
                    router: role.is_router,
                    why: self.describe_role(&role),
                    is_change: before.is_some(),
                },
            );
        }
        if self.census.routers == role.routers {
            return differs;
        }
        self.census.routers = role.routers;
        self.trust.observe_routers(self.census.routers.clone());
        self.gossip.trust_changed();
        let trust = &self.trust;
        // The word of a peer that routes no longer is not kept.
        self.store.doom(
            now,
            |fact, origin| matches!(origin, Origin::Peer(sender) if !trust.believes(&sender, fact)),
        );
        true
    }

    /// Says whose word counts for members, and why.
    pub(super) fn describe_trust(&self) -> String {
        let names = |keys: Vec<&PublicKey>| {
            let shown = keys.iter().take(MOST_NAMED).map(|key| self.name(key).to_string());
            let rest = keys.len().saturating_sub(MOST_NAMED);
            let rest = (rest > 0).then(|| format!("{rest} more"));
            shown.chain(rest).collect::<Vec<_>>().join(", ")
        };
        if self.trust.trusts_routers() {
            let (set, routers): (Vec<_>, Vec<_>) = {
                let set = self
                    .trust
                    .set_levels()
                    .filter(|(_, level)| *level >= TrustLevel::Membership);
                (
                    set.map(|(key, _)| key).collect(),
                    self.census
                        .routers
                        .iter()
                        .filter(|key| self.trust.vouches(key))
                        .collect(),
                )
            };
            let carry = |keys: Vec<&PublicKey>| match keys.is_empty() {
                true => "members are believed from nobody: no peer carries the traffic of this node".to_owned(),
                false => format!(
                    "members are believed from {}, as this node's traffic goes through it",
                    names(keys)
                ),
            };
            let said = (!set.is_empty()).then(|| format!(", and from {}, as `wirelink set --trust` says", names(set)));
            let others = "; other peers name endpoints, and prefixes inside those that they have here; `Trust` decides otherwise";
            return carry(routers) + &said.unwrap_or_default() + others;
        }
        let set = self
            .trust
            .set_levels()
            .filter(|(_, level)| *level >= TrustLevel::Membership);
        let set: Vec<&PublicKey> = set.map(|(key, _)| key).collect();
        match set.is_empty() {
            true => "members are believed from nobody: `Trust` gives no peer Membership".to_owned(),
            false => format!("members are believed from {}, as `Trust` says", names(set)),
        }
    }

    /// Says which role this node has and why.
    pub(super) fn describe_role(&self, role: &Role) -> String {
        let peer = role
            .why
            .peer()
            .map_or_else(String::new, |key| self.name(key).to_string());
        role.describe(&peer)
    }

    /// Returns the prefixes that a peer has, and those that facts give it.
    pub(super) fn prefixes_of(&self, device: &Mirror, key: &PublicKey) -> Vec<IpNet> {
        let owned = device.peers.get(key).into_iter().flat_map(|peer| &peer.allowed_ips);
        let claimed = self.store.about(key).filter_map(|(fact, _)| fact.value.allowed_ip());
        owned.copied().chain(claimed).collect()
    }

    /// Returns what is seen of a peer now.
    pub(super) fn contact(&self, key: &PublicKey) -> Contact {
        self.device
            .as_ref()
            .map(|device| self.contact_on(device, key))
            .unwrap_or_default()
    }

    pub(super) fn contact_on(&self, device: &Mirror, key: &PublicKey) -> Contact {
        self.contact_of(device.peers.get(key), key)
    }

    /// Returns what is seen of a peer that is this on the device.
    pub(super) fn contact_of(&self, peer: Option<&PeerState>, key: &PublicKey) -> Contact {
        Contact {
            endpoint: peer.and_then(|peer| peer.endpoint),
            last_handshake: peer.and_then(|peer| peer.last_handshake),
            liveness: self.liveness.of(key),
            basic: self.census.basic.contains(key),
            heard_bytes: peer.map_or(0, |peer| peer.rx_bytes),
            routes: self.census.routers.contains(key),
            mtu: self.host.mtu,
        }
    }
}
