//! Why a peer is not direct, on real interfaces: each cause is brought about, and must be what the daemon names.

use std::fs;
use std::time::Duration;

use crate::control::{expect_reason, json_of, peer};
use crate::lab::Lab;
use crate::look;
use crate::matrix::expect_words;
use crate::scenario::border::Border;
use crate::scenario::said::network;
use crate::scenario::table::{home_home, public_public, symmetric_symmetric};
use crate::scenario::{Name, Path};

const SOON: Duration = Duration::from_secs(30);

fn hub_forwards(lab: &Lab) {
    look::arrive(lab, &look::all_by(lab, Path::Hub), SOON).expect("the hub forwards");
}

/// Has the operator of one leaf make the other a peer by hand.
fn introduce(lab: &Lab, name: Name, other: Name, more: &str) {
    let (interface, key) = (lab.interface(name), lab.public_key(other));
    lab.namespace(name)
        .run(&format!("wg set {interface} peer {key} {more}"));
}

#[test]
fn what_dies_and_comes_back_is_named() {
    let mut lab = Lab::build(&home_home());
    lab.network.cut("a", "b");
    for name in ["hub", "a", "b"] {
        lab.start(name);
    }
    for (name, of) in [("a", "b"), ("b", "a")] {
        expect_reason(&lab, name, of, "no-answer");
    }
    lab.network.heal("a", "b");
    expect_reason(&lab, "a", "b", "direct");
    lab.network.cut("a", "b");
    expect_reason(&lab, "a", "b", "silent");
    lab.network.heal("a", "b");
    expect_reason(&lab, "a", "b", "direct");
}

#[test]
fn a_side_without_probes_is_named_on_both() {
    let mut lab = Lab::build(&home_home());
    lab.network.cut("a", "b");
    lab.start("hub");
    lab.start_with("a", "--probe=false");
    lab.start("b");
    expect_reason(&lab, "a", "b", "no-probes-here");
    expect_reason(&lab, "b", "a", "no-probes-there");
}

#[test]
fn a_preshared_key_on_one_side_alone_is_named() {
    let mut lab = Lab::build(&public_public());
    hub_forwards(&lab);
    let secret = lab.logs.join("secret");
    fs::write(&secret, lab.namespace("a").run("wg genpsk")).expect("it can be written");
    introduce(&lab, "a", "b", &format!("preshared-key {}", secret.display()));
    for name in ["hub", "a", "b"] {
        lab.start(name);
    }
    expect_reason(&lab, "a", "b", "handshake-fails");
    expect_reason(&lab, "b", "a", "handshake-fails");
}

#[test]
fn a_session_with_a_machine_without_wirelink_is_named() {
    let mut lab = Lab::build(&public_public());
    hub_forwards(&lab);
    let at = |name| format!("{}:51820", lab.network.public_address(name));
    let (a, b) = (at("a"), at("b"));
    introduce(&lab, "a", "b", &format!("allowed-ips 10.97.0.1/32 endpoint {b}"));
    introduce(
        &lab,
        "b",
        "a",
        &format!("allowed-ips 10.96.0.1/32 endpoint {a} persistent-keepalive 1"),
    );
    lab.start("hub");
    lab.start("a");
    expect_reason(&lab, "a", "b", "no-wirelink");
    lab.start("b");
    expect_reason(&lab, "a", "b", "direct");
}

#[test]
fn a_prefix_that_is_not_allowed_is_named() {
    let mut lab = Lab::build(&home_home());
    let folder = lab.settings("a");
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(format!("wirelink.{}.json", lab.interface("a")));
    fs::write(file, r#"{ "AllowPrefixes": ["192.168.77.0/24"] }"#).expect("a file");
    for name in ["hub", "a", "b"] {
        lab.start(name);
    }
    expect_reason(&lab, "a", "b", "prefix-refused");
}

/// Plays the pairs that cannot be direct, with a public leaf that is direct with both: each side names the NAT within 10 s.
fn expect_nat_named(one: Border, other: Border) {
    let mut lab = Lab::build(&network(one, other, true));
    for name in ["hub", "a", "b", "c"] {
        lab.start(name);
    }
    expect_words(&lab, [one, other], true);
    let said = json_of(&lab, "b", &format!("explain {}", lab.public_key("a")));
    assert_eq!(said["nat_by"].as_array().map(Vec::len), Some(2), "{said:#}");
}

#[test]
fn symmetric_nat_beside_a_home_router_is_named_by_both() {
    expect_nat_named(Border::HOME, Border::SYMMETRIC);
}

#[test]
fn symmetric_nat_beside_a_firewall_is_named_by_both() {
    expect_nat_named(Border::GUARDED, Border::SYMMETRIC);
}

#[test]
fn two_symmetric_nats_are_named_by_both() {
    expect_nat_named(Border::SYMMETRIC, Border::SYMMETRIC);
}

/// `ip link set eth0 down` on the hub: the hub, and what is behind it, is shown as gone long before the handshake is too old.
#[test]
fn a_hub_without_uplink_is_shown_as_gone() {
    let mut lab = Lab::build(&symmetric_symmetric());
    for name in ["hub", "a", "b"] {
        lab.start(name);
    }
    expect_reason(&lab, "a", "hub", "router");
    hub_forwards(&lab);
    lab.network.isolate("hub");
    expect_reason(&lab, "a", "hub", "router-silent");
    expect_reason(&lab, "a", "b", "behind-silent-router");
    for of in ["hub", "b"] {
        let shown = peer(&lab, "a", of);
        assert_eq!(shown["path"], "down", "{shown:#}");
        assert!(
            shown["handshake_seconds"].as_u64().is_none_or(|age| age < 160),
            "{shown:#}"
        );
    }
    lab.network.rejoin("hub");
    expect_reason(&lab, "a", "hub", "router");
}
