//! The protocol and all policy: no IO, no clock, no threads, no async.

pub mod auth;
pub mod census;
pub mod device;
pub mod event;
pub mod fact;
pub mod gossip;
pub mod identity;
pub mod link;
pub mod local;
pub mod membership;
pub mod names;
pub mod node;
pub mod plan;
pub mod prefix;
pub mod reject;
pub mod route;
pub mod settings;
pub mod status;
pub mod time;
pub mod trust;
