//! Why traffic to a peer does not go directly: one stable code for each cause, with what it means and what would change it.

use std::fmt;

/// The cause that counts most at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It does go directly.
    Direct,
    /// The peer routes for others, and there is no shorter way to it.
    Router,
    /// The operator paused it here.
    Paused,
    /// It works, and the other side did not say the same yet.
    AwaitsPeer,
    /// It works, and nobody says which prefixes the peer has.
    NoPrefix,
    /// It works, and what the peer claims is in somebody's way.
    PrefixRefused,
    /// It was up, and nothing comes back.
    Silent,
    /// It was up, and WireGuard has no handshake any more.
    NoHandshake,
    /// It works again, and failed so often lately that it is not trusted yet.
    Held,
    /// WireGuard is connected, and no wirelink was heard there.
    NoWirelink,
    /// WireGuard is connected, and nothing was heard in both directions yet.
    Confirming,
    /// What is sent as a probe from here never arrives anywhere.
    BlockedHere,
    /// What is sent as a probe from there never arrives anywhere.
    BlockedThere,
    /// Neither NAT shows a port at which the other side could be met.
    NatPair,
    /// Nobody says where it is.
    NoEndpoint,
    /// All that is known of it is in an address family that this machine lacks.
    NoFamily,
    /// A path answers probes, and WireGuard begins there.
    Handshaking,
    /// A path answers probes, and WireGuard gets no handshake there.
    HandshakeFails,
    /// This node has no raw socket: endpoints are tried one after the other.
    NoProbesHere,
    /// The peer announces no probes: endpoints are tried one after the other.
    NoProbesThere,
    /// It is looked for, since a moment ago.
    Searching,
    /// No endpoint answers.
    NoAnswer,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Direct,
        Self::Router,
        Self::Paused,
        Self::AwaitsPeer,
        Self::NoPrefix,
        Self::PrefixRefused,
        Self::Silent,
        Self::NoHandshake,
        Self::Held,
        Self::NoWirelink,
        Self::Confirming,
        Self::BlockedHere,
        Self::BlockedThere,
        Self::NatPair,
        Self::NoEndpoint,
        Self::NoFamily,
        Self::Handshaking,
        Self::HandshakeFails,
        Self::NoProbesHere,
        Self::NoProbesThere,
        Self::Searching,
        Self::NoAnswer,
    ];

    /// Returns the code, what it means, and what would have to change.
    const fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Direct => ("direct", "traffic goes directly", "nothing"),
            Self::Router => ("router", "it routes for others, and traffic goes to it", "nothing"),
            Self::Paused => (
                "paused",
                "paused here",
                "`wirelink set PEER --resume`, or a restart of wirelink",
            ),
            Self::AwaitsPeer => (
                "awaits-peer",
                "works, and the other side has not said so yet",
                "the other side must hear us, too: `wirelink explain` there; it may be paused there",
            ),
            Self::NoPrefix => (
                "no-prefix",
                "works, but nobody says which prefixes it has",
                "a router, or the settings, must name its allowed IPs; and whoever names them must be trusted",
            ),
            Self::PrefixRefused => (
                "prefix-refused",
                "works, but its prefixes are in the way of something",
                "`wirelink facts` names what is in the way; change that, or what the peer claims",
            ),
            Self::Silent => (
                "silent",
                "nothing comes back any more",
                "the path must carry packets again; it is asked all the time",
            ),
            Self::NoHandshake => (
                "no-handshake",
                "WireGuard gets no handshake any more",
                "the peer must be up, and have this node's key; it is tried all the time",
            ),
            Self::Held => (
                "held",
                "works again, but failed too often lately",
                "time: the more often a path failed in the last minute, the longer it must work first, a minute at most",
            ),
            Self::NoWirelink => (
                "no-wirelink",
                "WireGuard is connected, but no wirelink answers there",
                "wirelink must run there, on the same port for facts, and UDP to it be let in from the tunnel",
            ),
            Self::Confirming => ("confirming", "just connected, not confirmed yet", "a moment"),
            Self::BlockedHere => (
                "blocked-here",
                "what is not WireGuard is dropped on the way out of here",
                "a firewall here, or in front of this machine, must let UDP from WireGuard's port out whatever it holds",
            ),
            Self::BlockedThere => (
                "blocked-there",
                "what is not WireGuard is dropped on the way out of there",
                "a firewall there must let UDP from WireGuard's port out whatever it holds",
            ),
            Self::NatPair => (
                "nat-pair",
                "both NATs give each destination a port of its own",
                "one of the two sides needs a forwarded port, IPv6, or a NAT that keeps the port",
            ),
            Self::NoEndpoint => (
                "no-endpoint",
                "nobody says where it is",
                "the peer, or a router with a session to it, must run wirelink; or name its endpoint in the settings",
            ),
            Self::NoFamily => (
                "no-family",
                "it has only addresses of a family that this machine lacks",
                "both machines need IPv4, or both IPv6",
            ),
            Self::Handshaking => ("handshaking", "a path was found, WireGuard begins", "a moment"),
            Self::HandshakeFails => (
                "handshake-fails",
                "a path was found, but WireGuard gets no handshake there",
                "preshared keys must be the same on both sides; each must have the other as a peer",
            ),
            Self::NoProbesHere => (
                "no-probes-here",
                "no probes from here: endpoints are tried one by one",
                "CAP_NET_RAW for wirelink here, and `probe` not switched off; or patience",
            ),
            Self::NoProbesThere => (
                "no-probes-there",
                "no probes from there: endpoints are tried one by one",
                "a wirelink of this kind must run there, with CAP_NET_RAW; or patience",
            ),
            Self::Searching => ("searching", "looked for since a moment ago", "a moment"),
            Self::NoAnswer => (
                "no-answer",
                "no endpoint answers",
                "the firewall on either side must let UDP to WireGuard's port in, or both must let answers to what they sent in",
            ),
        }
    }

    /// Returns the code.
    pub const fn code(self) -> &'static str {
        self.row().0
    }

    /// Returns what would have to change, in a sentence.
    pub const fn remedy(self) -> &'static str {
        self.row().2
    }
}

impl fmt::Display for Reason {
    /// What it means, in a few words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_has_a_code_of_its_own_and_few_words() {
        let codes: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        let numbers = Reason::ALL.map(|reason| reason as usize);
        assert!(numbers.into_iter().eq(0..codes.len()), "none is left out");
        for reason in Reason::ALL {
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
            assert!(reason.code().bytes().all(is_plain), "{reason:?}");
            assert!(reason.to_string().len() <= 60, "{reason:?} is short enough for a table");
        }
    }
}
