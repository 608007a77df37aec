//! Any text as the file of what survives a restart: nothing may panic, what is read is written so that it reads the same, is forgotten in
//! time, and a node that takes it does not spin, and stops.

use std::net::SocketAddr;
use std::time::Duration;

use wirelink::daemon::form::Owner;
use wirelink::mesh::base::identity::{PrivateKey, PublicKey};
use wirelink::mesh::base::settings::Settings;
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::device::{DeviceState, PeerState};
use wirelink::mesh::keep::memory::{KEPT_FOR, Memory};
use wirelink::mesh::node::Node;
use wirelink::mesh::show::event::{Input, Output};
use zeroize::Zeroizing;

/// When it is read, counted from 1970; what the corpus holds was written an hour before.
const NOW: Duration = Duration::from_secs(1_800_000_000);
/// How many deadlines the node has.
const DEADLINES: usize = 5;

pub(crate) fn run(text: &[u8]) {
    let owner = Owner {
        iface: "wg0".to_owned(),
        key: PublicKey::from_bytes([1; 32]),
    };
    let Ok(memory) = owner.read(text, NOW) else {
        return;
    };
    assert_eq!(memory.check(), Ok(()));
    let written = owner.write(&memory, NOW);
    assert_eq!(owner.read(&written, NOW).expect("our own text"), memory);
    let later = owner.read(&written, NOW + KEPT_FOR).expect("our own text");
    assert!(later.peers.is_empty(), "nobody is remembered for ever");
    assert_eq!(
        later.introduced, memory.introduced,
        "what is on a device is no matter of time"
    );
    live_with(memory);
}

fn live_with(memory: Memory) {
    let identity = PrivateKey::from_bytes(&Zeroizing::new([1; 32]));
    let mut device = DeviceState::new(identity.public_key(), 51820);
    let mut now = Timestamp::from_start(Duration::from_secs(5000));
    let introduced = memory.introduced.peers.iter().copied();
    // Its peers are there still, or the first of them are.
    for peer in introduced.chain([PublicKey::from_bytes([9; 32])]).take(4) {
        device.peers.insert(
            peer,
            PeerState {
                endpoint: Some(SocketAddr::from(([192, 0, 2, 2], 51820))),
                allowed_ips: ["10.0.0.0/24".parse().expect("a prefix")].into(),
                ..PeerState::default()
            },
        );
    }
    let mut node = Node::new(Settings::default(), identity, [7; 32], now);
    node.handle(now, Input::Remembered(Box::new(memory)));
    for _ in 0..DEADLINES {
        node.handle(now, Input::Device(&device));
        node.handle(now, Input::Timeout);
        carry_out(&mut node, &mut device);
        let next = node.poll_timeout().expect("the device is always looked at again").at;
        assert!(next > now, "a node must not spin");
        now = next;
    }
    let _ = node.status(now).to_string();
    node.handle(now, Input::Device(&device));
    node.handle(now, Input::Stop);
    carry_out(&mut node, &mut device);
}

fn carry_out(node: &mut Node, device: &mut DeviceState) {
    while let Some(output) = node.poll_output() {
        match output {
            Output::Configure(change) => device.apply(&change),
            Output::Remember(memory) => assert_eq!(memory.check(), Ok(())),
            Output::Transmit { .. }
            | Output::Probe { .. }
            | Output::FindRoute(_)
            | Output::Stun { .. }
            | Output::Resolve(_)
            | Output::Pong { .. }
            | Output::Notify(_) => {}
        }
    }
}
