//! What is asked for.

use std::time::Duration;

use crate::command;
use crate::tunnel::Backend;

/// Without optimisation this only shows that it works.
const RUNS: usize = if cfg!(debug_assertions) { 1 } else { 10 };

/// The names that are measured without `--only` where this only shows that it works: one of each part.
const BRIEF: [&str; 3] = ["home-public", "start", "flood"];

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Two nodes that become direct.
    Pairs,
    /// A flow of packets while its way changes.
    Moves,
    /// Probes that nobody asked for.
    Flood,
}

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) parts: Vec<Part>,
    /// How often each thing is measured.
    pub(crate) runs: usize,
    /// How long a packet takes from one site to another.
    pub(crate) delay: Option<Duration>,
    only: Option<String>,
    words: String,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// When one of them is none.
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        // Cargo adds it.
        let words: Vec<String> = arguments.filter(|argument| argument != "--bench").collect();
        let mut options = Self {
            parts: Vec::new(),
            runs: RUNS,
            delay: None,
            only: None,
            words: words.join(" "),
        };
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{word} what?"));
            match word.as_str() {
                "pairs" => options.parts.push(Part::Pairs),
                "moves" => options.parts.push(Part::Moves),
                "flood" => options.parts.push(Part::Flood),
                "--runs" => options.runs = number(value()?)?,
                "--delay" => options.delay = Some(Duration::from_millis(number(value()?)?)),
                "--only" => options.only = Some(value()?.clone()),
                other => {
                    return Err(format!(
                        "{other}: only pairs, moves, flood, --runs, --delay and --only are known"
                    ));
                }
            }
        }
        if options.parts.is_empty() {
            options.parts = vec![Part::Pairs, Part::Moves, Part::Flood];
        }
        Ok(options)
    }

    /// Returns whether something is to be measured.
    pub(crate) fn wants(&self, name: &str) -> bool {
        match &self.only {
            Some(only) => only == name,
            None => !cfg!(debug_assertions) || BRIEF.contains(&name),
        }
    }

    /// Says when, where and by which command this was measured.
    pub(crate) fn headline(&self) -> String {
        let (date, kernel) = (command::run("date -u +%F"), command::run("uname -r"));
        let (wireguard, command) = match Backend::wanted() {
            Backend::Userspace => (
                "wireguard-go",
                "cargo bench --no-default-features --features lab --bench direct --",
            ),
            Backend::Kernel => ("the kernel's WireGuard in qemu", "tests/kernel/run bench"),
        };
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let delay = self.delay.map_or(0, |delay| delay.as_millis());
        format!(
            "{}, Linux {}, {wireguard}, {cores} cores, load {load} at the beginning, {delay} ms of delay each way\n\n    {command} {}",
            date.trim(),
            kernel.trim(),
            self.words
        )
    }
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word}: not a number"))
}
