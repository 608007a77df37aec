//! One machine of the demo: a thread with a network of its own, WireGuard in it, and at times a daemon beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use ipnet::{IpNet, Ipv4Net};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{Config, LogFormat};
use crate::daemon::{self, Steering, Stop};
use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::prefixes::Prefixes;
use crate::mesh::base::settings::Settings;

use super::ip::Network;
use super::journal::Journal;
use super::ping::{Echo, Pinger};
use super::sandbox;
use super::wireguard::{MTU, Setup, Tunnel, owner};
use super::world::{self, Host, Keys};

/// How often each target is asked for an echo, and the device is read.
const BEAT: Duration = Duration::from_millis(200);

const UPLINK: &str = "wan0";
const UPLINK_MTU: u16 = 1500;

/// The kernel's own choice.
const LOOPBACK_MTU: u32 = 65_536;

/// What a machine may be told to do. When nobody can tell it anything any more, it ends.
#[derive(Clone, Copy)]
pub(super) enum Order {
    /// Start `wirelink`.
    StartDaemon,
    /// Stop it.
    StopDaemon,
}

/// What a machine tells.
pub(super) enum Report {
    /// It is up.
    Ready {
        /// Which one.
        host: Host,
        /// The end of its uplink that belongs into a NAT.
        uplink: Option<tun::Device>,
        /// What its WireGuard is.
        wireguard: &'static str,
    },
    /// It asked for an echo.
    Echo {
        /// Who asked.
        from: Host,
        /// Who was asked.
        to: Host,
        /// What became of it.
        echo: Echo,
    },
    /// It looked to which peer its WireGuard sends packets for another.
    Owner {
        /// Whose WireGuard.
        from: Host,
        /// For whom the packets are.
        to: Host,
        /// The peer that gets them.
        owner: Option<Host>,
    },
    /// Its daemon ended.
    DaemonEnded {
        /// On which machine.
        host: Host,
        /// How.
        result: anyhow::Result<()>,
        /// What it left changed, for people.
        leftover: Option<String>,
    },
    /// It cannot go on.
    Failed {
        /// Which one.
        host: Host,
        /// Why.
        error: anyhow::Error,
    },
}

/// What a machine is made from.
pub(super) struct Blueprint {
    /// Which one it is.
    pub host: Host,
    /// Its WireGuard.
    pub setup: Setup,
    /// Whether not even to try the kernel's.
    pub force_userspace: bool,
    /// Whose key is whose.
    pub keys: Keys,
    /// Where its daemon logs to.
    pub journal: Journal,
    /// Where it reports to.
    pub reports: mpsc::Sender<Report>,
}

/// Starts a machine; the hub in the network of the calling thread, which stands for the Internet.
pub(super) fn start(blueprint: Blueprint) -> anyhow::Result<mpsc::UnboundedSender<Order>> {
    let (sender, orders) = mpsc::unbounded_channel();
    let host = blueprint.host;
    let body = move || {
        let reports = blueprint.reports.clone();
        if let Err(error) = live(blueprint, orders) {
            // Nobody to tell means that the demo is over.
            let _ = reports.blocking_send(Report::Failed { host, error });
        }
    };
    thread::Builder::new()
        .name(host.name().to_owned())
        .spawn(body)
        .context("no thread for a machine")?;
    Ok(sender)
}

fn live(blueprint: Blueprint, orders: mpsc::UnboundedReceiver<Order>) -> anyhow::Result<()> {
    match blueprint.host {
        Host::Hub => sandbox::forward_packets()?,
        Host::LeafA | Host::LeafB => sandbox::own_network()?,
    }
    let body = async { Machine::build(blueprint).await?.run(orders).await };
    LocalSet::new().block_on(&runtime()?, body)
}

/// Makes the Internet: the network of the calling thread, with every public address in it.
pub(super) async fn make_internet() -> anyhow::Result<()> {
    let network = Network::open()?;
    let hub = Host::Hub.public_address();
    network.up("lo", LOOPBACK_MTU).await?;
    network.add_address("lo", hub.into()).await?;
    network.add_local_route(Host::LeafA.public_address(), hub).await?;
    network.add_local_route(Host::LeafB.public_address(), hub).await
}

