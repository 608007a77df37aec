//! Why traffic to a peer does not go directly: one stable code for each cause, with what it means and what would change it.

use std::fmt;

/// Makes the enum, the list of all that are in it, and their words of one table, so that none can be left out.
macro_rules! reasons {
    ($($(#[$doc:meta])+ $name:ident: $code:literal, $means:literal, $remedy:literal;)+) => {
        /// The cause that counts most at present.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])+ $name,)+
        }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns the code, what it means, and what would have to change.
            const fn row(self) -> (&'static str, &'static str, &'static str) {
                match self {
                    $(Self::$name => ($code, $means, $remedy),)+
                }
            }
        }
    };
}

reasons! {
    /// It does go directly.
    Direct: "direct", "traffic goes directly",
        "nothing";
    /// The peer routes for others, and there is no shorter way to it.
    Router: "router", "it routes for others, and traffic goes to it",
        "nothing";
    /// An operator banned it.
    Denied: "denied", "banned",
        "`wirelink set KEY --unban` where it was banned, or `Denied: false` for it in the settings here";
    /// The operator paused it here.
    Paused: "paused", "paused here",
        "`wirelink set PEER --resume`, or a restart of wirelink";
    /// It works, and the other side did not say the same yet.
    AwaitsPeer: "awaits-peer", "works, and the other side has not said so yet",
        "the other side must hear us, too: `wirelink explain` there; it may be paused there";
    /// It works, and nobody says which prefixes the peer has.
    NoPrefix: "no-prefix", "works, but nobody says which prefixes it has",
        "a router, or the settings, must name its allowed IPs; and whoever names them must be trusted";
    /// It works, and what the peer claims is in somebody's way.
    PrefixRefused: "prefix-refused", "works, but its prefixes are in the way of something",
        "`wirelink facts` names what is in the way; change that, or what the peer claims";
    /// It was up, and nothing comes back.
    Silent: "silent", "nothing comes back any more",
        "the path must carry packets again; it is asked all the time";
    /// It was up, and WireGuard has no handshake any more.
    NoHandshake: "no-handshake", "WireGuard gets no handshake any more",
        "the peer must be up, and have this node's key; it is tried all the time";
    /// It works again, and failed so often lately that it is not trusted yet.
    Held: "held", "works again, but failed too often lately",
        "time: the more often a path failed in the last minute, the longer it must work first, a minute at most";
    /// WireGuard is connected, and no wirelink was heard there.
    NoWirelink: "no-wirelink", "WireGuard is connected, but no wirelink answers there",
        "wirelink must run there, on the same port for facts, and UDP to it be let in from the tunnel";
    /// WireGuard is connected, and nothing was heard in both directions yet.
    Confirming: "confirming", "just connected, not confirmed yet",
        "a moment";
    /// What is sent as a probe from here never arrives anywhere.
    BlockedHere: "blocked-here", "what is not WireGuard is dropped on the way out of here",
        "a firewall here, or in front of this machine, must let UDP from WireGuard's port out whatever it holds";
    /// What is sent as a probe from there never arrives anywhere.
    BlockedThere: "blocked-there", "what is not WireGuard is dropped on the way out of there",
        "a firewall there must let UDP from WireGuard's port out whatever it holds";
    /// Neither NAT shows a port at which the other side could be met.
    NatPair: "nat-pair", "both NATs give each destination a port of its own",
        "one of the two sides needs a forwarded port, IPv6, or a NAT that keeps the port";
    /// Nobody says where it is.
    NoEndpoint: "no-endpoint", "nobody says where it is",
        "the peer, or a router with a session to it, must run wirelink; or name its endpoint in the settings";
    /// All that is known of it is in an address family that this machine lacks.
    NoFamily: "no-family", "it has only addresses of a family that this machine lacks",
        "both machines need IPv4, or both IPv6";
    /// All that is known of it would be sent through WireGuard itself.
    ThroughTunnel: "through-tunnel", "from here, its addresses lead into the tunnel",
        "WireGuard's own packets must leave past the tunnel: by a route to its address, or an `ip rule` for the `fwmark` of the interface";
    /// A path answers probes, and WireGuard begins there.
    Handshaking: "handshaking", "a path was found, WireGuard begins",
        "a moment";
    /// A path answers probes, and WireGuard gets no handshake there.
    HandshakeFails: "handshake-fails", "a path was found, but WireGuard gets no handshake there",
        "preshared keys must be the same on both sides; each must have the other as a peer";
    /// This node has no raw socket: endpoints are tried one after the other.
    NoProbesHere: "no-probes-here", "no probes from here: endpoints are tried one by one",
        "CAP_NET_RAW for wirelink here, and `probe` not switched off; or patience";
    /// The peer announces no probes: endpoints are tried one after the other.
    NoProbesThere: "no-probes-there", "no probes from there: endpoints are tried one by one",
        "a wirelink of this kind must run there, with CAP_NET_RAW; or patience";
    /// It is looked for, since a moment ago.
    Searching: "searching", "looked for since a moment ago",
        "a moment";
    /// No endpoint answers.
    NoAnswer: "no-answer", "no endpoint answers",
        "the firewall on either side must let UDP to WireGuard's port in, or both must let answers to what they sent in";
}

impl Reason {
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
        for reason in Reason::ALL {
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
            assert!(reason.code().bytes().all(is_plain), "{reason:?}");
            assert!(reason.to_string().len() <= 60, "{reason:?} is short enough for a table");
        }
    }
}
