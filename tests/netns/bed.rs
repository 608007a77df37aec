//! Does the lab itself do what it says? Without any daemon, by what an operator can do by hand.

use std::net::IpAddr;
use std::time::Duration;

use crate::command;
use crate::lab::Lab;
use crate::look;
use crate::scenario::Path;
use crate::scenario::table::{all, home_home, same_lan};
use crate::tunnel::PORT;

/// A keepalive makes WireGuard try at once, and again after 5 s.
const TWO_ATTEMPTS: Duration = Duration::from_secs(7);

/// Gives a leaf the other one as a peer, at an endpoint.
fn introduce(lab: &Lab, at: &str, of: &str, endpoint: &str) {
    let (interface, key) = (lab.interface(at), lab.public_key(of));
    let own: Vec<String> = lab.inner(of).own().iter().map(ToString::to_string).collect();
    lab.namespace(at).run(&format!(
        "wg set {interface} peer {key} endpoint {endpoint} persistent-keepalive 1 allowed-ips {}",
        own.join(",")
    ));
}

fn time_to_live(lab: &Lab, from: &str, to: &str) -> Option<u8> {
    lab.echo(from, IpAddr::V4(lab.inner(to).v4)).map(|echo| echo.ttl)
}

/// Says, in the way of the scenarios, that the leaves reach each other so.
#[track_caller]
fn arrives(lab: &Lab, path: Path) {
    look::arrive(lab, &look::all_by(lab, path), Duration::from_secs(20))
        .unwrap_or_else(|why| panic!("{path:?}: {why}"));
}

fn has_handshake(lab: &Lab, at: &str, of: &str) -> bool {
    lab.peer(at, of).is_some_and(|peer| peer.latest_handshake > 0)
}

#[test]
fn leaves_reach_each_other_through_the_hub() {
    for scenario in all() {
        let lab = Lab::build(&scenario);
        arrives(&lab, Path::Hub);
        for leaf in lab.leaves() {
            assert_eq!(time_to_live(&lab, leaf, "hub"), Some(64), "{}: the hub", scenario.name);
        }
        for name in lab.names() {
            assert_eq!(lab.by_hand_changed(name), None);
            assert_eq!(lab.found(name), lab.found(name));
        }
    }
}

#[test]
fn a_home_router_admits_only_whom_its_leaf_has_called() {
    let mut lab = Lab::build(&home_home());
    let [a, b] = lab.two_leaves();
    arrives(&lab, Path::Hub);
    let at_hub = |of| {
        lab.peer("hub", of)
            .and_then(|peer| peer.endpoint)
            .expect("the hub heard the leaf")
            .to_string()
    };
    assert_eq!(
        at_hub(a),
        format!("{}:{PORT}", lab.network.public_address(a)),
        "the router keeps the port"
    );

    introduce(&lab, a, b, &at_hub(b));
    assert_eq!(
        command::until(TWO_ATTEMPTS, || has_handshake(&lab, a, b).then_some(())),
        None,
        "filtered"
    );
    introduce(&lab, b, a, &at_hub(a));
    arrives(&lab, Path::Direct);

    lab.network.cut(a, b);
    assert_eq!(time_to_live(&lab, a, b), None, "the cut lets nothing pass");
    assert_eq!(time_to_live(&lab, a, "hub"), Some(64), "but the way to the hub stays");
    lab.network.heal(a, b);
    arrives(&lab, Path::Direct);
}

#[test]
fn leaves_of_one_lan_meet_there_and_nowhere_else() {
    let mut lab = Lab::build(&same_lan());
    let [a, b] = lab.two_leaves();
    arrives(&lab, Path::Hub);
    let ports: Vec<u16> = [a, b]
        .map(|leaf| {
            lab.peer("hub", leaf)
                .and_then(|peer| peer.endpoint)
                .expect("the hub heard the leaf")
                .port()
        })
        .to_vec();
    assert_ne!(ports[0], ports[1], "one router cannot give both the same port");

    let outside = format!("{}:{}", lab.network.public_address(b), ports[1]);
    introduce(&lab, a, b, &outside);
    assert_eq!(
        command::until(TWO_ATTEMPTS, || has_handshake(&lab, a, b).then_some(())),
        None,
        "no hairpinning"
    );
    introduce(&lab, b, a, &format!("{}:{PORT}", lab.network.own_address(a)));
    introduce(&lab, a, b, &format!("{}:{PORT}", lab.network.own_address(b)));
    arrives(&lab, Path::Direct);

    lab.network.cut(a, b);
    assert_eq!(time_to_live(&lab, a, b), None, "the cut lets nothing pass");
    assert_eq!(time_to_live(&lab, b, "hub"), Some(64), "but the way to the hub stays");
    lab.network.heal(a, b);
    arrives(&lab, Path::Direct);
}
