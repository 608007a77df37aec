//! The world outside the tunnel: an internet of network namespaces, with home routers made of nftables.
//!
//! The internet is one router; every site hangs on it by a /30 of 203.0.113.0/24. Private addresses have no route there,
//! as with any provider.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::scenario::{Nat, Site};

/// The namespaces of this program are called `wllab-<process>-<world>-<name>`.
pub(crate) const PREFIX: &str = "wllab-";

/// A router that drops what nobody asked for, for itself too: a packet that it answered or counted as a flow of its own
/// would take the mapping away from the leaf that punches towards it.
const HOME_ROUTER: &str = "
table inet home {
    chain to_router { type filter hook input priority filter; policy drop
        ct state established,related accept
        iifname lan accept
    }
    chain through { type filter hook forward priority filter; policy drop
        ct state established,related accept
        iifname lan accept
    }
    chain outward { type nat hook postrouting priority srcnat
        oifname wan masquerade
    }
}";

/// A network namespace; it goes, with all that is in it, when this is dropped.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace with a working loopback.
    pub(crate) fn new(world: &str, name: &str) -> Self {
        let name = format!("{world}-{name}");
        command::run(&format!("ip netns add {name}"));
        let namespace = Self { name };
        namespace.run("ip link set dev lo up");
        namespace
    }

    /// Returns what a thread opens to enter it.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Makes a command that runs inside and is killed with the thread that starts it, even if that is killed itself.
    pub(crate) fn command(&self, line: &str) -> Command {
        command::words(&format!("ip netns exec {} setpriv --pdeathsig KILL {line}", self.name))
    }

    /// Runs a line of words inside, to its end.
    pub(crate) fn attempt(&self, line: &str) -> Result<String, String> {
        self.attempt_with(line, "")
    }

    /// Runs a line of words inside, to its end, with something to read.
    pub(crate) fn attempt_with(&self, line: &str, input: &str) -> Result<String, String> {
        let name = &self.name;
        // `ip` enters by itself, which saves a program; in an emulated guest that counts.
        let line = match line.strip_prefix("ip ") {
            Some(rest) => format!("ip -n {name} {rest}"),
            None => format!("ip netns exec {name} {line}"),
        };
        command::attempt_with(command::words(&line), input)
    }

    /// Runs a line of words inside that must succeed.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> String {
        self.attempt(line).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Adds netfilter rules.
    fn filter(&self, rules: &str) {
        self.attempt_with("nft -f -", rules)
            .unwrap_or_else(|error| panic!("{error}"));
    }

    fn forwards(&self) {
        self.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = command::attempt(command::words(&format!("ip netns del {}", self.name)));
    }
}

/// The internet, the routers at its edge, and the namespaces of the hosts.
#[derive(Debug)]
pub(crate) struct Network {
    /// By site; the hub's first. `None` where the host itself stands at the edge.
    routers: Vec<Option<Namespace>>,
    hosts: Vec<Place>,
    internet: Namespace,
}

/// Where a host is.
#[derive(Debug)]
struct Place {
    name: &'static str,
    site: usize,
    /// The number of its port on the LAN of its site.
    port: usize,
    namespace: Namespace,
}

