//! How long a packet takes from one site to another.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Network;

/// How many packets may be on their way to one site: netem drops the rest.
const ON_THE_WAY: u32 = 10_000;

impl Network {
    /// Lets every packet take so long from one site to another, and so to a hub. The kernel must have netem.
    pub(crate) fn slow_down(&mut self, by: Duration) {
        self.delay = Some(by);
        self.edges_of_the_internet()
            .into_iter()
            .for_each(|edge| self.delay_at(edge));
    }

    /// Delays what goes to an edge. What comes from there goes to another one.
    pub(super) fn delay_at(&self, edge: usize) {
        if let Some(delay) = self.delay {
            let micros = delay.as_micros();
            self.internet.run(&format!(
                "tc qdisc replace dev edge{edge} root netem delay {micros}us limit {ON_THE_WAY}"
            ));
        }
    }

    fn edges_of_the_internet(&self) -> BTreeSet<usize> {
        let nested = |edge: &usize| self.sites.get(*edge).is_some_and(|site| site.behind.is_some());
        let hosts = self.hosts.values().map(|place| place.edge);
        let edges = hosts.chain(self.routers.keys().copied());
        edges.filter(|edge| !nested(edge)).collect()
    }
}
