//! See `entry/state.rs`, which the tests of the project run on the corpus, too.
//!
//! `fuzz/run state`
#![no_main]

#[path = "../entry/state.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::run(data));
