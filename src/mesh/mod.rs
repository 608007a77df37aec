//! The protocol and all policy: no IO, no clock, no threads, no async.
//!
//! The contract is [`Node`](node::Node): hand in [`Input`](event::Input)s with the time, carry out [`Output`](event::Output)s in
//! order, come back at the [`Deadline`](time::Deadline).
//!
//! Layers, each of which may use those before it: `time`, `identity`, `ports`, `prefixes`, `dense`; then `auth`, `fact`, `device`, `mirror`,
//! `host`, `prefix`, `outward`, `settings`, `memory`, `tally`, `overlap`, `role`, `bans`; then the deciding modules, which do not import one another (`trust`,
//! `membership`, `link`, `nat64`, `endpoints`, `route`, `plan`, `gossip`, `local`, `names`, `ping`, `silence`, `stun`, `turns`); then
//! `event`, `rejections`, `census`, `contest`, `node`, `status`.

#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod auth;
pub mod bans;
pub mod budget;
pub mod census;
pub mod contest;
pub mod dense;
pub mod device;
pub mod endpoints;
pub mod event;
pub mod fact;
pub mod gossip;
pub mod host;
pub mod identity;
pub mod link;
pub mod local;
pub mod membership;
pub mod memory;
pub mod mirror;
pub mod moved;
pub mod names;
pub mod nat64;
pub mod node;
pub mod nudge;
pub mod outward;
pub mod overlap;
pub mod ping;
pub mod plan;
pub mod ports;
pub mod prefix;
pub mod prefixes;
pub mod probe;
pub mod reason;
pub mod refused;
pub mod rejections;
pub mod role;
pub mod route;
pub mod settings;
pub mod silence;
pub mod status;
pub mod stun;
pub mod tally;
pub mod time;
pub mod trust;
pub mod turns;
