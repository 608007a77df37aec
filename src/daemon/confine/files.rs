//! Which files may be read and written (landlock(7)): what a lookup of names needs, our settings, and our own folders.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus,
    path_beneath_rules,
};

use crate::config::{Config, Target};

/// The version whose rights are known here; an older kernel knows fewer of them.
const KNOWN: ABI = ABI::V5;

/// Libraries, the time zone, what the C library reads to look names up, sockets that it asks; whatever is not there is left out.
const READ: [&str; 11] = [
    "/etc", "/usr", "/lib", "/lib64", "/nix", "/gnu", "/run", "/var/run", "/proc", "/sys", "/dev",
];
/// What may be a link to anywhere.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Where a daemon reads and writes.
#[derive(Debug)]
pub(super) struct Places {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
}

impl Places {
    /// Collects them. Files are replaced, so it is their folders that count.
    pub(super) fn of(config: &Config) -> Self {
        let files = config.file.iter().chain(&config.wg_quick);
        let read = files.flat_map(|file| [parent(file), real_parent(file)]).flatten();
        let metrics = config.metrics.iter().filter_map(|target| match target {
            Target::File(path) => parent(path),
            Target::Listen(_) => None,
        });
        let folders = config.state.iter().chain(&config.control).cloned();
        Self {
            read: read.chain([config.directory.clone()]).collect(),
            write: folders.chain(metrics).collect(),
        }
    }

    /// Returns whether one of them belongs to another user than this process.
    pub(super) fn are_of_others(&self) -> bool {
        let own = rustix::process::geteuid().as_raw();
        let mut owners = self
            .read
            .iter()
            .chain(&self.write)
            .filter_map(|path| fs::metadata(path).ok());
        owners.any(|found| found.uid() != own)
    }
}

fn parent(file: &Path) -> Option<PathBuf> {
    // That of a bare name is empty.
    let parent = file.parent()?;
    Some(
        if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        }
        .to_owned(),
    )
}

fn real_parent(file: &Path) -> Option<PathBuf> {
    parent(&fs::canonicalize(file).ok()?)
}

/// Keeps this thread, and those that it starts, to these places.
pub(super) fn restrict(places: &Places) -> Result<(), String> {
    let status = rules(places).map_err(|error| error.to_string())?;
    match status {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        RulesetStatus::NotEnforced => Err("this kernel has none, or may not be asked".to_owned()),
    }
}

fn rules(places: &Places) -> Result<RulesetStatus, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    // Nothing is ever run.
    let write = AccessFs::from_all(KNOWN) & !AccessFs::Execute;
    let resolver = real_parent(Path::new(RESOLV_CONF));
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .create()?
        .add_rules(path_beneath_rules(READ, read))?
        .add_rules(path_beneath_rules(places.read.iter().chain(&resolver), read))?
        .add_rules(path_beneath_rules(&places.write, write))?
        .restrict_self()?;
    Ok(status.ruleset)
}
