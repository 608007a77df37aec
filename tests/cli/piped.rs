//! Output of the client for other programs: a table in a pipe has one line for each row, whatever its width.

use serde_json::{Value, json};

use crate::escapes::stand_in;
use crate::{Directory, KEY, output, stdout};

const ENDPOINT: &str = "[2001:db8:1234:5678:9abc:def0:1234:5678]:51820";
const NAME: &str = "a-host-with-a-long-name.example.org";

fn answer(_: &str) -> Value {
    json!({
        "answer": "facts", "version": 1, "refused": [],
        "rejected": [{ "sender": KEY, "name": "desk", "text": "it may not say that", "times": 2 }],
        "facts": [{
            "subject": KEY, "name": NAME, "attribute": "endpoint", "value": ENDPOINT, "origin": NAME, "trust": "Membership",
            "expires_seconds": 200, "told": null,
        }],
    })
}

#[test]
fn addresses_in_a_pipe_stay_whole() {
    let directory = Directory::new();
    stand_in(&directory, answer);
    let mut client = directory.wirelink(&["facts", "-i", "wg0"]);
    let said = stdout(&output(client.env("RUNTIME_DIRECTORY", directory.path(""))));
    let row = said.lines().find(|line| line.contains(NAME));
    let words: Vec<&str> = row.unwrap_or_default().split_whitespace().collect();
    assert_eq!(words.get(..4), Some(&[NAME, "endpoint", ENDPOINT, NAME][..]), "{said}");
    assert!(said.contains("from desk ("), "a refused sender has its name: {said}");
}
