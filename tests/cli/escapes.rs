//! What peers, files and arguments bring steers no terminal, and no key that stands in the wrong place is shown.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::thread;

use serde_json::{Value, json};

use crate::{Directory, KEY, fed, output, stderr, stdout};

/// Clears the screen, sets a title, colours, by C1, turns the direction, begins a line.
const EVIL: &str =
    "\x1b[2J\x1b]0;owned\x07\x1b[31m\u{9b}31m\u{202e}\u{2066}\u{200f}\r\n2026-01-01 00:00:00 info forged";
const SECRET: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";

fn peer() -> Value {
    json!({
        "key": KEY, "name": EVIL, "path": "via", "via": EVIL, "reason": EVIL, "reason_text": EVIL, "detail": EVIL, "link": EVIL,
        "since_seconds": 1, "endpoint": null, "allowed_ips": [], "handshake_seconds": null, "received_bytes": 0, "sent_bytes": 0,
        "quality": null, "trust": null, "router": false, "introduced": true,
    })
}

fn event() -> Value {
    json!({ "answer": "event", "at_ms": 0, "level": EVIL, "code": EVIL, "peer": null, "from": null, "text": EVIL })
}

/// Returns an answer to each request, every text of it a hostile one.
fn answer(ask: &str) -> Value {
    let trip = json!({ "ms": null, "code": "no-answer", "text": EVIL });
    match ask {
        "status" => json!({
            "answer": "status", "version": 1, "peers": [peer()],
            "node": {
                "program": EVIL, "interface": EVIL, "backend": EVIL, "key": KEY, "address": "fe80::1", "role": EVIL,
                "chatty": false, "nat": EVIL, "no_probes": EVIL, "up_seconds": 1, "debug": false, "overrides": [EVIL],
            },
        }),
        "explain" => {
            let mut happened = event();
            happened.as_object_mut().expect("an object").remove("answer");
            json!({
                "answer": "explanation", "version": 1, "peer": peer(), "remedy": EVIL, "vouchers": [EVIL], "nat_here": EVIL,
                "nat_there": EVIL, "events": [happened], "candidates": [{
                    "endpoint": "192.0.2.1:1", "kind": EVIL, "said_by": EVIL, "expires_seconds": 1, "asked": 0,
                    "asked_seconds": null, "answer_ms": null, "answered_seconds": null, "in_use": false,
                }],
            })
        }
        "facts" => json!({
            "answer": "facts", "version": 1, "rejected": [{ "sender": null, "text": EVIL, "times": 1 }],
            "refused": [{ "prefix": "10.0.0.0/8", "claimant": KEY, "text": EVIL }],
            "facts": [{
                "subject": KEY, "name": EVIL, "attribute": EVIL, "value": EVIL, "origin": EVIL, "trust": null,
                "expires_seconds": 1, "told": [EVIL],
            }],
        }),
        "events" => event(),
        "ping" => json!({
            "answer": "pong", "version": 1, "key": KEY, "name": EVIL, "path": "via", "via": EVIL, "direct": trip, "relayed": trip,
        }),
        "export" => json!({ "answer": "export", "interface": EVIL, "peers": [{
            "key": KEY, "name": EVIL, "preshared_key": false, "endpoint": null, "allowed_ips": [], "keepalive_seconds": null,
        }] }),
        "reload" | "log" => json!({ "answer": "done", "text": EVIL }),
        _ => json!({ "answer": "error", "code": "no-such-peer", "text": EVIL }),
    }
}

/// Answers at the socket of an interface for as long as the test runs.
pub(crate) fn stand_in(directory: &Directory, answer: fn(&str) -> Value) {
    let listener = UnixListener::bind(directory.path("wg0.sock")).expect("a socket");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("somebody connected");
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).expect("a request");
            if line.is_empty() {
                // Root looks first which process it is.
                continue;
            }
            let request: Value = serde_json::from_str(&line).expect("JSON");
            let ask = request["ask"].as_str().expect("a request has a name");
            // Whoever is gone needs no answer.
            writeln!(stream, "{}", answer(ask)).ok();
        }
    });
}

/// Checks that nothing in a text steers a terminal, and that no line of it is forged.
#[track_caller]
fn is_harmless(what: &str, text: &str) {
    let steers = |c: &char| (c.is_control() && *c != '\n' && *c != '\t') || "\u{202e}\u{2066}\u{200f}".contains(*c);
    assert_eq!(text.chars().find(steers), None, "{what}: {text:?}");
    assert!(!text.contains("\n2026-01-01"), "{what}: {text:?}");
}

