use std::time::Duration;

use serde_json::{Value, json};

use super::checks::all;
use super::firewall::{Entry, Packet};
use super::forward::Switches;
use super::iptables::iptables;
use super::look::{Clock, Filter, Rules, Seen, Silence, capabilities, ways_out};
use super::nft::nft;
use super::{Finding, State};
use crate::control::FactPort;
use crate::daemon::host::Observation;
use crate::daemon::inspect::{self, Inspection, Router};
use crate::mesh::base::identity::PublicKey;
use crate::mesh::believe::role::{Role, Why};
use crate::mesh::show::event::{HostState, PeerName};

const DAY: Duration = Duration::from_secs(86_400);

fn router() -> Router {
    Router {
        name: PeerName {
            key: PublicKey::from_bytes([1; 32]),
            name: Some("hub".to_owned()),
        },
        endpoint: Some("192.0.2.1:51820".parse().expect("an endpoint")),
        handshake: Some(Duration::from_secs(60)),
    }
}

fn read(nft: Value) -> Rules {
    Rules::Read(Filter {
        nft: Some(nft),
        iptables: Vec::new(),
    })
}

/// A machine on which all is well.
fn well() -> Seen {
    let address = "fe80::1".parse().expect("an address");
    let status = json!({
        "version": 1, "peers": [],
        "node": {
            "program": "wirelink 0", "interface": "wg0", "backend": "kernel", "role": "leaf", "chatty": false,
            "key": PublicKey::from_bytes([9; 32]).to_string(), "address": address, "nat": "unknown", "no_probes": null,
            "up_seconds": 100, "debug": false, "overrides": [],
        },
    });
    Seen {
        iface: "wg0".to_owned(),
        daemon: Ok(Box::new(serde_json::from_value(status).expect("a status"))),
        settings: Ok(None),
        machine: Some(Inspection {
            device: Ok(inspect::Seen {
                backend: "kernel WireGuard".to_owned(),
                listen_port: 51820,
                ports: vec![51821],
                taken: vec![(51821, "process 7 (other)".to_owned())],
                address,
                routers: vec![router()],
                role: Role {
                    is_router: false,
                    routers: [PublicKey::from_bytes([1; 32])].into(),
                    why: Why::Carried {
                        by: PublicKey::from_bytes([1; 32]),
                        network: "10.77.0.0/24".parse().expect("a network"),
                        address: "10.77.0.2".parse().expect("an address"),
                    },
                },
            }),
            host: Some(Ok(Observation {
                name: "wg0".to_owned(),
                state: HostState {
                    tunnel_addresses: vec!["fe80::1/64".parse().expect("a net")],
                    ..HostState::default()
                },
                up: true,
                mtu: 1420,
                uplinks: vec![("eth0".to_owned(), 1500)],
                ipv6_off: false,
            })),
            names: vec![("hub.example:51820".to_owned(), Ok(2))],
        }),
        capabilities: Some(0),
        clock: Clock {
            now: 3 * DAY,
            built: Some(DAY),
            synchronised: Some(true),
        },
        rules: read(json!({ "nftables": [] })),
        ways_out: vec!["eth0".to_owned()],
        forwarding: Switches {
            v4: Some(true),
            v6: Some(true),
        },
    }
}

fn device(seen: &mut Seen) -> &mut inspect::Seen {
    let device = seen.machine.as_mut().map(|machine| &mut machine.device);
    device.and_then(|device| device.as_mut().ok()).expect("a device")
}

fn host(seen: &mut Seen) -> &mut Observation {
    let host = seen.machine.as_mut().and_then(|machine| machine.host.as_mut());
    host.and_then(|host| host.as_mut().ok()).expect("a host")
}

/// Returns what is not well.
fn complaints(seen: &Seen) -> Vec<Finding> {
    let mut findings = all(seen);
    findings.retain(|finding| finding.state != State::Ok);
    findings
}

fn not_running(seen: &mut Seen) {
    seen.daemon = Err(Silence::NotRunning("nobody is there".to_owned()));
}

#[test]
fn a_machine_on_which_all_is_well_gets_no_complaint() {
    assert_eq!(complaints(&well()), []);
    let checks: Vec<&str> = all(&well()).iter().map(|finding| finding.check).collect();
    let expected = "daemon settings capability wireguard port firewall clock mtu ipv6 names role hub";
    assert_eq!(checks.join(" "), expected, "and each check says so");
}

