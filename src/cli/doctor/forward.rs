//! Whether a router passes on what its peers send one another: the kernel's switches, and the forward chains of the packet filter.
//!
//! The packet that is judged is the first of a flow, comes in on the WireGuard interface and leaves by it ([`Packet::forwarded`]).

use std::fs;

use super::Finding;
use super::firewall::{Entry, Packet};
use super::look::{Rules, Seen};
use crate::advice::{Opening, let_in};
use crate::daemon::inspect::Inspection;
use crate::mesh::base::prefix::is_global_unicast;

/// The kernel's settings for forwarding; empty where they cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Switches {
    /// `net.ipv4.conf.<interface>.forwarding`.
    pub(super) v4: Option<bool>,
    /// `net.ipv6.conf.all.forwarding`.
    pub(super) v6: Option<bool>,
}

/// Reads the switches.
pub(super) fn switches(iface: &str) -> Switches {
    let is_on = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim() != "0");
    Switches {
        v4: is_on(&format!("/proc/sys/net/ipv4/conf/{iface}/forwarding")),
        v6: is_on("/proc/sys/net/ipv6/conf/all/forwarding"),
    }
}

/// Judges whether this machine forwards, where it is a router.
pub(super) fn forwarding(seen: &Seen, machine: &Inspection) -> Vec<Finding> {
    let is_router = match (&seen.daemon, &machine.device) {
        (Ok(status), _) => status.node.role == "router",
        (Err(_), Ok(device)) => device.routers.is_empty(),
        (Err(_), Err(_)) => false,
    };
    if !is_router {
        return Vec::new();
    }
    let addresses = machine
        .host
        .iter()
        .flatten()
        .flat_map(|host| &host.state.tunnel_addresses);
    let is_inner_v6 = |address: std::net::IpAddr| address.is_ipv6() && is_global_unicast(address);
    let has_v6 = addresses.clone().any(|net| is_inner_v6(net.addr()));
    let findings = [switched(seen, false), filtered(seen, false)].into_iter().chain(
        has_v6
            .then(|| [switched(seen, true), filtered(seen, true)])
            .into_iter()
            .flatten(),
    );
    let findings: Vec<Finding> = findings.flatten().collect();
    if findings.is_empty() {
        return vec![Finding::ok(
            "forwarding",
            "this router forwards what its peers send one another",
        )];
    }
    findings
}

/// Judges the kernel's switch.
fn switched(seen: &Seen, is_v6: bool) -> Option<Finding> {
    let (switch, is_on, remedy) = if is_v6 {
        let key = "net.ipv6.conf.all.forwarding";
        (key.to_owned(), seen.forwarding.v6, format!("{key}=1"))
    } else {
        let key = format!("net/ipv4/conf/{}/forwarding", seen.iface);
        (key, seen.forwarding.v4, "net.ipv4.ip_forward=1".to_owned())
    };
    match is_on {
        Some(true) => None,
        None => Some(Finding::unknown("forwarding", format!("{switch} cannot be read"))),
        Some(false) => Some(
            Finding::fail(
                "forwarding",
                format!("{switch} is 0: what one peer sends to another through this router is lost"),
            )
            .remedy(format!("`sysctl -w {remedy}`, and {remedy} in a file of /etc/sysctl.d")),
        ),
    }
}

