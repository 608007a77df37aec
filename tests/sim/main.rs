//! The simulator: a seeded world with a virtual clock, in which the real node runs on modelled machines and networks.

mod draw;
mod flows;
mod host;
mod invariants;
mod kernel_rules;
mod nat;
mod net;
mod play;
mod random;
#[path = "../scenario/mod.rs"]
mod scenario;
mod scenarios;
mod stage;
mod v1;
mod wireguard;
mod world;
