//! The kernel's WireGuard, by generic netlink.
//!
//! Messages are built from attributes here, so that every part of a long change says "update only": a peer that the
//! operator removes meanwhile is never made again.

mod remake;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use genetlink::{GenetlinkError, GenetlinkHandle};
use ipnet::IpNet;
use netlink_packet_core::{
    DecodeError, Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, ParseableParametrized,
};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAllowedIpFlags, WireguardAttribute,
    WireguardCmd, WireguardMessage, WireguardPeer, WireguardPeerAttribute, WireguardPeerFlags, WireguardTimeSpec,
};
use zeroize::{Zeroize as _, Zeroizing};

use super::{DeviceError, Reading, Stamp};
use crate::daemon::netlink::{self, NetlinkError, Task};
use crate::mesh::base::identity::{PrivateKey, PublicKey};
use crate::mesh::base::prefixes::Prefixes;
use crate::mesh::device::{DeviceChange, PeerState};

/// Allowed IPs in one message: an attribute holds 64 KiB, one IPv6 prefix takes 40 bytes of it.
const PREFIXES_PER_MESSAGE: usize = 1000;

const ENOENT: i32 = 2;
const EINVAL: i32 = 22;

/// The device of one interface. It is addressed by index, so that a new interface of the same name is not taken for it.
#[derive(Debug)]
pub(super) struct Kernel {
    iface: String,
    index: u32,
    connection: Option<(GenetlinkHandle, Task)>,
    /// Whether the kernel can take a single allowed IP away (Linux 6.16); supposed until it says no.
    removes_allowed_ips: bool,
}

impl Kernel {
    pub(super) fn new(iface: &str, index: u32) -> Self {
        Self {
            iface: iface.to_owned(),
            index,
            connection: None,
            removes_allowed_ips: true,
        }
    }

    /// Takes another name, for errors: the kernel is asked by index.
    pub(super) fn rename(&mut self, iface: &str) {
        iface.clone_into(&mut self.iface);
    }

    /// Reads the private key.
    pub(super) async fn identity(&mut self) -> Result<PrivateKey, DeviceError> {
        let replies = self.dump().await?;
        let key = replies
            .iter()
            .flat_map(|reply| &reply.0.attributes)
            .find_map(|attribute| match attribute {
                WireguardAttribute::PrivateKey(key) => Some(PrivateKey::from_bytes(&Zeroizing::new(*key))),
                _ => None,
            });
        key.ok_or_else(|| DeviceError::NoPrivateKey(self.iface.clone()))
    }

    /// Reads everything else.
    pub(super) async fn read(&mut self) -> Result<Reading, DeviceError> {
        let replies = self.dump().await?;
        assemble(&replies).ok_or_else(|| DeviceError::NoPrivateKey(self.iface.clone()))
    }

    /// Makes one change.
    pub(super) async fn apply(&mut self, change: &DeviceChange) -> Result<(), DeviceError> {
        let update = WireguardPeerFlags::UpdateOnly;
        match change {
            DeviceChange::AddPeer {
                peer,
                allowed_ips,
                endpoint,
            } => self.add_peer(peer, allowed_ips, *endpoint).await,
            DeviceChange::RemovePeer { peer } => {
                let flags = WireguardPeerFlags::RemoveMe | update;
                self.set(vec![edit(peer, Some(flags), [])]).await
            }
            DeviceChange::SetEndpoint { peer, endpoint } => {
                let endpoint = WireguardPeerAttribute::Endpoint(*endpoint);
                self.set(vec![edit(peer, Some(update), [endpoint])]).await
            }
            DeviceChange::AddAllowedIp { peer, prefix } => {
                let prefixes = allowed_ips([(*prefix, None)]);
                self.set(vec![edit(peer, Some(update), [prefixes])]).await
            }
            DeviceChange::RemoveAllowedIp { peer, prefix } => self.remove_allowed_ip(peer, *prefix).await,
            DeviceChange::MakeAgain { peer, endpoint } => self.make_again(peer, *endpoint).await,
        }
    }

