//! Rules of the operator's that lead WireGuard's own packets elsewhere than the main table.

use std::time::Duration;

use crate::control::expect_reason;
use crate::lab::Lab;
use crate::look;
use crate::scenario::Path;
use crate::scenario::table::{home_public, public_public};

/// How long leaves may take until they are direct; the machine may be busy.
const DIRECT_WITHIN: Duration = Duration::from_secs(60);

fn start_all(lab: &mut Lab) {
    lab.names().into_iter().for_each(|name| lab.start(name));
}

fn expect_direct(lab: &Lab) {
    let arrived = look::arrive(lab, &look::all_by(lab, Path::Direct), DIRECT_WITHIN);
    arrived.unwrap_or_else(|why| panic!("{why}: {}", lab.log("a")));
}

/// Makes all of a leaf's traffic go into the tunnel, but for WireGuard's own packets, which have a mark (wg(8)).
fn lead_everything_into_the_tunnel(lab: &Lab) {
    let (namespace, iface) = (lab.namespace("a"), lab.interface("a"));
    let way_out = namespace.run("ip route show default");
    let way_out = way_out.trim().trim_start_matches("default").to_owned();
    namespace.run(&format!("ip route add default {way_out} table 100"));
    namespace.run(&format!("wg set {iface} fwmark 0x100"));
    namespace.run("ip rule add fwmark 0x100 lookup 100");
    namespace.run(&format!("ip route replace default dev {iface}"));
}

#[test]
fn leaf_whose_mark_leads_past_the_tunnel_is_direct() {
    // Behind a home router, so that the other leaf is in no network of its own.
    let mut lab = Lab::build(&home_public());
    lead_everything_into_the_tunnel(&lab);
    start_all(&mut lab);
    expect_direct(&lab);
}

#[test]
fn rules_that_come_later_are_followed() {
    let mut lab = Lab::build(&home_public());
    let (address, iface) = (lab.network.public_address("b"), lab.interface("a"));
    lab.namespace("a")
        .run(&format!("ip route add {address}/32 dev {iface}"));
    start_all(&mut lab);
    expect_reason(&lab, "a", "b", "through-tunnel");
    lead_everything_into_the_tunnel(&lab);
    expect_direct(&lab);
    look::stay(&lab, &look::all_by(&lab, Path::Direct), Duration::from_secs(10)).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn endpoint_inside_the_tunnel_is_named_as_the_reason() {
    let mut lab = Lab::build(&public_public());
    let lead = |lab: &Lab, what: &str| {
        for (name, other) in [("a", "b"), ("b", "a")] {
            let (address, iface) = (lab.network.public_address(other), lab.interface(name));
            lab.namespace(name)
                .run(&format!("ip route {what} {address}/32 dev {iface}"));
        }
    };
    lead(&lab, "add");
    start_all(&mut lab);
    expect_reason(&lab, "a", "b", "through-tunnel");
    expect_reason(&lab, "b", "a", "through-tunnel");
    lead(&lab, "del");
    expect_direct(&lab);
}
