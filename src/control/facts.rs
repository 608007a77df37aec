//! What a node believes, and what it does not.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::settings::TrustLevel;

/// What is believed, and what is not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// [`VERSION`](super::VERSION) of the daemon.
    pub version: u32,
    /// What is believed, in the order of the subjects.
    pub facts: Vec<Fact>,
    /// What is believed and not done.
    pub refused: Vec<Refused>,
    /// What was not believed.
    pub rejected: Vec<Rejected>,
}

/// Something that is believed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// About whom.
    pub subject: PublicKey,
    /// What that is called.
    pub name: Option<String>,
    /// The attribute.
    pub attribute: String,
    /// The value.
    pub value: String,
    /// Who said so.
    pub origin: String,
    /// How far the word of that goes.
    pub trust: Option<TrustLevel>,
    /// For how many seconds it still counts.
    pub expires_seconds: u64,
    /// The peers that were told it, or said it themselves, in the order of their keys; only where one peer was asked about, as there may
    /// be a thousand for each fact.
    pub told: Option<Vec<String>>,
}

/// A prefix that is claimed and not programmed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// The prefix.
    pub prefix: IpNet,
    /// For whom it is claimed.
    pub claimant: PublicKey,
    /// Why not, for people.
    pub text: String,
}

/// What was not believed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    /// Who said it; strangers are one.
    pub sender: Option<PublicKey>,
    /// The name of the sender.
    #[serde(default)]
    pub name: Option<String>,
    /// Why not, for people.
    pub text: String,
    /// How often.
    pub times: u64,
}