    /// Removes a peer and makes it again, in one message: nobody sees the device without it.
    async fn make_again(&mut self, peer: &PublicKey, endpoint: Option<SocketAddr>) -> Result<(), DeviceError> {
        let replies = self.dump().await?;
        let Some(kept) = remake::kept(&replies, peer, endpoint) else {
            return Ok(());
        };
        let flags = WireguardPeerFlags::RemoveMe | WireguardPeerFlags::UpdateOnly;
        self.set(vec![edit(peer, Some(flags), []), edit(peer, None, kept)])
            .await
    }

    async fn add_peer(
        &mut self,
        peer: &PublicKey,
        prefixes: &Prefixes,
        endpoint: Option<SocketAddr>,
    ) -> Result<(), DeviceError> {
        let prefixes: Vec<_> = prefixes.iter().map(|prefix| (*prefix, None)).collect();
        let (first, rest) = prefixes.split_at(prefixes.len().min(PREFIXES_PER_MESSAGE));
        let endpoint = endpoint.map(WireguardPeerAttribute::Endpoint);
        let attributes = endpoint.into_iter().chain([allowed_ips(first.iter().copied())]);
        self.set(vec![edit(peer, None, attributes)]).await?;
        for part in rest.chunks(PREFIXES_PER_MESSAGE) {
            let part = allowed_ips(part.iter().copied());
            self.set(vec![edit(peer, Some(WireguardPeerFlags::UpdateOnly), [part])])
                .await?;
        }
        Ok(())
    }

    async fn remove_allowed_ip(&mut self, peer: &PublicKey, prefix: IpNet) -> Result<(), DeviceError> {
        if self.removes_allowed_ips {
            let removed = allowed_ips([(prefix, Some(WireguardAllowedIpFlags::RemoveMe))]);
            match self
                .set(vec![edit(peer, Some(WireguardPeerFlags::UpdateOnly), [removed])])
                .await
            {
                Err(DeviceError::Refused(_, error)) if error.raw_os_error() == Some(EINVAL) => {
                    self.removes_allowed_ips = false;
                }
                result => return result,
            }
        }
        // Unlike the flag, a decoy would take the prefix from whoever has it.
        let owned = self
            .read()
            .await?
            .peers
            .get(peer)
            .is_some_and(|peer| peer.allowed_ips.contains(&prefix));
        if owned { self.rob(prefix).await } else { Ok(()) }
    }

    /// Takes a prefix from its owner without touching the owner: a new peer takes it, and is removed with the same message.
    async fn rob(&mut self, prefix: IpNet) -> Result<(), DeviceError> {
        let decoy = super::decoy().map_err(|error| DeviceError::Refused(self.iface.clone(), error))?;
        self.set(vec![
            edit(&decoy, None, [allowed_ips([(prefix, None)])]),
            edit(&decoy, Some(WireguardPeerFlags::RemoveMe), []),
        ])
        .await
    }

    async fn set(&mut self, peers: Vec<WireguardPeer>) -> Result<(), DeviceError> {
        let message = self.message(WireguardCmd::SetDevice, vec![WireguardAttribute::Peers(peers)]);
        self.request(message, NLM_F_REQUEST | NLM_F_ACK)
            .await
            .map(drop)
            .map_err(|error| self.explain(error))
    }

    async fn dump(&mut self) -> Result<Vec<Message>, DeviceError> {
        let dump = async || {
            let message = self.message(WireguardCmd::GetDevice, vec![]);
            self.request(message, NLM_F_REQUEST | NLM_F_DUMP).await
        };
        netlink::untorn(dump).await.map_err(|error| self.explain(error))
    }

    fn message(&self, cmd: WireguardCmd, rest: Vec<WireguardAttribute>) -> Message {
        let mut attributes = vec![WireguardAttribute::IfIndex(self.index)];
        attributes.extend(rest);
        Message(WireguardMessage { cmd, attributes })
    }

