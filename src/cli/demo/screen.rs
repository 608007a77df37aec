//! What people see: lines that stay, and on a terminal a table below them that is drawn again and again.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::table::{Path, Table};
use super::world::Host;

/// The width to which lines are cut, so that no terminal breaks them and the table can be drawn over.
const WIDTH: usize = 79;

/// Standard output.
pub(super) struct Screen {
    terminal: bool,
    colored: bool,
    start: Instant,
    drawn: usize,
}

impl Screen {
    /// Looks whether it is a terminal. Times are counted from `start`.
    pub(super) fn new(start: Instant) -> Self {
        Self {
            terminal: io::stdout().is_terminal(),
            colored: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            start,
            drawn: 0,
        }
    }

    /// Writes a line that stays.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        self.erase()?;
        writeln!(io::stdout(), "{text}")
    }

    /// Tells that a path changed, where there is no table to show it.
    pub(super) fn changed(&mut self, (from, to): (Host, Host), path: Path) -> io::Result<()> {
        if self.terminal {
            return Ok(());
        }
        let elapsed = self.start.elapsed().as_secs_f32();
        self.line(&format!("{elapsed:7.2}s {from} -> {to}: {path}"))
    }

    /// Draws the table, with what is waited for below it.
    pub(super) fn draw(&mut self, table: &Table, waiting: &str, now: Instant) -> io::Result<()> {
        if !self.terminal {
            return Ok(());
        }
        self.erase()?;
        let mut text = format!(
            "\n  {:<8}{:<8}{:<9}{:>11}{:>7}{:>9}\n",
            "from", "to", "path", "round trip", "loss", "since"
        );
        for (from, to, row) in table.rows() {
            let path = if self.colored {
                format!("{}{:<9}\x1b[0m", color(row.path), row.path)
            } else {
                format!("{:<9}", row.path)
            };
            let rtt = row
                .rtt
                .map_or_else(|| "-".to_owned(), |rtt| format!("{:.1} ms", rtt.as_secs_f32() * 1000.0));
            let since = seconds(now.duration_since(row.since));
            text.push_str(&format!(
                "  {from:<8}{to:<8}{path}{rtt:>11}{:>5} %{since:>9}\n",
                row.loss()
            ));
        }
        text.push('\n');
        text.extend(waiting.chars().take(WIDTH));
        text.push('\n');
        self.drawn = text.lines().count();
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Takes the table away.
    pub(super) fn erase(&mut self) -> io::Result<()> {
        if self.drawn > 0 {
            write!(io::stdout(), "\x1b[{}A\x1b[J", self.drawn)?;
            self.drawn = 0;
        }
        Ok(())
    }
}

/// Writes a time for people.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f32())
}

const fn color(path: Path) -> &'static str {
    match path {
        Path::None => "\x1b[31m",
        Path::ViaHub => "\x1b[33m",
        Path::Direct => "\x1b[32m",
    }
}
