//! Who reaches whom how: what echoes and devices tell, kept row by row.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use super::ping::Echo;
use super::world::Host;

/// The time to live of a packet that nobody passed on.
const FRESH: u8 = 64;

/// After how long without an answer there is no path.
const SILENCE: Duration = Duration::from_secs(2);

/// How many answers in a row prove a path.
const PROOF: usize = 3;

/// Over how many echoes the loss is counted.
const WINDOW: usize = 25;

/// How one machine reaches another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// Not at all.
    None,
    /// By way of the hub.
    ViaHub,
    /// With nobody in between.
    Direct,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::ViaHub => "via hub",
            Self::Direct => "direct",
        })
    }
}

/// All rows.
pub(super) struct Table(BTreeMap<(Host, Host), Row>);

/// One row.
pub(super) struct Row {
    /// How the answers come.
    pub path: Path,
    /// Since when.
    pub since: Instant,
    /// The last round trip time.
    pub rtt: Option<Duration>,
    owner: Option<Host>,
    last_answer: Instant,
    window: VecDeque<bool>,
}

impl Table {
    /// Starts with no path between anybody.
    pub(super) fn new(now: Instant) -> Self {
        Self(Host::PAIRS.into_iter().map(|pair| (pair, Row::new(now))).collect())
    }

    /// Returns the rows in the order to show.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Host, Host, &Row)> {
        Host::PAIRS
            .into_iter()
            .filter_map(|(from, to)| Some((from, to, self.0.get(&(from, to))?)))
    }

    /// Takes in what became of an echo; returns the path where it changed.
    pub(super) fn echo(&mut self, from: Host, to: Host, echo: Echo, now: Instant) -> Option<Path> {
        let row = self.0.get_mut(&(from, to))?;
        let before = row.path;
        row.echo(echo, now);
        (row.path != before).then_some(row.path)
    }

    /// Takes in which peer has the packets.
    pub(super) fn owner(&mut self, from: Host, to: Host, owner: Option<Host>) {
        if let Some(row) = self.0.get_mut(&(from, to)) {
            row.owner = owner;
        }
    }

    /// Tells whether everybody reaches the hub, and the leaves each other this way, by traffic and by device alike; since
    /// when.
    pub(super) fn leaves_meet(&self, path: Path) -> Option<Instant> {
        let proven = |row: &Row, path, owner| row.path == path && row.is_proven() && row.owner == Some(owner);
        let mut since = None;
        for (&(_, to), row) in &self.0 {
            let good = match (to, path) {
                (Host::Hub, _) => proven(row, Path::Direct, Host::Hub),
                (Host::LeafA | Host::LeafB, Path::Direct) => proven(row, path, to),
                (Host::LeafA | Host::LeafB, Path::ViaHub) => proven(row, path, Host::Hub),
                (Host::LeafA | Host::LeafB, Path::None) => row.path == path,
            };
            if !good {
                return None;
            }
            since = since.max(Some(row.since).filter(|_| to != Host::Hub));
        }
        since
    }
}

impl Row {
    fn new(now: Instant) -> Self {
        Self {
            path: Path::None,
            since: now,
            rtt: None,
            owner: None,
            last_answer: now,
            window: VecDeque::new(),
        }
    }

    /// Returns the loss in percent of the last echoes.
    pub(super) fn loss(&self) -> usize {
        let lost = self.window.iter().filter(|answered| !**answered).count();
        (lost * 100).checked_div(self.window.len()).unwrap_or(0)
    }

    fn echo(&mut self, echo: Echo, now: Instant) {
        self.window.push_back(matches!(echo, Echo::Answered { .. }));
        if self.window.len() > WINDOW {
            self.window.pop_front();
        }
        match echo {
            Echo::Answered { rtt, ttl } => {
                self.rtt = Some(rtt);
                self.last_answer = now;
                self.change(if ttl == FRESH { Path::Direct } else { Path::ViaHub }, now);
            }
            Echo::Lost if now.duration_since(self.last_answer) > SILENCE => {
                self.rtt = None;
                self.change(Path::None, now);
            }
            Echo::Lost => {}
        }
    }

    fn change(&mut self, path: Path, now: Instant) {
        if path != self.path {
            self.path = path;
            self.since = now;
            // What came by another path proves nothing about this one.
            let keep = usize::from(path != Path::None);
            self.window.drain(..self.window.len() - keep);
        }
    }

    fn is_proven(&self) -> bool {
        self.window.len() >= PROOF && self.window.iter().rev().take(PROOF).all(|answered| *answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(ttl: u8) -> Echo {
        let rtt = Duration::from_millis(20);
        Echo::Answered { rtt, ttl }
    }

    fn feed(table: &mut Table, ttl_between_leaves: u8, owner_is_hub: bool, times: usize, now: Instant) {
        for _ in 0..times {
            for (from, to) in Host::PAIRS {
                let ttl = if to == Host::Hub { FRESH } else { ttl_between_leaves };
                table.owner(from, to, Some(if owner_is_hub { Host::Hub } else { to }));
                table.echo(from, to, answered(ttl), now);
            }
        }
    }

    #[test]
    fn a_path_is_proven_by_traffic_and_device_together() {
        let now = Instant::now();
        let mut table = Table::new(now);
        feed(&mut table, 63, true, PROOF, now);
        assert_eq!(table.leaves_meet(Path::ViaHub), Some(now));
        feed(&mut table, 64, false, PROOF - 1, now + SILENCE);
        assert_eq!(table.leaves_meet(Path::Direct), None, "too few answers");
        feed(&mut table, 64, false, 1, now + SILENCE);
        assert_eq!(table.leaves_meet(Path::Direct), Some(now + SILENCE));
        table.owner(Host::LeafA, Host::LeafB, Some(Host::Hub));
        assert_eq!(table.leaves_meet(Path::Direct), None, "the device sends to the hub");
    }

    #[test]
    fn a_lost_answer_takes_the_proof_away_but_not_the_path() {
        let now = Instant::now();
        let mut table = Table::new(now);
        feed(&mut table, 64, false, PROOF, now);
        assert_eq!(table.echo(Host::LeafA, Host::LeafB, Echo::Lost, now), None);
        assert_eq!(table.leaves_meet(Path::Direct), None);
        feed(&mut table, 64, false, PROOF, now);
        assert!(table.leaves_meet(Path::Direct).is_some());
    }

    #[test]
    fn silence_is_no_path() {
        let now = Instant::now();
        let mut table = Table::new(now);
        feed(&mut table, 64, false, PROOF, now);
        let later = now + SILENCE + Duration::from_millis(1);
        assert_eq!(
            table.echo(Host::LeafA, Host::LeafB, Echo::Lost, later),
            Some(Path::None)
        );
    }

    #[test]
    fn loss_is_counted_over_the_last_echoes() {
        let now = Instant::now();
        let mut row = Row::new(now);
        assert_eq!(row.loss(), 0);
        row.echo(answered(64), now);
        (0..3).for_each(|_| row.echo(Echo::Lost, now));
        assert_eq!(row.loss(), 75);
        (0..WINDOW).for_each(|_| row.echo(answered(64), now));
        assert_eq!(row.loss(), 0);
    }
}
