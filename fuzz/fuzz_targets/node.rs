//! See `entry/node.rs`, which the tests of the project run on the corpus, too.
//!
//! `fuzz/run node`
#![no_main]

#[path = "../../tests/sim/powers.rs"]
mod powers;

#[path = "../entry/node.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::run(data));
