//! From values to settings: the ways through a configuration, and the values at its top.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;

use figment::Figment;
use figment::value::Value;
use glob::Pattern;

use super::LogFormat;
use super::error::ConfigError;
use super::layer::{describe, kind};
use super::pattern::pattern;
use super::target::Target;
use crate::mesh::base::identity::AddressHash;
use crate::mesh::base::settings::{Host, InvalidHost, MAX_STUN, Prune, Settings};

/// The longest name of an interface: IFNAMSIZ in the kernel, less the closing zero.
const MAX_IFACE_LEN: usize = 15;

/// What some layers say together, before defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Draft {
    pub(super) iface: Option<Placed<String>>,
    pub(super) debug: Option<bool>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) wait: Option<bool>,
    pub(super) probe: Option<bool>,
    pub(super) resolve_wg_quick: Option<bool>,
    pub(super) metrics: Vec<Target>,
    pub(super) settings: Settings,
    /// Sentences for the log.
    pub(super) warnings: Vec<String>,
}

/// A value and where the operator wrote it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) place: String,
}

impl Draft {
    /// Reads what the layers of `figment` say.
    pub(super) fn read(figment: &Figment) -> Result<Self, ConfigError> {
        let root = figment
            .find_value("")
            .expect("our layers have their data at hand, and so never fail to provide it");
        let top = Node {
            figment,
            path: Vec::new(),
            value: &root,
        };
        let globs = |key| top.list(key, Node::glob);
        let (peers, warnings) = top.one("Peers", Node::peers)?.unwrap_or_default();
        Ok(Self {
            iface: top.one("Iface", |node| {
                Ok(Placed {
                    value: node.iface()?,
                    place: node.place(),
                })
            })?,
            debug: top.one("Debug", Node::boolean)?,
            log_format: top.one("LogFormat", Node::log_format)?,
            wait: top.one("Wait", Node::boolean)?,
            probe: top.one("Probe", Node::boolean)?,
            resolve_wg_quick: top.one("ResolveWgQuick", Node::boolean)?,
            metrics: top.one("Metrics", Node::targets)?.unwrap_or_default(),
            settings: Settings {
                overrides: BTreeMap::new(),
                port: top.one("Port", Node::port)?.flatten(),
                router: top.one("Router", Node::router)?.flatten(),
                chatty: top.one("Chatty", Node::boolean)?.unwrap_or_default(),
                report_ifaces: globs("ReportIfaces")?,
                hide_ifaces: globs("HideIfaces")?,
                allow_prefixes: top.one("AllowPrefixes", |node| node.each(Node::prefix))?,
                address_hash: top.one("AddressHash", Node::address_hash)?.unwrap_or_default(),
                prune: top.one("Prune", Node::prune)?.unwrap_or_default(),
                leave_peers: top.one("LeavePeers", Node::boolean)?.unwrap_or_default(),
                port_prediction: top.one("PortPrediction", Node::boolean)?,
                stun: top.one("Stun", Node::stun)?.unwrap_or_default(),
                peers,
            },
            warnings,
        })
    }
}

/// Returns the whole number that a fraction is, where it is one.
fn whole(fraction: f64) -> Option<i128> {
    (fraction.fract() == 0.0 && fraction.abs() <= f64::from(u16::MAX)).then_some(fraction as i128)
}

const NO_ADDRESS_HASH: &str = "not an address hash: sha1 or blake2s";

/// Takes the name of an address hash in any case.
///
/// # Errors
/// A text that says what is allowed.
pub fn address_hash(text: &str) -> Result<AddressHash, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "sha1" => Ok(AddressHash::Sha1),
        "blake2s" => Ok(AddressHash::Blake2s),
        _ => Err(NO_ADDRESS_HASH),
    }
}

/// A value and the way to it.
pub(super) struct Node<'a> {
    figment: &'a Figment,
    path: Vec<String>,
    pub(super) value: &'a Value,
}

