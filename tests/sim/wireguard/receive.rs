//! The way in: handshakes are answered and completed, data is checked and delivered.

use std::net::SocketAddr;
use std::time::Duration;

use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::base::time::Timestamp;

use super::keypair::Keypair;
use super::message::data_len;
use super::rules::{INITIATIONS_PER_SECOND, KEEPALIVE_TIMEOUT, REJECT_AFTER_TIME, REKEY_TIMEOUT};
use super::timers::Timer;
use super::{Effect, Message, Packet, Tunnel};

impl Tunnel {
    /// Takes in a datagram that arrived at WireGuard's port. What is not authentic leaves no trace.
    pub(crate) fn receive(&mut self, now: Timestamp, from: SocketAddr, message: Message) {
        if self.asleep_since.is_some() {
            return;
        }
        let len = message.len() as u64;
        match message {
            Message::Foreign(_) | Message::Question(_) | Message::Answer(_) => {}
            Message::Initiation {
                from: peer,
                to,
                attempt,
                stamp,
            } => {
                if to == self.device.public_key && self.consume_initiation(now, peer, stamp) {
                    self.roam(peer, from);
                    self.respond(now, peer, attempt);
                    self.handshake_received(now, peer, len);
                }
            }
            Message::Response {
                from: peer,
                attempt,
                session,
            } => {
                if self.consume_response(peer, attempt) {
                    self.roam(peer, from);
                    self.begin_session(now, peer, Keypair::new(session, true, now));
                    self.handshake_complete(now, peer);
                    // What waits, or else a keepalive: the responder may not send before it hears something.
                    self.send_keepalive(now, peer);
                    self.handshake_received(now, peer, len);
                }
            }
            Message::Data {
                from: peer,
                session,
                counter,
                packet,
            } => {
                if self.decrypt(now, peer, session, counter) {
                    self.roam(peer, from);
                    self.data_received(now, peer, session, packet);
                }
            }
        }
    }

    /// Returns whether an initiation is good (`noise.c`, `wg_noise_handshake_consume_initiation`; paper, 5.1 and 5.4.2). One from a
    /// key that is no peer is lost without a word, as is one that is not newer than the last that was accepted, or comes within
    /// 20 ms of it.
    ///
    /// There is one handshake per peer: accepting forgets an initiation of our own, so of two that cross, neither response
    /// is of use; both sides become responders, and no data flows until one tries again.
    fn consume_initiation(&mut self, now: Timestamp, peer: PublicKey, stamp: Duration) -> bool {
        if !self.device.peers.contains_key(&peer) {
            return false;
        }
        let contact = self.contact(peer);
        let is_replay = contact.latest_stamp.is_some_and(|latest| stamp <= latest);
        let least = Duration::from_secs(1) / INITIATIONS_PER_SECOND;
        let is_flood = contact
            .last_initiation_consumption
            .is_some_and(|last| last + least > now);
        if is_replay || is_flood {
            return false;
        }
        contact.latest_stamp = Some(stamp);
        contact.last_initiation_consumption = Some(now);
        contact.attempt = None;
        true
    }

    /// Answers an initiation (`send.c`, `wg_packet_send_handshake_response`): this side has a session from now on, but may not send
    /// with it yet. A response counts against the limit of initiations as an initiation does.
    fn respond(&mut self, now: Timestamp, peer: PublicKey, attempt: u64) {
        let session = self.draw();
        self.contact(peer).last_sent_handshake = Some(now);
        self.begin_session(now, peer, Keypair::new(session, false, now));
        self.authentic_traversed(now, peer);
        self.authentic_sent(peer);
        let message = Message::Response {
            from: self.device.public_key,
            attempt,
            session,
        };
        self.transmit(peer, message);
    }

    /// Returns whether a response answers the last initiation that was sent to this peer, if nothing came between (`noise.c`,
    /// `wg_noise_handshake_consume_response`).
    fn consume_response(&mut self, peer: PublicKey, attempt: u64) -> bool {
        let Some(contact) = self.contacts.get_mut(&peer) else {
            return false;
        };
        contact.attempt.take_if(|ours| *ours == attempt).is_some()
    }

    /// Takes a session in (`noise.c`, `wg_noise_handshake_begin_session`). What is left of it is wiped after three times the age at
    /// which it dies (`timers.c`, `wg_timers_session_derived`).
    fn begin_session(&mut self, now: Timestamp, peer: PublicKey, keypair: Keypair) {
        self.contact(peer).keypairs.add(keypair);
        self.set(peer, Timer::ZeroKeyMaterial, now + REJECT_AFTER_TIME * 3);
    }

