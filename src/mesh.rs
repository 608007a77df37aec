//! The protocol and all policy: no IO, no clock, no threads, no async.
//!
//! The contract is [`Node`](node::Node): hand in [`Input`](show::event::Input)s with the time, carry out
//! [`Output`](show::event::Output)s in order, come back at the [`Deadline`](base::time::Deadline).
//!
//! Each group answers one question, and uses only groups before it: [`base`]; [`device`]; [`believe`]; [`keep`]; then [`members`],
//! [`reach`], [`route`] and [`share`], which do not use one another; [`show`]; [`node`]. `tests/house` checks that.

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
