//! The interface of one host: made, taken away and written anew while the rest of the lab goes on.

use ipnet::IpNet;
use rustix::process::Signal;

use super::{Found, Lab};
use crate::tunnel::{Interface, PORT, Written};

impl Lab {
    /// Takes the interface of a host away, with all that WireGuard knows.
    pub(crate) fn unmake_interface(&mut self, name: &str) {
        let host = self.hosts.get_mut(name).expect("a host");
        if let Some(interface) = host.interface.take() {
            interface.unmake(self.network.host(name));
        }
    }

    /// Makes the interface of a host as its operator wrote it.
    pub(crate) fn make_interface(&mut self, name: &str) {
        let host = self.hosts.get_mut(name).expect("a host");
        let namespace = self.network.host(name);
        host.interface = Some(Interface::make(&host.name, namespace, &host.written, &self.logs));
    }

    /// Takes the interface of a host for its own that something else made under the same name.
    pub(crate) fn adopt_interface(&mut self, name: &str) {
        let host = self.hosts.get_mut(name).expect("a host");
        let adopted = || Interface::made_by_another(&host.name);
        // One that was taken before, under the same name, stands for this one as well.
        host.interface.get_or_insert_with(adopted);
    }

    /// Gives the device of a host all that its operator wrote, and nothing else, as `wg syncconf` does.
    pub(crate) fn configure_anew(&self, name: &str) {
        let host = &self.hosts[name];
        let interface = host.interface.as_ref().expect("there is an interface");
        interface.configure(self.namespace(name), &host.written);
    }

    /// Takes IPv4 away from the leaves: they reach their hubs by IPv6 alone.
    pub(crate) fn leave_ipv4(&self) {
        for leaf in self.leaves() {
            for hub in self.hubs_of(leaf) {
                let address = self.network.v6_address(hub).expect("the scenario has IPv6");
                let (interface, key) = (self.interface(leaf), self.public_key(hub));
                self.namespace(leaf)
                    .run(&format!("wg set {interface} peer {key} endpoint [{address}]:{PORT}"));
            }
            self.namespace(leaf).run("ip -4 addr flush dev eth0");
        }
    }

    /// Returns what the operator of a host wrote.
    pub(crate) fn written(&self, name: &str) -> &Written {
        &self.hosts[name].written
    }

    /// Compares one host with what was taken down, but for addresses that the kernel gives to an interface each time it is made.
    pub(crate) fn expect_as_found_on(&self, name: &str) {
        let (found, now) = (&self.found[name], self.found(name));
        assert_eq!(now.device, found.device, "{name}: as it was found");
        let own = |found: &Found| {
            let own = |net: &&IpNet| !matches!(net, IpNet::V6(net) if net.addr().is_unicast_link_local());
            found.addresses.iter().filter(own).copied().collect::<Vec<_>>()
        };
        assert_eq!(own(&now), own(found), "{name}: as it was found");
        assert!(
            !now.addresses.contains(&self.link_local(name)),
            "{name}: our address is gone"
        );
    }

    /// Has the daemon of a host log what it knows.
    pub(crate) fn signal_report(&self, name: &str) {
        let daemon = self.hosts[name].daemon.as_ref();
        daemon.expect("wirelink runs there").signal(Signal::USR1);
    }
}
