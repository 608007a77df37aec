//! How the code is built: the order of its layers, and figures that may only get better.
//!
//! `tests/run house` prints all of it.

mod figures;
mod layers;
mod source;
