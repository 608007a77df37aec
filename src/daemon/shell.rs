//! One node with its device, its machine and its socket: the event loop.

mod answers;
mod farewell;
mod outside;
mod pinging;
mod probing;
mod surroundings;

use std::fmt::Display;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::clock::{Alarm, now};
use super::control::Control;
use super::device::{Device, DeviceError};
use super::found::Found;
use super::history::History;
use super::host::Host;
use super::lock::Lock;
use super::logs;
use super::metrics::Metrics;
use super::ports::Ports;
use super::resolver::{Answer, Resolver};
use super::socket::{Place, Socket};
use super::state::{StateFile, Writer};
use super::systemd::{Due, Systemd};
use super::wg_quick::WgQuick;
use super::{Steering, Stop};
use crate::config::Config;
use crate::mesh::base::time::Timestamp;
use crate::mesh::device::DeviceChange;
use crate::mesh::device::contest::{self, Contest, Verdict};
use crate::mesh::node::Node;
use crate::mesh::show::event::{Event, Input, Output, Whereabouts};
use crate::mesh::show::tally::Tally;

use self::pinging::Pinging;
use self::probing::Probing;
use self::surroundings::settle;

/// How many datagrams are taken in before it is looked whether something else is due.
const AT_ONCE: usize = 64;
/// When a device that could not be read is read again.
const RETRY: Duration = Duration::from_secs(1);
/// How often it is tried to have a port that somebody else had.
const PORTS_AGAIN: Duration = Duration::from_secs(60);

pub(super) struct Shell {
    /// What it is called now, whatever the configuration calls it.
    iface: String,
    lock: Lock,
    /// As it was read last, with what the operator said since the start.
    config: Config,
    node: Node,
    device: Device,
    host: Host,
    /// The addresses of the interface.
    own: Vec<ipnet::IpNet>,
    /// The network that this machine was in when it was last looked at.
    whereabouts: Whereabouts,
    up: bool,
    ports: Ports,
    /// The other WireGuard interfaces of the machine.
    neighbours: Vec<String>,
    socket: Socket,
    /// When it is tried again to have the ports as they should be.
    ports_at: Timestamp,
    probing: Probing,
    resolver: Resolver,
    wg_quick: Option<WgQuick>,
    alarm: Alarm,
    report: Signal,
    contest: Contest,
    complaints: Tally<(), &'static str>,
    not_before: Timestamp,
    look_again: bool,
    /// Where what survives a restart is kept.
    writer: Writer,
    /// What comes next, and waits until something is written.
    held: Option<Output>,
    began: Timestamp,
    control: Control,
    metrics: Metrics,
    history: History,
    pinging: Pinging,
    reload: Signal,
    steering: Steering,
    systemd: Systemd,
}

/// Why a node's service came to its end.
pub(super) enum End {
    /// Somebody asked for it.
    Stopped,
    /// Somebody asked for it who starts the next one at once: the device stays as it is.
    Left,
    /// The device has another private key: it is another node's.
    OtherKey,
}

