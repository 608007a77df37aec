//! What the operator wrote on every host before anybody heard of wirelink: hub and spoke.

use crate::scenario::{Leaf, Name, Scenario};
use crate::tunnel::{Inner, Keys, PORT, PeerLines, Written};

/// A host as its operator set it up.
pub(crate) struct Setup {
    pub(crate) name: Name,
    pub(crate) written: Written,
    /// The peer of which only this operator knows.
    pub(crate) by_hand: PeerLines,
}

/// Writes the configuration of all hosts, hubs first; `address` tells where a hub is reached.
pub(crate) fn write(scenario: &Scenario, address: impl Fn(&str) -> String) -> Vec<Setup> {
    let drafts: Vec<Draft> = drafts(scenario);
    let (hubs, leaves) = drafts.split_at(scenario.hubs.len());
    let at_hub = |at: usize| {
        let others = hubs.iter().enumerate().filter(move |(index, _)| *index != at);
        let others = others.map(|(_, hub)| hub.as_hub(hub.inner.of_hub(), &address));
        let known = leaves
            .iter()
            .zip(&scenario.leaves)
            .filter(move |(_, leaf)| leaf.hubs.contains(&at));
        others
            .chain(known.map(|(draft, _)| draft.as_leaf()))
            .collect::<Vec<_>>()
    };
    let at_leaf = |leaf: &Leaf| {
        let known = leaf.hubs.iter().map(|index| &hubs[*index]);
        let knows_all = leaf.hubs.len() == hubs.len();
        let nets = |hub: &Draft| if knows_all { hub.inner.of_hub() } else { hub.inner.all() };
        known.map(|hub| hub.as_hub(nets(hub), &address)).collect::<Vec<_>>()
    };
    let peers = (0..hubs.len()).map(at_hub).chain(scenario.leaves.iter().map(at_leaf));
    let peers: Vec<Vec<PeerLines>> = peers.collect();
    let with_number = (0u8..).zip(drafts).zip(peers);
    with_number
        .map(|((number, draft), peers)| draft.finish(number, peers))
        .collect()
}

/// A host before its peers are known.
struct Draft {
    name: Name,
    keys: Keys,
    inner: Inner,
}

fn drafts(scenario: &Scenario) -> Vec<Draft> {
    let number = |index: usize| u8::try_from(index).expect("a scenario is small");
    let draft = |name, hub, host| Draft {
        name,
        keys: Keys::generate(),
        inner: Inner::of(number(hub), host, scenario.tunnel_ipv6),
    };
    let hubs = scenario.hubs.iter().enumerate();
    let hubs = hubs.map(|(index, hub)| draft(hub.name, index, 1));
    let leaves = scenario.leaves.iter().zip(2u8..);
    hubs.chain(leaves.map(|(leaf, host)| draft(leaf.name, leaf.hubs[0], host)))
        .collect()
}

impl Draft {
    /// Returns the host as others have it that reach it at an address, and keep its door open.
    fn as_hub(&self, allowed_ips: Vec<ipnet::IpNet>, address: impl Fn(&str) -> String) -> PeerLines {
        PeerLines {
            endpoint: Some(format!("{}:{PORT}", address(self.name))),
            keepalive: Some(25),
            allowed_ips,
            ..self.as_leaf()
        }
    }

    /// Returns the host as its hubs have it: it calls them.
    fn as_leaf(&self) -> PeerLines {
        PeerLines {
            public_key: self.keys.public.clone(),
            preshared_key: None,
            allowed_ips: self.inner.own(),
            endpoint: None,
            keepalive: None,
        }
    }

    fn finish(self, number: u8, mut peers: Vec<PeerLines>) -> Setup {
        let by_hand = PeerLines::by_hand(number);
        peers.push(by_hand.clone());
        let (keys, inner) = (self.keys, self.inner);
        Setup {
            name: self.name,
            written: Written {
                keys,
                inner,
                peers,
                port: PORT,
            },
            by_hand,
        }
    }
}
