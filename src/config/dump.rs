//! Effective settings in the form of a configuration file.

use serde::Serialize;

use super::{Config, LogFormat};
use crate::mesh::base::identity::{AddressHash, PublicKey};
use crate::mesh::base::settings::{PeerSettings, Prune};

impl Config {
    /// Returns the settings as a configuration file in JSON, with every key; null where the node finds out itself. Read
    /// again, it gives the same settings.
    ///
    /// # Panics
    /// Never: text, numbers and booleans always have a form in JSON.
    pub fn to_json(&self) -> String {
        let settings = &self.settings;
        let form = Form {
            iface: &self.iface,
            port: settings.port,
            router: settings.router,
            chatty: settings.chatty,
            report_ifaces: settings.report_ifaces.iter().map(glob::Pattern::as_str).collect(),
            hide_ifaces: settings.hide_ifaces.iter().map(glob::Pattern::as_str).collect(),
            allow_prefixes: settings.allow_prefixes.as_deref().map(texts),
            debug: self.debug,
            log_format: self.log_format,
            wait: self.wait,
            address_hash: settings.address_hash,
            prune: settings.prune,
            leave_peers: settings.leave_peers,
            probe: self.probe,
            resolve_wg_quick: self.wg_quick.is_some(),
            port_prediction: settings.predicts_ports(),
            stun: texts(&settings.stun),
            metrics: texts(&self.metrics),
            peers: settings.peers.iter().map(PeerForm::new).collect(),
        };
        serde_json::to_string_pretty(&form).expect("text, numbers and booleans have a form in JSON")
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Form<'a> {
    iface: &'a str,
    port: Option<u16>,
    router: Option<bool>,
    chatty: bool,
    report_ifaces: Vec<&'a str>,
    hide_ifaces: Vec<&'a str>,
    allow_prefixes: Option<Vec<String>>,
    debug: bool,
    log_format: LogFormat,
    wait: bool,
    address_hash: AddressHash,
    prune: Prune,
    leave_peers: bool,
    probe: bool,
    resolve_wg_quick: bool,
    port_prediction: bool,
    stun: Vec<String>,
    metrics: Vec<String>,
    peers: Vec<PeerForm<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PeerForm<'a> {
    public_key: &'a PublicKey,
    name: Option<&'a str>,
    trust: Option<&'static str>,
    fact_exchanger: bool,
    endpoints: Vec<String>,
    #[serde(rename = "AllowedIPs")]
    allowed_ips: Vec<String>,
    basic: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    denied: Option<bool>,
}

impl<'a> PeerForm<'a> {
    fn new((public_key, peer): (&'a PublicKey, &'a PeerSettings)) -> Self {
        Self {
            public_key,
            name: peer.name.as_deref(),
            trust: peer.trust.map(|level| level.name()),
            fact_exchanger: peer.fact_exchanger,
            endpoints: texts(&peer.endpoints),
            allowed_ips: texts(&peer.allowed_ips),
            basic: peer.basic,
            denied: peer.denied,
        }
    }
}

fn texts<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}
