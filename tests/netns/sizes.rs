//! A path that drops long packets.

use std::time::Duration;

use crate::command;
use crate::lab::Lab;
use crate::look;
use crate::scenario::Path;
use crate::scenario::table::public_public;

/// How long two leaves may take to find their way.
const DIRECT: Duration = Duration::from_secs(60);
/// How long it may take until a path is known; a heartbeat comes every 25 s.
const KNOWN: Duration = Duration::from_secs(90);

#[track_caller]
fn says(lab: &Lab, name: &str, words: &str) {
    let came = command::until(KNOWN, || lab.log(name).contains(words).then_some(()));
    assert_eq!(came, Some(()), "{name}: {words}");
}

#[test]
fn a_path_that_drops_long_packets_is_named_with_what_helps() {
    let mut lab = Lab::build(&public_public());
    lab.network.narrow("b", 1396);
    for name in ["hub", "a", "b"] {
        lab.start(name);
    }
    look::arrive(&lab, &look::all_by(&lab, Path::Direct), DIRECT).unwrap_or_else(|why| panic!("{why}"));
    // The headers of IPv4, UDP and WireGuard leave 1336, and packets are filled up to a multiple of 16. A virtual cable lets four bytes
    // more pass on their way in than its MTU, for a VLAN tag.
    for (name, other) in [("a", "b"), ("b", "a")] {
        let words = format!(
            "on the path to {} only packets of up to 1328 bytes pass: lower the MTU of the WireGuard interface from 1420 to 1328",
            &lab.public_key(other)[..8]
        );
        says(&lab, name, &words);
    }
    let wide = format!(
        "on the path to {} packets of full size pass again",
        &lab.public_key("b")[..8]
    );
    assert!(!lab.log("a").contains(&wide));
    let interface = lab.interface("a");
    lab.namespace("a").run(&format!("ip link set dev {interface} mtu 1328"));
    says(&lab, "a", &wide);
}
