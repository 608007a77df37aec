//! What an operator asks a running daemon: the real program, beside real daemons.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::command;
use crate::lab::{Lab, WIRELINK};
use crate::look;
use crate::play;
use crate::scenario::table::{home_home, public_public};
use crate::scenario::{Name, Path};

const SOON: Duration = Duration::from_secs(60);

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

/// Runs a command of the program on a host.
pub(crate) fn ask(lab: &Lab, name: &str, arguments: &str) -> Said {
    ask_as(lab, name, "", arguments)
}

pub(crate) fn ask_as(lab: &Lab, name: &str, prefix: &str, arguments: &str) -> Said {
    let number = lab.logs.read_dir().expect("it is there").count();
    let line = format!("{prefix} {WIRELINK} {arguments}");
    let mut process = lab.spawn(name, line.trim(), &format!("asked-{number}.log"));
    let status = process.ended(SOON);
    Said {
        code: status.and_then(|status| status.code()),
        text: process.output(),
    }
}

/// Runs a command that answers in JSON.
#[track_caller]
pub(crate) fn json_of(lab: &Lab, name: &str, arguments: &str) -> Value {
    let iface = lab.interface(name);
    let said = ask(lab, name, &format!("{arguments} --json --iface {iface}"));
    assert_eq!(said.code, Some(0), "{arguments}: {}", said.text);
    serde_json::from_str(&said.text).unwrap_or_else(|error| panic!("{arguments}: {error}: {}", said.text))
}

/// Returns what a host's daemon says of a peer.
pub(crate) fn peer(lab: &Lab, name: &str, of: &str) -> Value {
    let shown = json_of(lab, name, &format!("status {}", lab.public_key(of)));
    shown["peers"][0].clone()
}

