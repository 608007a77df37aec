//! What a deadline does: from what is believed to what the device should be, and what others should hear.
//!
//! A pass looks at the peers about which something may be different, so that a quiet one costs next to nothing: see
//! [`agenda`](super::agenda).

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::IpNet;

use crate::mesh::base::dense::repack;
use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::prefixes::Prefixes;
use crate::mesh::base::settings::FACT_TTL;
use crate::mesh::base::time::{Deadline, Timestamp, Why};
use crate::mesh::believe::fact::boot::{BootId, OURS};
use crate::mesh::believe::fact::store::Insertion;
use crate::mesh::believe::fact::value::Value;
use crate::mesh::believe::fact::{Accepted, Fact, FirstHand, Origin};
use crate::mesh::device::DeviceChange;
use crate::mesh::device::mirror::Mirror;
use crate::mesh::node::{LOOK, LOOK_SOON, MIN_SLEEP, Node, WATCH_FOR};
use crate::mesh::reach::link::liveness::OURS_TTL;
use crate::mesh::reach::link::{Link, State};
use crate::mesh::share::gossip::Recipient;
use crate::mesh::show::event::{Event, Interface, Output};
use crate::mesh::{device::plan, members::membership, route, share::local};

/// A longer time without a deadline than this means that the machine slept, and others forgot.
const GAP: Duration = Duration::from_secs(25);
/// How often others are asked at most to tell everything again.
const RESYNC_EVERY: Duration = Duration::from_secs(30);
impl Node {
    /// Does all that is due. Without a reading of the device there is nothing to decide about.
    pub(super) fn pass(&mut self, now: Timestamp) {
        self.news_at = None;
        self.deadline = Deadline {
            at: now + LOOK_SOON,
            why: Why::DeviceLook,
        };
        let Some(mut device) = self.device.take() else { return };
        self.take_up(&device);
        self.expire(now);
        let mut peers = self.review(now, &mut device);
        self.recall(now);
        self.observe_endpoints(now, &device, peers.iter());
        self.learn_locally(now, &device, &peers);
        peers.extend(self.decide_members(now, &mut device, &peers));
        let due_on_links = self.advance_links(now, &mut device, &peers);
        // A v1 node moves its side of a link when it is nudged, this one when the device is changed.
        self.send_nudges(now, &device);
        self.ask_observers(now, &device);
        self.follow_names(now, &mut device);
        self.tell_moved(now, &device);
        self.ask_stun(now);
        let decided = self.decide_routes(now, &mut device, &peers) | std::mem::take(&mut self.agenda.device_differs);
        let changed = self.plan(now, &mut device, &peers, decided);
        self.remember_rest(now, &device);
        self.speak_on_links(due_on_links);
        self.device = Some(device);
        let recipients = self.device.as_ref().map(|device| self.recipients(now, device));
        let mut recipients = recipients.unwrap_or_default();
        recipients.retain(|recipient| self.links.contains_key(&recipient.peer));
        self.speak(now, &recipients);
        self.tell_left_out(now);
        self.deadline = self.next_deadline(now, &recipients, changed);
        self.last_pass = Some(now);
    }

    fn expire(&mut self, now: Timestamp) {
        let expired = self.store.expire(now);
        self.gossip.forget(&expired);
        let (store, trust) = (&self.store, &self.trust);
        self.gossip.retry(now, |peer, subject| {
            store.has_room(subject, trust.source(peer, subject))
        });
        if self.last_pass.is_some_and(|last| now.since(last) > GAP) {
            self.doubt_everything(now);
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
            Origin::Observed | Origin::Configured | Origin::Remembered => false,
        };
        fact.attribute().row().resync_on_expiry && !by_digest
    }

    fn resync(&mut self, now: Timestamp, reason: &'static str) {
        if self.last_resync.is_some_and(|last| now.since(last) < RESYNC_EVERY) {
            return;
        }
        self.last_resync = Some(now);
        self.gossip.resync(BootId::announcing(OURS, &mut self.random));
        self.notify(now, Event::Resynced { reason });
    }

    pub(super) fn is_router(&self) -> bool {
        self.roles.role().is_some_and(|role| role.is_router)
    }

    fn may_forget(&self) -> bool {
        membership::may_remove(self.is_router(), self.trust.own_level())
    }

