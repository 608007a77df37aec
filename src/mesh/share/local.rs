//! What this node itself knows and says: about itself, about what it sees of its peers, and what its operator wrote.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ipnet::IpNet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::prefix::{is_global_unicast, is_reserved};
use crate::mesh::base::settings::{PeerSettings, Settings, TrustLevel};
use crate::mesh::believe::fact::value::{Metadata, Probes, Value};
use crate::mesh::believe::fact::{Fact, FirstHand};
use crate::mesh::device::host::{HostState, Interface};
use crate::mesh::device::{DeviceState, PeerState};

/// What the facts are made from.
pub struct View<'a> {
    /// What the operator wrote.
    pub settings: &'a Settings,
    /// The device.
    pub device: &'a DeviceState,
    /// The machine.
    pub host: &'a HostState,
    /// Whether this node routes for others.
    pub router: bool,
    /// What the operator trusts this node itself with.
    pub own_level: Option<TrustLevel>,
    /// Peers with a live session.
    pub healthy: &'a BTreeSet<PublicKey>,
    /// Whether a peer is on the device because of facts: to say so again would keep them alive for ever.
    pub peer_is_ours: &'a dyn Fn(&PublicKey) -> bool,
    /// Whether a peer has a prefix because of facts.
    pub prefix_is_ours: &'a dyn Fn(&PublicKey, &IpNet) -> bool,
    /// Where others see it.
    pub reflexive: Vec<SocketAddr>,
    /// What this node announces of its probes, if it has any.
    pub probes: Option<Probes>,
    /// The addresses that the operator's endpoints of a peer have now, in the settings or in the file of wg-quick.
    pub resolved: &'a dyn Fn(&PublicKey) -> Vec<SocketAddr>,
}

/// Returns the facts about one node that hold now: this one, a peer, or one that the operator wrote about.
pub fn facts_about(view: &View<'_>, subject: &PublicKey) -> Vec<(Fact, FirstHand)> {
    let mut facts = Vec::new();
    let mut add = |subject: PublicKey, value: Value, source: FirstHand| facts.push((Fact { subject, value }, source));
    if *subject == view.device.public_key {
        about_itself(view, &mut add);
    }
    if let Some(peer) = view.device.peers.get(subject) {
        about_peer(view, subject, peer, &mut add);
    }
    if let Some(peer) = view.settings.peers.get(subject) {
        about_configured(subject, peer, &mut add);
    }
    if *subject != view.device.public_key && !view.healthy.contains(subject) {
        let endpoints = (view.resolved)(subject).into_iter();
        endpoints.for_each(|endpoint| add(*subject, Value::Endpoint(endpoint), FirstHand::Configured));
    }
    facts
}

type Add<'a> = dyn FnMut(PublicKey, Value, FirstHand) + 'a;

fn about_itself(view: &View<'_>, add: &mut Add<'_>) {
    let own = view.device.public_key;
    for endpoint in own_endpoints(view).into_iter().chain(view.reflexive.iter().copied()) {
        add(own, Value::Endpoint(endpoint), FirstHand::Observed);
    }
    if let Some(probes) = view.probes {
        add(own, Value::Probes(probes), FirstHand::Observed);
    }
    let has_own_prefixes = view
        .settings
        .peers
        .get(&own)
        .is_some_and(|peer| !peer.allowed_ips.is_empty());
    if view.router && !has_own_prefixes {
        for prefix in view.host.tunnel_addresses.iter().filter(|prefix| !is_reserved(prefix)) {
            add(own, Value::AllowedIp(prefix.trunc()), FirstHand::Observed);
        }
    }
}

fn own_endpoints(view: &View<'_>) -> BTreeSet<SocketAddr> {
    let port = view.device.listen_port;
    let told = view
        .host
        .interfaces
        .iter()
        .filter(|interface| interface.up && port != 0 && is_told(view, interface));
    let addresses = told.flat_map(|interface| interface.addresses.iter().map(IpNet::addr));
    addresses
        .filter(|address| is_global_unicast(*address) && !view.host.deprecated.contains(address))
        .map(|address| SocketAddr::new(address, port))
        .collect()
}

fn is_told(view: &View<'_>, interface: &Interface) -> bool {
    let report = &view.settings.report_ifaces;
    let hidden = view
        .settings
        .hide_ifaces
        .iter()
        .any(|glob| glob.matches(&interface.name));
    let named = report.iter().any(|glob| glob.matches(&interface.name));
    // Of another network's tunnel nobody here needs to know, and two tunnels must not be told to go through each other.
    let is_inner = interface.wireguard || interface.leads_inside();
    !hidden && (named || report.is_empty() && !is_inner)
}

