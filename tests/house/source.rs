//! The source files as text. The code is formatted by rustfmt, so that an item ends at a line of its own indent.

use std::fs;
use std::path::{Path, PathBuf};

/// A Rust file.
pub(crate) struct Source {
    /// Its path from the root of the project.
    pub(crate) path: String,
    /// Its lines.
    pub(crate) lines: Vec<String>,
}

impl Source {
    /// Reads all Rust files below a folder of the project, in the order of their paths.
    pub(crate) fn below(folder: &str) -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths = Vec::new();
        collect(&root.join(folder), &mut paths);
        paths.sort();
        let read = |path: &PathBuf| Self {
            path: path.strip_prefix(root).expect("it is below").display().to_string(),
            lines: fs::read_to_string(path)
                .expect("it is text")
                .lines()
                .map(str::to_owned)
                .collect(),
        };
        let sources: Vec<Self> = paths.iter().map(read).collect();
        assert!(!sources.is_empty(), "{folder} has no Rust files");
        sources
    }

    /// Returns whether it holds nothing but tests.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// Returns the lines before the tests that the file ends with, each with its number.
    pub(crate) fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self
            .lines
            .iter()
            .position(|line| line == "#[cfg(test)]")
            .unwrap_or(self.lines.len());
        let lines = if self.is_test() { 0 } else { tests };
        self.lines[..lines]
            .iter()
            .enumerate()
            .map(|(at, line)| (at + 1, line.as_str()))
    }
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Returns the code of a line, without the comment behind or instead of it.
pub(crate) fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}
