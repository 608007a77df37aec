//! The simulator: a seeded world with a virtual clock, in which the real node runs on modelled machines and networks.

mod adversary;
mod bans;
mod blocked;
mod crash;
mod direct;
mod draw;
mod experiment;
mod flows;
mod hopeless;
mod host;
mod invariants;
mod kernel_rules;
mod liar;
mod lies;
mod memory;
mod mixed;
mod moves;
mod names;
mod nat;
mod net;
mod overlaps;
mod paths;
mod pings;
mod play;
mod ports;
mod powers;
mod program;
mod promises;
mod random;
mod reasons;
mod roaming;
mod roles;
#[allow(dead_code, reason = "some of it is for the lab")]
#[path = "../scenario/mod.rs"]
mod scenario;
mod scenarios;
mod stage;
mod star;
mod stun;
mod trace;
mod traces;
mod v1;
mod why;
mod wire;
mod wireguard;
mod world;
