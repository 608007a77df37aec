//! The rules of the kernel's WireGuard, one by one, on the model of it.

mod data;
mod device;
mod experiments;
mod handshake;
mod renewal;

use crate::wire::{A, B, C, Kind, LATENCY, Wire, inner, key, packet, seconds};
