//! What the operator wrote: a file, environment variables and flags, read into one [`Config`] or one clear error.

mod dump;
mod error;
mod keys;
mod layer;
mod load;
mod pattern;
mod peer;
mod read;
mod stray;
mod target;
#[cfg(test)]
mod tests;
mod tree;

use std::path::PathBuf;

use serde::Serialize;

use crate::mesh::base::settings::Settings;

pub use error::ConfigError;
pub use keys::{CONFIG_COPY, CONFIG_PATH};
pub use layer::read as read_bytes;
pub use load::{
    DEFAULT_DIRECTORY, DEFAULT_IFACE, Flags, Loaded, check as check_directory, control_folder, file_names, load, parse,
    strays,
};
pub use read::address_hash;
pub use target::{InvalidTarget, Target};
pub use tree::FileFormat;

/// In which form lines are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// To the journal with fields where standard error is the journal's, else as [`Plain`](Self::Plain).
    #[default]
    Auto,
    /// Lines of text on standard error.
    Plain,
    /// An object of JSON a line on standard error, for programs that collect logs.
    Json,
}

/// The effective settings of one interface.
#[derive(Clone, Debug)]
pub struct Config {
    /// The WireGuard interface. Default: `wg0`.
    pub iface: String,
    /// Whether to log details.
    pub debug: bool,
    /// In which form lines are logged.
    pub log_format: LogFormat,
    /// Whether to wait for an interface that is missing, or vanishes. Default: no, as a mistake in its name would show late.
    pub wait: bool,
    /// Whether to probe peers from WireGuard's own port, where raw sockets can be had. Default: yes. Off is for machines on which
    /// nobody may open a raw socket; peers are found in spite of it, but each endpoint that is tried takes 5 s.
    pub probe: bool,
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// Where files are looked for, at the next reading, too.
    pub directory: PathBuf,
    /// The folder of what survives a restart; nothing does where there is none.
    pub state: Option<PathBuf>,
    /// The folder of the control sockets; there is none where there is no folder.
    pub control: Option<PathBuf>,
    /// The file of wg-quick, where the names in it are to be looked up. Default: none, as it holds the private key, which wirelink
    /// otherwise only asks the device for.
    pub wg_quick: Option<PathBuf>,
    /// Where metrics go, and where the page is. Default: nowhere.
    pub metrics: Vec<Target>,
    /// What the node itself needs.
    pub settings: Settings,
}
