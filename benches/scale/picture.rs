//! The rows as a picture: each measure over the number of leaves, both on logarithmic scales, so that a slope is an exponent.

use std::fmt::Write as _;

use crate::network::Kind;
use crate::report::Row;

const PANEL: (f64, f64) = (300.0, 200.0);
const MARGIN: (f64, f64) = (62.0, 44.0);

/// A measure: its title and its value in a row.
type Measure = (&'static str, fn(&Row) -> f64);

const MEASURES: [Measure; 6] = [
    ("seconds until all facts are everywhere", |row| row.convergence),
    ("a hub to each leaf, bytes a second", |row| row.hub.0),
    ("leaf to everybody, bytes a second", |row| row.leaf.0),
    ("a hub to each leaf, packets a second", |row| row.hub.1),
    ("processor seconds a node and hour", |row| row.processor),
    ("memory a node, MiB", |row| row.memory / 1_048_576.0),
];

/// Draws the rows.
pub(crate) fn draw(kind: Kind, rows: &[Row]) -> String {
    let (width, height) = (
        3.0 * (PANEL.0 + MARGIN.0) + 20.0,
        2.0 * (PANEL.1 + 2.0 * MARGIN.1) + 30.0,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{MARGIN_X}\" y=\"22\" font-size=\"15\">wirelink, simulated {}: growth with the number of leaves (both scales logarithmic)</text>\n",
        kind.name(),
        MARGIN_X = MARGIN.0
    );
    for (index, measure) in MEASURES.iter().enumerate() {
        let x = MARGIN.0 + (index % 3) as f64 * (PANEL.0 + MARGIN.0);
        let y = 30.0 + MARGIN.1 + (index / 3) as f64 * (PANEL.1 + 2.0 * MARGIN.1);
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">{}</g>", panel(measure, rows));
    }
    svg + "</svg>\n"
}

fn panel((title, value): &Measure, rows: &[Row]) -> String {
    let points: Vec<(f64, f64)> = rows
        .iter()
        .map(|row| (row.leaves as f64, value(row).max(1e-6)))
        .collect();
    let (x_axis, y_axis) = (
        Axis::over(points.iter().map(|point| point.0)),
        Axis::over(points.iter().map(|point| point.1)),
    );
    let place = |point: &(f64, f64)| {
        (
            x_axis.share(point.0) * PANEL.0,
            PANEL.1 - y_axis.share(point.1) * PANEL.1,
        )
    };
    let mut svg = format!(
        "<text x=\"0\" y=\"-10\" font-weight=\"bold\">{title}</text><rect width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#999\"/>",
        PANEL.0, PANEL.1
    );
    for tick in x_axis.ticks() {
        let x = x_axis.share(tick) * PANEL.0;
        let _ = write!(
            svg,
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>",
            PANEL.1 + 16.0
        );
    }
    for tick in y_axis.ticks() {
        let y = PANEL.1 - y_axis.share(tick) * PANEL.1;
        let _ = write!(
            svg,
            "<path d=\"M0 {y}H{}\" stroke=\"#ddd\"/><text x=\"-6\" y=\"{}\" text-anchor=\"end\">{tick}</text>",
            PANEL.0,
            y + 4.0
        );
    }
    let line: Vec<String> = points
        .iter()
        .map(|point| {
            let (x, y) = place(point);
            format!("{x:.1},{y:.1}")
        })
        .collect();
    let _ = write!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#0a6\" stroke-width=\"2\"/>",
        line.join(" ")
    );
    for point in &points {
        let (x, y) = place(point);
        let _ = write!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"#0a6\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#064\">{}</text>",
            y - 8.0,
            short(point.1)
        );
    }
    svg
}

fn short(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A logarithmic scale of whole decades.
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min).log10().floor();
        let high = values.fold(f64::NEG_INFINITY, f64::max).log10().ceil();
        Self {
            low,
            high: high.max(low + 1.0),
        }
    }

    fn share(&self, value: f64) -> f64 {
        (value.log10() - self.low) / (self.high - self.low)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> + use<> {
        (self.low as i32..=self.high as i32).map(|power| 10_f64.powi(power))
    }
}