fn about_peer(view: &View<'_>, key: &PublicKey, peer: &PeerState, add: &mut Add<'_>) {
    if view.healthy.contains(key) {
        peer.endpoint
            .into_iter()
            .for_each(|endpoint| add(*key, Value::Endpoint(endpoint), FirstHand::Observed));
    }
    if may_say(view, TrustLevel::AllowedIPs) {
        let told = peer
            .allowed_ips
            .iter()
            .filter(|prefix| !is_reserved(prefix) && !(view.prefix_is_ours)(key, prefix));
        told.for_each(|prefix| add(*key, Value::AllowedIp(*prefix), FirstHand::Observed));
    }
    let named = view.settings.peers.contains_key(key);
    if may_say(view, TrustLevel::Membership) && !named && !(view.peer_is_ours)(key) {
        add(*key, Value::Member, FirstHand::Observed);
    }
}

fn may_say(view: &View<'_>, level: TrustLevel) -> bool {
    view.router || view.own_level >= Some(level)
}

fn about_configured(key: &PublicKey, peer: &PeerSettings, add: &mut Add<'_>) {
    let metadata = Metadata::new(peer.name.as_deref(), peer.basic);
    add(*key, Value::MemberMetadata(metadata), FirstHand::Configured);
    let prefixes = peer.allowed_ips.iter().filter(|prefix| !is_reserved(prefix));
    prefixes.for_each(|prefix| add(*key, Value::AllowedIp(prefix.trunc()), FirstHand::Configured));
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: PublicKey = PublicKey::from_bytes([0; 32]);
    const A: PublicKey = PublicKey::from_bytes([1; 32]);
    const B: PublicKey = PublicKey::from_bytes([2; 32]);

    struct World {
        settings: Settings,
        device: DeviceState,
        host: HostState,
        router: bool,
        own_level: Option<TrustLevel>,
    }

    impl World {
        fn new() -> Self {
            let mut device = DeviceState::new(OWN, 51820);
            for (key, last) in [(A, 2), (B, 3)] {
                let allowed_ips = [format!("10.0.0.{last}/32"), format!("fe80::{last}/128")];
                device.peers.insert(
                    key,
                    PeerState {
                        endpoint: Some(SocketAddr::from(([192, 0, 2, last], 7))),
                        allowed_ips: allowed_ips.iter().map(|text| text.parse().unwrap()).collect(),
                        ..PeerState::default()
                    },
                );
            }
            let interface = |name: &str, up, addresses: &[&str]| Interface {
                name: name.into(),
                up,
                addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
                wireguard: false,
            };
            let host = HostState {
                interfaces: vec![
                    interface("lo", true, &["127.0.0.1/8", "::1/128"]),
                    interface("eth0", true, &["198.51.100.7/24", "fe80::7/64", "2001:db8::7/64"]),
                    interface("eth1", false, &["198.51.101.7/24"]),
                    interface("docker0", true, &["172.17.0.1/16"]),
                ],
                tunnel_addresses: vec!["10.0.0.1/24".parse().unwrap(), "fe80::9/64".parse().unwrap()],
                ..HostState::default()
            };
            Self {
                settings: Settings::default(),
                device,
                host,
                router: false,
                own_level: None,
            }
        }

        /// Facts as text: subject by its first byte, and whether configured.
        fn said(&self) -> Vec<String> {
            let said = all_facts(&View {
                settings: &self.settings,
                device: &self.device,
                host: &self.host,
                router: self.router,
                own_level: self.own_level,
                healthy: &[A].into(),
                peer_is_ours: &|_| false,
                prefix_is_ours: &|_, _| false,
                reflexive: Vec::new(),
                probes: None,
                resolved: &|key| {
                    let written = self.settings.peers.get(key).into_iter();
                    written.map(|_| "203.0.113.9:1".parse().unwrap()).collect()
                },
            });
            let mut text: Vec<String> = said.iter().map(|(fact, source)| describe(fact, *source)).collect();
            text.sort();
            text
        }
    }

    fn all_facts(view: &View<'_>) -> Vec<(Fact, FirstHand)> {
        let mut subjects: BTreeSet<PublicKey> = view.device.peers.keys().copied().collect();
        subjects.insert(OWN);
        subjects.extend(view.settings.peers.keys());
        subjects.iter().flat_map(|subject| facts_about(view, subject)).collect()
    }

    fn describe(fact: &Fact, source: FirstHand) -> String {
        let value = match &fact.value {
            Value::Endpoint(endpoint) => endpoint.to_string(),
            Value::AllowedIp(prefix) => prefix.to_string(),
            Value::Member => "member".into(),
            Value::MemberMetadata(metadata) => format!("{:?} basic={}", metadata.name(), metadata.is_basic()),
            Value::Alive(_)
            | Value::Digest { .. }
            | Value::Holdings(_)
            | Value::Reset(_)
            | Value::Withdrawn(_)
            | Value::Probes(_)
            | Value::Signal(_)
            | Value::Heartbeat(_)
            | Value::Echo(_)
            | Value::Denied(_) => {
                unreachable!("no local fact")
            }
        };
        let source = if source == FirstHand::Configured {
            " configured"
        } else {
            ""
        };
        format!("{} {value}{source}", fact.subject.as_bytes()[0])
    }

    #[test]
    fn a_leaf_says_where_it_is_and_where_it_sees_peers_with_a_session() {
        assert_eq!(
            World::new().said(),
            ["0 198.51.100.7:51820", "0 [2001:db8::7]:51820", "1 192.0.2.2:7"]
        );
    }

    #[test]
    fn an_address_that_had_its_day_is_told_to_nobody() {
        let mut world = World::new();
        world.host.deprecated = ["2001:db8::7".parse().unwrap()].into();
        assert_eq!(world.said(), ["0 198.51.100.7:51820", "1 192.0.2.2:7"]);
    }

    #[test]
    fn interfaces_are_hidden_and_chosen_by_glob() {
        let mut world = World::new();
        world.settings.hide_ifaces = vec![glob::Pattern::new("eth*").unwrap()];
        assert_eq!(world.said(), ["1 192.0.2.2:7"]);
        world.settings.hide_ifaces.clear();
        world.settings.report_ifaces = vec![glob::Pattern::new("dock?r0").unwrap()];
        assert_eq!(world.said(), ["0 172.17.0.1:51820", "1 192.0.2.2:7"]);
    }

    #[test]
    fn the_tunnel_of_another_network_is_told_to_nobody_unless_the_operator_names_it() {
        let mut world = World::new();
        let before = world.said();
        let mut other = world.host.interfaces[1].clone();
        (other.name, other.wireguard) = ("wg1".into(), true);
        other.addresses = vec!["10.7.0.1/24".parse().unwrap()];
        world.host.interfaces.push(other);
        assert_eq!(world.said(), before);
        world.settings.report_ifaces = vec![glob::Pattern::new("wg*").unwrap()];
        assert_eq!(world.said(), ["0 10.7.0.1:51820", "1 192.0.2.2:7"]);
    }

    #[test]
    fn a_router_says_who_is_a_member_and_what_is_behind_whom() {
        let mut world = World::new();
        world.host.interfaces.clear();
        world.router = true;
        assert_eq!(
            world.said(),
            [
                "0 10.0.0.0/24",
                "1 10.0.0.2/32",
                "1 192.0.2.2:7",
                "1 member",
                "2 10.0.0.3/32",
                "2 member"
            ]
        );
    }

    #[test]
    fn a_node_that_is_trusted_says_as_much_as_its_level_allows() {
        let mut world = World::new();
        world.host.interfaces.clear();
        world.own_level = Some(TrustLevel::AllowedIPs);
        assert_eq!(world.said(), ["1 10.0.0.2/32", "1 192.0.2.2:7", "2 10.0.0.3/32"]);
        world.own_level = Some(TrustLevel::Membership);
        assert!(world.said().contains(&"2 member".to_owned()));
    }

    #[test]
    fn what_the_operator_wrote_is_said_and_endpoints_only_while_there_is_no_session() {
        let mut world = World::new();
        world.host.interfaces.clear();
        for (key, name) in [(OWN, "own"), (A, "a"), (B, "b")] {
            world.settings.peers.insert(
                key,
                PeerSettings {
                    name: Some(name.into()),
                    allowed_ips: vec![format!("10.{}.0.0/16", key.as_bytes()[0]).parse().unwrap()],
                    ..PeerSettings::default()
                },
            );
        }
        assert_eq!(
            world.said(),
            [
                "0 10.0.0.0/16 configured",
                "0 Some(\"own\") basic=false configured",
                "1 10.1.0.0/16 configured",
                "1 192.0.2.2:7",
                "1 Some(\"a\") basic=false configured",
                "2 10.2.0.0/16 configured",
                "2 203.0.113.9:1 configured",
                "2 Some(\"b\") basic=false configured",
            ]
        );
    }

    #[test]
    fn what_facts_brought_is_not_said_again() {
        let mut world = World::new();
        world.host = HostState::default();
        world.router = true;
        let said = all_facts(&View {
            settings: &world.settings,
            device: &world.device,
            host: &world.host,
            router: true,
            own_level: None,
            healthy: &BTreeSet::new(),
            peer_is_ours: &|key| *key == A,
            prefix_is_ours: &|key, _| *key == A,
            reflexive: Vec::new(),
            probes: None,
            resolved: &|_| Vec::new(),
        });
        assert!(said.iter().all(|(fact, _)| fact.subject == B), "{said:?}");
        assert_eq!(said.len(), 2);
    }
}