#[test]
fn each_fault_is_named_by_its_check_and_by_no_other() {
    type Fault = fn(&mut Seen);
    let faults: [(&str, State, &str, Fault); 18] = [
        ("settings", State::Fail, "not a boolean", |seen| {
            seen.settings = Err("Chatty: 7 is not a boolean".to_owned())
        }),
        ("capability", State::Warn, "CAP_NET_RAW is missing", |seen| {
            let status = seen.daemon.as_mut().expect("it answers");
            status.node.no_probes = Some("CAP_NET_RAW is missing".to_owned());
        }),
        ("daemon", State::Fail, "refused", |seen| {
            seen.daemon = Err(Silence::Deaf("refused".to_owned()))
        }),
        ("port", State::Fail, "no port for facts", |seen| {
            device(seen).ports.clear()
        }),
        ("port", State::Warn, "process 7 (other) has the UDP port", |seen| {
            let status = seen.daemon.as_mut().expect("it answers");
            status.node.fact_ports = vec![FactPort {
                port: 52_821,
                bound: true,
                fallback: true,
                holder: None,
            }];
        }),
        ("firewall", State::Unknown, "nft: no", |seen| {
            seen.rules = Rules::Unreadable("nft: no".to_owned())
        }),
        ("clock", State::Fail, "before this program was built", |seen| {
            seen.clock.now = Duration::ZERO
        }),
        ("clock", State::Warn, "not synchronised", |seen| {
            seen.clock.synchronised = Some(false)
        }),
        ("mtu", State::Warn, "fragmented", |seen| host(seen).mtu = 1500),
        ("mtu", State::Warn, "no other interface", |seen| {
            host(seen).uplinks.clear()
        }),
        ("names", State::Fail, "gone.example", |seen| {
            let machine = seen.machine.as_mut().expect("it was looked at");
            machine
                .names
                .push(("gone.example:1".to_owned(), Err("no such host".to_owned())));
        }),
        ("hub", State::Fail, "last heard 10 min ago", |seen| {
            device(seen).routers[0].handshake = Some(Duration::from_secs(600));
        }),
        ("hub", State::Fail, "never heard", |seen| {
            device(seen).routers[0].handshake = None
        }),
        ("hub", State::Fail, "no endpoint", |seen| {
            device(seen).routers[0].handshake = None;
            device(seen).routers[0].endpoint = None;
        }),
        (
            "keys",
            State::Fail,
            "several machines use the private key of laptop",
            |seen| {
                let status = seen.daemon.as_mut().expect("it answers");
                let peer = json!({
                    "key": PublicKey::from_bytes([8; 32]).to_string(), "name": "laptop", "path": "direct", "via": null, "reason": "direct",
                    "reason_text": "", "detail": "", "link": "up", "since_seconds": 1, "endpoint": null, "allowed_ips": [],
                    "handshake_seconds": 1, "received_bytes": 0, "sent_bytes": 0, "quality": null, "trust": null, "router": false,
                    "introduced": true, "shared_key": true,
                });
                status.peers = vec![serde_json::from_value(peer).expect("a peer")];
            },
        ),
        ("ipv6", State::Fail, "switched off", |seen| host(seen).ipv6_off = true),
        ("ipv6", State::Fail, "is down", |seen| host(seen).up = false),
        ("ipv6", State::Fail, "has lost", |seen| {
            host(seen).state.tunnel_addresses.clear()
        }),
    ];
    for (check, state, part, fault) in faults {
        let mut seen = well();
        if part == "refused" {
            // Then this process is asked what it may do.
            seen.capabilities = Some(u64::MAX);
            device(&mut seen).taken.clear();
        }
        fault(&mut seen);
        let found = complaints(&seen);
        assert!(
            matches!(&found[..], [one] if (one.check, one.state) == (check, state) && one.text.contains(part)),
            "{check}: {part}: {found:?}"
        );
    }
}

#[test]
fn a_tunnel_too_narrow_for_ipv6_fails_twice() {
    let mut seen = well();
    host(&mut seen).mtu = 1200;
    let found: Vec<_> = complaints(&seen)
        .iter()
        .map(|found| (found.check, found.state))
        .collect();
    assert_eq!(found, [("mtu", State::Fail), ("ipv6", State::Fail)]);
}

#[test]
fn without_a_daemon_what_can_be_checked_is() {
    let mut seen = well();
    not_running(&mut seen);
    seen.capabilities = capabilities("Name:\twirelink\nCapEff:\t000001ffffffdfff\n");
    device(&mut seen).routers[0].handshake = None;
    host(&mut seen).state.tunnel_addresses.clear();
    let found: Vec<_> = complaints(&seen)
        .iter()
        .map(|found| (found.check, found.state))
        .collect();
    let expected = [
        ("daemon", State::Fail),
        ("capability", State::Warn),
        ("port", State::Warn),
        ("hub", State::Warn),
    ];
    assert_eq!(found, expected, "the port is another program's, as no daemon has it");
}

