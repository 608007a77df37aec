//! A node of wirelink v1, modelled after its description (`wirelink-v1.md`) and not after our code: what a network of deployed
//! nodes does beside ours, and how it takes what ours say.
//!
//! It is strict: what v1 refuses is refused and counted, so that a test can say that ours never make it refuse anything. `wire`
//! is the bytes, `trust` whose word counts, `device` what becomes of the device, `say` what is said to whom.
//!
//! Where the description leaves a choice, it does what the program was seen to do: it looks at what came in with the next tick, or with the
//! hundredth fact; the first boot ID of a peer is a changed one; a peer with a session that gives no sign of life keeps its allowed IPs,
//! and one without loses them, if somebody names it a member. Nobody who vouches for members is removed: a leaf would lose its hub, of which nobody says
//! that it is a member.

mod device;
mod say;
#[cfg(test)]
mod tests;
mod trust;
#[cfg(test)]
mod vectors;
pub(crate) mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use wirelink::mesh::base::identity::{AddressHash, PrivateKey, PublicKey};
use wirelink::mesh::base::settings::{Host, Settings};
use wirelink::mesh::base::time::{Deadline, Timestamp, Why};
use wirelink::mesh::believe::auth::{Auth, AuthError};
use wirelink::mesh::device::DeviceState;
use wirelink::mesh::show::event::{HostState, Input, Output};

use self::wire::{Fact, Refusal, Timed, Value};

/// How often it does anything at all.
pub(crate) const TICK: Duration = Duration::from_secs(5);
/// With how many facts that came in it does not wait for that.
pub(crate) const MAX_CHUNK: usize = 100;
/// How long a fact of its own lives.
pub(crate) const FACT_TTL: Duration = Duration::from_secs(255);

/// One node, with the contract of ours.
pub(crate) struct Node {
    settings: Settings,
    auth: Auth,
    own: PublicKey,
    random: ChaCha20Rng,
    started: Timestamp,
    tick_at: Timestamp,
    /// When the fact came with which there were enough.
    full_since: Timestamp,
    boot_id: [u8; 16],
    device: DeviceState,
    host: HostState,
    heard: Vec<Heard>,
    facts: BTreeMap<Fact, Timestamp>,
    peers: BTreeMap<PublicKey, Peer>,
    resolved: BTreeMap<Host, Vec<SocketAddr>>,
    outputs: VecDeque<Output>,
    refused: BTreeMap<Refusal, u64>,
    distrusted: BTreeMap<Refusal, u64>,
}

/// A fact that came in and was not looked at yet.
struct Heard {
    at: Timestamp,
    from: PublicKey,
    timed: Timed,
}

/// What it remembers of a peer.
#[derive(Default)]
struct Peer {
    boot_id: Option<[u8; 16]>,
    alive_until: Option<Timestamp>,
    /// What it knows, and when it forgets that.
    knows: BTreeMap<Fact, Timestamp>,
    alive_told: Option<Timestamp>,
    handshake: Option<Timestamp>,
    healthy: bool,
    /// Since when it is healthy and alive.
    up_since: Option<Timestamp>,
    /// When each endpoint was last set, and any of them.
    tried: BTreeMap<SocketAddr, Timestamp>,
    tried_at: Option<Timestamp>,
}

impl Peer {
    fn is_alive(&self, now: Timestamp) -> bool {
        self.alive_until.is_some_and(|until| now < until)
    }
}

impl Node {
    /// Starts a node.
    pub(crate) fn new(settings: Settings, identity: PrivateKey, seed: [u8; 32], now: Timestamp) -> Self {
        let auth = Auth::new(identity, AddressHash::Sha1);
        let own = *auth.public_key();
        let mut node = Self {
            settings,
            auth,
            own,
            random: ChaCha20Rng::from_seed(seed),
            started: now,
            tick_at: now,
            full_since: now,
            boot_id: [0; 16],
            device: DeviceState::new(own, 0),
            host: HostState::default(),
            heard: Vec::new(),
            facts: BTreeMap::new(),
            peers: BTreeMap::new(),
            resolved: BTreeMap::new(),
            outputs: VecDeque::new(),
            refused: BTreeMap::new(),
            distrusted: BTreeMap::new(),
        };
        node.renew_boot_id();
        node
    }

    /// Takes in what happened; all it does waits for the next tick.
    pub(crate) fn handle(&mut self, now: Timestamp, input: Input<'_>) {
        match input {
            Input::Packet { source, payload, .. } => self.hear(now, source, payload),
            Input::Device(device) => self.device = device.clone(),
            Input::Host(host) => self.host = host,
            Input::Resolved { host, addresses } => drop(self.resolved.insert(host, addresses)),
            Input::Timeout => self.tick(now),
            // It leaves the device as it is, and remembers nothing.
            Input::Probe { .. }
            | Input::Stun { .. }
            | Input::Prober { .. }
            | Input::FactPorts
            | Input::Routed { .. }
            | Input::Named(_)
            | Input::Settings(_)
            | Input::Ping { .. }
            | Input::Ban { .. }
            | Input::Remembered(_)
            | Input::Stop => {}
        }
    }

