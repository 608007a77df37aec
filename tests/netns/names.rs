//! A hub gets another address, and its name leads there: leaves follow it long before their session is too old.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::command;
use crate::lab::Lab;
use crate::play;
use crate::scenario::border::Border;
use crate::scenario::{Act, Scenario, table};
use crate::settings::dns_name;
use crate::tunnel::PORT;

/// What is promised is 30 s; the rest is for a slow machine.
const WITHIN: Duration = Duration::from_secs(50);
const SOON: Duration = Duration::from_secs(20);

/// Waits until a leaf reaches the hub; says how long it took.
fn reaches_hub(lab: &Lab, within: Duration) {
    let began = Instant::now();
    let hub = IpAddr::V4(lab.inner("hub").v4);
    let reached = command::until(within, || lab.echo("a", hub));
    assert!(reached.is_some(), "not within {within:?}: {}", lab.log("a"));
    println!("the hub is reached after {:.1} s", began.elapsed().as_secs_f32());
}

#[test]
fn a_hub_of_which_the_settings_know_the_name_is_followed() {
    let mut lab = Lab::build(&table::hub_moves());
    reaches_hub(&lab, SOON);
    play::start_all(&mut lab, Duration::from_secs(30));
    play::act(&mut lab, Act::Renumber("hub"));
    reaches_hub(&lab, WITHIN);
}

/// Where the hub is now, in the family that is asked for.
fn address(lab: &Lab, ipv6: bool) -> String {
    match ipv6 {
        true => lab.network.add_ipv6("hub"),
        false => lab.network.public_address("hub"),
    }
}

/// Writes what wg-quick reads, and nothing else.
fn write_file(lab: &Lab) {
    let (folder, interface) = (lab.settings("a"), lab.interface("a"));
    let ours = folder.join(format!("wirelink.{interface}.json"));
    std::fs::remove_file(ours).expect("the settings are there");
    let text = format!(
        "[Interface]\nPrivateKey = {}\n\n[Peer] # hub\nPublicKey = {}\nAllowedIPs = 10.99.0.0/24\nendpoint={}:{PORT}\n",
        lab.written("a").keys.private,
        lab.public_key("hub"),
        dns_name("hub"),
    );
    std::fs::write(folder.join(format!("{interface}.conf")), text).expect("a file can be written");
}

/// Only who is sent to gets in, as behind a home router; nobody is led by the hub's own packets.
const GUARD: &str = "table inet guard {
    chain arrival {
        type filter hook input priority 0; policy accept;
        udp dport 51820 ct state new drop
    }
}";

fn follows_the_file_of_wg_quick(ipv6: bool) {
    let scenario = Scenario {
        sites: vec![table::at(Border::Open), table::at(Border::Open)],
        ..table::hub_moves()
    };
    let mut lab = Lab::build(&scenario);
    lab.namespace("a").filter(GUARD);
    if ipv6 {
        lab.network.add_ipv6("a");
    }
    let place = |lab: &Lab| {
        let address = address(lab, ipv6);
        lab.namespace("a")
            .write_hosts(&format!("{address} {}\n", dns_name("hub")));
        if ipv6 {
            format!("[{address}]:{PORT}")
        } else {
            format!("{address}:{PORT}")
        }
    };
    let (interface, hub) = (lab.interface("a").to_owned(), lab.public_key("hub").to_owned());
    let first = place(&lab);
    lab.namespace("a")
        .run(&format!("wg set {interface} peer {hub} endpoint {first}"));
    write_file(&lab);
    lab.start("hub");
    lab.start_with("a", "--resolve-wg-quick");
    reaches_hub(&lab, SOON);
    std::thread::sleep(Duration::from_secs(10));
    let endpoint = |lab: &Lab| lab.peer("a", "hub").and_then(|peer| peer.endpoint).expect("it has one");
    assert_eq!(endpoint(&lab).to_string(), first);
    lab.network.renumber("hub");
    let second = place(&lab);
    reaches_hub(&lab, WITHIN);
    assert_eq!(endpoint(&lab).to_string(), second);
    let (log, secret) = (lab.log("a"), &lab.written("a").keys.private);
    assert!(log.contains("names the endpoints of 1 peers"), "{log}");
    assert!(!log.contains(secret.trim()), "the private key is in the log");
}

#[test]
fn a_name_in_the_file_of_wg_quick_is_followed() {
    follows_the_file_of_wg_quick(false);
}

#[test]
fn a_name_in_the_file_of_wg_quick_is_followed_over_ipv6() {
    follows_the_file_of_wg_quick(true);
}
