//! From what is known to the datagrams that say it.

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::wire;
use crate::mesh::device::{DeviceState, PeerState};
use crate::mesh::node::Node;
use crate::mesh::share::gossip::{Audience, Recipient, Standing, Told};
use crate::mesh::show::event::Output;

impl Node {
    pub(super) fn recipients(&self, now: Timestamp, desired: &DeviceState) -> Vec<Recipient> {
        let reachable = desired.peers.iter().filter(|(_, peer)| peer.endpoint.is_some());
        reachable.map(|(key, peer)| self.recipient(now, key, peer)).collect()
    }

    /// Made anew for each peer with each pass, which is most of what a quiet pass with a thousand peers costs.
    fn recipient(&self, now: Timestamp, key: &PublicKey, peer: &PeerState) -> Recipient {
        let contact = self.contact_of(Some(peer), key);
        let (alive_period, alive_ttl) = contact.alive_pace(now);
        let standing = Standing {
            basic: contact.basic,
            trusted: self.trust.counts_for_more(key),
            router: contact.routes,
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
        let (census, trust, bans) = (&self.census, &self.trust, &self.bans);
        let told = self.gossip.due(
            now,
            recipients,
            &self.store,
            |subject| census.is_present(subject) || bans.said(subject).is_some(),
            |subject, origin| trust.is_hearsay(subject, origin),
        );
        told.iter().for_each(|told| self.transmit(told));
        self.nudge_after_news(now, &told);
        if let Some(device) = self.device.take() {
            self.send_nudges(now, &device);
            self.device = Some(device);
        }
    }

    pub(super) fn transmit(&mut self, told: &Told) {
        let to = self.settings.address_hash.link_local(&told.peer);
        let groups = if told.compact {
            wire::pack_compact(self.auth.public_key(), &told.facts)
        } else {
            wire::pack(&told.facts)
        };
        for group in groups {
            let payload = if told.compact {
                self.auth.tag_compact(&told.peer, &group)
            } else {
                let nonce = self.nonce();
                self.auth.tag(&told.peer, nonce, &group)
            };
            let Some(payload) = payload else { continue };
            self.note_sent(&told.peer, payload.len());
            let ports = self.ports.of(&told.peer);
            self.outputs.push_back(Output::Transmit { to, ports, payload });
        }
    }
}