    fn explain(&self, error: NetlinkError) -> DeviceError {
        match error.errno() {
            Some(ENOENT) => DeviceError::NoModule,
            Some(_) | None => DeviceError::from_netlink(&self.iface, error),
        }
    }

    async fn request(&mut self, message: Message, flags: u16) -> Result<Vec<Message>, NetlinkError> {
        let result = tokio::time::timeout(netlink::DEADLINE, self.exchange(message, flags))
            .await
            .unwrap_or(Err(NetlinkError::TimedOut));
        if result.as_ref().is_err_and(NetlinkError::spoils_connection) {
            self.connection = None;
        }
        result
    }

    async fn exchange(&mut self, message: Message, flags: u16) -> Result<Vec<Message>, NetlinkError> {
        let mut message = NetlinkMessage::from(GenlMessage::from_payload(message));
        message.header.flags = flags;
        let replies = self.handle()?.request(message).await.map_err(transport_error)?;
        // An answer that does not parse ends the stream, and so counts as lost.
        let replies = replies.take_while(|reply| std::future::ready(reply.is_ok()));
        let replies = netlink::collect(replies.filter_map(|reply| std::future::ready(reply.ok()))).await?;
        Ok(replies.into_iter().map(|reply| reply.into_parts().1).collect())
    }

    fn handle(&mut self) -> Result<&mut GenetlinkHandle, NetlinkError> {
        if self.connection.as_ref().is_none_or(|(_, task)| task.is_over()) {
            let (mut connection, handle, _) = genetlink::new_connection().map_err(NetlinkError::Refused)?;
            connection.set_forward_done(true);
            connection.set_forward_ack(true);
            self.connection = Some((handle, Task::spawn(connection)));
        }
        let (handle, _) = self.connection.as_mut().expect("it was made just above");
        Ok(handle)
    }
}

fn transport_error(error: GenetlinkError) -> NetlinkError {
    match error {
        GenetlinkError::NetlinkError(error) => NetlinkError::Refused(error),
        GenetlinkError::ProtocolError(_) => NetlinkError::Lost,
        GenetlinkError::DecodeError(_) | GenetlinkError::AttributeNotFound(_) | GenetlinkError::NoMessageReceived => {
            NetlinkError::Malformed
        }
    }
}

/// Builds an edit of one peer.
fn edit(
    peer: &PublicKey,
    flags: Option<WireguardPeerFlags>,
    attributes: impl IntoIterator<Item = WireguardPeerAttribute>,
) -> WireguardPeer {
    let mut edit = vec![WireguardPeerAttribute::PublicKey(*peer.as_bytes())];
    edit.extend(flags.map(WireguardPeerAttribute::Flags));
    edit.extend(attributes);
    WireguardPeer(edit)
}

fn allowed_ips(prefixes: impl IntoIterator<Item = (IpNet, Option<WireguardAllowedIpFlags>)>) -> WireguardPeerAttribute {
    let prefixes = prefixes.into_iter().map(|(prefix, flags)| {
        let mut attributes = vec![
            WireguardAllowedIpAttr::Family(match prefix {
                IpNet::V4(_) => WireguardAddressFamily::Ipv4,
                IpNet::V6(_) => WireguardAddressFamily::Ipv6,
            }),
            WireguardAllowedIpAttr::IpAddr(prefix.addr()),
            WireguardAllowedIpAttr::Cidr(prefix.prefix_len()),
        ];
        attributes.extend(flags.map(WireguardAllowedIpAttr::Flags));
        WireguardAllowedIp(attributes)
    });
    WireguardPeerAttribute::AllowedIps(prefixes.collect())
}

/// Puts the parts of a dump together; `None` where the device has no key.
fn assemble(replies: &[Message]) -> Option<Reading> {
    let mut public_key = None;
    let (mut listen_port, mut fwmark) = (0, 0);
    let mut peers = BTreeMap::new();
    let mut stamps = BTreeMap::new();
    for attribute in replies.iter().flat_map(|reply| &reply.0.attributes) {
        match attribute {
            WireguardAttribute::PublicKey(key) => public_key = Some(PublicKey::from_bytes(*key)),
            WireguardAttribute::ListenPort(port) => listen_port = *port,
            WireguardAttribute::Fwmark(mark) => fwmark = *mark,
            WireguardAttribute::Peers(parts) => parts.iter().for_each(|part| merge(&mut peers, &mut stamps, part)),
            _ => {}
        }
    }
    Some(Reading {
        public_key: public_key?,
        listen_port,
        fwmark,
        peers,
        stamps,
    })
}

