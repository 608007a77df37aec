//! How this node looks from outside: what its peers see, and what they are asked for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::boot::PORTS;
use crate::mesh::believe::fact::signal::{Nat, Word};
use crate::mesh::believe::fact::{Fact, FirstHand};
use crate::mesh::device::mirror::Mirror;
use crate::mesh::node::Node;
use crate::mesh::node::nat::{self, Sighting};
use crate::mesh::reach::link::State;
use crate::mesh::reach::link::candidate::{Candidate, Class, is_private};

/// How often routers are asked: the mapping that they see is kept by it (RFC 4787, REQ-5: 2 minutes).
const ASK_EVERY: Duration = Duration::from_secs(50);
/// How soon they are asked again where none answers, the first times.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// How often routers that are heard through the tunnel may leave a question unanswered, before something on the way is taken to let
/// nothing but WireGuard pass.
const ASKED_IN_VAIN: u8 = 3;
/// How long an answer may take for that.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);
/// How long counts what was seen.
const SEEN_FOR: Duration = Duration::from_secs(180);
/// How long WireGuard is made to try a peer that probes do not find.
const TRIED_FOR: Duration = Duration::from_secs(150);
/// How many observers tell what a NAT does.
const ENOUGH: usize = 2;
/// How many peers are asked beside the routers, where those are too few.
const OTHERS: usize = 2;
/// How long counts what a peer said of its own NAT.
const TOLD_FOR: Duration = Duration::from_secs(600);
/// How many peers that are looked for are told at once what this node found out of its NAT.
const TELL_AT_ONCE: usize = 64;
/// The most addresses of this node by the word of others that it tells on.
const MAX_TOLD: usize = 4;

/// Where others see this node.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// By whom and whether by IPv6: what, and when.
    by: BTreeMap<(PublicKey, bool), (SocketAddr, Timestamp)>,
    /// When routers are asked again.
    pub(super) ask_at: Option<Timestamp>,
    silence: Silence,
    /// Which class peers say that their NATs likely have, and when they said so.
    told: BTreeMap<PublicKey, (Nat, Timestamp)>,
    /// Which class of its own this node said last to each of them.
    said: BTreeMap<PublicKey, Nat>,
}

/// How the NAT in front of this node likely maps, and who shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Likely {
    pub(super) nat: Nat,
    /// The peers that see this node from outside.
    pub(super) by: Vec<PublicKey>,
    /// Whether STUN servers do.
    pub(super) by_servers: bool,
}

/// Whether probes come to nothing that WireGuard does not.
#[derive(Debug, Default)]
struct Silence {
    /// How often routers were asked since one answered, and since when.
    asked: u8,
    since: Option<Timestamp>,
    /// Whether one was heard through the tunnel all the same.
    is_told: bool,
}

impl Silence {
    fn ask(&mut self, now: Timestamp) {
        self.since.get_or_insert(now);
        self.asked = self.asked.saturating_add(1);
    }

    /// Takes in that a router was heard through the tunnel: what it was asked in time, it would have answered by now.
    fn hear_tunnel(&mut self, now: Timestamp) {
        self.is_told |= self.since.is_some_and(|since| now.since(since) >= ANSWERED_WITHIN);
    }

    fn is_long(&self) -> bool {
        self.asked > ASKED_IN_VAIN && self.is_told
    }
}

impl Seen {
    /// Takes in what a peer saw.
    fn note(&mut self, now: Timestamp, peer: &PublicKey, seen: SocketAddr) {
        self.by.insert((*peer, seen.is_ipv6()), (seen, now));
    }

    /// Returns whether a peer saw the same lately.
    fn knows(&self, now: Timestamp, peer: &PublicKey, seen: SocketAddr) -> bool {
        let known = self.by.get(&(*peer, seen.is_ipv6()));
        known.is_some_and(|(was, at)| *was == seen && now.since(*at) < SEEN_FOR)
    }

    /// Forgets all that are not peers any more.
    pub(super) fn retain(&mut self, is_peer: impl Fn(&PublicKey) -> bool) {
        self.by.retain(|(peer, _), _| is_peer(peer));
        self.told.retain(|peer, _| is_peer(peer));
        self.said.retain(|peer, _| is_peer(peer));
    }

