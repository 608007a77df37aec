//! The way out: packets wait for a session, handshakes are made and made again, timers run out.

use std::time::Duration;

use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::base::time::Timestamp;

use super::rules::{
    KEEPALIVE_TIMEOUT, MAX_STAGED_PACKETS, MAX_TIMER_HANDSHAKES, REJECT_AFTER_TIME, REKEY_AFTER_TIME, REKEY_TIMEOUT,
    REKEY_TIMEOUT_JITTER, STAMP_GRAIN,
};
use super::timers::Timer;
use super::{Effect, Message, Packet, Tunnel, Unroutable};

impl Tunnel {
    /// Sends a packet to the peer that owns its destination (`device.c`, `wg_xmit`). It waits where there is no session yet; the
    /// oldest of too many that wait are dropped.
    pub(crate) fn send(&mut self, now: Timestamp, packet: Packet) -> Result<(), Unroutable> {
        let peer = self.allowed.owner(packet.destination).ok_or(Unroutable::NoPeer)?;
        if self.endpoint(peer).is_none() {
            return Err(Unroutable::NoEndpoint(peer));
        }
        let staged = &mut self.contact(peer).staged;
        while staged.len() > MAX_STAGED_PACKETS {
            staged.pop_front();
        }
        staged.push_back(Some(packet));
        self.send_staged(now, peer);
        Ok(())
    }

    /// Sends an empty packet, or instead of it what waits (`send.c`, `wg_packet_send_keepalive`).
    pub(super) fn send_keepalive(&mut self, now: Timestamp, peer: PublicKey) {
        let staged = &mut self.contact(peer).staged;
        if staged.is_empty() {
            staged.push_back(None);
        }
        self.send_staged(now, peer);
    }

    /// Sends what waits with the current session, or opens one (`send.c`, `wg_packet_send_staged_packets`).
    pub(super) fn send_staged(&mut self, now: Timestamp, peer: PublicKey) {
        let Some(contact) = self
            .contacts
            .get_mut(&peer)
            .filter(|contact| !contact.staged.is_empty())
        else {
            return;
        };
        let current = contact.keypairs.current.as_mut();
        let Some(keypair) = current.filter(|keypair| !keypair.is_rejected(now)) else {
            return self.request_handshake(now, peer, false);
        };
        let (session, first) = (keypair.session, keypair.sent);
        let packets = std::mem::take(&mut contact.staged);
        keypair.sent += packets.len() as u64;
        self.data_done(now, peer, packets.iter().any(Option::is_some));
        let from = self.device.public_key;
        for (counter, packet) in (first..).zip(packets) {
            let message = Message::Data {
                from,
                session,
                counter,
                packet,
            };
            self.transmit(peer, message);
        }
        self.keep_key_fresh(now, peer);
    }

    /// The timers after data was sent (`send.c`, `wg_packet_create_data_done`). Data, unlike a keepalive, wants an answer: after
    /// 15 s without any, a handshake finds out whether there is still somebody (paper, 6.5; `timers.c`, `wg_timers_data_sent`).
    fn data_done(&mut self, now: Timestamp, peer: PublicKey, more_than_keepalive: bool) {
        self.authentic_traversed(now, peer);
        self.authentic_sent(peer);
        let reachable = self.endpoint(peer).is_some();
        if reachable && more_than_keepalive && !self.is_pending(peer, Timer::NewHandshake) {
            let at = now + KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + self.jitter();
            self.set(peer, Timer::NewHandshake, at);
        }
    }

    /// Renews a session with which this side sends, when it opened it and it is 120 s old (paper, 6.2; `send.c`,
    /// `keep_key_fresh`). The responder never does: both at once would be one too many.
    fn keep_key_fresh(&mut self, now: Timestamp, peer: PublicKey) {
        let current = &self.contact(peer).keypairs.current;
        if current
            .as_ref()
            .is_some_and(|keypair| keypair.needs_renewal(REKEY_AFTER_TIME, now))
        {
            self.request_handshake(now, peer, false);
        }
    }

    /// Sends an initiation, unless a handshake message went to this peer within the last 5 s: then nothing happens at all, and
    /// a retry that was due is not made up for (`send.c`, `wg_packet_send_queued_handshake_initiation`; paper, 6.4). Every other
    /// reason than a retry starts the count of attempts anew, so data that keeps coming never gives up.
    pub(super) fn request_handshake(&mut self, now: Timestamp, peer: PublicKey, is_retry: bool) {
        let contact = self.contact(peer);
        if !is_retry {
            contact.handshake_attempts = 0;
        }
        let last = contact.last_sent_handshake;
        if last.is_none_or(|last| last + REKEY_TIMEOUT <= now) {
            self.initiate(now, peer);
        }
    }

