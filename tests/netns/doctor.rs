//! `wirelink doctor` on machines on which one thing is wrong, and on one on which nothing is.

use std::time::Duration;

use serde_json::{Value, json};

use crate::command;
use crate::control::{ask_as, direct, settle};
use crate::lab::Lab;
use crate::scenario::table::home_home;

const SOON: Duration = Duration::from_secs(30);

/// Returns the exit status of the doctor, and what does not please it: check, state and text.
pub(crate) fn examine(lab: &Lab, name: &str, prefix: &str) -> (Option<i32>, Vec<[String; 3]>) {
    std::fs::create_dir_all(lab.settings(name)).expect("a folder");
    let prefix = format!("{prefix} env WIRELINK_CONFIG_PATH={}", lab.settings(name).display());
    let said = ask_as(lab, name, &prefix, &format!("doctor --json -i {}", lab.interface(name)));
    // Behind the JSON is the line on standard error.
    let mut values = serde_json::Deserializer::from_str(&said.text).into_iter::<Value>();
    let findings = values.next().and_then(Result::ok);
    let findings = findings.unwrap_or_else(|| panic!("no JSON: {}", said.text));
    let all = findings.as_array().expect("a list").iter();
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let complaints = all
        .map(|finding| ["check", "state", "text"].map(|key| word(finding, key)))
        // The clock is that of the machine on which the lab is.
        .filter(|[check, state, _]| state != "ok" && check != "clock");
    (said.code, complaints.collect())
}

#[track_caller]
fn expect(lab: &Lab, name: &str, code: i32, expected: &[[&str; 3]]) {
    let (status, complaints) = examine(lab, name, "");
    let is = |found: &[String; 3], expected: &[&str; 3]| {
        found[0] == expected[0] && found[1] == expected[1] && found[2].contains(expected[2])
    };
    let all = complaints.len() == expected.len() && complaints.iter().zip(expected).all(|(found, due)| is(found, due));
    assert!(all, "{complaints:#?} instead of {expected:#?}");
    assert_eq!(status, Some(code), "{complaints:#?}");
}

/// Links through such a router come up, as its daemon passes signals on; users' packets are lost.
#[test]
fn router_that_forwards_nothing_is_found() {
    let lab = direct();
    let (hub, iface) = (lab.namespace("hub"), lab.interface("hub"));
    expect(&lab, "hub", 0, &[]);
    hub.run("sysctl -qw net.ipv4.ip_forward=0");
    expect(&lab, "hub", 1, &[["forwarding", "fail", "forwarding is 0"]]);
    expect(&lab, "a", 0, &[]);
    hub.run("sysctl -qw net.ipv4.ip_forward=1");
    let table = "table inet checked";
    hub.filter(&format!(
        "{table} {{ chain onward {{ type filter hook forward priority 0; iifname \"{iface}\" drop; }}\n}}"
    ));
    let lost = ["drops IPv4 packets between peers", "drops IPv6 packets between peers"];
    expect(&lab, "hub", 1, &lost.map(|text| ["forwarding", "fail", text]));
    hub.filter(&format!("delete {table}"));
    expect(&lab, "hub", 0, &[]);
}

#[test]
fn each_fault_of_a_machine_with_a_daemon_is_found() {
    let mut lab = direct();
    let iface = lab.interface("a").to_owned();
    expect(&lab, "a", 0, &[]);
    expect(&lab, "hub", 0, &[]);

    let (host, table) = (lab.namespace("a"), "table inet checked");
    host.filter(&format!(
        "{table} {{ chain entry {{ type filter hook input priority 0; policy drop; iifname \"lo\" accept; ct state established accept; }}\n}}"
    ));
    let only_answers = "only where this machine spoke first";
    expect(
        &lab,
        "a",
        0,
        &[["firewall", "warn", only_answers], ["firewall", "warn", only_answers]],
    );
    host.filter(&format!(
        "delete {table}\n{table} {{ chain entry {{ type filter hook input priority 0; policy drop; iifname \"{iface}\" accept; udp dport 7 accept; }}\n}}"
    ));
    expect(&lab, "a", 1, &[["firewall", "fail", "WireGuard's UDP port"]]);
    host.filter(&format!("delete {table}"));

    host.run(&format!("ip link set dev {iface} mtu 1500"));
    expect(&lab, "a", 0, &[["mtu", "warn", "too much for"]]);
    host.run(&format!("ip link set dev {iface} mtu 1420"));

    let key = lab.public_key("b").to_owned();
    let named = json!({ "Peers": [{ "PublicKey": key, "Endpoints": ["gone.invalid:7"] }] });
    settle(&mut lab, "a", &named);
    expect(&lab, "a", 1, &[["names", "fail", "gone.invalid"]]);
    settle(&mut lab, "a", &json!({ "Chatty": "perhaps" }));
    expect(&lab, "a", 1, &[["settings", "fail", "not a boolean"]]);
    settle(&mut lab, "a", &json!({}));
    expect(&lab, "a", 0, &[]);
}

#[test]
fn a_daemon_that_may_not_probe_is_warned_of() {
    let mut lab = Lab::build(&home_home());
    lab.start_with("a", "--probe=false");
    let seen = command::until(SOON, || {
        let (code, complaints) = examine(&lab, "a", "");
        let is_it = |found: &[String; 3]| found[0] == "capability" && found[1] == "warn";
        (code == Some(0) && complaints.iter().any(is_it)).then_some(())
    });
    assert!(seen.is_some(), "{:?}", examine(&lab, "a", ""));
}

#[test]
fn without_a_daemon_the_machine_is_examined() {
    let lab = Lab::build(&home_home());
    let (host, iface) = (lab.namespace("a"), lab.interface("a"));
    let found = |prefix: &str| {
        let (code, complaints) = examine(&lab, "a", prefix);
        let words = complaints
            .into_iter()
            .map(|[check, state, _]| format!("{check} {state}"));
        // Without a daemon nobody may have spoken to the hub yet.
        (code, words.filter(|words| words != "hub warn").collect::<Vec<_>>())
    };
    assert_eq!(found(""), (Some(1), vec!["daemon fail".to_owned()]));
    let no_raw = found("setpriv --bounding-set -net_raw --inh-caps -net_raw");
    assert_eq!(no_raw.1, ["daemon fail", "capability warn"]);
    host.run(&format!("sysctl -qw net.ipv6.conf.{iface}.disable_ipv6=1"));
    assert_eq!(found("").1, ["daemon fail", "ipv6 fail"]);
    host.run(&format!("sysctl -qw net.ipv6.conf.{iface}.disable_ipv6=0"));
    host.run(&format!("ip link set dev {iface} down"));
    assert_eq!(found("").1, ["daemon fail", "ipv6 fail"]);
    host.run(&format!("ip link set dev {iface} up"));
    host.run(&format!("ip link set dev {iface} mtu 1200"));
    assert_eq!(found("").1, ["daemon fail", "mtu fail", "ipv6 fail"]);
    host.run(&format!("ip link del dev {iface}"));
    assert_eq!(found("").1, ["daemon fail", "wireguard fail"]);
}
