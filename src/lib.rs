//! wirelink.
pub mod mesh;
