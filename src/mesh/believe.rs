//! What do we believe: facts, who said them, and whether that node may.

pub mod auth;
pub mod fact;
pub mod role;
pub mod trust;