    /// Forgets everything: this machine is elsewhere.
    pub(super) fn forget(&mut self) {
        let told = std::mem::take(&mut self.told);
        *self = Self {
            told,
            ..Self::default()
        };
    }

    /// Returns all places that peers saw.
    #[cfg(test)]
    pub(super) fn places(&self) -> BTreeSet<SocketAddr> {
        self.by.values().map(|(seen, _)| *seen).collect()
    }

    /// Returns what was seen lately by those whose word counts, each place once.
    fn lately(&self, now: Timestamp, counts: impl Fn(&PublicKey) -> bool) -> BTreeSet<SocketAddr> {
        let lately = self.by.iter().filter(|(_, (_, at))| now.since(*at) < SEEN_FOR);
        lately
            .filter(|((peer, _), _)| counts(peer))
            .map(|(_, (seen, _))| *seen)
            .collect()
    }
}

impl Node {
    /// Has what this node announced of its probes before end where it announces something else: others cannot tell which is right.
    pub(super) fn drop_older_probes(&mut self, now: Timestamp, announced: &Fact) {
        if announced.value.probes().is_none() || announced.subject != *self.auth.public_key() {
            return;
        }
        let about = self.store.about(&announced.subject);
        let older = about.filter(|(fact, _)| fact.value.probes().is_some() && *fact != announced);
        for id in older.map(|(_, stored)| stored.id).collect::<Vec<_>>() {
            self.store.supersede(id, now, FirstHand::Observed.into());
        }
    }

    /// Returns what is between this node and the others, as far as at least two of them see it.
    pub(super) fn own_nat(&self, now: Timestamp) -> Nat {
        if self.is_blocked() {
            return Nat::Blocked;
        }
        let by_servers = self.stun.seen(now).map(|place| Sighting { place, believed: true });
        self.class(now, by_servers)
    }

    /// Returns how the NAT likely maps: what [`own_nat`](Self::own_nat) says, and where that needs better witnesses, what those that there
    /// are show.
    pub(super) fn likely_nat(&self, now: Timestamp) -> Likely {
        let own = self.own_addresses();
        let by_servers = self.stun.seen(now).map(|place| Sighting { place, believed: true });
        let by_servers: Vec<Sighting> = by_servers.filter(|sighting| sighting.place.is_ipv4()).collect();
        let by_peers = self.seen_by_peers(now, false);
        let beyond = nat::from_outside(&own, by_peers.chain(by_servers.iter().copied()).collect());
        let lately = self.seen.by.iter().filter(|((_, ipv6), _)| !ipv6);
        let counts = |place: SocketAddr| beyond.iter().any(|sighting| sighting.place == place);
        Likely {
            nat: match self.own_nat(now) {
                Nat::Unknown => nat::likely(&own, &beyond),
                known @ (Nat::EndpointIndependent | Nat::AddressDependent | Nat::Blocked) => known,
            },
            by: lately
                .filter(|(_, (place, at))| now.since(*at) < SEEN_FOR && counts(*place))
                .map(|((peer, _), _)| *peer)
                .collect(),
            by_servers: !by_servers.is_empty(),
        }
    }

    /// Returns the class of the NAT in front of a peer: as it announces it, or else as it says that it likely is.
    pub(super) fn nat_of(&self, now: Timestamp, key: &PublicKey) -> Nat {
        match self.announced_probes(key).map(|probes| probes.nat) {
            Some(known @ (Nat::EndpointIndependent | Nat::AddressDependent | Nat::Blocked)) => known,
            Some(Nat::Unknown) | None => {
                let told = self.seen.told.get(key);
                told.filter(|(_, at)| now.since(*at) < TOLD_FOR)
                    .map_or(Nat::Unknown, |(nat, _)| *nat)
            }
        }
    }

    /// Takes in what a peer says of its own NAT, and has it told what this node found out of its own.
    pub(super) fn hear_nat(&mut self, now: Timestamp, peer: &PublicKey, nat: Nat) {
        if nat != Nat::Unknown {
            self.seen.told.insert(*peer, (nat, now));
        }
        let own = self.likely_nat(now).nat;
        if own != Nat::Unknown && self.seen.said.get(peer) != Some(&own) {
            self.tell_nat(now, peer);
        }
    }

