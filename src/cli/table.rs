//! Tables for a terminal: as wide as it is, and coloured where it can be.

use std::io::IsTerminal as _;

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, ContentArrangement, Table};

/// What colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Good,
    Fair,
    Bad,
}

/// A table that is filled line by line.
pub(super) struct Lines {
    table: Table,
    /// What stands below each line.
    notes: Vec<Option<String>>,
    colour: bool,
}

impl Lines {
    /// Begins with a headline.
    pub(super) fn new(headline: &[&str]) -> Self {
        let mut table = Table::new();
        let is_terminal = std::io::stdout().is_terminal();
        table.load_style(NOTHING).set_content_arrangement(if is_terminal {
            ContentArrangement::Dynamic
        } else {
            // A program reads it, line by line: an address must not be broken in two.
            ContentArrangement::Disabled
        });
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let mut lines = Self {
            table,
            notes: Vec::new(),
            colour: is_terminal && !no_colour,
        };
        let headline: Vec<Cell> = headline.iter().map(|text| lines.bold(text)).collect();
        lines.table.set_header(headline);
        lines
    }

    /// Begins with a headline, for a place on the screen that is so wide and has its own colours.
    pub(super) fn plain(headline: &[&str], width: u16) -> Self {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .force_no_tty()
            .set_width(width)
            .set_header(headline);
        Self {
            table,
            notes: Vec::new(),
            colour: false,
        }
    }

    /// Adds a line.
    pub(super) fn add(&mut self, cells: Vec<Cell>) {
        self.table.add_row(cells);
    }

    /// Adds a line that is not folded, with a note below it.
    pub(super) fn add_with_note(&mut self, cells: Vec<Cell>, note: String) {
        self.table.set_content_arrangement(ContentArrangement::Disabled);
        self.notes.push(Some(note).filter(|note| !note.is_empty()));
        self.table.add_row(cells);
    }

    /// Returns a text in a colour, where there are colours.
    pub(super) fn coloured(&self, text: &str, mood: Mood) -> Cell {
        let cell = Cell::new(text);
        if !self.colour {
            return cell;
        }
        cell.fg(match mood {
            Mood::Good => comfy_table::Color::Green,
            Mood::Fair => comfy_table::Color::Yellow,
            Mood::Bad => comfy_table::Color::Red,
        })
    }

    fn bold(&mut self, text: &str) -> Cell {
        let cell = Cell::new(text);
        if self.colour {
            cell.add_attribute(Attribute::Bold)
        } else {
            cell
        }
    }
}

impl std::fmt::Display for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let notes = std::iter::once(&None)
            .chain(&self.notes)
            .chain(std::iter::repeat(&None));
        for (line, note) in self.table.lines().zip(notes) {
            writeln!(f, "{}", line.trim_end())?;
            note.iter().try_for_each(|note| writeln!(f, "   {note}"))?;
        }
        Ok(())
    }
}
