//! See `entry/stun.rs`, which the tests of the project run on the corpus, too.
//!
//! `fuzz/run stun`
#![no_main]

#[path = "../entry/stun.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::run(data));
