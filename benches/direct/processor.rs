//! What a process computes.

use std::time::Duration;

/// Ticks of a second in `/proc` (USER_HZ of proc(5)), on every architecture that this runs on.
const TICKS: u64 = 100;

/// Returns the processor time of a process so far, its own and the kernel's on its behalf.
pub(crate) fn time_of(process: u32) -> Duration {
    let path = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let ticks = ticks(&text).unwrap_or_else(|| panic!("{path} reads {text}"));
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// Adds utime and stime: the twelfth and thirteenth fields behind the name, which may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}
