//! What holds for every configuration, in process; `tests/cli.rs` has the messages, through the binary.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use clap::CommandFactory as _;
use figment::Figment;
use proptest::prelude::*;

use super::keys::{CONFIG_COPY, CONFIG_PATH, PEER, TOP};
use super::layer::FileLayer;
use super::read::Draft;
use super::tree::FileFormat;
use super::{Config, ConfigError, Flags, LogFormat, load};
use crate::cli::Cli;
use crate::mesh::base::settings::{Prune, Settings, TrustLevel};

const KEY: &str = "0Yv3uHJBbSCqnsQdm225IkYhSK5O5r3JkoiUESoWBis=";

const EXAMPLE: &str = include_str!("../../wirelink.example.json");

fn read(format: FileFormat, content: impl AsRef<[u8]>) -> Result<Draft, ConfigError> {
    let layer = FileLayer::parse(Path::new("wirelink.wg0"), format, content.as_ref())?;
    Draft::read(&Figment::from(layer))
}

fn json(content: &str) -> Settings {
    read(FileFormat::Json, content)
        .unwrap_or_else(|error| panic!("{error}"))
        .settings
}

/// Keeps this machine's own files out of a test.
fn nowhere() -> (OsString, OsString) {
    (CONFIG_PATH.into(), env!("CARGO_MANIFEST_DIR").into())
}

