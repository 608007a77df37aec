//! The stage: the three machines, the two NATs between them, and the one who watches.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::DemoArgs;
use super::journal::Journal;
use super::machine::{self, Blueprint, Order, Report};
use super::nat::{DirectPath, Nat, Place};
use super::screen::Screen;
use super::script::Ending;
use super::table::Table;
use super::world::{self, Host};

/// How long the machines may take to come up, and the daemons to stop when the demo breaks off.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many lines of the daemons' logs to show after a failure.
const LAST_LINES: usize = 30;

/// Everything that the story is played with.
pub(super) struct Stage {
    /// Who reaches whom how.
    pub table: Table,
    /// What people see.
    pub screen: Screen,
    journal: Journal,
    /// The way between the leaves, to be cut and healed.
    pub direct: DirectPath,
    /// Where a daemon runs.
    pub daemons: BTreeSet<Host>,
    /// What daemons left changed.
    pub leftovers: Vec<String>,
    machines: BTreeMap<Host, mpsc::UnboundedSender<Order>>,
    reports: mpsc::Receiver<Report>,
    stopping: bool,
    verbose: bool,
    redraw: Interval,
    interrupt: Signal,
    terminate: Signal,
}

impl Stage {
    /// Makes the machines and connects them.
    pub(super) async fn build(args: &DemoArgs, start: Instant) -> anyhow::Result<Self> {
        let journal = Journal::new(start);
        let (sender, reports) = mpsc::channel(1024);
        let mut redraw = interval(Duration::from_millis(250));
        redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stage = Self {
            table: Table::new(start),
            screen: Screen::new(start),
            journal: journal.clone(),
            direct: DirectPath::default(),
            daemons: BTreeSet::new(),
            leftovers: Vec::new(),
            machines: BTreeMap::new(),
            reports,
            stopping: false,
            verbose: args.verbose,
            redraw,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        };
        machine::make_internet().await.context("there is no Internet")?;
        let (keys, setups) = world::hub_and_spoke()?;
        for (host, setup) in setups {
            let blueprint = Blueprint {
                host,
                setup,
                force_userspace: args.userspace,
                keys,
                journal: journal.clone(),
                reports: sender.clone(),
            };
            stage.machines.insert(host, machine::start(blueprint)?);
        }
        timeout(PATIENCE, stage.connect())
            .await
            .context("the machines did not come up in time")??;
        Ok(stage)
    }

    /// Gives every machine the same order.
    pub(super) fn order(&mut self, order: Order) {
        for (host, machine) in &self.machines {
            match order {
                Order::StartDaemon => drop(self.daemons.insert(*host)),
                Order::StopDaemon => self.stopping = true,
            }
            // A machine that is gone has reported why.
            let _ = machine.send(order);
        }
    }

    /// Watches until something happens.
    ///
    /// # Errors
    /// When a machine or a daemon fails, and when a signal ends the demo.
    pub(super) async fn next(&mut self, waiting: &str) -> Result<(), Ending> {
        tokio::select! {
            report = self.reports.recv() => self.take(report.context("all machines are gone")?)?,
            _ = self.redraw.tick() => {
                self.show_log()?;
                self.screen.draw(&self.table, waiting, Instant::now())?;
            }
            _ = self.interrupt.recv() => Err(Ending::Signal(SignalKind::interrupt()))?,
            _ = self.terminate.recv() => Err(Ending::Signal(SignalKind::terminate()))?,
        }
        Ok(())
    }

    /// Watches for a while.
    pub(super) async fn pause(&mut self, time: Duration) -> Result<(), Ending> {
        let start = Instant::now();
        while start.elapsed() < time {
            self.next("").await?;
        }
        Ok(())
    }

    /// Shows what the daemons logged since, to those who asked for it.
    pub(super) fn show_log(&mut self) -> io::Result<()> {
        let lines = if self.verbose {
            self.journal.unread()
        } else {
            Vec::new()
        };
        lines.iter().try_for_each(|line| self.screen.line(line))
    }

    /// Shows the last lines that the daemons logged, to those who have not seen them.
    pub(super) fn show_last_log(&mut self) -> io::Result<()> {
        let lines = if self.verbose {
            Vec::new()
        } else {
            self.journal.last(LAST_LINES)
        };
        if !lines.is_empty() {
            self.screen.line("\nThe last lines that the daemons logged:")?;
        }
        lines.iter().try_for_each(|line| self.screen.line(line))
    }

    /// Stops all daemons after the demo broke off; what is not over in time ends with the process.
    pub(super) async fn stop_daemons(&mut self) {
        self.order(Order::StopDaemon);
        let stopped = async {
            while !self.daemons.is_empty() {
                match self.reports.recv().await {
                    Some(Report::DaemonEnded { host, .. } | Report::Failed { host, .. }) => {
                        self.daemons.remove(&host);
                    }
                    Some(Report::Ready { .. } | Report::Echo { .. } | Report::Owner { .. }) => {}
                    None => return,
                }
            }
        };
        // Everything is in namespaces of this process: nothing can stay behind.
        let _ = timeout(PATIENCE, stopped).await;
    }

    fn take(&mut self, report: Report) -> anyhow::Result<()> {
        match report {
            Report::Ready { .. } => {}
            Report::Echo { from, to, echo } => {
                if let Some(path) = self.table.echo(from, to, echo, Instant::now()) {
                    self.screen.changed((from, to), path)?;
                }
            }
            Report::Owner { from, to, owner } => self.table.owner(from, to, owner),
            Report::DaemonEnded { host, result, leftover } => {
                self.daemons.remove(&host);
                result.with_context(|| format!("wirelink on {host} failed"))?;
                if !self.stopping {
                    return Err(anyhow!("wirelink on {host} ended although nobody stopped it"));
                }
                self.leftovers.extend(leftover.map(|text| format!("on {host}, {text}")));
            }
            Report::Failed { host, error } => return Err(error.context(format!("{host} cannot go on"))),
        }
        Ok(())
    }

    /// Waits for the machines, and puts the leaves behind their NATs.
    async fn connect(&mut self) -> anyhow::Result<()> {
        let (mut ready, mut kind) = (0, "");
        while ready < self.machines.len() {
            match self.reports.recv().await.context("all machines are gone")? {
                Report::Ready {
                    host,
                    uplink,
                    wireguard,
                } => {
                    if let Some(uplink) = uplink {
                        self.add_nat(host, uplink)?;
                    }
                    kind = wireguard;
                    ready += 1;
                }
                // A machine that is up looks around while others still start.
                report => self.take(report)?,
            }
        }
        Ok(self.screen.line(&format!(
            "A hub at {} and two leaves behind NATs at {} and {}; WireGuard: {kind}.",
            Host::Hub.public_address(),
            Host::LeafA.public_address(),
            Host::LeafB.public_address(),
        ))?)
    }

    fn add_nat(&self, leaf: Host, uplink: tun::Device) -> anyhow::Result<()> {
        let neighbour = if leaf == Host::LeafA { Host::LeafB } else { Host::LeafA };
        let place = Place {
            public: leaf.public_address(),
            neighbour: neighbour.public_address(),
            direct: self.direct.clone(),
        };
        tokio::spawn(Nat::new(place, uplink).context("no NAT")?.run());
        Ok(())
    }
}
