//! The world outside the tunnel: an internet of network namespaces, with routers made of nftables at its edges.
//!
//! The internet is one router; every edge hangs on it by a /30 of 203.0.113.0/24. Private addresses have no route there, as with
//! any provider. A host has one device, `eth0`, and takes it along when it goes elsewhere.

mod address;
mod cut;
#[allow(dead_code, reason = "for the benchmark alone")]
mod delay;
mod narrow;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::time::Duration;

use self::address::{Lan, V6, gateway, public_address};
use crate::namespace::Namespace;
use crate::router;
use crate::scenario::border::Border;
use crate::scenario::{Name, Scenario, Site};

/// Addresses that mean nothing on the internet, and the ones of peers that do not exist.
const NOWHERE: [&str; 5] = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "203.0.113.192/26",
];

/// The internet, the routers at its edges, and the namespaces of the hosts.
#[derive(Debug)]
pub(crate) struct Network {
    hosts: BTreeMap<Name, Place>,
    /// By edge; none where the host itself stands there.
    routers: BTreeMap<usize, Namespace>,
    internet: Namespace,
    /// The sites of the scenario are the first edges; the ones of the hubs follow, then those that hubs move to.
    sites: Vec<Site>,
    edges: usize,
    /// Whether there is IPv6 at all; then hubs have it.
    ipv6: bool,
    /// How long a packet takes from one site to another, if that is not what the machine takes.
    delay: Option<Duration>,
    cuts: BTreeSet<(Name, Name)>,
    isolated: BTreeSet<Name>,
}

/// Where a host is.
#[derive(Debug)]
struct Place {
    edge: usize,
    /// The number of its port on any LAN.
    port: usize,
    namespace: Namespace,
}

impl Network {
    /// Builds the internet, the sites of a scenario, and its hosts where they are at the beginning.
    pub(crate) fn build(world: &str, scenario: &Scenario) -> Self {
        let is_public = |site: &Site| matches!(site.border, Border::Firewall(_)) || site.ipv6.is_some();
        assert!(
            !scenario
                .sites
                .iter()
                .any(|site| site.behind.is_some() && is_public(site)),
            "{}: public addresses behind a NAT",
            scenario.name
        );
        let internet = Namespace::new(world, "internet");
        internet.forwards();
        for net in NOWHERE {
            internet.run(&format!("ip route add blackhole {net}"));
        }
        let mut network = Self {
            hosts: BTreeMap::new(),
            routers: BTreeMap::new(),
            internet,
            sites: scenario.sites.clone(),
            edges: scenario.sites.len(),
            ipv6: scenario.sites.iter().any(|site| site.ipv6.is_some()),
            delay: None,
            cuts: BTreeSet::new(),
            isolated: BTreeSet::new(),
        };
        network.add_routers(world);
        for hub in &scenario.hubs {
            let edge = network.new_edge();
            network.add_host(world, hub.name, edge);
        }
        for leaf in &scenario.leaves {
            network.add_host(world, leaf.name, leaf.site);
        }
        network
    }

    /// Returns the namespace of a host.
    pub(crate) fn host(&self, name: &str) -> &Namespace {
        &self.place(name).namespace
    }

    /// Returns the router before a host; there must be one.
    pub(crate) fn router_of(&self, name: &str) -> &Namespace {
        &self.routers[&self.place(name).edge]
    }

    /// Returns the address that a host has on the internet, or behind which it is.
    pub(crate) fn public_address(&self, name: &str) -> String {
        let mut edge = self.place(name).edge;
        while let Some(outer) = self.sites.get(edge).and_then(|site| site.behind) {
            edge = outer;
        }
        match self.border(edge) {
            Border::Firewall(_) => self.own_address(name),
            Border::Open | Border::Nat(_) => public_address(edge),
        }
    }

    /// Returns the address that a host has on its own network.
    pub(crate) fn own_address(&self, name: &str) -> String {
        let place = self.place(name);
        if self.routers.contains_key(&place.edge) {
            self.lan(place.edge).address(place.port)
        } else {
            public_address(place.edge)
        }
    }

