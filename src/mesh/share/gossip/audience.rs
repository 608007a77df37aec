//! Who is told what, by how a peer stands to this node (wirelink v1).

/// What a peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everything that is meant for others.
    AllFacts,
    /// That this node is alive.
    AliveOnly,
}

/// How a peer stands to this node.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Whether it runs no wirelink.
    pub basic: bool,
    /// Whether its word goes at least as far as allowed IPs.
    pub trusted: bool,
    /// Whether it routes for others.
    pub router: bool,
    /// Whether the operator wants it to be told all.
    pub fact_exchanger: bool,
    /// Whether there is a live session.
    pub healthy: bool,
}

impl Audience {
    /// Returns what a peer is told, by a node that is `talkative` (a router, or chatty) or not (wirelink v1).
    pub fn of(peer: &Standing, talkative: bool) -> Self {
        let passes_on = peer.trusted || peer.router || peer.fact_exchanger;
        if !peer.basic && (passes_on || talkative && peer.healthy) {
            Self::AllFacts
        } else {
            Self::AliveOnly
        }
    }
}
