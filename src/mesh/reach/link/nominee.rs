//! Where both sides probe: the path that answered is nominated, and one of the two has WireGuard send there (ICE, RFC 8445, 8.1.1).
//!
//! An answer shows that the other side has this node as a peer, and that its NAT is open for what comes. So the initiation that
//! follows is answered; but two that cross are both lost, so one side waits.

use std::net::SocketAddr;
use std::time::Duration;

use super::candidate::{Candidate, Class};
use super::slot::Turn;
use crate::mesh::base::time::Timestamp;

/// How long a handshake on a path that answered may take before it is begun anew: a packet was lost. WireGuard itself would wait 5 s.
const PATIENCE: Duration = Duration::from_millis(800);
/// How many round-trip times it may take where that is longer.
const ROUND_TRIPS: u32 = 4;
/// How much longer the side waits that yields before it begins by itself.
const YIELDS: Duration = Duration::from_millis(1500);
/// How often it is begun on one path, before that must answer again.
const ATTEMPTS: u32 = 4;
/// For how long a path on which that led to nothing comes after others: what lets probes pass need not let WireGuard pass.
const FAILED_FOR: Duration = Duration::from_secs(60);
/// The most of them that are kept.
const MAX_FAILED: usize = 16;
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
#[derive(Clone, Debug)]
pub(super) struct Nominee {
    proof: Proof,
    class: Class,
    /// When the handshake is begun, the next time.
    begin_at: Timestamp,
    begun: u32,
    /// Whether it took the place of another one.
    replaced: bool,
    failed: Failed,
}

/// The paths on which no handshake came about lately, and when.
#[derive(Clone, Debug, Default)]
struct Failed(Vec<(SocketAddr, Timestamp)>);

impl Failed {
    /// Returns when a path failed, if it did.
    fn at(&self, endpoint: SocketAddr) -> Option<Timestamp> {
        let failed = self.0.iter().find(|(failed, _)| *failed == endpoint);
        failed.map(|(_, at)| *at)
    }

    fn note(&mut self, now: Timestamp, endpoint: SocketAddr) {
        self.0
            .retain(|(failed, at)| *failed != endpoint && now.since(*at) < FAILED_FOR);
        if self.0.len() >= MAX_FAILED {
            self.0.remove(0);
        }
        self.0.push((endpoint, now));
    }
}

impl Nominee {
    /// Returns the best path to begin with: of those that failed the one that did so first, and before them the others.
    fn of(now: Timestamp, reach: &Reach, candidates: &[Candidate], yields: bool, failed: Failed) -> Option<Self> {
        let class = |proof: &Proof| Class::of(proof.endpoint, candidates);
        let best = reach
            .proofs
            .iter()
            .min_by_key(|proof| (failed.at(proof.endpoint), class(proof), proof.round_trip))?;
        Some(Self {
            proof: *best,
            class: class(best),
            begin_at: now + if yields { YIELDS } else { Duration::ZERO },
            begun: 0,
            replaced: false,
            failed,
        })
    }

    /// Returns the path to go on with after this one, on which no handshake came about: another one at once, one that failed too when
    /// any has answered since.
    fn next_path(&self, now: Timestamp, reach: &Reach, candidates: &[Candidate], yields: bool) -> Option<Self> {
        let mut failed = self.failed.clone();
        failed.note(now, self.endpoint());
        let has_answered = reach.proofs.iter().any(|proof| proof.at >= self.begin_at);
        let next = Self::of(now, reach, candidates, yields, failed)?;
        let is_other = next.failed.at(next.endpoint()).is_none();
        (is_other || has_answered).then_some(next)
    }

    /// Returns whether another path should take its place: one of a better class, once, unless it is much slower or failed.
    fn gives_way(&self, other: &Proof, class: Class) -> bool {
        let is_better = class < self.class && other.round_trip <= bound(self.proof.round_trip);
        is_better && !self.replaced && self.failed.at(other.endpoint).is_none()
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
    if let Some(spent) = nominee.as_ref().filter(|nominee| nominee.is_spent(now)) {
        let Some(next) = spent.next_path(now, reach, candidates, yields) else {
            return Turn::default();
        };
        *nominee = Some(next);
    }
    let first = || Nominee::of(now, reach, candidates, yields, Failed::default());
    let Some(mut current) = nominee.take().or_else(first) else {
        return Turn::default();
    };
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
    let is_set = current.begun > 0;
    let endpoint = is_set.then_some(current.endpoint());
    *nominee = Some(current);
    Turn {
        endpoint,
        begins,
        afresh: begins && is_tried,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::reach::link::candidate::{Collector, Kind};

    const V6: &str = "[2001:db8::9]:51820";
    const V4: &str = "203.0.113.9:51820";

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(100_000 + milliseconds))
    }

    /// Returns where handshakes are begun from moment to moment, on paths that all answer probes each second.
    fn begun(paths: &[&str], seconds: u64) -> Vec<(u64, String)> {
        let mut collector = Collector::new(&[]);
        let places: Vec<SocketAddr> = paths.iter().map(|path| path.parse().unwrap()).collect();
        places.iter().for_each(|place| collector.add(*place, Kind::Reflexive));
        let candidates = collector.finish();
        let (mut nominee, mut begun) = (None, Vec::new());
        for now in (0..seconds * 1000).step_by(50) {
            let proof = |endpoint: &SocketAddr| Proof {
                endpoint: *endpoint,
                round_trip: Duration::from_millis(20),
                at: at(now / 1000 * 1000),
            };
            let reach = Reach {
                probed: true,
                proofs: places.iter().map(proof).collect(),
                ..Reach::default()
            };
            let turn = turn(&mut nominee, at(now), &reach, &candidates, false, false);
            begun.extend(turn.endpoint.filter(|_| turn.begins).map(|to| (now, to.to_string())));
        }
        begun
    }

    #[test]
    fn a_path_on_which_no_handshake_comes_about_leaves_the_next_minute_to_others() {
        let begun = begun(&[V6, V4], 70);
        let of = |path: &str| -> Vec<u64> { begun.iter().filter(|(_, to)| to == path).map(|(now, _)| *now).collect() };
        let (v6, v4) = (of(V6), of(V4));
        let attempts = ATTEMPTS as usize;
        assert_eq!(v6[..attempts], [0, 800, 1600, 2400], "the better one first");
        assert_eq!(v4[0], 3200, "{begun:?}");
        assert!(v4[..attempts].iter().all(|now| *now < 6000), "{v4:?}");
        let again = v6[attempts];
        let other = v4.iter().filter(|now| **now < again).count();
        assert!(other >= attempts, "{begun:?}");
        assert!(v6.iter().any(|now| *now > 60_000), "and has its turn again: {v6:?}");
    }

    #[test]
    fn the_only_path_is_tried_again_when_it_has_answered_again() {
        let begun = begun(&[V6], 20);
        assert!(begun.len() >= 16, "{begun:?}");
    }
}
