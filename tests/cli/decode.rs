//! `wirelink decode`, with the datagrams of the deployed program.

use serde_json::{Value, json};

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
