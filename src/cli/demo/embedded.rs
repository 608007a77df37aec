//! GotaTun in this process, behind a UAPI socket as every userspace WireGuard has one.
//!
//! The socket is our own. GotaTun's drops a peer and makes it anew for every change, so that the session is lost, answers
//! nothing to what it cannot parse, and knows no removal of a single allowed IP. The calls below change peers in place.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use gotatun::device::configure::{DeviceWrite, PeerStats};
use gotatun::device::{DefaultDeviceTransports, Device, Peer};
use gotatun::tun::tun_async_device::TunDevice;
use gotatun::x25519;
use ipnet::IpNet;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use zeroize::Zeroizing;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::prefixes::Prefixes;
use crate::mesh::device::PeerState;

use super::uapi::{PeerEdit, Request, hex};
use super::wireguard::{MTU, PeerSetup, Peers, Setup};

const SOCKETS: &str = "/var/run/wireguard";

/// The longest request, in bytes.
const MAX_REQUEST: usize = 1 << 20;

/// By how much two readings of one handshake may differ: GotaTun tells an age, not a moment.
const WOBBLE: Duration = Duration::from_millis(500);

/// A WireGuard interface in this process.
pub(super) struct Embedded(Rc<Shared>);

struct Shared {
    device: Device<DefaultDeviceTransports>,
    key: Zeroizing<[u8; 32]>,
    listen_port: u16,
    handshakes: RefCell<BTreeMap<PublicKey, Duration>>,
}

impl Embedded {
    /// Makes the interface in the network of the calling thread, and its socket; inside a `LocalSet`.
    pub(super) async fn make(setup: Setup) -> anyhow::Result<Self> {
        let failed = || format!("the embedded WireGuard cannot make {}", setup.name);
        let mut config = tun::Configuration::default();
        config.tun_name(&setup.name).mtu(MTU);
        let tun = tun::create_as_async(&config).with_context(failed)?;
        let device = gotatun::device::build()
            .with_default_udp()
            .with_ip(TunDevice::from_tun_device(tun).with_context(failed)?)
            .with_private_key(x25519::StaticSecret::from(*setup.key.as_bytes()))
            .with_listen_port(setup.listen_port)
            .with_peers(setup.peers.iter().map(new_peer))
            .build();
        let shared = Rc::new(Shared {
            device: device.await.with_context(failed)?,
            key: Zeroizing::new(*setup.key.as_bytes()),
            listen_port: setup.listen_port,
            handshakes: RefCell::default(),
        });
        let listener = listen(&setup.name).with_context(failed)?;
        tokio::task::spawn_local(accept(listener, Rc::clone(&shared)));
        Ok(Self(shared))
    }

    /// Returns the peers as they are now.
    pub(super) async fn peers(&self) -> Peers {
        let peers = self.0.device.peers().await;
        peers.iter().map(|stats| (key_of(stats), state(stats))).collect()
    }
}

fn listen(name: &str) -> io::Result<UnixListener> {
    fs::create_dir_all(SOCKETS)?;
    UnixListener::bind(Path::new(SOCKETS).join(format!("{name}.sock")))
}

async fn accept(listener: UnixListener, shared: Rc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Rc::clone(&shared);
        // A client that breaks off has only itself to blame.
        tokio::task::spawn_local(async move { shared.serve(stream).await });
    }
}

impl Shared {
    /// Answers requests until the client hangs up (<https://www.wireguard.com/xplatform/>).
    async fn serve(&self, stream: UnixStream) -> io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        let mut request = String::new();
        while let Some(line) = lines.next_line().await? {
            if !line.is_empty() && request.len() < MAX_REQUEST {
                request.push_str(&line);
                request.push('\n');
                continue;
            }
            let answer = self.answer(&request).await;
            writer.write_all(answer.as_bytes()).await?;
            request.clear();
        }
        Ok(())
    }

    async fn answer(&self, request: &str) -> Zeroizing<String> {
        let errno = match request.parse() {
            Ok(Request::Get) => return self.show().await,
            Ok(Request::Set(edits)) => self.set(&edits).await,
            Err(errno) => errno,
        };
        Zeroizing::new(format!("errno={errno}\n\n"))
    }

    async fn set(&self, edits: &[PeerEdit]) -> i32 {
        // A peer that is made again has no past.
        for removed in edits.iter().filter(|edit| edit.remove) {
            self.handshakes.borrow_mut().remove(&removed.key);
        }
        let done = self.device.write(async |device| {
            for edit in edits {
                apply(device, edit).await;
            }
        });
        done.await.map_or(nix::errno::Errno::EIO as i32, |()| 0)
    }

    async fn show(&self) -> Zeroizing<String> {
        let peers = self.device.peers().await;
        let mut text = Zeroizing::new(format!(
            "private_key={}\nlisten_port={}\n",
            &*hex(&self.key),
            self.listen_port
        ));
        for peer in &peers {
            let handshake = self.handshake(peer);
            write_peer(&mut text, peer, handshake).expect("a string takes everything");
        }
        text.push_str("errno=0\n\n");
        text
    }

    /// Returns the wall time of the last handshake, the same in every reading until the next one.
    fn handshake(&self, stats: &PeerStats) -> Option<Duration> {
        let mut known = self.handshakes.borrow_mut();
        let key = key_of(stats);
        if let Some(age) = stats.stats.last_handshake {
            let wall = SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .ok()?
                .saturating_sub(age);
            if known.get(&key).is_none_or(|before| wall.abs_diff(*before) > WOBBLE) {
                known.insert(key, wall);
            }
        }
        known.get(&key).copied()
    }
}

