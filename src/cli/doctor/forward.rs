//! Whether a router passes on what its peers send one another: the kernel's switches, and the forward chains of the packet filter.
//!
//! The packet that is judged is the first of a flow, comes in on the WireGuard interface and leaves by it. Each match of a rule holds, does
//! not hold, or is not understood; what is not understood makes no verdict certain.

use std::fs;

use serde_json::Value;

use super::Finding;
use super::look::{Filter, Rules, Seen};
use crate::daemon::inspect::Inspection;
use crate::mesh::prefix::is_global_unicast;

/// How deep chains may call one another.
const DEPTH: usize = 16;

/// The kernel's settings for forwarding; empty where they cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Switches {
    /// `net.ipv4.conf.<interface>.forwarding`.
    pub(super) v4: Option<bool>,
    /// `net.ipv6.conf.all.forwarding`.
    pub(super) v6: Option<bool>,
}

/// The fate of a forwarded packet in a packet filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    Open,
    /// Rules that are not understood decide.
    Unknown(String),
    /// This chain drops it.
    Closed(String),
}

/// The result of a match, or of a whole rule, for the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Yes,
    No,
    Unclear,
}

/// The result of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accept,
    Drop,
    /// The chain ends without one, or the rule has none.
    Next,
    /// The chain that called goes on.
    Return,
    Unclear,
}

/// A packet on its way from one peer to another.
#[derive(Clone, Copy, Debug)]
struct Forwarded<'a> {
    iface: &'a str,
    is_v6: bool,
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
    let packet = Forwarded {
        iface: &seen.iface,
        is_v6,
    };
    let passage = match &seen.rules {
        Rules::Read(filter) => judge(filter, packet),
        // The check of the firewall says so.
        Rules::Unreadable(_) => Passage::Open,
    };
    let family = if is_v6 { "IPv6" } else { "IPv4" };
    let remedy = format!(
        "let it through, for example `iifname \"{0}\" oifname \"{0}\" accept`",
        seen.iface
    );
    match passage {
        Passage::Open => None,
        Passage::Unknown(chain) => Some(
            Finding::unknown(
                "forwarding",
                format!("{chain} may drop {family} packets between peers: some of its rules are not understood"),
            )
            .remedy(remedy),
        ),
        Passage::Closed(chain) => {
            Some(Finding::fail("forwarding", format!("{chain} drops {family} packets between peers")).remedy(remedy))
        }
    }
}

/// Judges all rules, each of which the packet has to pass. What iptables keeps in nftables is understood best as iptables prints it.
fn judge(filter: &Filter, packet: Forwarded<'_>) -> Passage {
    let by_iptables = filter
        .iptables
        .iter()
        .map(|saved| iptables(&saved[usize::from(packet.is_v6)], packet));
    let has_iptables = !filter.iptables.is_empty();
    let by_nft = filter.nft.iter().map(|rules| nft(rules, packet));
    let by_nft = by_nft.filter(|passage| !(has_iptables && matches!(passage, Passage::Unknown(_))));
    let severity = |passage: &Passage| match passage {
        Passage::Open => 0,
        Passage::Unknown(_) => 1,
        Passage::Closed(_) => 2,
    };
    by_nft.chain(by_iptables).max_by_key(severity).unwrap_or(Passage::Open)
}

