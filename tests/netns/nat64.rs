//! A leaf in a network that has IPv6 alone, and reaches IPv4 by a NAT64 (RFC 6146), for which the program tayga stands in.

use std::time::Duration;

use crate::command::Process;
use crate::lab::Lab;
use crate::look;
use crate::scenario::Path;
use crate::scenario::table::home_public;
use crate::tunnel::PORT;

/// What the NAT64 puts before IPv4 addresses; not the well-known prefix, so that it must be found out.
const PREFIX: &str = "2001:db8:64:ffff::";
/// How long all may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(40);

/// Has the home of `a` translate, and takes IPv4 from `a`.
fn translate(lab: &Lab) -> Process {
    let (router, leaf) = (lab.network.router_of("a"), lab.namespace("a"));
    let config = lab.logs.join("tayga.conf");
    let lines = format!(
        "tun-device nat64\nipv4-addr 192.168.255.1\nipv6-addr 2001:db8:64::ff\nprefix {PREFIX}/96\n\
         dynamic-pool 192.168.255.0/24\ndata-dir {}\n",
        lab.logs.display()
    );
    std::fs::write(&config, lines).expect("the folder of logs is there");
    let line = format!("tayga --nodetach --config {}", config.display());
    router.run(&format!("tayga --mktun --config {}", config.display()));
    for line in [
        "ip link set dev nat64 up",
        "ip addr add 2001:db8:64::1/64 dev lan nodad",
        "ip route add 192.168.255.0/24 dev nat64",
        &format!("ip route add {PREFIX}/96 dev nat64"),
        "sysctl -qw net.ipv6.conf.all.forwarding=1",
    ] {
        router.run(line);
    }
    // What comes out of the translation is forwarded as what comes from the LAN.
    router.run("nft add rule inet border through iifname nat64 accept");
    leaf.run("ip -4 addr flush dev eth0");
    leaf.run("ip addr add 2001:db8:64::2/64 dev eth0 nodad");
    leaf.run("ip -6 route add default via 2001:db8:64::1");
    leaf.write_hosts(&format!("{PREFIX}192.0.0.170 ipv4only.arpa\n"));
    let (interface, hub) = (lab.interface("a"), lab.public_key("hub"));
    let address = lab.network.public_address("hub");
    leaf.run(&format!(
        "wg set {interface} peer {hub} endpoint [{PREFIX}{address}]:{PORT}"
    ));
    Process::spawn(router.command(&line), &lab.logs.join("tayga.log"))
}

#[test]
fn leaf_with_ipv6_alone_is_direct_through_a_nat64() {
    let mut lab = Lab::build(&home_public());
    let _tayga = translate(&lab);
    for name in lab.names() {
        lab.start(name);
    }
    let direct = look::all_by(&lab, Path::Direct);
    look::arrive(&lab, &direct, WITHIN).unwrap_or_else(|why| panic!("{why}: {}", lab.log("a")));
}
