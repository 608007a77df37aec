//! Where both sides probe: the path that answered is nominated, and one of the two has WireGuard send there (ICE, RFC 8445, 8.1.1).
//!
//! An answer shows that the other side has this node as a peer, and that its NAT is open for what comes. So the initiation that
//! follows is answered; but two that cross are both lost, so one side waits.

use std::net::SocketAddr;
use std::time::Duration;

use super::candidate::{Candidate, Class};
use super::slot::Turn;
use crate::mesh::time::Timestamp;

/// How long a handshake on a path that answered may take before it is begun anew: a packet was lost. WireGuard itself would wait 5 s.
const PATIENCE: Duration = Duration::from_millis(800);
/// How many round-trip times it may take where that is longer.
const ROUND_TRIPS: u32 = 4;
/// How much longer the side waits that yields before it begins by itself.
const YIELDS: Duration = Duration::from_millis(1500);
/// How often it is begun on one path, before that must answer again.
const ATTEMPTS: u32 = 4;
/// How much longer the round-trip time of a path of a better class may be: this, or a fifth.
const HYSTERESIS: Duration = Duration::from_millis(10);

/// A path that was found to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Where the peer answered.
    pub endpoint: SocketAddr,
    /// How long that took.
    pub round_trip: Duration,
    /// When it was heard.
    pub at: Timestamp,
}

/// What probes found out of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Whether both sides can probe.
    pub probed: bool,
    /// Whether nothing but luck helps: then WireGuard is not made to try, and probes do, ever more seldom.
    pub hopeless: bool,
    /// Whether a better path may be looked for while one works: not by a router, which has many to serve.
    pub may_improve: bool,
    /// The paths that were found to work lately.
    pub proofs: Vec<Proof>,
}

/// The path on which a handshake is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nominee {
    proof: Proof,
    class: Class,
    /// When the handshake is begun, the next time.
    begin_at: Timestamp,
    begun: u32,
    /// Whether it took the place of another one.
    replaced: bool,
}

impl Nominee {
    /// Returns the best path to begin with.
    fn of(now: Timestamp, reach: &Reach, candidates: &[Candidate], yields: bool) -> Option<Self> {
        let class = |proof: &Proof| Class::of(proof.endpoint, candidates);
        let best = reach
            .proofs
            .iter()
            .min_by_key(|proof| (class(proof), proof.round_trip))?;
        Some(Self {
            proof: *best,
            class: class(best),
            begin_at: now + if yields { YIELDS } else { Duration::ZERO },
            begun: 0,
            replaced: false,
        })
    }

    /// Returns whether another path should take its place: one of a better class, once, unless it is much slower.
    fn gives_way(&self, other: &Proof, class: Class) -> bool {
        !self.replaced && class < self.class && other.round_trip <= bound(self.proof.round_trip)
    }

    fn is_spent(&self, now: Timestamp) -> bool {
        self.begun >= ATTEMPTS && now >= self.begin_at
    }

    /// Returns when it is to be looked at again.
    pub(super) fn next(&self) -> Timestamp {
        self.begin_at
    }

    pub(super) fn endpoint(&self) -> SocketAddr {
        self.proof.endpoint
    }
}

/// Returns how long the round-trip time of a path of a better class may be at most.
pub(super) fn bound(round_trip: Duration) -> Duration {
    (round_trip * 6 / 5).max(round_trip + HYSTERESIS)
}

/// Moves a nomination on; returns what WireGuard should do. `is_tried` says whether WireGuard may have sent an initiation to the peer
/// lately, and has no session to lose: it sends none for 5 s, unless it forgets that.
pub(super) fn turn(
    nominee: &mut Option<Nominee>,
    now: Timestamp,
    reach: &Reach,
    candidates: &[Candidate],
    yields: bool,
    is_tried: bool,
) -> Turn {
    if let Some(spent) = nominee.filter(|nominee| nominee.is_spent(now)) {
        let is_news = reach.proofs.iter().any(|proof| proof.at >= spent.begin_at);
        *nominee = Nominee::of(now, reach, candidates, yields)
            .filter(|_| is_news)
            .or(Some(spent));
        if !is_news {
            return Turn::default();
        }
    }
    let Some(current) = nominee.or_else(|| Nominee::of(now, reach, candidates, yields)) else {
        return Turn::default();
    };
    let mut current = current;
    for proof in &reach.proofs {
        let class = Class::of(proof.endpoint, candidates);
        if current.gives_way(proof, class) {
            (current.proof, current.class, current.replaced) = (*proof, class, true);
        }
    }
    let begins = now >= current.begin_at;
    if begins {
        let patience = PATIENCE.max(current.proof.round_trip * ROUND_TRIPS);
        current.begin_at = now + patience + if yields { YIELDS } else { Duration::ZERO };
        current.begun += 1;
    }
    *nominee = Some(current);
    let is_set = current.begun > 0;
    Turn {
        endpoint: is_set.then_some(current.proof.endpoint),
        begins,
        afresh: begins && is_tried,
    }
}
