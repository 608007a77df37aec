//! Whether rules of nftables let a packet in. A guess that says so: what is not understood counts as a match, so that a rule for a list
//! of addresses, say, is no reason to complain.

use std::collections::BTreeMap;

use serde_json::Value;

/// How deep chains may call one another.
const DEPTH: usize = 16;

/// What should come in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    /// The UDP port that it is for.
    pub(super) port: u16,
    /// The WireGuard interface.
    pub(super) iface: &'a str,
    /// Whether it comes from there, over IPv6; else it comes from anywhere but there.
    pub(super) is_inner: bool,
    /// The state of its connection.
    state: &'static str,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Open,
    /// It comes in as an answer only; by this chain.
    Answers(String),
    /// This chain drops it.
    Closed(String),
}

impl<'a> Packet<'a> {
    /// A packet of WireGuard.
    pub(super) fn outer(port: u16, iface: &'a str) -> Self {
        let (is_inner, state) = (false, "new");
        Self {
            port,
            iface,
            is_inner,
            state,
        }
    }

    /// A packet with facts.
    pub(super) fn inner(port: u16, iface: &'a str) -> Self {
        let is_inner = true;
        Self {
            is_inner,
            ..Self::outer(port, iface)
        }
    }

    /// The same as an answer.
    pub(super) fn as_answer(self) -> Self {
        Self {
            state: "established",
            ..self
        }
    }

    /// Says whether it may come from an interface of this name, where a closing asterisk stands for anything.
    pub(super) fn may_come_from(&self, name: &str) -> bool {
        let is_ours = match name.strip_suffix('*') {
            Some(begin) => self.iface.starts_with(begin),
            None => name == self.iface,
        };
        if self.is_inner {
            is_ours
        } else {
            !is_ours && name != "lo"
        }
    }

    /// Says whether it is in this state, or in one of these, separated by commas.
    pub(super) fn has_state(&self, states: &str) -> bool {
        states
            .split(',')
            .any(|state| state.trim().eq_ignore_ascii_case(self.state))
    }
}

/// Judges the ruleset that `nft -j list ruleset` prints.
pub(super) fn nft(ruleset: &Value, packet: Packet<'_>) -> Entry {
    let ruleset = Ruleset::read(ruleset);
    let inputs = ruleset.chains.iter().filter(|chain| is_in_the_way(chain, packet));
    let judged = inputs.filter(|chain| ruleset.drops_the_rest(chain)).map(|chain| {
        let name = format!(
            "chain {} of table {} {}",
            text(chain, "name"),
            text(chain, "family"),
            text(chain, "table")
        );
        let lets_in = |packet| ruleset.lets_in(chain, text(chain, "name"), packet, DEPTH);
        match (lets_in(packet), lets_in(packet.as_answer())) {
            (true, _) => Entry::Open,
            (false, true) => Entry::Answers(name),
            (false, false) => Entry::Closed(name),
        }
    });
    judged.max_by_key(severity).unwrap_or(Entry::Open)
}

fn severity(entry: &Entry) -> u8 {
    match entry {
        Entry::Open => 0,
        Entry::Answers(_) => 1,
        Entry::Closed(_) => 2,
    }
}

/// Says whether a chain looks at what comes in for this machine. What is in the tunnel is IPv6; WireGuard mostly goes over IPv4.
fn is_in_the_way(chain: &Value, packet: Packet<'_>) -> bool {
    let family = text(chain, "family");
    let sees = match packet.is_inner {
        true => matches!(family, "inet" | "ip6"),
        false => matches!(family, "inet" | "ip"),
    };
    sees && text(chain, "hook") == "input" && text(chain, "type") == "filter"
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of[key].as_str().unwrap_or_default()
}

struct Ruleset<'a> {
    chains: Vec<&'a Value>,
    /// By family, table and chain.
    rules: BTreeMap<[&'a str; 3], Vec<&'a [Value]>>,
}

impl<'a> Ruleset<'a> {
    fn read(ruleset: &'a Value) -> Self {
        let objects = || ruleset["nftables"].as_array().into_iter().flatten();
        let mut rules = BTreeMap::<_, Vec<_>>::new();
        for rule in objects().filter_map(|object| object.get("rule")) {
            let place = ["family", "table", "chain"].map(|key| text(rule, key));
            let expressions = rule["expr"].as_array().map_or(&[][..], Vec::as_slice);
            rules.entry(place).or_default().push(expressions);
        }
        let chains = objects().filter_map(|object| object.get("chain")).collect();
        Self { chains, rules }
    }

    fn rules(&self, of: &'a Value, chain: &'a str) -> &[&'a [Value]] {
        let place = [text(of, "family"), text(of, "table"), chain];
        self.rules.get(&place).map_or(&[], Vec::as_slice)
    }

