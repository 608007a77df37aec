//! Probes: whether a peer can be reached at an endpoint, asked and answered from WireGuard's own port.
//!
//! What leaves from that port opens the same NAT and firewall mappings as WireGuard's packets, and WireGuard drops what is not its
//! own. So an answer proves a path that a handshake can take at once, in one round-trip time and without changing the device.
//!
//! [`schedule`] says who is asked when, [`wire`] is the datagram, [`keys`] finds its peer and proves it, [`window`] refuses what was replayed, [`rate`] what is too much.

pub mod keys;
pub mod rate;
pub mod schedule;
pub mod window;
pub mod wire;
