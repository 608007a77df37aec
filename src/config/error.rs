//! What can be wrong with a configuration, in words for the operator who wrote it.

use std::io;
use std::path::PathBuf;

use crate::printable::redact;

/// Why there are no effective settings. Nothing has been touched.
///
/// A `place` names the file and the place in it, the variable or the flag, as the operator wrote it. No value is
/// shown but the wrong one, and no text that may be a key ([`redact`]).
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value is not what the place asks for.
    #[error("{place}: {found} is {expected}")]
    Value {
        /// Where it is.
        place: String,
        /// The value, or its kind.
        found: String,
        /// What it is not, and what is allowed.
        expected: String,
    },
    /// No such setting.
    #[error("{place}: unknown key{}; allowed here: {allowed}", hint.map(|key| format!(" (did you mean {key}?)")).unwrap_or_default())]
    UnknownKey {
        /// The key as written.
        place: String,
        /// The key that was probably meant.
        hint: Option<&'static str>,
        /// All keys that may stand there.
        allowed: String,
    },
    /// One key, written twice.
    #[error("{place}: the same key as {first} before it, as case does not count: keep one of them")]
    DuplicateKey {
        /// The second of them.
        place: String,
        /// The first, as written.
        first: String,
    },
    /// A peer without a key.
    #[error("{place}: PublicKey is missing: every peer needs one, 44 characters of base64 as `wg show` prints them")]
    MissingPublicKey {
        /// The peer.
        place: String,
    },
    /// A file that looks like one for the interface, and is not read.
    #[error("{}: looks like the configuration of {iface}, and is not read: rename it to {}.json, or as its content is to .yaml, .yml, .toml or .env, or take it away", file.display(), prefix(iface))]
    NotRead {
        /// The file.
        file: PathBuf,
        /// The interface.
        iface: String,
    },
    /// More than one file for one interface.
    #[error("{} and {} are both there: keep one configuration file for an interface", first.display(), second.display())]
    SeveralFiles {
        /// One of them.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// The operator named a directory for the files that is none.
    #[error("environment variable WIRELINK_CONFIG_PATH: {:?} is not a directory: {cause}", redact(&directory.to_string_lossy()))]
    Directory {
        /// What the variable says.
        directory: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The file is there and cannot be read.
    #[error("{}: cannot be read: {cause}{}", file.display(), advice(cause))]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The file is not of its format.
    #[error("{}{}: not {format}: {message}", file.display(), at.map(|(line, column)| format!(", line {line}, column {column}")).unwrap_or_default())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The format that the end of its name promises.
        format: &'static str,
        /// Line and column, from 1.
        at: Option<(u64, u64)>,
        /// What is wrong there.
        message: String,
    },
}

/// Returns how the names of the files for an interface begin, without the dot behind it.
pub(super) fn prefix(iface: &str) -> String {
    format!("wirelink.{iface}")
}

fn advice(cause: &io::Error) -> &'static str {
    if cause.kind() == io::ErrorKind::PermissionDenied {
        "; run as root, or let this user read it"
    } else {
        ""
    }
}