/// Judges the ruleset that `nft -j list ruleset` prints: every chain of the hook must let the packet pass.
fn nft(ruleset: &Value, packet: Forwarded<'_>) -> Passage {
    let objects = || ruleset["nftables"].as_array().into_iter().flatten();
    let family = if packet.is_v6 { "ip6" } else { "ip" };
    let chains = objects().filter_map(|object| object.get("chain"));
    let hooks = chains.filter(|chain| {
        chain["hook"] == "forward"
            && chain["type"] == "filter"
            && (chain["family"] == "inet" || chain["family"] == family)
    });
    let mut unclear = Passage::Open;
    for chain in hooks {
        let name = format!("chain {} of table {}", word(chain, "name"), word(chain, "table"));
        let verdict = match walk_nft(ruleset, chain, word(chain, "name"), packet, DEPTH) {
            Verdict::Next | Verdict::Return if chain["policy"] == "drop" => Verdict::Drop,
            other => other,
        };
        match verdict {
            Verdict::Drop => return Passage::Closed(name),
            Verdict::Unclear if chain["policy"] == "drop" => unclear = Passage::Unknown(name),
            Verdict::Unclear | Verdict::Accept | Verdict::Next | Verdict::Return => {}
        }
    }
    unclear
}

fn word<'a>(of: &'a Value, key: &str) -> &'a str {
    of[key].as_str().unwrap_or_default()
}

fn walk_nft(ruleset: &Value, of: &Value, chain: &str, packet: Forwarded<'_>, depth: usize) -> Verdict {
    if depth == 0 {
        return Verdict::Unclear;
    }
    let objects = ruleset["nftables"].as_array().into_iter().flatten();
    let rules = objects
        .filter_map(|object| object.get("rule"))
        .filter(|rule| rule["family"] == of["family"] && rule["table"] == of["table"] && rule["chain"] == chain);
    walk(rules.map(|rule| {
        let parts = || rule["expr"].as_array().into_iter().flatten();
        // A statement that is no match, no verdict, no counter and no log may hold or not.
        let fits = parts().map(|part| match part.get("match") {
            Some(wanted) => fits_nft(wanted, packet),
            None if part.get("xt").or(part.get("limit")).is_some() => Fit::Unclear,
            None => Fit::Yes,
        });
        let verdict = parts().find_map(|part| {
            let called = part.get("jump").or(part.get("goto"));
            match called {
                Some(call) => Some(walk_nft(ruleset, of, word(call, "target"), packet, depth - 1)),
                None if part.get("accept").is_some() => Some(Verdict::Accept),
                None if part.get("return").is_some() => Some(Verdict::Return),
                None if part.get("drop").or(part.get("reject")).is_some() => Some(Verdict::Drop),
                None if part.get("vmap").or(part.get("queue")).is_some() => {
                    Some(vmap(ruleset, of, part, packet, depth))
                }
                None => None,
            }
        });
        (all(fits), verdict.unwrap_or(Verdict::Next))
    }))
}

/// Returns what a map of verdicts makes of the packet.
fn vmap(ruleset: &Value, of: &Value, part: &Value, packet: Forwarded<'_>, depth: usize) -> Verdict {
    let Some(map) = part.get("vmap") else {
        return Verdict::Unclear;
    };
    let Some(entries) = map["data"]["set"].as_array() else {
        return Verdict::Unclear;
    };
    walk(entries.iter().map(|entry| {
        let wanted = serde_json::json!({ "op": "==", "left": map["key"], "right": entry[0] });
        let verdict = &entry[1];
        let called = verdict.get("jump").or(verdict.get("goto"));
        let verdict = match called {
            Some(call) => walk_nft(ruleset, of, word(call, "target"), packet, depth - 1),
            None if verdict.get("accept").is_some() => Verdict::Accept,
            None if verdict.get("drop").is_some() => Verdict::Drop,
            None if verdict.get("return").is_some() => Verdict::Return,
            None => Verdict::Next,
        };
        (fits_nft(&wanted, packet), verdict)
    }))
}

