//! The five timers of every peer, in one order.

use std::collections::BTreeSet;
use std::time::Duration;

use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::base::time::Timestamp;

/// A timer of a peer (`timers.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The initiation found no answer.
    RetransmitHandshake,
    /// Data came in, and nothing went out since.
    SendKeepalive,
    /// Data went out, and nothing came in since.
    NewHandshake,
    /// The keys are long dead.
    ZeroKeyMaterial,
    /// The operator wants something sent.
    PersistentKeepalive,
}

/// When the timers of one peer run out; the kernel's `timer_list`s.
pub(super) type Pending = [Option<Timestamp>; 5];

/// All timers of a device.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Timestamp, PublicKey, Timer)>);

impl Timers {
    /// Sets a timer, anew where it runs already (`mod_timer`).
    pub(super) fn set(&mut self, peer: PublicKey, pending: &mut Pending, timer: Timer, at: Timestamp) {
        self.stop(peer, pending, timer);
        pending[timer as usize] = Some(at);
        self.0.insert((at, peer, timer));
    }

    /// Stops a timer (`del_timer`).
    pub(super) fn stop(&mut self, peer: PublicKey, pending: &mut Pending, timer: Timer) {
        if let Some(at) = pending[timer as usize].take() {
            self.0.remove(&(at, peer, timer));
        }
    }

    /// Stops all timers of a peer.
    pub(super) fn stop_all(&mut self, peer: PublicKey, pending: &mut Pending) {
        for timer in ALL {
            self.stop(peer, pending, timer);
        }
    }

    /// Returns when the next timer runs out.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _, _)| *at)
    }

    /// Returns a timer that has run out by now. It still counts as pending until [`Timers::stop`].
    pub(super) fn due(&self, now: Timestamp) -> Option<(PublicKey, Timer)> {
        let (at, peer, timer) = self.0.first()?;
        (*at <= now).then_some((*peer, *timer))
    }

    /// Lets all timers run out later: the kernel's clock of timers stands still while the machine sleeps.
    pub(super) fn postpone(&mut self, by: Duration) {
        self.0 = self
            .0
            .iter()
            .map(|(at, peer, timer)| (*at + by, *peer, *timer))
            .collect();
    }
}

const ALL: [Timer; 5] = [
    Timer::RetransmitHandshake,
    Timer::SendKeepalive,
    Timer::NewHandshake,
    Timer::ZeroKeyMaterial,
    Timer::PersistentKeepalive,
];
