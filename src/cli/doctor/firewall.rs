//! Whether a packet filter lets a packet in, or through. Rules are followed in their order; a match that is not understood is an answer of its own,
//! so that neither "open" nor "closed" is said where nobody can know.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// How deep chains may call one another (the kernel's NFT_JUMP_STACK_SIZE).
pub(super) const DEPTH: usize = 16;

/// Link-local addresses, between which facts travel (RFC 4291, 2.5.6).
const LINK_LOCAL: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);

/// Whether a rule is for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Truth {
    No,
    Unknown,
    Yes,
}

impl Truth {
    pub(super) const fn of(is_so: bool) -> Self {
        if is_so { Self::Yes } else { Self::No }
    }

    pub(super) const fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
            Self::Yes => Self::No,
        }
    }

    /// Returns whether any of some is so.
    pub(super) fn any(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().max().unwrap_or(Self::No)
    }

    /// Returns whether all of some are so.
    pub(super) fn all(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().min().unwrap_or(Self::Yes)
    }
}

/// The possible fates of a packet: one of these, or several where a match was not understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    accepted: bool,
    dropped: bool,
    /// It goes back to the chain that called this one.
    returned: bool,
    /// It goes on to the next rule.
    goes_on: bool,
}

impl Fate {
    const NONE: Self = Self {
        accepted: false,
        dropped: false,
        returned: false,
        goes_on: false,
    };
    pub(super) const ACCEPTED: Self = Self {
        accepted: true,
        ..Self::NONE
    };
    pub(super) const DROPPED: Self = Self {
        dropped: true,
        ..Self::NONE
    };
    pub(super) const RETURNED: Self = Self {
        returned: true,
        ..Self::NONE
    };
    pub(super) const GOES_ON: Self = Self {
        goes_on: true,
        ..Self::NONE
    };
    /// Nobody can know.
    pub(super) const ANY: Self = Self {
        accepted: true,
        dropped: true,
        returned: false,
        goes_on: true,
    };

    /// Returns what may become of it behind a rule that is for it, or not, and does this.
    pub(super) fn then(self, is_for_it: Truth, rule: Self) -> Self {
        if !self.goes_on || is_for_it == Truth::No {
            return self;
        }
        Self {
            accepted: self.accepted || rule.accepted,
            dropped: self.dropped || rule.dropped,
            returned: self.returned || rule.returned,
            goes_on: rule.goes_on || is_for_it == Truth::Unknown,
        }
    }

    /// Returns whether it may still come to the next rule.
    pub(super) const fn may_go_on(self) -> bool {
        self.goes_on
    }

    /// Returns what a chain with this fate does to a packet that jumps there, or goes there for good.
    pub(super) const fn of_call(self, is_for_good: bool) -> Self {
        let comes_back = self.goes_on || self.returned;
        Self {
            returned: comes_back && is_for_good,
            goes_on: comes_back && !is_for_good,
            ..self
        }
    }

    /// Returns what becomes of it at the end of the first chain.
    pub(super) const fn at_end(self, policy_drops: bool) -> Self {
        let is_left = self.goes_on || self.returned;
        Self {
            accepted: self.accepted || (is_left && !policy_drops),
            dropped: self.dropped || (is_left && policy_drops),
            ..Self::NONE
        }
    }
}

/// The use of a packet, on which its way through the filter depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// WireGuard's own, over IPv4, from anywhere but the tunnel.
    Outer,
    /// Facts, over IPv6, from the tunnel.
    Facts,
    /// The first of a flow of users' from one peer to another, of TCP or UDP: out of the tunnel and back into it.
    Forwarded { is_v6: bool },
}

/// A packet that should come in, or pass through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    /// The UDP port that it is for.
    pub(super) port: u16,
    /// The WireGuard interface.
    pub(super) iface: &'a str,
    kind: Kind,
    /// The interface from which it comes, where that is known.
    from: Option<&'a str>,
    /// The state of its connection.
    state: &'static str,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Open,
    /// It depends on something that is not understood here, in this chain.
    Unclear(String, String),
    /// It comes in as an answer only; by this chain.
    Answers(String),
    /// This chain drops it.
    Closed(String),
}

impl Entry {
    /// Judges a chain by what it does to a packet, and to the same as an answer. The function also says what was not understood.
    pub(super) fn of<'a>(name: &str, packet: Packet<'a>, mut pass: impl FnMut(Packet<'a>) -> (Fate, String)) -> Self {
        let (fate, unclear) = pass(packet);
        match (fate.accepted, fate.dropped) {
            (true, false) | (false, false) => Self::Open,
            (true, true) => Self::Unclear(name.to_owned(), unclear),
            (false, true) => match pass(packet.as_answer()).0 {
                answered if answered.accepted => Self::Answers(name.to_owned()),
                _ => Self::Closed(name.to_owned()),
            },
        }
    }

    /// Orders what several chains do, each of which the packet has to pass.
    pub(super) fn severity(&self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Unclear(..) => 1,
            Self::Answers(_) => 2,
            Self::Closed(_) => 3,
        }
    }
}

impl<'a> Packet<'a> {
    /// A packet of WireGuard.
    pub(super) fn outer(port: u16, iface: &'a str) -> Self {
        Self {
            port,
            iface,
            kind: Kind::Outer,
            from: None,
            state: "new",
        }
    }

