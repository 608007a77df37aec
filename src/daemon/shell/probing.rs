//! Probes on their way between the node and the raw sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::Shell;
use crate::daemon::clock::{now, since_1970};
use crate::daemon::device::Device;
use crate::daemon::probe::{Heard, Port, Prober, What};
use crate::mesh::device::DeviceState;
use crate::mesh::reach::stun::Transaction;
use crate::mesh::show::event::{Input, NoProbes};

/// The raw sockets, or why there are none.
pub(super) struct Probing {
    prober: Result<Prober, NoProbes>,
    epoch: u64,
    /// The mark of WireGuard's packets when it was looked at last.
    fwmark: u32,
}

impl Probing {
    /// Opens the raw sockets where they are wanted, and says it where there are none.
    ///
    /// The epoch is what the clock on the wall shows, whatever that is, 1970 included: the node remembers the last one.
    pub(super) fn start(wanted: bool, device: &Device, state: &DeviceState) -> Self {
        let opened = wanted.then(|| Prober::open(port(device, state)));
        let prober = opened.unwrap_or(Err(NoProbes::Off));
        if let Err(reason) = &prober {
            tracing::info!(
                "no probes, {reason}: where peers can be reached is tried one endpoint after the other, 5 s each"
            );
        }
        Self {
            prober,
            fwmark: device.fwmark(),
            epoch: u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Returns what the node is told of it.
    pub(super) fn state(&self) -> Input<'static> {
        Input::Prober {
            epoch: self.epoch,
            missing: self.missing(),
        }
    }

    /// Returns why there are no raw sockets, where that is so.
    fn missing(&self) -> Option<NoProbes> {
        self.prober.as_ref().err().copied()
    }

    /// Waits until a probe can be received, for ever where there are no raw sockets; may be cancelled.
    pub(super) async fn readable(&mut self) -> io::Result<()> {
        match &mut self.prober {
            Ok(prober) => prober.readable().await,
            Err(_) => std::future::pending().await,
        }
    }

    /// Sends a probe; what cannot be sent is lost.
    pub(super) fn send(&self, from: Option<u16>, local: Option<IpAddr>, to: SocketAddr, payload: &[u8]) {
        if let Ok(prober) = &self.prober
            && let Err(error) = prober.send(from, local, to, payload)
        {
            tracing::debug!("no probe sent to {to}: {error}");
        }
    }

    /// Asks a STUN server; what cannot be sent is lost.
    pub(super) fn ask(&mut self, to: SocketAddr, transaction: Transaction) {
        if let Ok(prober) = &mut self.prober
            && let Err(error) = prober.ask(to, transaction)
        {
            tracing::debug!("the STUN server {to} is not asked: {error}");
        }
    }

    fn receive(&mut self) -> io::Result<Option<Heard>> {
        self.prober.as_mut().map_or(Ok(None), Prober::receive)
    }

    /// Follows WireGuard; where that fails, or nothing but the right was there to open sockets before, new ones may do.
    fn follow(&mut self, port: Port) -> io::Result<()> {
        let followed = match &mut self.prober {
            Ok(prober) => prober.follow(port),
            Err(NoProbes::Off | NoProbes::NotPermitted) => return Ok(()),
            Err(NoProbes::NotSupported) => Ok(()),
        };
        if followed.is_err() || self.prober.is_err() {
            self.prober = Prober::open(port);
        }
        followed
    }
}

/// Returns where WireGuard listens and how it marks its packets.
fn port(device: &Device, state: &DeviceState) -> Port {
    Port {
        number: state.listen_port,
        fwmark: device.fwmark(),
    }
}

impl Shell {
    /// Hands in what came, as much as is taken in at once.
    pub(super) fn hear_probes(&mut self, readable: io::Result<()>) {
        let mut heard = readable.and_then(|()| self.probing.receive());
        while let Ok(Some(Heard { source, local, what })) = heard {
            let input = match &what {
                What::Probe(payload) => Input::Probe { source, local, payload },
                What::Stun(answer) => Input::Stun {
                    source,
                    answer: *answer,
                },
            };
            self.node.handle(now(), input);
            heard = self.probing.receive();
        }
        if let Err(error) = heard {
            self.lose_probes(&error);
        }
    }

    /// Goes where WireGuard goes: another listen port, another fwmark.
    pub(super) fn follow_probes(&mut self, state: &DeviceState) {
        let before = self.probing.missing();
        // Rules may have packets with another mark go another way.
        self.look_again |= self.device.fwmark() != self.probing.fwmark;
        self.probing.fwmark = self.device.fwmark();
        if let Err(error) = self.probing.follow(port(&self.device, state)) {
            self.warn(
                "probes",
                format_args!("the raw sockets for probes were opened anew: {error}"),
            );
        }
        if self.probing.missing() != before {
            self.node.handle(now(), self.probing.state());
        }
    }

    /// Does without raw sockets until the device is read next.
    fn lose_probes(&mut self, error: &io::Error) {
        self.warn("probes", format_args!("receiving probes failed: {error}"));
        self.probing.prober = Err(NoProbes::NotSupported);
        self.node.handle(now(), self.probing.state());
    }
}
