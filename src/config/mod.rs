//! What the operator wrote.

use std::path::PathBuf;

use crate::mesh::settings::Settings;

/// The effective settings of one interface.
#[derive(Clone, Debug)]
pub struct Config {
    /// The WireGuard interface. Default: `wg0`.
    pub iface: String,
    /// Whether to log details.
    pub debug: bool,
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// What the node itself needs.
    pub settings: Settings,
}
