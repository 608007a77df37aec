//! Userspace WireGuard, by the UAPI socket of wireguard-go and its kin. One connection a request.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use super::uapi_text::{self, BadReply, SetRequest};
use super::{DeviceError, Reading};
use crate::mesh::base::identity::{PrivateKey, PublicKey};
use crate::mesh::device::DeviceChange;

/// Where implementations put their sockets; the first is a link to the second on most machines.
const FOLDERS: [&str; 2] = ["/var/run/wireguard", "/run/wireguard"];

/// The folder for the sockets of amneziawg-go.
const AMNEZIA: [&str; 2] = ["/var/run/amneziawg", "/run/amneziawg"];

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// When one that does not understand what is asked for is asked again.
const SECOND_QUESTION: Duration = Duration::from_millis(300);

/// A reply that is longer is a mistake: ten thousand peers with ten prefixes each take 6 MB.
const MAX_REPLY: usize = 64 << 20;

/// The device behind one socket.
#[derive(Debug)]
pub(super) struct Uapi {
    iface: String,
    path: String,
    removal: Removal,
}

/// How a single prefix is taken from a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removal {
    /// By `allowed_ip=-prefix` (wireguard-go since 2025).
    Single,
    /// By a peer that takes it and is removed (older wireguard-go).
    Decoy,
    /// By writing the rest of the list anew. For those that drop a connection over a key they do not know: GotaTun, where a
    /// prefix that moves stays on the list of its old owner, so that moving it takes this too.
    Rewrite,
}

impl Uapi {
    /// Finds the socket of the interface, and what its owner understands. Nothing is changed: the peer asked about is made up.
    pub(super) async fn open(iface: &str) -> Result<Self, DeviceError> {
        Self::question(iface, find_socket(iface)?).await
    }

    async fn question(iface: &str, path: String) -> Result<Self, DeviceError> {
        let mut uapi = Self {
            iface: iface.to_owned(),
            path,
            removal: Removal::Single,
        };
        let nobody = super::decoy().map_err(|error| uapi.refused(error))?;
        if !uapi.updates_only(&nobody).await? {
            // One that is about to end refuses everything, too.
            tokio::time::sleep(SECOND_QUESTION).await;
            if !uapi.updates_only(&nobody).await? {
                if let Ok(reply) = uapi.exchange("get=1\n\n").await {
                    uapi.expect_wireguard(&reply)?;
                }
                return Err(DeviceError::Unsupported(uapi.iface));
            }
        }
        uapi.removal = uapi.find_removal(&nobody).await?;
        Ok(uapi)
    }

    /// Refuses AmneziaWG, which speaks the same protocol and has keys of its own.
    fn expect_wireguard(&self, reply: &[u8]) -> Result<(), DeviceError> {
        uapi_text::amnezia_key(reply).map_or(Ok(()), |key| {
            let sign = format!("its device has the key {key}");
            Err(DeviceError::Amnezia(self.iface.clone(), sign))
        })
    }