/// Adds a part of a peer: one with many allowed IPs comes in several, of which only the first has the rest.
fn merge(peers: &mut BTreeMap<PublicKey, PeerState>, stamps: &mut BTreeMap<PublicKey, Stamp>, part: &WireguardPeer) {
    let key = part.iter().find_map(|attribute| match attribute {
        WireguardPeerAttribute::PublicKey(key) => Some(PublicKey::from_bytes(*key)),
        _ => None,
    });
    let Some(key) = key else { return };
    let peer = peers.entry(key).or_default();
    for attribute in part.iter() {
        match attribute {
            WireguardPeerAttribute::Endpoint(endpoint) => peer.endpoint = Some(*endpoint),
            WireguardPeerAttribute::PersistentKeepalive(seconds) => {
                peer.keepalive = Some(*seconds).filter(|seconds| *seconds != 0);
            }
            WireguardPeerAttribute::PresharedKey(key) => peer.preshared = *key != [0; PublicKey::LEN],
            WireguardPeerAttribute::RxBytes(bytes) => peer.rx_bytes = *bytes,
            WireguardPeerAttribute::TxBytes(bytes) => peer.tx_bytes = *bytes,
            WireguardPeerAttribute::LastHandshake(time) => {
                stamps.extend(stamp(time).map(|stamp| (key, stamp)));
            }
            WireguardPeerAttribute::AllowedIps(prefixes) => {
                peer.allowed_ips.extend(prefixes.iter().filter_map(prefix));
            }
            _ => {}
        }
    }
}

fn stamp(time: &WireguardTimeSpec) -> Option<Stamp> {
    let since_1970 = Duration::new(
        u64::try_from(time.seconds).ok()?,
        u32::try_from(time.nano_seconds).ok()?,
    );
    (!since_1970.is_zero()).then_some(Stamp::Wall(since_1970))
}

fn prefix(allowed: &WireguardAllowedIp) -> Option<IpNet> {
    let address = allowed.iter().find_map(|attribute| match attribute {
        WireguardAllowedIpAttr::IpAddr(address) => Some(*address),
        _ => None,
    });
    let length = allowed.iter().find_map(|attribute| match attribute {
        WireguardAllowedIpAttr::Cidr(length) => Some(*length),
        _ => None,
    });
    IpNet::new(address?, length?).ok().map(|prefix| prefix.trunc())
}

/// A WireGuard message that is never shown, and wiped when dropped: the kernel's answers hold all keys.
struct Message(WireguardMessage);

impl Drop for Message {
    fn drop(&mut self) {
        for attribute in &mut self.0.attributes {
            match attribute {
                WireguardAttribute::PrivateKey(key) => key.zeroize(),
                WireguardAttribute::Peers(peers) => peers.iter_mut().for_each(wipe),
                _ => {}
            }
        }
    }
}

fn wipe(peer: &mut WireguardPeer) {
    for attribute in &mut peer.0 {
        if let WireguardPeerAttribute::PresharedKey(key) = attribute {
            key.zeroize();
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WireGuard message")
    }
}

impl GenlFamily for Message {
    fn family_name() -> &'static str {
        WireguardMessage::family_name()
    }

    fn command(&self) -> u8 {
        self.0.command()
    }

    fn version(&self) -> u8 {
        self.0.version()
    }
}

impl Emitable for Message {
    fn buffer_len(&self) -> usize {
        self.0.buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.0.emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Message {
    fn parse_with_param(bytes: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        WireguardMessage::parse_with_param(bytes, header).map(Self)
    }
}
