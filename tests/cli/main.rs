//! The command line as an operator meets it: help, addresses, settings from every layer, and what is said about
//! mistakes. Drives the built binary.
#![cfg(feature = "daemon")]

mod decode;
mod escapes;
mod logs;
mod pages;
mod piped;
mod watch;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

const KEY: &str = "VYyIQThKsA+fXJBvrvGKUolrfBBpkkYGT11VxkFwsSM=";
const OTHER_KEY: &str = "Qa7D+1xA1xq/sPGaoMyxalgOzg6MwrnU74KrYhPWLlk=";

/// Public keys with their addresses by SHA-1 and by BLAKE2s.
fn addresses() -> Vec<(String, String, String)> {
    let vectors: Value =
        serde_json::from_str(include_str!("../vectors/wirelink-v1.json")).expect("the vectors are JSON");
    let text = |vector: &Value, key: &str| vector[key].as_str().expect("a text").to_owned();
    let vectors = vectors["addresses"].as_array().expect("addresses").iter();
    vectors
        .map(|vector| {
            (
                text(vector, "public_key"),
                text(vector, "sha1"),
                text(vector, "blake2s"),
            )
        })
        .collect()
}

/// A directory for configuration files, gone with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "wirelink-cli-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a directory for the test");
        Self(path)
    }

    /// Returns a directory with the one file `wirelink.wg0.<extension>`.
    fn with(extension: &str, content: impl AsRef<[u8]>) -> Self {
        Self::new().and(&format!("wirelink.wg0.{extension}"), content)
    }

    fn and(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.0.join(name), content).expect("a file for the test");
        self
    }

    /// Returns the path of a file in it.
    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Returns a call of the binary that sees no other files and no variables of the caller.
    fn wirelink(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wirelink"));
        command
            .args(arguments)
            .env_clear()
            .env("WIRELINK_CONFIG_PATH", &self.0)
            .stdin(Stdio::null());
        command
    }

    /// Returns the effective settings.
    #[track_caller]
    fn dump(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Value {
        let mut command = self.wirelink(&[&["--dump"], arguments].concat());
        let output = output(command.envs(variables.iter().copied()));
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
        serde_json::from_slice(&output.stdout).expect("a dump is JSON")
    }

    /// Returns the one line said about a wrong configuration.
    #[track_caller]
    fn refusal(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        // Should it be accepted after all, no daemon must start.
        let mut command = self.wirelink(&[&["--dump"], arguments].concat());
        let output = output(command.envs(variables.iter().copied()));
        let message = stderr(&output);
        assert_eq!(
            (output.status.code(), stdout(&output).as_str()),
            (Some(2), ""),
            "{message}"
        );
        assert_eq!(message.lines().count(), 1, "one line: {message}");
        assert!(message.starts_with("wirelink: "), "{message}");
        message
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[track_caller]
fn output(command: &mut Command) -> Output {
    command.output().expect("the binary runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs the binary with `input`; returns status, output and messages.
fn fed(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = Directory::new().wirelink(arguments);
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(input.as_bytes())
        .expect("the binary reads");
    let output = child.wait_with_output().expect("the binary ends");
    (output.status.code(), stdout(&output), stderr(&output))
}

#[track_caller]
fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
}

#[test]
fn help_tells_of_flags_commands_files_variables_and_examples() {
    let long = output(&mut Directory::new().wirelink(&["--help"]));
    assert_eq!((long.status.code(), stderr(&long).as_str()), (Some(0), ""));
    let long = stdout(&long);
    contains(
        &long,
        &[
            "--iface",
            "--port",
            "--router",
            "--chatty",
            "--address-hash",
            "--prune",
            "--leave-peers",
            "--probe",
            "--resolve-wg-quick",
            "--port-prediction",
            "--debug",
            "--log-format",
            "--wait",
            "--dump",
            "--version",
        ],
    );
    contains(
        &long,
        &[
            "address",
            "restore",
            "Examples:",
            "/etc/wireguard/wirelink.<iface>.json",
            "WIRELINK_CONFIG_PATH",
            "SIGUSR1",
        ],
    );
    let too_long = long.lines().find(|line| line.chars().count() > 100);
    assert_eq!(too_long, None, "fits a terminal");
    let short = output(&mut Directory::new().wirelink(&["-h"]));
    assert_eq!(short.status.code(), Some(0));
    assert!(short.stdout.len() < long.len());
}

#[test]
fn version_is_the_one_of_the_package() {
    let output = output(&mut Directory::new().wirelink(&["--version"]));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), format!("wirelink {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_flag_or_command_is_an_error_of_usage() {
    for arguments in [
        &["--prot", "5"][..],
        &["adress"],
        &["address"],
        &["--iface", "wg0", "address", KEY],
    ] {
        let output = output(&mut Directory::new().wirelink(arguments));
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(2), 0),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn address_prints_what_the_vectors_say() {
    let vectors = addresses();
    assert!(vectors.len() > 1);
    for (key, sha1, blake2s) in &vectors {
        for (hash, address) in [
            (&[][..], sha1),
            (&["--hash", "sha1"], sha1),
            (&["--hash=blake2s"], blake2s),
        ] {
            let arguments = [&["address", key], hash].concat();
            assert_eq!(fed(&arguments, ""), (Some(0), format!("{address}\n"), String::new()));
        }
    }
    let keys: String = vectors.iter().map(|(key, ..)| format!("{key}\n")).collect();
    let expected: String = vectors.iter().map(|(_, sha1, _)| format!("{sha1}\n")).collect();
    assert_eq!(fed(&["address", "-"], &keys), (Some(0), expected, String::new()));
}

#[test]
fn address_says_what_a_key_is_and_shows_none() {
    let not_a_key = &KEY[..43];
    let (status, output, message) = fed(&["address", not_a_key], "");
    assert_eq!((status, output.as_str()), (Some(2), ""));
    contains(&message, &["wirelink: ", "not a WireGuard key", "44 characters"]);
    assert!(!message.contains(not_a_key), "{message}");
    let (status, output, message) = fed(&["address", "-"], &format!("{KEY}\n{not_a_key}\n"));
    assert_eq!((status, output), (Some(1), "fe80::b5e6:8fbf:d0ff:2099\n".to_owned()));
    contains(&message, &["standard input, line 2", "not a WireGuard key"]);
    assert!(!message.contains(not_a_key), "{message}");
    let (status, _, message) = fed(&["address", KEY, "--hash", "md5"], "");
    assert_eq!(status, Some(2));
    contains(&message, &["--hash", "md5", "sha1 or blake2s"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    for arguments in [&["--dump"][..], &["--help"], &["address", KEY]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = output(Directory::new().wirelink(arguments).stdout(writer));
        assert_eq!(
            (output.status.code(), stderr(&output).as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn without_a_file_there_are_defaults() {
    let expected = json!({
        "Iface": "wg0", "Port": null, "Router": null, "Chatty": false, "ReportIfaces": [], "HideIfaces": [],
        "AllowPrefixes": null, "Debug": false, "LogFormat": "auto", "Wait": false, "AddressHash": "sha1", "Prune": "introduced",
        "LeavePeers": false, "Probe": true, "ResolveWgQuick": false, "PortPrediction": true, "Stun": [], "Metrics": [],
        "Peers": [],
    });
    assert_eq!(Directory::new().dump(&[], &[]), expected);
}

#[test]
fn the_example_shows_every_key_and_reads_as_itself() {
    let example = include_str!("../../wirelink.example.json");
    let written: Value = serde_json::from_str(example).expect("the example is JSON");
    let dumped = Directory::with("json", example).dump(&[], &[]);
    let keys = |value: &Value| {
        value
            .as_object()
            .expect("keys and values")
            .keys()
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    // A dump has every key.
    assert_eq!(keys(&written), keys(&dumped));
    for peer in written["Peers"].as_array().expect("a list") {
        assert_eq!(keys(peer), keys(&dumped["Peers"][0]));
    }
    for key in ["Port", "Router", "ReportIfaces", "HideIfaces", "AllowPrefixes", "Stun"] {
        assert_eq!(written[key], dumped[key]);
    }
    assert_eq!(dumped["Peers"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_dump_is_a_file_for_the_same_settings() {
    let yaml = format!(
        "chatty: true\nhideifaces: ['docker*', 'eth[^0]']\n\
         allow-prefixes: [10.1.2.3/8, 192.0.2.1, 'fd00::/8']\naddress-hash: BLAKE2S\npeers:\n\
         - publickey: {KEY}\n  name: \"h\u{fc}tte \\\"1\\\"\"\n  trust: delegatetrust\n  endpoints: ['VPN.example.org:7']\n  \
         allowedips: [10.1.2.3/8]\n- publickey: {OTHER_KEY}\n  basic: true\n  factexchanger: yes\n"
    );
    let first = Directory::with("yaml", yaml).dump(&["--port", "7", "--router=false", "--debug"], &[]);
    let again = Directory::with("json", first.to_string()).dump(&[], &[]);
    assert_eq!(first, again);
    assert_eq!(first["Router"], false);
    assert_eq!(first["AddressHash"], "blake2s");
    assert_eq!(
        first["AllowPrefixes"],
        json!(["10.0.0.0/8", "192.0.2.1/32", "fd00::/8"])
    );
    let hub = first["Peers"]
        .as_array()
        .and_then(|peers| peers.iter().find(|peer| peer["PublicKey"] == KEY));
    let hub = hub.expect("the first peer");
    assert_eq!(
        *hub,
        json!({
            "PublicKey": KEY, "Name": "h\u{fc}tte \"1\"", "Trust": "DelegateTrust", "FactExchanger": false,
            "Endpoints": ["vpn.example.org:7"], "AllowedIPs": ["10.0.0.0/8"], "Basic": false,
        })
    );
}

#[test]
fn environment_outweighs_file_and_flags_outweigh_both() {
    let file = r#"{"Port": 1, "Router": true, "Chatty": true, "Debug": true, "Wait": true, "AddressHash": "blake2s",
        "Prune": "all", "LeavePeers": true, "Probe": true, "ResolveWgQuick": true, "PortPrediction": true,
        "ReportIfaces": ["file"], "HideIfaces": ["file"],
        "AllowPrefixes": ["10.0.0.0/8"], "Metrics": "127.0.0.1:1"}"#;
    let directory = Directory::with("json", file);
    let chosen = |arguments: &[&str], variables: &[(&str, &str)]| {
        let dump = directory.dump(arguments, variables);
        [
            "Port",
            "Router",
            "Chatty",
            "Debug",
            "Wait",
            "AddressHash",
            "Prune",
            "LeavePeers",
            "Probe",
            "ResolveWgQuick",
            "PortPrediction",
            "ReportIfaces",
            "HideIfaces",
            "AllowPrefixes",
            "Metrics",
        ]
        .map(|key| dump[key].clone())
    };
    let variables = [
        ("WIRELINK_PORT", "2"),
        ("WIRELINK_ROUTER", "false"),
        ("WIRELINK_CHATTY", "no"),
        ("WIRELINK_DEBUG", "0"),
        ("WIRELINK_WAIT", "off"),
        ("WIRELINK_ADDRESS_HASH", "sha1"),
        ("WIRELINK_PRUNE", "Never"),
        ("WIRELINK_LEAVE_PEERS", "off"),
        ("WIRELINK_PROBE", "off"),
        ("WIRELINK_RESOLVE_WG_QUICK", "no"),
        ("WIRELINK_PORT_PREDICTION", "no"),
        ("WIRELINK_REPORT_IFACES", "eth0, wlan*"),
        ("WIRELINK_HIDE_IFACES", "docker*"),
        ("WIRELINK_ALLOW_PREFIXES", "10.99.0.0/16, fd99::/48"),
        ("WIRELINK_METRICS", "localhost:2, /run/wirelink.prom"),
    ];
    let flags = [
        "--port",
        "3",
        "--router=yes",
        "--chatty",
        "-d",
        "--wait",
        "--address-hash=blake2s",
        "--prune=all",
        "--leave-peers",
        "--probe",
        "--resolve-wg-quick",
        "--port-prediction",
    ];
    let list = |items: &[&str]| json!(items);
    let (file, lists) = (
        list(&["file"]),
        [
            ["eth0", "wlan*"].as_slice(),
            &["docker*"],
            &["10.99.0.0/16", "fd99::/48"],
            &["localhost:2", "/run/wirelink.prom"],
        ],
    );
    let (in_file, lists) = (
        [file.clone(), file, list(&["10.0.0.0/8"]), list(&["127.0.0.1:1"])],
        lists.map(list),
    );
    let row = |port: u16, set: bool, hash: &str, [report, hide, allow, metrics]: [Value; 4]| {
        [
            json!(port),
            json!(set),
            json!(set),
            json!(set),
            json!(set),
            json!(hash),
            json!(if set { "all" } else { "never" }),
            json!(set),
            json!(set),
            json!(set),
            json!(set),
            report,
            hide,
            allow,
            metrics,
        ]
    };
    assert_eq!(chosen(&[], &[]), row(1, true, "blake2s", in_file));
    assert_eq!(chosen(&[], &variables), row(2, false, "sha1", lists.clone()));
    assert_eq!(chosen(&flags, &variables), row(3, true, "blake2s", lists));
    assert_eq!(chosen(&["--router=auto"], &[])[1], Value::Null);
    assert_eq!(chosen(&["--port", "8", "--port", "9"], &[])[0], 9);
    // An empty variable says nothing.
    assert_eq!(chosen(&[], &[("WIRELINK_PORT", "")])[0], 1);
}

#[test]
fn the_interface_chooses_the_file() {
    let directory = Directory::with("json", r#"{"Port": 1}"#)
        .and("wirelink.wg1.json", r#"{"Port": 2, "Iface": "wg1"}"#)
        .and("wirelink.wg2.toml", "Port = 3");
    let chosen = |arguments: &[&str], variables: &[(&str, &str)]| {
        let dump = directory.dump(arguments, variables);
        (dump["Iface"].clone(), dump["Port"].clone())
    };
    let wg1 = [("WIRELINK_IFACE", "wg1")];
    assert_eq!(chosen(&[], &[]), (json!("wg0"), json!(1)));
    assert_eq!(chosen(&[], &wg1), (json!("wg1"), json!(2)));
    assert_eq!(chosen(&["-i", "wg2"], &wg1), (json!("wg2"), json!(3)));
    assert_eq!(chosen(&["--iface=wg3"], &wg1), (json!("wg3"), Value::Null));
}

#[test]
fn keys_count_in_any_case() {
    let example: Value =
        serde_json::from_str(include_str!("../../wirelink.example.json")).expect("the example is JSON");
    let expected = Directory::with("json", example.to_string()).dump(&[], &[]);
    for respell in [str::to_lowercase, str::to_uppercase] {
        let respelled = keys_in(&example, respell);
        assert_ne!(respelled, example);
        assert_eq!(Directory::with("json", respelled.to_string()).dump(&[], &[]), expected);
    }
}

fn keys_in(value: &Value, respell: fn(&str) -> String) -> Value {
    match value {
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| (respell(key), keys_in(value, respell)))
            .collect(),
        Value::Array(items) => items.iter().map(|item| keys_in(item, respell)).collect(),
        other => other.clone(),
    }
}

/// Checks that each mistake is refused with a message that names the file and says what its line asks for:
/// `format: content => part | part`. KEY and KEY2 stand for keys, / for a new line.
#[track_caller]
fn refused(mistakes: &str) {
    for mistake in mistakes.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (extension, rest) = mistake.split_once(": ").expect("a format");
        let (content, parts) = rest.rsplit_once(" => ").expect("what is said");
        let content = content
            .replace("KEY2", OTHER_KEY)
            .replace("KEY", KEY)
            .replace(" / ", "\n");
        let directory = Directory::with(extension, &content);
        let message = directory.refusal(&[], &[]);
        contains(
            &message,
            &[directory
                .0
                .join(format!("wirelink.wg0.{extension}"))
                .to_str()
                .expect("ASCII")],
        );
        contains(&message, &parts.split(" | ").collect::<Vec<_>>());
        // What a flag overrides is as wrong.
        assert_eq!(directory.refusal(&["--port=5", "--chatty"], &[]), message);
    }
}

#[test]
fn a_wrong_key_is_named_with_the_right_ones() {
    refused(
        r#"
        json: {"Prot": 5} => Prot: unknown key | did you mean Port? | Iface, Port, Router, Chatty | Peers
        json: {"AllowPrefix": []} => AllowPrefix: unknown key | did you mean AllowPrefixes?
        json: {"AllowPrefixes": [], "allow-prefixes": []} => allow-prefixes: the same key as AllowPrefixes
        json: {"MTU": 1420} => MTU: unknown key; allowed here: Iface
        json: {"a key\n": 1} => "a key\n": unknown key
        yaml: peers: [{publickey: KEY}, {PubilcKey: KEY2}] => peers[1].PubilcKey | did you mean PublicKey? | AllowedIPs
        toml: [[Peers]] / PublicKey = 'KEY' / Port = 5 => Peers[0].Port: unknown key | PublicKey, Name, Trust
        json: {"AddressHash": "sha1", "address-hash": "sha1"} => address-hash: the same key as AddressHash
        json: {"Prune": "all", "prune": "all"} => prune: the same key as Prune
        yaml: Port: 5 / Port: 6 => line 2, column 1 | Port is there twice
        toml: Port = 5 / Port = 6 => line 2, column 1 | duplicate key
        json: {"Peers": [{"Name": "a"}]} => Peers[0]: PublicKey is missing | 44 characters
        json: {"Peers": [{"PublicKey": null}]} => Peers[0]: PublicKey is missing
        "#,
    );
}

#[test]
fn a_wrong_type_is_named_with_the_right_one() {
    refused(
        r#"
        json: [] => a list is not a configuration | Iface and Peers
        yaml: wg0 => a text is not a configuration
        json: {"Port": "five"} => Port: "five" is not a port | 1 to 65535
        json: {"Port": true} => Port: true is not a port
        json: {"Port": 5.5} => Port: 5.5 is not a port
        json: {"port": [5]} => port: a list is not a port
        toml: Port = 1979-05-27 => Port: "1979-05-27" is not a port
        yaml: debug: maybe => debug: "maybe" is not a boolean
        json: {"Router": {}} => Router: a table of keys and values is not a choice: true, false or auto
        json: {"Iface": -0.25e-20} => Iface: | is not the name of an interface
        json: {"HideIfaces": {"eth0": 1}} => HideIfaces: a table of keys and values is not a list
        json: {"HideIfaces": "eth0,wg["} => HideIfaces[1]: "wg[" is not an interface name or a glob
        json: {"AllowPrefixes": [10]} => AllowPrefixes[0]: 10 is not a prefix
        json: {"allow-prefixes": [["::/0"]]} => allow-prefixes[0]: a list is not a prefix
        json: {"HideIfaces": [null]} => HideIfaces[0]: null is not an interface name or a glob
        json: {"Peers": {"KEY": {}}} => Peers[0]. | unknown key | PublicKey, Name
        json: {"Peers": "KEY"} => Peers: a text is not a list of peers
        json: {"Peers": ["KEY"]} => Peers[0]: a text is not a peer | PublicKey
        json: {"Peers": [{"PublicKey": 5}]} => Peers[0].PublicKey: 5 is not a WireGuard key
        json: {"Peers": [{"PublicKey": "KEY", "Trust": 5}]} => Peers[0].Trust: 5 is not a trust level
        json: {"Peers": [{"PublicKey": "KEY", "Basic": "?"}]} => Peers[0].Basic: "?" is not a boolean
        json: {"Peers": [{"PublicKey": "KEY", "Endpoints": [5]}]} => Peers[0].Endpoints[0]: 5 is not an endpoint
        json: {"Peers": [{"PublicKey": "KEY", "AllowedIPs": [{}]}]} => Peers[0].AllowedIPs[0]: a table of keys
        "#,
    );
}

#[test]
fn a_wrong_value_is_named_with_what_is_allowed() {
    refused(
        r#"
        json: {"Port": "0x"} => Port: "0x" is not a port: a whole number from 1 to 65535, or 0 for the default
        json: {"Port": 65536} => Port: 65536 is not a port
        json: {"Port": -1} => Port: -1 is not a port
        json: {"Port": 99999999999999999999999999999999999999999999} => Port: | is not a port
        json: {"Prune": "some"} => Prune: "some" is not a choice: introduced, all or never
        json: {"Prune": true} => Prune: true is not a choice
        json: {"LogFormat": "xml"} => LogFormat: "xml" is not a choice: auto, plain or json
        yaml: leave-peers: perhaps => leave-peers: "perhaps" is not a boolean
        json: {"Probe": "maybe"} => Probe: "maybe" is not a boolean
        json: {"Stun": ["stun.example.org:3478", "stun.example.org"]} => Stun[1]: "stun.example.org" is not a server: host:port | :3478
        json: {"Stun": ["stun:stun.example.org:3478"]} => Stun[0]: "stun:stun.example.org:3478" is not a server
        json: {"Stun": ["a:1", "b:1", "c:1", "d:1", "e:1"]} => Stun: | too long a list: at most 4 servers
        json: {"AddressHash": "md5"} => AddressHash: "md5" is not an address hash: sha1 or blake2s
        json: {"ReportIfaces": ["eth0", "wg[0-"]} => ReportIfaces[1]: "wg[0-" is not | glob | veth*
        json: {"AllowPrefixes": ["::/0", "10.0.0.0/33"]} => AllowPrefixes[1]: "10.0.0.0/33" is not a prefix | /24
        json: {"AllowPrefixes": ["10.0.0"]} => AllowPrefixes[0]: "10.0.0" is not a prefix | 10.0.0.7
        json: {"AllowPrefixes": ["hub"]} => AllowPrefixes[0]: "hub" is not a prefix
        json: {"HideIfaces": [""]} => HideIfaces[0]: "" is not
        json: {"Peers": [{"PublicKey": "KEY", "trust": "Root"}]} => Peers[0].trust: "Root" | Untrusted, Endpoint, Allowed
        json: {"Peers": [{"PublicKey": "KEY", "Endpoints": ["a:1", "a"]}]} => Endpoints[1]: "a" is not | host:port
        json: {"Peers": [{"PublicKey": "KEY", "AllowedIPs": ["::/129"]}]} => AllowedIPs[0]: "::/129" is not a prefix | /24
        json: {"Peers": [{"PublicKey": "KEY", "Name": "a\nb"}]} => Peers[0].Name: "a\nb" is not a name | control
        "#,
    );
}

#[test]
fn a_text_in_the_place_of_a_key_is_not_shown() {
    let secret = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk";
    let directory = Directory::with("json", format!(r#"{{"Peers": [{{"PublicKey": "{secret}"}}]}}"#));
    let message = directory.refusal(&[], &[]);
    contains(
        &message,
        &[
            "Peers[0].PublicKey",
            "not a WireGuard key",
            "44 characters of base64",
            "not shown",
        ],
    );
    assert!(!message.contains(&secret[..8]), "{message}");
}

#[test]
fn a_file_that_is_not_of_its_format_is_named_with_the_place() {
    refused(
        r#"
        json: {"Port": 5, /   "Peers"} => line 2, column 10 | not JSON | expected `:`
        json: { => not JSON
        yaml: Port: 5 / Peers: [ => line 2 | not YAML
        toml: Port = 5 / Peers = [ => line 2 | not TOML
        toml: Port = => line 1, column 7 | not TOML
        env: Port=5 / Router => line 2 | not an environment file | KEY=value
        env: Port="5 => line 1 | a quote is not closed
        dotenv: Port=$PORT => line 1 | neither variables nor escapes
        "#,
    );
    let directory = Directory::with("json", b"{\"Iface\": \"\xff\"}");
    contains(
        &directory.refusal(&[], &[]),
        &["wirelink.wg0.json", "not UTF-8 text", "byte 12"],
    );
    let directory = Directory::with("yaml", vec![b'#'; (1 << 20) + 1]);
    contains(&directory.refusal(&[], &[]), &["wirelink.wg0.yaml", "1 MiB"]);
}

#[test]
fn there_is_one_file_for_an_interface() {
    let directory = Directory::with("json", "{}").and("wirelink.wg0.toml", "");
    contains(
        &directory.refusal(&[], &[]),
        &["wirelink.wg0.json", "wirelink.wg0.toml", "keep one"],
    );
}

/// The files that the loader of v1 takes, and how it reads them, were tried with its `--dump`.
#[test]
fn forms_that_v1_accepts_are_read_as_v1_does() {
    let one = |name: &str, more: Value| {
        let mut peer = json!({"PublicKey": KEY, "Name": name, "Trust": null, "FactExchanger": false, "Endpoints": [], "AllowedIPs": [], "Basic": false});
        peer.as_object_mut()
            .expect("a table")
            .extend(more.as_object().expect("a table").clone());
        json!([peer])
    };
    let env = "# a remark\nexport PORT=\"7\"\nReportIfaces='eth0,wlan0' # more\nIFACE=wg0\n\nCHATTY=true # yes\n";
    for (extension, content, key, value) in [
        (
            "json",
            r#"{"chatty": false, "config-path": "/etc/wireguard", "debug": false, "iface": "wg0", "port": 0}"#,
            "Port",
            Value::Null,
        ),
        (
            "json",
            r#"{"dump": false, "Help": false, "VERSION": false, "port": "0x10"}"#,
            "Port",
            json!(16),
        ),
        ("json", r#"{"port": ""}"#, "Port", Value::Null),
        ("json", r#"{"port": 7.0}"#, "Port", json!(7)),
        ("json", r#"{"chatty": 1}"#, "Chatty", json!(true)),
        ("json", r#"{"chatty": 0.5}"#, "Chatty", json!(true)),
        ("json", r#"{"chatty": ""}"#, "Chatty", json!(false)),
        ("json", r#"{"router": "1"}"#, "Router", json!(true)),
        ("json", r#"{"router": ""}"#, "Router", json!(false)),
        (
            "json",
            r#"{"ReportIfaces": "eth0,wlan0"}"#,
            "ReportIfaces",
            json!(["eth0", "wlan0"]),
        ),
        ("json", r#"{"ReportIfaces": ""}"#, "ReportIfaces", json!([])),
        ("json", r#"{"ReportIfaces": {}}"#, "ReportIfaces", json!([])),
        ("json", r#"{"ReportIfaces": 5}"#, "ReportIfaces", json!(["5"])),
        (
            "json",
            r#"{"ReportIfaces": [1, true]}"#,
            "ReportIfaces",
            json!(["1", "1"]),
        ),
        ("json", r#"{"peers": ""}"#, "Peers", json!([])),
        ("json", r#"{"peers": {}}"#, "Peers", json!([])),
        (
            "json",
            r#"{"peers": {"PublicKey": "KEY", "name": 5}}"#,
            "Peers",
            one("5", json!({})),
        ),
        (
            "json",
            r#"{"peers": [{"PublicKey": "KEY", "name": true, "basic": "TRUE", "factexchanger": 1}]}"#,
            "Peers",
            one("1", json!({"Basic": true, "FactExchanger": true})),
        ),
        (
            "json",
            r#"{"peers": [{"PublicKey": "KEY", "name": "a", "AllowedIPs": "10.0.0.1/8,10.1.0.0/16", "Endpoints": "a:1"}]}"#,
            "Peers",
            one(
                "a",
                json!({"AllowedIPs": ["10.0.0.0/8", "10.1.0.0/16"], "Endpoints": ["a:1"]}),
            ),
        ),
        ("json", "\u{feff}{\"port\": 7}", "Port", json!(7)),
        ("yaml", "\u{feff}port: 7\n", "Port", json!(7)),
        ("yml", "port: 7\n", "Port", json!(7)),
        ("toml", "\u{feff}port = 7\n", "Port", json!(7)),
        ("env", env, "Port", json!(7)),
        ("dotenv", env, "ReportIfaces", json!(["eth0", "wlan0"])),
        ("env", env, "Chatty", json!(true)),
    ] {
        let dump = Directory::with(extension, content.replace("KEY", KEY)).dump(&[], &[]);
        assert_eq!(dump[key], value, "{extension}: {content}");
    }
    // 0 outweighs a port of the file, as any other number does.
    let directory = Directory::with("json", r#"{"port": 7}"#);
    assert_eq!(directory.dump(&["--port=0"], &[])["Port"], Value::Null);
}

#[test]
fn what_is_there_twice_is_read_as_v1_does_with_a_warning() {
    for (content, flags, pointer, value, said) in [
        (
            r#"{"Port": 5, "port": 6}"#,
            "",
            "/Port",
            json!(5),
            "Port: is there again as port, which does not count",
        ),
        (
            r#"{"port": 5, "Port": 6}"#,
            "",
            "/Port",
            json!(6),
            "port: is there again as Port, which counts",
        ),
        (
            r#"{"port": 5, "port": 6}"#,
            "",
            "/Port",
            json!(6),
            "port: is there again as port, which counts",
        ),
        (
            r#"{"Peers": [{"PublicKey": "KEY"}], "peers": []}"#,
            "",
            "/Peers/0/Name",
            Value::Null,
            "Peers: is there again as peers",
        ),
        (
            r#"{"peers": [{"PublicKey": "KEY"}], "Peers": [{"PublicKey": "KEY", "Name": "b"}]}"#,
            "",
            "/Peers/0/Name",
            json!("b"),
            "peers: is there again",
        ),
        (
            r#"{"Peers": [{"PublicKey": "KEY", "Basic": true}, {"PublicKey": "KEY", "Name": "b"}]}"#,
            "",
            "/Peers/0/Basic",
            json!(false),
            "Peers[1].PublicKey: the same peer as",
        ),
        (
            r#"{"iface": "wg1"}"#,
            "",
            "/Iface",
            json!("wg1"),
            "\"wg1\" contradicts the interface \"wg0\" whose file this is: \"wg1\" counts",
        ),
        (r#"{"iface": "wg1"}"#, "-iwg0", "/Iface", json!("wg0"), "\"wg0\" counts"),
    ] {
        let directory = Directory::with("json", content.replace("KEY", KEY));
        let flags: Vec<&str> = ["--dump", flags].into_iter().filter(|flag| !flag.is_empty()).collect();
        let output = output(&mut directory.wirelink(&flags));
        assert_eq!(output.status.code(), Some(0), "{content}: {}", stderr(&output));
        let dump: Value = serde_json::from_slice(&output.stdout).expect("a dump is JSON");
        assert_eq!(dump.pointer(pointer), Some(&value), "{content}");
        contains(&stderr(&output), &["WARN", "wirelink.wg0.json: ", said]);
    }
}

#[test]
fn file_that_is_not_read_is_named() {
    for name in [
        "wirelink.wg0.yml~",
        "wirelink.wg0.JSON",
        "wirelink.wg0.hcl",
        "wirelink.wg0.ini",
        "wirelink.wg0.properties",
        "wirelink.wg0.json.bak",
        "wirelink.wg0",
    ] {
        let directory = Directory::new().and(name, "{}");
        contains(
            &directory.refusal(&[], &[]),
            &[&directory.path(name), "is not read", "wirelink.wg0.json"],
        );
        let other = directory.dump(&["-iwg1"], &[]);
        assert_eq!(other["Iface"], json!("wg1"));
    }
    for name in [
        "wirelink.wg0.yml",
        "wirelink.wg0.YAML",
        "wirelink.wg0.hcl",
        "wirelink.wg0.env",
    ] {
        let directory = Directory::with("json", "{}").and(name, "");
        contains(&directory.refusal(&[], &[]), &["wirelink.wg0.json", name, "keep one"]);
    }
    let directory = Directory::with("json", r#"{"port": 7}"#).and("wirelink.wg0.json~", "");
    let output = output(&mut directory.wirelink(&["--dump"]));
    assert_eq!(output.status.code(), Some(0), "a backup does no harm");
    contains(
        &stderr(&output),
        &["WARN", &directory.path("wirelink.wg0.json~"), "is not read"],
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    let directory = Directory::new();
    fs::create_dir(directory.0.join("wirelink.wg0.json")).expect("a directory in the way");
    contains(
        &directory.refusal(&[], &[]),
        &["wirelink.wg0.json: cannot be read", "not a regular file"],
    );
    for wrong in [
        directory.0.join("missing"),
        PathBuf::from(env!("CARGO_BIN_EXE_wirelink")),
    ] {
        let wrong = wrong.to_str().expect("a path in ASCII");
        let message = directory.refusal(&[], &[("WIRELINK_CONFIG_PATH", wrong)]);
        contains(
            &message,
            &["environment variable WIRELINK_CONFIG_PATH", wrong, "not a directory"],
        );
    }
}

#[test]
fn a_wrong_variable_is_named_with_what_is_allowed() {
    let (directory, overriding) = (
        Directory::new(),
        ["--iface=wg0", "--port=5", "--router", "--address-hash=sha1", "-d"],
    );
    for (assignment, parts) in [
        ("WIRELINK_PORT=65536", ["\"65536\" is not a port", "1 to 65535"]),
        ("WIRELINK_PORT=+5", ["\"+5\" is not a port", "1 to 65535"]),
        (
            "WIRELINK_ROUTER=maybe",
            ["\"maybe\" is not a choice", "true, false or auto"],
        ),
        ("WIRELINK_CHATTY=maybe", ["\"maybe\" is not a boolean", "true or false"]),
        ("WIRELINK_DEBUG=2", ["\"2\" is not a boolean", "true or false"]),
        ("WIRELINK_WAIT=2", ["\"2\" is not a boolean", "true or false"]),
        (
            "WIRELINK_ADDRESS_HASH=md5",
            ["\"md5\" is not an address hash", "sha1 or blake2s"],
        ),
        (
            "WIRELINK_REPORT_IFACES=eth0,wg[",
            ["\"wg[\" is not an interface name or a glob", "veth*"],
        ),
        (
            "WIRELINK_HIDE_IFACES=wg[",
            ["\"wg[\" is not an interface name or a glob", "veth*"],
        ),
        (
            "WIRELINK_IFACE=wg 0",
            ["\"wg 0\" is not the name of an interface", "1 to 15 characters"],
        ),
        (
            "WIRELINK_IFACE=../../tmp/wg0",
            ["is not the name of an interface", "1 to 15 characters"],
        ),
    ] {
        let (variable, value) = assignment.split_once('=').expect("an assignment");
        let message = directory.refusal(&[], &[(variable, value)]);
        contains(
            &message,
            &[&format!("environment variable {variable}: "), parts[0], parts[1]],
        );
        // What a flag overrides is as wrong.
        assert_eq!(directory.refusal(&overriding, &[(variable, value)]), message);
    }
}

#[test]
fn a_wrong_flag_is_named_with_what_is_allowed() {
    for (argument, parts) in [
        ("--port=65536", ["flag --port: \"65536\" is not a port", "1 to 65535"]),
        (
            "--router=maybe",
            ["flag --router: \"maybe\" is not a choice", "true, false or auto"],
        ),
        (
            "--chatty=maybe",
            ["flag --chatty: \"maybe\" is not a boolean", "true or false"],
        ),
        (
            "-d=maybe",
            ["flag --debug: \"maybe\" is not a boolean", "true or false"],
        ),
        (
            "--wait=maybe",
            ["flag --wait: \"maybe\" is not a boolean", "true or false"],
        ),
        (
            "--address-hash=md5",
            ["flag --address-hash: \"md5\"", "sha1 or blake2s"],
        ),
        (
            "--iface=",
            [
                "flag --iface: \"\" is not the name of an interface",
                "1 to 15 characters",
            ],
        ),
        (
            "--iface=..",
            [
                "flag --iface: \"..\" is not the name of an interface",
                "1 to 15 characters",
            ],
        ),
        (
            "-iinterface-of-16c",
            ["flag --iface: \"interface-of-16c\"", "1 to 15 characters"],
        ),
    ] {
        contains(&Directory::new().refusal(&[argument], &[]), &parts);
    }
}

#[test]
fn a_variable_that_is_no_setting_is_a_warning() {
    let directory = Directory::new();
    let output = output(
        directory
            .wirelink(&["--dump"])
            .env("WIRELINK_PROT", "5")
            .env("WIRELINK_FOO", "5")
            .env("OTHER_PORT", "5"),
    );
    assert_eq!(output.status.code(), Some(0));
    let message = stderr(&output);
    contains(
        &message,
        &[
            "WARN",
            "WIRELINK_PROT is ignored",
            "did you mean WIRELINK_PORT?",
            "WIRELINK_FOO is ignored: there is no such setting\n",
        ],
    );
    assert!(!message.contains("OTHER_PORT"), "{message}");
    assert!(
        serde_json::from_slice::<Value>(&output.stdout).is_ok(),
        "the dump is alone on standard output"
    );
}

#[test]
fn too_few_open_files_are_a_clear_exit() {
    let directory = Directory::new();
    let program = env!("CARGO_BIN_EXE_wirelink");
    let line = format!("ulimit -n 20; exec {program} --iface wlnone");
    let said = output(
        Command::new("sh")
            .args(["-c", &line])
            .env_clear()
            .env("WIRELINK_CONFIG_PATH", &directory.0)
            .stdin(Stdio::null()),
    );
    assert_eq!(said.status.code(), Some(1), "{}", stderr(&said));
    contains(&stderr(&said), &["20 files open", "LimitNOFILE=", "ulimit -n"]);
}

/// A process that may be dumped belongs to its user in /proc, and any other process of that user may read its memory; one that may
/// not belongs to root (proc(5)).
#[test]
fn memory_of_a_daemon_is_closed_to_its_user() {
    const NOBODY: u32 = 65_534;
    let directory = Directory::new();
    let mut command = directory.wirelink(&["--iface", "wlnone", "--wait"]);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut daemon = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
    let stderr = BufReader::new(daemon.stderr.take().expect("a pipe"));
    let is_confined = |line: &std::io::Result<String>| line.as_ref().is_ok_and(|line| line.contains("confined"));
    let confined = stderr.lines().find(is_confined);
    let owner = fs::metadata(format!("/proc/{}/maps", daemon.id())).map(|file| file.uid());
    daemon.kill().expect("it is ours");
    daemon.wait().expect("it ends");
    assert!(confined.is_some(), "it says that it is confined");
    assert_eq!(owner.expect("it runs"), 0);
}
