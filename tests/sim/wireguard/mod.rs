//! WireGuard as the Linux kernel runs it, without cryptography and on virtual time.
//!
//! Each rule names its source: the WireGuard paper ("WireGuard: Next Generation Kernel Network Tunnel", by section), or a
//! function of the kernel, by file in `drivers/net/wireguard`. Left out: cookies and the limits of a loaded machine, the
//! limits by number of messages, preshared keys, the fwmark and the choice of a source address.
//!
//! [`allowed`] is cryptokey routing, [`keypair`] the sessions, `timers` what runs out, `transmit` and `receive` the two ways of a
//! packet, [`rules`] the constants.

mod allowed;
mod keypair;
pub(crate) mod message;
mod receive;
pub(crate) mod rules;
mod timers;
mod transmit;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::base::dense::repack;
use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::device::{DeviceChange, DeviceState};

use self::allowed::AllowedIps;
use self::keypair::Keypairs;
pub(crate) use self::message::{Effect, Message, Packet, Unroutable};
use self::timers::{Pending, Timer, Timers};

/// After so many new peers their table is made dense: large networks have millions of entries.
const REPACK_EVERY: usize = 64;

/// A WireGuard interface that is up.
#[derive(Debug)]
pub(crate) struct Tunnel {
    device: DeviceState,
    allowed: AllowedIps,
    /// The peers that ever had anything to do with us; the others have nothing but their entry in the device.
    contacts: BTreeMap<PublicKey, Box<Contact>>,
    timers: Timers,
    effects: VecDeque<Effect>,
    random: u64,
    asleep_since: Option<Timestamp>,
}

/// What the device knows of a peer beyond what it shows (`peer.h`, `struct wg_peer`).
#[derive(Debug, Default)]
struct Contact {
    keypairs: Keypairs,
    /// The initiation of ours that may still be answered (`HANDSHAKE_CREATED_INITIATION`).
    attempt: Option<u64>,
    /// The packets that wait for a session; `None` is a keepalive.
    staged: VecDeque<Option<Packet>>,
    last_sent_handshake: Option<Timestamp>,
    handshake_attempts: u8,
    sent_lastminute_handshake: bool,
    need_another_keepalive: bool,
    latest_stamp: Option<Duration>,
    last_initiation_consumption: Option<Timestamp>,
    pending: Pending,
}

impl Tunnel {
    /// Starts an interface without peers; the seed decides how timers are drawn out. Two devices may have the same.
    pub(crate) fn new(key: PublicKey, port: u16, seed: u64) -> Self {
        let (own, _) = key.as_bytes().split_first_chunk().expect("a key has 32 bytes");
        Self {
            device: DeviceState::new(key, port),
            allowed: AllowedIps::default(),
            contacts: BTreeMap::new(),
            timers: Timers::default(),
            effects: VecDeque::new(),
            random: seed ^ u64::from_le_bytes(*own),
            asleep_since: None,
        }
    }

    /// Returns what `wg show` shows.
    pub(crate) fn device(&self) -> &DeviceState {
        &self.device
    }

