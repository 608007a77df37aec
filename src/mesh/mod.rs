//! The protocol and all policy: no IO, no clock, no threads, no async.

pub mod auth;
pub mod device;
pub mod event;
pub mod fact;
pub mod identity;
pub mod node;
pub mod settings;
pub mod status;
pub mod time;