    /// Takes in that a peer is told which class the NAT of this node likely has; returns it.
    pub(super) fn say_nat(&mut self, now: Timestamp, peer: &PublicKey) -> Nat {
        let nat = self.likely_nat(now).nat;
        self.seen.said.insert(*peer, nat);
        nat
    }

    /// Tells a peer that is looked for, without a call to probe.
    fn tell_nat(&mut self, now: Timestamp, peer: &PublicKey) {
        let is_sought = self.links.get(peer).filter(|link| !link.is_up());
        let Some(standing) = is_sought.map(|link| link.standing()) else {
            return;
        };
        if self.announced_probes(peer).is_some() {
            self.signal(now, peer, Word::default(), standing);
        }
    }

    /// Returns the class by what peers see, and others.
    fn class(&self, now: Timestamp, others: impl Iterator<Item = Sighting>) -> Nat {
        let own = self.own_addresses();
        let others = others.filter(|sighting| sighting.place.is_ipv4());
        let seen = self.seen_by_peers(now, false).chain(others).collect();
        nat::class(&own, &nat::from_outside(&own, seen))
    }

    fn seen_by_peers(&self, now: Timestamp, ipv6: bool) -> impl Iterator<Item = Sighting> {
        let of_family = self.seen.by.iter().filter(move |((_, by_ipv6), _)| *by_ipv6 == ipv6);
        let lately = of_family.filter(move |(_, (_, at))| now.since(*at) < SEEN_FOR);
        lately.map(|((peer, _), (place, _))| Sighting {
            place: *place,
            believed: self.is_believed(peer),
        })
    }

    /// Returns whether a peer is believed where it sees this node.
    fn is_believed(&self, peer: &PublicKey) -> bool {
        self.census.routers.contains(peer) || self.trust.counts_for_more(peer)
    }

    /// Returns whether nothing but WireGuard gets out here.
    pub(super) fn is_blocked(&self) -> bool {
        self.seen.silence.is_long()
    }

    fn own_addresses(&self) -> BTreeSet<IpAddr> {
        self.own_nets().iter().map(|net| net.addr()).collect()
    }

    /// Returns whether peers alone do not tell from where this node is seen over a family.
    pub(super) fn needs_observers(&self, now: Timestamp, ipv6: bool) -> bool {
        let seen = self.seen_by_peers(now, ipv6).collect();
        let from_outside = nat::from_outside(&self.own_addresses(), seen);
        from_outside.len() < ENOUGH || !ipv6 && self.class(now, std::iter::empty()) == Nat::Unknown
    }

    /// Returns whether neither side shows the other a port at which it could be met, and both have nothing but IPv4 behind NATs.
    pub(super) fn is_hopeless(&self, now: Timestamp, announced: Nat, candidates: &[Candidate]) -> bool {
        announced == Nat::AddressDependent && self.own_nat(now) == Nat::AddressDependent && are_behind_nats(candidates)
    }

    /// Takes in where a peer sees this node.
    pub(super) fn note_seen(&mut self, now: Timestamp, peer: &PublicKey, seen: SocketAddr) {
        self.find_route(seen.ip());
        if self.trust.is_endpoint(&seen).is_err() {
            return;
        }
        if self.seen.knows(now, peer, seen) {
            self.seen.note(now, peer, seen);
            return;
        }
        let before = (self.own_reflexive(now), self.own_nat(now));
        let likely_before = self.likely_nat(now).nat;
        self.seen.note(now, peer, seen);
        if (self.own_reflexive(now), self.own_nat(now)) != before {
            self.agenda.add_peers([*self.auth.public_key()]);
            self.expect_news(now);
        }
        let likely = self.likely_nat(now).nat;
        if likely != likely_before && likely != Nat::Unknown {
            if likely != self.own_nat(now) {
                // What another observer saw may be old: all that can be asked are asked in the same moment.
                self.seen.ask_at = None;
                self.expect_news(now);
            }
            let sought: Vec<PublicKey> = self.links.keys().copied().collect();
            let untold = sought.into_iter().filter(|peer| self.is_sought(now, peer));
            for peer in untold.take(TELL_AT_ONCE).collect::<Vec<_>>() {
                self.tell_nat(now, &peer);
            }
        }
    }