/// Goes through rules in their order, each with whether it fits and what it then comes to.
fn walk(rules: impl Iterator<Item = (Fit, Verdict)>) -> Verdict {
    let mut may_accept = false;
    for (fit, verdict) in rules {
        match (fit, verdict) {
            (Fit::No, _) | (_, Verdict::Next) => {}
            (Fit::Yes, Verdict::Return) => break,
            (Fit::Unclear, Verdict::Return) => {}
            (Fit::Yes, Verdict::Accept) => return Verdict::Accept,
            (Fit::Yes, Verdict::Drop) if may_accept => return Verdict::Unclear,
            (Fit::Yes, Verdict::Drop) => return Verdict::Drop,
            // Rules that drop are mostly about somebody else; one that accepts may be about this packet.
            (Fit::Unclear, Verdict::Drop) => {}
            (Fit::Unclear, Verdict::Accept) | (_, Verdict::Unclear) => may_accept = true,
        }
    }
    if may_accept { Verdict::Unclear } else { Verdict::Next }
}

fn all(fits: impl Iterator<Item = Fit>) -> Fit {
    fits.fold(Fit::Yes, |so_far, fit| match (so_far, fit) {
        (Fit::No, _) | (_, Fit::No) => Fit::No,
        (Fit::Unclear, _) | (_, Fit::Unclear) => Fit::Unclear,
        (Fit::Yes, Fit::Yes) => Fit::Yes,
    })
}

fn fits_nft(wanted: &Value, packet: Forwarded<'_>) -> Fit {
    let (left, right) = (&wanted["left"], &wanted["right"]);
    let values = right.get("set").unwrap_or(right);
    let values: Vec<&str> = match values.as_array() {
        Some(list) => list.iter().filter_map(Value::as_str).collect(),
        None => values.as_str().into_iter().collect(),
    };
    let is = match (word(&left["meta"], "key"), word(&left["ct"], "key")) {
        _ if values.is_empty() || values[0].starts_with('@') => return Fit::Unclear,
        ("iifname" | "oifname" | "iif" | "oif", _) => values.iter().any(|name| packet.is_on(name)),
        ("nfproto", _) => values.contains(&if packet.is_v6 { "ipv6" } else { "ipv4" }),
        (_, "state") => values.contains(&"new"),
        // No address of it was translated.
        (_, "status") => values
            .iter()
            .any(|status| !matches!(*status, "dnat" | "snat" | "assured" | "seen-reply")),
        _ => return Fit::Unclear,
    };
    let is = is != (wanted["op"] == "!=");
    if is { Fit::Yes } else { Fit::No }
}

impl Forwarded<'_> {
    /// Returns whether the interface of the packet has this name, of which a closing asterisk stands for anything.
    fn is_on(self, name: &str) -> bool {
        match name.strip_suffix('*') {
            Some(begin) => self.iface.starts_with(begin),
            None => name == self.iface,
        }
    }
}

/// Judges the chain FORWARD, as `iptables-save` prints it.
fn iptables(saved: &str, packet: Forwarded<'_>) -> Passage {
    let filter = saved.split("*filter").nth(1).unwrap_or_default();
    let lines: Vec<&str> = filter.lines().take_while(|line| *line != "COMMIT").collect();
    let is_closed = lines.iter().any(|line| line.starts_with(":FORWARD DROP"));
    let name = || "chain FORWARD of iptables".to_owned();
    match walk_iptables(&lines, "FORWARD", packet, DEPTH) {
        Verdict::Accept => Passage::Open,
        Verdict::Drop => Passage::Closed(name()),
        Verdict::Next | Verdict::Return if is_closed => Passage::Closed(name()),
        Verdict::Unclear if is_closed => Passage::Unknown(name()),
        Verdict::Next | Verdict::Return | Verdict::Unclear => Passage::Open,
    }
}

