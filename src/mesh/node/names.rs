//! The part of a pass about the operator's names: they are asked for, and where a session is not heard any more, what they say
//! counts for more than where it was heard last.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::settings::{Host, Settings};
use crate::mesh::base::time::Timestamp;
use crate::mesh::device::mirror::Mirror;
use crate::mesh::device::{DeviceChange, DeviceState, PeerState};
use crate::mesh::node::Node;
use crate::mesh::reach::link::State;
use crate::mesh::reach::link::candidate::{Collector, Kind, MAX_RUMOURS};
use crate::mesh::reach::names::{Names, Need};
use crate::mesh::reach::nat64::Nat64;
use crate::mesh::reach::silence::{Counters, Silence};
use crate::mesh::reach::turns::Turns;
use crate::mesh::show::event::Output;

/// How often it is looked at whom names lead to, news apart; some 200 ns for each name.
const EVERY: Duration = Duration::from_secs(1);
/// When what a knock did shows in the counters.
const AFTER_KNOCK: Duration = Duration::from_millis(200);

/// The operator's names, and how those are heard to whom they lead.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) names: Names,
    /// Whether the network reaches IPv4 addresses by translation.
    pub(super) nat64: Nat64,
    watched: BTreeMap<PublicKey, Watched>,
    looked: Option<Timestamp>,
    /// When there is something to do by time alone.
    next: Option<Timestamp>,
}

/// One peer of the device that has a name or routes for others.
#[derive(Debug)]
struct Watched {
    silence: Silence,
    turns: Turns,
    /// Since when it has no session.
    lost: Option<Timestamp>,
}

/// What is done about one peer.
#[derive(Debug, Default)]
struct Care {
    resolve: Vec<Host>,
    endpoint: Option<SocketAddr>,
    knock: bool,
    next: Option<Timestamp>,
}

impl Places {
    pub(super) fn new(now: Timestamp, settings: &Settings) -> Self {
        Self {
            names: Names::new(now, settings),
            nat64: Nat64::default(),
            watched: BTreeMap::new(),
            looked: None,
            next: None,
        }
    }

    /// Takes in what WireGuard counted of the peers that have names, and of those that route for others.
    pub(super) fn observe(&mut self, now: Timestamp, device: &DeviceState, routers: &BTreeSet<PublicKey>) {
        let keys: BTreeSet<PublicKey> = self.names.peers().chain(routers.iter().copied()).collect();
        self.watched.retain(|key, _| keys.contains(key));
        for key in keys {
            let Some(counters) = device.peers.get(&key).map(counters) else {
                self.watched.remove(&key);
                continue;
            };
            let new = || Watched {
                silence: Silence::new(now, counters),
                turns: Turns::default(),
                lost: None,
            };
            self.watched
                .entry(key)
                .or_insert_with(new)
                .silence
                .observe(now, counters);
        }
    }

    /// Returns whether WireGuard counts nothing of a peer that has to answer.
    pub(super) fn is_silent(&self, now: Timestamp, key: &PublicKey) -> bool {
        let watched = self.watched.get(key);
        watched.is_some_and(|watched| watched.silence.is_confirmed(now))
    }

    /// Takes in what the settings say.
    pub(super) fn replace_settings(&mut self, settings: &Settings) {
        self.names.replace_settings(settings);
        self.looked = None;
    }

    /// Takes in what the file of wg-quick says.
    pub(super) fn replace_file(&mut self, file: BTreeMap<PublicKey, Host>) {
        self.names.replace_file(file);
        self.looked = None;
    }

    /// Takes an answer in; returns whose names it may be.
    pub(super) fn answer(&mut self, now: Timestamp, host: &Host, addresses: Vec<SocketAddr>) -> Vec<PublicKey> {
        self.names.answer(now, host, addresses);
        self.looked = None;
        self.names.peers().collect()
    }

    /// Takes in that this machine is elsewhere.
    pub(super) fn moved(&mut self, now: Timestamp) {
        self.names.retry(now);
        self.nat64.forget();
        self.looked = None;
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.looked.is_none_or(|at| now.since(at) >= EVERY) || self.next.is_some_and(|at| at <= now)
    }
}

impl Node {
    /// Returns the addresses that the operator's endpoints of a peer have now.
    pub(super) fn resolved(&self, device: &DeviceState, peer: &PublicKey) -> Vec<SocketAddr> {
        let names = &self.places.names;
        let places = names.places(peer, self.is_operators(device, peer));
        places.flat_map(|host| names.addresses(host)).collect()
    }

    fn is_operators(&self, device: &DeviceState, peer: &PublicKey) -> bool {
        device.peers.contains_key(peer) && !self.membership.introduced(peer)
    }

    /// Asks for names whose time has come, and sends to where they lead what the peers do not answer where they were heard last.
    pub(super) fn follow_names(&mut self, now: Timestamp, device: &mut Mirror) {
        if self.places.is_due(now) {
            self.places.looked = Some(now);
            let own_nets = self.own_nets();
            self.outputs
                .extend(self.places.nat64.ask(now, &own_nets).map(Output::Resolve));
            // Whoever has a name and a network behind it is needed most.
            let (routers, mut others): (Vec<_>, Vec<_>) = self
                .places
                .names
                .peers()
                .filter(|key| key != self.auth.public_key())
                .partition(|key| self.census.routers.contains(key));
            others.sort_by_key(|key| self.places.names.asked(key));
            let peers = routers.into_iter().chain(others);
            let next = peers.filter_map(|key| self.care_for(now, device, &key)).min();
            self.places.next = next;
        }
        self.links_at = self.links_at.into_iter().chain(self.places.next).min();
    }

