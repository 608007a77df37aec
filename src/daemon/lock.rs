//! One daemon for each interface: who came first keeps it, and the next one is told who that is.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::clock;

/// How often it is tried again when who had the name is gone before it could be asked.
const ATTEMPTS: u8 = 5;

/// How long the kernel may take to connect: longer where somebody lets callers wait in line.
const CONNECT: Duration = Duration::from_secs(1);

/// The unit of times in `/proc/<pid>/stat` (proc(5)): a hundredth of a second on every machine that Rust knows.
const TICK: Duration = Duration::from_millis(10);

/// The right to work on an interface, as long as it lives.
///
/// It is the name of an abstract socket: names belong to a network namespace, as interfaces do, and the kernel takes one back
/// however its process ends. So there is no file to clean up, and none that a killed daemon leaves behind.
#[derive(Debug)]
pub struct Lock(UnixListener);

/// Why an interface may not be worked on.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody works on it.
    #[error("{0} is taken: wirelink runs on it already ({1}), and one is enough")]
    Taken(String, Holder),
    /// The kernel gives no socket.
    #[error("it cannot be made sure that no other wirelink runs on {0}: {1}")]
    Refused(String, io::Error),
}

/// Who has an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process, unless that is in a namespace of processes that cannot be seen from here.
    pid: Option<i32>,
    /// How long ago that started, where it can be seen.
    age: Option<Duration>,
}

impl Lock {
    /// Takes the interface with this index; `iface` is its name, for the error.
    ///
    /// # Errors
    /// When another process has it that could work on it, too.
    pub async fn take(iface: &str, index: u32) -> Result<Self, LockError> {
        let name = format!("\0wirelink/{index}");
        let refused = |error| LockError::Refused(iface.to_owned(), error);
        for _ in 0..ATTEMPTS {
            match UnixListener::bind(&name) {
                Ok(listener) => return Ok(Self(listener)),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(refused(error)),
            }
            if let Some(holder) = ask(&name).await.map_err(refused)? {
                return Err(LockError::Taken(iface.to_owned(), holder));
            }
        }
        Err(refused(io::ErrorKind::AddrInUse.into()))
    }

    /// Lets those go who asked for the holder, which the kernel tells them; never returns, and may be cancelled.
    pub async fn show(&self) {
        loop {
            if self.0.accept().await.is_err() {
                // Whoever asks waits a second in vain, and refuses to start all the same.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Finds out who has the name; `None` where nobody has it any more.
async fn ask(name: &str) -> io::Result<Option<Holder>> {
    let stream = match timeout(CONNECT, UnixStream::connect(name)).await {
        Err(_) => return Ok(Some(Holder { pid: None, age: None })),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
        Ok(Err(error)) => return Err(error),
        Ok(Ok(stream)) => stream,
    };
    // Zero stands for a process in a namespace above this one.
    let pid = stream.peer_cred()?.pid().filter(|pid| *pid != 0);
    Ok(Some(Holder {
        pid,
        age: pid.and_then(age),
    }))
}

/// Returns how long ago a process started.
fn age(pid: i32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let started = started(&stat)?;
    Some(clock::now().since_start().saturating_sub(started))
}

/// Reads when a process started, since boot, out of its `stat`. Its name, in brackets, may hold anything.
fn started(stat: &str) -> Option<Duration> {
    const START_TIME: usize = 22;
    const STATE: usize = 3;
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_ascii_whitespace().nth(START_TIME - STATE)?;
    TICK.checked_mul(ticks.parse().ok()?)
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            None => f.write_str("a process that cannot be seen from here"),
            Some(pid) => write!(f, "process {pid}"),
        }?;
        self.age
            .map_or(Ok(()), |age| write!(f, ", started {} ago", spelled(age)))
    }
}

/// Returns a time as people say it, by its two largest units.
fn spelled(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        (_, _, _) => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An interface that is none: tests run side by side, so each has its own.
    fn unused(number: u32) -> u32 {
        u32::MAX - 8 * std::process::id() - number
    }

    #[tokio::test]
    async fn the_second_is_told_who_the_first_is() {
        let lock = Lock::take("wg0", unused(0)).await.unwrap();
        let error = Lock::take("wg0", unused(0)).await.unwrap_err().to_string();
        let us = format!(
            "wg0 is taken: wirelink runs on it already (process {}",
            std::process::id()
        );
        assert!(error.starts_with(&us) && error.contains(" ago"), "{error}");
        drop(lock);
        assert!(
            Lock::take("wg0", unused(0)).await.is_ok(),
            "nothing is left of the first"
        );
    }

    #[tokio::test]
    async fn another_interface_is_another_matter() {
        let _one = Lock::take("wg0", unused(1)).await.unwrap();
        assert!(Lock::take("wg1", unused(2)).await.is_ok());
    }

    #[tokio::test]
    async fn who_asks_is_let_go_however_many_they_are() {
        let lock = Lock::take("wg0", unused(3)).await.unwrap();
        let ask = async {
            for _ in 0..5000 {
                Lock::take("wg0", unused(3)).await.unwrap_err();
            }
        };
        tokio::select! {
            () = lock.show() => unreachable!("it never returns"),
            asked = timeout(Duration::from_secs(30), ask) => assert!(asked.is_ok(), "nobody waits"),
        }
    }

    #[test]
    fn the_start_is_found_behind_any_name() {
        let stat = "12 (a ) b) S 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 250 9 9";
        assert_eq!(started(stat), Some(Duration::from_millis(2500)));
        assert_eq!(started("12 (a"), None);
    }

    #[test]
    fn an_age_has_two_units() {
        for (seconds, text) in [(0, "0 s"), (75, "1 min 15 s"), (7380, "2 h 3 min"), (90_000, "1 d 1 h")] {
            assert_eq!(spelled(Duration::from_secs(seconds)), text);
        }
    }
}
