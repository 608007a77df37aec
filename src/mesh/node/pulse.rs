//! Heartbeats on their way in and out, and the traffic that says how often there should be one.

use std::time::Duration;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::heartbeat::{Echo, Heartbeat};
use crate::mesh::believe::fact::value::Value;
use crate::mesh::believe::fact::{Fact, Timed, wire};
use crate::mesh::device::DeviceState;
use crate::mesh::node::Node;
use crate::mesh::reach::link::Answer;
use crate::mesh::reach::link::fit::Sized;
use crate::mesh::share::gossip::Told;
use crate::mesh::show::event::Output;

/// How often the device is read while traffic takes a direct link, or one is in doubt: what it counts tells whether the other side is
/// there.
const LOOK_ACTIVE: Duration = Duration::from_millis(500);
/// How often while traffic might begin on one.
const LOOK_DIRECT: Duration = Duration::from_secs(1);

impl Node {
    /// Takes in what the device counted. A router has no other way to anybody, and does not look for one.
    pub(super) fn count_traffic(&mut self, now: Timestamp, read: &DeviceState) {
        for (key, link) in &mut self.links {
            if let Some(peer) = read.peers.get(key) {
                link.count_received(now, peer.rx_bytes);
            }
        }
        if self.is_router() {
            return;
        }
        for (key, link) in &mut self.links {
            let Some(pulse) = link.pulse() else { continue };
            let Some(peer) = read.peers.get(key) else { continue };
            pulse.count(now, peer.rx_bytes, peer.tx_bytes);
            if pulse.next() <= now || pulse.is_dead(now) {
                self.agenda.add_peers([*key]);
            }
        }
    }

    /// Returns how soon the device must be read again for that.
    pub(super) fn traffic_look(&self, now: Timestamp) -> Option<Duration> {
        if self.is_router() {
            return None;
        }
        let mut carrying = self.links.values().filter(|link| link.carries() || link.is_active(now));
        let some = carrying.clone().next()?;
        let active = some.is_active(now) || carrying.any(|link| link.is_active(now));
        Some(if active { LOOK_ACTIVE } else { LOOK_DIRECT })
    }

    /// Takes in that a datagram of a peer came through the tunnel.
    pub(super) fn note_heard(&mut self, now: Timestamp, sender: &PublicKey, length: usize) {
        if let Some(pulse) = self.links.get_mut(sender).and_then(|link| link.pulse()) {
            pulse.hear(now);
            pulse.note_own(0, length);
        }
    }

    /// Takes in that a datagram goes to a peer through the tunnel.
    pub(super) fn note_sent(&mut self, peer: &PublicKey, length: usize) {
        if let Some(pulse) = self.links.get_mut(peer).and_then(|link| link.pulse()) {
            pulse.note_own(length, 0);
        }
    }

    pub(super) fn send_heartbeat(&mut self, to: &PublicKey, number: u32) {
        let beat = self.heartbeat(to, number);
        self.say_directly(to, Value::Heartbeat(beat));
    }

    /// Sends a heartbeat that fills a packet.
    pub(super) fn send_sized(&mut self, to: &PublicKey, sized: Sized) {
        let beat = self.heartbeat(to, sized.number);
        let group = wire::pack_sized(&beat, sized.payload.into());
        let Some(payload) = self.auth.tag_compact(to, &group) else {
            return;
        };
        self.note_sent(to, payload.len());
        let ports = self.ports.of(to);
        let to = self.settings.address_hash.link_local(to);
        self.outputs.push_back(Output::Transmit { to, ports, payload });
    }

    /// Answers a heartbeat at once.
    pub(super) fn hear_heartbeat(&mut self, now: Timestamp, sender: &PublicKey, beat: Heartbeat) {
        let source = self.settings.address_hash.link_local(sender);
        if !self.echoes.admits(now, source.into()) {
            return;
        }
        let Some(link) = self.links.get_mut(sender) else { return };
        let (received, is_news) = link.hear_heartbeat(now, &beat);
        let waits = !link.is_up();
        let echo = Echo {
            beat: self.heartbeat(sender, beat.number),
            received,
            at: now.since_start(),
            seen: self.contact(sender).endpoint,
        };
        self.say_directly(sender, Value::Echo(Box::new(echo)));
        if is_news || waits {
            self.agenda.add_peers([*sender]);
            self.hurry(now);
        }
    }

    pub(super) fn hear_echo(&mut self, now: Timestamp, sender: &PublicKey, echo: Echo) {
        let Some(link) = self.links.get_mut(sender) else { return };
        let Answer { is_asked, is_news } = link.hear_echo(now, &echo);
        if is_news || !link.is_up() {
            self.agenda.add_peers([*sender]);
            self.hurry(now);
        }
        // An echo that answers nothing says nothing of this side: any peer can send as many as it likes.
        if let Some(seen) = echo.seen.filter(|_| is_asked) {
            self.note_seen(now, sender, seen);
        }
    }

    fn heartbeat(&self, peer: &PublicKey, number: u32) -> Heartbeat {
        let link = self.links.get(peer);
        let own = link.map(|link| link.standing()).unwrap_or_default();
        Heartbeat {
            number,
            version: own.version,
            ready: own.ready,
            turns: link.is_some_and(|link| link.turns()),
        }
    }

    /// Says something to a peer that is only for it, through the link.
    fn say_directly(&mut self, to: &PublicKey, value: Value) {
        let subject = *self.auth.public_key();
        let fact = Fact { subject, value };
        let ttl = Duration::ZERO;
        self.transmit(&Told {
            peer: *to,
            facts: vec![Timed { fact, ttl }],
            compact: true,
        });
    }
}
