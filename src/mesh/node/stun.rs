//! STUN servers as observers of this node: asked by those that have fewer than two others.

use std::net::SocketAddr;

use crate::mesh::base::settings::Host;
use crate::mesh::base::time::Timestamp;
use crate::mesh::node::Node;
use crate::mesh::reach::names::Need;
use crate::mesh::reach::stun::{Answer, Dropped};
use crate::mesh::show::event::{Output, RejectReason};

impl Node {
    /// Asks the STUN servers of the settings from where they see this node, over each family in which too few peers tell it.
    pub(super) fn ask_stun(&mut self, now: Timestamp) {
        if self.settings.stun.is_empty() || !self.probing.is_able() {
            return;
        }
        let is_needed = |ipv6| self.has_family(ipv6) && self.needs_observers(now, ipv6);
        let needed = [is_needed(false), is_needed(true)];
        let servers = self.settings.stun.clone();
        let mut wanted = Vec::new();
        for host in servers.iter().filter(|_| needed.contains(&true)) {
            wanted.extend(self.stun_addresses(now, host, needed));
        }
        let asked = self.stun.ask(now, wanted, &mut self.random);
        let asked = asked.into_iter();
        self.outputs
            .extend(asked.map(|(to, transaction)| Output::Stun { to, transaction }));
        self.links_at = self.links_at.into_iter().chain(self.stun.next()).min();
    }

    /// Returns where a server is, one address for each family that is needed; its name is asked for where that is not known, or wrong.
    fn stun_addresses(&mut self, now: Timestamp, host: &Host, [v4, v6]: [bool; 2]) -> Vec<SocketAddr> {
        let known = self.places.names.addresses(host);
        known.iter().for_each(|address| self.find_route(address.ip()));
        let usable = known
            .iter()
            .filter(|address| self.trust.is_endpoint(address).is_ok() && !self.stun.is_silent(now, address));
        let of = |ipv6: bool| move |address: &&SocketAddr| address.is_ipv6() == ipv6;
        let is_lost = usable.clone().next().is_none();
        // One that is silent is asked again, too, until its name leads elsewhere.
        let first = |ipv6: bool| usable.clone().chain(&known).copied().find(|address| of(ipv6)(&address));
        let v4 = v4.then(|| first(false)).flatten();
        let v6 = v6.then(|| first(true)).flatten();
        let found = v4.into_iter().chain(v6).collect();
        let need = if is_lost { Need::Urgent } else { Need::None };
        if self.places.names.ask(now, host, need) {
            self.outputs.push_back(Output::Resolve(host.clone()));
        }
        found
    }

    /// Takes in what seems to be a server's answer.
    pub(super) fn hear_stun(&mut self, now: Timestamp, source: SocketAddr, answer: Option<Answer>) {
        if !self.probing.is_able() {
            return;
        }
        if let Err(refusal) = self.trust.is_endpoint(&source) {
            return self.reject(now, RejectReason::Refused(refusal), None, source.ip());
        }
        // Only what was asked is heard.
        answer.iter().for_each(|answer| self.find_route(answer.seen.ip()));
        let sound = answer.filter(|answer| self.trust.is_endpoint(&answer.seen).is_ok());
        let sound = sound.ok_or(Dropped::Malformed);
        match sound.and_then(|answer| self.stun.hear(now, source, answer)) {
            Ok(()) => {
                self.agenda.add_peers([*self.auth.public_key()]);
                self.expect_news(now);
            }
            Err(dropped) => self.reject(now, RejectReason::Stun(dropped), None, source.ip()),
        }
    }
}
