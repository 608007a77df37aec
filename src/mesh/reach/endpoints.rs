//! Which endpoints of the operator's peers are there because of us.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::device::{DeviceState, PeerState};
use crate::mesh::keep::memory::{MAX_TRIED, Tried};

/// Remembers where each of the operator's peers was sent to before we set it, and where we set it to since.
///
/// An endpoint that WireGuard took from the peer itself, or that the operator set, is none of ours any more.
#[derive(Debug, Default)]
pub struct Endpoints {
    tried: BTreeMap<PublicKey, Tried>,
    /// What was set last: a peer with a session at another one has moved there by itself.
    last: BTreeMap<PublicKey, Last>,
}

/// The endpoint that a peer was given last.
#[derive(Clone, Copy, Debug)]
struct Last {
    endpoint: SocketAddr,
    /// The bytes that WireGuard had received from the peer by then.
    heard_bytes: u64,
}

impl Endpoints {
    /// Takes over what an earlier run set, as far as the device shows it.
    pub fn resume(&mut self, tried: BTreeMap<PublicKey, Tried>, device: &DeviceState) {
        let last = tried.keys().filter_map(|key| {
            let peer = device.peers.get(key)?;
            let (endpoint, heard_bytes) = (peer.endpoint?, peer.rx_bytes);
            Some((*key, Last { endpoint, heard_bytes }))
        });
        self.last = last.collect();
        self.tried = tried;
    }

    /// Returns all, by peer.
    pub fn all(&self) -> &BTreeMap<PublicKey, Tried> {
        &self.tried
    }

    /// Returns where a peer was sent to before we set it, if we did.
    pub fn before(&self, peer: &PublicKey) -> Option<SocketAddr> {
        self.tried.get(peer)?.before
    }

    /// Takes in where a peer is sent to, and whether it has a session there.
    pub fn observe(&mut self, peer: &PublicKey, seen: Option<SocketAddr>, is_healthy: bool) {
        let Some(tried) = self.tried.get(peer) else { return };
        let has_moved = is_healthy && self.last.get(peer).is_some_and(|last| Some(last.endpoint) != seen);
        if has_moved || !tried.explains(seen) {
            self.forget(peer);
        }
    }

    /// Returns whether WireGuard heard the peer since it is sent to where it is: WireGuard follows the source of what it hears, so that
    /// is where the peer is.
    pub fn is_heard(&self, key: &PublicKey, peer: &PeerState) -> bool {
        let is_heard = |last: &Last| Some(last.endpoint) == peer.endpoint && peer.rx_bytes > last.heard_bytes;
        self.last.get(key).is_some_and(is_heard)
    }

    /// Returns whether the peer was not heard since it is sent to where it is: it may not be there.
    pub fn is_in_doubt(&self, key: &PublicKey, peer: &PeerState) -> bool {
        let is_there = |last: &&Last| Some(last.endpoint) == peer.endpoint;
        self.last.get(key).filter(is_there).is_some() && !self.is_heard(key, peer)
    }

    /// Takes in that a peer that looks so is sent to one of these from now on, to `endpoint` first. They are noted
    /// together, so that a round of trying needs no more than one note.
    pub fn set(
        &mut self,
        peer: PublicKey,
        found: &PeerState,
        endpoint: SocketAddr,
        candidates: impl Iterator<Item = SocketAddr>,
    ) {
        let (seen, heard_bytes) = (found.endpoint, found.rx_bytes);
        self.last.insert(peer, Last { endpoint, heard_bytes });
        let known = self.tried.get(&peer);
        if known.is_some_and(|known| known.tried.contains(&endpoint)) {
            return;
        }
        let before = known.map_or(seen, |known| known.before);
        // Where it is sent to now may be by us.
        let now = seen.filter(|_| known.is_some());
        let tried = now.into_iter().chain([endpoint]).chain(candidates);
        let tried = tried.take(MAX_TRIED).collect();
        self.tried.insert(peer, Tried { before, tried });
    }

    /// Forgets peers that are none of the operator's, or none any more.
    pub fn retain(&mut self, is_operators: impl Fn(&PublicKey) -> bool) {
        self.tried.retain(|peer, _| is_operators(peer));
        self.last.retain(|peer, _| is_operators(peer));
    }

    fn forget(&mut self, peer: &PublicKey) {
        self.tried.remove(peer);
        self.last.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: PublicKey = PublicKey::from_bytes([1; 32]);

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn found(port: u16, rx_bytes: u64) -> PeerState {
        PeerState {
            endpoint: Some(at(port)),
            rx_bytes,
            ..PeerState::default()
        }
    }

    fn tried(ports: &[u16]) -> Endpoints {
        let mut endpoints = Endpoints::default();
        let candidates = ports.iter().map(|port| at(*port));
        endpoints.set(PEER, &found(9, 500), at(ports[0]), candidates);
        endpoints
    }

    #[test]
    fn peer_is_heard_only_after_it_is_sent_there() {
        let endpoints = tried(&[1, 2]);
        assert!(!endpoints.is_heard(&PEER, &found(1, 500)), "all came from before");
        assert!(!endpoints.is_heard(&PEER, &found(9, 600)), "it is not sent there");
        assert!(endpoints.is_heard(&PEER, &found(1, 532)));
        let mut device = DeviceState::new(PublicKey::from_bytes([9; 32]), 1);
        device.peers.insert(PEER, found(1, 600));
        let mut next_run = Endpoints::default();
        next_run.resume(endpoints.all().clone(), &device);
        assert!(!next_run.is_heard(&PEER, &found(1, 600)));
        assert!(next_run.is_heard(&PEER, &found(1, 632)));
    }

    #[test]
    fn what_was_there_first_is_remembered_through_all_that_is_tried() {
        let mut endpoints = tried(&[1, 2]);
        let noted = endpoints.tried.clone();
        endpoints.set(PEER, &found(1, 500), at(2), [at(1), at(2)].into_iter());
        assert_eq!(endpoints.tried, noted, "a round is one note");
        endpoints.set(PEER, &found(2, 500), at(3), [at(3)].into_iter());
        assert_eq!(endpoints.before(&PEER), Some(at(9)));
        assert!(endpoints.tried[&PEER].explains(Some(at(2))), "until the change is done");
        assert!(endpoints.tried[&PEER].explains(Some(at(3))));
    }

    #[test]
    fn where_the_peer_moved_by_itself_or_by_hand_is_not_ours() {
        let mut endpoints = tried(&[1, 2]);
        endpoints.observe(&PEER, Some(at(2)), false);
        assert_eq!(endpoints.all().len(), 1, "a change may have failed");
        endpoints.observe(&PEER, Some(at(2)), true);
        assert_eq!(endpoints.all().len(), 0, "its packets come from there");
        let mut endpoints = tried(&[1, 2]);
        endpoints.observe(&PEER, Some(at(7)), false);
        assert_eq!(endpoints.all().len(), 0, "the operator set it");
    }
}
