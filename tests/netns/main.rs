//! The lab: the scenarios on real WireGuard, in network namespaces of this machine, with the real daemon.
//!
//! It needs root; `tests/run lab` installs what else it needs. `WIRELINK_LAB=kernel` takes the kernel's WireGuard, where it
//! has one, instead of wireguard-go.

mod advice;
mod bed;
mod borders;
mod claims;
mod clones;
mod command;
mod company;
mod control;
mod crash;
mod doctor;
mod firewalls;
mod keeper;
mod lab;
mod look;
mod machine;
mod manager;
mod matrix;
mod meshed;
mod metrics;
mod mixed;
mod names;
mod namespace;
mod nat64;
mod neighbours;
mod network;
mod operator;
mod play;
mod ports;
mod probes;
mod reasons;
mod router;
mod rules;
#[path = "../scenario/mod.rs"]
#[allow(dead_code, reason = "the two worlds share it, and neither needs all")]
mod scenario;
mod service;
mod settings;
mod show;
mod single;
mod sizes;
mod state;
mod stories;
mod sweep;
mod tools;
mod traffic;
mod tunnel;
mod twin;
mod watching;
mod writes;
