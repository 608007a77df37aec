//! The protocol and all policy: no IO, no clock, no threads, no async.

pub mod device;
pub mod event;
pub mod identity;
pub mod node;
pub mod settings;
pub mod status;
pub mod time;
