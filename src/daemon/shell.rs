//! One node with its device, its machine and its socket: the event loop.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::clock::{Alarm, now};
use super::device::{Device, DeviceError};
use super::host::{Host, HostError, Observation};
use super::resolver::{Answer, Resolver};
use super::socket::Socket;
use super::state::StateFile;
use crate::config::Config;
use crate::mesh::device::DeviceState;
use crate::mesh::event::{Event, Input, Level, Output};
use crate::mesh::identity::PrivateKey;
use crate::mesh::memory::Memory;
use crate::mesh::node::Node;
use crate::mesh::prefix::is_routed;
use crate::mesh::tally::Tally;
use crate::mesh::time::Timestamp;

/// How many datagrams are taken in before it is looked whether something else is due.
const AT_ONCE: usize = 64;
/// When a device that could not be read is read again.
const RETRY: Duration = Duration::from_secs(1);
/// How long putting the device back may take.
const FAREWELL: Duration = Duration::from_secs(30);

pub(super) struct Shell {
    iface: String,
    node: Node,
    device: Device,
    host: Host,
    up: bool,
    socket: Socket,
    resolver: Resolver,
    alarm: Alarm,
    report: Signal,
    complaints: Tally<&'static str>,
    not_before: Timestamp,
    look_again: bool,
    /// Where what survives a restart is kept.
    file: Option<StateFile>,
}

/// What is there before anything is touched.
struct Found {
    device: Device,
    identity: PrivateKey,
    state: DeviceState,
    host: Host,
    seen: Observation,
}

impl Found {
    /// Looks for the device, and waits for it to be up: until then WireGuard may have chosen no port. May be cancelled.
    async fn look(iface: &str) -> anyhow::Result<Self> {
        let mut device = Device::open(iface).await?;
        let mut host = Host::open(iface, device.index())?;
        let seen = wait_until_up(iface, &mut host).await?;
        let identity = device.identity().await?;
        let state = device.read(now()).await?;
        Ok(Self {
            device,
            identity,
            state,
            host,
            seen,
        })
    }
}

