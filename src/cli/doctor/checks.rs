//! What is made of what was looked at.

use std::time::Duration;

use super::firewall::{Entry, Packet};
use super::forward::forwarding;
use super::look::{Clock, Filter, Rules, Seen, Silence};
use super::{Finding, State};
use crate::advice::{self, Opening, let_in};
use crate::cli::humane;
use crate::daemon::host::Observation;
use crate::daemon::inspect::{self, Inspection, Router};
use crate::mesh::reach::link::shared_key;
use crate::mesh::show::event::PeerName;

/// Capabilities by their numbers (capability.h).
const NET_ADMIN: u32 = 12;
const NET_RAW: u32 = 13;
/// How old the last handshake of a session in use can be: WireGuard renews it after 120 s, and tries for 90 s more.
const HANDSHAKE: Duration = Duration::from_secs(210);
/// What a tunnel adds to each packet: the headers of IPv4 and UDP, and WireGuard's own.
const OVERHEAD: u32 = 60;
/// What IPv6 needs (RFC 8200, 5).
const IPV6_MTU: u32 = 1280;

/// Returns what all checks found.
pub(super) fn all(seen: &Seen) -> Vec<Finding> {
    let mut findings = vec![daemon(seen), settings(seen), capability(seen)];
    if let Some(machine) = &seen.machine {
        findings.push(wireguard(seen, machine));
        if let Ok(device) = &machine.device {
            findings.push(ports(seen, device));
            findings.extend(firewall(seen, device));
        }
        findings.extend(forwarding(seen, machine));
        findings.push(clock(seen.clock));
        if let Some(Ok(host)) = &machine.host {
            findings.push(mtu(host));
            findings.push(ipv6(seen, machine, host));
        }
        findings.extend(names(machine));
        if let Ok(device) = &machine.device {
            findings.push(role(seen, device));
            findings.extend(trust(seen));
            findings.extend(hubs(seen, device));
            findings.extend(keys(seen));
        }
    }
    findings
}

fn daemon(seen: &Seen) -> Finding {
    match &seen.daemon {
        Ok(status) => {
            let up = humane::time(status.node.up_seconds);
            Finding::ok(
                "daemon",
                format!("{} answers for {}, up {up}", status.node.program, seen.iface),
            )
        }
        Err(Silence::NotRunning(why)) => {
            let iface = &seen.iface;
            Finding::fail("daemon", why).remedy(format!("start it: `{}`", advice::start(iface)))
        }
        Err(Silence::Deaf(why)) => Finding::fail("daemon", why)
            .remedy("run this as root or in the group wirelink; where it still does not answer, restart it"),
    }
}

fn settings(seen: &Seen) -> Finding {
    match &seen.settings {
        Ok(Some(file)) => Finding::ok("settings", format!("{file} is right")),
        Ok(None) => Finding::ok("settings", "there is no file, and none is needed"),
        Err(why) => Finding::fail("settings", why).remedy("correct it, and see `wirelink --dump`"),
    }
}

/// Judges what the daemon may do, or else what this process might do in its place.
fn capability(seen: &Seen) -> Finding {
    let remedy = "give it CAP_NET_RAW: AmbientCapabilities= in its unit, or run it as root";
    if let Ok(status) = &seen.daemon {
        return match &status.node.no_probes {
            None => Finding::ok("capability", "peers are probed from WireGuard's own port"),
            Some(why) => {
                Finding::warn("capability", format!("no probes: {why}; each address takes 5 s to try")).remedy(remedy)
            }
        };
    }
    let Some(held) = seen.capabilities else {
        return Finding::unknown("capability", "/proc does not say what this process may do");
    };
    let has = |number: u32| held >> number & 1 == 1;
    match (has(NET_ADMIN), has(NET_RAW)) {
        (true, true) => Finding::ok("capability", "CAP_NET_ADMIN and CAP_NET_RAW are there"),
        (true, false) => Finding::warn("capability", "CAP_NET_RAW is missing: no probes").remedy(remedy),
        (false, _) => Finding::unknown("capability", "this process lacks CAP_NET_ADMIN, and the daemon may not")
            .remedy("run this as root"),
    }
}

