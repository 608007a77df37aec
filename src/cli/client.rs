//! Asking a running daemon.

use std::borrow::Cow;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use serde_json::Value;

use super::UsageError;
use crate::config;
use crate::control::{Ask, ErrorCode, Request, Response};
use crate::daemon::control::path;
use crate::printable::{one_line, redact};

/// How long an answer may take: the daemon drops who waits for longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer: a thousand peers take a tenth of it.
const MAX_ANSWER: u64 = 64 << 20;

/// Which daemon is asked.
#[derive(Clone, Debug, Args)]
pub struct Which {
    /// The WireGuard interface [default: that of the one daemon that runs]
    #[arg(short, long, value_name = "NAME", global = true)]
    iface: Option<String>,
}

/// The reader of an answer: a person or a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A person at a terminal: no text in the answer steers that.
    Person,
    /// A program, which gets each text as it is.
    Program,
}

impl Reader {
    /// Returns who reads JSON, or else words.
    pub const fn of(json: bool) -> Self {
        if json { Self::Program } else { Self::Person }
    }
}

/// There is nobody to ask; exit status 3.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoDaemon(String);

/// A daemon that was asked something.
pub struct Answers {
    lines: BufReader<UnixStream>,
    reader: Reader,
}

impl Which {
    /// Asks one question; returns its one answer.
    ///
    /// # Errors
    /// When there is no daemon, it does not answer, or refuses.
    pub fn ask(&self, ask: Ask, reader: Reader) -> anyhow::Result<Response> {
        let mut answers = self.begin(ask, reader)?;
        answers.next(true)?.context("the daemon went before it answered")
    }

    /// Asks for as many answers as there are.
    ///
    /// # Errors
    /// When there is no daemon, or it cannot be asked.
    pub fn begin(&self, ask: Ask, reader: Reader) -> anyhow::Result<Answers> {
        let mut stream = self.connect()?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = serde_json::to_vec(&Request::new(ask))?;
        line.push(b'\n');
        stream.write_all(&line).context("the daemon cannot be asked")?;
        Ok(Answers {
            lines: BufReader::new(stream),
            reader,
        })
    }

    /// Returns the interface that was named.
    pub fn named(&self) -> Option<&str> {
        self.iface.as_deref()
    }

    /// Connects to the daemon.
    ///
    /// # Errors
    /// When there is none, or it may not be asked.
    pub(super) fn connect(&self) -> anyhow::Result<UnixStream> {
        let folder = config::control_folder(std::env::vars_os());
        let Some(iface) = &self.iface else {
            return connect_to_the_one(&folder);
        };
        if iface.contains('/') {
            return Err(UsageError(format!("{:?} is no name of an interface", redact(iface))).into());
        }
        let path = path(&folder, iface);
        for path in std::iter::once(path.clone()).chain(nested(&folder).map(|folder| self::path(&folder, iface))) {
            if let Some(stream) = open(&path)? {
                return Ok(stream);
            }
        }
        Err(NoDaemon(format!(
            "no wirelink runs beside {iface}: nobody is at {}",
            path.display()
        ))
        .into())
    }
}

impl Answers {
    /// Returns the next answer; `None` where the daemon has no more. Waits for ever unless `soon`.
    ///
    /// # Errors
    /// When the daemon refuses, or says what cannot be read.
    pub fn next(&mut self, soon: bool) -> anyhow::Result<Option<Response>> {
        self.lines.get_ref().set_read_timeout(soon.then_some(PATIENCE))?;
        let mut line = Vec::new();
        let mut bounded = std::io::Read::take(&mut self.lines, MAX_ANSWER);
        bounded
            .read_until(b'\n', &mut line)
            .context("the daemon does not answer")?;
        if line.is_empty() {
            return Ok(None);
        }
        let response = self
            .read(&line)
            .context("the daemon answers what this version does not understand")?;
        match response {
            Response::Error { code, text } => Err(refusal(code, text)),
            other => Ok(Some(other)),
        }
    }
}

impl Answers {
    /// Reads an answer. Here alone texts of a daemon come in: peers choose some of them.
    fn read(&self, line: &[u8]) -> serde_json::Result<Response> {
        match self.reader {
            Reader::Program => serde_json::from_slice(line),
            Reader::Person => {
                let mut value = serde_json::from_slice(line)?;
                clean_all(&mut value);
                serde_json::from_value(value)
            }
        }
    }
}

/// Takes from every text in a value what steers a terminal.
fn clean_all(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(cleaned) = one_line(text) {
                *text = cleaned;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(clean_all),
        Value::Object(entries) => entries.values_mut().for_each(clean_all),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Returns a refusal as an error, with the exit status of a mistake where the caller made it.
fn refusal(code: ErrorCode, text: String) -> anyhow::Error {
    match code {
        ErrorCode::NoSuchPeer | ErrorCode::Ambiguous | ErrorCode::BadConfiguration | ErrorCode::NeedsRestart => {
            UsageError(text).into()
        }
        ErrorCode::BadRequest | ErrorCode::NotPermitted | ErrorCode::Busy | ErrorCode::DeviceFails => anyhow!(text),
    }
}

/// Says that an answer is none to what was asked.
///
/// # Errors
/// Always.
pub fn unexpected<T>() -> anyhow::Result<T> {
    bail!("the daemon answers something else than what it was asked")
}

/// Connects to a socket; `None` where nobody listens there.
fn open(path: &Path) -> anyhow::Result<Option<UnixStream>> {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    match UnixStream::connect(path) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), ConnectionRefused | NotFound) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be opened", path.display())),
    }
}

/// Returns the folders in that of the sockets: a daemon that systemd starts has one of its own there.
fn nested(folder: &Path) -> impl Iterator<Item = PathBuf> {
    entries(folder).filter(|path| path.is_dir())
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

fn connect_to_the_one(folder: &Path) -> anyhow::Result<UnixStream> {
    let mut running: Vec<(PathBuf, UnixStream)> = Vec::new();
    let folders = std::iter::once(folder.to_owned()).chain(nested(folder));
    let sockets = folders
        .flat_map(|folder| entries(&folder))
        .filter(|path| path.extension().is_some_and(|end| end == "sock"));
    for path in sockets {
        if let Some(stream) = open(&path)? {
            running.push((path, stream));
        }
    }
    match &running[..] {
        [] => Err(NoDaemon(format!("no wirelink runs: nobody is at {}", folder.display())).into()),
        [_] => Ok(running.remove(0).1),
        [..] => {
            let mut names: Vec<_> = running
                .iter()
                .filter_map(|(path, _)| path.file_stem())
                .map(|name| name.to_string_lossy())
                .collect();
            names.sort();
            Err(UsageError(format!(
                "several daemons run, name one with --iface: {}",
                names.join(", ")
            ))
            .into())
        }
    }
}