#[test]
fn a_device_that_may_not_be_seen_is_unknown_and_one_that_is_none_fails() {
    for (is_permission, state) in [(true, State::Unknown), (false, State::Fail)] {
        let mut seen = well();
        let machine = seen.machine.as_mut().expect("it was looked at");
        machine.device = Err(("not seen".to_owned(), is_permission));
        machine.host = None;
        let found = complaints(&seen);
        assert!(
            matches!(&found[..], [one] if one.check == "wireguard" && one.state == state),
            "{found:?}"
        );
    }
}

/// A ruleset with one input chain that drops, and these rules.
fn ruleset(family: &str, rules: &[Value]) -> Value {
    let chain = json!({ "chain": {
        "family": family, "table": "filter", "name": "input", "type": "filter", "hook": "input", "policy": "drop",
    } });
    let rules = rules.iter().map(
        |expressions| json!({ "rule": { "family": family, "table": "filter", "chain": "input", "expr": expressions } }),
    );
    let objects: Vec<Value> = [chain].into_iter().chain(rules).collect();
    json!({ "nftables": objects })
}

fn dport(protocol: &str, ports: &Value) -> Value {
    json!({ "match": { "op": "==", "left": { "payload": { "protocol": protocol, "field": "dport" } }, "right": ports } })
}

fn iifname(op: &str, name: &str) -> Value {
    json!({ "match": { "op": op, "left": { "meta": { "key": "iifname" } }, "right": name } })
}

fn letter(entry: &Entry) -> char {
    match entry {
        Entry::Open => 'o',
        Entry::Unclear(..) => 'u',
        Entry::Answers(_) => 'a',
        Entry::Closed(_) => 'c',
    }
}

/// A packet of WireGuard, which comes from `eth0`, and one with facts.
fn packets() -> [Packet<'static>; 2] {
    [
        Packet::outer(51820, "wg0").coming_from("eth0"),
        Packet::inner(51821, "wg0"),
    ]
}

/// The verdict on both: closed, answers only, unclear, open.
fn judged(ruleset: &Value) -> String {
    packets()
        .map(|packet| letter(&nft(ruleset, packet, false)))
        .into_iter()
        .collect()
}

fn judged_by(filter: &Filter) -> String {
    packets()
        .map(|packet| letter(&filter.judge(packet)))
        .into_iter()
        .collect()
}

#[test]
fn real_rulesets_are_judged_as_their_firewalls_do() {
    let nft = |text: &str| Filter {
        nft: Some(serde_json::from_str(text).expect("JSON of nft")),
        iptables: Vec::new(),
    };
    let saved = |four: &str, six: &str| Filter {
        nft: None,
        iptables: vec![[four.to_owned(), six.to_owned()]],
    };
    assert_eq!(judged_by(&nft(include_str!("rules/firewalld.json"))), "aa");
    assert_eq!(judged_by(&nft(include_str!("rules/firewalld-open.json"))), "oo");
    let ufw = saved(include_str!("rules/ufw.save"), include_str!("rules/ufw6.save"));
    assert_eq!(judged_by(&ufw), "aa");
    let ufw = saved(
        include_str!("rules/ufw-open.save"),
        include_str!("rules/ufw-open6.save"),
    );
    assert_eq!(judged_by(&ufw), "oo");
    assert_eq!(judged_by(&saved(include_str!("rules/iptables-nft.save"), "")), "ao");
    assert_eq!(judged_by(&saved(include_str!("rules/iptables-legacy.save"), "")), "co");
    assert_eq!(judged_by(&saved(include_str!("rules/docker-libvirt.save"), "")), "oo");
    // Without iptables-save, what it calls xt is not known.
    let bare = nft(include_str!("rules/iptables-nft.json"));
    assert_eq!(judged_by(&bare), "uo");
    let both = Filter {
        iptables: vec![[include_str!("rules/iptables-nft.save").to_owned(), String::new()]],
        ..bare
    };
    assert_eq!(judged_by(&both), "ao");
    for (text, expected) in [
        (include_str!("rules/fw4.json"), "aa"),
        (include_str!("rules/fw4-open.json"), "oo"),
    ] {
        let filter = nft(text);
        let [outer, inner] = packets().map(|packet| match packet.is_inner() {
            true => packet,
            false => packet.coming_from("wan"),
        });
        let letters = [outer, inner].map(|packet| letter(&filter.judge(packet)));
        assert_eq!(letters.iter().collect::<String>(), expected);
        let unknown = filter.judge(Packet::outer(51820, "wg0"));
        assert_eq!(letter(&unknown), 'u', "it may come from the LAN");
    }
}

