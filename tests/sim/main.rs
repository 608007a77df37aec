//! The simulator: a seeded world with a virtual clock, in which the real node runs on modelled machines and networks.

mod kernel_rules;
mod v1;
mod wireguard;
