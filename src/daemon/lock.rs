//! One daemon for each interface: who came first keeps it, and the next one is told who that is.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, Uid, fchown, flock, ftruncate};
use rustix::io::Errno;
use rustix::process::geteuid;
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
/// It is a locked file in the folder of what survives a restart, which no other user may open, and the name of an abstract socket. Anybody
/// can take such a name, so one that belongs to another user counts for nothing; but earlier versions have nothing else, it needs no folder,
/// and it tells who has the interface. The kernel takes both back however the process ends.
#[derive(Debug)]
pub struct Lock {
    /// Nothing where there is no folder, or it cannot be written to.
    _file: Option<LockFile>,
    /// Nothing where another user has the name.
    name: Option<UnixListener>,
}

/// A file that is locked. Its name has the network namespace in it: each has an interface of this index.
#[derive(Debug)]
struct LockFile {
    path: PathBuf,
    /// Locked until it is closed.
    _file: File,
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // While it is locked: whoever opened it meanwhile finds that it is not the one of this name any more.
        fs::remove_file(&self.path).ok();
    }
}

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
    /// Takes the interface with this index; `iface` is its name, for the error, and `folder` is where daemons keep what survives a restart.
    ///
    /// # Errors
    /// When another process has it that could work on it, too.
    pub async fn take(iface: &str, index: u32, folder: Option<&Path>) -> Result<Self, LockError> {
        let file = match folder.map(|folder| lock_file(folder, index)) {
            Some(Ok(file)) => Some(file),
            Some(Err(Unlocked::Taken(holder))) => return Err(LockError::Taken(iface.to_owned(), holder)),
            Some(Err(Unlocked::Failed(error))) => {
                tracing::debug!("no lock file for {iface}: {error}");
                None
            }
            None => None,
        };
        let users = [Some(0), Some(geteuid().as_raw()), folder.and_then(owner)];
        let name = format!("\0wirelink/{index}");
        let refused = |error| LockError::Refused(iface.to_owned(), error);
        for _ in 0..ATTEMPTS {
            match UnixListener::bind(&name) {
                Ok(listener) => {
                    return Ok(Self {
                        _file: file,
                        name: Some(listener),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(refused(error)),
            }
            match ask(&name).await.map_err(refused)? {
                None => {}
                Some((Some(user), holder)) if !users.contains(&Some(user)) => {
                    tracing::warn!("{holder} of user {user} pretends to be the wirelink of {iface}, and is ignored");
                    return Ok(Self {
                        _file: file,
                        name: None,
                    });
                }
                // One of ours answers, and would have locked the file, or is too old for that.
                Some((None, _)) if file.is_some() => {
                    return Ok(Self {
                        _file: file,
                        name: None,
                    });
                }
                Some((_, holder)) => return Err(LockError::Taken(iface.to_owned(), holder)),
            }
        }
        Err(refused(io::ErrorKind::AddrInUse.into()))
    }

    /// Lets those go who asked for the holder, which the kernel tells them; never returns, and may be cancelled.
    pub async fn show(&self) {
        let Some(name) = &self.name else {
            return std::future::pending().await;
        };
        loop {
            if name.accept().await.is_err() {
                // Whoever asks waits a second in vain, and refuses to start all the same.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Why there is no locked file.
enum Unlocked {
    Taken(Holder),
    Failed(io::Error),
}

impl From<io::Error> for Unlocked {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Errno> for Unlocked {
    fn from(error: Errno) -> Self {
        Self::Failed(error.into())
    }
}

/// Locks the file of an interface in a folder.
fn lock_file(folder: &Path, index: u32) -> Result<LockFile, Unlocked> {
    let namespace = fs::read_link("/proc/thread-self/ns/net")?;
    let namespace: String = namespace
        .to_string_lossy()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let path = folder.join(format!(".lock-{namespace}-{index}"));
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    for _ in 0..ATTEMPTS {
        let mut file = File::from(rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)?);
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(Unlocked::Taken(written(&mut file))),
            Err(error) => return Err(error.into()),
        }
        let about = file.metadata()?;
        // Whoever had it may have removed it in between.
        if fs::symlink_metadata(&path).is_ok_and(|named| (named.dev(), named.ino()) == (about.dev(), about.ino())) {
            ftruncate(&file, 0)?;
            writeln!(file, "{}", std::process::id())?;
            // What root makes, the user of the folder may have to open.
            let heir = owner(folder).filter(|heir| geteuid().is_root() && *heir != 0);
            heir.map(|heir| fchown(&file, Some(Uid::from_raw(heir)), None))
                .transpose()?;
            return Ok(LockFile { path, _file: file });
        }
    }
    Err(io::Error::from(io::ErrorKind::ResourceBusy).into())
}

/// Reads which process locked a file.
fn written(file: &mut File) -> Holder {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok();
    let pid = text.trim().parse().ok();
    Holder {
        pid,
        age: pid.and_then(age),
    }
}

fn owner(folder: &Path) -> Option<u32> {
    fs::metadata(folder).ok().map(|about| about.uid())
}

/// Finds out who has the name, and of which user that is, as far as it answers; `None` where nobody has it any more.
async fn ask(name: &str) -> io::Result<Option<(Option<u32>, Holder)>> {
    let stream = match timeout(CONNECT, UnixStream::connect(name)).await {
        Err(_) => return Ok(Some((None, Holder { pid: None, age: None }))),
        // So many wait in line that nobody else may.
        Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
            return Ok(Some((None, Holder { pid: None, age: None })));
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
        Ok(Err(error)) => return Err(error),
        Ok(Ok(stream)) => stream,
    };
    let credentials = stream.peer_cred()?;
    // Zero stands for a process in a namespace above this one.
    let pid = credentials.pid().filter(|pid| *pid != 0);
    let holder = Holder {
        pid,
        age: pid.and_then(age),
    };
    Ok(Some((Some(credentials.uid()), holder)))
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
        let lock = Lock::take("wg0", unused(0), None).await.unwrap();
        let error = Lock::take("wg0", unused(0), None).await.unwrap_err().to_string();
        let us = format!(
            "wg0 is taken: wirelink runs on it already (process {}",
            std::process::id()
        );
        assert!(error.starts_with(&us) && error.contains(" ago"), "{error}");
        drop(lock);
        assert!(
            Lock::take("wg0", unused(0), None).await.is_ok(),
            "nothing is left of the first"
        );
    }

    #[tokio::test]
    async fn another_interface_is_another_matter() {
        let _one = Lock::take("wg0", unused(1), None).await.unwrap();
        assert!(Lock::take("wg1", unused(2), None).await.is_ok());
    }

    #[tokio::test]
    async fn who_asks_is_let_go_however_many_they_are() {
        let lock = Lock::take("wg0", unused(3), None).await.unwrap();
        let ask = async {
            for _ in 0..5000 {
                Lock::take("wg0", unused(3), None).await.unwrap_err();
            }
        };
        tokio::select! {
            () = lock.show() => unreachable!("it never returns"),
            asked = timeout(Duration::from_secs(30), ask) => assert!(asked.is_ok(), "nobody waits"),
        }
    }

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("wirelink-lock-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[tokio::test]
    async fn file_is_locked_even_where_the_name_is_free() {
        let folder = folder("free");
        let mut lock = Lock::take("wg0", unused(4), Some(&folder)).await.unwrap();
        lock.name = None;
        let error = Lock::take("wg0", unused(4), Some(&folder))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(lock);
        assert!(Lock::take("wg0", unused(4), Some(&folder)).await.is_ok());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is left of it");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn earlier_version_with_the_name_alone_is_respected() {
        let folder = folder("earlier");
        let earlier = Lock::take("wg0", unused(5), None).await.unwrap();
        assert!(Lock::take("wg0", unused(5), Some(&folder)).await.is_err());
        drop(earlier);
        let lock = Lock::take("wg0", unused(5), Some(&folder)).await.unwrap();
        assert!(
            Lock::take("wg0", unused(5), None).await.is_err(),
            "and respects this one"
        );
        drop(lock);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn name_in_a_listener_that_never_accepts_keeps_nobody_out() {
        let folder = folder("deaf");
        let mut others = Vec::new();
        let name = format!("\0wirelink/{}", unused(6));
        let _deaf = UnixListener::bind(&name).unwrap();
        // Until its queue is full, and callers wait in line.
        while let Ok(Ok(stream)) = timeout(Duration::from_millis(100), UnixStream::connect(&name)).await {
            others.push(stream);
            if others.len() > 10_000 {
                break;
            }
        }
        let taken = Lock::take("wg0", unused(6), Some(&folder)).await;
        fs::remove_dir_all(&folder).unwrap();
        assert!(taken.is_ok(), "{taken:?}, {} wait in line", others.len());
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
