//! The rules of iptables, of either kind, as `iptables-save` prints them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::firewall::{DEPTH, Entry, Fate, Packet, Truth};

/// Judges the chain INPUT, or FORWARD.
pub(super) fn iptables(saved: &str, packet: Packet<'_>) -> Entry {
    let filter = saved.split("*filter").nth(1).unwrap_or_default();
    let filter: Vec<Vec<String>> = filter.lines().take_while(|line| *line != "COMMIT").map(words).collect();
    let first = packet.chain();
    let policy_drops = filter.iter().any(
        |line| matches!(&line[..], [name, policy, ..] if name.strip_prefix(':') == Some(first) && policy == "DROP"),
    );
    Entry::of(&format!("{first} of iptables"), packet, |packet| {
        let mut walk = Walk {
            filter: &filter,
            packet,
            unclear: None,
        };
        let fate = walk.chain(first, DEPTH).at_end(policy_drops);
        (fate, walk.unclear.unwrap_or_default())
    })
}

/// Returns the words of a line; one in quotes is one word, in which a backslash takes the meaning from the next character.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), None::<String>, false);
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' if is_quoted => word.get_or_insert_default().extend(characters.next()),
            c if c.is_whitespace() && !is_quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// A packet on its way.
struct Walk<'a> {
    filter: &'a [Vec<String>],
    packet: Packet<'a>,
    /// The first match that was not understood.
    unclear: Option<String>,
}

impl Walk<'_> {
    fn chain(&mut self, name: &str, depth: usize) -> Fate {
        let Some(depth) = depth.checked_sub(1) else {
            self.unclear
                .get_or_insert("chains that call one another in a circle".to_owned());
            return Fate::ANY;
        };
        let rules = self
            .filter
            .iter()
            .filter(|line| matches!(&line[..], [add, chain, ..] if add == "-A" && chain == name));
        let mut fate = Fate::GOES_ON;
        for rule in rules {
            if !fate.may_go_on() {
                break;
            }
            let (is_for_it, unclear) = fits(&rule[2..], self.packet);
            let after = match (is_for_it, target(rule)) {
                (Truth::No, _) | (_, None) => continue,
                (_, Some(target)) => fate.then(is_for_it, self.verdict(target, depth)),
            };
            if is_for_it == Truth::Unknown && after != fate {
                self.unclear = self.unclear.take().or(unclear);
            }
            fate = after;
        }
        fate
    }

    fn verdict(&mut self, (way, target): (&str, &str), depth: usize) -> Fate {
        let is_chain = |line: &Vec<String>| line.first().and_then(|first| first.strip_prefix(':')) == Some(target);
        match target {
            "ACCEPT" => Fate::ACCEPTED,
            "DROP" | "REJECT" | "TARPIT" => Fate::DROPPED,
            "RETURN" => Fate::RETURNED,
            "LOG" | "NFLOG" | "ULOG" | "MARK" | "CONNMARK" | "SECMARK" | "CONNSECMARK" | "SET" | "AUDIT" | "TRACE"
            | "TCPMSS" | "CT" | "CLASSIFY" | "CHECKSUM" | "DSCP" | "TOS" | "TTL" | "HL" => Fate::GOES_ON,
            _ if self.filter.iter().any(is_chain) => self.chain(target, depth).of_call(way == "-g"),
            other => {
                self.unclear.get_or_insert(format!("the target {other}"));
                Fate::ANY
            }
        }
    }
}

/// Returns how a rule goes on, and where.
fn target(rule: &[String]) -> Option<(&str, &str)> {
    let at = rule.iter().position(|word| matches!(&**word, "-j" | "-g"))?;
    Some((&rule[at], rule.get(at + 1)?))
}

/// Says whether the packet fits all that a rule wants, and what of it is not understood.
fn fits(rule: &[String], packet: Packet<'_>) -> (Truth, Option<String>) {
    let (mut is_for_it, mut unclear) = (Truth::Yes, None);
    let mut at = 0;
    while at < rule.len() {
        let (is_inverted, option) = match &*rule[at] {
            "!" if at + 1 < rule.len() => (true, &*rule[at + 1]),
            option => (false, option),
        };
        at += 1 + usize::from(is_inverted);
        if matches!(option, "-j" | "-g") {
            break;
        }
        // The values of an option are all words up to the next one.
        let end = rule[at..].iter().position(|word| word.starts_with('-') || word == "!");
        let values = &rule[at..end.map_or(rule.len(), |end| at + end)];
        at += values.len();
        let holds = holds(option, values, packet);
        if holds == Truth::Unknown {
            unclear.get_or_insert_with(|| [&[option.to_owned()], values].concat().join(" "));
        }
        is_for_it = is_for_it.min(if is_inverted { holds.not() } else { holds });
    }
    (is_for_it, unclear)
}

fn holds(option: &str, values: &[String], packet: Packet<'_>) -> Truth {
    let value = values.first().map_or("", String::as_str);
    match option {
        // The modules say nothing by themselves, but for those that have no options.
        "-m" => match value {
            "socket" | "rpfilter" | "ipvs" => Truth::Unknown,
            _ => Truth::Yes,
        },
        "--comment" | "--limit" | "--limit-burst" | "-c" => Truth::Yes,
        option if option.starts_with("--hashlimit") => Truth::of(option != "--hashlimit-above"),
        "-i" => packet.comes_from(&interface(value)),
        "-o" => packet.leaves_by(&interface(value)),
        "-p" => packet.has_protocol(value),
        "--dport" | "--dports" | "--destination-port" => {
            packet.has_port(Truth::any(value.split(',').map(|ports| is_port(ports, packet.port))))
        }
        "--state" | "--ctstate" => packet.has_state(value),
        "-s" | "-d" => net(value).map_or(Truth::Unknown, |net| packet.is_in(net)),
        "--dst-type" => Truth::any(value.split(',').map(|kind| packet.has_type(kind))),
        "--src-type" => match value {
            "UNICAST" => Truth::Yes,
            _ => Truth::of(false),
        },
        "--pkt-type" => Truth::of(value == "unicast"),
        "--tcp-flags" if packet.is_forwarded() => Truth::Unknown,
        "--rt-type" | "--tcp-flags" | "--icmp-type" | "--icmpv6-type" => Truth::No,
        _ => Truth::Unknown,
    }
}

/// Returns an interface as nftables writes it. A plus sign stands for anything at the end only (iptables(8)).
fn interface(name: &str) -> String {
    name.strip_suffix('+')
        .map_or_else(|| name.to_owned(), |begin| format!("{begin}*"))
}

fn net(text: &str) -> Option<IpNet> {
    text.parse()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn is_port(ports: &str, port: u16) -> Truth {
    let (from, to) = ports.split_once(':').unwrap_or((ports, ports));
    let bound = |text: &str, open: u16| if text.is_empty() { Ok(open) } else { text.parse() };
    match (bound(from, 0), bound(to, u16::MAX)) {
        (Ok(from), Ok(to)) => Truth::of((from..=to).contains(&port)),
        // A name.
        (Ok(_) | Err(_), Ok(_) | Err(_)) => Truth::Unknown,
    }
}
