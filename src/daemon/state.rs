//! The file of what survives a restart: one for each interface, and for one key of it.
//!
//! A file that is not what this program wrote for this interface and key is set aside and said so; it never keeps the daemon from
//! starting, nor does a folder that cannot be written.

pub mod form;
mod writer;

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, Uid, fchown};
use rustix::io::Errno;
use rustix::process::geteuid;

use self::form::{MAX_LEN, Misfit, Owner};
pub(super) use self::writer::Writer;
use super::clock::since_1970;
use crate::mesh::base::identity::PublicKey;
use crate::mesh::keep::memory::Memory;

/// How many files that were set aside are kept.
const MAX_ASIDE: u32 = 8;

/// The file of one interface and key.
#[derive(Debug)]
pub(super) struct StateFile {
    folder: PathBuf,
    owner: Owner,
    /// Whether the last attempt to write failed, which was said then.
    is_failing: bool,
}

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it is not an ordinary file")]
    NoFile,
    #[error("others than this user may write it")]
    Foreign,
    #[error(transparent)]
    Misfit(#[from] Misfit),
}

impl StateFile {
    /// Names the file; nothing is touched yet.
    pub(super) fn new(folder: &Path, iface: &str, key: PublicKey) -> Self {
        Self {
            folder: folder.to_owned(),
            owner: Owner {
                iface: iface.to_owned(),
                key,
            },
            is_failing: false,
        }
    }

    /// Returns whether what was to be remembered last is written down.
    pub(super) const fn is_kept(&self) -> bool {
        !self.is_failing
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.owner.iface))
    }

    /// Reads what was remembered, with the time that passed since added; nothing, where there is no such file or none that fits.
    pub(super) fn load(&self) -> Memory {
        match self.read(since_1970()) {
            Ok(memory) => memory.unwrap_or_default(),
            Err(unfit) => {
                let aside = self.set_aside();
                let aside = aside.map_or_else(
                    |error| format!("cannot be set aside ({error}) and is left out"),
                    |path| format!("is set aside as {}", path.display()),
                );
                tracing::warn!(
                    "what was remembered of {} is lost: {} {aside}, because {unfit}",
                    self.owner.iface,
                    self.path().display()
                );
                Memory::default()
            }
        }
    }

    fn read(&self, now: Duration) -> Result<Option<Memory>, Unfit> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(self.path(), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(Unfit::NoFile),
            Err(error) => return Err(Unfit::Unreadable(error.into())),
        };
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(Unfit::NoFile);
        }
        let users = [Some(geteuid().as_raw()), self.heir()?.map(Uid::as_raw)];
        if !users.contains(&Some(about.uid())) || about.mode() & 0o022 != 0 {
            return Err(Unfit::Foreign);
        }
        let mut text = Vec::new();
        file.take(MAX_LEN + 1).read_to_end(&mut text)?;
        Ok(Some(self.owner.read(&text, now)?))
    }

    /// Returns whose root's files here are: the folder may be that of a daemon which is not root, and must find what root did meanwhile.
    fn heir(&self) -> io::Result<Option<Uid>> {
        let owner = fs::metadata(&self.folder)?.uid();
        Ok((geteuid().is_root() && owner != 0).then(|| Uid::from_raw(owner)))
    }

    /// Goes by another name of the interface from now on, with what was written down under the old one.
    pub(super) fn rename(&mut self, iface: &str) {
        let (old, memory) = (self.path(), self.load());
        iface.clone_into(&mut self.owner.iface);
        self.save(&memory);
        if !self.is_failing && old != self.path() {
            fs::remove_file(old).ok();
        }
    }

    /// Puts the file out of the way, under the first name that is free, or the last one.
    fn set_aside(&self) -> io::Result<PathBuf> {
        let names = (1..=MAX_ASIDE).map(|number| self.folder.join(format!("{}.json.bad-{number}", self.owner.iface)));
        let names: Vec<PathBuf> = names.collect();
        let free = names.iter().find(|name| fs::symlink_metadata(name).is_err());
        let name = free.or(names.last()).expect("there is more than one").clone();
        fs::rename(self.path(), &name).map(|()| name)
    }

    /// Writes what is to be remembered. A failure is said once, until it is over.
    pub(super) fn save(&mut self, memory: &Memory) {
        let saved = self.replace(&self.owner.write(memory, since_1970()));
        if let Err(error) = &saved
            && !self.is_failing
        {
            tracing::warn!(
                "{} cannot be written ({error}): wirelink goes on, but what it knows of {} does not survive a restart, and after a \
                 crash the peers and allowed IPs that it added look like yours",
                self.path().display(),
                self.owner.iface
            );
        }
        self.is_failing = saved.is_err();
    }

    /// Has either the old file or the new one in place, whenever the power fails.
    fn replace(&self, text: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let draft = self.folder.join(format!("{}.json.new", self.owner.iface));
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(&draft, flags, Mode::RUSR | Mode::WUSR)?);
        let given = self.heir().and_then(|heir| match heir {
            Some(heir) => fchown(&file, Some(heir), None).map_err(io::Error::from),
            None => Ok(()),
        });
        let written = given.and_then(|()| file.write_all(text)).and_then(|()| file.sync_all());
        let in_place = written.and_then(|()| fs::rename(&draft, self.path()));
        if in_place.is_err() {
            fs::remove_file(&draft).ok();
        }
        in_place?;
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests;
