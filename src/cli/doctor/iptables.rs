//! The same for rules as `iptables-save` prints them.

use super::firewall::{Entry, Packet};

/// How deep chains may call one another.
const DEPTH: usize = 16;

/// Judges the chain INPUT.
pub(super) fn iptables(saved: &str, packet: Packet<'_>) -> Entry {
    let filter = saved.split("*filter").nth(1).unwrap_or_default();
    let filter: Vec<&str> = filter.lines().take_while(|line| *line != "COMMIT").collect();
    let drops = filter.iter().any(|line| line.starts_with(":INPUT DROP"));
    let last = rules(&filter, "INPUT").last();
    let ends_closed = last.is_some_and(|rule| matches!(rule[..], ["-j", "DROP" | "REJECT", ..]));
    if !drops && !ends_closed {
        return Entry::Open;
    }
    let lets_in = |packet| lets_in(&filter, "INPUT", packet, DEPTH);
    match (lets_in(packet), lets_in(packet.as_answer())) {
        (true, _) => Entry::Open,
        (false, true) => Entry::Answers("INPUT of iptables".to_owned()),
        (false, false) => Entry::Closed("INPUT of iptables".to_owned()),
    }
}

/// Returns the rules of a chain, in words.
fn rules<'a>(filter: &[&'a str], chain: &str) -> impl Iterator<Item = Vec<&'a str>> {
    let begin = format!("-A {chain} ");
    let lines: Vec<&str> = filter.iter().filter_map(|line| line.strip_prefix(&*begin)).collect();
    lines.into_iter().map(|line| line.split_whitespace().collect())
}

fn lets_in(filter: &[&str], chain: &str, packet: Packet<'_>, depth: usize) -> bool {
    depth == 0
        || rules(filter, chain).any(|rule| {
            fits(&rule, packet)
                && match target(&rule) {
                    Some("ACCEPT") => true,
                    Some("DROP" | "REJECT" | "RETURN" | "LOG") | None => false,
                    Some(called) => lets_in(filter, called, packet, depth - 1),
                }
        })
}

fn target<'a>(rule: &[&'a str]) -> Option<&'a str> {
    let at = rule.iter().position(|word| matches!(*word, "-j" | "-g"))?;
    rule.get(at + 1).copied()
}

/// Says whether the packet may fit all that a rule wants; what is not understood, it fits.
fn fits(rule: &[&str], packet: Packet<'_>) -> bool {
    (0..rule.len().saturating_sub(1)).all(|at| {
        let value = rule[at + 1];
        let fits = match rule[at] {
            "-i" => packet.may_come_from(&value.replace('+', "*")),
            "-p" => matches!(value, "udp" | "17" | "all"),
            "--dport" | "--dports" => value.split(',').any(|ports| is_port(ports, packet.port)),
            "--state" | "--ctstate" => packet.has_state(value),
            _ => return true,
        };
        let is_inverted = at > 0 && rule[at - 1] == "!";
        fits != is_inverted
    })
}

fn is_port(ports: &str, port: u16) -> bool {
    let (from, to) = ports.split_once(':').unwrap_or((ports, ports));
    let bound = |text: &str, open: u16| if text.is_empty() { Ok(open) } else { text.parse() };
    match (bound(from, 0), bound(to, u16::MAX)) {
        (Ok(from), Ok(to)) => (from..=to).contains(&port),
        // A name.
        (Ok(_) | Err(_), Ok(_) | Err(_)) => true,
    }
}
