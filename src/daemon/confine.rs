//! What this process may do is narrowed to what a daemon needs, before it listens to anybody: whoever takes it over has no more.
//!
//! All of it is taken for good, and from every thread that is started later. What the kernel lacks, or systemd did already, is left out.

mod files;
mod rights;
mod syscalls;

use std::fmt;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::CapabilitySet;

use self::files::Places;
use crate::config::Config;

/// What holds; its `Display` is a line for the log.
#[derive(Clone, Debug)]
pub struct Held {
    rights: CapabilitySet,
    no_new_privileges: bool,
    files: Result<(), String>,
    syscalls: Result<(), String>,
}

/// Gives up what a daemon with these settings does not need. No other thread may run yet.
///
/// Nothing that fails keeps a daemon from running: it is as well off as before.
pub fn confine(config: &Config) -> Held {
    make_folders(config);
    let places = Places::of(config);
    let no_core = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let rights = rights::give_up(config, &places);
    // A core would hold the private key. systemd-coredump keeps to this, too.
    setrlimit(Resource::Core, no_core).ok();
    // Nor may another process of this user look into this one (ptrace(2), prctl(2)).
    set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
    let no_new_privileges = rustix::thread::set_no_new_privs(true).is_ok();
    Held {
        rights,
        no_new_privileges,
        files: files::restrict(&places),
        syscalls: syscalls::restrict(),
    }
}

/// How few open files are too few: sockets for facts and probes, for WireGuard, for whoever asks, and for names.
const FEW_FILES: u64 = 32;
/// How many are enough: all seats on the control socket and over HTTP, beside those.
const ENOUGH_FILES: u64 = 256;

/// There is room for too few open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this process may have {0} files open at a time, and wirelink needs {FEW_FILES} at the least: raise LimitNOFILE= in its unit, or \
     `ulimit -n`"
)]
pub struct TooFewFiles(u64);

/// Sees that enough files can be open at a time, and takes as many as the hard limit gives.
///
/// # Errors
/// When that is too few: a daemon without links, or without a socket, would be the worse surprise.
pub fn need_files() -> Result<(), TooFewFiles> {
    let limit = getrlimit(Resource::Nofile);
    let (current, most) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    if current >= ENOUGH_FILES {
        return Ok(());
    }
    let wanted = Rlimit {
        current: Some(ENOUGH_FILES.min(most)),
        maximum: limit.maximum,
    };
    let had = setrlimit(Resource::Nofile, wanted).map_or(current, |()| ENOUGH_FILES.min(most));
    if had < FEW_FILES { Err(TooFewFiles(had)) } else { Ok(()) }
}

/// Makes the folders that are written to: later it cannot be said yet that they may be. What fails here is said by who needs it.
fn make_folders(config: &Config) {
    if let Some(state) = &config.state {
        DirBuilder::new().recursive(true).mode(0o700).create(state).ok();
    }
    if let Some(control) = &config.control {
        fs::create_dir_all(control).ok();
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rights: Vec<String> = self
            .rights
            .iter_names()
            .map(|(name, _)| format!("CAP_{name}"))
            .collect();
        let rights = if rights.is_empty() {
            "no capability".to_owned()
        } else {
            rights.join(", ")
        };
        write!(f, "confined to {rights}")?;
        if self.no_new_privileges {
            f.write_str("; no new privileges")?;
        }
        for (what, held) in [
            ("files by landlock", &self.files),
            ("system calls by seccomp", &self.syscalls),
        ] {
            match held {
                Ok(()) => write!(f, "; {what}"),
                Err(why) => write!(f, "; not {what} ({why})"),
            }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_holds_and_why_the_rest_does_not() {
        let held = Held {
            rights: CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW,
            no_new_privileges: true,
            files: Err("this kernel has none".to_owned()),
            syscalls: Ok(()),
        };
        assert_eq!(
            held.to_string(),
            "confined to CAP_NET_ADMIN, CAP_NET_RAW; no new privileges; not files by landlock (this kernel has none); \
             system calls by seccomp"
        );
    }
}