impl Network {
    /// Builds the internet with the hub on the first public address, and the sites on the next.
    pub(crate) fn build(world: &str, hub: &'static str, sites: &[Site]) -> Self {
        let internet = Namespace::new(world, "internet");
        internet.forwards();
        for private in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "203.0.113.192/26"] {
            internet.run(&format!("ip route add blackhole {private}"));
        }
        let mut network = Self {
            routers: Vec::new(),
            hosts: Vec::new(),
            internet,
        };
        network.add_public(world, hub);
        for site in sites {
            match (site.nat, site.leaves) {
                (Nat::None, [leaf]) => network.add_public(world, leaf),
                (Nat::None, _) => panic!("a site without a NAT has one leaf, which has the public address"),
                (Nat::Home, leaves) => network.add_home(world, leaves),
            }
        }
        network
    }

    /// Returns the namespace of a host.
    pub(crate) fn host(&self, name: &str) -> &Namespace {
        &self.place(name).namespace
    }

    /// Returns the public address behind which a host is.
    pub(crate) fn public_address(&self, name: &str) -> String {
        public_address(self.place(name).site)
    }

    /// Returns the address that a host has on its own network.
    pub(crate) fn own_address(&self, name: &str) -> String {
        let place = self.place(name);
        match self.routers[place.site] {
            Some(_) => lan_address(place.site, place.port),
            None => public_address(place.site),
        }
    }

    /// Lets nothing pass between two leaves any more, nor between their sites; all else goes on.
    pub(crate) fn cut(&self, a: &str, b: &str) {
        if self.place(a).site == self.place(b).site {
            return self.isolate(a, b, "on");
        }
        let (one, other) = (self.public_address(a), self.public_address(b));
        self.internet.filter(&format!(
            "table ip cut {{ chain between {{
                type filter hook forward priority filter; policy accept
                ip saddr {one} ip daddr {other} drop
                ip saddr {other} ip daddr {one} drop
            }}
            }}"
        ));
    }

    /// Takes the cut back.
    pub(crate) fn heal(&self, a: &str, b: &str) {
        if self.place(a).site == self.place(b).site {
            return self.isolate(a, b, "off");
        }
        self.internet.filter("delete table ip cut");
    }

    /// Isolated ports of a bridge reach the bridge itself, here the router, but not each other.
    fn isolate(&self, a: &str, b: &str, isolated: &str) {
        for place in [self.place(a), self.place(b)] {
            let router = self.routers[place.site]
                .as_ref()
                .expect("two leaves of a site have a router");
            let port = place.port;
            router.run(&format!(
                "ip link set dev port{port} type bridge_slave isolated {isolated}"
            ));
        }
    }

    fn place(&self, name: &str) -> &Place {
        let place = self.hosts.iter().find(|place| place.name == name);
        place.unwrap_or_else(|| panic!("no host is called {name}"))
    }

    fn add_public(&mut self, world: &str, name: &'static str) {
        let (namespace, site) = (Namespace::new(world, name), self.routers.len());
        self.connect(&namespace, site);
        self.routers.push(None);
        self.hosts.push(Place {
            name,
            site,
            port: 0,
            namespace,
        });
    }

    fn add_home(&mut self, world: &str, leaves: &[&'static str]) {
        let site = self.routers.len();
        let router = Namespace::new(world, &format!("router{site}"));
        self.connect(&router, site);
        router.run("ip link add name lan type bridge");
        router.run(&format!("ip addr add {}/24 dev lan", lan_address(site, 0)));
        router.run("ip link set dev lan up");
        router.forwards();
        router.filter(HOME_ROUTER);
        for (port, name) in (1..).zip(leaves) {
            let namespace = Namespace::new(world, name);
            plug_in(&router, &namespace, site, port);
            self.hosts.push(Place {
                name,
                site,
                port,
                namespace,
            });
        }
        self.routers.push(Some(router));
    }

    /// Connects the edge of a site with the internet.
    fn connect(&self, edge: &Namespace, site: usize) {
        let inside = &self.internet;
        edge.run(&format!(
            "ip link add name wan type veth peer name site{site} netns {}",
            inside.name
        ));
        inside.run(&format!("ip addr add {}/30 dev site{site}", gateway(site)));
        inside.run(&format!("ip link set dev site{site} up"));
        edge.run(&format!("ip addr add {}/30 dev wan", public_address(site)));
        edge.run("ip link set dev wan up");
        edge.run(&format!("ip route add default via {}", gateway(site)));
    }
}

/// Connects a leaf with the LAN of its router.
fn plug_in(router: &Namespace, leaf: &Namespace, site: usize, port: usize) {
    leaf.run(&format!(
        "ip link add name eth0 type veth peer name port{port} netns {}",
        router.name
    ));
    router.run(&format!("ip link set dev port{port} master lan up"));
    leaf.run(&format!("ip addr add {}/24 dev eth0", lan_address(site, port)));
    leaf.run("ip link set dev eth0 up");
    leaf.run(&format!("ip route add default via {}", lan_address(site, 0)));
}

fn gateway(site: usize) -> String {
    format!("203.0.113.{}", 4 * site + 1)
}

fn public_address(site: usize) -> String {
    format!("203.0.113.{}", 4 * site + 2)
}

/// Port 0 is the router itself.
fn lan_address(site: usize, port: usize) -> String {
    format!("192.168.{}.{}", 10 + site, 1 + port)
}
