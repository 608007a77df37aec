//! What is seen of a peer: its session, and its signs of life.

use std::net::SocketAddr;
use std::time::Duration;

use super::liveness::{FIRST_WORDS_FOR, FIRST_WORDS_PERIOD, Liveness, OURS_PERIOD, OURS_TTL, V1_PERIOD, V1_TTL};
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::boot::PROBES;

/// How old the last handshake of a session in use can be: rekey after 120 s, and time for it to be noticed and done
/// (rekey timeout 5 s, keepalive 10 s, retry jitter 1/3 s, one alive period 30 s; wirelink v1).
pub const HEALTH_LIMIT: Duration = Duration::from_millis(165_333);

/// How long a session can be used, and some time for the clocks of both sides (WireGuard paper, 6.1).
const SESSION_LIMIT: Duration = Duration::from_secs(185);

/// What is seen of a peer now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contact {
    /// Where WireGuard sends to.
    pub endpoint: Option<SocketAddr>,
    /// When the last handshake was completed.
    pub last_handshake: Option<Timestamp>,
    /// The last sign of life.
    pub liveness: Option<Liveness>,
    /// Whether the peer never gives one, because it runs no wirelink.
    pub basic: bool,
    /// The bytes that WireGuard took from it: without a session those of its initiations.
    pub heard_bytes: u64,
    /// Whether it routes for others.
    pub routes: bool,
    /// The longest packet that the WireGuard interface takes, where that is known.
    pub mtu: Option<u16>,
}

impl Contact {
    /// Returns whether WireGuard has a session with the peer.
    pub fn is_healthy(&self, now: Timestamp) -> bool {
        self.endpoint.is_some() && self.last_handshake.is_some_and(|at| now.since(at) < HEALTH_LIMIT)
    }

    /// Returns whether WireGuard may still take what comes in the last session (reject after time; paper, 6.1).
    pub(super) fn may_have_session(&self, now: Timestamp) -> bool {
        self.last_handshake.is_some_and(|at| now.since(at) <= SESSION_LIMIT)
    }

    /// Returns whether the peer was heard and that still counts.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.liveness.is_some_and(|liveness| liveness.is_alive(now))
    }

    /// Returns whether the peer answers heartbeats.
    pub fn beats(&self) -> bool {
        !self.basic && self.liveness.is_some_and(|liveness| liveness.boot_id().can(PROBES))
    }

    /// Returns whether the peer was heard, and runs wirelink v1.
    pub fn is_v1(&self) -> bool {
        !self.basic && self.liveness.is_some_and(|liveness| liveness.announcement().is_none())
    }

    /// Returns when one of the signals next ceases to count.
    pub(super) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let silence = self.liveness.map(|liveness| liveness.expires());
        let staleness = self.last_handshake.map(|at| at + HEALTH_LIMIT);
        silence.into_iter().chain(staleness).filter(|at| *at > now).min()
    }

    /// Both signals, the second fresh enough to move traffic.
    pub(super) fn is_confirmed(&self, now: Timestamp) -> bool {
        self.is_healthy(now) && (self.basic || self.liveness.is_some_and(|liveness| liveness.is_fresh(now)))
    }

    /// Returns whether the link stays up. The device of a v1 node goes on to send directly when its daemon ends, and when it runs
    /// without hearing us, for as long as there is a session; so does this side.
    pub(super) fn is_kept(&self, now: Timestamp) -> bool {
        self.is_healthy(now) && (self.basic || self.is_v1() || self.is_alive(now))
    }

    /// Returns how often the peer should be told that this node is alive, and how long that counts.
    pub fn alive_pace(&self, now: Timestamp) -> (Duration, Duration) {
        let new_session = self.last_handshake.is_some_and(|at| now.since(at) < FIRST_WORDS_FOR);
        match self.liveness {
            Some(heard) if heard.is_one_of_ours(now) => (OURS_PERIOD, OURS_TTL),
            _ if new_session && !self.basic && !self.is_alive(now) => (FIRST_WORDS_PERIOD, V1_TTL),
            Some(_) | None => (V1_PERIOD, V1_TTL),
        }
    }

    pub(super) fn dialect(&self) -> &'static str {
        match self.liveness {
            _ if self.basic => " (no wirelink there)",
            Some(liveness) if liveness.announcement().is_none() => " (wirelink v1)",
            Some(_) | None => "",
        }
    }
}
