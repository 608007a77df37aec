//! What a node with a thousand peers and ten thousand facts costs. `cargo bench --no-default-features --bench node`
//!
//! Before the benchmarks a report: for each kind of node, what it takes from the start on, in a quiet minute, and in memory. The
//! aims: under 1 % of a core when nothing happens, no single `handle` over 10 ms, at most 64 MiB resident.

#[path = "node/network.rs"]
mod network;
#[path = "node/others.rs"]
mod others;
#[path = "node/report.rs"]
mod report;

use divan::Bencher;

use network::{Network, Role};

fn main() {
    report::print();
    divan::main();
}

#[divan::bench(args = Role::ALL, sample_count = 20, sample_size = 5)]
fn a_deadline_with_nothing_new(bencher: Bencher<'_, '_>, role: Role) {
    let mut network = Network::settled(role);
    bencher.bench_local(|| {
        network.pass_time(1);
        network.deadline();
    });
}

#[divan::bench(args = Role::ALL, sample_count = 20, sample_size = 5)]
fn a_deadline_with_one_piece_of_news(bencher: Bencher<'_, '_>, role: Role) {
    let mut network = Network::settled(role);
    bencher.bench_local(|| {
        network.pass_time(1);
        network.hear_something_new();
        network.deadline();
    });
}

#[divan::bench(args = Role::ALL, sample_count = 20, sample_size = 5)]
fn a_reading_of_the_device(bencher: Bencher<'_, '_>, role: Role) {
    let mut network = Network::settled(role);
    bencher.bench_local(|| network.read_device());
}

#[divan::bench(args = Role::ALL, sample_count = 20, sample_size = 1000)]
fn a_sign_of_life(bencher: Bencher<'_, '_>, role: Role) {
    let mut network = Network::settled(role);
    let mut index = 0;
    bencher.bench_local(|| {
        index += 1;
        network.hear_from(index);
    });
}