    fn learn_locally(&mut self, now: Timestamp, device: &Mirror, subjects: &BTreeSet<PublicKey>) {
        let view = local::View {
            settings: &self.settings,
            device,
            host: &self.host,
            router: self.is_router(),
            own_level: self.trust.own_level(),
            healthy: &self.census.healthy,
            peer_is_ours: &|key| self.membership.introduced(key),
            prefix_is_ours: &|key, prefix| self.routes.introduced(key, prefix),
            probes: self.own_probes(now),
            reflexive: self.own_reflexive(now),
            resolved: &|key| self.resolved(device, key),
        };
        let facts = subjects.iter().flat_map(|subject| local::facts_about(&view, subject));
        let is_out = |(fact, _): &(Fact, FirstHand)| self.trust.is_denied(&fact.subject);
        let verdicts = subjects.iter().filter_map(|subject| {
            let value = Value::Denied(self.bans.said(subject)?);
            let fact = Fact {
                subject: *subject,
                value,
            };
            Some((fact, FirstHand::Configured))
        });
        let facts: Vec<_> = facts.filter(|fact| !is_out(fact)).chain(verdicts).collect();
        for (fact, source) in facts {
            let accepted = Accepted::first_hand(fact.clone(), FACT_TTL, source);
            if let Insertion::New(_) = self.store.insert(now, accepted) {
                self.has_urgent_news = true;
                self.drop_older_probes(now, &fact);
                self.gossip.add_news(fact);
            }
        }
        self.note_facts(now);
    }

    /// Has members made peers, and others removed; returns whom.
    fn decide_members(&mut self, now: Timestamp, device: &mut Mirror, peers: &BTreeSet<PublicKey>) -> Vec<PublicKey> {
        let banned = self.remove_banned(now, device);
        let ours = peers.iter().filter(|key| self.membership.introduced(key));
        let touched: Vec<PublicKey> = ours.filter(|key| self.is_touched(device, key)).copied().collect();
        touched.iter().for_each(|key| self.hand_over(device, key));
        let is_due = self.removal_at.is_some_and(|at| at <= now);
        let vouchers = self.vouchers(now);
        let differ = !self.membership.is_vouched_by(&vouchers);
        if !std::mem::take(&mut self.agenda.members) && !is_due && !differ {
            return banned;
        }
        self.recall.expect_news(now);
        repack(&mut self.members);
        let view = membership::View {
            peers: &device.peers.keys().copied().collect(),
            members: &self.members.difference(self.trust.denied()).copied().collect(),
            vouchers: &vouchers,
            may_remove: self.may_forget(),
            routers: &self.census.routers,
            favoured: &self.favoured(),
            prune: self.settings.prune,
        };
        let decision = self.membership.decide(now, &view);
        self.removal_at = self.membership.next(&view);
        for peer in &decision.add {
            device.apply(&DeviceChange::AddPeer {
                peer: *peer,
                allowed_ips: Prefixes::default(),
                endpoint: None,
            });
            self.notify(now, Event::PeerAdded { peer: self.name(peer) });
        }
        for peer in &decision.remove {
            device.apply(&DeviceChange::RemovePeer { peer: *peer });
            self.recall.forget(peer);
            self.notify(now, Event::PeerRemoved { peer: self.name(peer) });
        }
        let was_full = std::mem::replace(&mut self.members_full, decision.full);
        if decision.full && !was_full {
            self.notify(now, Event::TooManyMembers);
        }
        if decision.add.len() + decision.remove.len() > 0 {
            self.know(device);
        }
        [decision.add, decision.remove, banned].concat()
    }

    /// Returns the members that a router or the settings name, once there is not room for all.
    fn favoured(&self) -> BTreeSet<PublicKey> {
        if !self.membership.is_nearly_full() {
            return BTreeSet::new();
        }
        let favours = |origin| match origin {
            Origin::Configured => true,
            Origin::Peer(sender) => self.census.routers.contains(&sender),
            Origin::Observed | Origin::Remembered => false,
        };
        let named = |member: &&PublicKey| {
            let mut about = self.store.about(member);
            about.any(|(fact, stored)| fact.value.is_membership() && favours(stored.origin))
        };
        self.members.iter().filter(named).copied().collect()
    }

    /// Returns who may say who is a member, and was heard lately: routers, or those that the operator trusts. The sign of life of a v1 node
    /// counts for 255 s, but what it told last may expire after 122 s: a dead one must not seem to take it back.
    fn vouchers(&self, now: Timestamp) -> BTreeSet<PublicKey> {
        let is_heard = |key: &PublicKey| {
            let heard = self.liveness.of(key).map(|liveness| liveness.last_heard());
            heard.is_some_and(|at| now.since(at) < OURS_TTL)
        };
        let trusted = self.settings.peers.iter().filter(|(_, peer)| peer.trust.is_some());
        let said = self.settings.overrides.keys();
        let known = trusted.map(|(key, _)| key).chain(said).chain(&self.census.routers);
        known
            .filter(|key| self.census.healthy.contains(key) && self.census.alive.contains(key))
            .filter(|key| is_heard(key) && self.trust.vouches(key))
            .copied()
            .collect()
    }

    pub(super) fn own_nets(&self) -> Vec<IpNet> {
        let outside = |interface: &&Interface| interface.up && !interface.leads_inside();
        let up = self.host.interfaces.iter().filter(outside);
        up.flat_map(|interface| interface.addresses.iter().copied()).collect()
    }