    /// Returns the IPv6 address that a host has where it is, the same inside and outside.
    pub(crate) fn v6_address(&self, name: &str) -> Option<Ipv6Addr> {
        let Place { edge, port, .. } = *self.place(name);
        let address = if self.routers.contains_key(&edge) {
            V6(edge).behind(port)
        } else {
            V6(edge).edge()
        };
        self.has_v6(edge).then_some(address)
    }

    /// Lets nothing pass between two hosts any more; all else goes on.
    pub(crate) fn cut(&mut self, one: Name, other: Name) {
        self.cuts.insert((one.min(other), one.max(other)));
        self.pass_as_told();
    }

    /// Takes a cut back.
    pub(crate) fn heal(&mut self, one: Name, other: Name) {
        self.cuts.remove(&(one.min(other), one.max(other)));
        self.pass_as_told();
    }

    /// Lets nothing reach a host any more, nor leave it; its own device does not notice.
    pub(crate) fn isolate(&mut self, name: Name) {
        self.isolated.insert(name);
        self.pass_as_told();
    }

    /// Takes that back.
    pub(crate) fn rejoin(&mut self, name: Name) {
        self.isolated.remove(name);
        self.pass_as_told();
    }

    /// Moves hosts to other sites: all leave before the first one arrives.
    pub(crate) fn roam(&mut self, moves: &[(Name, usize)]) {
        for (name, _) in moves {
            self.host(name).run("ip link del dev eth0");
        }
        for (name, site) in moves {
            self.hosts.get_mut(name).expect("a host").edge = *site;
            self.arrive(name);
        }
        self.pass_as_told();
    }

    /// Gives a hub another public address.
    pub(crate) fn renumber(&mut self, hub: Name) {
        let edge = self.new_edge();
        self.roam(&[(hub, edge)]);
    }

    /// Gives a host that is on the internet itself an IPv6 address where it is now, and returns it.
    pub(crate) fn add_ipv6(&self, name: &str) -> String {
        let Place { edge, namespace, .. } = self.place(name);
        let address = |number: u8| format!("2001:db8:{edge:x}::{number}");
        let add = |number| format!("ip addr add {}/64 nodad dev", address(number));
        self.internet.run(&format!("{} edge{edge}", add(1)));
        namespace.run(&format!("{} eth0", add(2)));
        namespace.run(&format!("ip -6 route add default via {}", address(1)));
        address(2)
    }

    fn new_edge(&mut self) -> usize {
        self.edges += 1;
        self.edges - 1
    }

    fn place(&self, name: &str) -> &Place {
        let place = self.hosts.get(name);
        place.unwrap_or_else(|| panic!("no host is called {name}"))
    }

    /// What stands at an edge; the ones of hubs are open.
    fn border(&self, edge: usize) -> Border {
        self.sites.get(edge).map_or(Border::Open, |site| site.border)
    }

    fn has_v6(&self, edge: usize) -> bool {
        self.sites.get(edge).map_or(self.ipv6, |site| site.ipv6.is_some())
    }

    fn add_routers(&mut self, world: &str) {
        for (edge, site) in self.sites.iter().enumerate() {
            let Some(rules) = router::rules(site.border, site.ipv6) else {
                continue;
            };
            let (router, lan) = (Namespace::new(world, &format!("router{edge}")), self.lan(edge));
            router.forwards();
            router.run("ip link add name lan type bridge");
            router.run(&format!("ip addr add {} dev lan", lan.on_interface(0)));
            if site.ipv6.is_some() {
                router.run(&format!("ip addr add {}/64 dev lan nodad", V6(edge).behind(0)));
            }
            router.run("ip link set dev lan up");
            router.filter(&rules);
            self.routers.insert(edge, router);
        }
        for (edge, router) in &self.routers {
            match self.sites[*edge].behind {
                Some(outer) => self.plug_in(router, "wan", outer, self.port_of_router(*edge)),
                None => self.connect(router, "wan", *edge),
            }
        }
    }