    /// Makes and sends an initiation (`send.c`, `wg_packet_send_handshake_initiation`). It replaces what was left of a handshake
    /// (`noise.c`, `wg_noise_handshake_create_initiation`), and counts as made even where there is no endpoint to send it to.
    fn initiate(&mut self, now: Timestamp, peer: PublicKey) {
        let attempt = self.draw();
        let contact = self.contact(peer);
        contact.last_sent_handshake = Some(now);
        contact.attempt = Some(attempt);
        self.authentic_traversed(now, peer);
        self.authentic_sent(peer);
        let message = Message::Initiation {
            from: self.device.public_key,
            to: peer,
            attempt,
            stamp: stamp(now),
        };
        self.transmit(peer, message);
        let at = now + REKEY_TIMEOUT + self.jitter();
        self.set(peer, Timer::RetransmitHandshake, at);
    }

    /// Sends a message to the endpoint of a peer, if it has one (`socket.c`, `wg_socket_send_skb_to_peer`).
    pub(super) fn transmit(&mut self, peer: PublicKey, message: Message) {
        let Some(state) = self.device.peers.get_mut(&peer) else {
            return;
        };
        if let Some(to) = state.endpoint {
            state.tx_bytes += message.len() as u64;
            self.effects.push_back(Effect::Send { to, message });
        }
    }

    /// Whatever was sent is a sign of life: no keepalive is owed any more (`timers.c`,
    /// `wg_timers_any_authenticated_packet_sent`).
    pub(super) fn authentic_sent(&mut self, peer: PublicKey) {
        self.stop(peer, Timer::SendKeepalive);
    }

    /// Every authenticated packet, either way, puts the persistent keepalive off (`timers.c`,
    /// `wg_timers_any_authenticated_packet_traversal`).
    pub(super) fn authentic_traversed(&mut self, now: Timestamp, peer: PublicKey) {
        let interval = self.device.peers.get(&peer).and_then(|state| state.keepalive);
        if let Some(seconds) = interval {
            self.set(
                peer,
                Timer::PersistentKeepalive,
                now + Duration::from_secs(seconds.into()),
            );
        }
    }

    /// Does what a timer is for (`timers.c`, the functions `wg_expired_*`).
    pub(super) fn expire(&mut self, now: Timestamp, peer: PublicKey, timer: Timer) {
        match timer {
            Timer::RetransmitHandshake => self.retransmit(now, peer),
            Timer::SendKeepalive => {
                self.send_keepalive(now, peer);
                if std::mem::take(&mut self.contact(peer).need_another_keepalive) {
                    self.set(peer, Timer::SendKeepalive, now + KEEPALIVE_TIMEOUT);
                }
            }
            Timer::NewHandshake => self.request_handshake(now, peer, false),
            Timer::ZeroKeyMaterial => self.forget_keys(peer),
            Timer::PersistentKeepalive => {
                if self.device.peers[&peer].keepalive.is_some() {
                    self.send_keepalive(now, peer);
                }
            }
        }
    }

    /// Tries a handshake again, or gives up after the twentieth attempt and drops what waits for it (paper, 6.4; `timers.c`,
    /// `wg_expired_retransmit_handshake`). A persistent keepalive begins again.
    fn retransmit(&mut self, now: Timestamp, peer: PublicKey) {
        let contact = self.contact(peer);
        if contact.handshake_attempts <= MAX_TIMER_HANDSHAKES {
            contact.handshake_attempts += 1;
            return self.request_handshake(now, peer, true);
        }
        contact.staged.clear();
        self.stop(peer, Timer::SendKeepalive);
        if !self.is_pending(peer, Timer::ZeroKeyMaterial) {
            self.set(peer, Timer::ZeroKeyMaterial, now + REJECT_AFTER_TIME * 3);
        }
    }

    /// Draws by how much a timer of a handshake is drawn out.
    fn jitter(&mut self) -> Duration {
        Duration::from_nanos(self.draw() % REKEY_TIMEOUT_JITTER.as_nanos() as u64)
    }
}

/// Returns the time as an initiation tells it (paper, 5.1; `noise.c`, `tai64n_now`).
fn stamp(now: Timestamp) -> Duration {
    let (since, grain) = (now.since_start(), STAMP_GRAIN.as_nanos() as u32);
    Duration::new(since.as_secs(), since.subsec_nanos() / grain * grain)
}