    /// Gives prefixes to peers, and takes them back; returns whether any was looked at.
    fn decide_routes(&mut self, now: Timestamp, device: &mut Mirror, peers: &BTreeSet<PublicKey>) -> bool {
        self.give_addresses(device, peers);
        let prefixes = self.agenda.take_prefixes();
        let links = &self.links;
        let owners = prefixes.iter().filter_map(|prefix| self.routes.owner(device, prefix));
        let lost: BTreeSet<PublicKey> = owners.filter(|key| self.is_lost(now, device, key)).collect();
        let decision = self.routes.decide(
            &route::View {
                device,
                claims: &self.claims,
                protected: &self.protected,
                up: &|peer| links.get(peer).is_some_and(Link::carries),
                routers: &self.census.routers,
                healthy: &self.census.healthy,
                lost: &|peer| lost.contains(peer),
                is_router: self.is_router(),
                may_forget: self.may_forget() && self.membership.has_heard_out(now),
            },
            &prefixes,
        );
        for step in decision.moves {
            apply_move(device, &step);
            let [from, to] = [step.from, step.to].map(|key| key.map(|key| self.name(&key)));
            let prefix = step.prefix;
            self.notify(now, Event::PrefixMoved { prefix, from, to });
        }
        self.tell_refusals(now, &decision.refused);
        for refusal in decision.cleared {
            let claimant = self.name(&refusal.claimant);
            let prefix = refusal.prefix;
            self.notify(now, Event::PrefixCleared { prefix, claimant });
        }
        !prefixes.is_empty()
    }

    /// Lets peers be heard from their own link-local addresses.
    fn give_addresses(&mut self, device: &mut Mirror, peers: &BTreeSet<PublicKey>) {
        for key in peers {
            if device.peers.contains_key(key) {
                let address = self.settings.address_hash.allowed_ip(key);
                let ours = self.membership.introduced(key);
                let step = self.routes.give_address(device.owner(&address), *key, address, ours);
                step.iter().for_each(|step| apply_move(device, step));
            }
        }
    }

    /// Asks for the changes, after having what they introduce written down; returns whether there are any.
    fn plan(&mut self, now: Timestamp, device: &mut Mirror, peers: &BTreeSet<PublicKey>, decided: bool) -> bool {
        let (observed, desired) = device.take_plan();
        let changes = plan::diff(&observed, &desired);
        let changed = !changes.is_empty();
        if changed || !peers.is_empty() {
            self.remember_introduced(now, device, decided || changed);
        }
        self.outputs.extend(changes.into_iter().map(Output::Configure));
        changed
    }

    fn next_deadline(&self, now: Timestamp, recipients: &[Recipient], changed: bool) -> Deadline {
        let watched = |link: &Link| {
            matches!(link.state(), State::Probing | State::Suspect(_)) && now.since(link.since()) < WATCH_FOR
        };
        let may_watch = self.watch_until.is_some_and(|until| now < until);
        let soon = changed || may_watch && self.links.values().any(watched);
        let look = if soon { LOOK_SOON } else { LOOK };
        let look = now + self.traffic_look(now).map_or(look, |traffic| traffic.min(look));
        let rest = (!self.agenda.is_empty()).then_some(now);
        let due = |why| move |at| Deadline { at, why };
        let candidates = [
            Some(look).map(due(Why::DeviceLook)),
            self.store.next_expiry().map(due(Why::Expiry)),
            self.gossip.next(recipients).map(due(Why::Gossip)),
            self.nudges.next().map(due(Why::Gossip)),
            self.links_at.into_iter().chain(rest).min().map(due(Why::Link)),
            self.removal_at.map(due(Why::Membership)),
            self.recall.next().map(due(Why::Memory)),
        ];
        let next = candidates
            .into_iter()
            .flatten()
            .min()
            .expect("the device is always looked at again");
        // Whatever asks for less is served a little later; no part can make the node spin.
        let next = Deadline {
            at: next.at.max(now + MIN_SLEEP),
            ..next
        };
        // But what both sides of a link wait for has its moment.
        let moves = self.links.values().filter_map(Link::moves_at).filter(|at| *at > now);
        moves
            .min()
            .map(due(Why::Link))
            .into_iter()
            .chain([next])
            .min()
            .unwrap_or(next)
    }
}

fn apply_move(device: &mut Mirror, step: &route::Move) {
    let prefix = step.prefix;
    match (step.to, step.from) {
        (Some(peer), _) => device.apply(&DeviceChange::AddAllowedIp { peer, prefix }),
        (None, Some(peer)) => device.apply(&DeviceChange::RemoveAllowedIp { peer, prefix }),
        (None, None) => {}
    }
}
