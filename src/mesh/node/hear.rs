//! A datagram, from its bytes to the store. It changes nothing else: only a deadline does.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::store::Insertion;
use crate::mesh::believe::fact::value::{FactHash, Value, bucket};
use crate::mesh::believe::fact::wire::Form;
use crate::mesh::believe::fact::{Accepted, Origin, Verified, wire};
use crate::mesh::believe::trust::Refusal;
use crate::mesh::node::Node;
use crate::mesh::reach::link::liveness::Liveness;
use crate::mesh::share::ports::PortPair;
use crate::mesh::show::event::{Event, RejectReason};

/// The most subjects of which it is noted that an endpoint leads into the tunnel.
const MAX_TUNNELLED: usize = 4096;

impl Node {
    pub(super) fn hear(&mut self, now: Timestamp, source: Ipv6Addr, ports: PortPair, payload: &[u8]) {
        match self.verify(source, payload) {
            Ok(verified) => {
                self.ports.note(verified.sender(), ports);
                self.note_heard(now, verified.sender(), payload.len());
                self.note_tunnel(now, verified.sender());
                self.believe(now, source, verified);
            }
            Err((reason, sender)) => self.reject(now, reason, sender, source.into()),
        }
    }

    /// Finds out who speaks. A key that is no peer costs no cryptography.
    fn verify(&mut self, source: Ipv6Addr, payload: &[u8]) -> Result<Verified, (RejectReason, Option<PublicKey>)> {
        let is_peer = |key: &PublicKey| {
            self.device
                .as_ref()
                .is_some_and(|device| device.peers.contains_key(key))
        };
        // WireGuard lets nobody else use the address: a datagram in another's name is the doing of whose address it is.
        let owner = self.auth.owner(&source).filter(is_peer);
        let envelope = wire::decode(payload).map_err(|error| (RejectReason::Layout(error), owner))?;
        let sender = match envelope.form {
            Form::Signed { sender, .. } => Some(sender),
            Form::Compact => owner,
        };
        sender.filter(is_peer).ok_or((RejectReason::Stranger, owner))?;
        self.auth
            .verify(source, &envelope)
            .map_err(|error| (RejectReason::Auth(error), owner))
    }

    fn believe(&mut self, now: Timestamp, source: Ipv6Addr, verified: Verified) {
        let sender = *verified.sender();
        let judged: Vec<_> = self.trust.judge(verified).collect();
        for result in judged {
            match result {
                Ok(accepted) => {
                    if let Some(endpoint) = accepted.fact().value.endpoint() {
                        self.find_route(endpoint.ip());
                    }
                    self.accept(now, &sender, source, accepted);
                }
                Err((refusal, timed)) => {
                    self.note_tunnelled(refusal, &timed.fact.subject);
                    self.gossip.heard_in_vain(&sender, timed.fact.hash(), timed.ttl);
                    self.reject(now, RejectReason::Refused(refusal), Some(sender), source.into());
                }
            }
        }
    }

    /// Takes in that an endpoint of a peer is refused for where it leads.
    fn note_tunnelled(&mut self, refusal: Refusal, subject: &PublicKey) {
        // A member may become a peer a little later; who does not is forgotten when others do.
        if refusal != Refusal::ThroughTunnel || self.tunnelled.contains(subject) {
            return;
        }
        if self.tunnelled.len() >= MAX_TUNNELLED {
            // Subjects that are no peers make room for one that is.
            let links = &self.links;
            self.tunnelled.retain(|key| links.contains_key(key));
        }
        if self.tunnelled.len() < MAX_TUNNELLED {
            self.tunnelled.insert(*subject);
        }
    }

    fn accept(&mut self, now: Timestamp, sender: &PublicKey, source: Ipv6Addr, accepted: Accepted) {
        match &accepted.fact().value {
            Value::Alive(boot_id) => self.hear_alive(now, sender, Liveness::heard(now, *boot_id, accepted.ttl())),
            Value::Digest { buckets, sum } => self.hear_digest(now, sender, (*buckets, *sum), accepted.ttl()),
            Value::Holdings(sums) => {
                self.gossip.heard_holdings(now, sender, sums, &self.store);
                self.expect_news(now);
            }
            Value::Reset(buckets) => self.gossip.heard_reset(now, sender, *buckets, &self.store),
            Value::Withdrawn(hashes) => self.gossip.heard_withdrawn(now, sender, hashes, &self.store),
            Value::Signal(signal) => self.hear_signal(now, sender, source, accepted.fact().subject, **signal),
            Value::Heartbeat(beat) => self.hear_heartbeat(now, sender, *beat),
            Value::Echo(echo) => self.hear_echo(now, sender, **echo),
            Value::Probes(_)
            | Value::Endpoint(_)
            | Value::AllowedIp(_)
            | Value::Member
            | Value::MemberMetadata(_)
            | Value::Denied(_) => {
                self.learn(now, sender, source, accepted);
            }
        }
    }

