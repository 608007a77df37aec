//! The rules of nftables, as `nft -j list ruleset` prints them (libnftables-json(5)).

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde_json::Value;

use super::firewall::{DEPTH, Entry, Fate, Packet, Truth};

/// Judges a ruleset. Tables that iptables keeps there are left out where `has_iptables`: what it calls `xt` is not shown here.
pub(super) fn nft(ruleset: &Value, packet: Packet<'_>, has_iptables: bool) -> Entry {
    let ruleset = Ruleset::read(ruleset);
    let judged = ruleset.chains.iter().filter(|chain| is_in_the_way(chain, packet));
    let judged = judged
        .filter(|chain| !has_iptables || !is_of_iptables(chain, packet))
        .map(|chain| {
            let [name, family, table] = ["name", "family", "table"].map(|key| text(chain, key));
            let policy_drops = text(chain, "policy") == "drop";
            Entry::of(&format!("chain {name} of table {family} {table}"), packet, |packet| {
                let mut walk = Walk {
                    ruleset: &ruleset,
                    table: chain,
                    packet,
                    unclear: None,
                };
                let fate = walk.chain(name, DEPTH).at_end(policy_drops);
                (fate, walk.unclear.unwrap_or_default())
            })
        });
    judged.max_by_key(Entry::severity).unwrap_or(Entry::Open)
}

/// Says whether a chain looks at the packet.
fn is_in_the_way(chain: &Value, packet: Packet<'_>) -> bool {
    let family = text(chain, "family");
    let sees = family == "inet" || family == if packet.is_v6() { "ip6" } else { "ip" };
    sees && text(chain, "hook") == packet.hook() && text(chain, "type") == "filter"
}

/// Says whether a chain is one of iptables-nft, whose names are fixed (xtables-nft(8)).
fn is_of_iptables(chain: &Value, packet: Packet<'_>) -> bool {
    matches!(text(chain, "family"), "ip" | "ip6")
        && text(chain, "table") == "filter"
        && text(chain, "name") == packet.chain()
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of[key].as_str().unwrap_or_default()
}

struct Ruleset<'a> {
    chains: Vec<&'a Value>,
    /// By family, table and chain.
    rules: BTreeMap<[&'a str; 3], Vec<&'a [Value]>>,
    /// The elements of named sets and maps, by family, table and name.
    elements: BTreeMap<[&'a str; 3], &'a [Value]>,
}

impl<'a> Ruleset<'a> {
    fn read(ruleset: &'a Value) -> Self {
        let objects = || ruleset["nftables"].as_array().into_iter().flatten();
        let list = |value: &'a Value| value.as_array().map_or(&[][..], Vec::as_slice);
        let mut rules = BTreeMap::<_, Vec<_>>::new();
        for rule in objects().filter_map(|object| object.get("rule")) {
            let place = ["family", "table", "chain"].map(|key| text(rule, key));
            rules.entry(place).or_default().push(list(&rule["expr"]));
        }
        let named = objects().filter_map(|object| object.get("set").or(object.get("map")));
        Self {
            chains: objects().filter_map(|object| object.get("chain")).collect(),
            rules,
            elements: named
                .map(|set| {
                    (
                        ["family", "table", "name"].map(|key| text(set, key)),
                        list(&set["elem"]),
                    )
                })
                .collect(),
        }
    }
}

/// A packet on its way through the chains of one table.
struct Walk<'a> {
    ruleset: &'a Ruleset<'a>,
    /// Names the table.
    table: &'a Value,
    packet: Packet<'a>,
    /// The first match that was not understood.
    unclear: Option<String>,
}

impl<'a> Walk<'a> {
    fn place(&self, name: &'a str) -> [&'a str; 3] {
        [text(self.table, "family"), text(self.table, "table"), name]
    }

    fn chain(&mut self, name: &'a str, depth: usize) -> Fate {
        let Some(depth) = depth.checked_sub(1) else {
            self.unclear
                .get_or_insert("chains that call one another in a circle".to_owned());
            return Fate::ANY;
        };
        let ruleset = self.ruleset;
        let rules = ruleset.rules.get(&self.place(name)).map_or(&[][..], Vec::as_slice);
        let mut fate = Fate::GOES_ON;
        for rule in rules {
            if !fate.may_go_on() {
                break;
            }
            fate = self.rule(fate, rule, depth);
        }
        fate
    }

