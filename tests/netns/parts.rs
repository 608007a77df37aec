//! The parts of the lab that a benchmark needs, too: it names this file, and takes all of them to its root.

pub(crate) mod command;
pub(crate) mod lab;
pub(crate) mod look;
pub(crate) mod namespace;
pub(crate) mod network;
pub(crate) mod operator;
pub(crate) mod router;
#[path = "../scenario/mod.rs"]
pub(crate) mod scenario;
pub(crate) mod settings;
pub(crate) mod show;
pub(crate) mod sweep;
pub(crate) mod traffic;
pub(crate) mod tunnel;
