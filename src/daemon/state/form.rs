//! The text of the file of what survives a restart: from it and to it, without a file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mesh::base::identity::PublicKey;
use crate::mesh::keep::memory::{Memory, TooMany};
use crate::printable::redact;

/// The form of the text. Another number is another program's.
const VERSION: u32 = 1;
/// The longest text that is read, in bytes: what a node remembers at most takes less than half of it.
pub(super) const MAX_LEN: u64 = 64 << 20;

/// Whose text it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The interface.
    pub iface: String,
    /// Its key.
    pub key: PublicKey,
}

/// What stands in it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form<M> {
    version: u32,
    interface: String,
    public_key: PublicKey,
    /// Seconds since 1970.
    written: u64,
    memory: M,
}

/// What every version of it has.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

/// Why a text is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    /// Longer than any that is written.
    #[error("it is too long")]
    TooLong,
    /// No such text at all, or half of one.
    #[error("it is damaged at line {}, column {}", .0.line(), .0.column())]
    Damaged(#[from] serde_json::Error),
    /// The text of an older or newer program.
    #[error("it is of version {0}, this wirelink writes {VERSION}")]
    OtherVersion(u32),
    /// The memory of another interface.
    #[error("it is of the interface {:?}", redact(.0))]
    OtherInterface(String),
    /// The memory of another node.
    #[error("it is of another key, {0}: this interface is another node now")]
    OtherKey(PublicKey),
    /// More of something than a node remembers.
    #[error("it holds {0}")]
    TooMany(#[from] TooMany),
}

impl Owner {
    /// Reads what was remembered, with the time added that passed until `now`, counted from 1970.
    ///
    /// # Errors
    /// When this is not what [`write`](Self::write) wrote for this interface and key.
    pub fn read(&self, text: &[u8], now: Duration) -> Result<Memory, Misfit> {
        if text.len() as u64 > MAX_LEN {
            return Err(Misfit::TooLong);
        }
        let Head { version } = serde_json::from_slice(text)?;
        if version != VERSION {
            return Err(Misfit::OtherVersion(version));
        }
        let form: Form<Memory> = serde_json::from_slice(text)?;
        if form.interface != self.iface {
            return Err(Misfit::OtherInterface(form.interface));
        }
        if form.public_key != self.key {
            return Err(Misfit::OtherKey(form.public_key));
        }
        let mut memory = form.memory;
        memory.check()?;
        // A clock that went back says nothing about how long it was.
        memory.grow_older(now.saturating_sub(Duration::from_secs(form.written)));
        Ok(memory)
    }

    /// Returns the text for a memory as it is `now`, counted from 1970.
    ///
    /// # Panics
    /// Never: numbers, text and maps with text for keys have a form in JSON.
    pub fn write(&self, memory: &Memory, now: Duration) -> Vec<u8> {
        let form = Form {
            version: VERSION,
            interface: self.iface.clone(),
            public_key: self.key,
            written: now.as_secs(),
            memory,
        };
        serde_json::to_vec_pretty(&form).expect("numbers, text and maps with text for keys have a form in JSON")
    }
}