    fn rule(&mut self, fate: Fate, rule: &'a [Value], depth: usize) -> Fate {
        let (mut is_for_it, mut unclear) = (Truth::Yes, None);
        for part in rule {
            let holds = self.holds(part);
            if holds == Truth::Unknown {
                unclear.get_or_insert_with(|| words(part));
            }
            is_for_it = is_for_it.min(holds);
            if is_for_it == Truth::No {
                return fate;
            }
            let Some(done) = self.verdict(part, depth) else {
                continue;
            };
            let after = fate.then(is_for_it, done);
            if is_for_it == Truth::Unknown && after != fate {
                self.unclear = self.unclear.take().or(unclear);
            }
            return after;
        }
        fate
    }

    /// Returns whether the packet passes a part of a rule.
    fn holds(&self, part: &'a Value) -> Truth {
        if let Some(wanted) = part.get("match") {
            return self.matches(wanted);
        }
        match part {
            // A rate that few packets keep to; one that is exceeded is not that of a new peer.
            _ if part.get("limit").is_some() => Truth::of(part["limit"]["inv"] != true),
            _ if text(&part["xt"], "type") == "match" || part["xt"].is_null() && part.get("xt").is_some() => {
                match text(&part["xt"], "name") {
                    "comment" => Truth::Yes,
                    _ => Truth::Unknown,
                }
            }
            _ if ["quota", "ct count", "ct expectation"]
                .iter()
                .any(|key| part.get(key).is_some()) =>
            {
                Truth::Unknown
            }
            _ => Truth::Yes,
        }
    }

    /// Returns what a part of a rule does, where it ends that.
    fn verdict(&mut self, part: &'a Value, depth: usize) -> Option<Fate> {
        let has = |key: &str| part.get(key).is_some();
        if has("accept") {
            Some(Fate::ACCEPTED)
        } else if has("drop") || has("reject") || text(&part["xt"], "name") == "REJECT" {
            Some(Fate::DROPPED)
        } else if has("return") {
            Some(Fate::RETURNED)
        } else if has("queue") {
            self.unclear.get_or_insert("a program that decides (queue)".to_owned());
            Some(Fate::ANY)
        } else if let Some(call) = part.get("jump") {
            Some(self.chain(text(call, "target"), depth).of_call(false))
        } else if let Some(call) = part.get("goto") {
            Some(self.chain(text(call, "target"), depth).of_call(true))
        } else {
            part.get("vmap").map(|map| self.map(map, depth))
        }
    }

    /// Returns what a map of verdicts does: that of the first key which is the packet's.
    fn map(&mut self, map: &'a Value, depth: usize) -> Fate {
        let mut fate = Fate::GOES_ON;
        for entry in self.values(&map["data"]) {
            // An element with a counter or a remark stands in an object (libnftables-json(5), ELEM).
            let entry = entry.get("elem").map_or(entry, |elem| &elem["val"]);
            let key = entry[0].get("elem").map_or(&entry[0], |elem| &elem["val"]);
            let is = self.is(&map["key"], key);
            if is == Truth::Unknown {
                self.unclear.get_or_insert_with(|| words(&map["key"]));
            }
            let done = self.verdict(&entry[1], depth).unwrap_or(Fate::GOES_ON);
            if is == Truth::Yes {
                return fate.then(is, done);
            }
            fate = fate.then(is, done);
        }
        fate
    }

    fn matches(&self, wanted: &'a Value) -> Truth {
        let (left, right) = (&wanted["left"], &wanted["right"]);
        if is_foreign(left, self.packet) {
            return Truth::No;
        }
        let values = self.values(right);
        let is = Truth::any(values.into_iter().map(|value| self.is(left, value)));
        match text(wanted, "op") {
            "==" | "in" | "" => is,
            "!=" => is.not(),
            _ => Truth::Unknown,
        }
    }