    /// Does what one peer needs; returns when it needs something again.
    fn care_for(&mut self, now: Timestamp, device: &mut Mirror, key: &PublicKey) -> Option<Timestamp> {
        let care = self.care(now, device, key);
        self.outputs.extend(care.resolve.into_iter().map(Output::Resolve));
        if let Some(endpoint) = care.endpoint {
            self.note_endpoint(device, key, endpoint, &[]);
            device.apply(&DeviceChange::SetEndpoint { peer: *key, endpoint });
        }
        if care.knock {
            self.gossip.knock(key);
        }
        care.next
    }

    fn care(&mut self, now: Timestamp, device: &Mirror, key: &PublicKey) -> Care {
        let contact = self.contact_on(device, key);
        let is_healthy = contact.is_healthy(now);
        let is_doubted = self.links.get(key).is_some_and(|link| match link.state() {
            State::Suspect(_) => true,
            State::Idle | State::Probing | State::Up => false,
        });
        let is_operators = self.is_operators(device, key);
        let usable = self.usable(device, key);
        let mut watched = self.places.watched.get_mut(key);
        let is_silent = watched.as_ref().is_some_and(|watched| watched.silence.is_certain(now));
        let lost = watched.as_mut().and_then(|watched| watched.lost_since(now, is_healthy));
        let need = match (is_healthy, contact.endpoint, lost) {
            (true, ..) if is_doubted || is_silent => Need::Urgent,
            (true, ..) => Need::None,
            (false, Some(_), Some(since)) => Need::NotReached { since },
            (false, ..) => Need::Urgent,
        };
        let mut care = Care::default();
        let places: Vec<Host> = self.places.names.places(key, is_operators).cloned().collect();
        let asked = places.iter().filter(|host| self.places.names.ask(now, host, need));
        care.resolve = asked.cloned().collect();
        care.next = places
            .iter()
            .filter_map(|host| self.places.names.next(now, host, need))
            .min();
        let (Some(watched), true, Some(present)) = (watched, is_healthy, contact.endpoint) else {
            return care;
        };
        let is_router = self.census.routers.contains(key);
        let waits = places.iter().any(|host| self.places.names.is_asked(now, host));
        watched.attend(now, (is_router, waits), present, &usable, &mut care);
        care
    }

    /// Returns the addresses of the names of a peer that this machine can send to, in the resolver's order, and then where others say that
    /// the peer is. Those are tried in turn while the session is silent, so that a false one costs its turn and nothing else.
    fn usable(&self, device: &Mirror, key: &PublicKey) -> Vec<SocketAddr> {
        let own_nets = self.own_nets();
        let mut collector = Collector::new(&own_nets).behind(self.places.nat64.prefix());
        let mut addresses = self.resolved(device, key);
        addresses.extend(self.told_places(key, MAX_RUMOURS));
        addresses.retain(|address| self.trust.is_endpoint(address).is_ok());
        addresses
            .iter()
            .for_each(|address| collector.add(*address, Kind::Configured));
        let usable = collector.finish();
        addresses.retain(|address| usable.iter().any(|candidate| candidate.endpoint == *address));
        addresses
    }
}

impl Care {
    fn come_at(&mut self, at: Option<Timestamp>) {
        self.next = self.next.into_iter().chain(at).min();
    }
}

impl Watched {
    /// Returns since when there is no session, if there is none.
    fn lost_since(&mut self, now: Timestamp, is_healthy: bool) -> Option<Timestamp> {
        self.lost = (!is_healthy).then(|| self.lost.unwrap_or(now));
        self.lost
    }

    /// Looks after a peer with a session: whether it is heard, and where to send if not. An answer that is waited for is waited for.
    fn attend(
        &mut self,
        now: Timestamp,
        (is_router, waits): (bool, bool),
        present: SocketAddr,
        addresses: &[SocketAddr],
        care: &mut Care,
    ) {
        if !self.silence.is_certain(now) {
            self.turns = Turns::default();
            // Only who routes for others is waited for: a leaf that is elsewhere now speaks up itself.
            care.knock = is_router && self.silence.knock(now);
            let next = if care.knock {
                Some(now + AFTER_KNOCK)
            } else {
                self.silence.next(is_router)
            };
            care.come_at(next.filter(|at| *at > now));
        } else if !waits {
            care.endpoint = self.turns.next(now, present, addresses);
            care.knock = care.endpoint.is_some();
            let turn = care.endpoint.unwrap_or(present);
            care.come_at(self.turns.until(turn).filter(|at| *at > now));
        }
    }
}

fn counters(peer: &PeerState) -> Counters {
    Counters {
        heard: peer.rx_bytes,
        sent: peer.tx_bytes,
        keepalive: peer.keepalive.map(|seconds| Duration::from_secs(seconds.into())),
    }
}
