//! What survives a restart.

pub mod memory;
