//! `wirelink decode`, with the datagrams of the deployed program.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use wirelink::mesh::base::identity::{AddressHash, PrivateKey};
use wirelink::mesh::believe::auth::Auth;
use wirelink::mesh::believe::fact::value::Value as FactValue;
use wirelink::mesh::believe::fact::{Fact, Timed, wire};
use zeroize::Zeroizing;

use super::{Directory, contains, fed};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/wirelink-v1.json")).expect("the vectors are JSON")
}

fn text<'a>(vector: &'a Value, key: &str) -> &'a str {
    vector[key].as_str().expect("a text")
}

/// Decodes one datagram with the private key of `recipient`, or without a key.
fn decode(datagram: &str, recipient: Option<&str>) -> Value {
    let mut arguments = vec!["decode"];
    let directory = Directory::new().and("key", format!("{}\n", recipient.unwrap_or_default()));
    let file = directory.path("key");
    if recipient.is_some() {
        arguments.extend(["--private-key-file", &file]);
    }
    let (status, output, message) = fed(&arguments, &format!("{datagram}\n"));
    assert_eq!((status, message.as_str()), (Some(0), ""), "{output}");
    serde_json::from_str(&output).expect("one JSON object")
}

#[test]
fn a_datagram_is_verified_with_the_key_of_its_recipient() {
    for vector in vectors()["groups"].as_array().expect("groups") {
        let shown = decode(text(vector, "datagram"), Some(text(vector, "recipient_private")));
        assert_eq!(
            (&shown["verified"], &shown["sender"]),
            (&json!(true), &vector["sender_public"])
        );
        assert_eq!((&shown["address"], shown.get("why")), (&vector["source"], None));
        let facts = shown["facts"].as_array().expect("facts");
        let expected = vector["facts"].as_array().expect("facts");
        assert_eq!(facts.len(), expected.len());
        for (fact, expected) in facts.iter().zip(expected) {
            assert_eq!(
                (&fact["subject"], &fact["ttl"]),
                (&expected["subject"], &expected["ttl"])
            );
            if ["e", "E", "a", "A"].contains(&text(expected, "attribute")) {
                assert_eq!(fact["value"], expected["value"]);
            }
        }
    }
}

#[test]
fn a_key_that_is_not_the_recipients_verifies_nothing_and_it_is_said_why() {
    let vectors = vectors();
    let vector = &vectors["groups"][0];
    for (whose, why) in [
        ("sender_private", "its sender has this private key"),
        ("other", "another recipient"),
    ] {
        let another = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let key = vector[whose].as_str().unwrap_or(another);
        let shown = decode(text(vector, "datagram"), Some(key));
        assert_eq!(shown["verified"], json!(false));
        contains(text(&shown, "why"), &[why]);
    }
}

#[test]
fn without_the_key_the_facts_are_shown_and_the_reason() {
    let vectors = vectors();
    let vector = &vectors["groups"][0];
    let shown = decode(text(vector, "datagram"), None);
    assert_eq!(
        (&shown["verified"], &shown["why"]),
        (&json!(false), &json!("no private key was given"))
    );
    assert!(!shown["facts"].as_array().expect("facts").is_empty());
}

#[test]
fn a_compact_group_is_verified_once_its_sender_is_named() {
    let private = |byte| PrivateKey::from_bytes(&Zeroizing::new([byte; 32]));
    let mut sender = Auth::new(private(1), AddressHash::Sha1);
    let recipient = private(2).public_key();
    let fact = Fact {
        subject: *sender.public_key(),
        value: FactValue::Digest {
            buckets: 0xffff,
            sum: 0x0123_4567_89ab_cdef,
        },
    };
    let ttl = Duration::from_secs(215);
    let runs = wire::pack_compact(sender.public_key(), [&Timed { fact, ttl }]).concat();
    let datagram = sender.tag_compact(&recipient, &runs).expect("a sound key");
    let hex: String = datagram.iter().map(|byte| format!("{byte:02x}")).collect();
    let nameless = decode(&hex, None);
    assert!(
        nameless["why"].as_str().expect("a reason").contains("--sender"),
        "{nameless}"
    );

    let key = sender.public_key().to_string();
    let directory = Directory::new().and("key", format!("{}\n", BASE64_STANDARD.encode([2; 32])));
    let file = directory.path("key");
    let (status, output, _) = fed(&["decode", "--private-key-file", &file, "--sender", &key], &hex);
    let shown: Value = serde_json::from_str(&output).expect("one JSON object");
    assert_eq!(
        (status, &shown["verified"], &shown["sender"]),
        (Some(0), &json!(true), &json!(key))
    );
    let digest = json!({ "attribute": "digest", "subject": key, "ttl": 215, "value": { "buckets": "000000000000ffff", "sum": "0123456789abcdef" } });
    assert_eq!(shown["facts"], json!([digest]));
}

#[test]
fn what_is_wrong_is_no_failure_but_said_of_its_line() {
    for vector in vectors()["rejected"].as_array().expect("rejected ones") {
        let datagram = text(vector, "datagram");
        if datagram.is_empty() {
            continue;
        }
        let shown = decode(datagram, Some(text(vector, "recipient_private")));
        assert_eq!(shown["verified"], json!(false), "{}", vector["why"]);
        assert!(shown["why"].is_string(), "{shown}");
    }
    let (status, output, _) = fed(&["decode"], "zz\n\n53\n");
    assert_eq!((status, output.lines().count()), (Some(0), 2), "{output}");
}

#[test]
fn a_file_that_holds_no_key_is_an_error_that_does_not_show_it() {
    let directory = Directory::new().and("key", "c2VjcmV0\n");
    let (status, output, message) = fed(&["decode", "--private-key-file", &directory.path("key")], "");
    assert_eq!((status, output.as_str()), (Some(2), ""));
    contains(&message, &["not a WireGuard key", "not shown"]);
    assert!(!message.contains("c2VjcmV0"), "{message}");
    let (status, _, message) = fed(&["decode", "--private-key-file", &directory.path("none")], "");
    assert_eq!(status, Some(2));
    contains(&message, &["cannot be read"]);
}