    fn add_host(&mut self, world: &str, name: Name, edge: usize) {
        let place = Place {
            edge,
            port: 1 + self.hosts.len(),
            namespace: Namespace::new(world, name),
        };
        self.hosts.insert(name, place);
        self.arrive(name);
    }

    /// Connects a host with where it is now.
    fn arrive(&self, name: &str) {
        let place = self.place(name);
        let Some(router) = self.routers.get(&place.edge) else {
            return self.connect(&place.namespace, "eth0", place.edge);
        };
        self.plug_in(&place.namespace, "eth0", place.edge, place.port);
        if router::forwards_port(self.border(place.edge)) {
            router.filter(&router::forwarding(&self.own_address(name)));
        }
    }

    /// Connects a device with the internet.
    fn connect(&self, namespace: &Namespace, device: &str, edge: usize) {
        let inside = &self.internet;
        namespace.run(&format!(
            "ip link add name {device} type veth peer name edge{edge} netns {}",
            inside.name
        ));
        inside.run(&format!("ip addr add {}/30 dev edge{edge}", gateway(edge)));
        inside.run(&format!("ip link set dev edge{edge} up"));
        self.delay_at(edge);
        namespace.run(&format!("ip addr add {}/30 dev {device}", public_address(edge)));
        namespace.run(&format!("ip link set dev {device} up"));
        namespace.run(&format!("ip route add default via {}", gateway(edge)));
        if let Border::Firewall(_) = self.border(edge) {
            let (net, router) = (self.lan(edge).net(), public_address(edge));
            inside.run(&format!("ip route add {net} via {router}"));
        }
        if self.has_v6(edge) {
            self.connect_v6(namespace, device, edge);
        }
    }

    fn connect_v6(&self, namespace: &Namespace, device: &str, edge: usize) {
        let (inside, v6) = (&self.internet, V6(edge));
        inside.run(&format!("ip addr add {}/64 dev edge{edge} nodad", v6.gateway()));
        namespace.run(&format!("ip addr add {}/64 dev {device} nodad", v6.edge()));
        namespace.run(&format!("ip route add default via {}", v6.gateway()));
        if self.routers.contains_key(&edge) {
            inside.run(&format!("ip route add {} via {}", v6.net_behind(), v6.edge()));
        }
    }

    /// Connects a device with the LAN of a router.
    fn plug_in(&self, namespace: &Namespace, device: &str, edge: usize, port: usize) {
        let (router, lan) = (&self.routers[&edge], self.lan(edge));
        namespace.run(&format!(
            "ip link add name {device} type veth peer name port{port} netns {}",
            router.name
        ));
        router.run(&format!("ip link set dev port{port} master lan up"));
        namespace.run(&format!("ip addr add {} dev {device}", lan.on_interface(port)));
        namespace.run(&format!("ip link set dev {device} up"));
        namespace.run(&format!("ip route add default via {}", lan.address(0)));
        if self.has_v6(edge) {
            let v6 = V6(edge);
            namespace.run(&format!("ip addr add {}/64 dev {device} nodad", v6.behind(port)));
            namespace.run(&format!("ip route add default via {}", v6.behind(0)));
        }
    }

    fn port_of_router(&self, edge: usize) -> usize {
        100 + edge
    }

    /// Returns the addresses behind the router of an edge.
    fn lan(&self, edge: usize) -> Lan {
        let (net, length) = match self.border(edge) {
            Border::Firewall(_) => ("198.51.100".to_owned(), 28),
            _ if self.sites.iter().any(|site| site.behind == Some(edge)) => (format!("100.64.{edge}"), 24),
            Border::Open | Border::Nat(_) => (format!("192.168.{}", 10 + edge), 24),
        };
        let first = if length == 28 { 16 * edge } else { 0 };
        Lan { net, first, length }
    }
}