#[test]
fn what_stands_in_the_file_stands_in_the_settings() {
    let settings = json(EXAMPLE);
    assert_eq!(
        (settings.port, settings.router, settings.chatty),
        (Some(51821), Some(false), false)
    );
    let globs = |patterns: &[glob::Pattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(globs(&settings.report_ifaces), "eth* wlan[0-3]");
    assert_eq!(globs(&settings.hide_ifaces), "docker* veth*");
    let allowed = settings.allow_prefixes.as_deref().expect("a list");
    assert_eq!(
        allowed,
        ["10.0.0.0/24", "fd00:5eed::/64"].map(|net| net.parse::<ipnet::IpNet>().expect("a prefix"))
    );
    let hub = &settings.peers[&"VYyIQThKsA+fXJBvrvGKUolrfBBpkkYGT11VxkFwsSM=".parse().expect("a key")];
    assert_eq!(
        (hub.name.as_deref(), hub.trust),
        (Some("hub"), Some(TrustLevel::Membership))
    );
    assert_eq!((hub.fact_exchanger, hub.basic), (true, false));
    assert_eq!(
        hub.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().len(),
        2
    );
    assert_eq!(
        hub.allowed_ips,
        ["10.0.0.0/24", "fd00:5eed::/64"].map(|net| net.parse().expect("a prefix"))
    );
    let printer = &settings.peers[&"Qa7D+1xA1xq/sPGaoMyxalgOzg6MwrnU74KrYhPWLlk=".parse().expect("a key")];
    assert_eq!((printer.trust, printer.basic), (None, true));
    assert_eq!(printer.allowed_ips, ["10.0.0.9/32".parse().expect("a prefix")]);
}

#[test]
fn null_and_empty_say_nothing() {
    let every: Vec<String> = TOP.iter().map(|key| format!("\"{}\": null", key.name)).collect();
    assert_eq!(json(&format!("{{{}}}", every.join(","))), Settings::default());
    let peer = |more: &str| json(&format!("{{\"Peers\": [{{\"PublicKey\": \"{KEY}\"{more}}}]}}"));
    let every: Vec<String> = PEER[1..]
        .iter()
        .map(|key| format!(", \"{}\": null", key.name))
        .collect();
    assert_eq!(peer(&every.concat()), peer(""));
    assert_eq!(peer(r#", "Trust": "", "Name": """#), peer(""));
    assert_eq!(
        json(r#"{"AllowPrefixes": []}"#).allow_prefixes,
        Some(Vec::new()),
        "none is not all"
    );
    assert_eq!(read(FileFormat::Yaml, "").expect("an empty file"), Draft::default());
    assert_eq!(read(FileFormat::Toml, "").expect("an empty file"), Draft::default());
}

#[test]
fn a_router_that_is_found_out_is_not_set() {
    for value in ["null", "\"auto\"", "\"Auto\""] {
        assert_eq!(json(&format!("{{\"Router\": {value}}}")).router, None, "{value}");
    }
    assert_eq!(json(r#"{"Router": "false"}"#).router, Some(false));
}

#[test]
fn bits_beyond_the_length_of_a_prefix_do_not_count() {
    let list = r#"["10.1.2.3/8", "10.1.2.3", "fd00::7/64", "fd00::7", "0.0.0.0/0"]"#;
    let settings = json(&format!(
        "{{\"Peers\": [{{\"PublicKey\": \"{KEY}\", \"AllowedIPs\": {list}}}]}}"
    ));
    let read = &settings.peers.values().next().expect("one peer").allowed_ips;
    let expected = ["10.0.0.0/8", "10.1.2.3/32", "fd00::/64", "fd00::7/128", "0.0.0.0/0"];
    assert_eq!(
        *read,
        expected.map(|net| net.parse::<ipnet::IpNet>().expect("a prefix"))
    );
}

#[test]
fn the_three_formats_say_the_same() {
    let yaml = format!("port: 5\nChatty: yes\nhideIfaces: [docker*]\npeers:\n- publicKey: {KEY}\n  trust: endpoint\n");
    let toml = format!(
        "port = 5\nChatty = true\nhideIfaces = ['docker*']\n[[peers]]\npublicKey = '{KEY}'\ntrust = 'Endpoint'\n"
    );
    let expected = json(&format!(
        r#"{{"port": 5, "Chatty": true, "hideIfaces": ["docker*"], "peers": [{{"publicKey": "{KEY}", "trust": "ENDPOINT"}}]}}"#
    ));
    assert_eq!(read(FileFormat::Yaml, yaml).expect("YAML").settings, expected);
    assert_eq!(read(FileFormat::Toml, toml).expect("TOML").settings, expected);
}

#[test]
fn every_flag_of_a_setting_is_on_the_command_line_and_counts() {
    let ours: BTreeSet<String> = TOP.iter().filter_map(|key| key.flag).map(str::to_owned).collect();
    let command = Cli::command();
    let longs = command
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .map(|long| format!("--{long}"));
    let beside = ["--dump", "--help", "--version"].map(str::to_owned);
    assert_eq!(
        longs.filter(|long| !beside.contains(long)).collect::<BTreeSet<_>>(),
        ours
    );

    let word = |word: &str| Some(word.to_owned());
    let flags = Flags {
        iface: word("wg7"),
        port: word("7"),
        router: word("yes"),
        chatty: word("1"),
        address_hash: word("BLAKE2s"),
        prune: word("All"),
        leave_peers: word("yes"),
        resolve_wg_quick: word("on"),
        port_prediction: word("off"),
        debug: word("on"),
        log_format: word("JSON"),
        wait: word("true"),
        probe: word("off"),
    };
    let Config {
        iface,
        debug,
        log_format,
        wait,
        probe,
        file,
        directory,
        state,
        control,
        metrics,
        wg_quick,
        settings,
    } = load(&flags, [nowhere()]).expect("right flags").config;
    assert_eq!(
        (iface.as_str(), debug, wait, probe, file),
        ("wg7", true, true, false, None)
    );
    assert_eq!(log_format, LogFormat::Json);
    assert_eq!(directory, std::path::Path::new(env!("CARGO_MANIFEST_DIR")));
    assert_eq!(state, Some("/var/lib/wirelink".into()));
    assert_eq!(metrics, []);
    assert_eq!(control, Some("/run/wirelink".into()));
    assert!(wg_quick.is_some_and(|file| file.ends_with("wg7.conf")));
    assert_eq!((settings.prune, settings.leave_peers), (Prune::All, true));
    assert!(!settings.predicts_ports());
    assert_eq!(
        (settings.port, settings.router, settings.chatty),
        (Some(7), Some(true), true)
    );
    assert_eq!(settings.address_hash, crate::mesh::base::identity::AddressHash::Blake2s);
}

#[test]
fn a_copy_is_read_and_goes_by_the_name_of_what_was_copied() {
    let folder = std::env::temp_dir().join(format!("wirelink-config-copy-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(
        folder.join("wirelink.wg0.json"),
        r#"{"Chatty": true, "ResolveWgQuick": true}"#,
    )
    .expect("a file");
    let copy = || [nowhere(), (CONFIG_COPY.into(), folder.clone().into())];
    let config = load(&Flags::default(), copy()).expect("it is right").config;
    assert!(config.settings.chatty);
    let original = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("wirelink.wg0.json");
    assert_eq!(config.file, Some(original.clone()));
    assert_eq!(
        config.wg_quick,
        Some(folder.join("wg0.conf")),
        "it cannot read the other"
    );
    assert_eq!(config.directory, folder);
    std::fs::write(folder.join("wirelink.wg0.json"), "{").expect("a file");
    let error = load(&Flags::default(), copy()).expect_err("it is wrong").to_string();
    std::fs::remove_dir_all(&folder).ok();
    assert!(error.starts_with(&original.display().to_string()), "{error}");
}

#[test]
fn systemd_says_where_what_survives_a_restart_is_kept() {
    for (variable, folder) in [
        ("/var/lib/private/a", "/var/lib/private/a"),
        ("/a:/b", "/a"),
        (":/b", "/b"),
        ("", "/var/lib/wirelink"),
    ] {
        let environment = [nowhere(), ("STATE_DIRECTORY".into(), variable.into())];
        let config = load(&Flags::default(), environment).expect("it is right").config;
        assert_eq!(config.state, Some(folder.into()), "{variable}");
    }
    let environment = [nowhere(), ("RUNTIME_DIRECTORY".into(), "/run/a:/run/b".into())];
    let config = load(&Flags::default(), environment).expect("it is right").config;
    assert_eq!(config.control, Some("/run/a".into()));
}

#[test]
fn a_variable_that_is_not_text_is_refused_where_it_is_ours() {
    use std::os::unix::ffi::OsStringExt as _;
    let variable = |name: &str| [nowhere(), (name.into(), OsString::from_vec(vec![0xff]))];
    let error = load(&Flags::default(), variable("WIRELINK_PORT"))
        .expect_err("not text")
        .to_string();
    assert!(error.contains("WIRELINK_PORT") && error.contains("UTF-8"), "{error}");
    let loaded = load(&Flags::default(), variable("WIRELINK_OTHER")).expect("somebody else's");
    assert!(
        matches!(&loaded.warnings[..], [warning] if warning.contains("WIRELINK_OTHER")),
        "{:?}",
        loaded.warnings
    );
    assert_eq!(
        load(&Flags::default(), variable("OTHER"))
            .expect("somebody else's")
            .warnings
            .len(),
        0
    );
}

/// Cuts a file short after every byte and takes every byte out: whatever is said about it then, it is not the secret.
#[test]
fn no_message_shows_what_stands_in_the_place_of_a_key() {
    let files = [
        (
            FileFormat::Json,
            format!("{{\n \"Port\": 5,\n \"Peers\": [\n {{\"PublicKey\": \"{KEY}\",\n \"Name\": \"a\"}}]\n}}"),
        ),
        (
            FileFormat::Yaml,
            format!("Port: 5\nPeers:\n- PublicKey: {KEY}\n  Name: a\n"),
        ),
        (
            FileFormat::Yaml,
            format!("Port: 5\nPeers:\n- Name: a\n  PublicKey: \"{KEY}\"\n"),
        ),
        (
            FileFormat::Toml,
            format!("Port = 5\n[[Peers]]\nPublicKey = \"{KEY}\"\nName = \"a\"\n"),
        ),
    ];
    let parts: Vec<&str> = (0..KEY.len() - 8).map(|start| &KEY[start..start + 8]).collect();
    let mut refused = 0;
    for (format, text) in &files {
        for at in 0..text.len() {
            for mutilated in [text[..at].to_owned(), [&text[..at], &text[at + 1..]].concat()] {
                let Err(error) = read(*format, &mutilated) else {
                    continue;
                };
                let message = error.to_string();
                assert!(
                    !parts.iter().any(|part| message.contains(part)),
                    "{message}\nabout\n{mutilated}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 300, "only {refused} files were refused");
}

/// Returns texts that resemble configurations.
fn resembling() -> impl Strategy<Value = String> {
    let words = TOP.iter().chain(&PEER).map(|key| key.name).chain([
        "{",
        "}",
        "[",
        "]",
        "[[",
        "]]",
        ":",
        ",",
        "=",
        "\"",
        "'",
        "\n",
        "\n  ",
        "- ",
        "? ",
        "&a ",
        "*a",
        "<<",
        "|",
        "!!binary ",
        "true",
        "null",
        "0",
        "-1",
        "1.5",
        "1e400",
        "0x7fffffffffffffffffffffffffffffffff",
        "1979-05-27",
        KEY,
    ]);
    prop::collection::vec(prop::sample::select(words.collect::<Vec<_>>()), 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_file_makes_it_panic(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            ".{0,100}".prop_map(String::into_bytes),
            resembling().prop_map(String::into_bytes),
        ]
    ) {
        for format in FileFormat::ALL {
            let message = read(format, &bytes).map_or_else(|error| error.to_string(), |_| String::new());
            prop_assert!(!message.chars().any(char::is_control), "{message:?} is more than one line");
        }
    }

    #[test]
    fn what_is_dumped_reads_as_itself(port: Option<std::num::NonZeroU16>, router: Option<bool>, chatty: bool, name in "[\\PC&&[^\u{2028}\u{2029}]]{0,20}") {
        let peer = super::super::mesh::base::settings::PeerSettings {
            name: Some(name).filter(|name| !name.is_empty()),
            trust: Some(TrustLevel::DelegateTrust),
            ..Default::default()
        };
        let settings = Settings {
            port: port.map(Into::into),
            router,
            chatty,
            allow_prefixes: router.map(|_| vec!["10.0.0.0/8".parse().expect("a prefix")]),
            prune: if chatty { Prune::Never } else { Prune::All },
            leave_peers: chatty,
            port_prediction: Some(chatty),
            stun: vec!["stun.example.org:3478".parse().expect("a host"), "[2001:db8::1]:3478".parse().expect("a host")],
            report_ifaces: vec![super::pattern::pattern("a\\*b[^c]**").expect("a glob")],
            peers: [(KEY.parse().expect("a key"), peer)].into(),
            ..Settings::default()
        };
        let config = Config {
            iface: "wg0".to_owned(), debug: true, log_format: LogFormat::Plain, wait: false, probe: chatty, file: None, directory: "".into(), state: None, control: None,
            metrics: if chatty { vec!["127.0.0.1:9".parse().expect("a place")] } else { Vec::new() },
            wg_quick: router.map(|_| "wg0.conf".into()), settings: settings.clone(),
        };
        let draft = read(FileFormat::Json, config.to_json()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(draft.settings, settings);
        prop_assert_eq!(draft.metrics, config.metrics);
        prop_assert_eq!(draft.resolve_wg_quick, Some(router.is_some()));
        prop_assert_eq!(
            (draft.iface.map(|iface| iface.value), draft.debug, draft.log_format, draft.probe),
            (Some(config.iface), Some(config.debug), Some(config.log_format), Some(config.probe))
        );
    }
}
