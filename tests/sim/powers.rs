//! What a member of each level can bring about on the device of a node that trusts it so far: the table of the documentation
//! (`mesh::believe::trust`), in a form that tests hold every change against.

use wirelink::mesh::base::settings::TrustLevel;
use wirelink::mesh::device::DeviceChange;

/// What the word of one level does.
#[derive(Debug)]
pub(crate) struct Power {
    /// The level.
    pub(crate) level: TrustLevel,
    /// Whether WireGuard tries endpoints that it names, of others that have no session.
    pub(crate) endpoints: bool,
    /// Whether prefixes move to peers for which it claims them.
    pub(crate) prefixes: bool,
    /// Whether strangers that it calls members become peers.
    pub(crate) peers: bool,
}

/// One row for each level.
pub(crate) const TABLE: [Power; 5] = [
    power(TrustLevel::Untrusted, false, false, false),
    power(TrustLevel::Endpoint, true, false, false),
    power(TrustLevel::AllowedIPs, true, true, false),
    power(TrustLevel::Membership, true, true, true),
    power(TrustLevel::DelegateTrust, true, true, true),
];

const fn power(level: TrustLevel, endpoints: bool, prefixes: bool, peers: bool) -> Power {
    Power {
        level,
        endpoints,
        prefixes,
        peers,
    }
}

impl Power {
    /// Returns the row of a level.
    pub(crate) fn of(level: TrustLevel) -> &'static Self {
        let row = TABLE.iter().find(|power| power.level == level);
        row.expect("there is a row for each level")
    }

    /// Returns whether a change that nothing honest led to may follow from its word.
    pub(crate) fn permits(&self, change: &DeviceChange) -> bool {
        match change {
            DeviceChange::AddPeer { allowed_ips, .. } => self.peers && (self.prefixes || allowed_ips.is_empty()),
            DeviceChange::RemovePeer { .. } => self.peers,
            DeviceChange::SetEndpoint { .. } | DeviceChange::MakeAgain { endpoint: Some(_), .. } => self.endpoints,
            // Only a stop does that.
            DeviceChange::MakeAgain { endpoint: None, .. } => false,
            DeviceChange::AddAllowedIp { .. } | DeviceChange::RemoveAllowedIp { .. } => self.prefixes,
        }
    }
}