    /// Returns what to do next, until there is nothing more.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when to hand in [`Input::Timeout`], after the device.
    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        let is_full = self.heard.len() >= MAX_CHUNK;
        let (at, why) = (if is_full { self.full_since } else { self.tick_at }, Why::Gossip);
        Some(Deadline { at, why })
    }

    /// Returns its link-local address.
    pub(crate) fn address(&self) -> Ipv6Addr {
        AddressHash::Sha1.link_local(&self.own)
    }

    /// Returns how many datagrams were refused whole, by reason. Sound nodes never make it refuse one.
    pub(crate) fn refused(&self) -> &BTreeMap<Refusal, u64> {
        &self.refused
    }

    /// Returns how many facts were not believed, by reason.
    pub(crate) fn distrusted(&self) -> &BTreeMap<Refusal, u64> {
        &self.distrusted
    }

    /// Returns the facts that it believes, and how long.
    pub(crate) fn facts(&self) -> &BTreeMap<Fact, Timestamp> {
        &self.facts
    }

    /// Returns whether a peer has a session, and gave a sign of life that counts.
    pub(crate) fn is_up(&self, now: Timestamp, peer: &PublicKey) -> bool {
        self.peers
            .get(peer)
            .is_some_and(|peer| peer.healthy && peer.is_alive(now))
    }

    fn hear(&mut self, now: Timestamp, source: Ipv6Addr, payload: &[u8]) {
        let facts = self.read(source, payload);
        match facts {
            Ok((from, facts)) => {
                let heard = facts.into_iter().map(|timed| Heard { at: now, from, timed });
                self.heard.extend(heard);
                self.full_since = now;
            }
            Err(why) => *self.refused.entry(why).or_default() += 1,
        }
    }

    /// Reads a datagram. The tag is checked by our own code, which the vectors check in turn; what it says is read here.
    fn read(&mut self, source: Ipv6Addr, payload: &[u8]) -> Result<(PublicKey, Vec<Timed>), Refusal> {
        let (sender, facts) = wire::decode(payload)?;
        if AddressHash::Sha1.link_local(&sender) != source {
            return Err("not the sender's address");
        }
        let envelope =
            wirelink::mesh::believe::fact::wire::decode(payload).map_err(|_| "no envelope to our own code")?;
        match self.auth.verify(source, &envelope) {
            Ok(_) | Err(AuthError::Layout(_)) => Ok((sender, facts)),
            Err(AuthError::WrongAddress | AuthError::WeakKey | AuthError::WrongTag) => Err("a wrong tag"),
        }
    }

    fn tick(&mut self, now: Timestamp) {
        let is_full = self.heard.len() >= MAX_CHUNK;
        if now < self.tick_at && !is_full {
            return;
        }
        // The clock jumped: it was asleep, and does not know what it missed.
        if now.since(self.tick_at) > TICK {
            self.renew_boot_id();
        }
        if now >= self.tick_at {
            self.tick_at = now + TICK;
        }
        let device = &self.device;
        self.peers.retain(|key, _| device.peers.contains_key(key));
        self.expire(now);
        self.observe(now);
        self.believe(now);
        self.observe_alive(now);
        for fact in self.local_facts() {
            self.facts.insert(fact, now + FACT_TTL);
        }
        self.configure(now);
        self.say(now);
    }

    /// Forgets what is over. Where that could be because it was not told, it asks to be told again.
    fn expire(&mut self, now: Timestamp) {
        let before = self.facts.len();
        let mut resync = false;
        self.facts.retain(|fact, expires| {
            let lives = now < *expires;
            resync |= !lives && !matches!(fact.value, Value::Endpoint(_));
            lives
        });
        if resync && self.facts.len() < before {
            self.renew_boot_id();
        }
    }

    /// Looks at what came in, in order.
    fn believe(&mut self, now: Timestamp) {
        for Heard { at, from, timed } in std::mem::take(&mut self.heard) {
            if let Err(why) = self.judge(&from, &timed.fact) {
                *self.distrusted.entry(why).or_default() += 1;
                continue;
            }
            let expires = at + Duration::from_secs(timed.ttl.into());
            let peer = self.peers.entry(from).or_default();
            if let Value::Alive(boot_id) = timed.fact.value {
                if peer.boot_id.replace(boot_id) != Some(boot_id) {
                    peer.knows.clear();
                    (peer.alive_told, peer.alive_until) = (None, None);
                }
                peer.alive_until = Some(peer.alive_until.map_or(expires, |until| until.max(expires)));
            } else if now < expires {
                let known = peer.knows.entry(timed.fact.clone()).or_insert(expires);
                *known = expires.max(*known);
                let known = self.facts.entry(timed.fact).or_insert(expires);
                *known = expires.max(*known);
            }
        }
    }

    /// Draws a UUID of version 4.
    fn renew_boot_id(&mut self) {
        self.random.fill_bytes(&mut self.boot_id);
        self.boot_id[6] = 0x40 | self.boot_id[6] & 0x0f;
        self.boot_id[8] = 0x80 | self.boot_id[8] & 0x3f;
    }
}