/// Returns a runtime that stays in the network of the calling thread.
pub(super) fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("no runtime")
}

struct Machine {
    host: Host,
    keys: Keys,
    network: Network,
    tunnel: Tunnel,
    pinger: Pinger,
    targets: Vec<Host>,
    journal: Journal,
    reports: mpsc::Sender<Report>,
    daemon: Option<Daemon>,
}

/// A daemon that runs on a machine.
struct Daemon {
    stop: Stop,
    result: oneshot::Receiver<anyhow::Result<()>>,
    before: Snapshot,
}

/// What must be as before when a daemon has stopped.
#[derive(PartialEq, Eq)]
struct Snapshot {
    peers: BTreeMap<PublicKey, (Prefixes, Option<u16>)>,
    addresses: BTreeSet<IpNet>,
}

impl Machine {
    async fn build(blueprint: Blueprint) -> anyhow::Result<Self> {
        let Blueprint { host, setup, .. } = blueprint;
        let network = Network::open()?;
        network.up("lo", LOOPBACK_MTU).await?;
        let uplink = match host.home_address() {
            Some(home) => Some(make_uplink(&network, Ipv4Net::new(home, 24)?).await?),
            None => None,
        };
        let tunnel = Tunnel::make(&network, setup, blueprint.force_userspace).await?;
        network.add_address(host.interface(), host.tunnel_net()).await?;
        network.up(host.interface(), MTU.into()).await?;
        let ready = Report::Ready {
            host,
            uplink,
            wireguard: tunnel.kind(),
        };
        blueprint.reports.send(ready).await.context("the demo is over")?;
        Ok(Self {
            host,
            keys: blueprint.keys,
            network,
            tunnel,
            pinger: Pinger::open(host as u16).context("no raw socket for echoes")?,
            targets: Host::PAIRS
                .into_iter()
                .filter(|(from, _)| *from == host)
                .map(|(_, to)| to)
                .collect(),
            journal: blueprint.journal,
            reports: blueprint.reports,
            daemon: None,
        })
    }

    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) -> anyhow::Result<()> {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::StartDaemon) => self.start_daemon().await?,
                    Some(Order::StopDaemon) => self.daemon.iter().for_each(|daemon| daemon.stop.stop()),
                    None => return Ok(()),
                },
                answer = self.pinger.answer() => {
                    let (to, echo) = answer?;
                    self.report_echo(to.into(), echo).await?;
                }
                _ = beat.tick() => self.beat().await?,
                result = ended(&mut self.daemon) => self.daemon_ended(result).await?,
            }
        }
    }

    async fn beat(&mut self) -> anyhow::Result<()> {
        for lost in self.pinger.give_up() {
            self.report_echo(lost.into(), Echo::Lost).await?;
        }
        let peers = self.tunnel.peers().await?;
        for &to in &self.targets {
            self.pinger.send(to.tunnel_address());
            let owner = owner(&peers, to.tunnel_address().into()).and_then(|key| self.keys.host(&key));
            let report = Report::Owner {
                from: self.host,
                to,
                owner,
            };
            self.reports.send(report).await?;
        }
        Ok(())
    }

    async fn report_echo(&self, to: IpAddr, echo: Echo) -> anyhow::Result<()> {
        let target = self.targets.iter().find(|host| IpAddr::V4(host.tunnel_address()) == to);
        if let Some(&to) = target {
            let from = self.host;
            self.reports.send(Report::Echo { from, to, echo }).await?;
        }
        Ok(())
    }

    async fn start_daemon(&mut self) -> anyhow::Result<()> {
        let before = self.snapshot().await?;
        let stop = Stop::default();
        let (sender, result) = oneshot::channel();
        let (host, journal, token) = (self.host, self.journal.clone(), stop.clone());
        let settings = world::settings(&self.keys, host);
        let body = move || {
            let _guard = tracing::subscriber::set_default(journal.subscriber(host.name()));
            let result = run_daemon(host, settings, token);
            // The machine may be gone; then nobody wants to know.
            let _ = sender.send(result);
        };
        // A thread starts in the network of the thread that makes it.
        thread::Builder::new()
            .name(format!("wirelink-{host}"))
            .spawn(body)
            .context("no thread for a daemon")?;
        self.daemon = Some(Daemon { stop, result, before });
        Ok(())
    }

    async fn daemon_ended(&mut self, result: anyhow::Result<()>) -> anyhow::Result<()> {
        let Some(daemon) = self.daemon.take() else {
            return Ok(());
        };
        // Where it failed, the interface may be gone; then that is the news, not what it left.
        let leftover = match &result {
            Ok(()) => daemon.before.difference(&self.snapshot().await?),
            Err(_) => None,
        };
        let report = Report::DaemonEnded {
            host: self.host,
            result,
            leftover,
        };
        Ok(self.reports.send(report).await?)
    }

    async fn snapshot(&mut self) -> anyhow::Result<Snapshot> {
        let peers = self.tunnel.peers().await?.into_iter();
        Ok(Snapshot {
            peers: peers
                .map(|(key, peer)| (key, (peer.allowed_ips, peer.keepalive)))
                .collect(),
            addresses: self.network.addresses(self.host.interface()).await?,
        })
    }
}

