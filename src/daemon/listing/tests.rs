use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::control::Response;
use crate::mesh::base::identity::{AddressHash, PrivateKey};
use crate::mesh::base::settings::{PeerSettings, Settings, TrustLevel};
use crate::mesh::believe::auth::Auth;
use crate::mesh::believe::fact::signal::ProbeForm;
use crate::mesh::believe::fact::signal::{Nat, Probes};
use crate::mesh::believe::fact::value::{Metadata, Value};
use crate::mesh::believe::fact::{Fact, Timed, wire};
use crate::mesh::device::{DeviceState, PeerState};
use crate::mesh::show::event::Input;

fn private(who: u8) -> PrivateKey {
    PrivateKey::from_bytes(&zeroize::Zeroizing::new([who; 32]))
}

/// Returns a node that believes in so many members, each named by its trusted peer.
fn node_with(members: u16) -> (Node, Timestamp) {
    let now = Timestamp::from_start(Duration::from_secs(1000));
    let teller = private(1).public_key();
    let mut settings = Settings::default();
    let trusted = PeerSettings {
        trust: Some(TrustLevel::Membership),
        ..PeerSettings::default()
    };
    settings.peers.insert(teller, trusted);
    let mut device = DeviceState::new(private(200).public_key(), 51820);
    let state = PeerState {
        endpoint: Some(SocketAddr::from(([192, 0, 2, 1], 5))),
        last_handshake: Some(now),
        ..PeerState::default()
    };
    device.peers.insert(teller, state);
    let mut node = Node::new(settings, private(200), [9; 32], now);
    node.handle(now, Input::Device(&device));
    node.handle(now, Input::Timeout);
    for member in 0..members {
        let mut subject = [7; 32];
        subject[..2].copy_from_slice(&member.to_be_bytes());
        let subject = PublicKey::from_bytes(subject);
        let value = Value::MemberMetadata(Metadata::new(Some(&format!("m{member}")), false));
        tell(&mut node, now, Fact { subject, value });
    }
    (node, now)
}

/// Has the trusted peer tell a fact.
fn tell(node: &mut Node, now: Timestamp, fact: Fact) {
    let mut teller = Auth::new(private(1), AddressHash::Sha1);
    let source = AddressHash::Sha1.link_local(teller.public_key());
    let recipient = *node.public_key();
    let ttl = Duration::from_secs(255);
    for group in wire::pack(&[Timed { fact, ttl }]) {
        let payload = &teller.tag(&recipient, [7; 24], &group).expect("a secret");
        let ports = Default::default();
        node.handle(now, Input::Packet { source, ports, payload });
    }
}

fn pieces(node: &Node, now: Timestamp, subject: Option<PublicKey>) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut listing = Some(Listing::new(subject));
    while let Some(begun) = listing {
        let (text, next) = begun.piece(node, now);
        pieces.push(text);
        listing = next;
    }
    pieces
}

fn read(pieces: &[Vec<u8>]) -> crate::control::Facts {
    let response = serde_json::from_slice(&pieces.concat()).expect("the pieces are one answer");
    let Response::Facts(facts) = response else {
        panic!("{response:?}")
    };
    *facts
}

#[test]
fn pieces_are_bounded_and_make_one_answer() {
    const MEMBERS: u16 = 2000;
    let (node, now) = node_with(MEMBERS);
    let pieces = pieces(&node, now, None);
    assert!(pieces.len() > 4, "{}", pieces.len());
    assert!(pieces.iter().all(|piece| piece.len() < 2 * PIECE));
    let facts = read(&pieces);
    let shown: Vec<_> = facts
        .facts
        .iter()
        .map(|fact| (fact.subject, fact.value.clone()))
        .collect();
    let believed: Vec<_> = node
        .believed(now, None)
        .map(|(fact, ..)| (fact.subject, value_of(fact)))
        .collect();
    assert_eq!(shown, believed, "each once, in order");
    assert!(believed.len() >= usize::from(MEMBERS));
}

#[test]
fn one_peer_is_listed_alone_with_those_who_know_it() {
    let (node, now) = node_with(20);
    let subject = node
        .believed(now, None)
        .next()
        .expect("it believes something")
        .0
        .subject;
    let facts = read(&pieces(&node, now, Some(subject)));
    assert!(!facts.facts.is_empty());
    assert!(
        facts
            .facts
            .iter()
            .all(|fact| fact.subject == subject && fact.told.is_some())
    );
}

#[test]
fn node_without_facts_lists_none() {
    let now = Timestamp::from_start(Duration::from_secs(1000));
    let node = Node::new(Settings::default(), private(200), [9; 32], now);
    let facts = read(&pieces(&node, now, None));
    assert_eq!(
        (facts.facts.len(), facts.refused.len(), facts.rejected.len()),
        (0, 0, 0)
    );
}

#[test]
fn only_the_latest_announcement_of_probes_is_listed() {
    let (mut node, now) = node_with(0);
    let subject = private(1).public_key();
    for nat in [Nat::Unknown, Nat::EndpointIndependent] {
        let epoch = 5 + u64::from(nat != Nat::Unknown);
        let form = ProbeForm::Veiled;
        let value = Value::Probes(Probes { epoch, nat, form });
        tell(&mut node, now, Fact { subject, value });
    }
    let believed = node.believed(now, None);
    let announced = believed.filter(|(fact, ..)| fact.value.probes().is_some());
    assert_eq!(announced.count(), 2, "the node has both until the first one expires");
    for about in [None, Some(subject)] {
        let facts = read(&pieces(&node, now, about)).facts;
        let listed = facts.iter().filter(|fact| fact.attribute == "probes");
        let values: Vec<&str> = listed.map(|fact| fact.value.as_str()).collect();
        assert_eq!(values, ["since 6"]);
    }
}