#[test]
fn ways_out_are_those_of_default_routes() {
    let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
        docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
        tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n";
    assert_eq!(ways_out(table), ["eth0"]);
    assert!(ways_out("").is_empty());
}

#[test]
fn first_rule_that_is_for_a_packet_counts() {
    let (accept, drop) = (json!({ "accept": null }), json!({ "drop": null }));
    let port = || dport("udp", &json!(51820));
    assert_eq!(
        judged(&ruleset("inet", &[json!([port(), drop]), json!([accept])])),
        "co"
    );
    assert_eq!(
        judged(&ruleset("inet", &[json!([port(), accept]), json!([drop])])),
        "oc"
    );
    let mark = json!({ "match": { "op": "==", "left": { "meta": { "key": "mark" } }, "right": 7 } });
    assert_eq!(judged(&ruleset("inet", &[json!([mark, accept])])), "uu");
    assert_eq!(judged(&ruleset("inet", &[json!([mark, drop]), json!([accept])])), "uu");
    assert_eq!(
        judged(&ruleset("inet", &[json!([mark, accept]), json!([accept])])),
        "oo"
    );
    let Entry::Unclear(_, why) = nft(&ruleset("inet", &[json!([mark, accept])]), packets()[0], false) else {
        panic!("it is not understood")
    };
    assert_eq!(why, "meta mark");
    let dnat = json!({ "match": { "op": "in", "left": { "ct": { "key": "status" } }, "right": "dnat" } });
    assert_eq!(judged(&ruleset("inet", &[json!([dnat, accept])])), "cc");
}

#[test]
fn rules_of_nftables_are_understood_as_far_as_they_concern_us() {
    let accept = json!({ "accept": null });
    let established =
        json!({ "match": { "op": "in", "left": { "ct": { "key": "state" } }, "right": ["established", "related"] } });
    let from_somewhere = json!({ "match": {
        "op": "==", "left": { "payload": { "protocol": "ip", "field": "saddr" } }, "right": "192.0.2.7",
    } });
    let vmap = json!({ "vmap": { "key": { "ct": { "key": "state" } }, "data": { "set": [
        ["invalid", { "drop": null }], ["established", { "accept": null }],
    ] } } });
    for (rules, expected) in [
        (vec![], "cc"),
        (vec![json!([established, accept])], "aa"),
        (vec![json!([vmap])], "aa"),
        (vec![json!([dport("udp", &json!(51820)), accept])], "oc"),
        (
            vec![json!([
                dport("udp", &json!({ "set": [53, { "range": [51820, 51830] }] })),
                accept
            ])],
            "oo",
        ),
        (vec![json!([dport("tcp", &json!(51820)), accept])], "cc"),
        (vec![json!([dport("udp", &json!(51820)), { "drop": null }])], "cc"),
        (vec![json!([iifname("==", "wg0"), accept])], "co"),
        (vec![json!([iifname("==", "wg*"), accept])], "co"),
        (vec![json!([iifname("==", "lo"), accept])], "cc"),
        (vec![json!([iifname("!=", "wg0"), accept])], "oc"),
        (vec![json!([from_somewhere, accept])], "uc"),
        (vec![json!([{ "counter": null }, accept])], "oo"),
    ] {
        assert_eq!(judged(&ruleset("inet", &rules)), expected, "{rules:?}");
    }
    assert_eq!(judged(&ruleset("ip", &[])), "co", "facts are IPv6");
    assert_eq!(judged(&ruleset("ip6", &[])), "oc");
    let mut open = ruleset("inet", &[]);
    open["nftables"][0]["chain"]["policy"] = json!("accept");
    assert_eq!(judged(&open), "oo");
    let mut closing = ruleset("inet", &[json!([{ "reject": null }])]);
    closing["nftables"][0]["chain"]["policy"] = json!("accept");
    assert_eq!(judged(&closing), "cc", "the last rule is for all");
}

#[test]
fn a_chain_that_is_called_counts_and_a_circle_ends() {
    let rule = |chain: &str, expressions: Value| json!({ "rule": { "family": "inet", "table": "filter", "chain": chain, "expr": expressions } });
    let mut rules = ruleset("inet", &[json!([{ "jump": { "target": "ours" } }])]);
    let objects = rules["nftables"].as_array_mut().expect("a list");
    objects.push(rule("ours", json!([dport("udp", &json!(51820)), { "accept": null }])));
    assert_eq!(judged(&rules), "oc");
    let objects = rules["nftables"].as_array_mut().expect("a list");
    objects.push(rule("ours", json!([{ "goto": { "target": "ours" } }])));
    assert_eq!(judged(&rules), "ou", "what has no end is not understood");
}