impl Shell {
    /// Opens everything that the node needs, once the interface is up; `None` where `stop` came first. Unless it succeeds,
    /// nothing is changed.
    pub(super) async fn open(config: &Config, steering: &Steering, stop: &Stop) -> anyhow::Result<Option<Self>> {
        // First, as an unexpected signal would end the process.
        let report = signal(SignalKind::user_defined1()).context("signals cannot be received")?;
        let reload = signal(SignalKind::hangup()).context("signals cannot be received")?;
        let alarm = Alarm::new().context("there is no timer")?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).context("the system has no random numbers")?;
        let mut systemd = Systemd::open();
        let found = tokio::select! {
            biased;
            _ = stop.asked() => return Ok(None),
            found = Found::look(&config.iface, config.wait, config.state.as_deref()) => found?,
            () = systemd.keep_beating() => unreachable!("it never ends"),
        };
        let iface = found.seen.name.clone();
        let Some(ports) = Ports::of(&config.settings, &found.state, &found.seen.state.tunnel_addresses) else {
            bail!(
                "{iface} listens on port {}, so there is no port for facts: give the interface a listen port from 1 to \
                 65534, or name a port with --port",
                found.state.listen_port
            );
        };
        let (device, mut host) = (found.device, found.host);
        let mut node = Node::new(config.settings.clone(), found.identity, seed, now());
        let place = Place {
            iface: iface.clone(),
            index: device.index(),
            address: node.address(),
        };
        let neighbours = found.seen.other_wireguard();
        let socket = settle(&mut host, place, ports.wants(!neighbours.is_empty())).await?;
        let file = config
            .state
            .as_ref()
            .map(|folder| StateFile::new(folder, &iface, *node.public_key()));
        if let Some(file) = &file {
            node.handle(now(), Input::Remembered(Box::new(file.load())));
        }
        tracing::info!("{}, {iface} at {} {ports}", device.backend(), node.address());
        let probing = Probing::start(config.probe, &device, &found.state);
        node.handle(now(), probing.state());
        let control = Control::open(config.control.as_deref(), &iface);
        let whereabouts = found.seen.state.whereabouts();
        let own = found.seen.state.tunnel_addresses.clone();
        node.handle(now(), Input::Host(found.seen.state));
        systemd.ready();
        let shell = Self {
            lock: found.lock,
            whereabouts,
            own,
            config: config.clone(),
            ports,
            neighbours,
            socket,
            ports_at: now() + PORTS_AGAIN,
            probing,
            alarm,
            report,
            resolver: Resolver::default(),
            wg_quick: config.wg_quick.clone().map(WgQuick::new),
            contest: Contest::default(),
            complaints: Tally::default(),
            not_before: Timestamp::START,
            look_again: false,
            writer: Writer::new(file),
            held: None,
            began: now(),
            metrics: Metrics::open(&config.metrics, control.events(), control.held()),
            control,
            history: History::default(),
            pinging: Pinging::default(),
            reload,
            steering: steering.clone(),
            systemd,
            up: found.seen.up,
            iface,
            node,
            device,
            host,
        };
        shell.tell_ports().await;
        Ok(Some(shell))
    }

    /// Returns the configuration as it is followed now: the next node on the interface begins with it.
    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    /// Runs until `stop`. What is due comes before what came in: a flood of datagrams delays no deadline. Of what came in, questions and
    /// datagrams alike, each has its turn. A change that must be written down first delays all that is due, so that the device is not read
    /// between its plan and its change; what comes in is taken in.
    pub(super) async fn serve(&mut self, stop: &Stop) -> anyhow::Result<End> {
        loop {
            self.carry_out(stop).await?;
            let due = self
                .node
                .poll_timeout()
                .map_or(self.not_before, |deadline| deadline.at)
                .max(self.not_before);
            tokio::select! {
                biased;
                end = stop.asked() => return Ok(end),
                due = self.systemd.due() => self.inform(due),
                () = self.writer.settle(), if self.writer.is_writing() => {}
                slept = self.alarm.sleep_until(due), if self.held.is_none() => {
                    slept.context("the timer failed")?;
                    if self.look_again {
                        self.look_around().await?;
                    }
                    if !self.meet_deadline(stop).await? {
                        return Ok(End::OtherKey);
                    }
                }
                _ = self.report.recv() => self.report(),
                _ = self.reload.recv() => {
                    if let Err((_, why)) = self.reload() {
                        tracing::error!("{why}");
                    }
                }
                () = self.lock.show() => {}
                came = outside::next(
                    self.control.asked(),
                    self.metrics.wanted(),
                    self.host.changed(),
                    self.resolver.answer(),
                    self.probing.readable(),
                    self.socket.readable(),
                ) => self.take_in(came).await?,
            }
        }
    }

    /// Has the node do what is due; returns whether the device is still its own.
    async fn meet_deadline(&mut self, stop: &Stop) -> anyhow::Result<bool> {
        let read = tokio::select! {
            biased;
            _ = stop.asked() => return Ok(true),
            read = self.device.read(now()) => read,
        };
        match read {
            Ok(state) if state.public_key != *self.node.public_key() => {
                tracing::warn!(
                    "the private key of {} was changed: starting anew as another node",
                    self.iface
                );
                return Ok(false);
            }
            Ok(state) => {
                self.follow_ports(&state).await;
                self.follow_probes(&state);
                self.read_names();
                self.node.handle(now(), Input::Device(&state));
                self.node.handle(now(), Input::Timeout);
            }
            Err(error) => {
                self.not_before = now() + RETRY;
                self.bear(error)?;
            }
        }
        Ok(true)
    }

    /// Goes on after a failure of the device that may pass.
    fn bear(&mut self, error: DeviceError) -> anyhow::Result<()> {
        if error.is_gone() || error.is_permission() {
            return Err(error.into());
        }
        self.warn(error.kind(), &error);
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
                Ok(Some((source, ports, payload))) => {
                    self.node.handle(now(), Input::Packet { source, ports, payload });
                }
                Ok(None) => return,
                Err(error) => {
                    return self.warn("receive", format_args!("receiving facts failed: {error}"));
                }
            }
        }
    }

    /// Does what the node wants, in its order, until `stop`.
    async fn carry_out(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let mut answers = true;
        while !stop.is_asked()
            && let Some(output) = self.next_output()
        {
            match output {
                // One that does not answer is left alone until the next plan: each change would cost the full deadline.
                Output::Configure(_) if !answers => {}
                Output::Configure(change) => answers = self.configure(&change).await?,
                Output::Remember(memory) => self.writer.start(memory),
                Output::Transmit { to, ports, payload } => {
                    if let Err(error) = self.socket.send(to, ports, &payload) {
                        tracing::debug!("nothing sent to {to}: {error}");
                    }
                }
                Output::Probe {
                    from,
                    local,
                    to,
                    payload,
                } => self.probing.send(from, local, to, &payload),
                Output::Stun { to, transaction } => self.probing.ask(to, transaction),
                Output::FindRoute(address) => self.find_route(address).await,
                Output::Resolve(host) => self.resolver.ask(host),
                Output::Pong { id, path, outcome } => self.pinging.tell(id, path, outcome),
                Output::Notify(event) => self.note(&event),
            }
        }
        Ok(())
    }

    /// Tells an event to the log and to whoever follows.
    fn note(&mut self, event: &Event) {
        if event
            .made()
            .is_some_and(|(object, made)| self.contest.was_made(&object, made))
        {
            return tracing::debug!("{event}, again");
        }
        self.systemd.expect_news();
        self.control.tell(self.history.note(event));
        logs::tell(&self.iface, event);
    }

    /// Returns what is to be done next, unless that must wait until something is written.
    fn next_output(&mut self) -> Option<Output> {
        let output = self.held.take().or_else(|| self.node.poll_output())?;
        let waits = match output {
            Output::Configure(_) | Output::Remember(_) => self.writer.is_writing(),
            Output::Transmit { .. }
            | Output::Probe { .. }
            | Output::Stun { .. }
            | Output::FindRoute(_)
            | Output::Resolve(_)
            | Output::Pong { .. }
            | Output::Notify(_) => false,
        };
        if waits {
            self.held = Some(output);
            return None;
        }
        Some(output)
    }

    /// Makes a change, unless somebody else undoes it all the time; returns whether the device answers.
    async fn configure(&mut self, change: &DeviceChange) -> anyhow::Result<bool> {
        let verdict = self.contest.judge(now(), change);
        if verdict == Verdict::NotYet {
            return Ok(true);
        }
        tracing::debug!("{change:?}");
        if let Err(error) = self.device.apply(change).await {
            let answers = !matches!(error, DeviceError::TimedOut(_));
            return self.bear(error).map(|()| answers);
        }
        self.contest.note(now(), change);
        if verdict == Verdict::Again {
            self.warn_of_contest(contest::what(change));
        }
        Ok(true)
    }

    fn warn_of_contest(&mut self, what: impl Display) {
        let iface = self.iface.clone();
        self.warn(
            "contest",
            format_args!("something else takes off {iface} what wirelink put there, and it is put back, but less and less often: {what}"),
        );
    }

    /// Logs a failure that may come again with every deadline, but each kind once a minute.
    fn warn(&mut self, kind: &'static str, failure: impl Display) {
        match self.complaints.count(now(), (), kind) {
            None => {}
            Some(1) => tracing::warn!("{failure}"),
            Some(times) => tracing::warn!("{failure} ({times} times since this was last logged)"),
        }
    }

    fn inform(&mut self, due: Due) {
        match due {
            Due::Beat => {}
            Due::Line => self.systemd.say(&self.node.overview(now())),
        }
    }

    fn report(&self) {
        for line in self.node.status(now()).to_string().lines() {
            tracing::info!("{line}");
        }
    }
}
