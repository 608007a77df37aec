//! The layers in the order of their weight: file, environment, flags.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use figment::Figment;

use super::Config;
use super::error::{ConfigError, prefix};
use super::keys::{CONFIG_COPY, CONFIG_PATH, Key, TOP, VARIABLE_PREFIX, nearest};
use super::layer::{FileLayer, WordSource, Words};
use super::read::{Draft, Placed};
use super::stray;
use super::tree::FileFormat;
use crate::printable::redact;

/// The interface where nobody names one.
pub const DEFAULT_IFACE: &str = "wg0";

/// Where configuration files are looked for.
pub const DEFAULT_DIRECTORY: &str = "/etc/wireguard";

/// Where what survives a restart is kept, where systemd does not say.
const DEFAULT_STATE: &str = "/var/lib/wirelink";
/// Where systemd wants it kept: `StateDirectory=` of the unit (systemd.exec).
const STATE_DIRECTORY: &str = "STATE_DIRECTORY";

/// Where the control sockets are, where systemd does not say.
const DEFAULT_RUNTIME: &str = "/run/wirelink";
/// Where systemd wants them: `RuntimeDirectory=` of the unit (systemd.exec).
const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";

/// Returns the folder of the control sockets.
pub fn control_folder(environment: impl IntoIterator<Item = (OsString, OsString)>) -> PathBuf {
    let mut named = environment.into_iter().filter(|(name, _)| name == RUNTIME_DIRECTORY);
    let named = named.next().and_then(|(_, value)| first_path(&value));
    named.unwrap_or_else(|| PathBuf::from(DEFAULT_RUNTIME))
}

/// The flags, as they were typed.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--iface`
    pub iface: Option<String>,
    /// `--port`
    pub port: Option<String>,
    /// `--router`
    pub router: Option<String>,
    /// `--chatty`
    pub chatty: Option<String>,
    /// `--address-hash`
    pub address_hash: Option<String>,
    /// `--prune`
    pub prune: Option<String>,
    /// `--leave-peers`
    pub leave_peers: Option<String>,
    /// `--probe`
    pub probe: Option<String>,
    /// `--resolve-wg-quick`
    pub resolve_wg_quick: Option<String>,
    /// `--port-prediction`
    pub port_prediction: Option<String>,
    /// `--debug`
    pub debug: Option<String>,
    /// `--log-format`
    pub log_format: Option<String>,
    /// `--wait`
    pub wait: Option<String>,
}

/// The effective settings, and what the operator should know about how they came to be.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The effective settings.
    pub config: Config,
    /// Sentences for the log.
    pub warnings: Vec<String>,
}