    /// The same from a certain interface.
    pub(super) fn coming_from(self, name: &'a str) -> Self {
        Self {
            from: Some(name),
            ..self
        }
    }

    /// A packet with facts.
    pub(super) fn inner(port: u16, iface: &'a str) -> Self {
        Self {
            kind: Kind::Facts,
            from: Some(iface),
            ..Self::outer(port, iface)
        }
    }

    /// A packet from one peer to another.
    pub(super) fn forwarded(is_v6: bool, iface: &'a str) -> Self {
        Self {
            kind: Kind::Forwarded { is_v6 },
            from: Some(iface),
            ..Self::outer(0, iface)
        }
    }

    /// Returns whether it is a packet with facts.
    pub(super) fn is_inner(&self) -> bool {
        self.kind == Kind::Facts
    }

    pub(super) const fn is_v6(&self) -> bool {
        matches!(self.kind, Kind::Facts | Kind::Forwarded { is_v6: true })
    }

    pub(super) const fn is_forwarded(&self) -> bool {
        matches!(self.kind, Kind::Forwarded { .. })
    }

    /// Returns the hook of the chains that it passes, as nftables writes it.
    pub(super) const fn hook(&self) -> &'static str {
        if self.is_forwarded() { "forward" } else { "input" }
    }

    /// Returns the chain of iptables at this hook.
    pub(super) const fn chain(&self) -> &'static str {
        if self.is_forwarded() { "FORWARD" } else { "INPUT" }
    }

    /// Says whether it is of a protocol, by its name or number.
    pub(super) fn has_protocol(&self, protocol: &str) -> Truth {
        match protocol {
            "all" => Truth::Yes,
            "udp" | "17" | "tcp" | "6" if self.is_forwarded() => Truth::Unknown,
            "udp" | "17" => Truth::Yes,
            _ => Truth::No,
        }
    }

    /// Says whether it is for a port that is ours, or not. Users' packets are for any port.
    pub(super) const fn has_port(&self, is_ours: Truth) -> Truth {
        if self.is_forwarded() { Truth::Unknown } else { is_ours }
    }

    /// Says whether an address of it is of a type, as routes call them (ip-route(8)).
    pub(super) fn has_type(&self, kind: &str) -> Truth {
        let expected = if self.is_forwarded() { "unicast" } else { "local" };
        Truth::of(kind.eq_ignore_ascii_case(expected))
    }

    /// Says whether it leaves by an interface of this name.
    pub(super) fn leaves_by(&self, name: &str) -> Truth {
        if self.is_forwarded() {
            self.comes_from(name)
        } else {
            Truth::Unknown
        }
    }

    /// The same as an answer.
    pub(super) fn as_answer(self) -> Self {
        Self {
            state: "established",
            ..self
        }
    }

    /// Says whether it comes from an interface of this name, where a closing asterisk stands for anything.
    pub(super) fn comes_from(&self, name: &str) -> Truth {
        let (begin, is_glob) = name.strip_suffix('*').map_or((name, false), |begin| (begin, true));
        let is = |of: &str| if is_glob { of.starts_with(begin) } else { of == begin };
        match self.from {
            Some(from) => Truth::of(is(from)),
            None if begin.is_empty() && is_glob => Truth::Yes,
            // "wg*" is for tunnels.
            None if name == "lo" || is(self.iface) => Truth::No,
            None => Truth::Unknown,
        }
    }

    /// Says whether its state is one of these, separated by commas.
    pub(super) fn has_state(&self, states: &str) -> Truth {
        let mut states = states.split(',');
        Truth::of(states.any(|state| state.trim().eq_ignore_ascii_case(self.state)))
    }

    /// Says whether one of its addresses, either of them, is in a network.
    pub(super) fn is_in(&self, net: IpNet) -> Truth {
        let is_v6 = matches!(net, IpNet::V6(_));
        if is_v6 != self.is_v6() {
            return Truth::No;
        }
        if net.prefix_len() == 0 {
            return Truth::Yes;
        }
        let (first, length) = (net.network(), net.prefix_len());
        match first {
            IpAddr::V6(first) if self.is_forwarded() => {
                // Users' addresses are global (2000::/3, less 6to4's) or unique local (fc00::/7); no network in between has both.
                let begin = first.segments()[0];
                let is_users = (begin & 0xe000 == 0x2000 && begin != 0x2002) || begin & 0xfe00 == 0xfc00;
                if is_users || length < 8 {
                    Truth::Unknown
                } else {
                    Truth::No
                }
            }
            IpAddr::V6(first) => {
                let (link_local, shortest) = LINK_LOCAL;
                let covers = length <= 64 && net.contains(&IpAddr::V6(link_local));
                let is_part = length > shortest && first.is_unicast_link_local();
                if covers {
                    Truth::Yes
                } else if is_part {
                    Truth::Unknown
                } else {
                    Truth::No
                }
            }
            // None of these is the address of another machine, or of this one from there.
            IpAddr::V4(first) if first.is_loopback() || first.is_multicast() || first.octets()[0] >= 240 => Truth::No,
            IpAddr::V4(_) => Truth::Unknown,
        }
    }
}
