//! What do we say, to whom, and how often.

pub mod gossip;
pub mod local;
pub mod ports;
