//! The epoch of probes goes on from run to run, whatever the clock says.

use super::*;
use crate::mesh::keep::memory::Memory;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_start(Duration::from_secs(seconds))
}

/// Lives for a moment, with the clock at this epoch; returns the node, and what it has written down.
fn live(memory: Memory, epoch: u64) -> (Node, Memory) {
    let identity = PrivateKey::from_bytes(&zeroize::Zeroizing::new([1; 32]));
    let device = DeviceState::new(identity.public_key(), 51820);
    let mut node = Node::new(Settings::default(), identity, [7; 32], at(0));
    node.handle(at(0), Input::Remembered(Box::new(memory)));
    let missing = None;
    node.handle(at(0), Input::Prober { epoch, missing });
    node.handle(at(0), Input::Device(&device));
    node.handle(at(0), Input::Timeout);
    let mut written = Memory::default();
    while let Some(output) = node.poll_output() {
        if let Output::Remember(memory) = output {
            written = *memory;
        }
    }
    (node, written)
}

#[test]
fn it_is_what_the_clock_says_but_never_what_it_was_or_less() {
    let (node, first) = live(Memory::default(), 1000);
    assert_eq!(
        (node.probing.epoch(), first.epoch),
        (1000, 1000),
        "written down at once"
    );
    let (_, same) = live(first.clone(), 1000);
    assert_eq!(same.epoch, 1001);
    let (_, back) = live(same, 10);
    assert_eq!(back.epoch, 1002);
    let (_, forth) = live(back, 5000);
    assert_eq!(forth.epoch, 5000);
    let (_, without_clock) = live(Memory::default(), 0);
    assert_eq!(without_clock.epoch, 1);
}

#[test]
fn it_stays_while_a_node_runs() {
    let (mut node, _) = live(Memory::default(), 1000);
    for missing in [Some(NoProbes::NotSupported), None] {
        node.handle(at(1), Input::Prober { epoch: 1000, missing });
        assert_eq!(node.probing.epoch(), 1000);
    }
}
