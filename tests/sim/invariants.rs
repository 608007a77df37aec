//! What must hold at any time, whatever happens; what a single change may not do is checked by the world as it is done.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::base::identity::{AddressHash, PublicKey};
use wirelink::mesh::base::prefix::is_routed;
use wirelink::mesh::base::prefixes::Prefixes;
use wirelink::mesh::device::PeerState;
use wirelink::mesh::reach::link::HEALTH_LIMIT;

use crate::host::Host;
use crate::net::HostId;
use crate::program::Program;
use crate::world::World;

/// Checks all of a world; returns what does not hold.
pub(crate) fn check(world: &mut World) -> Result<(), String> {
    for id in 0..world.hosts.len() {
        believed_facts(world, id);
        nothing_refused(world, id);
    }
    check_devices(world)
}

/// Checks what holds of devices even where somebody who is trusted lies about members.
pub(crate) fn check_devices(world: &mut World) -> Result<(), String> {
    for id in 0..world.hosts.len() {
        one_owner_per_prefix(world, id);
        operators_things(world, id);
        own_addresses(world, id);
        planned_again(world, id);
        nothing_harmful(world, id);
    }
    match world.violations.first() {
        Some(first) => Err(format!("{first} (and {} more)", world.violations.len() - 1)),
        None => Ok(()),
    }
}

/// Allowed IPs are one table with one owner per prefix.
fn one_owner_per_prefix(world: &mut World, id: HostId) {
    let mut seen = BTreeSet::new();
    let peers = world.hosts[id].tunnel.device().peers.values();
    let twice = peers
        .flat_map(|peer| &peer.allowed_ips)
        .find(|prefix| !seen.insert(**prefix))
        .copied();
    if let Some(prefix) = twice {
        world.violate(id, &format!("{prefix} has two owners"));
    }
}

/// What the operator made stays, and nothing else does once the node stopped. A v1 node promises none of it.
fn operators_things(world: &mut World, id: HostId) {
    let host = &world.hosts[id];
    if host.is_v1() {
        return;
    }
    let mut wrong: Vec<String> = Vec::new();
    let device = host.tunnel.device();
    for config in &host.config.peers {
        let name = config.key.short();
        let Some(peer) = device.peers.get(&config.key) else {
            wrong.push(format!("the operator's peer {name} is gone"));
            continue;
        };
        if peer.keepalive != config.keepalive {
            wrong.push(format!("the operator's peer {name} has another keepalive"));
        }
        if !config
            .allowed_ips
            .iter()
            .all(|prefix| peer.allowed_ips.contains(prefix))
        {
            wrong.push(format!("the operator's peer {name} has only {:?}", peer.allowed_ips));
        }
        let is_known = world.hosts.iter().any(|other| other.key == config.key);
        if !is_known && (peer.endpoint != config.endpoint || has_more(host, peer, &config.key)) {
            wrong.push(format!("the peer made by hand {name} is {peer:?}"));
        }
    }
    if host.node.is_none() && !host.left_behind {
        wrong.extend(leavings(host));
    }
    wrong.iter().for_each(|wrong| world.violate(id, wrong));
}

/// Nobody else has the address of a host.
fn own_addresses(world: &mut World, id: HostId) {
    let host = &world.hosts[id];
    let own = host.config.inner.iter().map(|net| IpNet::from(net.addr()));
    let lost: Vec<IpNet> = own.filter(|own| host.tunnel.device().owner(own).is_some()).collect();
    for prefix in lost {
        world.violate(id, &format!("what is sent to {prefix}, which is its own, is another's"));
    }
}