    /// Returns what to do next, until there is nothing more.
    pub(crate) fn effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Returns when to [`Tunnel::wake`].
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.timers.next().filter(|_| self.asleep_since.is_none())
    }

    /// Lets the timers run out whose time has come, in order.
    pub(crate) fn wake(&mut self, now: Timestamp) {
        while let Some((peer, timer)) = self.timers.due(now).filter(|_| self.asleep_since.is_none()) {
            self.stop(peer, timer);
            self.expire(now, peer, timer);
        }
    }

    /// Does what netlink asks for (`netlink.c`, `set_peer`). Whatever is done to a peer ends with an attempt to send what waits
    /// for it, so an endpoint that is set sends nothing by itself: mostly nothing waits.
    pub(crate) fn apply(&mut self, now: Timestamp, change: &DeviceChange) {
        let peer = *change.peer();
        match change {
            // "We silently ignore peers that have the same public key as the device": one configuration fits all.
            DeviceChange::AddPeer { .. } if peer == self.device.public_key => return,
            DeviceChange::AddPeer {
                allowed_ips, endpoint, ..
            } => {
                let state = self.device.peers.entry(peer).or_default();
                state.endpoint = endpoint.or(state.endpoint);
                if self.device.peers.len().is_multiple_of(REPACK_EVERY) {
                    repack(&mut self.device.peers);
                }
                allowed_ips.iter().for_each(|prefix| self.give(peer, *prefix));
            }
            DeviceChange::RemovePeer { .. } => self.remove(peer),
            DeviceChange::SetEndpoint { endpoint, .. } => {
                if let Some(state) = self.device.peers.get_mut(&peer) {
                    state.endpoint = Some(*endpoint);
                }
            }
            DeviceChange::AddAllowedIp { prefix, .. } => self.give(peer, *prefix),
            DeviceChange::RemoveAllowedIp { prefix, .. } => {
                if let Some(state) = self.device.peers.get_mut(&peer) {
                    state.allowed_ips.remove(prefix);
                    self.allowed.take(prefix, &peer);
                }
            }
            DeviceChange::MakeAgain { endpoint, .. } => self.make_again(now, peer, *endpoint),
        }
        self.send_staged(now, peer);
    }

    /// Removes a peer and adds it again with what its operator gave it.
    fn make_again(&mut self, now: Timestamp, peer: PublicKey, endpoint: Option<SocketAddr>) {
        let Some(state) = self.device.peers.get(&peer).cloned() else {
            return;
        };
        self.remove(peer);
        let allowed_ips = state.allowed_ips;
        self.apply(
            now,
            &DeviceChange::AddPeer {
                peer,
                allowed_ips,
                endpoint,
            },
        );
        self.set_keepalive(now, &peer, state.keepalive);
    }

    /// Sets the persistent keepalive interval in seconds. From none to some, something is sent at once, which makes for a
    /// handshake where there is no session; from some to another, nothing changes before the next packet (`netlink.c`,
    /// `set_peer`, `send_keepalive`; measured on wireguard-go and kernel 6.1).
    pub(crate) fn set_keepalive(&mut self, now: Timestamp, peer: &PublicKey, interval: Option<u16>) {
        let interval = interval.filter(|seconds| *seconds > 0);
        let Some(state) = self.device.peers.get_mut(peer) else {
            return;
        };
        let former = std::mem::replace(&mut state.keepalive, interval);
        if former.is_none() && interval.is_some() {
            self.send_keepalive(now, *peer);
        }
        self.send_staged(now, *peer);
    }

    /// The machine goes to sleep: sessions and handshakes are forgotten (`device.c`, `wg_pm_notification`), and its timers stand
    /// still, as they count the time awake (jiffies). What comes in is lost.
    pub(crate) fn suspend(&mut self, now: Timestamp) {
        self.asleep_since = Some(now);
        let peers: Vec<PublicKey> = self.contacts.keys().copied().collect();
        for peer in peers {
            self.stop(peer, Timer::ZeroKeyMaterial);
            self.forget_keys(peer);
        }
    }

    /// The machine wakes up.
    pub(crate) fn resume(&mut self, now: Timestamp) {
        let Some(since) = self.asleep_since.take() else {
            return;
        };
        let slept = now.since(since);
        self.timers.postpone(slept);
        let pending = self.contacts.values_mut().flat_map(|contact| &mut contact.pending);
        pending.flatten().for_each(|at| *at = *at + slept);
    }

    /// Gives a prefix to a peer: it has one owner, so it moves (paper, 2; `allowedips.c`, `add`).
    fn give(&mut self, peer: PublicKey, prefix: IpNet) {
        let Some(state) = self.device.peers.get_mut(&peer) else {
            return;
        };
        state.allowed_ips.insert(prefix);
        let former = self.allowed.give(prefix, peer);
        if let Some(state) = former.and_then(|former| self.device.peers.get_mut(&former)) {
            state.allowed_ips.remove(&prefix);
        }
    }

    /// Forgets all of a peer: its session, its counters and its limits (`peer.c`, `wg_peer_remove`).
    fn remove(&mut self, peer: PublicKey) {
        for prefix in self
            .device
            .peers
            .remove(&peer)
            .into_iter()
            .flat_map(|state| state.allowed_ips)
        {
            self.allowed.take(&prefix, &peer);
        }
        if let Some(mut contact) = self.contacts.remove(&peer) {
            self.timers.stop_all(peer, &mut contact.pending);
        }
    }

    fn endpoint(&self, peer: PublicKey) -> Option<SocketAddr> {
        self.device.peers.get(&peer)?.endpoint
    }

    /// Returns the contact with a peer of the device.
    fn contact(&mut self, peer: PublicKey) -> &mut Contact {
        debug_assert!(self.device.peers.contains_key(&peer), "only peers have a contact");
        self.contacts.entry(peer).or_default()
    }

    fn set(&mut self, peer: PublicKey, timer: Timer, at: Timestamp) {
        let contact = self.contacts.entry(peer).or_default();
        self.timers.set(peer, &mut contact.pending, timer, at);
    }

    fn stop(&mut self, peer: PublicKey, timer: Timer) {
        if let Some(contact) = self.contacts.get_mut(&peer) {
            self.timers.stop(peer, &mut contact.pending, timer);
        }
    }

    fn is_pending(&self, peer: PublicKey, timer: Timer) -> bool {
        let contact = self.contacts.get(&peer);
        contact.is_some_and(|contact| contact.pending[timer as usize].is_some())
    }

    /// Clears what may be used or answered (`noise.c`, `wg_noise_handshake_clear` and `wg_noise_keypairs_clear`).
    fn forget_keys(&mut self, peer: PublicKey) {
        let contact = self.contact(peer);
        contact.keypairs = Keypairs::default();
        contact.attempt = None;
    }

    /// Draws a number (SplitMix64, by Steele, Lea and Flood).
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
