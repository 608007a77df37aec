//! The ports on which facts are spoken: they follow from the listen port of WireGuard, and from where the routers are.

use std::collections::BTreeSet;
use std::fmt;

use ipnet::IpNet;

use crate::mesh::base::settings::Settings;
use crate::mesh::believe::role;
use crate::mesh::device::DeviceState;

/// One port, and others where the first is probably not that of the other nodes (see [`Socket`](super::socket::Socket)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    /// The port that belongs to this node.
    pub(super) first: u16,
    /// The port that would follow from the listen port, where the operator chose another one: nodes that know nothing of the choice send
    /// there.
    pub(super) derived: Option<u16>,
    /// The port that the routers probably have.
    pub(super) second: Option<u16>,
}

/// A port on which facts are to be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) port: u16,
    /// Whether nobody else may have it meanwhile.
    pub(super) hold: bool,
}

impl Ports {
    /// Returns the ports for a device as it is, or `None` where no port follows from its listen port.
    pub(super) fn of(settings: &Settings, device: &DeviceState, own: &[IpNet]) -> Option<Self> {
        let first = settings.fact_port(device.listen_port)?;
        let by_default = Settings::default().fact_port(device.listen_port);
        let derived = by_default.filter(|port| *port != first);
        let is_ours = |port: &u16| *port == first || Some(*port) == derived;
        Some(Self {
            first,
            derived,
            second: at_routers(settings, device, own)
                .filter(|ports| !ports.iter().any(is_ours))
                .and_then(|ports| ports.first().copied()),
        })
    }

    /// Returns the ports for the device as it is now. Where the routers cannot be seen any more, their port stays.
    pub(super) fn follow(self, settings: &Settings, device: &DeviceState, own: &[IpNet]) -> Option<Self> {
        let now = Self::of(settings, device, own)?;
        let kept = self
            .second
            .filter(|port| *port != now.first && Some(*port) != now.derived)
            .filter(|_| at_routers(settings, device, own).is_none());
        Some(Self {
            second: now.second.or(kept),
            ..now
        })
    }

    /// Returns all of them.
    pub(super) fn all(self) -> impl Iterator<Item = u16> {
        [self.first].into_iter().chain(self.derived).chain(self.second)
    }

    /// Returns how to receive on all of them. A port that the operator chose is ours to hold; one that only follows from other ports is
    /// left to whoever may want it, where the machine is `crowded` by another WireGuard interface, or the operator chose another one.
    pub(super) fn wants(self, crowded: bool) -> Vec<Want> {
        let chosen = self.derived.is_some();
        let hold = |port: u16| {
            if port == self.first {
                chosen || !crowded
            } else {
                !chosen && !crowded
            }
        };
        let want = |port| Want { port, hold: hold(port) };
        self.all().map(want).collect()
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {}", self.first)?;
        if let Some(derived) = self.derived {
            write!(f, " and {derived}, WireGuard's next")?;
        }
        self.second
            .map_or(Ok(()), |second| write!(f, " and {second}, the routers'"))
    }
}

/// Returns the ports for facts that follow from where the routers are; `None` where no endpoint of a router is known.
///
/// Without a `ListenPort` WireGuard takes any port, and then no node listens where the others send.
fn at_routers(settings: &Settings, device: &DeviceState, own: &[IpNet]) -> Option<BTreeSet<u16>> {
    let routers = role::of_device(settings, device, own).routers;
    let routers = routers.iter().filter_map(|key| device.peers.get(key));
    let endpoints = routers.filter_map(|peer| peer.endpoint);
    let ports: BTreeSet<u16> = endpoints
        .filter_map(|endpoint| endpoint.port().checked_add(1))
        .collect();
    (!ports.is_empty()).then_some(ports)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::base::identity::PublicKey;
    use crate::mesh::device::PeerState;

    const HUB: (&str, &str) = ("192.0.2.1:51820", "10.0.0.0/24");
    const LEAF: (&str, &str) = ("192.0.2.2:7", "10.0.0.2/32");
    const OTHER_HUB: (&str, &str) = ("192.0.2.3:40000", "10.1.0.0/24");

    /// The addresses of a leaf of both hubs.
    fn own() -> [IpNet; 2] {
        ["10.0.0.9/24", "10.1.0.9/24"].map(|net| net.parse().unwrap())
    }

    fn device(listen_port: u16, peers: &[(&str, &str)]) -> DeviceState {
        let mut device = DeviceState::new(PublicKey::from_bytes([0; 32]), listen_port);
        for (number, (endpoint, prefix)) in (1..).zip(peers) {
            let peer = PeerState {
                endpoint: Some(endpoint.parse().unwrap()),
                allowed_ips: [prefix.parse().unwrap()].into(),
                ..PeerState::default()
            };
            device.peers.insert(PublicKey::from_bytes([number; 32]), peer);
        }
        device
    }

    fn of(port: Option<u16>, device: &DeviceState) -> Option<Ports> {
        let settings = Settings {
            port,
            ..Settings::default()
        };
        Ports::of(&settings, device, &own())
    }

    const fn ports(first: u16, second: Option<u16>) -> Option<Ports> {
        let derived = None;
        Some(Ports { first, derived, second })
    }

    #[test]
    fn a_port_that_no_router_has_is_doubtful() {
        for (listen_port, peers, expected) in [
            (40_000, &[HUB, LEAF][..], ports(40_001, Some(51_821))),
            (51_820, &[HUB, LEAF], ports(51_821, None)),
            (40_000, &[HUB, OTHER_HUB], ports(40_001, None)),
            (40_000, &[LEAF], ports(40_001, None)),
            (0, &[HUB], None),
            (65_535, &[HUB], None),
        ] {
            assert_eq!(
                of(None, &device(listen_port, peers)),
                expected,
                "{listen_port} {peers:?}"
            );
        }
    }

    #[test]
    fn chosen_port_leaves_the_usual_ones_open_to_others() {
        let want = |port, hold| Want { port, hold };
        let wants = |port, device: &DeviceState, crowded| of(port, device).unwrap().wants(crowded);
        let leaf = device(40_000, &[HUB]);
        let all = [want(7, true), want(40_001, false), want(51_821, false)];
        assert_eq!(
            wants(Some(7), &leaf, false),
            all,
            "those who do not know of it are heard"
        );
        assert_eq!(wants(Some(7), &leaf, true), all);
        let hub = device(51_820, &[LEAF]);
        assert_eq!(wants(Some(7), &hub, false), [want(7, true), want(51_821, false)]);
        assert_eq!(wants(Some(51_821), &hub, false), [want(51_821, true)], "the usual one");
        assert_eq!(wants(None, &leaf, false), [want(40_001, true), want(51_821, true)]);
        assert_eq!(wants(None, &leaf, true), [want(40_001, false), want(51_821, false)]);
    }

    #[test]
    fn the_ports_follow_the_device_but_not_into_the_dark() {
        let settings = Settings::default();
        let before = of(None, &device(40_000, &[HUB])).unwrap();
        let follow =
            |listen_port, peers: &[(&str, &str)]| before.follow(&settings, &device(listen_port, peers), &own());
        assert_eq!(follow(40_000, &[HUB]), Some(before));
        assert_eq!(follow(40_007, &[HUB]), ports(40_008, Some(51_821)));
        assert_eq!(follow(51_820, &[HUB]), ports(51_821, None));
        assert_eq!(follow(40_000, &[]), Some(before), "the routers are out of sight");
        assert_eq!(follow(51_820, &[]), ports(51_821, None), "and it is the first now");
        assert_eq!(follow(0, &[HUB]), None);
    }
}
