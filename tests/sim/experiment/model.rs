//! Experiments on the model.

use std::net::SocketAddr;

use wirelink::mesh::device::DeviceChange;

use super::super::wire::{Wire, inner, key, packet, seconds};
use super::{Bench, Experiment, HOSTS, Look, Step, make};

/// The hosts of an experiment, modelled.
pub(crate) struct OnModel(Wire);

impl OnModel {
    /// Makes an experiment.
    #[track_caller]
    pub(crate) fn make(experiment: &Experiment) {
        make(Self(Wire::strangers(HOSTS)), experiment);
    }

    fn set_endpoint(&mut self, at: usize, peer: usize, endpoint: SocketAddr) {
        let peer = key(peer);
        self.0.apply(at, DeviceChange::SetEndpoint { peer, endpoint });
    }
}

impl Bench for OnModel {
    const PATIENCE: f64 = 1.0;

    fn act(&mut self, step: Step) {
        let wire = &mut self.0;
        match step {
            Step::Introduce(at, peer) => wire.introduce(at, peer),
            Step::Forget(at, peer) => wire.apply(at, DeviceChange::RemovePeer { peer: key(peer) }),
            Step::Point(at, peer) => {
                let endpoint = wire.hosts[peer].address;
                self.set_endpoint(at, peer, endpoint);
            }
            Step::Mislead(at, peer) => self.set_endpoint(at, peer, ([192, 0, 2, 250], 9).into()),
            Step::Keepalive(at, peer, interval) => wire.keepalive(at, peer, interval),
            Step::Give(at, of, to) => {
                let (peer, prefix) = (key(to), inner(of).into());
                wire.apply(at, DeviceChange::AddAllowedIp { peer, prefix });
            }
            Step::Send(from, to) => wire.send(from, to),
            Step::Forge(from, to) => {
                let mut forged = packet(from, to);
                forged.source = inner(99);
                wire.try_send(from, forged).expect("there is a peer with an endpoint");
            }
            Step::Move(host) => wire.hosts[host].address.set_ip([192, 0, 2, 101 + host as u8].into()),
            Step::Remap(host) => wire.hosts[host].address.set_port(51821),
            Step::Cut => wire.cut = true,
            Step::Heal => wire.cut = false,
            Step::Mark | Step::Within(..) | Step::Not(..) => unreachable!("no deed"),
        }
    }

    fn pass(&mut self, time: f64) {
        self.0.run(seconds(time));
    }

    fn look(&mut self, at: usize, of: usize) -> Look {
        let peer = self.0.hosts[at].tunnel.device().peers.get(&key(of));
        peer.map_or_else(Look::default, |peer| Look {
            sent: peer.tx_bytes,
            handshake: peer.last_handshake.map_or(0, |at| at.since_start().as_nanos() as u64),
            follows: peer.endpoint == Some(self.0.hosts[of].address),
        })
    }

    fn got(&mut self, host: usize) -> usize {
        // What is for somebody else, a machine that forwards nothing drops.
        let got = self.0.delivered.iter();
        got.filter(|got| got.to == host && got.packet.destination == inner(host))
            .count()
    }
}
