//! What the operators tell wirelink, and what the DNS tells it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::lab::Lab;
use crate::scenario::{Hub, Name};
use crate::tunnel::PORT;

impl Lab {
    /// Returns the folder with the settings of a host.
    pub(crate) fn settings(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.settings"))
    }

    /// Writes what the operator of a host tells wirelink, if there is anything that it does not find out.
    pub(crate) fn write_settings(&self, name: Name) {
        let text = if !self.is_hub(name) {
            self.settings_of_leaf(name)
        } else {
            self.settings_of_hub(name)
        };
        if let Some(text) = text {
            let folder = self.settings(name);
            std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            let file = folder.join(format!("wirelink.{}.json", self.interface(name)));
            std::fs::write(&file, text.to_string()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }

    fn settings_of_hub(&self, hub: &str) -> Option<serde_json::Value> {
        // Each of several hubs has a router among its peers, and would take itself for a leaf.
        let router = (self.scenario.hubs.len() > 1).then_some(true);
        let is_first = self.scenario.hubs.first().is_some_and(|first| first.name == hub);
        let mut claimed: BTreeMap<Name, Vec<&str>> = BTreeMap::new();
        for claim in self.scenario.claims.iter().filter(|_| is_first) {
            claimed.entry(claim.of).or_default().push(claim.prefix);
        }
        let peer = |(name, prefixes)| serde_json::json!({ "PublicKey": self.public_key(name), "AllowedIPs": prefixes });
        let peers: Vec<_> = claimed.into_iter().map(peer).collect();
        let is_told = router.is_some() || !peers.is_empty();
        is_told.then(|| serde_json::json!({ "Router": router, "Peers": peers }))
    }

    /// Returns the DNS names of the hubs of a leaf that have one.
    fn settings_of_leaf(&self, leaf: &str) -> Option<serde_json::Value> {
        let by_name = |hub: &Name| self.scenario.hubs.iter().any(|of| of.name == *hub && of.by_dns_name);
        let peer = |hub: Name| {
            let endpoint = format!("{}:{PORT}", dns_name(hub));
            serde_json::json!({ "PublicKey": self.public_key(hub), "Endpoints": [endpoint] })
        };
        let peers: Vec<_> = self.hubs_of(leaf).into_iter().filter(by_name).map(peer).collect();
        (!peers.is_empty()).then(|| serde_json::json!({ "Peers": peers }))
    }

    /// Writes where the names of hubs lead, for every leaf.
    pub(crate) fn write_names(&self) {
        let named = self.scenario.hubs.iter().filter(|hub| hub.by_dns_name);
        let line = |hub: &Hub| format!("{} {}\n", self.network.public_address(hub.name), dns_name(hub.name));
        let lines: String = named.map(line).collect();
        if !lines.is_empty() {
            let leaves = self.leaves().into_iter();
            leaves.for_each(|leaf| self.namespace(leaf).write_hosts(&lines));
        }
    }
}

pub(crate) fn dns_name(hub: &str) -> String {
    format!("{hub}.wirelink.test")
}
