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

pub mod base;
pub mod believe;
pub mod device;
pub mod keep;
pub mod members;
pub mod node;
pub mod reach;
pub mod route;
pub mod share;
pub mod show;