    /// Returns the values of a set, of one with a name, or the one value.
    fn values(&self, right: &'a Value) -> Vec<&'a Value> {
        if let Some(name) = right.as_str().and_then(|name| name.strip_prefix('@')) {
            let elements = self.ruleset.elements.get(&self.place(name));
            return elements.map_or(Vec::new(), |elements| elements.iter().collect());
        }
        let set = right.get("set").unwrap_or(right);
        set.as_array()
            .map_or_else(|| vec![set], |values| values.iter().collect())
    }

    /// Says whether what is looked at has this value in the packet.
    fn is(&self, left: &Value, value: &Value) -> Truth {
        let packet = self.packet;
        let value = value.get("elem").map_or(value, |elem| &elem["val"]);
        if let (Some(parts), Some(values)) = (left["concat"].as_array(), value["concat"].as_array()) {
            return Truth::all(parts.iter().zip(values).map(|(part, value)| self.is(part, value)));
        }
        if is_foreign(left, packet) {
            return Truth::No;
        }
        let word = value.as_str();
        match (text(&left["meta"], "key"), text(&left["payload"], "field")) {
            ("iifname" | "iif", _) => word.map_or(Truth::Unknown, |name| packet.comes_from(name)),
            ("oifname" | "oif", _) => word.map_or(Truth::Unknown, |name| packet.leaves_by(name)),
            ("l4proto", _) | (_, "protocol" | "nexthdr") => match word {
                Some(name) => packet.has_protocol(name),
                None => packet.has_protocol(&value.to_string()),
            },
            ("nfproto" | "protocol", _) => Truth::of(match packet.is_v6() {
                true => value == "ipv6" || value == "ip6" || value == 10,
                false => value == "ipv4" || value == "ip" || value == 2,
            }),
            ("pkttype", _) => Truth::of(value == "host" || value == "unicast"),
            (_, "dport") => packet.has_port(is_port(value, packet.port)),
            (_, "saddr" | "daddr") => net(value).map_or(Truth::Unknown, |net| {
                let is_of_family = text(&left["payload"], "protocol") == if packet.is_v6() { "ip6" } else { "ip" };
                if is_of_family { packet.is_in(net) } else { Truth::No }
            }),
            _ => self.is_of_connection(left, value),
        }
    }

    fn is_of_connection(&self, left: &Value, value: &Value) -> Truth {
        match (text(&left["ct"], "key"), text(&left["fib"], "result")) {
            ("state", _) => value
                .as_str()
                .map_or(Truth::Unknown, |state| self.packet.has_state(state)),
            // A packet to a port of this machine itself was not redirected to it.
            ("status", _) if value == "dnat" || value == "snat" => Truth::No,
            (_, "type") => value.as_str().map_or(Truth::Unknown, |kind| self.packet.has_type(kind)),
            // Whether a route leads back.
            (_, "oif" | "oifname") if value.is_boolean() => Truth::of(value == true),
            _ => Truth::Unknown,
        }
    }
}

/// Says whether a match looks into a packet that is none of UDP, or none of users': of TCP, of ICMP, or with extension headers.
fn is_foreign(left: &Value, packet: Packet<'_>) -> bool {
    let may_be_tcp = packet.is_forwarded();
    if left.get("exthdr").is_some() || (left.get("tcp option").is_some() && !may_be_tcp) {
        return true;
    }
    match left {
        Value::Object(parts) => {
            let protocol = parts.get("payload").map(|payload| text(payload, "protocol"));
            protocol.is_some_and(|protocol| {
                !(matches!(protocol, "udp" | "th" | "ip" | "ip6" | "ether" | "") || may_be_tcp && protocol == "tcp")
            }) || parts.values().any(|part| is_foreign(part, packet))
        }
        Value::Array(parts) => parts.iter().any(|part| is_foreign(part, packet)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn net(value: &Value) -> Option<IpNet> {
    let (address, length) = match value.get("prefix") {
        Some(prefix) => (prefix["addr"].as_str()?, prefix["len"].as_u64()),
        None => (value.as_str()?, None),
    };
    let address = address.parse().ok()?;
    let length = length.map_or(
        Some(if matches!(address, std::net::IpAddr::V4(_)) {
            32
        } else {
            128
        }),
        |length| u8::try_from(length).ok(),
    );
    IpNet::new(address, length?).ok()
}

fn is_port(value: &Value, port: u16) -> Truth {
    let number = |value: &Value| value.as_u64();
    match (number(value), value["range"].as_array()) {
        (Some(one), _) => Truth::of(one == u64::from(port)),
        (None, Some(range)) => {
            let bounds: Vec<u64> = range.iter().filter_map(number).collect();
            match bounds[..] {
                [from, to] => Truth::of((from..=to).contains(&u64::from(port))),
                _ => Truth::Unknown,
            }
        }
        (None, None) => Truth::Unknown,
    }
}

/// Returns what a match looks at, as `nft` would write it.
fn words(part: &Value) -> String {
    let left = part.get("match").map_or(part, |wanted| &wanted["left"]);
    let found = [
        ("meta", "key"),
        ("ct", "key"),
        ("payload", "field"),
        ("fib", "result"),
        ("xt", "name"),
    ];
    let named = found.into_iter().find_map(|(kind, key)| {
        let what = left.get(kind)?;
        let kind = if kind == "payload" {
            text(what, "protocol")
        } else {
            kind
        };
        Some(format!("{kind} {}", text(what, key)))
    });
    named.unwrap_or_else(|| {
        let keys = left.as_object().and_then(|left| left.keys().next());
        keys.cloned().unwrap_or_else(|| "a match".to_owned())
    })
}
