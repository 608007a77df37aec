//! The layers of a configuration as figment providers: what they hold, under the one name of each key, and where the
//! operator wrote it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use figment::value::{Dict, Empty, Map, Tag, Value};
use figment::{Metadata, Profile, Provider};

use super::error::ConfigError;
use super::keys::{self, Key};
use super::tree::{FileFormat, Tree};
use crate::printable::redact;

/// No configuration that people write comes near; a wrong file may be of any size.
const MAX_FILE_LEN: u64 = 1 << 20;

/// What single words say: environment variables or flags.
#[derive(Clone, Debug)]
pub(super) struct Words {
    source: WordSource,
    words: Vec<(&'static Key, String)>,
}

/// Where words come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordSource {
    /// Environment variables.
    Environment,
    /// The command line.
    CommandLine,
}

impl WordSource {
    /// Returns how the operator knows `key` there.
    pub(super) fn place(self, key: &Key) -> String {
        match self {
            Self::Environment => format!("environment variable {}", key.variable.unwrap_or(key.name)),
            Self::CommandLine => format!("flag {}", key.flag.unwrap_or(key.name)),
        }
    }
}

impl Words {
    /// Takes what was said about single keys.
    pub(super) fn new(source: WordSource, words: Vec<(&'static Key, String)>) -> Self {
        Self { source, words }
    }
}

impl Provider for Words {
    fn metadata(&self) -> Metadata {
        let source = self.source;
        Metadata::named("words").interpolater(move |_, path| {
            let key = path
                .first()
                .and_then(|name| keys::TOP.iter().find(|key| key.name == *name));
            key.map(|key| source.place(key)).unwrap_or_default()
        })
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let values = self.words.iter().map(|(key, word)| {
            let value = if key.list {
                Value::from(split(word))
            } else {
                Value::from(word.clone())
            };
            (key.name.to_owned(), value)
        });
        Ok(Map::from([(Profile::Default, values.collect())]))
    }
}

fn split(word: &str) -> Vec<String> {
    word.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A file that keeps to the keys there are.
#[derive(Clone, Debug)]
pub(super) struct FileLayer {
    file: PathBuf,
    dict: Dict,
    spelling: Spelling,
    warnings: Vec<String>,
}

/// The keys as the operator spelled them, by the path of their names.
type Spelling = BTreeMap<Vec<String>, String>;

impl FileLayer {
    /// Reads what is `at` a place, or returns `None` where there is nothing; `file` is what the operator calls it.
    pub(super) fn open(at: &Path, file: &Path, format: FileFormat) -> Result<Option<Self>, ConfigError> {
        let bytes = match read(at) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(cause) => {
                return Err(ConfigError::Unreadable {
                    file: file.to_owned(),
                    cause,
                });
            }
        };
        Self::parse(file, format, &bytes).map(Some)
    }

    /// Takes the content of `file`.
    pub(super) fn parse(file: &Path, format: FileFormat, bytes: &[u8]) -> Result<Self, ConfigError> {
        let text = std::str::from_utf8(bytes).map_err(|error| ConfigError::Syntax {
            file: file.to_owned(),
            format: "UTF-8 text",
            at: None,
            message: format!("byte {} is wrong", error.valid_up_to() + 1),
        })?;
        let mut reading = Reading {
            file,
            spelling: Spelling::new(),
            warnings: Vec::new(),
        };
        // Editors on other systems put a byte order mark before UTF-8.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let dict = match format.parse(file, text)? {
            Tree::Null => Dict::new(),
            Tree::Table(entries) => reading.table(&keys::TOP, &[], entries)?,
            other @ (Tree::Bool(_) | Tree::Whole(_) | Tree::Fraction(_) | Tree::Text(_) | Tree::List(_)) => {
                return Err(reading.no_table(&other));
            }
        };
        Ok(Self {
            file: file.to_owned(),
            dict,
            spelling: reading.spelling,
            warnings: reading.warnings,
        })
    }

