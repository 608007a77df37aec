//! From what is known to the datagrams that say it.

use crate::mesh::device::DeviceState;
use crate::mesh::event::Output;
use crate::mesh::fact::{Timed, wire};
use crate::mesh::gossip::{Audience, Recipient, Standing};
use crate::mesh::identity::PublicKey;
use crate::mesh::node::Node;
use crate::mesh::time::Timestamp;

impl Node {
    pub(super) fn recipients(&self, now: Timestamp, desired: &DeviceState) -> Vec<Recipient> {
        let reachable = desired.peers.iter().filter(|(_, peer)| peer.endpoint.is_some());
        reachable.map(|(key, _)| self.recipient(now, key)).collect()
    }

    fn recipient(&self, now: Timestamp, key: &PublicKey) -> Recipient {
        let contact = self.contact(key);
        let (alive_period, alive_ttl) = contact.alive_pace(now);
        let standing = Standing {
            basic: contact.basic,
            level: self.trust.level(key),
            router: self.census.routers.contains(key),
            fact_exchanger: self.settings.peers.get(key).is_some_and(|peer| peer.fact_exchanger),
            healthy: self.census.healthy.contains(key),
        };
        let audience = Audience::of(&standing, self.settings.chatty || self.is_router());
        Recipient {
            peer: *key,
            audience,
            alive_period,
            alive_ttl,
        }
    }

    pub(super) fn speak(&mut self, now: Timestamp, recipients: &[Recipient]) {
        let census = &self.census;
        let told = self
            .gossip
            .due(now, recipients, &self.store, |subject| census.is_present(subject));
        for (peer, facts) in told {
            self.transmit(&peer, &facts);
        }
    }

    fn transmit(&mut self, peer: &PublicKey, facts: &[Timed]) {
        let to = self.settings.address_hash.link_local(peer);
        for group in wire::pack(facts) {
            let nonce = self.nonce();
            if let Some(payload) = self.auth.tag(peer, nonce, &group) {
                self.outputs.push_back(Output::Transmit { to, payload });
            }
        }
    }
}
