//! Which port a NAT that gives them in a row gave to what was sent to a peer: one between those that it gave before and after.
//!
//! A NAT that maps each destination to a port of its own shows nobody the port that the peer would need. But a router can say which
//! port a datagram got that left just before the first probe to the peer, and which one just after: what the peer should probe is
//! between the two. Each such [look](super::wire::Kind::Look) leaves from another port, as only that makes the NAT give one anew.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::signal::Ports;

/// The most ports that a peer is asked to probe at once: with more between the two, the NAT gives them at random, or is too busy.
pub const MAX_PORTS: u8 = 64;
/// How many looks there are before and after: one may be lost.
pub(super) const LOOKS: usize = 2;
/// After how long without a probe to the peer the NAT may have forgotten the port (RFC 4787, 4.3, REQ-5 allows no less than two minutes,
/// Linux forgets what was not answered after 30 s).
const KEPT_FOR: Duration = Duration::from_secs(25);
/// How long after the looks before it, and what they are about, those after it leave: WireGuard takes its time.
const AFTER: Duration = Duration::from_millis(80);
/// The most places of one peer for which there are forecasts.
pub(super) const MAX_FORECASTS: usize = 4;
/// The most flows that prediction opens, over all peers, in [`SPAN`].
const MAX_FLOWS: u32 = 256;
pub(super) const SPAN: Duration = Duration::from_secs(600);

/// When a look left: before the probes to the peer, or after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

/// What is known of the port that is for one place of a peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forecast {
    pub(super) place: SocketAddr,
    /// When something was sent there last, as far as is known.
    kept_at: Timestamp,
    /// When the looks after it are due, until they are sent.
    pub(super) after_at: Option<Timestamp>,
    below: Option<SocketAddrV4>,
    above: Option<SocketAddrV4>,
}

impl Forecast {
    /// Begins before anything is sent there.
    pub(super) fn new(now: Timestamp, place: SocketAddr) -> Self {
        Self {
            place,
            kept_at: now,
            after_at: Some(now + AFTER),
            below: None,
            above: None,
        }
    }

    /// Returns whether the NAT may have forgotten what this is about.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.kept_at) > KEPT_FOR
    }

    /// Takes in that something is sent there, which keeps it.
    pub(super) fn keep(&mut self, now: Timestamp) {
        self.kept_at = now;
    }

    /// Returns whether the looks after it are due, and counts on them.
    pub(super) fn take_after(&mut self, now: Timestamp) -> bool {
        self.after_at.take_if(|at| *at <= now).is_some()
    }

    /// Returns whether the NAT gave ports so far apart that they are at random, or it is too busy.
    pub(super) fn is_random(&self) -> bool {
        let both = self.below.zip(self.above);
        both.is_some_and(|(below, above)| {
            let apart = above.port().checked_sub(below.port());
            apart.is_none_or(|apart| apart > u16::from(MAX_PORTS) + 1)
        })
    }

    /// Takes in which port a look got; returns whether that makes the [`ports`](Self::ports) known.
    pub(super) fn note(&mut self, side: Side, seen: SocketAddr) -> bool {
        let SocketAddr::V4(seen) = seen else { return false };
        let was_known = self.ports().is_some();
        match side {
            Side::Before => self.below = self.below.max(Some(seen)),
            Side::After => self.above = Some(self.above.map_or(seen, |above| above.min(seen))),
        }
        !was_known && self.ports().is_some()
    }

    /// Returns the ports that the NAT may have given to what was sent to the peer, if they are few.
    pub(super) fn ports(&self) -> Option<Ports> {
        let (below, above) = self.below.zip(self.above)?;
        let between = above.port().checked_sub(below.port())?.checked_sub(1)?;
        let count = u8::try_from(between)
            .ok()
            .filter(|count| (1..=MAX_PORTS).contains(count))?;
        (below.ip() == above.ip()).then_some(Ports {
            address: *below.ip(),
            first: below.port() + 1,
            count,
        })
    }
}

/// Returns the places that ports name, at most [`MAX_PORTS`].
pub(super) fn places(ports: Ports) -> impl Iterator<Item = SocketAddr> {
    let address: Ipv4Addr = ports.address;
    let offsets = 0..u16::from(ports.count.min(MAX_PORTS));
    offsets
        .filter_map(move |offset| ports.first.checked_add(offset))
        .map(move |port| SocketAddr::from((address, port)))
}

/// How many flows prediction opened lately, for which peer: NATs have no room for all that could be tried. A peer has at most half of
/// the room that the others leave, so that there is always some for one more.
#[derive(Debug, Default)]
pub(super) struct Flows(VecDeque<(Timestamp, PublicKey, u32)>);

