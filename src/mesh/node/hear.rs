//! A datagram, from its bytes to the store. It changes nothing else: only a deadline does.

use std::net::Ipv6Addr;

use crate::mesh::event::{Event, RejectReason};
use crate::mesh::fact::store::Insertion;
use crate::mesh::fact::value::Value;
use crate::mesh::fact::{Accepted, Verified, wire};
use crate::mesh::identity::PublicKey;
use crate::mesh::link::liveness::Liveness;
use crate::mesh::node::Node;
use crate::mesh::time::Timestamp;

impl Node {
    pub(super) fn hear(&mut self, now: Timestamp, source: Ipv6Addr, payload: &[u8]) {
        match self.verify(source, payload) {
            Ok(verified) => self.believe(now, source, verified),
            Err((reason, sender)) => self.reject(now, reason, sender, source),
        }
    }

    /// Finds out who speaks. A key that is no peer costs no cryptography.
    fn verify(&mut self, source: Ipv6Addr, payload: &[u8]) -> Result<Verified, (RejectReason, Option<PublicKey>)> {
        let envelope = wire::decode(payload).map_err(|error| (RejectReason::Layout(error), None))?;
        let sender = envelope.sender;
        if !self
            .device
            .as_ref()
            .is_some_and(|device| device.peers.contains_key(&sender))
        {
            return Err((RejectReason::Stranger, None));
        }
        self.auth
            .verify(source, &envelope)
            .map_err(|error| (RejectReason::Auth(error), Some(sender)))
    }

    fn believe(&mut self, now: Timestamp, source: Ipv6Addr, verified: Verified) {
        let sender = *verified.sender();
        let judged: Vec<_> = self.trust.judge(verified).collect();
        for result in judged {
            match result {
                Ok(accepted) => self.accept(now, &sender, source, accepted),
                Err(refusal) => self.reject(now, RejectReason::Refused(refusal), Some(sender), source),
            }
        }
    }

    fn accept(&mut self, now: Timestamp, sender: &PublicKey, source: Ipv6Addr, accepted: Accepted) {
        if let Value::Alive(boot_id) = accepted.fact().value {
            return self.hear_alive(now, sender, Liveness::heard(now, boot_id, accepted.ttl()));
        }
        let until = now + accepted.ttl();
        let fact = accepted.fact().clone();
        match self.store.insert(now, accepted) {
            Insertion::New(id) => {
                self.gossip.heard_fact(sender, id, until);
                self.gossip.add_news(fact);
                self.expect_news(now);
            }
            // That it lives longer can wait for the next deadline: others renew in time.
            Insertion::Renewed(id) => {
                self.gossip.heard_fact(sender, id, until);
                self.gossip.add_news(fact);
            }
            Insertion::Known(id) => self.gossip.heard_fact(sender, id, until),
            Insertion::Full(limit) => self.reject(now, RejectReason::Full(limit), Some(*sender), source),
        }
    }

    fn hear_alive(&mut self, now: Timestamp, sender: &PublicKey, liveness: Liveness) {
        let before = self.liveness.insert(*sender, liveness);
        let is_new = self.gossip.heard_boot_id(now, sender, liveness.boot_id());
        if is_new && before.is_some() {
            let peer = self.name(sender);
            self.notify(Event::PeerRestarted { peer });
        }
        let waits = !self.links.get(sender).is_some_and(|link| link.is_up());
        if waits {
            self.gossip.answer(now, sender);
        }
        if is_new || waits {
            self.expect_news(now);
        }
    }

    fn reject(&mut self, now: Timestamp, reason: RejectReason, sender: Option<PublicKey>, source: Ipv6Addr) {
        if let Some(times) = self.rejections.count(now, reason) {
            let sender = sender.map(|key| self.name(&key));
            self.notify(Event::Rejected {
                reason,
                sender,
                source,
                times,
            });
        }
    }
}