impl Shell {
    /// Opens everything that the node needs, once the interface is up; `None` where `stop` came first. Unless it succeeds,
    /// nothing is changed.
    pub(super) async fn open(config: Config, stop: &CancellationToken) -> anyhow::Result<Option<Self>> {
        let iface = config.iface;
        // First, as an unexpected signal would end the process.
        let report = signal(SignalKind::user_defined1()).context("signals cannot be received")?;
        let alarm = Alarm::new().context("there is no timer")?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).context("the system has no random numbers")?;
        let found = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(None),
            found = Found::look(&iface) => found?,
        };
        let listen_port = found.state.listen_port;
        let chosen = config.settings.port;
        let Some(port) = config.settings.fact_port(listen_port) else {
            bail!(
                "{iface} listens on port {listen_port}, so there is no port for facts: give the interface a listen port \
                 from 1 to 65534, or name a port with --port"
            );
        };
        let (device, mut host) = (found.device, found.host);
        let mut node = Node::new(config.settings, found.identity, seed, now());
        let second = chosen.is_none().then(|| port_at_routers(&found.state, port)).flatten();
        let socket = settle(&iface, &mut host, device.index(), node.address(), port, second).await?;
        let also = second
            .map(|second| format!(" and {second}, the routers'"))
            .unwrap_or_default();
        // Not before the address is ours: another daemon would have a file of its own there.
        let file = config
            .state
            .map(|folder| StateFile::new(&folder, &iface, *node.public_key()));
        if let Some(file) = &file {
            node.handle(now(), Input::Remembered(Box::new(file.load())));
        }
        tracing::info!("{}, {iface} at {} port {port}{also}", device.backend(), node.address());
        node.handle(now(), Input::Host(found.seen.state));
        Ok(Some(Self {
            socket,
            alarm,
            report,
            resolver: Resolver::default(),
            complaints: Tally::default(),
            not_before: Timestamp::START,
            look_again: false,
            file,
            up: found.seen.up,
            iface,
            node,
            device,
            host,
        }))
    }

    /// Runs until `stop`. What is due comes before what came in: a flood of datagrams delays no deadline.
    pub(super) async fn serve(&mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        loop {
            self.carry_out(stop).await?;
            let due = self
                .node
                .poll_timeout()
                .map_or(self.not_before, |deadline| deadline.at)
                .max(self.not_before);
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                slept = self.alarm.sleep_until(due) => {
                    slept.context("the timer failed")?;
                    if self.look_again {
                        self.look_around().await?;
                    }
                    self.meet_deadline(stop).await?;
                }
                _ = self.report.recv() => self.report(),
                () = self.host.changed() => self.look_around().await?,
                answer = self.resolver.answer() => self.take_answer(answer),
                readable = self.socket.readable() => {
                    readable.context("the socket failed")?;
                    self.hear();
                }
            }
        }
    }

    async fn meet_deadline(&mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        let read = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            read = self.device.read(now()) => read,
        };
        match read {
            Ok(state) if state.public_key != *self.node.public_key() => {
                bail!("the private key of {} was changed: start wirelink again", self.iface)
            }
            Ok(state) => {
                self.node.handle(now(), Input::Device(&state));
                self.node.handle(now(), Input::Timeout);
                Ok(())
            }
            Err(error) => {
                self.not_before = now() + RETRY;
                self.bear(error)
            }
        }
    }

    /// Goes on after a failure of the device that may pass.
    fn bear(&mut self, error: DeviceError) -> anyhow::Result<()> {
        if error.is_gone() || error.is_permission() {
            return Err(error.into());
        }
        self.warn(error.kind(), &error);
        Ok(())
    }

    async fn look_around(&mut self) -> anyhow::Result<()> {
        self.look_again = false;
        let seen = match self.host.read().await {
            Ok(seen) => seen,
            Err(error) if error.is_gone() => return Err(error.into()),
            Err(error) => {
                // No notice may come for what was missed.
                self.look_again = true;
                self.warn("host", &error);
                return Ok(());
            }
        };
        if self.up != seen.up {
            self.up = seen.up;
            tracing::warn!(
                "{} is {}",
                self.iface,
                if seen.up {
                    "up again"
                } else {
                    "down: no facts until it is up"
                }
            );
        }
        let has_address = seen
            .state
            .tunnel_addresses
            .iter()
            .any(|net| net.addr() == self.node.address());
        if seen.up && !has_address {
            match self.host.ensure_address(self.node.address()).await {
                Err(error) if error.is_gone() => return Err(error.into()),
                Err(error) => {
                    // Nor does one when the obstacle is out of the way.
                    self.look_again = true;
                    self.warn("address", &error);
                }
                Ok(_) => tracing::debug!("{} is back on {}", self.node.address(), self.iface),
            }
        }
        self.node.handle(now(), Input::Host(seen.state));
        Ok(())
    }

    fn take_answer(&mut self, (host, found): Answer) {
        let addresses = found.unwrap_or_else(|error| {
            self.warn(
                "lookup",
                format_args!("the endpoint {host} cannot be looked up: {error}"),
            );
            Vec::new()
        });
        self.node.handle(now(), Input::Resolved { host, addresses });
    }

    fn hear(&mut self) {
        for _ in 0..AT_ONCE {
            match self.socket.receive() {
                Ok(Some((source, payload))) => self.node.handle(now(), Input::Packet { source, payload }),
                Ok(None) => return,
                Err(error) => {
                    return self.warn("receive", format_args!("receiving facts failed: {error}"));
                }
            }
        }
    }

    /// Does what the node wants, in its order, until `stop`.
    async fn carry_out(&mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut answers = true;
        while !stop.is_cancelled()
            && let Some(output) = self.node.poll_output()
        {
            match output {
                // One that does not answer is left alone until the next plan: each change would cost the full deadline.
                Output::Configure(_) if !answers => {}
                Output::Configure(change) => {
                    tracing::debug!("{change:?}");
                    if let Err(error) = self.device.apply(&change).await {
                        answers = !matches!(error, DeviceError::TimedOut(_));
                        self.bear(error)?;
                    }
                }
                Output::Remember(memory) => self.remember(&memory),
                Output::Transmit { to, payload } => {
                    if let Err(error) = self.socket.send(to, &payload) {
                        tracing::debug!("nothing sent to {to}: {error}");
                    }
                }
                Output::Resolve(host) => self.resolver.ask(host),
                Output::Notify(event) => log(&event),
            }
        }
        Ok(())
    }

    fn remember(&mut self, memory: &Memory) {
        if let Some(file) = &mut self.file {
            file.save(memory);
        }
    }

    /// Logs a failure that may come again with every deadline, but each kind once a minute.
    fn warn(&mut self, kind: &'static str, failure: impl Display) {
        match self.complaints.count(now(), kind) {
            None => {}
            Some(1) => tracing::warn!("{failure}"),
            Some(times) => tracing::warn!("{failure} ({times} times since this was last logged)"),
        }
    }

    fn report(&self) {
        for line in self.node.status(now()).to_string().lines() {
            tracing::info!("{line}");
        }
    }

    /// Puts the interface back as it was found, as far as it is still there.
    pub(super) async fn close(mut self) -> anyhow::Result<()> {
        let device = match timeout(FAREWELL, self.restore()).await {
            Ok(restored) => restored.map_err(anyhow::Error::from),
            Err(_) => Err(anyhow!("it took longer than {} s", FAREWELL.as_secs())),
        };
        // Whatever became of the device: nobody answers at the address any more.
        let address = self.host.remove_address().await;
        device
            .and(address.map_err(anyhow::Error::from))
            .with_context(|| format!("{} is not as it was found", self.iface))?;
        tracing::info!("stopped; {} is as it was found", self.iface);
        Ok(())
    }

    /// Takes off the device what the node put there; one failure does not keep the rest on it.
    async fn restore(&mut self) -> Result<(), DeviceError> {
        // What the node still wanted would only have to be taken back.
        while self.node.poll_output().is_some() {}
        let state = self.device.read(now()).await?;
        self.node.handle(now(), Input::Device(&state));
        self.node.handle(now(), Input::Stop);
        let mut restored = Ok(());
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Configure(change) => {
                    tracing::debug!("{change:?}");
                    let applied = self.device.apply(&change).await;
                    restored = restored.and(applied);
                }
                // What is still there in spite of it is for the next start to take away.
                Output::Remember(memory) if restored.is_ok() => self.remember(&memory),
                Output::Remember(_) | Output::Transmit { .. } | Output::Resolve(_) | Output::Notify(_) => {}
            }
        }
        restored
    }
}

