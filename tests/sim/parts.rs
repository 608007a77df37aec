//! The parts of the simulator that a benchmark needs, too: it names this file, and takes all of them to its root.

pub(crate) mod draw;
pub(crate) mod flows;
pub(crate) mod host;
pub(crate) mod nat;
pub(crate) mod net;
pub(crate) mod program;
#[path = "../scenario/mod.rs"]
pub(crate) mod scenario;
pub(crate) mod star;
pub(crate) mod trace;
pub(crate) mod v1;
pub(crate) mod wireguard;
pub(crate) mod world;
