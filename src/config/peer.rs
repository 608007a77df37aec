//! From values to settings: the entries in `Peers`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::error::ConfigError;
use super::read::Node;
use crate::mesh::base::identity::{InvalidKey, PublicKey};
use crate::mesh::base::settings::{Host, InvalidHost, InvalidTrustLevel, PeerSettings, TrustLevel};

impl Node<'_> {
    /// Reads the list of peers, and returns sentences for the log: of two entries for one peer the later counts, as it does for v1.
    pub(super) fn peers(&self) -> Result<(BTreeMap<PublicKey, PeerSettings>, Vec<String>), ConfigError> {
        let mut peers = BTreeMap::new();
        let mut places = BTreeMap::new();
        let mut warnings = Vec::new();
        for node in self.items("not a list of peers, each of them a table with a PublicKey")? {
            let (key, place, peer) = node.peer()?;
            if let Some(first) = places.insert(key, place.clone()) {
                warnings.push(format!(
                    "{place}: the same peer as {first}, which does not count: write one entry a peer"
                ));
            }
            peers.insert(key, peer);
        }
        Ok((peers, warnings))
    }

    fn peer(&self) -> Result<(PublicKey, String, PeerSettings), ConfigError> {
        if self.value.as_dict().is_none() {
            return Err(self.wrong_kind("not a peer: a table with a PublicKey"));
        }
        let key = self
            .get("PublicKey")
            .ok_or_else(|| ConfigError::MissingPublicKey { place: self.place() })?;
        let public_key = key.public_key()?;
        let settings = PeerSettings {
            name: self.one("Name", Node::name)?.flatten(),
            trust: self.one("Trust", Node::trust)?.flatten(),
            fact_exchanger: self.one("FactExchanger", Node::boolean)?.unwrap_or_default(),
            endpoints: self.list("Endpoints", Node::endpoint)?,
            allowed_ips: self.list("AllowedIPs", Node::prefix)?,
            basic: self.one("Basic", Node::boolean)?.unwrap_or_default(),
            denied: self.one("Denied", Node::boolean)?,
        };
        Ok((public_key, key.place(), settings))
    }

    /// Reads a public key. A text that is none is not shown: it may be a private key in the wrong place.
    fn public_key(&self) -> Result<PublicKey, ConfigError> {
        let text = self.value.as_str().ok_or_else(|| self.wrong(InvalidKey))?;
        text.parse().map_err(|InvalidKey| ConfigError::Value {
            place: self.place(),
            found: "the text (not shown: it may be a secret)".to_owned(),
            expected: InvalidKey.to_string(),
        })
    }

    /// Reads a name to show, or nothing from an empty one. It comes to logs and terminals: nothing in it may steer them.
    fn name(&self) -> Result<Option<String>, ConfigError> {
        let expected = "not a name: text in one line, without control characters (a number needs quotes)";
        let steers = |c: char| {
            c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        self.parse(expected, |text| match text {
            "" => Ok(None),
            text if text.contains(steers) => Err(expected),
            text => Ok(Some(text.to_owned())),
        })
    }

    /// Reads a trust level, or nothing from an empty one.
    fn trust(&self) -> Result<Option<TrustLevel>, ConfigError> {
        self.parse(InvalidTrustLevel, |text| match text {
            "" => Ok(None),
            text => text.parse().map(Some),
        })
    }

    fn endpoint(&self) -> Result<Host, ConfigError> {
        self.parse(InvalidHost, str::parse)
    }

    /// Reads a prefix as `wg` does: without a length it is one address, and bits beyond the length do not count.
    pub(super) fn prefix(&self) -> Result<IpNet, ConfigError> {
        let expected = "not a prefix: an address with or without a length, such as 10.0.0.0/24, 10.0.0.7 or fd00::/64";
        self.parse(expected, |text| {
            let net = text
                .parse::<IpNet>()
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            net.map(|net| net.trunc()).map_err(|_| expected)
        })
    }
}
