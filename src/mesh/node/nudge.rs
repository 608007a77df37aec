//! Nodes of wirelink v1 that should act now: how they are recognised, and told.

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::value::Value;
use crate::mesh::believe::fact::{Fact, Timed};
use crate::mesh::device::DeviceState;
use crate::mesh::node::Node;
use crate::mesh::reach::link::Contact;
use crate::mesh::reach::link::liveness::V1_TTL;
use crate::mesh::reach::nudge::{FACTS, PATIENCE};
use crate::mesh::share::gossip::Told;

impl Node {
    /// Has a peer with a new session act on what it is told, should it turn out to be a v1 node, or to say nothing.
    pub(super) fn nudge_after_session(&mut self, now: Timestamp, key: &PublicKey, contact: &Contact) {
        if contact.is_healthy(now) && may_be_v1(contact) {
            self.nudges.want(*key, now + PATIENCE);
        }
    }

    /// Has v1 nodes pass on and act on news that they were just told.
    pub(super) fn nudge_after_news(&mut self, now: Timestamp, told: &[Told]) {
        if !std::mem::take(&mut self.has_urgent_news) {
            return;
        }
        for Told { peer, facts, .. } in told {
            let has_facts = facts.iter().any(|timed| !matches!(timed.fact.value, Value::Alive(_)));
            if has_facts && self.contact(peer).is_v1() {
                self.nudges.want(*peer, now);
            }
        }
    }

    /// Nudges those for whom it is time, as far as they still are, or may be, v1 nodes with a session.
    pub(super) fn send_nudges(&mut self, now: Timestamp, device: &DeviceState) {
        let alive = Timed {
            fact: Fact {
                subject: *self.auth.public_key(),
                value: Value::Alive(self.gossip.boot_id()),
            },
            ttl: V1_TTL,
        };
        for peer in self.nudges.due(now) {
            let contact = self.contact_of(device.peers.get(&peer), &peer);
            if contact.is_healthy(now) && may_be_v1(&contact) {
                self.transmit(&Told {
                    peer,
                    facts: vec![alive.clone(); FACTS],
                    compact: false,
                });
            }
        }
    }
}

/// Returns whether the peer is a v1 node, or has not said yet what it is.
fn may_be_v1(contact: &Contact) -> bool {
    !contact.basic
        && contact
            .liveness
            .is_none_or(|liveness| liveness.announcement().is_none())
}
