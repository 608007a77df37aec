//! Running other programs: each with a bound in time, each ended by its id.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// No program of the lab that is waited for takes longer, not even in an emulated guest.
const RUN_LIMIT: Duration = Duration::from_secs(30);

/// How long a process that is told to stop may take before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// Asks again and again until there is an answer, or the time is up.
pub(crate) fn until<T>(within: Duration, ask: impl FnMut() -> Option<T>) -> Option<T> {
    until_every(Duration::from_millis(20), within, ask)
}

/// Asks again and again, with a pause after each time, until there is an answer, or the time is up.
pub(crate) fn until_every<T>(pause: Duration, within: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(pause);
    }
}

/// Makes a command from a line of words; there is no quoting.
pub(crate) fn words(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().expect("a command has a name"));
    command.args(words);
    command
}

/// Runs a command to its end and returns what it printed, or why it failed.
pub(crate) fn attempt(command: Command) -> Result<String, String> {
    attempt_with(command, "")
}

/// Runs a command to its end with something to read; secrets go this way, not through files or arguments.
pub(crate) fn attempt_with(mut command: Command, input: &str) -> Result<String, String> {
    let name = format!("{command:?}").replace('"', "");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
    // Whoever reads nothing may have closed the pipe, which is no failure.
    let _ = child.stdin.take().map(|mut pipe| pipe.write_all(input.as_bytes()));
    let Some(status) = until(RUN_LIMIT, || child.try_wait().ok().flatten()) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("{name}: not finished after {RUN_LIMIT:?}"));
    };
    let (mut out, mut err) = (String::new(), String::new());
    let _ = child.stdout.take().map(|mut pipe| pipe.read_to_string(&mut out));
    let _ = child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut err));
    if status.success() {
        Ok(out)
    } else {
        Err(format!("{name}: {status}: {}", (out + &err).trim()))
    }
}

/// Runs a line of words that must succeed.
#[track_caller]
pub(crate) fn run(line: &str) -> String {
    attempt(words(line)).unwrap_or_else(|error| panic!("{error}"))
}

/// A program that runs beside the test and ends with it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program with its output appended to a file.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let copy = file.try_clone().expect("an open file can be duplicated");
        let spawned = command.stdin(Stdio::null()).stdout(file).stderr(copy).spawn();
        Self {
            child: spawned.unwrap_or_else(|error| panic!("{command:?}: {error}")),
            log: log.to_owned(),
        }
    }

    /// Returns the id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns what it printed until now.
    pub(crate) fn output(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends a signal to this process and no other.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // A process that is already gone needs no signal, and nobody else gets its id before it is waited for.
        let _ = kill_process(id.expect("a child has an id"), signal);
    }

    /// Waits until the process has a disposition of its own for a signal: before, the signal would just kill it.
    pub(crate) fn catches(&mut self, signal: Signal, within: Duration) -> bool {
        let path = format!("/proc/{}/status", self.child.id());
        let caught = || caught_signals(&std::fs::read_to_string(&path).ok()?);
        let bit = 1u64 << (signal.as_raw() - 1);
        until(within, || {
            let ended = self.child.try_wait().ok().flatten().is_some();
            (ended || caught().is_some_and(|mask| mask & bit != 0)).then_some(!ended)
        })
        .unwrap_or(false)
    }

    /// Says whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        until(within, || self.child.try_wait().ok().flatten())
    }

    /// Ends it without asking.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            self.signal(Signal::TERM);
        }
        if self.ended(STOP_LIMIT).is_none() {
            self.kill();
        }
    }
}

/// Reads the mask of caught signals out of `/proc/<pid>/status`.
fn caught_signals(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_says_what_it_printed() {
        let error = attempt(words("ls /nonexistent-of-the-lab")).unwrap_err();
        assert!(error.contains("ls /nonexistent-of-the-lab"), "{error}");
        assert!(error.contains("No such file"), "{error}");
        assert!(attempt(words("nonexistent-program-of-the-lab")).is_err());
    }

    #[test]
    fn the_caught_signals_are_a_mask() {
        assert_eq!(caught_signals("Name:\tx\nSigCgt:\t0000000000004202\n"), Some(0x4202));
        assert_eq!(caught_signals("Name:\tx\n"), None);
    }
}
