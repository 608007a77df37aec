//! Does the model take the bytes of the deployed program as that does?

use std::net::Ipv6Addr;

use serde_json::Value as Json;
use wirelink::mesh::base::settings::Settings;
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::share::ports::PortPair;
use wirelink::mesh::show::event::Input;

use super::Node;
use super::wire::{decode, encode};

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn vectors(list: &str) -> Vec<Json> {
    let all: Json = serde_json::from_str(include_str!("../../vectors/wirelink-v1.json")).unwrap();
    all[list].as_array().unwrap().clone()
}

fn text<'a>(json: &'a Json, field: &str) -> &'a str {
    json[field].as_str().unwrap()
}

/// A node that is the recipient of a vector.
fn recipient(vector: &Json) -> Node {
    let identity = text(vector, "recipient_private").parse().unwrap();
    Node::new(Settings::default(), identity, [0; 32], Timestamp::START)
}

#[test]
fn datagrams_of_the_deployed_program_are_read_and_written_byte_for_byte() {
    for vector in vectors("groups") {
        let datagram = bytes(text(&vector, "datagram"));
        let (_, facts) = decode(&datagram).unwrap();
        assert_eq!(facts.iter().flat_map(encode).collect::<Vec<u8>>(), datagram[74..]);
        assert_eq!(facts.len(), vector["facts"].as_array().unwrap().len());
        let source: Ipv6Addr = text(&vector, "source").parse().unwrap();
        recipient(&vector).read(source, &datagram).unwrap();
    }
}

#[test]
fn what_the_deployed_program_refuses_is_refused() {
    for vector in vectors("rejected") {
        let datagram = bytes(text(&vector, "datagram"));
        let source: Ipv6Addr = text(&vector, "source").parse().unwrap();
        let mut node = recipient(&vector);
        node.handle(
            Timestamp::START,
            Input::Packet {
                source,
                ports: PortPair::default(),
                payload: &datagram,
            },
        );
        assert_eq!(node.refused().values().sum::<u64>(), 1, "{}", text(&vector, "why"));
    }
}