    fn is_sought(&self, now: Timestamp, peer: &PublicKey) -> bool {
        let link = self.links.get(peer);
        link.is_some_and(|link| link.state() == State::Probing) && !self.contact(peer).is_healthy(now)
    }

    /// Returns where this node can be reached by the word of those that it trusts, and does not know by itself.
    pub(super) fn own_reflexive(&self, now: Timestamp) -> Vec<SocketAddr> {
        let own = self.own_addresses();
        let mut seen = self.seen.lately(now, |peer| self.is_believed(peer));
        seen.extend(self.stun.seen(now));
        let seen = seen.into_iter().filter(|seen| !own.contains(&seen.ip()));
        seen.take(MAX_TOLD).collect()
    }

    /// Asks routers from where they see this node, by each family that both have: WireGuard itself shows only one.
    pub(super) fn ask_observers(&mut self, now: Timestamp, device: &Mirror) {
        if !self.probing.is_able() || self.seen.ask_at.is_some_and(|at| now < at) {
            return;
        }
        let was_blocked = self.seen.silence.is_long();
        let answers = |router: &&PublicKey| self.announced_probes(router).is_some();
        let routers: Vec<PublicKey> = self.census.routers.iter().filter(answers).copied().collect();
        let mut is_asked = false;
        for (peer, to) in self.other_observers(now, device) {
            self.expect_form(&peer);
            let probe = self.probing.ask(now, &peer, to, &mut self.random);
            probe.into_iter().for_each(|payload| self.send_probe(None, to, payload));
        }
        for router in routers {
            self.expect_form(&router);
            for ipv6 in [false, true] {
                let Some(to) = self.way_to(device, &router, ipv6) else {
                    continue;
                };
                let probe = self.probing.ask(now, &router, to, &mut self.random);
                // A dead router answers nothing, which shows no firewall.
                let must_answer = self.census.healthy.contains(&router) && !self.is_silent(now, &router);
                is_asked |= probe.is_some() && must_answer;
                probe.into_iter().for_each(|payload| self.send_probe(None, to, payload));
            }
        }
        if is_asked {
            self.seen.silence.ask(now);
        }
        let is_first = is_asked && self.seen.silence.asked <= ASKED_IN_VAIN;
        self.seen.ask_at = Some(now + if is_first { ASK_AGAIN } else { ASK_EVERY });
        self.note_silence(now, was_blocked);
    }

    /// Returns peers with direct links that can say from where they see this node over IPv4, and do not, where routers are too few: those
    /// that WireGuard reaches by IPv6, or in the same network.
    fn other_observers(&self, now: Timestamp, device: &Mirror) -> Vec<(PublicKey, SocketAddr)> {
        if !self.has_family(false) || !self.needs_observers(now, false) {
            return Vec::new();
        }
        let sees = |key: &PublicKey| {
            let seen = self.seen.by.get(&(*key, false));
            seen.is_some_and(|(_, at)| now.since(*at) < SEEN_FOR)
        };
        let up = self.links.iter().filter(|(_, link)| link.is_up()).map(|(key, _)| key);
        let others = up.filter(|key| !self.census.routers.contains(key) && !sees(key));
        let able = others.filter(|key| self.announced_probes(key).is_some());
        let placed = able.filter_map(|key| Some((*key, self.way_to(device, key, false)?)));
        placed.filter(|(_, to)| !is_private(to.ip())).take(OTHERS).collect()
    }

    /// Takes in that a probe, or an answer, came from outside.
    pub(super) fn note_probe(&mut self, now: Timestamp) {
        let before = std::mem::take(&mut self.seen.silence);
        if before.asked > 0 {
            self.seen.ask_at = Some(now + ASK_EVERY);
        }
        self.note_silence(now, before.is_long());
    }