fn wireguard(seen: &Seen, machine: &Inspection) -> Finding {
    match &machine.device {
        Ok(device) => Finding::ok("wireguard", format!("{} is {}", seen.iface, device.backend)),
        Err((why, true)) => Finding::unknown("wireguard", why),
        // Each error says what to do.
        Err((why, false)) => Finding::fail("wireguard", why),
    }
}

fn ports(seen: &Seen, device: &inspect::Seen) -> Finding {
    let listen_port = device.listen_port;
    let listed: Vec<String> = match &seen.daemon {
        Ok(status) if !status.node.fact_ports.is_empty() => {
            status.node.fact_ports.iter().map(ToString::to_string).collect()
        }
        Ok(_) | Err(_) => device.ports.iter().map(ToString::to_string).collect(),
    };
    let fallback = seen.daemon.iter().flat_map(|status| &status.node.fact_ports);
    let fallback = fallback.clone().find(|port| port.fallback);
    match (&device.taken[..], fallback) {
        _ if device.ports.is_empty() => Finding::fail(
            "port",
            format!("no port for facts follows from listen port {listen_port}"),
        )
        .remedy("give the interface a listen port from 1 to 65534, or name one with --port"),
        (taken, Some(fallback)) => {
            let holder = taken.first().map_or("another program", |(_, holder)| holder);
            Finding::warn(
                "port",
                format!(
                    "{holder} has the UDP port for facts: they are spoken on port {} instead, which v1 nodes do not know",
                    fallback.port
                ),
            )
            .remedy("end that program, or choose another port on all nodes with `Port`")
        }
        ([(taken, holder), ..], None) if seen.daemon.is_err() => {
            Finding::warn("port", format!("{holder} has UDP port {taken}, which is for facts")).remedy(
                "none needed where the daemon has CAP_NET_RAW: it receives facts beside it; otherwise end that program",
            )
        }
        (_, None) => Finding::ok(
            "port",
            format!(
                "WireGuard listens on {listen_port}, facts go to UDP port {}",
                listed.join(" and ")
            ),
        ),
    }
}

/// Returns the port to which peers send facts.
fn fact_port(seen: &Seen, device: &inspect::Seen) -> Option<u16> {
    let told = seen.daemon.iter().flat_map(|status| &status.node.fact_ports);
    told.map(|port| port.port).chain(device.ports.iter().copied()).next()
}

/// Judges whether the packet filter lets in what comes to WireGuard's port, and facts from the tunnel.
fn firewall(seen: &Seen, device: &inspect::Seen) -> Vec<Finding> {
    let rules = match &seen.rules {
        Rules::Read(rules) => rules,
        Rules::Unreadable(why) => {
            return vec![Finding::unknown("firewall", format!("its rules cannot be read: {why}"))];
        }
    };
    let outer = Packet::outer(device.listen_port, &seen.iface);
    // It is enough that it comes in on one of the ways out.
    let ways: Vec<Packet<'_>> = seen.ways_out.iter().map(|name| outer.coming_from(name)).collect();
    let ways = if ways.is_empty() { vec![outer] } else { ways };
    let judged = ways.into_iter().map(|packet| (packet, rules.judge(packet)));
    let outer = judged.min_by_key(|(_, entry)| entry.severity());
    let facts = fact_port(seen, device).map(|port| Packet::inner(port, &seen.iface));
    let facts = facts.map(|packet| (packet, rules.judge(packet)));
    let judged = [outer, facts].into_iter().flatten();
    let closed: Vec<Finding> = judged
        .filter_map(|(packet, entry)| blocked(rules, packet, entry))
        .collect();
    if closed.is_empty() {
        return vec![Finding::ok(
            "firewall",
            "its rules for what comes in let WireGuard and facts pass",
        )];
    }
    closed
}

