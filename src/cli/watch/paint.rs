//! From what is known to what the screen shows: a function of the view and the size, and of nothing else.

use std::collections::VecDeque;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::Line;
use ratatui::widgets::{
    Block, Borders, Cell, Clear, Paragraph, Row, StatefulWidget, Table, TableState, Widget as _, Wrap,
};

use super::view::{Pane, View};
use crate::cli::explain::words;
use crate::cli::status::{headline, name, path};
use crate::cli::table::{Lines, Mood};
use crate::cli::{humane, status};
use crate::control::Peer;

/// From which width on there is room for the reasons.
const WIDE: u16 = 110;
/// How many columns the round-trip times of the last seconds take.
const COURSE: usize = 12;
/// From low to high.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

const HELP: &str = "\
Up Down  k j        the peer before, the next one
PgUp PgDn  Space    ten at a time; with a pane open, in the pane
Home End  g G       the first peer, the last one
Enter               why the peer is reached as it is; again, and the pane closes
s                   sort by name, path, round trip, seen, traffic
r                   the other way round
?                   this
Esc                 close the pane, or leave
q  Ctrl-C           leave

LATELY shows the round-trip times of the last seconds, each peer by its own
scale: the highest bar is its longest time, a dot a second without one.";

/// Paints the whole screen.
pub(super) fn paint(view: &View, area: Rect, buffer: &mut Buffer) {
    let [head, middle, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(3), Constraint::Length(1)]).areas(area);
    paint_head(view, head, buffer);
    match &view.pane {
        Pane::None => paint_peers(view, middle, buffer),
        Pane::Help => {
            paint_peers(view, middle, buffer);
            paint_pane("keys", HELP, view, below(middle, 15), buffer);
        }
        Pane::Detail(explained) => {
            let pane = below(middle, middle.height * 3 / 5);
            let text = explained.as_ref().map_or_else(
                || "asking the daemon".to_owned(),
                |explained| {
                    words(explained, |headline| {
                        Lines::plain(headline, pane.width.saturating_sub(2))
                    })
                },
            );
            let table = Rect {
                height: middle.height - pane.height,
                ..middle
            };
            paint_peers(view, table, buffer);
            paint_pane("explain", &text, view, pane, buffer);
        }
    }
    paint_foot(view, foot, buffer);
}

/// Returns the lower part of an area, so high where there is room.
fn below(area: Rect, height: u16) -> Rect {
    let height = height.min(area.height);
    Rect {
        y: area.bottom() - height,
        height,
        ..area
    }
}

fn paint_head(view: &View, area: Rect, buffer: &mut Buffer) {
    let Some(status) = &view.status else { return };
    let said = headline(&status.node);
    let first = said.lines().next().unwrap_or_default().to_owned();
    let state = match &view.away {
        Some(why) => {
            Line::from(format!("the daemon is away; shown is what it said last. {why}")).style(view.mood(Mood::Bad))
        }
        None => Line::from(counted(&status.peers)),
    };
    Paragraph::new(vec![Line::from(first).bold(), state]).render(area, buffer);
}

/// Returns how many peers are reached how.
fn counted(peers: &[Peer]) -> String {
    let count = |wanted| peers.iter().filter(|peer| peer.path == wanted).count();
    use crate::control::Path::{Direct, Down, Via};
    format!(
        "{} peers: {} direct, {} through a router, {} down",
        peers.len(),
        count(Direct),
        count(Via),
        count(Down)
    )
}

fn paint_peers(view: &View, area: Rect, buffer: &mut Buffer) {
    let peers = view.peers();
    if peers.is_empty() {
        return Paragraph::new("no peers").render(area, buffer);
    }
    let is_wide = area.width >= WIDE;
    let mut titles = vec!["PEER", "PATH", "RTT", "LATELY", "SEEN", "IN/OUT"];
    let mut widths = vec![
        Constraint::Min(12),
        Constraint::Length(13),
        Constraint::Length(7),
        Constraint::Length(COURSE as u16),
        Constraint::Length(10),
        Constraint::Length(16),
    ];
    if is_wide {
        titles.extend(["LOSS", "WHY NOT DIRECT"]);
        widths[0] = Constraint::Length(20);
        widths.extend([Constraint::Length(5), Constraint::Min(20)]);
    }
    let place = view.place(&peers);
    let rows = usize::from(area.height.saturating_sub(1));
    let from = first_row(place, rows, peers.len());
    let shown = peers[from..].iter().take(rows);
    let table = Table::new(shown.map(|peer| row(view, peer, is_wide)), widths)
        .header(Row::new(titles).bold())
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(place - from);
    StatefulWidget::render(table, area, buffer, &mut state);
}

