//! What is cut, and how the filters are brought to it.

use std::collections::BTreeSet;

use super::{Network, Place};
use crate::namespace::Namespace;
use crate::router;

impl Network {
    /// Brings all filters to what is cut and isolated, wherever the hosts are now.
    pub(super) fn pass_as_told(&self) {
        let at_routers = self.routers.iter().map(|(edge, router)| (router, self.cuts_at(*edge)));
        let on_internet = (&self.internet, self.cuts_on_the_internet());
        for (namespace, rules) in at_routers.chain([on_internet]) {
            let chain = format!("chain between {{ type filter hook forward priority filter; policy accept\n{rules} }}");
            namespace.filter(&router::replace("inet", "cut", &chain));
        }
        self.switch_as_told();
    }

    /// Returns the rules of a router between its hosts and others; it alone sees which of its hosts it is.
    fn cuts_at(&self, edge: usize) -> String {
        let both = self.cuts.iter().flat_map(|(one, other)| [(one, other), (other, one)]);
        let here = both.filter(|(one, other)| self.place(one).edge == edge && self.meeting(one, other).is_empty());
        here.map(|(one, other)| {
            let v4 = drop_between("ip", &self.own_address(one), &self.public_address(other));
            v4 + &self.drop_between_v6(one, other)
        })
        .collect()
    }

    fn cuts_on_the_internet(&self) -> String {
        let stands_there = |name: &str| !self.routers.contains_key(&self.place(name).edge);
        let cuts = self
            .cuts
            .iter()
            .filter(|(one, other)| stands_there(one) && stands_there(other));
        let cuts = cuts.map(|(one, other)| {
            let v4 = drop_between("ip", &self.public_address(one), &self.public_address(other));
            v4 + &self.drop_between_v6(one, other)
        });
        let lonely = self.isolated.iter().filter(|name| stands_there(name));
        let lonely = lonely.map(|name| {
            let v6 = self.v6_address(name);
            let v6 = v6.map(|address| drop_between("ip6", &address.to_string(), "::/0"));
            drop_between("ip", &self.public_address(name), "0.0.0.0/0") + &v6.unwrap_or_default()
        });
        cuts.chain(lonely).collect()
    }

    fn drop_between_v6(&self, one: &str, other: &str) -> String {
        let both = self.v6_address(one).zip(self.v6_address(other));
        let rules = both.map(|(one, other)| drop_between("ip6", &one.to_string(), &other.to_string()));
        rules.unwrap_or_default()
    }

    /// Isolated ports of a bridge reach the bridge itself, here the router, but not each other; ports without a bridge reach
    /// nobody.
    fn switch_as_told(&self) {
        let apart: BTreeSet<(usize, usize)> = self
            .cuts
            .iter()
            .flat_map(|(one, other)| self.meeting(one, other))
            .collect();
        for (name, place) in &self.hosts {
            let Some(router) = self.routers.get(&place.edge) else {
                continue;
            };
            let master = if self.isolated.contains(name) {
                "nomaster"
            } else {
                "master lan"
            };
            router.run(&format!("ip link set dev port{} {master}", place.port));
            if master != "nomaster" {
                set_apart(router, place.port, apart.contains(&(place.edge, place.port)));
            }
        }
        for (edge, site) in self.sites.iter().enumerate() {
            if let Some(outer) = site.behind {
                let port = self.port_of_router(edge);
                set_apart(&self.routers[&outer], port, apart.contains(&(outer, port)));
            }
        }
    }

    /// Returns the two ports of one LAN by which two hosts reach each other, if there is one.
    fn meeting(&self, one: &str, other: &str) -> Vec<(usize, usize)> {
        let (one, other) = (self.place(one), self.place(other));
        let behind = |place: &Place| self.sites.get(place.edge).and_then(|site| site.behind);
        match (behind(one), behind(other)) {
            _ if one.edge == other.edge => vec![(one.edge, one.port), (other.edge, other.port)],
            (Some(outer), Some(same)) if outer == same => [one, other]
                .map(|place| (outer, self.port_of_router(place.edge)))
                .to_vec(),
            (Some(_) | None, Some(_) | None) => Vec::new(),
        }
    }
}

fn drop_between(family: &str, one: &str, other: &str) -> String {
    let drop = |from, to| format!("{family} saddr {from} {family} daddr {to} drop\n");
    drop(one, other) + &drop(other, one)
}

fn set_apart(router: &Namespace, port: usize, apart: bool) {
    let isolated = if apart { "on" } else { "off" };
    router.run(&format!(
        "ip link set dev port{port} type bridge_slave isolated {isolated}"
    ));
}