fn walk_iptables(lines: &[&str], chain: &str, packet: Forwarded<'_>, depth: usize) -> Verdict {
    if depth == 0 {
        return Verdict::Unclear;
    }
    let begin = format!("-A {chain} ");
    let rules = lines.iter().filter_map(|line| line.strip_prefix(&*begin));
    walk(rules.map(|rule| {
        let words: Vec<&str> = rule.split_whitespace().collect();
        let target = words.iter().position(|word| matches!(*word, "-j" | "-g"));
        let verdict = match target.and_then(|at| words.get(at + 1)) {
            Some(&"ACCEPT") => Verdict::Accept,
            Some(&("DROP" | "REJECT")) => Verdict::Drop,
            Some(&"RETURN") => Verdict::Return,
            None => Verdict::Next,
            Some(called) => walk_iptables(lines, called, packet, depth - 1),
        };
        (fits_iptables(&words[..target.unwrap_or(words.len())], packet), verdict)
    }))
}

fn fits_iptables(words: &[&str], packet: Forwarded<'_>) -> Fit {
    let options = words.iter().enumerate().filter(|(_, word)| word.starts_with('-'));
    all(options.map(|(at, option)| {
        let value = words.get(at + 1).copied().unwrap_or_default();
        let is_inverted = at > 0 && words[at - 1] == "!";
        let is = match *option {
            "-i" | "-o" => packet.is_on(&value.replace('+', "*")),
            "--ctstate" | "--state" => value.split(',').any(|state| state == "NEW"),
            "-m" | "--comment" => return Fit::Yes,
            _ => return Fit::Unclear,
        };
        if is != is_inverted { Fit::Yes } else { Fit::No }
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PACKET: Forwarded<'_> = Forwarded {
        iface: "wg.0",
        is_v6: false,
    };

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
        let closed = Passage::Closed("chain f of table t".to_owned());
        let answers = json!([matches(json!({ "ct": { "key": "state" } }), "established"), accept]);
        let ours = json!([matches(from.clone(), "wg.0"), matches(to, "wg*"), accept]);
        let others = json!([matches(from.clone(), "eth0"), accept]);
        let address = json!([
            matches(json!({ "payload": { "protocol": "ip", "field": "saddr" } }), "10.0.0.1"),
            accept
        ]);
        for (policy, rules, expected) in [
            ("accept", vec![], Passage::Open),
            ("drop", vec![], closed.clone()),
            ("drop", vec![answers.clone(), others], closed.clone()),
            ("drop", vec![answers.clone(), ours.clone()], Passage::Open),
            ("drop", vec![json!([drop]), ours.clone()], closed.clone()),
            ("drop", vec![address], Passage::Unknown("chain f of table t".to_owned())),
            ("accept", vec![ours, json!([drop])], Passage::Open),
            ("accept", vec![answers, json!([matches(from, "wg.0"), drop])], closed),
        ] {
            assert_eq!(nft(&ruleset(policy, &rules), PACKET), expected, "{policy}: {rules:?}");
        }
    }

    /// What Docker and ufw write.
    #[test]
    fn iptables_forward_chain_is_judged_in_order() {
        let judged = |policy: &str, rules: &str| {
            iptables(&format!("*filter\n:FORWARD {policy} [0:0]\n{rules}\nCOMMIT\n"), PACKET)
        };
        let closed = Passage::Closed("chain FORWARD of iptables".to_owned());
        assert_eq!(judged("ACCEPT", ""), Passage::Open);
        assert_eq!(judged("DROP", ""), closed);
        let docker = "-A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
                      -A FORWARD -i docker0 -o docker0 -j ACCEPT\n-A DOCKER-USER -j RETURN";
        assert_eq!(judged("DROP", docker), closed);
        let allowed = format!("{docker}\n-A DOCKER-USER -i wg+ -o wg.0 -j ACCEPT");
        assert_eq!(
            judged("DROP", &allowed.replace("-A DOCKER-USER -j RETURN\n", "")),
            Passage::Open
        );
        assert_eq!(judged("DROP", "-A FORWARD ! -i eth0 -j ACCEPT"), Passage::Open);
        let marked = "-A FORWARD -m mark --mark 0x1 -j ACCEPT";
        assert_eq!(
            judged("DROP", marked),
            Passage::Unknown("chain FORWARD of iptables".to_owned())
        );
    }
}
