//! What it says, and to whom.

use std::time::Duration;

use chacha20::rand_core::Rng as _;
use wirelink::mesh::base::identity::{AddressHash, PublicKey};
use wirelink::mesh::base::settings::TrustLevel;
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::show::event::{Interface, Output};

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::trust::is_global;
use super::wire::{self, Fact, Timed, Value};
use super::{FACT_TTL, Node, TICK};

/// How often a sign of life is due.
const ALIVE_PERIOD: Duration = Duration::from_secs(30);
/// The longest name that is sent, in bytes.
const NAME_LEN: usize = 16;

impl Node {
    /// Returns what it knows itself.
    pub(super) fn local_facts(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        let mut add = |subject: &PublicKey, value: Value| {
            let subject = *subject;
            facts.push(Fact { subject, value });
        };
        self.about_itself(&mut add);
        self.about_peers(&mut add);
        self.about_configured(&mut add);
        facts
    }

    fn about_itself(&self, add: &mut dyn FnMut(&PublicKey, Value)) {
        let shown = self
            .host
            .interfaces
            .iter()
            .filter(|interface| interface.up && self.is_shown(interface));
        for address in shown.flat_map(|interface| &interface.addresses).map(|net| net.addr()) {
            if is_global(address) && self.device.listen_port != 0 {
                add(
                    &self.own,
                    Value::Endpoint(SocketAddr::new(address, self.device.listen_port)),
                );
            }
        }
        let configured = self.settings.peers.get(&self.own);
        if self.routes() && configured.is_none_or(|own| own.allowed_ips.is_empty()) {
            for prefix in self
                .host
                .tunnel_addresses
                .iter()
                .filter(|prefix| !is_link_local(prefix.addr()))
            {
                add(&self.own, Value::AllowedIp(prefix.trunc()));
            }
        }
    }

    fn is_shown(&self, interface: &Interface) -> bool {
        let Self { settings, .. } = self;
        let hidden = settings.hide_ifaces.iter().any(|glob| glob.matches(&interface.name));
        let chosen = settings.report_ifaces.iter().any(|glob| glob.matches(&interface.name));
        !hidden && (chosen || settings.report_ifaces.is_empty())
    }

    fn about_peers(&self, add: &mut dyn FnMut(&PublicKey, Value)) {
        let says = |level: TrustLevel| self.routes() || self.own_level() >= Some(level);
        let (prefixes, members) = (says(TrustLevel::AllowedIPs), says(TrustLevel::Membership));
        for (key, state) in &self.device.peers {
            if let Some(endpoint) = state
                .endpoint
                .filter(|_| self.peers.get(key).is_some_and(|peer| peer.healthy))
            {
                add(key, Value::Endpoint(endpoint));
            }
            for prefix in state
                .allowed_ips
                .iter()
                .filter(|prefix| prefixes && !is_link_local(prefix.addr()))
            {
                add(key, Value::AllowedIp(*prefix));
            }
            if members && !self.settings.peers.contains_key(key) {
                add(key, Value::Member);
            }
        }
    }

    fn about_configured(&self, add: &mut dyn FnMut(&PublicKey, Value)) {
        for (key, configured) in &self.settings.peers {
            let mut items = BTreeMap::new();
            if let Some(name) = &configured.name {
                let mut name: String = name.chars().filter(|c| !c.is_control()).collect();
                name.truncate(name.floor_char_boundary(NAME_LEN));
                items.insert(b'n', name.into_bytes());
            }
            if configured.basic {
                items.insert(b'b', vec![1]);
            }
            add(key, Value::Metadata(items));
            for prefix in &configured.allowed_ips {
                add(key, Value::AllowedIp(*prefix));
            }
            let healthy = self.peers.get(key).is_some_and(|peer| peer.healthy);
            for endpoint in self.configured_endpoints(key) {
                if !healthy && *key != self.own {
                    add(key, Value::Endpoint(endpoint));
                }
            }
        }
    }

