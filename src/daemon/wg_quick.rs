//! The operator's file for wg-quick: which peer it names by which host. All else in it, the keys above all, is nobody's business here.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::settings::Host;
use crate::mesh::base::time::Timestamp;

/// How often it is looked whether the file is another one.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The longest file that is read: four thousand peers, with remarks.
const MAX_BYTES: usize = 1 << 20;
/// Room behind that, so that reading to the end never moves what was read.
const SPARE: usize = 64;

/// The file, and how it was when it was read last.
#[derive(Debug)]
pub(super) struct WgQuick {
    path: PathBuf,
    looked: Option<Timestamp>,
    seen: Option<Seen>,
}

/// What tells that a file was written anew; or why it cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Written(Option<SystemTime>, u64),
    Unreadable(io::ErrorKind),
}

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The host names at which peers are.
    pub(super) names: BTreeMap<PublicKey, Host>,
    /// The lines that are not understood, from 1 on.
    pub(super) odd_lines: Vec<usize>,
}

impl WgQuick {
    /// Takes the file at a path, which need not be there yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            looked: None,
            seen: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what the file says, where that is news; a failure is news once.
    pub(super) fn look(&mut self, now: Timestamp) -> Option<io::Result<Said>> {
        if self.looked.is_some_and(|at| now.since(at) < LOOK_EVERY) {
            return None;
        }
        self.looked = Some(now);
        let read = self.open().and_then(|opened| self.read(opened)).transpose()?;
        if let Err(error) = &read {
            let before = self.seen.replace(Seen::Unreadable(error.kind()));
            if before == self.seen {
                return None;
            }
        }
        Some(read)
    }

    /// Opens the file. What is none, a pipe for example, could keep everything waiting.
    fn open(&self) -> io::Result<(File, Metadata)> {
        let is_file = |found: &Metadata| found.is_file().then_some(()).ok_or(io::ErrorKind::InvalidInput);
        is_file(&std::fs::metadata(&self.path)?)?;
        let file = File::open(&self.path)?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    }

    fn read(&mut self, (file, metadata): (File, Metadata)) -> io::Result<Option<Said>> {
        let seen = Seen::Written(metadata.modified().ok(), metadata.len());
        if self.seen.as_ref() == Some(&seen) {
            return Ok(None);
        }
        let text = text(file)?;
        self.seen = Some(seen);
        Ok(Some(parse(&text)))
    }
}

/// Returns the names in a file and the peers that they belong to, as such a file: all else in it, the private key above all, is left out.
///
/// # Errors
/// When the file cannot be read.
pub fn names_only(path: &Path) -> io::Result<String> {
    let peer = |(key, host): (&PublicKey, &Host)| format!("[Peer]\nPublicKey = {key}\nEndpoint = {host}\n");
    Ok(names(path)?.iter().map(peer).collect())
}

/// Returns the names in a file by their peers; the file is opened, bounded and wiped as the daemon does.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn names(path: &Path) -> io::Result<BTreeMap<PublicKey, Host>> {
    let (file, _) = WgQuick::new(path.to_owned()).open()?;
    Ok(parse(&text(file)?).names)
}

/// Returns all that is in a file. It holds secrets: no second copy of them is made, and this one is wiped.
fn text(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + SPARE));
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is longer than {MAX_BYTES} bytes"),
        ));
    }
    Ok(bytes)
}

/// Reads the peers, as wg does: keys in any case, blanks anywhere, the rest of a line after `#` is a remark, of several lines about the same
/// the last counts. An address is as WireGuard has it already; only names are returned.
pub(super) fn parse(text: &[u8]) -> Said {
    let mut said = Said::default();
    let mut section = Section::Other;
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default().trim_ascii();
        if line.first() == Some(&b'[') {
            said.take(section);
            section = Section::of(line);
        } else if let Section::Peer(peer) = &mut section
            && peer.read(line) == Read::Odd
        {
            said.odd_lines.push(number);
        }
    }
    said.take(section);
    said
}

enum Section {
    Other,
    Peer(Peer),
}

/// What a section says of one peer.
#[derive(Default)]
struct Peer {
    key: Option<PublicKey>,
    endpoint: Option<Host>,
}

#[derive(PartialEq, Eq)]
enum Read {
    Done,
    Odd,
}

impl Section {
    fn of(line: &[u8]) -> Self {
        if line.eq_ignore_ascii_case(b"[Peer]") {
            Self::Peer(Peer::default())
        } else {
            Self::Other
        }
    }
}

impl Peer {
    /// Takes a line. The value of any key but two is not even looked at.
    fn read(&mut self, line: &[u8]) -> Read {
        let mut parts = line.splitn(2, |byte| *byte == b'=');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let value = parts.next().unwrap_or_default().trim_ascii();
        let is_read = if name.eq_ignore_ascii_case(b"PublicKey") {
            self.key = parsed(value);
            self.key.is_some()
        } else if name.eq_ignore_ascii_case(b"Endpoint") {
            self.endpoint = parsed(value);
            self.endpoint.is_some()
        } else {
            true
        };
        if is_read { Read::Done } else { Read::Odd }
    }
}

fn parsed<T: FromStr>(value: &[u8]) -> Option<T> {
    str::from_utf8(value).ok()?.parse().ok()
}

impl Said {
    /// Takes in what a section said that is over; what an earlier one said of the same peer counts where this one says nothing.
    fn take(&mut self, section: Section) {
        let Section::Peer(Peer {
            key: Some(key),
            endpoint: Some(endpoint),
        }) = section
        else {
            return;
        };
        match endpoint {
            Host::Name { .. } => drop(self.names.insert(key, endpoint)),
            Host::Address(_) => drop(self.names.remove(&key)),
        }
    }
}

#[cfg(test)]
mod tests;
