//! The lab: the scenarios on real WireGuard, in network namespaces of this machine, with the real daemon.
//!
//! It needs root; `tests/run lab` installs what else it needs. `WIRELINK_LAB=kernel` takes the kernel's WireGuard, where it
//! has one, instead of wireguard-go.

mod bed;
mod command;
mod lab;
mod machine;
mod network;
mod play;
#[path = "../scenario/mod.rs"]
mod scenario;
mod show;
mod single;
mod sweep;
mod tunnel;

#[test]
fn public_public() {
    play::play(&scenario::PUBLIC_PUBLIC);
}

#[test]
fn home_home() {
    play::play(&scenario::HOME_HOME);
}

#[test]
fn home_public() {
    play::play(&scenario::HOME_PUBLIC);
}

#[test]
fn same_lan() {
    play::play(&scenario::SAME_LAN);
}