    /// Says to each peer what it needs.
    pub(super) fn say(&mut self, now: Timestamp) {
        let with_endpoint = self.device.peers.iter().filter(|(_, state)| state.endpoint.is_some());
        let recipients: Vec<PublicKey> = with_endpoint.map(|(key, _)| *key).collect();
        for recipient in recipients {
            let mut told = if self.hears_all(&recipient) {
                self.needed(now, &recipient)
            } else {
                Vec::new()
            };
            let peer = self.peers.entry(recipient).or_default();
            let alive_due = peer.alive_told.is_none_or(|at| now.since(at) >= ALIVE_PERIOD);
            for (fact, expires) in &told {
                peer.knows.insert(fact.clone(), *expires);
            }
            if !alive_due && told.is_empty() {
                continue;
            }
            let alive = Fact {
                subject: self.own,
                value: Value::Alive(self.boot_id),
            };
            told.push((alive, now + FACT_TTL));
            self.send(now, &recipient, &told, alive_due);
        }
    }

    fn hears_all(&self, peer: &PublicKey) -> bool {
        let exchanger = self.settings.peers.get(peer).is_some_and(|peer| peer.fact_exchanger);
        let talkative = self.settings.chatty || self.routes();
        self.level(peer) >= Some(TrustLevel::AllowedIPs)
            || self.is_router(peer)
            || exchanger
            || talkative && self.peers.get(peer).is_some_and(|peer| peer.healthy)
    }

    /// Returns the facts that a peer lacks, or will forget within half a life and a tick while they last longer here.
    fn needed(&self, now: Timestamp, recipient: &PublicKey) -> Vec<(Fact, Timestamp)> {
        let present = |key: &PublicKey| {
            self.peers
                .get(key)
                .is_some_and(|peer| peer.healthy || peer.is_alive(now))
        };
        let meant = self.facts.iter().filter(|(fact, _)| {
            let about_it = fact.subject == *recipient && !matches!(fact.value, Value::Metadata(_));
            !about_it && (fact.subject == self.own || present(&fact.subject))
        });
        let knows = self.peers.get(recipient).map(|peer| &peer.knows);
        let lacks = |fact: &Fact, expires: Timestamp| {
            let until = knows.and_then(|knows| knows.get(fact)).copied();
            until.is_none_or(|until| until < expires && until <= now + FACT_TTL / 2 + TICK)
        };
        meant
            .filter(|(fact, expires)| lacks(fact, **expires))
            .map(|(fact, expires)| (fact.clone(), *expires))
            .collect()
    }

    /// Puts facts into groups; the sign of life, the last of them, makes a group of its own only where it is due.
    fn send(&mut self, now: Timestamp, recipient: &PublicKey, told: &[(Fact, Timestamp)], alive_due: bool) {
        let mut groups: Vec<Vec<u8>> = Vec::new();
        for (fact, expires) in told {
            let ttl = u16::try_from(expires.since(now).as_secs()).unwrap_or(u16::MAX);
            let is_alive = matches!(fact.value, Value::Alive(_));
            let bytes = wire::encode(&Timed {
                fact: fact.clone(),
                ttl,
            });
            match groups.last_mut() {
                Some(group) if group.len() + bytes.len() <= wire::MAX_INNER => group.extend(bytes),
                Some(_) if is_alive && !alive_due => continue,
                Some(_) | None => groups.push(bytes),
            }
            if is_alive {
                self.peers.entry(*recipient).or_default().alive_told = Some(now);
            }
        }
        for group in groups {
            let mut nonce = [0; 24];
            self.random.fill_bytes(&mut nonce);
            if let Some(payload) = self.auth.tag(recipient, nonce, &group) {
                let to = AddressHash::Sha1.link_local(recipient);
                self.outputs.push_back(Output::Transmit {
                    to,
                    ports: None,
                    payload,
                });
            }
        }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