/// Reads the layers and checks each of them by itself, too: a mistake that is overridden today is one tomorrow.
///
/// # Errors
/// One message about the first thing that is wrong.
pub fn load(flags: &Flags, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Loaded, ConfigError> {
    let environment: Vec<(OsString, OsString)> = environment.into_iter().collect();
    let control = control_folder(environment.iter().cloned());
    let environment = Environment::read(environment)?;
    let words = [Figment::from(environment.words.clone()), Figment::from(flags.words())];
    let iface = words
        .iter()
        .map(Draft::read)
        .try_fold(None, |weaker, draft| draft.map(|draft| draft.iface.or(weaker)))?;
    let named = iface.map(|iface| iface.value);
    let found = find(&environment, named.as_deref().unwrap_or(DEFAULT_IFACE))?;
    let mut warnings = found.warnings;
    let (file, lowest) = match found.file {
        None => (None, Figment::new()),
        Some((path, layer)) => {
            warnings.extend_from_slice(layer.warnings());
            (Some(path), Figment::from(layer))
        }
    };
    let (iface, other) = interface(named, Draft::read(&lowest)?.iface);
    warnings.extend(other);
    let Draft {
        debug,
        log_format,
        wait,
        probe,
        resolve_wg_quick,
        metrics,
        settings,
        warnings: of_values,
        iface: _,
    } = Draft::read(&words.into_iter().fold(lowest, Figment::merge))?;
    let config = Config {
        wg_quick: wg_quick(resolve_wg_quick, environment.read_from(), &iface),
        directory: environment.read_from().to_owned(),
        iface,
        debug: debug.unwrap_or_default(),
        log_format: log_format.unwrap_or_default(),
        wait: wait.unwrap_or_default(),
        probe: probe.unwrap_or(true),
        file,
        state: Some(environment.state),
        control: Some(control),
        metrics,
        settings,
    };
    warnings.extend(of_values);
    warnings.extend(environment.warnings);
    if !config.probe && !config.settings.stun.is_empty() {
        warnings.push("no STUN server is asked: that takes probes, which Probe switches off".to_owned());
    }
    Ok(Loaded { config, warnings })
}

/// Reads what one file says by itself, without the layers above it; `file` is what errors call it.
///
/// # Errors
/// One message about the first thing that is wrong.
pub fn parse(format: FileFormat, file: &Path, bytes: &[u8]) -> Result<Config, ConfigError> {
    let layer = FileLayer::parse(file, format, bytes)?;
    let draft = Draft::read(&Figment::from(layer))?;
    let iface = draft
        .iface
        .map_or_else(|| DEFAULT_IFACE.to_owned(), |iface| iface.value);
    let directory = file.parent().unwrap_or(Path::new(""));
    Ok(Config {
        wg_quick: wg_quick(draft.resolve_wg_quick, directory, &iface),
        iface,
        debug: draft.debug.unwrap_or_default(),
        log_format: draft.log_format.unwrap_or_default(),
        wait: draft.wait.unwrap_or_default(),
        probe: draft.probe.unwrap_or(true),
        file: Some(file.to_owned()),
        directory: directory.to_owned(),
        state: None,
        control: None,
        metrics: draft.metrics,
        settings: draft.settings,
    })
}

/// Returns the file of wg-quick, which is beside ours, where its names are to be looked up.
fn wg_quick(is_wanted: Option<bool>, directory: &Path, iface: &str) -> Option<PathBuf> {
    let file = || directory.join(format!("{iface}.conf"));
    is_wanted.unwrap_or_default().then(file)
}

/// Returns the interface, and a sentence for the log where the file of one names another: a flag or a variable outweighs the file,
/// which outweighs the default.
fn interface(named: Option<String>, in_file: Option<Placed<String>>) -> (String, Option<String>) {
    let chosen = named.as_deref().unwrap_or(DEFAULT_IFACE);
    let Some(Placed { value, place }) = in_file.filter(|in_file| in_file.value != chosen) else {
        return (chosen.to_owned(), None);
    };
    let counts = if named.is_some() { chosen } else { &value };
    let warning = format!(
        "{place}: {value:?} contradicts the interface {chosen:?} whose file this is: {counts:?} counts; remove Iface or rename the file"
    );
    (counts.to_owned(), Some(warning))
}

/// The one file for an interface, and sentences for the log about others.
#[derive(Default)]
struct Found {
    file: Option<(PathBuf, FileLayer)>,
    warnings: Vec<String>,
}

/// Returns the one file for `iface` and what it says, if there is one.
fn find(environment: &Environment, iface: &str) -> Result<Found, ConfigError> {
    let mut found = Found::default();
    for ((_, format), name) in FileFormat::EXTENSIONS.into_iter().zip(file_names(iface)) {
        let path = environment.directory.join(&name);
        let Some(layer) = FileLayer::open(&environment.read_from().join(name), &path, format)? else {
            continue;
        };
        if let Some((first, _)) = found.file {
            return Err(ConfigError::SeveralFiles { first, second: path });
        }
        found.file = Some((path, layer));
    }
    // Beside a copy there is nothing else: whoever made it looked.
    if environment.copy.is_none() {
        found.warnings = strays(&environment.directory, iface)?;
    }
    Ok(found)
}

/// Looks for files that seem to be for `iface` and are not read, and returns sentences for the log about those that do no harm.
///
/// # Errors
/// When such a file is the only one, or in a format of its own beside the one that is read.
pub fn strays(directory: &Path, iface: &str) -> Result<Vec<String>, ConfigError> {
    let read = file_names(iface).map(|name| directory.join(name));
    let read = read.into_iter().find(|path| path.exists());
    let mut warnings = Vec::new();
    for stray in stray::find(directory, iface) {
        let file = directory.join(&stray.name);
        match &read {
            None => {
                let iface = iface.to_owned();
                return Err(ConfigError::NotRead { file, iface });
            }
            Some(first) if !stray.is_copy => {
                return Err(ConfigError::SeveralFiles {
                    first: first.clone(),
                    second: file,
                });
            }
            Some(first) => warnings.push(format!("{} is not read, {} is", file.display(), first.display())),
        }
    }
    Ok(warnings)
}

/// Returns the names that the file for `iface` may have.
pub fn file_names(iface: &str) -> [String; FileFormat::EXTENSIONS.len()] {
    FileFormat::EXTENSIONS.map(|(extension, _)| format!("{}.{extension}", prefix(iface)))
}

impl Flags {
    fn words(&self) -> Words {
        let typed = [
            ("--iface", &self.iface),
            ("--port", &self.port),
            ("--router", &self.router),
            ("--chatty", &self.chatty),
            ("--address-hash", &self.address_hash),
            ("--prune", &self.prune),
            ("--leave-peers", &self.leave_peers),
            ("--probe", &self.probe),
            ("--resolve-wg-quick", &self.resolve_wg_quick),
            ("--port-prediction", &self.port_prediction),
            ("--debug", &self.debug),
            ("--log-format", &self.log_format),
            ("--wait", &self.wait),
        ];
        let words = typed.into_iter().filter_map(|(flag, word)| {
            let key = TOP.iter().find(|key| key.flag == Some(flag))?;
            Some((key, word.clone()?))
        });
        Words::new(WordSource::CommandLine, words.collect())
    }
}

/// What the environment says.
struct Environment {
    words: Words,
    directory: PathBuf,
    copy: Option<PathBuf>,
    state: PathBuf,
    warnings: Vec<String>,
}

impl Environment {
    /// Takes our variables. An empty one says nothing; one that is none of ours is for somebody else, or a mistake that
    /// a warning can point out: it must not stop a daemon that ran with it yesterday.
    fn read(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let (mut words, mut directory, mut warnings) = (Vec::new(), None, Vec::new());
        let (mut state, mut copy) = (None, None);
        for (name, value) in variables {
            let name = name.to_string_lossy();
            if name == STATE_DIRECTORY {
                state = first_path(&value);
            }
            if !name.starts_with(VARIABLE_PREFIX) || value.is_empty() {
                continue;
            }
            if name == CONFIG_PATH {
                directory = Some(PathBuf::from(value));
            } else if name == CONFIG_COPY {
                copy = Some(PathBuf::from(value));
            } else if let Some(key) = TOP.iter().find(|key| key.variable == Some(&*name)) {
                words.push((key, text(key, value)?));
            } else {
                warnings.push(unknown(&name));
            }
        }
        let directory = match directory {
            None => PathBuf::from(DEFAULT_DIRECTORY),
            // It need not be seen from here: whoever made the copies saw it.
            Some(directory) if copy.is_some() => directory,
            Some(directory) => check(directory)?,
        };
        Ok(Self {
            words: Words::new(WordSource::Environment, words),
            directory,
            copy,
            state: state.unwrap_or_else(|| PathBuf::from(DEFAULT_STATE)),
            warnings,
        })
    }
}

impl Environment {
    /// Returns the directory that is read: that of copies, where the files themselves are for root alone.
    fn read_from(&self) -> &Path {
        self.copy.as_deref().unwrap_or(&self.directory)
    }
}

/// Returns the first of some directories that are separated by colons, as systemd gives them (systemd.exec).
fn first_path(value: &OsStr) -> Option<PathBuf> {
    let first = value
        .as_bytes()
        .split(|byte| *byte == b':')
        .find(|path| !path.is_empty());
    first.map(|path| PathBuf::from(OsStr::from_bytes(path)))
}

fn text(key: &Key, value: OsString) -> Result<String, ConfigError> {
    value.into_string().map_err(|_| ConfigError::Value {
        place: WordSource::Environment.place(key),
        found: "the value".to_owned(),
        expected: "not text: UTF-8".to_owned(),
    })
}

fn unknown(name: &str) -> String {
    // The prefix, which is right, would make every name resemble every other.
    let known = TOP.iter().filter_map(|key| key.variable).chain([CONFIG_PATH]);
    let known = known.filter_map(|name| name.strip_prefix(VARIABLE_PREFIX));
    let hint = nearest(name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name), known)
        .map(|tail| format!("; did you mean {VARIABLE_PREFIX}{tail}?"))
        .unwrap_or_default();
    let shown = redact(name);
    let name = shown.escape_debug();
    format!("environment variable {name} is ignored: there is no such setting{hint}")
}

/// Refuses a directory that the operator named and that is none: it would silently mean "no file".
///
/// # Errors
/// When nothing is there that can be seen from here, or something else.
pub fn check(directory: PathBuf) -> Result<PathBuf, ConfigError> {
    match fs::metadata(&directory) {
        Ok(found) if found.is_dir() => Ok(directory),
        Ok(_) => Err(ConfigError::Directory {
            directory,
            cause: io::Error::other("something else is there"),
        }),
        Err(cause) => Err(ConfigError::Directory { directory, cause }),
    }
}
