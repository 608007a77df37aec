//! Experiments with WireGuard, as data: what is done, and what must be seen and what not.
//!
//! Each runs on the model and, in `tests/netns`, on real interfaces, and must come out the same. Real machines are slow at times, so an
//! experiment asks in which order things happen and leaves seconds on either side, not how long exactly they take.

pub(crate) mod model;
pub(crate) mod table;

use std::collections::BTreeMap;

/// The hosts of every experiment; none knows another at the beginning.
pub(crate) const HOSTS: usize = 3;
pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;
pub(crate) const C: usize = 2;

/// One experiment.
pub(crate) struct Experiment {
    /// What it shows.
    pub(crate) name: &'static str,
    /// What is done and seen, in order.
    pub(crate) steps: &'static [Step],
}

/// Something that is done, or looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// A host gets another one as its peer, with the address inside the tunnel, and where it is now.
    Introduce(usize, usize),
    /// A host loses a peer.
    Forget(usize, usize),
    /// A host is told that a peer is where it is now.
    Point(usize, usize),
    /// A host is told that a peer is where nobody is.
    Mislead(usize, usize),
    /// A host gets a persistent keepalive interval for a peer, in seconds.
    Keepalive(usize, usize, u16),
    /// A host gives, of all addresses inside the tunnel, that of the second to the third.
    Give(usize, usize, usize),
    /// A host sends another one a packet.
    Send(usize, usize),
    /// The same, from an address inside the tunnel that nobody has.
    Forge(usize, usize),
    /// A host gets another address on the wire.
    Move(usize),
    /// A host gets another port on the wire, as from a NAT that forgot it.
    Remap(usize),
    /// The wire loses everything.
    Cut,
    /// No longer.
    Heal,
    /// What is seen counts from here on.
    Mark,
    /// This must be seen in so many seconds.
    Within(f64, Seen),
    /// This must not be seen for so many seconds.
    Not(f64, Seen),
}

/// Something that can be seen from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seen {
    /// A host sent a peer anything.
    Sends(usize, usize),
    /// A host completed a handshake with a peer.
    Shakes(usize, usize),
    /// A host got so many packets.
    Gets(usize, usize),
    /// A host has a peer's endpoint where the peer is now.
    Follows(usize, usize),
}

/// What a host shows of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// How many bytes were sent to it.
    pub(crate) sent: u64,
    /// When the last handshake was completed, in any unit.
    pub(crate) handshake: u64,
    /// Whether its endpoint is where it is now.
    pub(crate) follows: bool,
}

/// Where experiments are made.
pub(crate) trait Bench {
    /// How much more patience it needs than a model.
    const PATIENCE: f64;

    /// Does something; looking and waiting are not among it.
    fn act(&mut self, step: Step);

    /// Lets time pass.
    fn pass(&mut self, seconds: f64);

    /// Looks at a peer.
    fn look(&mut self, at: usize, of: usize) -> Look;

    /// Returns how many packets a host got since the beginning.
    fn got(&mut self, host: usize) -> usize;
}

/// Makes an experiment, and fails where something is seen that must not be, or the other way round.
#[track_caller]
pub(crate) fn make<B: Bench>(bench: B, experiment: &Experiment) {
    let mut notes = Notes {
        bench,
        looks: BTreeMap::new(),
        got: [0; HOSTS],
    };
    for (number, step) in experiment.steps.iter().enumerate() {
        let came_true = notes.step(*step);
        assert!(came_true, "{}: step {number}, {step:?}", experiment.name);
    }
}

/// What was seen at the last [`Step::Mark`].
struct Notes<B> {
    bench: B,
    looks: BTreeMap<(usize, usize), Look>,
    got: [usize; HOSTS],
}

impl<B: Bench> Notes<B> {
    fn step(&mut self, step: Step) -> bool {
        match step {
            Step::Mark => self.mark(),
            Step::Within(limit, seen) => return self.comes(limit * B::PATIENCE, seen),
            Step::Not(time, seen) => {
                self.bench.pass(time);
                return !self.sees(seen);
            }
            Step::Introduce(..)
            | Step::Forget(..)
            | Step::Point(..)
            | Step::Mislead(..)
            | Step::Keepalive(..)
            | Step::Give(..)
            | Step::Send(..)
            | Step::Forge(..)
            | Step::Move(_)
            | Step::Remap(_)
            | Step::Cut
            | Step::Heal => self.bench.act(step),
        }
        true
    }

    fn mark(&mut self) {
        for at in 0..HOSTS {
            for of in 0..HOSTS {
                self.looks.insert((at, of), self.bench.look(at, of));
            }
            self.got[at] = self.bench.got(at);
        }
    }

    fn comes(&mut self, limit: f64, seen: Seen) -> bool {
        const STEP: f64 = 0.05;
        let times = (limit / STEP).ceil() as u32;
        (0..times).any(|_| {
            self.bench.pass(STEP);
            self.sees(seen)
        })
    }

    fn sees(&mut self, seen: Seen) -> bool {
        let before = |at, of| self.looks.get(&(at, of)).copied().unwrap_or_default();
        match seen {
            Seen::Sends(at, of) => self.bench.look(at, of).sent > before(at, of).sent,
            Seen::Shakes(at, of) => self.bench.look(at, of).handshake > before(at, of).handshake,
            Seen::Follows(at, of) => self.bench.look(at, of).follows,
            Seen::Gets(host, count) => self.bench.got(host) >= self.got[host] + count,
        }
    }
}