impl<'a> Node<'a> {
    /// Returns what `key` says; null says nothing.
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        let value = self
            .value
            .as_dict()?
            .get(key)
            .filter(|value| !matches!(value, Value::Empty(..)))?;
        Some(self.below(key.to_owned(), value))
    }

    fn below(&self, step: String, value: &'a Value) -> Self {
        let mut path = self.path.clone();
        path.push(step);
        Self {
            figment: self.figment,
            path,
            value,
        }
    }

    pub(super) fn one<T>(
        &self,
        key: &str,
        read: impl Fn(&Self) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        self.get(key).map(|node| read(&node)).transpose()
    }

    pub(super) fn list<T>(
        &self,
        key: &str,
        read: impl Fn(&Self) -> Result<T, ConfigError>,
    ) -> Result<Vec<T>, ConfigError> {
        let list = self.one(key, |node| node.each(&read))?;
        Ok(list.unwrap_or_default())
    }

    pub(super) fn each<T>(&self, read: impl Fn(&Self) -> Result<T, ConfigError>) -> Result<Vec<T>, ConfigError> {
        let items = self.items("not a list, such as [\"one\", \"two\"]")?;
        items.iter().map(read).collect()
    }

    pub(super) fn items(&self, expected: &str) -> Result<Vec<Self>, ConfigError> {
        let items = self.value.as_array().ok_or_else(|| self.wrong_kind(expected))?;
        Ok(items
            .iter()
            .enumerate()
            .map(|(index, item)| self.below(index.to_string(), item))
            .collect())
    }

    /// Returns where the operator wrote the value.
    pub(super) fn place(&self) -> String {
        let metadata = self.figment.get_metadata(self.value.tag());
        metadata
            .map(|metadata| metadata.interpolate(self.figment.profile(), &self.path))
            .unwrap_or_default()
    }

    pub(super) fn wrong(&self, expected: impl Display) -> ConfigError {
        ConfigError::Value {
            place: self.place(),
            found: describe(self.value),
            expected: expected.to_string(),
        }
    }

    /// Refuses a value that should have been a structure.
    pub(super) fn wrong_kind(&self, expected: &str) -> ConfigError {
        ConfigError::Value {
            place: self.place(),
            found: kind(self.value).to_owned(),
            expected: expected.to_owned(),
        }
    }

    /// Returns the text, where it is one and `parse` takes it; `expected` speaks to those who wrote no text.
    pub(super) fn parse<T, E: Display>(
        &self,
        expected: impl Display,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, ConfigError> {
        let text = self.text().ok_or_else(|| self.wrong(expected))?;
        parse(&text).map_err(|error| self.wrong(error))
    }

    /// Returns the text that a single value stands for: v1 takes a number for its digits, and a boolean for 1 or 0.
    fn text(&self) -> Option<Cow<'a, str>> {
        match self.value {
            Value::String(_, text) => Some(text.as_str().into()),
            Value::Char(_, c) => Some(c.to_string().into()),
            Value::Bool(_, value) => Some(if *value { "1" } else { "0" }.into()),
            Value::Num(_, number) => {
                let whole = number.to_i128().map(|whole| whole.to_string());
                let text = whole.or_else(|| number.to_f64().map(|fraction| fraction.to_string()));
                text.map(Cow::from)
            }
            Value::Empty(..) | Value::Dict(..) | Value::Array(..) => None,
        }
    }

    /// Reads true or false; also the words for them, as a variable has nothing else.
    pub(super) fn boolean(&self) -> Result<bool, ConfigError> {
        self.truth()
            .ok_or_else(|| self.wrong("not a boolean: true or false (also yes or no, on or off, 1 or 0)"))
    }

    /// Reads a boolean, or "auto", which wirelink v1 takes for "found out".
    fn router(&self) -> Result<Option<bool>, ConfigError> {
        if self
            .value
            .as_str()
            .is_some_and(|text| text.eq_ignore_ascii_case("auto"))
        {
            return Ok(None);
        }
        self.truth()
            .map(Some)
            .ok_or_else(|| self.wrong("not a choice: true, false or auto"))
    }

    /// Reads what v1 takes for a boolean, and more words: any number but 0 is true, an empty text is false.
    fn truth(&self) -> Option<bool> {
        if let Value::Num(_, number) = self.value {
            return Some(number.to_i128() != Some(0) && number.to_f64() != Some(0.0));
        }
        let Some(text) = self.value.as_str() else {
            return self.value.to_bool();
        };
        match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
            "false" | "f" | "no" | "n" | "off" | "0" | "" => Some(false),
            _ => None,
        }
    }

    /// Reads a port; 0 and an empty text say nothing, as in a dump of v1.
    fn port(&self) -> Result<Option<u16>, ConfigError> {
        let number = match self.value {
            Value::Num(_, number) => number.to_i128().or_else(|| number.to_f64().and_then(whole)),
            Value::String(_, text) if text.is_empty() => Some(0),
            Value::String(_, text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            Value::String(_, text) => text
                .strip_prefix("0x")
                .and_then(|hex| u16::from_str_radix(hex, 16).ok())
                .map(i128::from),
            Value::Char(..) | Value::Bool(..) | Value::Empty(..) | Value::Dict(..) | Value::Array(..) => None,
        };
        let port = number.and_then(|number| u16::try_from(number).ok());
        let port =
            port.ok_or_else(|| self.wrong("not a port: a whole number from 1 to 65535, or 0 for the default"))?;
        Ok((port != 0).then_some(port))
    }

    fn iface(&self) -> Result<String, ConfigError> {
        let expected = "not the name of an interface: 1 to 15 characters without blanks, / and :, such as wg0";
        let valid = |text: &str| {
            (1..=MAX_IFACE_LEN).contains(&text.len())
                && text != "."
                && text != ".."
                && !text
                    .chars()
                    .any(|c| c.is_whitespace() || c.is_control() || c == '/' || c == ':')
        };
        self.parse(expected, |text| valid(text).then(|| text.to_owned()).ok_or(expected))
    }

    fn glob(&self) -> Result<Pattern, ConfigError> {
        let expected = "not an interface name or a glob: such as eth0, veth* or wlan[0-3]";
        self.parse(expected, |text| pattern(text).ok_or(expected))
    }

    fn stun(&self) -> Result<Vec<Host>, ConfigError> {
        let servers = self.each(|node| {
            let expected = "not a server: host:port, such as stun.example.org:3478 or 192.0.2.1:3478";
            node.parse(expected, |text| text.parse().map_err(|InvalidHost| expected))
        })?;
        let few = (servers.len() <= MAX_STUN).then_some(servers);
        few.ok_or_else(|| self.wrong_kind(&format!("too long a list: at most {MAX_STUN} servers")))
    }

    fn prune(&self) -> Result<Prune, ConfigError> {
        let expected = "not a choice: introduced, all or never";
        self.parse(expected, |text| match text.to_ascii_lowercase().as_str() {
            "introduced" => Ok(Prune::Introduced),
            "all" => Ok(Prune::All),
            "never" => Ok(Prune::Never),
            _ => Err(expected),
        })
    }

    fn log_format(&self) -> Result<LogFormat, ConfigError> {
        let expected = "not a choice: auto, plain or json";
        self.parse(expected, |text| match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(LogFormat::Auto),
            "plain" => Ok(LogFormat::Plain),
            "json" => Ok(LogFormat::Json),
            _ => Err(expected),
        })
    }

    fn address_hash(&self) -> Result<AddressHash, ConfigError> {
        self.parse(NO_ADDRESS_HASH, address_hash)
    }
}
