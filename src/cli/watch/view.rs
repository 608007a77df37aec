//! What is known, and where the reader looks.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::cli::status::name;
use crate::control::{Explanation, Peer, Status};
use crate::mesh::base::identity::PublicKey;

/// How many round-trip times of a peer are kept, one a second: as many as the widest screen shows.
pub(super) const KEPT: usize = 60;
/// How far the keys for pages go.
const PAGE: usize = 10;

/// What came of asking: the answers, or why there are none.
pub(super) type News = Result<(Status, Option<Explanation>), String>;

/// What the screen shows.
#[derive(Debug)]
pub(super) struct View {
    pub(super) has_colours: bool,
    /// What was answered last.
    pub(super) status: Option<Status>,
    /// Why that is not what is now.
    pub(super) away: Option<String>,
    /// The round-trip times of each peer, the last one last; none where there was no link.
    pub(super) courses: BTreeMap<PublicKey, VecDeque<Option<f64>>>,
    pub(super) order: Order,
    pub(super) reversed: bool,
    /// Who is looked at.
    pub(super) selected: Option<PublicKey>,
    pub(super) pane: Pane,
    /// How far the pane is scrolled.
    pub(super) scrolled: usize,
}

/// What lies over the table.
#[derive(Debug)]
pub(super) enum Pane {
    /// Nothing.
    None,
    /// Which keys there are.
    Help,
    /// Why the selected peer is reached as it is, as soon as that is known.
    Detail(Option<Box<Explanation>>),
}

/// By what peers are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Name,
    Path,
    RoundTrip,
    Seen,
    Traffic,
}

/// What follows from a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Stay,
    Leave,
    /// Have this peer explained, or none any more.
    Explain(Option<PublicKey>),
}

impl View {
    pub(super) fn new(has_colours: bool) -> Self {
        Self {
            has_colours,
            status: None,
            away: None,
            courses: BTreeMap::new(),
            order: Order::Name,
            reversed: false,
            selected: None,
            pane: Pane::None,
            scrolled: 0,
        }
    }

    /// Takes in what the daemon said, or that it does not.
    pub(super) fn take(&mut self, news: News) {
        let (status, explained) = match news {
            Ok(seen) => seen,
            Err(why) => return self.away = Some(why),
        };
        self.away = None;
        self.note_round_trips(&status);
        self.status = Some(status);
        if let (Pane::Detail(shown), Some(explained)) = (&mut self.pane, explained) {
            // One that was asked for before another peer was selected comes too late.
            if self.selected == Some(explained.peer.key) {
                *shown = Some(Box::new(explained));
            }
        }
        self.keep_selected();
    }

    fn note_round_trips(&mut self, status: &Status) {
        self.courses
            .retain(|key, _| status.peers.iter().any(|peer| peer.key == *key));
        for peer in &status.peers {
            let course = self.courses.entry(peer.key).or_default();
            if course.len() >= KEPT {
                course.pop_front();
            }
            course.push_back(round_trip(peer));
        }
    }

    /// Has somebody selected who is there.
    fn keep_selected(&mut self) {
        let peers = self.peers();
        let is_there = peers.iter().any(|peer| Some(peer.key) == self.selected);
        let first = peers.first().map(|peer| peer.key);
        if !is_there {
            self.selected = first;
        }
    }

    /// Returns the peers in the order of the screen.
    pub(super) fn peers(&self) -> Vec<&Peer> {
        let mut peers: Vec<&Peer> = self.status.iter().flat_map(|status| &status.peers).collect();
        // The daemon has them in the order of their names, which is left among equals.
        peers.sort_by(|one, other| self.order.compare(one, other));
        if self.reversed {
            peers.reverse();
        }
        peers
    }

    /// Returns the place of the selected peer among them.
    pub(super) fn place(&self, peers: &[&Peer]) -> usize {
        let found = peers.iter().position(|peer| Some(peer.key) == self.selected);
        found.unwrap_or_default()
    }

