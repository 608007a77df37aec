//! Why is it so: status, reasons, events, and how much of them is told.

pub mod budget;
pub mod census;
pub mod event;
pub mod peer_name;
pub mod reason;
pub mod refused;
pub mod rejections;
pub mod status;
pub mod tally;