fn blocked(rules: &Filter, packet: Packet<'_>, entry: Entry) -> Option<Finding> {
    let what = match packet.is_inner() {
        true => format!("facts from {} (UDP port {})", packet.iface, packet.port),
        false => format!("what comes to WireGuard's UDP port {}", packet.port),
    };
    let opening = match packet.is_inner() {
        true => Opening::Interface(packet.iface),
        false => Opening::Port(packet.port),
    };
    let allow = |chain: &str| format!("allow it: `{}`", let_in(rules.keeper(chain, packet), opening));
    Some(match entry {
        Entry::Open => return None,
        Entry::Unclear(chain, why) => Finding::unknown(
            "firewall",
            format!("whether {chain} lets in {what} depends on {why}, which is not understood here"),
        )
        .remedy(format!("see its rules; where they do not, {}", allow(&chain))),
        Entry::Answers(chain) => Finding::warn(
            "firewall",
            format!("{chain} lets in {what} only where this machine spoke first"),
        )
        .remedy(format!("direct links may fail; {}", allow(&chain))),
        Entry::Closed(chain) => Finding::fail("firewall", format!("{chain} drops {what}")).remedy(allow(&chain)),
    })
}

fn clock(clock: Clock) -> Finding {
    let remedy = "set it, and have it kept (systemd-timesyncd, chrony): peers take what bears an earlier time for old";
    match (clock.built, clock.synchronised) {
        (Some(built), _) if clock.now < built => {
            let behind = humane::time((built - clock.now).as_secs());
            Finding::fail("clock", format!("it is {behind} before this program was built")).remedy(remedy)
        }
        (_, Some(false)) => Finding::warn("clock", "it is not synchronised, says timedatectl").remedy(remedy),
        (_, Some(true)) => Finding::ok("clock", "it is synchronised"),
        (_, None) => Finding::ok(
            "clock",
            "it is later than this program; nobody says whether it is synchronised",
        ),
    }
}

fn mtu(host: &Observation) -> Finding {
    let (name, mtu) = (&host.name, host.mtu);
    let widest = host.uplinks.iter().max_by_key(|(_, mtu)| *mtu);
    match widest {
        // 0 means that the interface bounds nothing.
        _ if (1..IPV6_MTU).contains(&mtu) => {
            Finding::fail("mtu", format!("{name} has MTU {mtu}, and IPv6 needs {IPV6_MTU}"))
                .remedy(format!("`{}`, or MTU= in its file", advice::set_mtu(name, 1420)))
        }
        Some((uplink, outer)) if mtu + OVERHEAD > *outer => {
            let most = outer.saturating_sub(80).max(IPV6_MTU);
            Finding::warn(
                "mtu",
                format!("{name} has MTU {mtu}, too much for {uplink} with {outer}: packets are fragmented"),
            )
            .remedy(format!("`{}`", advice::set_mtu(name, most)))
        }
        Some((uplink, outer)) => Finding::ok("mtu", format!("{name} has {mtu}, {uplink} has {outer}")),
        None => Finding::warn(
            "mtu",
            format!("{name} has {mtu}, and no other interface is up with an address"),
        )
        .remedy("connect this machine to a network"),
    }
}

fn ipv6(seen: &Seen, machine: &Inspection, host: &Observation) -> Finding {
    if !host.up {
        return Finding::fail("ipv6", format!("{} is down", host.name))
            .remedy(format!("`{}`", advice::bring_up(&host.name)));
    }
    if let Err(error) = host.expect_ipv6() {
        return Finding::fail("ipv6", error.to_string());
    }
    let Ok(device) = &machine.device else {
        return Finding::unknown(
            "ipv6",
            "the address follows from the key of the interface, which is not seen",
        );
    };
    let address = device.address;
    let is_there = host.state.tunnel_addresses.iter().any(|net| net.addr() == address);
    match (is_there, seen.daemon.is_ok()) {
        (true, _) => Finding::ok("ipv6", format!("{} has {address}", host.name)),
        (false, false) => Finding::ok("ipv6", format!("{} can have {address}, which wirelink adds", host.name)),
        (false, true) => Finding::fail("ipv6", format!("{} has lost {address}", host.name))
            .remedy("wirelink puts it back; see in its log who takes it off"),
    }
}