/// Returns the first row to show, with the selected one in the middle where there is something on both sides.
fn first_row(selected: usize, rows: usize, all: usize) -> usize {
    selected.saturating_sub(rows / 2).min(all.saturating_sub(rows))
}

fn row<'a>(view: &View, peer: &'a Peer, is_wide: bool) -> Row<'a> {
    let (way, mood) = path(peer);
    let seen = peer.handshake_seconds.map_or("never".to_owned(), humane::time);
    let course = view.courses.get(&peer.key).map(spark).unwrap_or_default();
    let traffic = format!(
        "{}/{}",
        humane::bytes(peer.received_bytes),
        humane::bytes(peer.sent_bytes)
    );
    let mut cells = vec![
        Cell::from(name(peer)),
        Cell::from(way).style(view.mood(mood)),
        Cell::from(status::round_trip(peer)),
        Cell::from(course),
        Cell::from(seen),
        Cell::from(traffic),
    ];
    if is_wide {
        cells.extend([Cell::from(status::loss(peer)), Cell::from(why_not(peer))]);
    }
    Row::new(cells)
}

fn why_not(peer: &Peer) -> &str {
    if peer.path == crate::control::Path::Direct {
        ""
    } else {
        &peer.reason_text
    }
}

/// Returns the last round-trip times as bars, the highest for the longest of them.
fn spark(course: &VecDeque<Option<f64>>) -> String {
    let lately = course.iter().skip(course.len().saturating_sub(COURSE));
    let highest = lately.clone().flatten().copied().fold(0.0, f64::max);
    lately
        .map(|time| match time {
            Some(time) if highest > 0.0 => {
                let step = (time / highest * BARS.len() as f64).ceil() as usize;
                BARS[step.clamp(1, BARS.len()) - 1]
            }
            Some(_) => BARS[0],
            None => '·',
        })
        .collect()
}

fn paint_pane(title: &str, text: &str, view: &View, area: Rect, buffer: &mut Buffer) {
    let last = text.lines().count().saturating_sub(1);
    let scrolled = u16::try_from(view.scrolled.min(last)).unwrap_or(u16::MAX);
    Clear.render(area, buffer);
    Paragraph::new(text)
        .block(Block::new().borders(Borders::TOP).title(format!(" {title} ")))
        .wrap(Wrap { trim: false })
        .scroll((scrolled, 0))
        .render(area, buffer);
}

/// Says why the selected peer is not direct, and which keys there are.
fn paint_foot(view: &View, area: Rect, buffer: &mut Buffer) {
    let sorted = format!(
        "by {}{}",
        view.order.name(),
        if view.reversed { ", reversed" } else { "" }
    );
    let keys = format!("{sorted}   ? help  q quit");
    let peers = view.peers();
    let why = peers.get(view.place(&peers)).map_or("", |peer| why_not(peer));
    let keys_width = u16::try_from(keys.chars().count()).unwrap_or(u16::MAX);
    let [left, right] = Layout::horizontal([Constraint::Min(0), Constraint::Length(keys_width)])
        .spacing(2)
        .areas(area);
    Line::from(why).dim().render(left, buffer);
    Line::from(keys).dim().render(right, buffer);
}

impl View {
    fn mood(&self, mood: Mood) -> Style {
        if !self.has_colours {
            return Style::new();
        }
        Style::new().fg(match mood {
            Mood::Good => Color::Green,
            Mood::Fair => Color::Yellow,
            Mood::Bad => Color::Red,
        })
    }
}