/// What facts brought leads neither to where peers are reached nor into a network of the machine, is no default route, and has nothing
/// of what the operator gave to others but where it is a router's.
fn nothing_harmful(world: &mut World, id: HostId) {
    let host = &world.hosts[id];
    if host.is_v1() || host.node.is_none() || host.asleep || host.left_behind {
        return;
    }
    let written = |key: &PublicKey| host.config.peers.iter().find(|peer| peer.key == *key);
    let set = |key: &PublicKey| host.config.settings.peers.get(key).map(|peer| &peer.allowed_ips);
    let by_facts = |key: &PublicKey, prefix: &IpNet| {
        let is_written = written(key).is_some_and(|peer| peer.allowed_ips.contains(prefix));
        let is_set = set(key).is_some_and(|set| set.contains(prefix));
        !is_written && !is_set && *prefix != AddressHash::Sha1.allowed_ip(key)
    };
    let device = host.tunnel.device();
    let mut nets: Vec<IpNet> = host
        .state(world.net.nics(id))
        .interfaces
        .into_iter()
        .filter(|interface| interface.up)
        .flat_map(|interface| interface.addresses)
        .map(|address| address.trunc())
        .collect();
    let session = |peer: &&PeerState| peer.last_handshake.is_some_and(|at| world.now.since(at) < HEALTH_LIMIT);
    let reached = device.peers.values().filter(session).filter_map(|peer| peer.endpoint);
    let reached = reached.chain(host.config.peers.iter().filter_map(|peer| peer.endpoint));
    nets.extend(reached.map(|endpoint| IpNet::from(endpoint.ip())));
    let mut harmful = Vec::new();
    for (key, peer) in &device.peers {
        let is_router = written(key).is_some_and(|peer| peer.allowed_ips.iter().any(is_routed));
        let others = host.config.peers.iter().filter(|other| other.key != *key && !is_router);
        let others: Vec<IpNet> = others.flat_map(|other| other.allowed_ips.clone()).collect();
        for prefix in peer.allowed_ips.iter().filter(|prefix| by_facts(key, prefix)) {
            let meets = nets.iter().any(|net| net.contains(prefix) || prefix.contains(net));
            let is_default = prefix.prefix_len() < 8;
            if meets || is_default || others.iter().any(|other| prefix != other && prefix.contains(other)) {
                harmful.push(format!("{prefix} is with {}", key.short()));
            }
        }
    }
    harmful.iter().for_each(|what| world.violate(id, what));
}

/// While the node runs, a peer may carry its own link-local address, too.
fn has_more(host: &Host, peer: &PeerState, key: &PublicKey) -> bool {
    let config = host.config.peers.iter().find(|peer| peer.key == *key);
    let own = config.into_iter().flat_map(|peer| &peer.allowed_ips).copied();
    let own: Prefixes = own.chain([AddressHash::Sha1.allowed_ip(key)]).collect();
    peer.allowed_ips.difference(&own).next().is_some()
}

fn leavings(host: &Host) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, peer) in &host.tunnel.device().peers {
        let config = host.config.peers.iter().find(|peer| peer.key == *key);
        let found: Prefixes = config.into_iter().flat_map(|peer| &peer.allowed_ips).copied().collect();
        if config.is_none() {
            wrong.push(format!("left the peer {} behind", key.short()));
        } else if found != peer.allowed_ips {
            wrong.push(format!("left {:?} with {}", peer.allowed_ips, key.short()));
        }
    }
    wrong
}

/// Whatever is believed is about somebody that there is: nobody invents keys here.
fn believed_facts(world: &mut World, id: HostId) {
    let node = world.hosts[id].node.as_ref().and_then(Program::ours);
    let Some(node) = node else { return };
    let facts = node.status(world.now).facts;
    let subjects: BTreeSet<PublicKey> = facts.iter().map(|(fact, ..)| fact.subject).collect();
    let known = |key: &PublicKey| {
        let by_operator = |host: &Host| host.key == *key || host.config.peers.iter().any(|peer| peer.key == *key);
        world.hosts.iter().any(by_operator)
    };
    let unknown: Vec<PublicKey> = subjects.into_iter().filter(|key| !known(key)).collect();
    for key in unknown {
        world.violate(id, &format!("facts about {}, whom nobody knows", key.short()));
    }
}

/// How many pieces there may be of what many facts at once bring or take.
const PIECES: usize = 100;
/// How soon a node comes back for the next piece.
const NEXT_PIECE: Duration = Duration::from_millis(25);

/// The plan for a device to which a plan was applied is empty.
fn planned_again(world: &mut World, id: HostId) {
    if world.hosts[id].asleep {
        return;
    }
    for _ in 0..PIECES {
        world.pass(id);
        let node = world.hosts[id].node.as_ref();
        let next = node.and_then(Program::poll_timeout);
        if next.is_none_or(|next| next.at.since(world.now) > NEXT_PIECE) {
            break;
        }
    }
    let before = world.hosts[id].writes;
    world.pass(id);
    if world.hosts[id].writes != before {
        world.violate(id, "the plan after a plan was not empty");
    }
}

/// Whatever nodes of ours say to a v1 node, it can read.
fn nothing_refused(world: &mut World, id: HostId) {
    let refused = world.hosts[id].refused();
    if refused > 0 && !world.lies {
        world.violate(id, &format!("v1 refused {refused} datagrams"));
    }
}