/// Waits until a host's daemon gives this reason for a peer.
#[track_caller]
pub(crate) fn expect_reason(lab: &Lab, name: &str, of: &str, reason: &str) {
    let mut last = Value::Null;
    let question = format!("status {} --json --iface {}", lab.public_key(of), lab.interface(name));
    let found = command::until(SOON, || {
        // One that has just been started may not listen yet, nor know its peers.
        let said = ask(lab, name, &question);
        let shown: Value = serde_json::from_str(&said.text).unwrap_or_else(|_| json!(said.text));
        last = shown.get("peers").map_or(shown.clone(), |peers| peers[0].clone());
        (last["reason"] == reason).then_some(())
    });
    assert!(found.is_some(), "{name} about {of}: wanted {reason}, not {last:#}");
    let explained = json_of(lab, name, &format!("explain {}", lab.public_key(of)));
    assert!(
        explained["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()),
        "{explained:#}"
    );
}

/// Two leaves behind home routers, direct.
pub(crate) fn direct() -> Lab {
    let mut lab = Lab::build(&home_home());
    play::start_all(&mut lab, Duration::from_secs(30));
    lab
}

/// Writes the file of a host's settings.
pub(crate) fn settle(lab: &mut Lab, name: Name, settings: &Value) {
    let folder = lab.settings(name);
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(format!("wirelink.{}.json", lab.interface(name)));
    fs::write(file, settings.to_string()).expect("a file");
}

#[test]
fn what_is_asked_of_a_healthy_network_is_answered() {
    let lab = direct();
    expect_reason(&lab, "a", "b", "direct");
    expect_reason(&lab, "a", "hub", "router");
    let table = ask(&lab, "a", &format!("status -i {}", lab.interface("a")));
    assert_eq!(table.code, Some(0), "{}", table.text);
    assert!(
        table.text.lines().all(|line| line.chars().count() <= 80),
        "{}",
        table.text
    );
    assert!(
        !table.text.contains('\u{1b}'),
        "no terminal, no colours: {}",
        table.text
    );
    let key = lab.public_key("b");
    assert!(
        table.text.contains("direct") && table.text.contains(&key[..6]),
        "{}",
        table.text
    );

    let explained = json_of(&lab, "a", &format!("explain {key}"));
    let candidates = explained["candidates"].as_array().expect("a list");
    let used = candidates.iter().find(|candidate| candidate["in_use"] == true);
    assert!(
        used.is_some_and(|used| used["asked"].as_u64() > Some(0)),
        "{explained:#}"
    );
    let words = ask(&lab, "a", &format!("explain {} -i {}", &key[..12], lab.interface("a")));
    assert!(words.text.contains("traffic goes directly (direct)"), "{}", words.text);
    println!("{}\n{}", table.text, words.text);

    let facts = json_of(&lab, "a", &format!("facts {key}"));
    let facts = facts["facts"].as_array().expect("a list");
    assert!(facts.iter().any(|fact| fact["attribute"] == "endpoint"), "{facts:#?}");
    let events = ask(&lab, "a", &format!("events --json -i {}", lab.interface("a")));
    let mut events = events
        .text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    assert!(events.any(|event| event["code"] == "link-established" && event["peer"] == *key));

    let before = lab.namespace("a").run(&format!("wg showconf {}", lab.interface("a")));
    let exported = ask(&lab, "a", &format!("export -i {}", lab.interface("a")));
    assert_eq!(exported.code, Some(0));
    assert!(!exported.text.contains("PrivateKey"), "{}", exported.text);
    let file = lab.logs.join("exported.conf");
    fs::write(&file, exported.text).expect("a file");
    lab.namespace("a")
        .run(&format!("wg addconf {} {}", lab.interface("a"), file.display()));
    let after = lab.namespace("a").run(&format!("wg showconf {}", lab.interface("a")));
    assert_eq!(sorted(&before), sorted(&after), "it says what is there");
}

/// Returns the words of each line in order, and the lines: WireGuard has an order of its own.
fn sorted(conf: &str) -> Vec<Vec<&str>> {
    let words = conf.lines().map(|line| line.split([' ', ',']));
    let mut lines: Vec<Vec<&str>> = words.map(Iterator::collect).collect();
    lines.iter_mut().for_each(|words| words.sort_unstable());
    lines.sort_unstable();
    lines
}

#[test]
fn what_is_asked_of_nobody_or_wrongly_gets_a_clear_answer() {
    let mut lab = direct();
    let iface = lab.interface("a").to_owned();
    for (arguments, code, part) in [
        ("status --iface wg77".to_owned(), 3, "no wirelink runs beside wg77"),
        (format!("status nobody -i {iface}"), 2, "there is no peer \"nobody\""),
        (format!("set nobody --pause -i {iface}"), 2, "there is no peer"),
        (format!("set nobody -i {iface}"), 2, "--pause"),
        (format!("set nobody --trust Much -i {iface}"), 2, "not a trust level"),
        ("status".to_owned(), 2, "several daemons run"),
    ] {
        let said = ask(&lab, "a", &arguments);
        assert_eq!(said.code, Some(code), "{arguments}: {} ", said.text);
        assert!(said.text.contains(part), "{arguments}: {}", said.text);
    }
    let refused = ask_as(
        &lab,
        "a",
        "setpriv --reuid 65534 --regid 65534 --clear-groups",
        &format!("status -i {iface}"),
    );
    assert_eq!(refused.code, Some(1), "{}", refused.text);
    assert!(refused.text.contains("ermission denied"), "{}", refused.text);
    for name in ["a", "b", "hub"] {
        lab.daemon(name).kill();
    }
    let said = ask(&lab, "a", "status");
    assert_eq!((said.code, said.text.lines().count()), (Some(3), 1), "{}", said.text);
}

#[test]
fn the_group_may_read_and_a_daemon_that_cannot_give_it_the_socket_answers_root() {
    let lab = Lab::build(&home_home());
    let iface = lab.interface("a");
    lab.namespace("a").write("group", "root:x:0:\nwirelink:x:77007:\n");
    let socket = lab.logs.join("run").join(format!("{iface}.sock"));
    let member = "setpriv --reuid 65534 --regid 77007 --clear-groups";
    // Root may become a member, and a member may give it to the group.
    for (rights, group, reads) in [
        ("", 77_007, 0),
        ("setpriv --bounding-set -chown", 77_007, 0),
        ("setpriv --bounding-set -chown,-setgid", 0, 1),
    ] {
        let line = format!("{rights} {WIRELINK} --iface {iface}");
        let mut daemon = lab.spawn("a", line.trim(), &format!("{group}.log"));
        assert!(daemon.catches(Signal::HUP, SOON), "{}", daemon.output());
        let status = || ask(&lab, "a", &format!("status -i {iface}")).code;
        let answers = command::until(SOON, || (status() == Some(0)).then_some(()));
        assert!(answers.is_some(), "{}", daemon.output());
        let of_socket = fs::metadata(&socket).expect("it is there");
        assert_eq!((of_socket.gid(), of_socket.mode() & 0o777), (group, 0o660));
        let read = ask_as(&lab, "a", member, &format!("status -i {iface}"));
        assert_eq!(read.code, Some(reads), "{}", read.text);
        let changed = ask_as(&lab, "a", member, &format!("log debug -i {iface}"));
        assert_eq!(changed.code, Some(1), "{}", changed.text);
        let complaints = daemon.output().matches("CAP_CHOWN").count();
        assert_eq!(complaints, usize::from(group == 0), "{}", daemon.output());
    }
}

#[test]
fn a_peer_is_paused_and_resumed_and_both_sides_say_so() {
    let lab = direct();
    let (iface, key) = (lab.interface("a"), lab.public_key("b"));
    let paused = ask(&lab, "a", &format!("set {key} --pause -i {iface}"));
    assert_eq!(paused.code, Some(0), "{}", paused.text);
    look::arrive(&lab, &look::all_by(&lab, Path::Hub), SOON).expect("it goes through the hub");
    expect_reason(&lab, "a", "b", "paused");
    expect_reason(&lab, "b", "a", "awaits-peer");
    let shown = peer(&lab, "a", "b");
    assert_eq!(
        (&shown["path"], &shown["via"]),
        (&json!("via"), &json!(lab.public_key("hub")[..8])),
        "{shown:#}"
    );
    let status = json_of(&lab, "a", "status");
    assert!(status["node"]["overrides"].to_string().contains("paused"), "{status:#}");
    let resumed = ask(&lab, "a", &format!("set {key} --resume -i {iface}"));
    assert_eq!(resumed.code, Some(0), "{}", resumed.text);
    look::arrive(&lab, &look::all_by(&lab, Path::Direct), SOON).expect("it goes directly");
    expect_reason(&lab, "a", "b", "direct");
}

#[test]
fn a_banned_peer_is_out_at_once_and_after_a_restart() {
    let mut lab = direct();
    let (hub, key) = (lab.interface("hub").to_owned(), lab.public_key("b").to_owned());
    let banned = ask(&lab, "hub", &format!("set {key} --ban -i {hub}"));
    assert_eq!(banned.code, Some(0), "{}", banned.text);
    for name in ["hub", "a"] {
        let gone = command::until(SOON, || lab.peer(name, "b").is_none().then_some(()));
        assert!(gone.is_some(), "{name}: {}", lab.log(name));
        expect_reason(&lab, name, "b", "denied");
    }
    for name in ["hub", "a"] {
        play::stop(&mut lab, &[name]);
        lab.start(name);
        expect_reason(&lab, name, "b", "denied");
        assert!(lab.peer(name, "b").is_none(), "{name}: {}", lab.log(name));
    }
    let facts = json_of(&lab, "a", "facts");
    assert!(facts["facts"].to_string().contains("denied"), "{facts:#}");
    let pardoned = ask(&lab, "hub", &format!("set {key} --unban -i {hub}"));
    assert_eq!(pardoned.code, Some(0), "{}", pardoned.text);
    let returns = command::until(SOON, || lab.log("a").contains("is banned no longer").then_some(()));
    assert!(returns.is_some(), "{}", lab.log("a"));
}

#[test]
fn what_was_read_and_said_since_the_start_outlives_the_interface() {
    let mut lab = Lab::build(&public_public());
    settle(&mut lab, "a", &json!({ "Wait": true }));
    play::start_all(&mut lab, Duration::from_secs(30));
    let (iface, key) = (lab.interface("a").to_owned(), lab.public_key("b").to_owned());
    let named = json!({ "Wait": true, "Peers": [{ "PublicKey": key, "Name": "bert" }] });
    settle(&mut lab, "a", &named);
    for line in [format!("reload -i {iface}"), format!("set {key} --pause -i {iface}")] {
        let said = ask(&lab, "a", &line);
        assert_eq!(said.code, Some(0), "{}", said.text);
    }
    // It is not looked for again: what counts is what was followed.
    settle(&mut lab, "a", &json!({ "Peers": [{ "PublicKey": "short" }] }));

    lab.unmake_interface("a");
    let waits = command::until(SOON, || lab.log("a").contains("waiting for").then_some(()));
    assert!(waits.is_some(), "{}", lab.log("a"));
    lab.make_interface("a");
    let is_so = || {
        let status = ask(&lab, "a", &format!("status --json -i {iface}"));
        let status: Value = serde_json::from_str(&status.text).unwrap_or_default();
        let mut peers = status["peers"].as_array().cloned().unwrap_or_default().into_iter();
        peers.find(|peer| peer["name"] == "bert" && peer["reason"] == "paused")
    };
    assert!(command::until(SOON, is_so).is_some(), "{}", lab.log("a"));
}

#[test]
fn the_configuration_is_read_again_and_links_stay() {
    let mut lab = Lab::build(&home_home());
    settle(&mut lab, "a", &json!({}));
    play::start_all(&mut lab, Duration::from_secs(30));
    let (iface, key) = (lab.interface("a").to_owned(), lab.public_key("b").to_owned());
    let established = |lab: &Lab| lab.log("a").matches("direct link to").count();
    let before = established(&lab);
    settle(
        &mut lab,
        "a",
        &json!({ "Peers": [{ "PublicKey": key, "Name": "bert" }] }),
    );
    let said = ask(&lab, "a", &format!("reload -i {iface}"));
    assert_eq!(said.code, Some(0), "{}", said.text);
    let named = command::until(SOON, || (peer(&lab, "a", "b")["name"] == "bert").then_some(()));
    assert!(named.is_some(), "{:#}", peer(&lab, "a", "b"));

    for (wrong, part) in [
        (json!({ "Peers": [{ "PublicKey": "short" }] }), "not a WireGuard key"),
        (json!({ "AddressHash": "blake2s" }), "restart"),
    ] {
        settle(&mut lab, "a", &wrong);
        let said = ask(&lab, "a", &format!("reload -i {iface}"));
        assert_eq!(said.code, Some(2), "{}", said.text);
        assert!(said.text.contains(part), "{}", said.text);
        assert_eq!(peer(&lab, "a", "b")["name"], "bert", "nothing is changed");
    }
    settle(
        &mut lab,
        "a",
        &json!({ "Peers": [{ "PublicKey": key, "Name": "ernie" }] }),
    );
    lab.daemon("a").signal(Signal::HUP);
    let named = command::until(SOON, || (peer(&lab, "a", "b")["name"] == "ernie").then_some(()));
    assert!(named.is_some(), "{}", lab.log("a"));
    assert_eq!(established(&lab), before, "the link stayed: {}", lab.log("a"));
    look::arrive(&lab, &look::all_by(&lab, Path::Direct), SOON).expect("it still goes directly");

    let debug = |lab: &Lab| json_of(lab, "a", "status")["node"]["debug"].clone();
    for (word, is_on) in [("info", false), ("debug", true)] {
        assert_eq!(ask(&lab, "a", &format!("log {word} -i {iface}")).code, Some(0));
        assert_eq!(debug(&lab), is_on);
    }
}
