//! What comes of a ping.

use serde::{Deserialize, Serialize};

use super::{Path, VERSION};
use crate::mesh::base::identity::PublicKey;

/// How long the ways to a peer take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pong {
    /// [`VERSION`] of the daemon.
    pub version: u32,
    /// The peer.
    pub key: PublicKey,
    /// What it is called.
    pub name: Option<String>,
    /// Which way its traffic takes now.
    pub path: Path,
    /// The router through which that goes, where it does.
    pub via: Option<String>,
    /// To the peer itself.
    pub direct: Trip,
    /// Through the routers that both have.
    pub relayed: Trip,
}

/// There and back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trip {
    /// How long it took, in milliseconds, where it was answered.
    pub ms: Option<f64>,
    /// What came of it, as a stable code: `answered`, `no-answer`, or why nothing was sent.
    pub code: String,
    /// The same for people.
    pub text: String,
}

impl Pong {
    /// Returns what is to be said of a peer where nothing is answered.
    pub fn new(key: PublicKey, name: Option<String>, path: Path, via: Option<String>) -> Self {
        let silence = Trip {
            ms: None,
            code: "no-answer".to_owned(),
            text: "no answer".to_owned(),
        };
        Self {
            version: VERSION,
            key,
            name,
            path,
            via,
            direct: silence.clone(),
            relayed: silence,
        }
    }
}
