//! What is shown of a lab when a test in it fails.

use super::Lab;

/// How many lines of a log are shown when a test fails.
const SHOWN_LINES: usize = 150;

/// And how many of what `ping` printed.
const SHOWN_ECHOES: usize = 5;

impl Lab {
    pub(super) fn show_logs(&self) {
        let entries = std::fs::read_dir(&self.logs).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let text = std::fs::read(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            let shown = if path.extension().is_some_and(|kind| kind == "log") {
                SHOWN_LINES
            } else {
                SHOWN_ECHOES
            };
            println!("--- {} ({} lines)", path.display(), lines.len());
            lines[lines.len().saturating_sub(shown)..]
                .iter()
                .for_each(|line| println!("{line}"));
        }
        for name in self.hosts.keys() {
            let shown = self
                .namespace(name)
                .attempt(&format!("wg show {}", self.interface(name)));
            println!("--- wg show on {name}\n{}", shown.unwrap_or_else(|error| error));
        }
    }
}