    /// Returns sentences for the log about what the file says twice.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl Provider for FileLayer {
    fn metadata(&self) -> Metadata {
        let (file, spelling) = (self.file.clone(), self.spelling.clone());
        Metadata::named("file")
            .source(self.file.as_path())
            .interpolater(move |_, path| {
                let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
                place(&file, &spelling, &path)
            })
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

/// Returns the bytes of a regular file of bearable size: another would block, or never end.
pub fn read(file: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_FILE_LEN + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_LEN {
        return Err(io::Error::other("it is larger than 1 MiB, which no configuration is"));
    }
    Ok(bytes)
}

/// Returns a place in a file as its author would write it: `peers[2].AllowedIPs[0]`.
fn place(file: &Path, spelling: &Spelling, path: &[String]) -> String {
    let mut place = String::new();
    for end in 1..=path.len() {
        match spelling.get(&path[..end]) {
            Some(key) if place.is_empty() => place.push_str(key),
            Some(key) => place.extend([".", key]),
            None => place.extend(["[", &path[end - 1], "]"]),
        }
    }
    format!("{}: {place}", file.display())
}

/// A file on its way to the one name of every key.
struct Reading<'a> {
    file: &'a Path,
    spelling: Spelling,
    warnings: Vec<String>,
}

impl Reading<'_> {
    fn table(&mut self, keys: &[Key], path: &[String], entries: Vec<(String, Tree)>) -> Result<Dict, ConfigError> {
        let mut dict = Dict::new();
        for (written, tree) in entries {
            if path.is_empty()
                && keys::WITHOUT_MEANING
                    .iter()
                    .any(|key| key.eq_ignore_ascii_case(&written))
            {
                continue;
            }
            let key = keys.iter().find(|key| key.is(&written));
            let key = key.ok_or_else(|| self.unknown(keys, path, &written))?;
            let path = [path, &[key.name.to_owned()]].concat();
            if self.spelling.contains_key(&path) && !self.replaces(key, &path, &written)? {
                continue;
            }
            self.spelling.insert(path.clone(), written);
            let value = match tree {
                tree if key.name == "Peers" => match entries_of(tree) {
                    Tree::List(items) => self.peers(&path, items)?,
                    other => value(other),
                },
                tree if key.list => value(list_of(tree)),
                tree => value(tree),
            };
            dict.insert(key.name.to_owned(), value);
        }
        Ok(dict)
    }

    /// Tells whether a key that is there twice counts the second time, as the loader of v1 has it: a spelling in lower case gives way
    /// to any other, else the later one counts. Keys that v1 does not have are refused.
    fn replaces(&mut self, key: &Key, path: &[String], written: &str) -> Result<bool, ConfigError> {
        let first = self.spelling.get(path).cloned().unwrap_or_default();
        let is_lower = |text: &str| !text.contains(|c: char| c.is_ascii_uppercase());
        let replaces = !is_lower(written) || is_lower(&first);
        if !key.v1 {
            self.spelling.insert(path.to_owned(), written.to_owned());
            let place = place(self.file, &self.spelling, path);
            return Err(ConfigError::DuplicateKey { place, first });
        }
        let at = place(self.file, &self.spelling, path);
        self.warnings.push(if replaces {
            format!(
                "{at}: is there again as {}, which counts: keep one of them",
                spelled(written)
            )
        } else {
            format!(
                "{at}: is there again as {}, which does not count: keep one of them",
                spelled(written)
            )
        });
        if replaces {
            self.spelling.retain(|known, _| !known.starts_with(path));
        }
        Ok(replaces)
    }

    fn peers(&mut self, path: &[String], items: Vec<Tree>) -> Result<Value, ConfigError> {
        let read = |(index, item): (usize, Tree)| match item {
            Tree::Table(entries) => {
                let path = [path, &[index.to_string()]].concat();
                Ok(Value::from(self.table(&keys::PEER, &path, entries)?))
            }
            other => Ok(value(other)),
        };
        items
            .into_iter()
            .enumerate()
            .map(read)
            .collect::<Result<Vec<Value>, _>>()
            .map(Value::from)
    }

