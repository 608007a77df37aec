//! A home router in user space: packets of a leaf on one side, UDP sockets of a public address on the other.
//!
//! It needs no program and no netfilter, so it works wherever a TUN device can be made.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::mapping::Mappings;
use super::packet::Datagram;

/// One way between a NAT and the hub; with it, a detour over the hub shows in the round trip times.
const DISTANCE_TO_HUB: Duration = Duration::from_millis(15);

/// One way from a NAT to the middle between the two.
const DISTANCE_TO_NEIGHBOUR: Duration = Duration::from_millis(5);

/// How many packets may be on their way; more are dropped, as a full queue drops them.
const MAX_IN_FLIGHT: usize = 1024;

const LARGEST_PACKET: usize = 65_535;

/// The way between the two NATs that does not touch the hub.
#[derive(Clone, Default)]
pub(super) struct DirectPath(Arc<AtomicBool>);

impl DirectPath {
    /// Drops every packet from now on, or none any more.
    pub(super) fn cut(&self, cut: bool) {
        self.0.store(cut, Ordering::Relaxed);
    }

    fn is_cut(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where a NAT stands.
#[derive(Clone)]
pub(super) struct Place {
    /// Its public address.
    pub public: Ipv4Addr,
    /// The public address of the other NAT.
    pub neighbour: Ipv4Addr,
    /// The way to that one.
    pub direct: DirectPath,
}

/// A NAT with endpoint-independent mapping and address-and-port-dependent filtering. External ports are the kernel's
/// choice, so nobody can guess them.
pub(super) struct Nat {
    place: Place,
    uplink: tun::AsyncDevice,
    mappings: Mappings<Port>,
    on_their_way: BTreeMap<(Instant, u64), Parcel>,
    sent: u64,
    arrivals: (mpsc::Sender<Arrival>, mpsc::Receiver<Arrival>),
}

/// The external side of a mapping; closed when it is dropped.
struct Port {
    socket: Arc<UdpSocket>,
    _reader: AbortOnDropHandle<()>,
}

/// A packet that came in on the external side.
struct Arrival {
    internal: SocketAddrV4,
    remote: SocketAddrV4,
    payload: Vec<u8>,
}

enum Parcel {
    ToInternet(Arc<UdpSocket>, SocketAddrV4, Vec<u8>),
    ToLeaf(Arrival),
}

impl Nat {
    /// Takes the far end of a leaf's uplink; on the runtime and in the network of the calling thread, which must own the
    /// public address.
    pub(super) fn new(place: Place, uplink: tun::Device) -> io::Result<Self> {
        Ok(Self {
            place,
            uplink: tun::AsyncDevice::new(uplink)?,
            mappings: Mappings::new(),
            on_their_way: BTreeMap::new(),
            sent: 0,
            arrivals: mpsc::channel(MAX_IN_FLIGHT),
        })
    }

    /// Passes packets on until it is dropped.
    ///
    /// # Errors
    /// When the uplink is gone.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; LARGEST_PACKET];
        let mut sweep = interval(Duration::from_secs(10));
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = self.on_their_way.first_key_value().map(|((due, _), _)| *due);
            tokio::select! {
                length = self.uplink.recv(&mut buffer) => self.take_from_leaf(&buffer[..length?]),
                Some(arrival) = self.arrivals.1.recv() => self.take_from_internet(arrival),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => self.deliver().await,
                _ = sweep.tick() => self.mappings.expire(Instant::now().into_std()),
            }
        }
    }

    fn take_from_leaf(&mut self, packet: &[u8]) {
        let Some(Datagram {
            source,
            destination,
            payload,
        }) = Datagram::parse(packet)
        else {
            return;
        };
        let now = Instant::now().into_std();
        if self.mappings.outbound(source, destination, now).is_none() {
            match self.open(source) {
                Ok(port) => self.mappings.insert(source, port, now),
                Err(_) => return,
            }
        }
        if let Some(port) = self.mappings.outbound(source, destination, now) {
            let parcel = Parcel::ToInternet(Arc::clone(&port.socket), destination, payload.to_vec());
            self.send(*destination.ip(), parcel);
        }
    }

    fn take_from_internet(&mut self, arrival: Arrival) {
        if self
            .mappings
            .inbound(arrival.internal, arrival.remote, Instant::now().into_std())
        {
            self.send(*arrival.remote.ip(), Parcel::ToLeaf(arrival));
        }
    }

    fn send(&mut self, remote: Ipv4Addr, parcel: Parcel) {
        let to_neighbour = remote == self.place.neighbour;
        let lost = to_neighbour && self.place.direct.is_cut();
        if lost || self.on_their_way.len() >= MAX_IN_FLIGHT {
            return;
        }
        let distance = if to_neighbour {
            DISTANCE_TO_NEIGHBOUR
        } else {
            DISTANCE_TO_HUB
        };
        self.sent += 1;
        self.on_their_way.insert((Instant::now() + distance, self.sent), parcel);
    }

    /// Hands over what has arrived by now. What the other side does not take is lost, as packets are.
    async fn deliver(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.on_their_way.first_entry().filter(|first| first.key().0 <= now) {
            match first.remove() {
                Parcel::ToInternet(socket, destination, payload) => {
                    let _ = socket.try_send_to(&payload, SocketAddr::V4(destination));
                }
                Parcel::ToLeaf(Arrival {
                    internal,
                    remote,
                    payload,
                }) => {
                    let datagram = Datagram {
                        source: remote,
                        destination: internal,
                        payload: &payload,
                    };
                    if let Some(packet) = datagram.to_packet() {
                        let _ = self.uplink.send(&packet).await;
                    }
                }
            }
        }
    }

    fn open(&self, internal: SocketAddrV4) -> io::Result<Port> {
        let socket = std::net::UdpSocket::bind((self.place.public, 0))?;
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let reader = tokio::spawn(read(Arc::clone(&socket), internal, self.arrivals.0.clone()));
        Ok(Port {
            socket,
            _reader: AbortOnDropHandle::new(reader),
        })
    }
}

/// Reads the external socket of a mapping for as long as the mapping lives.
async fn read(socket: Arc<UdpSocket>, internal: SocketAddrV4, arrivals: mpsc::Sender<Arrival>) {
    let mut buffer = vec![0; LARGEST_PACKET];
    loop {
        let arrival = match socket.recv_from(&mut buffer).await {
            Ok((length, SocketAddr::V4(remote))) => Arrival {
                internal,
                remote,
                payload: buffer[..length].to_vec(),
            },
            // An unreachable port at the far end is told here too; it concerns one packet, not the mapping.
            Ok(_) | Err(_) => {
                tokio::task::yield_now().await;
                continue;
            }
        };
        if arrivals.send(arrival).await.is_err() {
            return;
        }
    }
}