/// Gives the interface the address of the node, and opens the socket there; or leaves the interface as it is.
async fn settle(
    iface: &str,
    host: &mut Host,
    index: u32,
    address: Ipv6Addr,
    port: u16,
    second: Option<u16>,
) -> anyhow::Result<Socket> {
    let added = host.ensure_address(address).await?;
    let socket = Socket::bind(iface, index, address, port, second).await;
    // An address that was there already may be in use by the program that has the port.
    if socket.is_err() && added {
        host.remove_address().await.ok();
    }
    Ok(socket?)
}

/// Returns the port for facts that follows from where the routers are, where that of this node is another one.
///
/// Without a `ListenPort` WireGuard takes any port, and then no node listens where the others send.
fn port_at_routers(device: &DeviceState, port: u16) -> Option<u16> {
    let routers = device
        .peers
        .values()
        .filter(|peer| peer.allowed_ips.iter().any(is_routed));
    let endpoints = routers.filter_map(|peer| peer.endpoint);
    let ports: BTreeSet<u16> = endpoints
        .filter_map(|endpoint| endpoint.port().checked_add(1))
        .collect();
    ports.first().copied().filter(|_| !ports.contains(&port))
}

async fn wait_until_up(iface: &str, host: &mut Host) -> Result<Observation, HostError> {
    let mut seen = host.read().await?;
    if !seen.up {
        tracing::warn!("{iface} is down; waiting for it to be up");
    }
    while !seen.up {
        host.changed().await;
        seen = host.read().await?;
    }
    Ok(seen)
}

fn log(event: &Event) {
    match event.level() {
        Level::Debug => tracing::debug!("{event}"),
        Level::Info => tracing::info!("{event}"),
        Level::Warn => tracing::warn!("{event}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::device::PeerState;
    use crate::mesh::identity::PublicKey;

    fn device(peers: &[(&str, &str)]) -> DeviceState {
        let mut device = DeviceState::new(PublicKey::from_bytes([0; 32]), 40_000);
        for (number, (endpoint, prefix)) in (1..).zip(peers) {
            let peer = PeerState {
                endpoint: Some(endpoint.parse().unwrap()),
                allowed_ips: [prefix.parse().unwrap()].into(),
                ..PeerState::default()
            };
            device.peers.insert(PublicKey::from_bytes([number; 32]), peer);
        }
        device
    }

    #[test]
    fn a_port_that_no_router_has_is_doubtful() {
        let hub = ("192.0.2.1:51820", "10.0.0.0/24");
        let leaf = ("192.0.2.2:7", "10.0.0.2/32");
        let other_hub = ("192.0.2.3:40000", "10.1.0.0/24");
        assert_eq!(port_at_routers(&device(&[hub, leaf]), 40_001), Some(51_821));
        assert_eq!(port_at_routers(&device(&[hub, leaf]), 51_821), None);
        assert_eq!(port_at_routers(&device(&[hub, other_hub]), 40_001), None);
        assert_eq!(port_at_routers(&device(&[leaf]), 40_001), None);
    }
}