    fn unknown(&self, keys: &[Key], path: &[String], written: &str) -> ConfigError {
        let above = place(self.file, &self.spelling, path);
        let separator = if path.is_empty() { "" } else { "." };
        let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
        ConfigError::UnknownKey {
            place: format!("{above}{separator}{}", spelled(written)),
            hint: keys::nearest(written, keys.iter().map(|key| key.name)),
            allowed: names.join(", "),
        }
    }

    fn no_table(&self, found: &Tree) -> ConfigError {
        ConfigError::Value {
            place: self.file.display().to_string(),
            found: kind(&value(found.clone())).to_owned(),
            expected: "not a configuration: keys such as Iface and Peers with their values".to_owned(),
        }
    }
}

/// Returns the list that a single value stands for: a text is split at its commas, as in a variable.
fn list_of(tree: Tree) -> Tree {
    match tree {
        Tree::Text(text) => Tree::List(split(&text).into_iter().map(Tree::Text).collect()),
        Tree::Table(entries) if entries.is_empty() => Tree::List(Vec::new()),
        Tree::Whole(_) | Tree::Fraction(_) | Tree::Bool(_) => Tree::List(vec![tree]),
        Tree::Null | Tree::List(_) | Tree::Table(_) => tree,
    }
}

/// Returns the list of peers that a single table, or nothing, stands for.
fn entries_of(tree: Tree) -> Tree {
    match tree {
        Tree::Table(entries) if entries.is_empty() => Tree::List(Vec::new()),
        Tree::Text(text) if text.is_empty() => Tree::List(Vec::new()),
        Tree::Table(_) => Tree::List(vec![tree]),
        Tree::Null | Tree::Bool(_) | Tree::Whole(_) | Tree::Fraction(_) | Tree::Text(_) | Tree::List(_) => tree,
    }
}

/// Turns a tree into figment's form. What stands below a key that asks for no table is there for its kind only.
fn value(tree: Tree) -> Value {
    match tree {
        Tree::Null => Value::Empty(Tag::Default, Empty::None),
        Tree::Bool(value) => Value::from(value),
        Tree::Whole(value) => Value::from(value),
        Tree::Fraction(value) => Value::from(value),
        Tree::Text(value) => Value::from(value),
        Tree::List(items) => Value::from(items.into_iter().map(value).collect::<Vec<_>>()),
        Tree::Table(entries) => Value::from(
            entries
                .into_iter()
                .map(|(key, tree)| (key, value(tree)))
                .collect::<Dict>(),
        ),
    }
}

/// Returns how a message shows a value.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::String(_, text) if redact(text) != *text => "the text (not shown: it may be a secret)".to_owned(),
        Value::String(_, text) => shorten(text),
        Value::Char(_, c) => format!("{c:?}"),
        Value::Bool(_, value) => value.to_string(),
        Value::Num(_, number) => match (number.to_i128(), number.to_f64()) {
            (Some(whole), _) => whole.to_string(),
            (None, Some(fraction)) => fraction.to_string(),
            (None, None) => kind(value).to_owned(),
        },
        Value::Empty(..) | Value::Dict(..) | Value::Array(..) => kind(value).to_owned(),
    }
}

/// Returns how a message speaks of a value without showing it: where a structure is missing, the text that stands in
/// its place may be anything.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(..) | Value::Char(..) => "a text",
        Value::Bool(..) => "a boolean",
        Value::Num(..) => "a number",
        Value::Empty(..) => "null",
        Value::Dict(..) => "a table of keys and values",
        Value::Array(..) => "a list",
    }
}

/// Returns a key as it was written, in quotes where it needs them.
fn spelled(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let plain = (1..=40).contains(&key.len()) && redact(key) == key && key.bytes().all(plain);
    if plain { key.to_owned() } else { shorten(key) }
}

/// Quotes a text, its beginning if it is long: enough to find it by. A key pasted in the wrong place stays out of logs.
fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    let text = &*redact(text);
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}
