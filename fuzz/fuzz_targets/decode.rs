//! See `entry/decode.rs`, which the tests of the project run on the corpus, too.
//!
//! `fuzz/run decode`
#![no_main]

#[path = "../entry/decode.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::run(data));
