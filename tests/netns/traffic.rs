//! The way that traffic takes, told by the counters of WireGuard: bursts between all leaves at once, and a look at whose rise.

use std::collections::BTreeMap;

use crate::lab::Lab;
use crate::look::{Way, both_ways};
use crate::scenario::{Name, Path};

/// The echo requests of a burst, and their size: above all that facts amount to.
const BURST: (u64, u64) = (20, 1200);

/// What two bursts, one from either side, move in either direction at the least.
const MOVED: u64 = 2 * BURST.0 * BURST.1;

/// What all else may amount to meanwhile: facts, and the echo requests of those who watch.
const SLACK: u64 = MOVED / 4;

/// Sends bursts between all leaves that reach each other, or says by which peer they went instead of as is wanted.
pub(crate) fn expect(lab: &Lab, wanted: &[Way]) -> Result<(), String> {
    let before = counters(lab);
    std::thread::scope(|scope| {
        let reach = both_ways(wanted).filter(|(_, _, path)| *path != Path::Nothing);
        let bursts: Vec<_> = reach
            .map(|(from, to, _)| scope.spawn(move || burst(lab, from, to)))
            .collect();
        let ended = bursts
            .into_iter()
            .map(|burst| burst.join().expect("a burst does not panic"));
        ended.collect::<Result<Vec<()>, String>>()
    })?;
    let after = counters(lab);
    let moved = |at, of| volume(&after, at, of).since(volume(&before, at, of));
    both_ways(wanted).try_for_each(|(at, of, path)| {
        let bursts = u64::from(path == Path::Direct);
        expect_moved(moved(at, of), bursts).map_err(|why| format!("{at} by {of} itself: {why}"))
    })?;
    // Whom no way leads to, a liar, may say what it likes.
    let is_meant = |leaf: &Name| wanted.iter().any(|(one, other, _)| one == leaf || other == leaf);
    lab.leaves().into_iter().filter(is_meant).try_for_each(|leaf| {
        let hubs = lab.hubs().into_iter().map(|hub| moved(leaf, hub));
        let by_hub = |(one, other, path): &&Way| *path == Path::Hub && (*one == leaf || *other == leaf);
        let bursts = wanted.iter().filter(by_hub).count() as u64;
        expect_moved(hubs.fold(Volume::default(), Volume::plus), bursts).map_err(|why| format!("{leaf} by hubs: {why}"))
    })
}

fn burst(lab: &Lab, from: Name, to: Name) -> Result<(), String> {
    let ((count, size), address) = (BURST, lab.inner(to).v4);
    let line = format!("ping -n -q -c {count} -i 0.05 -s {size} -W 1 {address}");
    lab.namespace(from).attempt(&line).map(drop)
}

/// Compares what was moved with a number of bursts from either side; headers and padding come on top.
fn expect_moved(moved: Volume, bursts: u64) -> Result<(), String> {
    let (least, most) = (bursts * MOVED, bursts * MOVED * 9 / 8 + SLACK);
    let fits = |bytes| (least..most).contains(&bytes);
    let why = || format!("wanted {least} to {most} bytes, got {moved:?}");
    (fits(moved.sent) && fits(moved.received)).then_some(()).ok_or_else(why)
}

/// The counters of a peer, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Volume {
    sent: u64,
    received: u64,
}

impl Volume {
    fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            received: self.received + other.received,
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            sent: self.sent.saturating_sub(before.sent),
            received: self.received.saturating_sub(before.received),
        }
    }
}

/// The counters of all hosts, by where they were read and of whom.
type Counters = BTreeMap<(Name, Name), Volume>;

fn counters(lab: &Lab) -> Counters {
    let of_leaf = |leaf| {
        let peers = lab.device(leaf).map(|device| device.peers).unwrap_or_default();
        let names = lab.names().into_iter();
        let known = names.filter_map(move |name| Some((name, peers.get(lab.public_key(name))?.clone())));
        known.map(move |(name, peer)| {
            let (sent, received) = (peer.sent, peer.received);
            ((leaf, name), Volume { sent, received })
        })
    };
    lab.leaves().into_iter().flat_map(of_leaf).collect()
}

fn volume(counters: &Counters, at: Name, of: Name) -> Volume {
    counters.get(&(at, of)).copied().unwrap_or_default()
}
