//! See `entry/probe.rs`, which the tests of the project run on the corpus, too.
//!
//! `fuzz/run probe`
#![no_main]

#[path = "../entry/probe.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::run(data));
