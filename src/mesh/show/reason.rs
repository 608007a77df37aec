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
    /// Traffic goes to the peer itself.
    Direct: "direct", "traffic goes directly",
        "none needed";
    /// The peer routes for others, and there is no shorter way to it.
    Router: "router", "this peer is a router, and it is reached",
        "none needed";
    /// The peer routes for others, was connected, and answers nothing any more.
    RouterSilent: "router-silent", "this router does not answer; traffic through it is lost",
        "check the router: power, uplink, WireGuard interface (`ip link`, `wg show`); then the uplink and the firewall of this machine";
    /// The router that leads to the peer is gone, and there is no direct link.
    BehindSilentRouter: "behind-silent-router", "no direct link, and the router to it does not answer",
        "bring the router back, and the peer is reached through it again; `wirelink explain` of the router says more";
    /// An operator banned it.
    Denied: "denied", "banned",
        "`wirelink set KEY --unban` where it was banned, or `Denied: false` for it in the settings here";
    /// The operator paused it here.
    Paused: "paused", "the direct link is paused on this node",
        "`wirelink set PEER --resume`, or restart wirelink on this node";
    /// The path works, and the other side did not say the same yet.
    AwaitsPeer: "awaits-peer", "the path works here, the peer has not confirmed it",
        "run `wirelink explain` on the peer: it must receive heartbeats of this node, and must not have the link paused";
    /// The path works, and nobody says which prefixes the peer has.
    NoPrefix: "no-prefix", "the path works, but no prefix of the peer is known",
        "give the peer its allowed IPs on a router or on this node; the node that names them needs the trust level AllowedIPs here";
    /// The path works, and the prefixes of the peer are in conflict with something.
    PrefixRefused: "prefix-refused", "the path works, but the prefixes of the peer are refused",
        "`wirelink facts PEER` names the conflict: change that address, route or setting, or the allowed IPs of the peer";
    /// The link was up, and the peer does not answer any more.
    Silent: "silent", "the peer stopped answering on the direct path",
        "check that the peer is online, and that no firewall, NAT or uplink in between has changed; probes go on, and the link returns by itself";
    /// The link was up, and WireGuard completes no handshake any more.
    NoHandshake: "no-handshake", "WireGuard completes no handshake with the peer any more",
        "check on the peer that the interface is up and has the public key of this node (`wg show`); WireGuard retries by itself";
    /// The path works again, and failed so often lately that it is not used yet.
    Held: "held", "the path works again, but failed repeatedly",
        "none needed: the more often a path failed in the last minute, the longer it must work before traffic returns to it, 60 s at most";
    /// WireGuard is connected, and no wirelink was heard there.
    NoWirelink: "no-wirelink", "WireGuard is connected, but wirelink does not answer there",
        "start wirelink on the peer, with the same port for facts, and let UDP to that port in from the tunnel there";
    /// WireGuard is connected, and nothing was heard in both directions yet.
    Confirming: "confirming", "WireGuard just connected; heartbeats test the path",
        "none needed: the test takes less than 10 s";
    /// Probes from this node never arrive anywhere.
    BlockedHere: "blocked-here", "a firewall here passes WireGuard, but no probes",
        "on this machine and its router, let outgoing UDP from WireGuard's port pass whatever it contains: something there inspects packets";
    /// Probes from the peer never arrive anywhere.
    BlockedThere: "blocked-there", "a firewall there passes WireGuard, but no probes",
        "on the peer and its router, let outgoing UDP from WireGuard's port pass whatever it contains: something there inspects packets";
    /// Neither NAT keeps a port at which the other side could be met.
    NatPair: "nat-pair", "both NATs give each destination another port",
        "on the router of one side, forward a UDP port to WireGuard's port, or have its NAT keep source ports (static port, full cone); or use IPv6 on both sides";
    /// The NAT of this node keeps no port at which it could be met, and the other side lets in only what it asked for.
    NatHere: "nat-here", "the NAT here gives each destination another port",
        "on the router here, have the NAT keep source ports (static port, full cone) or forward a UDP port to WireGuard's port; or let UDP to WireGuard's port in at the peer, by a forwarded port on its router or a rule of its firewall; or use IPv6 on both sides";
    /// The NAT of the peer keeps no port at which it could be met, and this side lets in only what it asked for.
    NatThere: "nat-there", "the NAT there gives each destination another port",
        "on the router of the peer, have the NAT keep source ports (static port, full cone) or forward a UDP port to WireGuard's port; or let UDP to WireGuard's port in here, by a forwarded port on the router or a rule of the firewall; or use IPv6 on both sides";
    /// No endpoint of the peer is known.
    NoEndpoint: "no-endpoint", "no endpoint of the peer is known",
        "run wirelink on the peer, or on a router that has a session with it; or set Endpoints for the peer in the settings";
    /// All known endpoints are of an address family that this machine lacks.
    NoFamily: "no-family", "this machine lacks the address family of its endpoints",
        "give both machines IPv4, or both IPv6";
    /// All that is known of it would be sent through WireGuard itself.
    ThroughTunnel: "through-tunnel", "from here, its addresses lead into the tunnel",
        "WireGuard's own packets must leave past the tunnel: by a route to its address, or an `ip rule` for the `fwmark` of the interface";
    /// A path answers probes, and WireGuard begins there.
    Handshaking: "handshaking", "a probe was answered; WireGuard's handshake follows",
        "none needed: a handshake takes less than 10 s";
    /// A path answers probes, and WireGuard gets no handshake there.
    HandshakeFails: "handshake-fails", "a path answers probes, but WireGuard's handshake fails",
        "compare `wg show` on both sides: each needs the public key of the other, and the preshared keys must be equal";
    /// This node has no raw socket: endpoints are tried one after the other.
    NoProbesHere: "no-probes-here", "this node cannot probe: it tries endpoints one by one",
        "give wirelink CAP_NET_RAW on this node (`wirelink doctor`), and do not switch probes off; without them each endpoint takes about 15 s";
    /// The peer announces no probes: endpoints are tried one after the other.
    NoProbesThere: "no-probes-there", "the peer cannot probe: endpoints are tried one by one",
        "run this version of wirelink on the peer, with CAP_NET_RAW; without probes each endpoint takes about 15 s";
    /// Probing began a few seconds ago.
    Searching: "searching", "probing began less than 5 s ago",
        "none needed yet: an answer usually takes less than 1 s";
    /// No endpoint answers.
    NoAnswer: "no-answer", "no endpoint of the peer answers",
        "check the firewalls of both machines and both routers: each must let UDP to WireGuard's port in, or at least replies to outgoing UDP from that port";
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