#[test]
fn rules_of_iptables_are_understood_too() {
    let [outer, inner] = packets();
    let save = |policy: &str, rules: &str| format!("*filter\n:INPUT {policy} [0:0]\n:OURS - [0:0]\n{rules}\nCOMMIT\n");
    for (policy, rules, expected) in [
        ("ACCEPT", "", "oo"),
        ("DROP", "", "cc"),
        (
            "DROP",
            "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "aa",
        ),
        ("DROP", "-A INPUT -m comment --comment \"a -j ACCEPT\" -j DROP", "cc"),
        ("DROP", "-A INPUT -m mark --mark 0x1/0x1 -j ACCEPT", "uu"),
        ("ACCEPT", "-A INPUT -m mark ! --mark 0x1/0x1 -j DROP", "uu"),
        (
            "DROP",
            "-A INPUT -s 192.0.2.0/24 -p udp -m udp --dport 51820 -j ACCEPT",
            "uc",
        ),
        ("DROP", "-A INPUT -p udp -m udp --dport 51820 -j ACCEPT", "oc"),
        (
            "DROP",
            "-A INPUT -p udp -m multiport --dports 53,51800:51830 -j ACCEPT",
            "oo",
        ),
        ("DROP", "-A INPUT -p tcp -m tcp --dport 51820 -j ACCEPT", "cc"),
        ("DROP", "-A INPUT -i wg+ -j ACCEPT", "co"),
        ("DROP", "-A INPUT -i w+0 -j ACCEPT", "cc"),
        ("DROP", "-A INPUT ! -i wg0 -j ACCEPT", "oc"),
        ("DROP", "-A INPUT -j OURS\n-A OURS -p udp --dport 51820 -j ACCEPT", "oc"),
        (
            "ACCEPT",
            "-A INPUT -i lo -j ACCEPT\n-A INPUT -j REJECT --reject-with icmp-port-unreachable",
            "cc",
        ),
    ] {
        let judged = [outer, inner].map(|packet| letter(&iptables(&save(policy, rules), packet)));
        assert_eq!(judged.into_iter().collect::<String>(), expected, "{policy} {rules}");
    }
    let plus = iptables(
        &save("DROP", "-A INPUT -i wg+0 -j ACCEPT"),
        Packet::inner(51821, "wg+0"),
    );
    assert_eq!(plus, Entry::Open, "a plus sign inside a name is no wildcard");
}

#[test]
fn what_the_packet_filter_drops_is_said_with_what_to_do() {
    let mut seen = well();
    seen.rules = read(ruleset("inet", &[json!([iifname("==", "wg0"), { "accept": null }])]));
    let found = complaints(&seen);
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        one.words(),
        "FAIL firewall    chain input of table inet filter drops what comes to WireGuard's UDP port 51820; allow it: `nft insert \
         rule inet filter input udp dport 51820 accept`\n"
    );
}

/// A router whose kernel, or whose packet filter, passes nothing on is no router; to a leaf that is no matter.
#[test]
fn router_that_forwards_nothing_is_named() {
    let mut seen = well();
    seen.forwarding.v4 = Some(false);
    assert_eq!(complaints(&seen), [], "a leaf forwards nothing");
    seen.daemon.as_mut().expect("it answers").node.role = "router".to_owned();
    host(&mut seen)
        .state
        .tunnel_addresses
        .push("10.0.0.1/24".parse().expect("a net"));
    let [finding] = &complaints(&seen)[..] else {
        panic!("{:?}", complaints(&seen));
    };
    assert_eq!(
        (finding.check, finding.state),
        ("forwarding", State::Fail),
        "{finding:?}"
    );
    let remedy = finding.remedy.as_deref().unwrap_or_default();
    assert!(remedy.contains("net.ipv4.ip_forward=1"), "{remedy}");
    seen.forwarding.v4 = Some(true);
    let chain = json!({ "family": "ip", "table": "filter", "name": "FORWARD", "type": "filter", "hook": "forward", "policy": "drop" });
    seen.rules = read(json!({ "nftables": [{ "chain": chain }] }));
    let found: Vec<String> = complaints(&seen).iter().map(Finding::words).collect();
    assert!(found.len() == 1 && found[0].contains("FAIL forwarding"), "{found:?}");
    assert!(
        found[0].contains("chain FORWARD of table ip filter drops IPv4"),
        "{found:?}"
    );
}