/// Judges the packet filter.
fn filtered(seen: &Seen, is_v6: bool) -> Option<Finding> {
    // The check of the firewall says where rules cannot be read.
    let Rules::Read(filter) = &seen.rules else {
        return None;
    };
    let packet = Packet::forwarded(is_v6, &seen.iface);
    let family = if is_v6 { "IPv6" } else { "IPv4" };
    let allow = |chain: &str| {
        let command = let_in(filter.keeper(chain, packet), Opening::Through(packet.iface));
        format!("allow it: `{command}`")
    };
    match filter.judge(packet) {
        Entry::Open => None,
        Entry::Unclear(chain, why) => Some(
            Finding::unknown(
                "forwarding",
                format!("whether {chain} lets {family} packets between peers pass depends on {why}, which is not understood here"),
            )
            .remedy(format!("see its rules; where they do not, {}", allow(&chain))),
        ),
        Entry::Answers(chain) | Entry::Closed(chain) => Some(
            Finding::fail("forwarding", format!("{chain} drops {family} packets between peers")).remedy(allow(&chain)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::doctor::iptables::iptables;
    use crate::cli::doctor::nft::nft;

    fn packet() -> Packet<'static> {
        Packet::forwarded(false, "wg.0")
    }

    fn ruleset(policy: &str, rules: &[Value]) -> Value {
        let place = |rule: &Value| json!({ "rule": { "family": "inet", "table": "t", "chain": "f", "expr": rule } });
        let chain = json!({ "chain": { "family": "inet", "table": "t", "name": "f", "type": "filter", "hook": "forward", "policy": policy } });
        let objects: Vec<Value> = std::iter::once(chain).chain(rules.iter().map(place)).collect();
        json!({ "nftables": objects })
    }

    fn matches(left: Value, right: &str) -> Value {
        json!({ "match": { "op": "==", "left": left, "right": right } })
    }

    #[test]
    fn forward_chain_is_judged_in_order() {
        let (from, to) = (
            json!({ "meta": { "key": "iifname" } }),
            json!({ "meta": { "key": "oifname" } }),
        );
        let (accept, drop) = (json!({ "accept": null }), json!({ "drop": null }));
        let closed = Entry::Closed("chain f of table inet t".to_owned());
        let answered = Entry::Answers("chain f of table inet t".to_owned());
        let answers = json!([matches(json!({ "ct": { "key": "state" } }), "established"), accept]);
        let ours = json!([matches(from.clone(), "wg.0"), matches(to, "wg*"), accept]);
        let others = json!([matches(from.clone(), "eth0"), accept]);
        let address = json!([
            matches(json!({ "payload": { "protocol": "ip", "field": "saddr" } }), "10.0.0.1"),
            accept
        ]);
        for (policy, rules, expected) in [
            ("accept", vec![], Entry::Open),
            ("drop", vec![], closed.clone()),
            ("drop", vec![answers.clone(), others], answered.clone()),
            ("drop", vec![answers.clone(), ours.clone()], Entry::Open),
            ("drop", vec![json!([drop]), ours.clone()], closed.clone()),
            (
                "drop",
                vec![address],
                Entry::Unclear("chain f of table inet t".to_owned(), "ip saddr".to_owned()),
            ),
            ("accept", vec![ours, json!([drop])], Entry::Open),
            ("accept", vec![answers, json!([matches(from, "wg.0"), drop])], answered),
        ] {
            assert_eq!(
                nft(&ruleset(policy, &rules), packet(), false),
                expected,
                "{policy}: {rules:?}"
            );
        }
    }

    /// What Docker and ufw write.
    #[test]
    fn iptables_forward_chain_is_judged_in_order() {
        let judged = |policy: &str, rules: &str| {
            iptables(
                &format!("*filter\n:FORWARD {policy} [0:0]\n:DOCKER-USER - [0:0]\n{rules}\nCOMMIT\n"),
                packet(),
            )
        };
        let closed = Entry::Closed("FORWARD of iptables".to_owned());
        assert_eq!(judged("ACCEPT", ""), Entry::Open);
        assert_eq!(judged("DROP", ""), closed);
        let docker = "-A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
                      -A FORWARD -i docker0 -o docker0 -j ACCEPT\n-A DOCKER-USER -j RETURN";
        assert_eq!(judged("DROP", docker), closed);
        let allowed = format!("{docker}\n-A DOCKER-USER -i wg+ -o wg.0 -j ACCEPT");
        assert_eq!(
            judged("DROP", &allowed.replace("-A DOCKER-USER -j RETURN\n", "")),
            Entry::Open
        );
        assert_eq!(judged("DROP", "-A FORWARD ! -i eth0 -j ACCEPT"), Entry::Open);
        let marked = "-A FORWARD -m mark --mark 0x1 -j ACCEPT";
        assert_eq!(
            judged("DROP", marked),
            Entry::Unclear("FORWARD of iptables".to_owned(), "--mark 0x1".to_owned())
        );
    }

    /// A rule that drops what it looks at in ways that are not understood may drop anything.
    #[test]
    fn unclear_rule_that_drops_is_no_open_door() {
        let mark = json!([matches(json!({ "meta": { "key": "mark" } }), "7"), { "drop": null }]);
        let judged = nft(&ruleset("accept", &[mark]), packet(), false);
        assert!(matches!(judged, Entry::Unclear(..)), "{judged:?}");
    }
}
