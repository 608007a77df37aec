//! Other settings than before, while the node runs.

use crate::mesh::base::settings::{Host, PeerSettings, Settings};
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::value::{Metadata, Value};
use crate::mesh::believe::fact::{Fact, Origin};
use crate::mesh::node::Node;

impl Node {
    /// Follows other settings. What they do not concern stays as it is: peers, links and what is believed.
    pub(super) fn follow_settings(&mut self, now: Timestamp, settings: Settings) {
        self.trust.configure(&settings);
        self.protected.configure(&settings);
        self.places.replace_settings(&settings);
        self.probing.predict(settings.predicts_ports());
        let trust = &self.trust;
        self.store.doom(now, |fact, origin| match origin {
            Origin::Configured => !still_holds(&self.settings, &settings, fact),
            Origin::Peer(sender) => !trust.believes(&sender, fact),
            Origin::Observed | Origin::Remembered => false,
        });
        let banned = self.bans.configure(now, &settings);
        self.settings = settings;
        self.follow_verdicts(now, banned);
        self.roles.doubt();
        self.gossip.trust_changed();
        self.agenda.add_all();
        self.expect_news(now);
    }
}

/// Returns whether what the operator wrote is still written. Names, and the file of wg-quick, are asked elsewhere.
fn still_holds(before: &Settings, after: &Settings, fact: &Fact) -> bool {
    let after = after.peers.get(&fact.subject);
    match &fact.value {
        Value::Endpoint(endpoint) => {
            let host = Host::Address(*endpoint);
            let names = |peer: &PeerSettings| peer.endpoints.contains(&host);
            !before.peers.get(&fact.subject).is_some_and(names) || after.is_some_and(names)
        }
        Value::AllowedIp(prefix) => after.is_some_and(|peer| peer.allowed_ips.iter().any(|own| own.trunc() == *prefix)),
        Value::MemberMetadata(metadata) => {
            after.is_some_and(|peer| *metadata == Metadata::new(peer.name.as_deref(), peer.basic))
        }
        Value::Member
        | Value::Alive(_)
        | Value::Digest { .. }
        | Value::Holdings(_)
        | Value::Reset(_)
        | Value::Withdrawn(_)
        | Value::Probes(_)
        | Value::Signal(_)
        | Value::Heartbeat(_)
        | Value::Echo(_) => after.is_some(),
        // The bans themselves are asked: a verdict is not over because nothing is written any more.
        Value::Denied(_) => true,
    }
}