    fn learn(&mut self, now: Timestamp, sender: &PublicKey, source: Ipv6Addr, accepted: Accepted) {
        let (fact, life) = (accepted.fact().clone(), accepted.ttl());
        let stored = self.store.get(&fact);
        let ours = stored.map(|stored| stored.expires);
        let better = stored.filter(|stored| !self.trust.may_renew(sender, &fact.subject, stored.origin));
        let hearsay = stored.filter(|stored| self.replaces_hearsay(sender, &fact.subject, stored.origin));
        let insertion = match (better, hearsay) {
            (Some(stored), _) => Insertion::Known(stored.id),
            (None, Some(stored)) => {
                let id = stored.id;
                let source = self.trust.source(sender, &fact.subject);
                self.store.supersede(id, now + life, source);
                Insertion::New(id)
            }
            (None, None) => self.store.insert(now, accepted),
        };
        let evicted = self.store.take_evicted();
        self.gossip.forget_for_room(&evicted);
        let (id, is_news, is_longer) = match insertion {
            Insertion::New(id) => (id, true, true),
            Insertion::Renewed(id) => (id, false, true),
            Insertion::Known(id) => (id, false, false),
            Insertion::Full(limit) => {
                self.gossip.heard_without_room(sender, &fact, life);
                return self.reject(now, RejectReason::Full(limit), Some(*sender), source.into());
            }
        };
        if let Some((_, stored)) = self.store.by_id(id) {
            self.gossip.heard_fact(now, sender, stored, now + life, ours);
        }
        if is_longer {
            self.gossip.add_news(fact);
        }
        // That it lives longer can wait for the next deadline: others renew in time.
        if is_news {
            self.has_urgent_news = true;
            self.expect_news(now);
        }
    }

    /// Returns whether what the sender says is passed on, and what is stored is not, because somebody else said it.
    fn replaces_hearsay(&self, sender: &PublicKey, subject: &PublicKey, stored: Origin) -> bool {
        self.trust.is_hearsay(subject, stored) && !self.trust.is_hearsay(subject, Origin::Peer(*sender))
    }

    /// Renews what the peer told, if nothing of it was lost; by now it may be trusted less than when it told it.
    fn hear_digest(&mut self, now: Timestamp, sender: &PublicKey, (buckets, sum): (u64, FactHash), life: Duration) {
        let Some(renewed) = self.gossip.heard_digest(now, sender, buckets, sum) else {
            return self.expect_news(now);
        };
        for id in renewed.iter() {
            let Some((fact, stored)) = self.store.by_id(id) else {
                continue;
            };
            if buckets >> bucket(stored.hash) & 1 == 0 {
                continue;
            }
            if self.trust.believes(sender, fact) {
                if self.replaces_hearsay(sender, &fact.subject, stored.origin) {
                    let fact = fact.clone();
                    let source = self.trust.source(sender, &fact.subject);
                    self.store.supersede(id, now + life, source);
                    self.gossip.add_news(fact);
                } else if self.trust.may_renew(sender, &fact.subject, stored.origin) {
                    let source = self.trust.source(sender, &fact.subject);
                    self.store.renew(id, now + life, source);
                }
            } else {
                self.gossip.no_longer_believed(sender, id, stored.hash);
            }
        }
    }

    fn hear_alive(&mut self, now: Timestamp, sender: &PublicKey, liveness: Liveness) {
        let before = self.liveness.insert(*sender, liveness);
        let is_new = self.gossip.heard_boot_id(now, sender, liveness.boot_id());
        // A new boot ID has everything told to it again.
        self.has_urgent_news |= is_new;
        if is_new && let Some(link) = self.links.get_mut(sender) {
            link.restart();
        }
        if is_new && before.is_some() {
            let peer = self.name(sender);
            self.notify(now, Event::PeerRestarted { peer });
        }
        if self.liveness.take_shared_key(now, sender) {
            let peer = self.name(sender);
            self.notify(now, Event::KeyShared { peer });
        }
        let waits = !self.links.get(sender).is_some_and(|link| link.is_up());
        if waits {
            self.gossip.answer(now, sender);
        }
        if waits {
            // Both sides should move in the same moment.
            self.hurry(now);
        } else if is_new {
            self.expect_news(now);
        }
    }

    pub(super) fn reject(&mut self, now: Timestamp, reason: RejectReason, sender: Option<PublicKey>, source: IpAddr) {
        if let Some(times) = self.rejections.count(now, sender, reason) {
            let sender = sender.map(|key| self.name(&key));
            self.notify(
                now,
                Event::Rejected {
                    reason,
                    sender,
                    source,
                    times,
                },
            );
        }
    }
}