fn write_peer(text: &mut String, stats: &PeerStats, handshake: Option<Duration>) -> std::fmt::Result {
    let handshake = handshake.unwrap_or_default();
    writeln!(text, "public_key={}", &*hex(key_of(stats).as_bytes()))?;
    if let Some(endpoint) = stats.peer.endpoint {
        writeln!(text, "endpoint={endpoint}")?;
    }
    writeln!(text, "last_handshake_time_sec={}", handshake.as_secs())?;
    writeln!(text, "last_handshake_time_nsec={}", handshake.subsec_nanos())?;
    writeln!(
        text,
        "tx_bytes={}\nrx_bytes={}",
        stats.stats.tx_bytes, stats.stats.rx_bytes
    )?;
    writeln!(
        text,
        "persistent_keepalive_interval={}",
        stats.peer.keepalive.unwrap_or(0)
    )?;
    for prefix in allowed_ips(&stats.peer) {
        writeln!(text, "allowed_ip={prefix}")?;
    }
    writeln!(text, "protocol_version=1")
}

type Writer<'a> = DeviceWrite<'a, DefaultDeviceTransports>;

/// Does to the device what the request says, and to no other peer more than taking prefixes that have a new owner.
async fn apply(device: &mut Writer<'_>, edit: &PeerEdit) {
    let key = x25519::PublicKey::from(*edit.key.as_bytes());
    if edit.remove {
        device.remove_peer(&key).await;
        return;
    }
    let (mine, others): (Vec<_>, Vec<_>) = device
        .peers()
        .await
        .into_iter()
        .partition(|stats| stats.peer.public_key == key);
    if mine.is_empty() {
        if edit.update_only {
            return;
        }
        device.add_peer(Peer::new(key));
    }
    for other in others {
        let kept = |prefix: &IpNet| !edit.added.contains(prefix);
        keep_allowed_ips(device, other.peer.public_key, &allowed_ips(&other.peer), kept).await;
    }
    let before = mine.first().map(|stats| allowed_ips(&stats.peer)).unwrap_or_default();
    let kept = |prefix: &IpNet| !edit.replace_allowed_ips && !edit.removed.contains(prefix);
    keep_allowed_ips(device, key, &before, kept).await;
    let added = with_allowed_ips(key, edit.added.iter());
    device
        .modify_peer(&key, |peer| {
            peer.add_allowed_ips(added.allowed_ips);
            edit.endpoint
                .into_iter()
                .for_each(|endpoint| peer.set_endpoint(Some(endpoint)));
            edit.keepalive
                .into_iter()
                .for_each(|seconds| peer.set_keepalive(Some(seconds)));
        })
        .await;
}

async fn keep_allowed_ips(
    device: &mut Writer<'_>,
    key: x25519::PublicKey,
    before: &Prefixes,
    kept: impl Fn(&IpNet) -> bool,
) {
    if before.iter().all(&kept) {
        return;
    }
    let rest = with_allowed_ips(key, before.iter().filter(|prefix| kept(prefix)));
    device
        .modify_peer(&key, |peer| {
            peer.clear_allowed_ips();
            peer.add_allowed_ips(rest.allowed_ips);
        })
        .await;
}

fn new_peer(setup: &PeerSetup) -> Peer {
    let mut peer = with_allowed_ips(x25519::PublicKey::from(*setup.key.as_bytes()), setup.allowed_ips.iter());
    peer.endpoint = setup.endpoint;
    peer.keepalive = setup.keepalive;
    peer
}

/// Carries prefixes in the type that GotaTun has for them, which it does not export by name.
fn with_allowed_ips<'a>(key: x25519::PublicKey, prefixes: impl Iterator<Item = &'a IpNet>) -> Peer {
    let mut peer = Peer::new(key);
    peer.allowed_ips = prefixes.filter_map(|prefix| prefix.to_string().parse().ok()).collect();
    peer
}

fn allowed_ips(peer: &Peer) -> Prefixes {
    peer.allowed_ips
        .iter()
        .filter_map(|prefix| prefix.to_string().parse().ok())
        .collect()
}

fn key_of(stats: &PeerStats) -> PublicKey {
    PublicKey::from_bytes(*stats.peer.public_key.as_bytes())
}

fn state(stats: &PeerStats) -> PeerState {
    PeerState {
        endpoint: stats.peer.endpoint,
        keepalive: stats.peer.keepalive,
        allowed_ips: allowed_ips(&stats.peer),
        ..PeerState::default()
    }
}