    /// Says whether what no rule of a chain takes is dropped: by its policy, or by a last rule for all.
    fn drops_the_rest(&self, chain: &'a Value) -> bool {
        let last = self.rules(chain, text(chain, "name")).last();
        let is_for_all = |rule: &&[Value]| {
            let is_verdict = |part: &Value| part.get("drop").or(part.get("reject")).is_some();
            rule.iter().any(is_verdict) && rule.iter().all(|part| part.get("match").is_none())
        };
        text(chain, "policy") == "drop" || last.is_some_and(is_for_all)
    }

    /// Says whether some rule of a chain, or of one that it calls, may accept the packet.
    fn lets_in(&self, of: &'a Value, chain: &'a str, packet: Packet<'_>, depth: usize) -> bool {
        if depth == 0 {
            return true;
        }
        self.rules(of, chain).iter().any(|rule| {
            let matches = rule.iter().filter_map(|part| part.get("match"));
            let fits = matches.into_iter().all(|wanted| fits(wanted, packet));
            fits && rule.iter().any(|part| self.accepts(of, part, packet, depth))
        })
    }

    /// Says whether a statement may accept the packet: a verdict, a call, or a map of verdicts.
    fn accepts(&self, of: &'a Value, part: &'a Value, packet: Packet<'_>, depth: usize) -> bool {
        if part.get("accept").is_some() {
            return true;
        }
        if let Some(map) = part.get("vmap") {
            let Some(entries) = map["data"]["set"].as_array() else {
                // A map with a name: what it holds stands elsewhere.
                return true;
            };
            return entries
                .iter()
                .any(|entry| is_value(&map["key"], &entry[0], packet) && self.accepts(of, &entry[1], packet, depth));
        }
        let called = part.get("jump").or(part.get("goto"));
        called.is_some_and(|call| self.lets_in(of, text(call, "target"), packet, depth - 1))
    }
}

/// Says whether the packet may fit a match.
fn fits(wanted: &Value, packet: Packet<'_>) -> bool {
    let is = is_value(&wanted["left"], &wanted["right"], packet);
    let is_known = is_known(&wanted["left"]);
    match text(wanted, "op") {
        "!=" if is_known => !is,
        _ => is,
    }
}

/// Says whether what a match looks at is understood here.
fn is_known(left: &Value) -> bool {
    let key = left["meta"]["key"].as_str();
    let field = left["payload"]["field"].as_str();
    matches!(key, Some("iifname" | "iif" | "l4proto" | "nfproto"))
        || matches!(field, Some("dport" | "protocol" | "nexthdr"))
        || left["ct"]["key"] == "state"
}

/// Says whether what is looked at may have this value in the packet.
fn is_value(left: &Value, right: &Value, packet: Packet<'_>) -> bool {
    let (meta, payload) = (text(&left["meta"], "key"), &left["payload"]);
    let any = |is: &dyn Fn(&Value) -> bool| values(right).iter().any(|value| is(value));
    let udp = |value: &Value| value == "udp" || value == 17;
    match (meta, text(payload, "field")) {
        ("iifname" | "iif", _) => any(&|value| value.as_str().is_none_or(|name| packet.may_come_from(name))),
        ("l4proto", _) | (_, "protocol" | "nexthdr") => any(&udp),
        ("nfproto", _) => any(&|value| (value == "ipv6") == packet.is_inner),
        // Of TCP, of ICMP.
        (_, field) if !field.is_empty() && !of_udp(text(payload, "protocol")) => false,
        (_, "dport") => any(&|value| is_port(value, packet.port)),
        _ if left["ct"]["key"] == "state" => any(&|value| value.as_str().is_some_and(|state| packet.has_state(state))),
        _ => true,
    }
}

fn of_udp(protocol: &str) -> bool {
    matches!(protocol, "udp" | "th" | "ip" | "ip6" | "ether" | "")
}

/// Returns the values of a set, or the one value.
fn values(right: &Value) -> Vec<&Value> {
    let set = right.get("set").unwrap_or(right);
    set.as_array()
        .map_or_else(|| vec![set], |values| values.iter().collect())
}

fn is_port(value: &Value, port: u16) -> bool {
    let number = |value: &Value| value.as_u64();
    match (number(value), value["range"].as_array()) {
        (Some(one), _) => one == u64::from(port),
        (None, Some(range)) => {
            let bounds: Vec<u64> = range.iter().filter_map(number).collect();
            matches!(bounds[..], [from, to] if (from..=to).contains(&u64::from(port)))
        }
        // A set with a name.
        (None, None) => true,
    }
}