#[test]
fn no_answer_of_a_daemon_steers_a_terminal() {
    let directory = Directory::new();
    stand_in(&directory, answer);
    for command in [
        &["status"][..],
        &["status", "hub"],
        &["explain", "hub"],
        &["facts"],
        &["events"],
        &["ping", "hub", "-c1"],
        &["export"],
        &["reload"],
        &["log", "debug"],
        &["set", "hub", "--pause"],
    ] {
        let mut daemon = directory.wirelink(command);
        let daemon = daemon.args(["-i", "wg0"]).env("RUNTIME_DIRECTORY", directory.path(""));
        let said = output(daemon);
        let (words, errors) = (stdout(&said), stderr(&said));
        is_harmless(&command.join(" "), &words);
        is_harmless(&command.join(" "), &errors);
        assert!(
            words.contains("\\u009b") || errors.contains("\\u009b"),
            "{command:?}: {words}{errors}"
        );
        let json = stdout(&output(daemon.arg("--json")));
        is_harmless(&format!("{command:?} --json"), &json);
        assert!(
            json.is_empty() || serde_json::from_str::<Value>(&json).is_ok(),
            "{json}"
        );
        assert!(json.is_empty() || json.contains("\\u009b"), "{json}");
    }
}

#[test]
fn no_file_argument_or_datagram_steers_a_terminal() {
    let directory = Directory::with(
        "yaml",
        format!("Peers:\n- PublicKey: {KEY}\n  \"{}\": 1\n", "\\e[2J\\x9b"),
    );
    is_harmless("a key", &directory.refusal(&[], &[]));
    let said = output(&mut directory.wirelink(&["--frobnicate=\x1b[2J\u{9b}"]));
    is_harmless("a flag", &stderr(&said));
    let said = output(&mut directory.wirelink(&["--dump", "--iface", "\u{9b}\u{202e}"]));
    is_harmless("an interface", &stderr(&said));
    // The log of a daemon that starts: a variable that means nothing.
    let said = output(directory.wirelink(&["--dump"]).env("WIRELINK_\u{9b}\u{202e}", "1"));
    is_harmless("a variable", &stderr(&said));
    let (_, words, errors) = fed(&["address", "-"], "\x1b[2J\u{9b}\n");
    is_harmless("a key on standard input", &(words + &errors));
}

#[test]
fn a_private_key_in_the_wrong_place_is_not_shown() {
    let place = |content: String| Directory::with("json", content).refusal(&[], &[]);
    let yaml = |content: String| Directory::with("yaml", content).refusal(&[], &[]);
    let peer = |more: &str| place(format!(r#"{{"Peers": [{{"PublicKey": "{KEY}", {more}}}]}}"#));
    let said = [
        place(format!(r#"{{"Port": "{SECRET}"}}"#)),
        place(format!(r#"{{"Iface": "{SECRET}"}}"#)),
        place(format!(r#"{{"HideIfaces": ["wg[{SECRET}"]}}"#)),
        place(format!(r#"{{"Stun": ["{SECRET}"]}}"#)),
        place(format!(r#"{{"Metrics": "{SECRET}"}}"#)),
        place(format!(r#"{{"AllowPrefixes": ["{SECRET}"]}}"#)),
        place(format!(r#"{{"PrivateKey": "{SECRET}"}}"#)),
        place(format!(r#"{{"{SECRET}": 1}}"#)),
        place(format!(r#"{{"Prune": " {SECRET}"}}"#)),
        peer(&format!(r#""Endpoints": ["{SECRET}"]"#)),
        peer(&format!(r#""AllowedIPs": ["{SECRET}"]"#)),
        peer(&format!(r#""Trust": "{SECRET}""#)),
        peer(&format!(r#""Name": "{SECRET}\n""#)),
        peer(&format!(r#""PresharedKey": "{SECRET}""#)),
        peer(&format!(r#""{SECRET}": 1"#)),
        yaml(format!("{SECRET}: 1\n{SECRET}: 2\n")),
        yaml(format!("Port: *{SECRET}\n")),
        Directory::with("toml", format!("\"{SECRET}\" = 1\n\"{SECRET}\" = 2\n")).refusal(&[], &[]),
        Directory::with("toml", format!("Port = {SECRET}\n")).refusal(&[], &[]),
        Directory::new().refusal(&["--port", SECRET], &[]),
        Directory::new().refusal(&[&format!("--router={SECRET}")], &[]),
        Directory::new().refusal(&[], &[("WIRELINK_PORT", SECRET)]),
        Directory::new().refusal(&[], &[("WIRELINK_CONFIG_PATH", &SECRET.replace('+', "-"))]),
        stderr(&output(&mut Directory::new().wirelink(&["status", "--count", SECRET]))),
        stderr(&output(
            &mut Directory::new().wirelink(&["ping", "hub", "--count", SECRET]),
        )),
        stderr(&output(&mut Directory::new().wirelink(&[
            "decode",
            "--sender",
            &SECRET[1..],
        ]))),
        stderr(&output(
            &mut Directory::new().wirelink(&["set", "hub", "--trust", SECRET]),
        )),
    ];
    for message in said {
        assert!(!message.is_empty());
        for part in [&SECRET[..8], &SECRET[16..24], &SECRET[30..38]] {
            assert!(!message.contains(part), "{message}");
        }
    }
}
