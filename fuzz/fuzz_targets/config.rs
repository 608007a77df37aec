//! See `entry/config.rs`, which the tests of the project run on the corpus, too.
//!
//! `fuzz/run config`
#![no_main]

#[path = "../entry/config.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::run(data));
