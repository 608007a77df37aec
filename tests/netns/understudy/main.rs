//! Stands in on a real interface for programs that cannot be had here: the model of wirelink v1, and a member that lies.
//!
//!     understudy v1 IFACE [router]              until it is told to stop; the device stays as it is then
//!     understudy liar IFACE KEY:PREFIX[,..] ..  says to each of these what is not so about the others
//!
//! It runs in the namespace of its host. What a v1 node refuses is printed as an ERROR: no test lets that pass.

#[path = "../../sim/draw.rs"]
#[allow(dead_code, reason = "the simulator needs more of it")]
mod draw;
#[path = "../../sim/liar/mod.rs"]
#[allow(dead_code, reason = "the simulator needs more of it")]
mod liar;
mod lies;
#[path = "../../sim/v1/mod.rs"]
#[allow(dead_code, reason = "the simulator needs more of it")]
mod v1;

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::signal::unix::{SignalKind, signal};
use wirelink::daemon::device::Device;
use wirelink::daemon::host::Host;
use wirelink::mesh::base::identity::{AddressHash, PublicKey};
use wirelink::mesh::base::settings::Settings;
use wirelink::mesh::base::time::Timestamp;
use wirelink::mesh::share::ports::PortPair;
use wirelink::mesh::show::event::{Input, Output};

/// When it starts, by its clock: handshakes of before have a time, too.
const BEGIN: Timestamp = Timestamp::from_start(Duration::from_secs(3600));

/// Whatever went wrong ends the test.
type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut stop = signal(SignalKind::terminate())?;
    let plays = async {
        match arguments.as_slice() {
            [role, interface] if role == "v1" => V1::open(interface, None).await?.play().await,
            [role, interface, router] if role == "v1" && router == "router" => {
                V1::open(interface, Some(true)).await?.play().await
            }
            [role, interface, victims @ ..] if role == "liar" => lies::tell(interface, victims).await,
            _ => Err("understudy v1 IFACE [router] | understudy liar IFACE KEY:PREFIX[,..] ..".into()),
        }
    };
    tokio::select! {
        ended = plays => ended,
        _ = stop.recv() => Ok(()),
    }
}

/// An interface with its link-local address, and a socket there.
struct Stage {
    device: Device,
    host: Host,
    identity: PublicKey,
    socket: UdpSocket,
    facts: u16,
}

impl Stage {
    /// Prepares an interface. Who only talks listens at any port, because a daemon may have the right one.
    async fn open(interface: &str, listens: bool) -> Result<Self, Failure> {
        let mut device = Device::open(interface).await?;
        let identity = device.identity().await?.public_key();
        let mut host = Host::open(interface, device.index())?;
        host.read().await?;
        let address = AddressHash::Sha1.link_local(&identity);
        host.ensure_address(address).await?;
        let listen_port = device.read(BEGIN).await?.listen_port;
        let facts = Settings::default().fact_port(listen_port).ok_or("no port for facts")?;
        let port = if listens { facts } else { 0 };
        let socket = UdpSocket::bind(SocketAddrV6::new(address, port, 0, device.index())).await?;
        Ok(Self {
            device,
            host,
            identity,
            socket,
            facts,
        })
    }

    /// Sends a payload; where WireGuard has no peer or no endpoint, it is lost as on the wire.
    async fn send(&self, to: Ipv6Addr, payload: &[u8]) {
        let to = SocketAddrV6::new(to, self.facts, 0, self.device.index());
        let _ = self.socket.send_to(payload, to).await;
    }
}

/// A v1 node at work.
struct V1 {
    stage: Stage,
    node: v1::Node,
    began: Instant,
}

impl V1 {
    async fn open(interface: &str, router: Option<bool>) -> Result<Self, Failure> {
        let mut stage = Stage::open(interface, true).await?;
        let (identity, seed) = (stage.device.identity().await?, *stage.identity.as_bytes());
        let settings = Settings {
            router,
            ..Settings::default()
        };
        let node = v1::Node::new(settings, identity, seed, BEGIN);
        Ok(Self {
            stage,
            node,
            began: Instant::now(),
        })
    }

    fn now(&self) -> Timestamp {
        BEGIN + self.began.elapsed()
    }

    async fn play(mut self) -> Result<(), Failure> {
        let mut datagram = [0; 2048];
        loop {
            let due = self.node.poll_timeout().map_or(self.now(), |deadline| deadline.at);
            let wait = due.since(self.now());
            match tokio::time::timeout(wait, self.stage.socket.recv_from(&mut datagram)).await {
                Ok(received) => self.hear(received, &datagram)?,
                Err(_) => self.tick().await?,
            }
            self.act().await?;
        }
    }

    fn hear(&mut self, received: io::Result<(usize, SocketAddr)>, datagram: &[u8]) -> Result<(), Failure> {
        if let (length, SocketAddr::V6(from)) = received? {
            let (source, payload) = (*from.ip(), &datagram[..length]);
            let before = self.refused();
            self.node.handle(
                self.now(),
                Input::Packet {
                    source,
                    ports: PortPair::default(),
                    payload,
                },
            );
            if self.refused() > before {
                println!("ERROR refused: {:?}", self.node.refused());
            }
        }
        Ok(())
    }

    fn refused(&self) -> u64 {
        self.node.refused().values().sum()
    }

    async fn tick(&mut self) -> Result<(), Failure> {
        let now = self.now();
        let machine = self.stage.host.read().await?.state;
        self.node.handle(now, Input::Host(machine));
        let device = self.stage.device.read(now).await?;
        self.node.handle(now, Input::Device(&device));
        self.node.handle(now, Input::Timeout);
        Ok(())
    }

    async fn act(&mut self) -> Result<(), Failure> {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Configure(change) => {
                    println!("{:?}", change);
                    self.stage.device.apply(&change).await?;
                }
                Output::Transmit { to, payload, .. } => self.stage.send(to, &payload).await,
                Output::Remember(_)
                | Output::Probe { .. }
                | Output::FindRoute(_)
                | Output::Stun { .. }
                | Output::Resolve(_)
                | Output::Pong { .. }
                | Output::Notify(_) => {}
            }
        }
        // A tick that comes late counts as sleep: it is not hurried, either.
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(())
    }
}