    /// Returns whether a change of a peer that is not there makes none.
    async fn updates_only(&self, nobody: &PublicKey) -> Result<bool, DeviceError> {
        let question = SetRequest::new().existing_peer(nobody);
        match self.exchange(&question.finish()).await {
            Ok(reply) => Ok(uapi_text::errno(&reply) == Ok(0)),
            Err(DeviceError::Malformed(..)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn find_removal(&self, nobody: &PublicKey) -> Result<Removal, DeviceError> {
        let prefix = IpNet::from(std::net::IpAddr::from([192, 0, 2, 1]));
        let question = SetRequest::new().existing_peer(nobody).without_allowed_ip(&prefix);
        match self.exchange(&question.finish()).await {
            Ok(reply) if uapi_text::errno(&reply) == Ok(0) => Ok(Removal::Single),
            Ok(_) => Ok(Removal::Decoy),
            Err(DeviceError::Malformed(..)) => Ok(Removal::Rewrite),
            Err(error) => Err(error),
        }
    }

    /// Takes another name, for errors: the socket keeps the name that the interface was made with.
    pub(super) fn rename(&mut self, iface: &str) {
        iface.clone_into(&mut self.iface);
    }

    /// Reads the private key.
    pub(super) async fn identity(&self) -> Result<PrivateKey, DeviceError> {
        let reply = self.exchange("get=1\n\n").await?;
        self.expect_wireguard(&reply)?;
        let key = uapi_text::private_key(&reply).map_err(|error| self.malformed(error))?;
        key.ok_or_else(|| DeviceError::NoPrivateKey(self.iface.clone()))
    }

    /// Reads everything else. The private key only gives the public one, which this interface does not tell.
    pub(super) async fn read(&self) -> Result<Reading, DeviceError> {
        let reply = self.exchange("get=1\n\n").await?;
        self.expect_wireguard(&reply)?;
        let dump = uapi_text::parse(&reply).map_err(|error| self.malformed(error))?;
        self.check(dump.errno)?;
        dump.reading
            .ok_or_else(|| DeviceError::NoPrivateKey(self.iface.clone()))
    }

    /// Makes one change.
    pub(super) async fn apply(&self, change: &DeviceChange) -> Result<(), DeviceError> {
        match change {
            DeviceChange::AddPeer {
                peer,
                allowed_ips,
                endpoint,
            } => {
                let request = self.make_room(SetRequest::new(), peer, allowed_ips, true).await?;
                let request = request.peer(peer);
                let request = endpoint
                    .iter()
                    .fold(request, |request, endpoint| request.endpoint(*endpoint));
                self.set(request.allowed_ips(allowed_ips)).await
            }
            DeviceChange::RemovePeer { peer } => self.set(SetRequest::new().peer(peer).remove()).await,
            DeviceChange::SetEndpoint { peer, endpoint } => {
                self.set(SetRequest::new().existing_peer(peer).endpoint(*endpoint))
                    .await
            }
            DeviceChange::AddAllowedIp { peer, prefix } => {
                let request = self.make_room(SetRequest::new(), peer, [prefix], false).await?;
                self.set(request.existing_peer(peer).allowed_ips([prefix])).await
            }
            DeviceChange::RemoveAllowedIp { peer, prefix } => self.remove_allowed_ip(peer, prefix).await,
            DeviceChange::MakeAgain { peer, endpoint } => self.make_again(peer, *endpoint).await,
        }
    }

    /// Sets the endpoints of all peers that were ever heard to what they are: with each goes the address from which it is sent.
    pub(super) async fn forget_sources(&self) -> Result<(), DeviceError> {
        let reading = self.read().await?;
        let reached = reading.peers.iter().filter(|(_, peer)| peer.rx_bytes > 0);
        let endpoints = reached.filter_map(|(key, peer)| Some((key, peer.endpoint?)));
        let request = endpoints.fold(None, |request: Option<SetRequest>, (key, endpoint)| {
            let request = request.unwrap_or_else(SetRequest::new);
            Some(request.existing_peer(key).endpoint(endpoint))
        });
        match request {
            Some(request) => self.set(request).await,
            None => Ok(()),
        }
    }

    /// Removes a peer and makes it again, in one request.
    async fn make_again(&self, peer: &PublicKey, endpoint: Option<SocketAddr>) -> Result<(), DeviceError> {
        let reply = self.exchange("get=1\n\n").await?;
        let request = uapi_text::remake(&reply, peer, endpoint).map_err(|error| self.malformed(error))?;
        let Some(request) = request else { return Ok(()) };
        let reply = self.exchange(&request).await?;
        self.check(uapi_text::errno(&reply).map_err(|error| self.malformed(error))?)
    }

    async fn remove_allowed_ip(&self, peer: &PublicKey, prefix: &IpNet) -> Result<(), DeviceError> {
        if self.removal == Removal::Single {
            let request = SetRequest::new().existing_peer(peer).without_allowed_ip(prefix);
            return self.set(request).await;
        }
        // The other ways would take the prefix from whoever has it, or give back what was taken meanwhile.
        let reading = self.read().await?;
        if !reading
            .peers
            .get(peer)
            .is_some_and(|state| state.allowed_ips.contains(prefix))
        {
            return Ok(());
        }
        let request = SetRequest::new();
        if self.removal == Removal::Rewrite {
            return self.set(rewrite(request, &reading, peer, &[prefix])).await;
        }
        let decoy = super::decoy().map_err(|error| self.refused(error))?;
        self.set(request.peer(&decoy).allowed_ips([prefix]).peer(&decoy).remove())
            .await
    }

    /// Takes prefixes from their owners before `taker` gets them, where the implementation does not do that by itself.
    async fn make_room<'a>(
        &self,
        request: SetRequest,
        taker: &PublicKey,
        prefixes: impl IntoIterator<Item = &'a IpNet>,
        taker_is_made: bool,
    ) -> Result<SetRequest, DeviceError> {
        if self.removal != Removal::Rewrite {
            return Ok(request);
        }
        let reading = self.read().await?;
        if !taker_is_made && !reading.peers.contains_key(taker) {
            return Ok(request);
        }
        let prefixes: Vec<&IpNet> = prefixes.into_iter().collect();
        let owners = reading
            .peers
            .iter()
            .filter(|(key, state)| *key != taker && prefixes.iter().any(|prefix| state.allowed_ips.contains(prefix)));
        Ok(owners.fold(request, |request, (owner, _)| {
            rewrite(request, &reading, owner, &prefixes)
        }))
    }

    async fn set(&self, request: SetRequest) -> Result<(), DeviceError> {
        let reply = self.exchange(&request.finish()).await?;
        self.check(uapi_text::errno(&reply).map_err(|error| self.malformed(error))?)
    }

    fn check(&self, errno: i32) -> Result<(), DeviceError> {
        match errno {
            0 => Ok(()),
            errno => Err(self.refused(io::Error::from_raw_os_error(errno))),
        }
    }

    async fn exchange(&self, request: &str) -> Result<Zeroizing<Vec<u8>>, DeviceError> {
        let stream = async {
            let mut stream = UnixStream::connect(&self.path)
                .await
                .map_err(|error| self.unreachable(error))?;
            stream
                .write_all(request.as_bytes())
                .await
                .map_err(|error| self.unreachable(error))?;
            self.receive(&mut stream).await
        };
        let answer = tokio::time::timeout(DEADLINE, stream).await;
        answer.unwrap_or_else(|_| Err(DeviceError::TimedOut(self.iface.clone())))
    }

    async fn receive(&self, stream: &mut UnixStream) -> Result<Zeroizing<Vec<u8>>, DeviceError> {
        let mut reply = Zeroizing::new(Vec::with_capacity(16 << 10));
        while !uapi_text::is_complete(&reply) {
            if reply.len() == reply.capacity() {
                reply = self.enlarge(&reply)?;
            }
            // `read_buf` fills what is allocated and so never moves the bytes, which would leave a copy behind.
            match stream.read_buf(&mut *reply).await {
                Ok(0) if reply.is_empty() => return Err(DeviceError::StaleSocket(self.path.clone())),
                Ok(0) => return Err(self.malformed(BadReply("it ended before the error number"))),
                Ok(_) => {}
                Err(error) => return Err(self.unreachable(error)),
            }
        }
        Ok(reply)
    }

    fn enlarge(&self, reply: &[u8]) -> Result<Zeroizing<Vec<u8>>, DeviceError> {
        if reply.len() >= MAX_REPLY {
            return Err(self.malformed(BadReply("too long")));
        }
        let mut larger = Zeroizing::new(Vec::with_capacity(reply.len() * 2));
        larger.extend_from_slice(reply);
        Ok(larger)
    }

    fn malformed(&self, error: BadReply) -> DeviceError {
        DeviceError::Malformed(self.iface.clone(), error.0)
    }

    fn refused(&self, error: io::Error) -> DeviceError {
        DeviceError::Refused(self.iface.clone(), error)
    }

    fn unreachable(&self, error: io::Error) -> DeviceError {
        match error.kind() {
            io::ErrorKind::PermissionDenied => DeviceError::SocketPermission(self.path.clone()),
            // The last two where it ends before its answer.
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NotFound
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset => DeviceError::StaleSocket(self.path.clone()),
            _ => self.refused(error),
        }
    }
}

/// Writes the list of `owner` anew, without `prefixes`.
fn rewrite(request: SetRequest, reading: &Reading, owner: &PublicKey, prefixes: &[&IpNet]) -> SetRequest {
    let list = reading.peers.get(owner).map(|state| &state.allowed_ips);
    let rest = list.into_iter().flatten().filter(|prefix| !prefixes.contains(prefix));
    request.existing_peer(owner).replace_allowed_ips().allowed_ips(rest)
}

/// Says whether a userspace WireGuard has, or left, a socket for an interface of this name.
pub(in crate::daemon) fn has_socket(iface: &str) -> bool {
    FOLDERS
        .iter()
        .any(|folder| std::path::Path::new(folder).join(format!("{iface}.sock")).exists())
}

fn find_socket(iface: &str) -> Result<String, DeviceError> {
    let paths = FOLDERS.map(|folder| format!("{folder}/{iface}.sock"));
    for path in &paths {
        match std::fs::metadata(path) {
            Ok(_) => return Ok(path.clone()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(DeviceError::SocketPermission(path.clone()));
            }
            Err(_) => {}
        }
    }
    if let Some(sign) = amnezia(iface) {
        return Err(DeviceError::Amnezia(iface.to_owned(), sign));
    }
    let [path, _] = paths;
    Err(DeviceError::NotWireGuard(iface.to_owned(), path))
}

/// Returns by what an interface without a socket of WireGuard shows itself as AmneziaWG's: a socket elsewhere, or the kind of the link.
fn amnezia(iface: &str) -> Option<String> {
    let sockets = AMNEZIA.map(|folder| format!("{folder}/{iface}.sock"));
    let socket = sockets.into_iter().find(|path| std::fs::metadata(path).is_ok());
    let kind = || std::fs::read_to_string(format!("/sys/class/net/{iface}/uevent"));
    let is_kind = || kind().is_ok_and(|text| text.lines().any(|line| line == "DEVTYPE=amneziawg"));
    socket
        .map(|path| format!("its socket is {path}"))
        .or_else(|| is_kind().then(|| "the kernel calls it that".to_owned()))
}

#[cfg(test)]
mod tests;