    /// The handshake is over (`timers.c`, `wg_timers_handshake_complete`): for the initiator with the response, for the responder
    /// with the first data. Its moment is what `wg show` shows until the next one.
    fn handshake_complete(&mut self, now: Timestamp, peer: PublicKey) {
        self.stop(peer, Timer::RetransmitHandshake);
        let contact = self.contact(peer);
        contact.handshake_attempts = 0;
        contact.sent_lastminute_handshake = false;
        if let Some(state) = self.device.peers.get_mut(&peer) {
            state.last_handshake = Some(now);
        }
    }

    /// Returns whether data belongs to a session that is young enough, for the first time (`receive.c`, `decrypt_packet`).
    fn decrypt(&mut self, now: Timestamp, peer: PublicKey, session: u64, counter: u64) -> bool {
        let contact = self.contacts.get_mut(&peer);
        let keypair = contact.and_then(|contact| contact.keypairs.find(session));
        keypair.is_some_and(|keypair| !keypair.is_rejected(now) && keypair.received.admit(counter))
    }

    /// Does what authentic data is for (`receive.c`, `wg_packet_consume_data_done`). A packet whose source does not belong to the
    /// peer is dropped and not counted, but was a sign of life like any other (paper, 2 and 5.4.6).
    fn data_received(&mut self, now: Timestamp, peer: PublicKey, session: u64, packet: Option<Packet>) {
        if self.contact(peer).keypairs.confirm(session) {
            self.handshake_complete(now, peer);
            self.send_staged(now, peer);
        }
        self.keep_key_fresh_on_receiving(now, peer);
        self.authentic_received(peer);
        self.authentic_traversed(now, peer);

        let len = data_len(packet.as_ref()) as u64;
        let Some(packet) = packet else {
            return self.count_received(peer, len);
        };
        self.owe_keepalive(now, peer);
        if self.allowed.owner(packet.source) == Some(peer) {
            self.count_received(peer, len);
            self.effects.push_back(Effect::Deliver { from: peer, packet });
        }
    }

    /// Data is answered within 10 s, if by nothing else then by a keepalive (paper, 6.5; `timers.c`,
    /// `wg_timers_data_received`).
    fn owe_keepalive(&mut self, now: Timestamp, peer: PublicKey) {
        if self.is_pending(peer, Timer::SendKeepalive) {
            self.contact(peer).need_another_keepalive = true;
        } else {
            self.set(peer, Timer::SendKeepalive, now + KEEPALIVE_TIMEOUT);
        }
    }

    /// Renews a session that is only received with once more before it dies, at 165 s, and only by its initiator (paper, 6.2;
    /// `receive.c`, `keep_key_fresh`).
    fn keep_key_fresh_on_receiving(&mut self, now: Timestamp, peer: PublicKey) {
        let age = REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT;
        let contact = self.contact(peer);
        let current = &contact.keypairs.current;
        let is_last_minute = current.as_ref().is_some_and(|keypair| keypair.needs_renewal(age, now));
        if is_last_minute && !std::mem::replace(&mut contact.sent_lastminute_handshake, true) {
            self.request_handshake(now, peer, false);
        }
    }

    /// A handshake message is a sign of life (`receive.c`, the end of `wg_receive_handshake_packet`).
    fn handshake_received(&mut self, now: Timestamp, peer: PublicKey, len: u64) {
        self.count_received(peer, len);
        self.authentic_received(peer);
        self.authentic_traversed(now, peer);
    }

    /// Somebody is there: no handshake needs to find out (`timers.c`, `wg_timers_any_authenticated_packet_received`).
    fn authentic_received(&mut self, peer: PublicKey) {
        self.stop(peer, Timer::NewHandshake);
    }

    /// The source of any authentic message is the endpoint from now on (paper, 2.1; `socket.c`,
    /// `wg_socket_set_peer_endpoint`).
    fn roam(&mut self, peer: PublicKey, from: SocketAddr) {
        if let Some(state) = self.device.peers.get_mut(&peer) {
            state.endpoint = Some(from);
        }
    }

    fn count_received(&mut self, peer: PublicKey, bytes: u64) {
        if let Some(state) = self.device.peers.get_mut(&peer) {
            state.rx_bytes += bytes;
        }
    }
}
