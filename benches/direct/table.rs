//! Figures, and how they are shown.

use std::fmt;
use std::time::Duration;

/// A table in Markdown.
pub(crate) struct Table {
    title: &'static str,
    head: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: &'static str, head: &'static [&'static str]) -> Self {
        Self {
            title,
            head,
            rows: Vec::new(),
        }
    }

    /// Returns whether nothing was measured.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row; what is left out at its end stays empty.
    pub(crate) fn row(&mut self, mut cells: Vec<String>) {
        cells.resize(self.head.len(), String::new());
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = "|---".repeat(self.head.len());
        writeln!(f, "**{}**\n\n| {} |\n{rule}|", self.title, self.head.join(" | "))?;
        self.rows
            .iter()
            .try_for_each(|cells| writeln!(f, "| {} |", cells.join(" | ")))
    }
}

/// What was measured of one thing in all runs; `None` where it did not happen in time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Vec<Option<f64>>);

impl Figures {
    pub(crate) fn add(&mut self, figure: Option<f64>) {
        self.0.push(figure);
    }

    pub(crate) fn add_time(&mut self, time: Option<Duration>) {
        self.add(time.map(|time| time.as_secs_f64()));
    }

    /// Returns how many runs there were.
    pub(crate) fn runs(&self) -> usize {
        self.0.len()
    }

    /// Returns the middle one; what did not happen is worse than all that did.
    pub(crate) fn median(&self) -> Option<f64> {
        let ranked = self.ranked();
        let middle = ranked.len() / 2;
        match ranked.len() % 2 {
            0 => Some(f64::midpoint((*ranked.get(middle.checked_sub(1)?)?)?, ranked[middle]?)),
            _ => ranked[middle],
        }
    }

    /// Returns the worst one.
    pub(crate) fn worst(&self) -> Option<f64> {
        self.ranked().last().copied().flatten()
    }

    /// Returns the median and the worst, with so many digits.
    pub(crate) fn both(&self, digits: usize) -> String {
        format!("{} / {}", shown(self.median(), digits), shown(self.worst(), digits))
    }

    fn ranked(&self) -> Vec<Option<f64>> {
        let mut ranked = self.0.clone();
        let key = |figure: &Option<f64>| figure.unwrap_or(f64::INFINITY);
        ranked.sort_by(|one, other| key(one).total_cmp(&key(other)));
        ranked
    }
}

/// Returns a time as it is told while it is measured.
pub(crate) fn seconds(time: Option<Duration>) -> String {
    let figure = time.map(|time| time.as_secs_f64());
    let unit = if time.is_some() { " s" } else { "" };
    shown(figure, 3) + unit
}

/// Returns a figure as it stands in a table.
pub(crate) fn shown(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(|| "not in time".to_owned(), |figure| format!("{figure:.digits$}"))
}