fn names(machine: &Inspection) -> Vec<Finding> {
    let failed = machine.names.iter().filter_map(|(name, found)| match found {
        Ok(0) => Some((name, "it has no address")),
        Ok(_) => None,
        Err(why) => Some((name, why.as_str())),
    });
    let failed: Vec<Finding> = failed
        .map(|(name, why)| {
            Finding::fail("names", format!("{name} cannot be looked up: {why}"))
                .remedy("correct Endpoints in the settings, or /etc/resolv.conf")
        })
        .collect();
    match (failed.is_empty(), machine.names.len()) {
        (true, 0) => vec![Finding::ok("names", "there are none to look up")],
        (true, count) => vec![Finding::ok("names", format!("all {count} are found"))],
        (false, _) => failed,
    }
}

/// Says which role this node has and why; the daemon knows better than the look of the device.
fn role(seen: &Seen, device: &inspect::Seen) -> Finding {
    let called = device.role.why.peer().map_or_else(String::new, |key| {
        let known = device.routers.iter().find(|router| router.name.key == *key);
        known.map_or_else(|| key.short(), |router| router.name.to_string())
    });
    let said = seen.daemon.as_ref().map(|status| status.node.role_reason.clone());
    let said = said.ok().filter(|reason| !reason.is_empty());
    let text = said.unwrap_or_else(|| device.role.describe(&called));
    if device.role.why.is_doubtful() && !text.contains("as `Router`") {
        Finding::warn("role", text).remedy("set `Router` in the settings, so that the role is certain: docs/roles.md")
    } else {
        Finding::ok("role", text)
    }
}

/// Says whose word counts for members, where a daemon tells.
fn trust(seen: &Seen) -> Option<Finding> {
    let status = seen.daemon.as_ref().ok()?;
    let reason = &status.node.trust_reason;
    (!reason.is_empty()).then(|| Finding::ok("trust", reason.clone()))
}

/// Names the peers whose private key several machines use.
fn keys(seen: &Seen) -> Vec<Finding> {
    let peers = seen.daemon.iter().flat_map(|status| &status.peers);
    let shared = peers.filter(|peer| peer.shared_key).map(|peer| PeerName {
        key: peer.key,
        name: peer.name.clone(),
    });
    let findings = shared.map(|peer| {
        Finding::fail("keys", format!("several machines use the private key of {peer}")).remedy(shared_key::REMEDY)
    });
    findings.collect()
}

/// Judges when routers were heard last. Without a daemon nobody may have spoken to them.
fn hubs(seen: &Seen, device: &inspect::Seen) -> Vec<Finding> {
    let routes = |router: &&Router| {
        let key = &router.name.key;
        let listed = seen
            .daemon
            .iter()
            .flat_map(|status| &status.peers)
            .find(|peer| peer.key == *key);
        listed.map_or_else(|| device.role.routers.contains(key), |peer| peer.router)
    };
    let routers: Vec<&Router> = device.routers.iter().filter(routes).collect();
    if routers.is_empty() {
        let text = "no peer carries traffic of this node to others: it is a router itself, or has no hub";
        return vec![Finding::ok("hub", text)];
    }
    routers.iter().map(|router| hub(seen.daemon.is_ok(), router)).collect()
}

fn hub(is_running: bool, router: &Router) -> Finding {
    let name = &router.name;
    let place = router
        .endpoint
        .map_or("its endpoint".to_owned(), |endpoint| endpoint.to_string());
    let bad = if is_running { State::Fail } else { State::Warn };
    match (router.handshake, router.endpoint) {
        (Some(age), _) if age < HANDSHAKE => {
            Finding::ok("hub", format!("{name} was heard {} ago", humane::time(age.as_secs())))
        }
        (None, None) => Finding::new("hub", bad, format!("{name} has no endpoint"))
            .remedy("give it one in the settings, or with `wg set`"),
        (Some(age), _) => Finding::new(
            "hub",
            bad,
            format!("{name} was last heard {} ago", humane::time(age.as_secs())),
        )
        .remedy(format!("see whether {place} is right, and UDP may pass")),
        (None, Some(_)) => Finding::new("hub", bad, format!("{name} was never heard")).remedy(format!(
            "see whether {place} and the keys on both sides are right, and UDP may pass"
        )),
    }
}
