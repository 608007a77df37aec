//! How a peer is called in what people read.

use std::fmt;

use crate::mesh::base::identity::PublicKey;

/// A peer as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerName {
    /// Its key.
    pub key: PublicKey,
    /// Its name, where the operator or the network gave it one.
    pub name: Option<String>,
}

impl PeerName {
    /// Returns what to call it in one word: its name, or the beginning of its key.
    pub fn name_or_key(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.key.short())
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.key.short()),
            None => f.write_str(&self.key.short()),
        }
    }
}
