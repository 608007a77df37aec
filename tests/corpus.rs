//! The corpus of the fuzz targets, through the same entries: what was found once stays found where nobody fuzzes.
#![cfg(feature = "daemon")]

#[path = "../fuzz/entry/config.rs"]
mod config;
#[path = "../fuzz/entry/decode.rs"]
mod decode;
#[path = "../fuzz/entry/node.rs"]
mod node;
#[path = "sim/powers.rs"]
mod powers;
#[path = "../fuzz/entry/probe.rs"]
mod probe;
#[path = "../fuzz/entry/state.rs"]
mod state;
#[path = "../fuzz/entry/stun.rs"]
mod stun;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// The most bytes of all files together.
const MAX_SIZE: u64 = 1 << 20;

/// Runs each file of one target.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    let mut size = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is in the repository") {
        let path = entry.expect("a file").path();
        let data = fs::read(&path).expect("a file that can be read");
        (count, size) = (count + 1, size + data.len() as u64);
        let result = catch_unwind(AssertUnwindSafe(|| run(&data)));
        assert!(result.is_ok(), "{} fails, see above", path.display());
    }
    assert!(count >= 5, "a corpus of {count} files shows nothing");
    assert!(size < MAX_SIZE / 3, "{size} bytes are too many for the repository");
}

#[test]
fn datagrams() {
    replay("decode", decode::run);
}

#[test]
fn configurations() {
    replay("config", config::run);
}

#[test]
fn courses_of_events_at_a_node() {
    replay("node", node::run);
}

#[test]
fn probes_and_signals() {
    replay("probe", probe::run);
}

#[test]
fn what_nodes_remember() {
    replay("state", state::run);
}

#[test]
fn what_stun_servers_say() {
    replay("stun", stun::run);
}