    /// Takes in that a peer was heard through the tunnel.
    pub(super) fn note_tunnel(&mut self, now: Timestamp, sender: &PublicKey) {
        if self.census.routers.contains(sender) {
            let was_blocked = self.seen.silence.is_long();
            self.seen.silence.hear_tunnel(now);
            self.note_silence(now, was_blocked);
        }
    }

    /// Has all links looked at, and others told, where it is different whether probes pass.
    fn note_silence(&mut self, now: Timestamp, was_blocked: bool) {
        if self.seen.silence.is_long() != was_blocked {
            self.agenda.add_all();
            self.expect_news(now);
        }
    }

    /// Returns whether probes pass on this side, and so would have found the peer by now if that could be: then WireGuard is not made to
    /// try for ever what they cannot.
    pub(super) fn has_been_tried(&self, now: Timestamp, since: Timestamp) -> bool {
        let is_answered = self.seen.by.values().any(|(_, at)| now.since(*at) < SEEN_FOR);
        now.since(since) > TRIED_FOR && is_answered
    }

    /// Returns who can say which port the NAT of this node gives, and where, if a peer may need to know: one whose NAT gives none of its
    /// own to each destination, while that of this node does, or may, as far as two observers could not say yet.
    pub(super) fn observer(&self, now: Timestamp, device: &Mirror, announced: Nat) -> Option<(PublicKey, SocketAddr)> {
        let may_be_needed = match (announced, self.own_nat(now)) {
            (Nat::AddressDependent | Nat::Blocked, _) | (_, Nat::EndpointIndependent | Nat::Blocked) => false,
            (Nat::Unknown | Nat::EndpointIndependent, Nat::Unknown) => {
                self.census.routers.len() > 1 || self.likely_nat(now).nat == Nat::AddressDependent
            }
            (Nat::Unknown | Nat::EndpointIndependent, Nat::AddressDependent) => true,
        };
        let able = |key: &&PublicKey| self.census.healthy.contains(key) && self.gossip.can(key, PORTS);
        let mut routers = self.census.routers.iter().filter(able).filter(|_| may_be_needed);
        routers.find_map(|router| Some((*router, self.way_to(device, router, false)?)))
    }

    /// Returns whether this machine has an address of the family with which it may get anywhere.
    pub(super) fn has_family(&self, ipv6: bool) -> bool {
        let own = self.own_nets();
        own.iter()
            .any(|net| net.addr().is_ipv6() == ipv6 && crate::mesh::base::prefix::is_global_unicast(net.addr()))
    }

    /// Returns an address of a router in a family that this machine has.
    fn way_to(&self, device: &Mirror, router: &PublicKey, ipv6: bool) -> Option<SocketAddr> {
        let has_family = self.has_family(ipv6);
        let used = device.peers.get(router).and_then(|peer| peer.endpoint);
        let told = self.store.about(router).filter_map(|(fact, _)| fact.value.endpoint());
        let fits = |endpoint: &SocketAddr| endpoint.is_ipv6() == ipv6 && self.trust.is_endpoint(endpoint).is_ok();
        used.into_iter()
            .chain(told)
            .find(|endpoint| has_family && fits(endpoint))
    }
}

/// Returns whether NATs can be in the way to all of these: neither IPv6 nor a network that both sides share is among them.
pub(super) fn are_behind_nats(candidates: &[Candidate]) -> bool {
    let behind = |candidate: &Candidate| match Class::of(candidate.endpoint, candidates) {
        Class::Ipv4 => true,
        Class::SameLan | Class::Ipv6 => false,
    };
    candidates.iter().all(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routers_that_are_heard_and_do_not_answer_show_that_probes_do_not_pass() {
        let at = |seconds: u64| Timestamp::from_start(Duration::from_secs(1000 + seconds));
        let mut silence = Silence::default();
        (0..3).for_each(|round| silence.ask(at(2 * round)));
        silence.hear_tunnel(at(5));
        assert!(!silence.is_long(), "they may answer the third time");
        silence.ask(at(6));
        assert!(silence.is_long());
        let mut silence = Silence::default();
        (0..9).for_each(|round| silence.ask(at(2 * round)));
        assert!(!silence.is_long(), "they may be dead");
        silence.hear_tunnel(at(17));
        assert!(silence.is_long());
    }
}
