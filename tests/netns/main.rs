//! The lab: the scenarios on real WireGuard, in network namespaces of this machine, with the real daemon.
//!
//! It needs root; `tests/run lab` installs what else it needs. `WIRELINK_LAB=kernel` takes the kernel's WireGuard, where it
//! has one, instead of wireguard-go.

mod bed;
mod command;
mod lab;
mod look;
mod machine;
mod namespace;
mod network;
mod operator;
mod play;
mod router;
#[path = "../scenario/mod.rs"]
#[allow(dead_code, reason = "the two worlds share it, and neither needs all")]
mod scenario;
mod show;
mod single;
mod sweep;
mod tunnel;

use self::scenario::table;

#[test]
fn public_public() {
    play::play(&table::public_public());
}

#[test]
fn home_home() {
    play::play(&table::home_home());
}

#[test]
fn home_public() {
    play::play(&table::home_public());
}

#[test]
fn same_lan() {
    play::play(&table::same_lan());
}
