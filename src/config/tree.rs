//! The file formats, read into one tree that still has every key in the spelling and the number it was written.

use std::fmt;
use std::path::Path;

use figment::providers::{Format, Json, Toml};
use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_saphyr::{DuplicateKeyPolicy, MessageFormatter as _, UserMessageFormatter};

use super::error::ConfigError;
use crate::printable::redact;

/// A value of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Whole(i128),
    /// Another number.
    Fraction(f64),
    /// Text.
    Text(String),
    /// Values in their order.
    List(Vec<Tree>),
    /// Keys with values, in their order; a key may be there twice.
    Table(Vec<(String, Tree)>),
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// RFC 8259.
    Json,
    /// YAML 1.2.
    Yaml,
    /// TOML 1.0.
    Toml,
    /// Lines of `KEY=value`, as in a shell.
    Env,
}

impl FileFormat {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Json, Self::Yaml, Self::Toml, Self::Env];

    /// How the names of the files that are read end, and the format that each promises.
    pub(super) const EXTENSIONS: [(&'static str, Self); 6] = [
        ("json", Self::Json),
        ("yaml", Self::Yaml),
        ("yml", Self::Yaml),
        ("toml", Self::Toml),
        ("env", Self::Env),
        ("dotenv", Self::Env),
    ];

    /// Parses what stands in `file`.
    pub(super) fn parse(self, file: &Path, text: &str) -> Result<Tree, ConfigError> {
        let parsed = match self {
            Self::Json => Json::from_str(text).map_err(|error| of_json(&error)),
            Self::Yaml => Yaml::from_str(text).map_err(|error| of_yaml(&error.0)),
            Self::Toml => Toml::from_str(text).map_err(|error| {
                (
                    error.span().map(|span| line_and_column(text, span.start)),
                    error.message().to_owned(),
                )
            }),
            Self::Env => assignments(text),
        };
        let name = match self {
            Self::Json => Json::NAME,
            Self::Yaml => Yaml::NAME,
            Self::Toml => Toml::NAME,
            Self::Env => "an environment file",
        };
        parsed.map_err(|(at, message)| ConfigError::Syntax {
            file: file.to_owned(),
            format: name,
            at,
            message: redact(&one_line(&message)).into_owned(),
        })
    }
}

/// Line and column, from 1.
type At = Option<(u64, u64)>;

fn of_json(error: &serde_json::Error) -> (At, String) {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let message = text
        .strip_suffix(&format!(" at line {line} column {column}"))
        .unwrap_or(&text);
    ((line > 0).then_some((line as u64, column as u64)), message.to_owned())
}

fn of_yaml(error: &serde_saphyr::Error) -> (At, String) {
    let at = error.location().map(|location| (location.line(), location.column()));
    let message = match error.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => format!("the key {key} is there twice"),
        other => UserMessageFormatter.format_message(other).into_owned(),
    };
    (at, message)
}

fn line_and_column(text: &str, offset: usize) -> (u64, u64) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1);
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let column = 1 + String::from_utf8_lossy(&before[start..]).chars().count();
    (line as u64, column as u64)
}

fn one_line(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    words
        .join(" ")
        .chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect()
}

/// Reads lines of `KEY=value`. There may be `export` before them, quotes around values, and remarks after `#`.
fn assignments(text: &str) -> Result<Tree, (At, String)> {
    let mut table = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |message: &str| (Some((number, 1)), message.to_owned());
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (key, value) = line.split_once('=').ok_or_else(|| wrong("expected KEY=value"))?;
        let value = assigned(value.trim()).map_err(wrong)?;
        table.push((key.trim().to_owned(), Tree::Text(value.to_owned())));
    }
    Ok(Tree::Table(table))
}

/// Returns the value that stands on the right of an assignment.
fn assigned(written: &str) -> Result<&str, &'static str> {
    let quote = written.chars().next().filter(|first| matches!(first, '"' | '\''));
    let value = match quote {
        Some(quote) => written[1..].split_once(quote).ok_or("a quote is not closed")?.0,
        None => written.split(" #").next().unwrap_or_default().trim_end(),
    };
    if quote != Some('\'') && value.contains(['$', '\\']) {
        return Err("neither variables nor escapes are read: write the value itself, or put it between single quotes");
    }
    Ok(value)
}

/// YAML for figment, whose own is built on a crate that is archived.
struct Yaml;

/// An error of the YAML parser, in the form that figment asks of one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct YamlError(serde_saphyr::Error);

impl de::Error for YamlError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(de::Error::custom(message))
    }
}

impl Format for Yaml {
    type Error = YamlError;

    const NAME: &'static str = "YAML";

    fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
        // No snippets: an error must not print lines of a file that may hold secrets.
        let options = serde_saphyr::options! { with_snippet: false, duplicate_keys: DuplicateKeyPolicy::Error };
        serde_saphyr::from_str_with_options(text, options).map_err(YamlError)
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

/// The key under which the `toml` crate hands out a date, for which serde has no word.
const TOML_DATE: &str = "$__toml_private_datetime";

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, true, false, null, text, a list or keys with values")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Whole(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Whole(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Tree, E> {
        Ok(Tree::Whole(value))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Tree, E> {
        Ok(i128::try_from(value).map_or(Tree::Fraction(value as f64), Tree::Whole))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Fraction(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(value))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut table = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            table.push(entry);
        }
        match table.as_slice() {
            [(key, Tree::Text(date))] if key == TOML_DATE => Ok(Tree::Text(date.clone())),
            _ => Ok(Tree::Table(table)),
        }
    }
}