impl Snapshot {
    /// Tells how `after` differs, or nothing where it does not.
    fn difference(&self, after: &Self) -> Option<String> {
        if self == after {
            return None;
        }
        let mut text = Vec::new();
        for key in self.peers.keys().chain(after.peers.keys()).collect::<BTreeSet<_>>() {
            match (self.peers.get(key), after.peers.get(key)) {
                (Some(_), None) => text.push(format!("peer {} is gone", key.short())),
                (None, Some(_)) => text.push(format!("peer {} is new", key.short())),
                (Some(was), Some(is)) if was != is => {
                    text.push(format!("peer {}: {:?} became {:?}", key.short(), was, is));
                }
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
        for address in self.addresses.symmetric_difference(&after.addresses) {
            let what = if after.addresses.contains(address) {
                "new"
            } else {
                "gone"
            };
            text.push(format!("address {address} is {what}"));
        }
        Some(text.join(", "))
    }
}

/// Waits for the end of the daemon, for ever where there is none; can be dropped at any time.
async fn ended(daemon: &mut Option<Daemon>) -> anyhow::Result<()> {
    match daemon {
        Some(daemon) => (&mut daemon.result)
            .await
            .unwrap_or_else(|_| Err(anyhow!("it panicked"))),
        None => std::future::pending().await,
    }
}

fn run_daemon(host: Host, settings: Settings, stop: Stop) -> anyhow::Result<()> {
    let config = Config {
        iface: host.interface().to_owned(),
        debug: false,
        log_format: LogFormat::Auto,
        wait: false,
        probe: true,
        file: None,
        directory: std::path::PathBuf::new(),
        state: None,
        control: None,
        metrics: Vec::new(),
        wg_quick: None,
        settings,
    };
    let steering = Steering::fixed(&config);
    runtime()?.block_on(daemon::run(config, steering, stop))
}

async fn make_uplink(network: &Network, home: Ipv4Net) -> anyhow::Result<tun::Device> {
    let mut config = tun::Configuration::default();
    config.tun_name(UPLINK).mtu(UPLINK_MTU);
    let device = tun::create(&config).context("no TUN device for an uplink")?;
    network.add_address(UPLINK, home).await?;
    network.up(UPLINK, UPLINK_MTU.into()).await?;
    network.add_default_route(UPLINK).await?;
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told() {
        let key = PublicKey::from_bytes([1; 32]);
        let snapshot = |peers: &[(PublicKey, u16)], addresses: &[&str]| Snapshot {
            peers: peers
                .iter()
                .map(|(key, keepalive)| (*key, (Prefixes::default(), Some(*keepalive))))
                .collect(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        };
        let before = snapshot(&[(key, 25)], &["10.77.0.2/24"]);
        assert_eq!(before.difference(&snapshot(&[(key, 25)], &["10.77.0.2/24"])), None);
        for (after, told) in [
            (snapshot(&[], &["10.77.0.2/24"]), "is gone"),
            (snapshot(&[(key, 0)], &["10.77.0.2/24"]), "became"),
            (
                snapshot(&[(key, 25)], &["10.77.0.2/24", "fe80::1/64"]),
                "address fe80::1/64 is new",
            ),
        ] {
            let text = before.difference(&after).unwrap();
            assert!(text.contains(told), "{text}");
        }
    }
}
