//! Where do we reach a peer: links, probes, names, and how others see us.

pub mod endpoints;
pub mod link;
pub mod moved;
pub mod names;
pub mod nat64;
pub mod nudge;
pub mod ping;
pub mod probe;
pub mod silence;
pub mod stun;
pub mod turns;