    /// Takes in a key.
    pub(super) fn press(&mut self, key: KeyEvent) -> Step {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if is_control => Step::Leave,
            KeyCode::Char('q') => Step::Leave,
            KeyCode::Esc => self.close(),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.help(),
            KeyCode::Enter => self.open(),
            KeyCode::Up | KeyCode::Char('k') => self.go(|place, _| place.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.go(|place, _| place + 1),
            KeyCode::Home | KeyCode::Char('g') => self.go(|_, _| 0),
            KeyCode::End | KeyCode::Char('G') => self.go(|_, last| last),
            KeyCode::PageUp => self.page(|place| place.saturating_sub(PAGE)),
            KeyCode::PageDown | KeyCode::Char(' ') => self.page(|place| place + PAGE),
            KeyCode::Char('s') => {
                self.order = self.order.next();
                Step::Stay
            }
            KeyCode::Char('r') => {
                self.reversed = !self.reversed;
                Step::Stay
            }
            _ => Step::Stay,
        }
    }

    /// Closes the pane, or the screen where there is none.
    fn close(&mut self) -> Step {
        match std::mem::replace(&mut self.pane, Pane::None) {
            Pane::None => Step::Leave,
            Pane::Help | Pane::Detail(_) => Step::Explain(None),
        }
    }

    fn help(&mut self) -> Step {
        self.scrolled = 0;
        self.pane = match self.pane {
            Pane::Help => Pane::None,
            Pane::None | Pane::Detail(_) => Pane::Help,
        };
        Step::Explain(None)
    }

    fn open(&mut self) -> Step {
        match (&self.pane, self.selected) {
            (Pane::Detail(_), _) => self.close(),
            (Pane::None | Pane::Help, None) => Step::Stay,
            (Pane::None | Pane::Help, Some(peer)) => {
                self.scrolled = 0;
                self.pane = Pane::Detail(None);
                Step::Explain(Some(peer))
            }
        }
    }

    /// Selects another peer, and explains that where one is explained.
    fn go(&mut self, to: impl Fn(usize, usize) -> usize) -> Step {
        let peers = self.peers();
        let Some(last) = peers.len().checked_sub(1) else {
            return Step::Stay;
        };
        let selected = peers[to(self.place(&peers), last).min(last)].key;
        let is_other = self.selected.replace(selected) != Some(selected);
        if !matches!(self.pane, Pane::Detail(_)) || !is_other {
            return Step::Stay;
        }
        self.scrolled = 0;
        self.pane = Pane::Detail(None);
        Step::Explain(Some(selected))
    }

    /// Goes on by a page: in the pane where there is one, else among the peers.
    fn page(&mut self, to: impl Fn(usize) -> usize) -> Step {
        match self.pane {
            Pane::None => self.go(|place, _| to(place)),
            Pane::Help | Pane::Detail(_) => {
                self.scrolled = to(self.scrolled);
                Step::Stay
            }
        }
    }
}

impl Order {
    const ALL: [Self; 5] = [Self::Name, Self::Path, Self::RoundTrip, Self::Seen, Self::Traffic];

    /// Returns the next of them, in a circle.
    fn next(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Path => "path",
            Self::RoundTrip => "round trip",
            Self::Seen => "seen",
            Self::Traffic => "traffic",
        }
    }

    fn compare(self, one: &Peer, other: &Peer) -> Ordering {
        match self {
            Self::Name => (one.name.is_none(), name(one)).cmp(&(other.name.is_none(), name(other))),
            // What is wrong comes first.
            Self::Path => other.path.cmp(&one.path),
            Self::RoundTrip => {
                let ms = |peer: &Peer| round_trip(peer).unwrap_or(f64::INFINITY);
                ms(other).total_cmp(&ms(one))
            }
            Self::Seen => {
                let age = |peer: &Peer| peer.handshake_seconds.unwrap_or(u64::MAX);
                age(one).cmp(&age(other))
            }
            Self::Traffic => {
                let bytes = |peer: &Peer| peer.received_bytes.saturating_add(peer.sent_bytes);
                bytes(other).cmp(&bytes(one))
            }
        }
    }
}

fn round_trip(peer: &Peer) -> Option<f64> {
    peer.quality?.round_trip_ms
}
