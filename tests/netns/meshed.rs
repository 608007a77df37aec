//! A mesh that its operator wrote by hand: every machine lists every other one.

use std::fs;
use std::time::Duration;

use crate::lab::Lab;
use crate::look;
use crate::scenario::table::{home_public, public_public};
use crate::scenario::{Name, Path};
use crate::tunnel::PORT;

/// How long WireGuard by hand takes: an initiation, and one repetition.
const BY_HAND: Duration = Duration::from_secs(10);
/// How long a path through the hub may take once the direct one is lost, on a busy machine.
const BACK_TO_THE_HUB: Duration = Duration::from_secs(20);

/// Lists one leaf at another by hand, with its public endpoint where it has one.
fn list(lab: &Lab, at: Name, of: Name, endpoint: Option<String>) {
    let (interface, key) = (lab.interface(at), lab.public_key(of));
    let own: Vec<String> = lab.inner(of).own().iter().map(ToString::to_string).collect();
    let endpoint = endpoint
        .map(|address| format!("endpoint {address}:{PORT}"))
        .unwrap_or_default();
    lab.namespace(at).run(&format!(
        "wg set {interface} peer {key} {endpoint} persistent-keepalive 25 allowed-ips {}",
        own.join(",")
    ));
}

/// Lists both leaves at each other; `a` is behind a home router, and `b` has a public address.
fn meshed() -> Lab {
    let lab = Lab::build(&home_public());
    list(&lab, "a", "b", Some(lab.network.public_address("b")));
    list(&lab, "b", "a", None);
    lab
}

fn start(lab: &mut Lab, names: &[Name]) {
    names.iter().for_each(|name| lab.start(name));
}

fn expect_direct(lab: &Lab) {
    let direct = look::all_by(lab, Path::Direct);
    look::arrive(lab, &direct, BY_HAND).unwrap_or_else(|why| panic!("{why}: {}", lab.log("a")));
    look::stay(lab, &direct, Duration::from_secs(15)).unwrap_or_else(|why| panic!("{why}: {}", lab.log("a")));
}

#[test]
fn mesh_by_hand_stays_direct_beside_a_hub() {
    let mut lab = meshed();
    start(&mut lab, &["hub", "a", "b"]);
    expect_direct(&lab);
}

#[test]
fn mesh_by_hand_without_a_hub_stays_direct() {
    let mut lab = meshed();
    for leaf in ["a", "b"] {
        let (interface, hub) = (lab.interface(leaf), lab.public_key("hub"));
        lab.namespace(leaf)
            .run(&format!("wg set {interface} peer {hub} remove"));
    }
    start(&mut lab, &["a", "b"]);
    expect_direct(&lab);
}

#[test]
fn mesh_by_hand_with_one_daemon_stays_direct() {
    let mut lab = meshed();
    start(&mut lab, &["a"]);
    expect_direct(&lab);
}

#[test]
fn saved_peers_return_to_the_hub_after_state_is_lost() {
    let mut lab = Lab::build(&public_public());
    start(&mut lab, &["hub", "a", "b"]);
    let direct = look::all_by(&lab, Path::Direct);
    look::arrive(&lab, &direct, Duration::from_secs(60)).unwrap_or_else(|why| panic!("{why}"));
    // As `wg showconf` saved it and `wg setconf` loads it: what facts brought looks written by hand.
    lab.daemon("a").kill();
    lab.network.cut("a", "b");
    let (interface, namespace) = (lab.interface("a"), lab.namespace("a"));
    let saved = namespace.run(&format!("wg showconf {interface}"));
    let key = lab.public_key("b");
    namespace.run(&format!("wg set {interface} peer {key} remove"));
    let loaded = namespace.attempt_with(&format!("wg setconf {interface} /dev/stdin"), &saved);
    loaded.unwrap_or_else(|why| panic!("wg setconf: {why}"));
    fs::remove_dir_all(lab.memories()).expect("there is a state");
    fs::create_dir(lab.memories()).expect("it can be made anew");
    lab.start("a");
    let hub = look::all_by(&lab, Path::Hub);
    // `b` has the hub for `a` as soon as its heartbeats fail; here it is about `a`, which knows nothing of that link.
    look::arrive(&lab, &hub, BACK_TO_THE_HUB).unwrap_or_else(|why| panic!("{why}: {}", lab.log("a")));
}