impl Flows {
    /// Takes so many for a peer, if there is room for them.
    pub(super) fn take(&mut self, now: Timestamp, peer: &PublicKey, flows: u32) -> bool {
        self.0.retain(|(at, ..)| now.since(*at) < SPAN);
        let spent = |is_counted: fn(&PublicKey, &PublicKey) -> bool| -> u32 {
            let counted = self.0.iter().filter(|(_, of, _)| is_counted(of, peer));
            counted.map(|(.., flows)| flows).sum()
        };
        let room = MAX_FLOWS.saturating_sub(spent(|of, peer| of != peer)) / 2;
        let has_room = flows > 0 && spent(|of, peer| of == peer) + flows <= room;
        if has_room {
            self.0.push_back((now, *peer, flows));
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(1000 + seconds))
    }

    fn seen(port: u16) -> SocketAddr {
        ([203, 0, 113, 1], port).into()
    }

    #[test]
    fn the_port_is_between_those_that_were_given_before_and_after() {
        let mut forecast = Forecast::new(at(0), seen(1));
        assert!(!forecast.note(Side::Before, seen(4000)));
        assert!(!forecast.note(Side::Before, seen(4001)));
        assert!(forecast.note(Side::After, seen(4009)));
        assert!(!forecast.note(Side::After, seen(4008)), "it is known");
        let ports = forecast.ports().unwrap();
        let expected: Vec<SocketAddr> = (4002..4008).map(seen).collect();
        assert_eq!(places(ports).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn ports_at_random_and_a_nat_that_keeps_one_show_nothing() {
        for (below, above) in [(4000, 4001), (4000, 4066), (4000, 3990), (4000, 60_000)] {
            let mut forecast = Forecast::new(at(0), seen(1));
            forecast.note(Side::Before, seen(below));
            assert!(!forecast.note(Side::After, seen(above)), "{below}, {above}");
            assert_eq!(forecast.is_random(), above != 4001);
        }
        let mut forecast = Forecast::new(at(0), seen(1));
        forecast.note(Side::Before, seen(4000));
        assert!(
            !forecast.note(Side::After, ([203, 0, 113, 2], 4003).into()),
            "two addresses"
        );
        assert!(!forecast.note(Side::After, "[2001:db8::1]:4003".parse().unwrap()));
    }

    #[test]
    fn what_is_named_stays_within_bounds() {
        let ports = |first, count| Ports {
            address: [203, 0, 113, 1].into(),
            first,
            count,
        };
        assert_eq!(places(ports(1, u8::MAX)).count(), usize::from(MAX_PORTS));
        assert_eq!(places(ports(u16::MAX, 64)).count(), 1);
        assert_eq!(places(ports(5, 0)).count(), 0);
    }

    #[test]
    fn so_many_flows_in_ten_minutes_and_no_more() {
        let peer = |number| PublicKey::from_bytes([number; 32]);
        let mut flows = Flows::default();
        assert!((0..2).all(|minute| flows.take(at(minute * 60), &peer(1), 64)));
        assert!(!flows.take(at(599), &peer(1), 1), "half of all are for others");
        assert!(!flows.take(at(600), &peer(1), 65), "only the first are forgotten");
        assert!(flows.take(at(600), &peer(1), 64));
        assert!(!flows.take(at(9000), &peer(1), 0));
    }

    #[test]
    fn peers_that_use_up_their_flows_leave_some_for_one_more() {
        let peer = |number| PublicKey::from_bytes([number; 32]);
        let mut flows = Flows::default();
        for liar in 0..3 {
            (0..1000).for_each(|_| {
                let _ = flows.take(at(0), &peer(liar), 1);
            });
        }
        let honest = 2 * LOOKS as u32;
        assert!(flows.take(at(1), &peer(9), honest) && flows.take(at(1), &peer(9), honest));
        let total: u32 = flows.0.iter().map(|(.., flows)| flows).sum();
        assert!(total <= MAX_FLOWS, "{total}");
    }

    #[test]
    fn it_is_over_when_the_nat_may_have_forgotten() {
        let mut forecast = Forecast::new(at(0), seen(1));
        assert!(!forecast.is_over(at(20)));
        forecast.keep(at(20));
        assert!(!forecast.is_over(at(40)), "something was sent in between");
        assert!(forecast.is_over(at(46)));
        assert!(!forecast.take_after(at(0)));
        assert!(forecast.take_after(at(1)) && !forecast.take_after(at(1)), "once");
    }
}
