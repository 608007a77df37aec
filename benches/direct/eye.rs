//! Whether two leaves are direct, seen from outside: their devices are read all the time, and an echo that no router passes on decides.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::runtime::Builder;
use wirelink::daemon::device::Device;
use wirelink::mesh::base::identity::PublicKey;
use wirelink::mesh::base::time::Timestamp;

use crate::lab::Lab;
use crate::scenario::Name;

/// How often a device is read.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How many times as long as it took to read a device it is left alone: on a slow machine, looking must not be what is measured.
const REST: u32 = 4;

/// How long one echo may take before the next one is sent; an earlier one still counts.
const ECHO_EVERY: Duration = Duration::from_millis(10);

/// The port of those who answer.
const ECHO_PORT: u16 = 4007;

/// What a leaf has of another one, as its device shows it. The thread reads on as long as this lives.
struct Eye {
    direct: Arc<AtomicBool>,
    closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What must be on a device.
struct Wanted {
    interface: String,
    peer: PublicKey,
    prefixes: Vec<IpNet>,
}

impl Eye {
    fn open(lab: &Lab, at: Name, of: Name) -> Self {
        let wanted = Wanted {
            interface: lab.interface(at).to_owned(),
            peer: lab.public_key(of).parse().expect("wg made this key"),
            prefixes: lab.inner(of).own(),
        };
        let (direct, closed) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (shown, until) = (Arc::clone(&direct), Arc::clone(&closed));
        let look = move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let looked = runtime.map(|runtime| runtime.block_on(watch(&wanted, &shown, &until)));
            looked.expect("an event loop");
        };
        // Netlink sockets are made again and again: so the thread is one of the namespace.
        let thread = lab.namespace(at).inside(|| std::thread::spawn(look));
        Self {
            direct,
            closed,
            thread: Some(thread),
        }
    }

    fn is_direct(&self) -> bool {
        self.direct.load(Ordering::Relaxed)
    }
}

impl Drop for Eye {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn watch(wanted: &Wanted, direct: &AtomicBool, closed: &AtomicBool) {
    let mut device = Device::open(&wanted.interface).await.expect("it is WireGuard");
    while !closed.load(Ordering::Relaxed) {
        let began = Instant::now();
        let state = device.read(Timestamp::START).await;
        let peer = state.as_ref().ok().and_then(|state| state.peers.get(&wanted.peer));
        let is_direct = peer.is_some_and(|peer| {
            let owns_all = wanted.prefixes.iter().all(|prefix| peer.allowed_ips.contains(prefix));
            peer.last_handshake.is_some() && owns_all
        });
        direct.store(is_direct, Ordering::Relaxed);
        tokio::time::sleep(LOOK_EVERY.max(REST * began.elapsed())).await;
    }
}

/// Two leaves that are watched.
pub(crate) struct Eyes {
    both: [Eye; 2],
    asks: UdpSocket,
    to: SocketAddr,
    closed: Arc<AtomicBool>,
    answers: Option<JoinHandle<()>>,
}

impl Eyes {
    pub(crate) fn open(lab: &Lab, one: Name, other: Name) -> Self {
        let [asks, answers] = [(one, 0), (other, ECHO_PORT)].map(|(name, port)| socket(lab, name, port));
        let closed = Arc::<AtomicBool>::default();
        let to = answers.local_addr().expect("it is bound");
        let until = Arc::clone(&closed);
        Self {
            both: [Eye::open(lab, one, other), Eye::open(lab, other, one)],
            asks,
            to,
            closed,
            answers: Some(std::thread::spawn(move || echo(&answers, &until))),
        }
    }

    /// Returns whether both devices have the prefixes of the other leaf at that leaf, with a session.
    pub(crate) fn show_direct(&self) -> bool {
        self.both.iter().all(Eye::is_direct)
    }

    /// Returns whether neither has.
    pub(crate) fn show_hub(&self) -> bool {
        !self.both.iter().any(Eye::is_direct)
    }

    /// Makes sure that what goes through the hub is not taken for direct.
    pub(crate) fn expect_hub(&self) {
        assert!(
            !self.show_direct() && !self.echoes(),
            "direct before the second node runs"
        );
    }

    /// Waits until the devices show it, and an echo went there and back without a router.
    pub(crate) fn direct(&self, within: Duration) -> Option<Duration> {
        let began = Instant::now();
        while began.elapsed() < within {
            if self.show_direct() && self.echoes() {
                return Some(began.elapsed());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }

    /// Sends one echo request, and waits a moment for the answer to any.
    fn echoes(&self) -> bool {
        // Where the way is gone it says so, which is an answer of another kind.
        let _ = self.asks.send_to(b"direct?", self.to);
        let mut buffer = [0; 16];
        self.asks.recv_from(&mut buffer).is_ok()
    }
}

impl Drop for Eyes {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        let _ = self.answers.take().map(JoinHandle::join);
    }
}

/// Makes a socket in the tunnel whose datagrams no router passes on: their time to live is 1.
fn socket(lab: &Lab, name: Name, port: u16) -> UdpSocket {
    let address = SocketAddr::new(IpAddr::V4(lab.inner(name).v4), port);
    let socket = lab.namespace(name).inside(|| UdpSocket::bind(address));
    let socket = socket.unwrap_or_else(|error| panic!("{name}: {address}: {error}"));
    let set = socket
        .set_ttl(1)
        .and_then(|()| socket.set_read_timeout(Some(ECHO_EVERY)));
    set.map(|()| socket).expect("a socket has these options")
}

fn echo(socket: &UdpSocket, closed: &AtomicBool) {
    let mut buffer = [0; 16];
    while !closed.load(Ordering::Relaxed) {
        if let Ok((length, source)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], source);
        }
    }
}
