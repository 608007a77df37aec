//! Settings for a daemon that is not root: `/etc/wireguard` is root's, with the private keys in it.
//!
//! What is copied is the file for one interface and, where the daemon looks names up in that of wg-quick, these names. The folder of the
//! copies is the daemon's own, so that nothing there is trusted: files are made anew and put in place, never opened.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags, Uid, fchown};

use crate::config::{self, CONFIG_COPY, CONFIG_PATH, Flags};
use crate::daemon;

/// Brings the copies in a folder up to date; `environment` is that of the daemon.
///
/// Settings that are wrong are copied as they are: it is the daemon that says so.
///
/// # Errors
/// When the directory that is named is none, a file cannot be read, or seems to be for the interface and is not read, or the copy cannot be
/// written.
pub(super) fn settings(
    iface: &str,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    to: &Path,
) -> anyhow::Result<()> {
    let environment: Vec<_> = environment
        .into_iter()
        .filter(|(name, _)| name != CONFIG_COPY)
        .collect();
    let named = environment
        .iter()
        .find(|(name, value)| name == CONFIG_PATH && !value.is_empty());
    let from = match named {
        None => PathBuf::from(config::DEFAULT_DIRECTORY),
        Some((_, path)) => config::check_directory(PathBuf::from(path))?,
    };
    config::strays(&from, iface)?;
    for name in config::file_names(iface) {
        renew(&from.join(&name), &to.join(&name), config::read_bytes)?;
    }
    let names = to.join(format!("{iface}.conf"));
    let flags = Flags {
        iface: Some(iface.to_owned()),
        ..Flags::default()
    };
    match config::load(&flags, environment)
        .ok()
        .and_then(|loaded| loaded.config.wg_quick)
    {
        Some(file) => renew(&file, &names, |file| daemon::names_only(file).map(String::into_bytes)),
        None => remove(&names).with_context(|| format!("{} stays", names.display())),
    }
}

/// Has a copy of what is read from a file, or none where there is no such file.
fn renew(file: &Path, copy: &Path, read: impl Fn(&Path) -> io::Result<Vec<u8>>) -> anyhow::Result<()> {
    use io::ErrorKind::{NotADirectory, NotFound};
    let replaced = match read(file) {
        Ok(bytes) => replace(copy, &bytes),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => remove(copy),
        Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", file.display())),
    };
    replaced.with_context(|| format!("{} cannot be copied to {}", file.display(), copy.display()))
}

/// Puts a file in place that the owner of its folder may read, and nobody else.
fn replace(copy: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = copy.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let owner = Uid::from_raw(fs::metadata(folder)?.uid());
    let mut draft = copy.as_os_str().to_owned();
    draft.push(".new");
    remove(Path::new(&draft))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(&draft, flags, Mode::RUSR)?);
    file.write_all(bytes)?;
    fchown(&file, Some(owner), None)?;
    fs::rename(&draft, copy)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
