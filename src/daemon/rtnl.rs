//! Requests to the kernel about links, addresses and routes. All of rtnetlink's types stay in this module's neighbours
//! `host` and `watch`.

use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};

use super::netlink::{self, NetlinkError, Task};

/// The kernel's error number for an interface that does not exist.
pub(super) const ENODEV: i32 = 19;

/// A connection to the routing part of the kernel; made anew after it broke.
#[derive(Debug, Default)]
pub(super) struct Rtnl {
    connection: Option<(rtnetlink::Handle, Task)>,
}

/// A link, as far as it matters here.
#[derive(Debug)]
pub(super) struct Link {
    /// The interface index: never given to another link while the machine runs, short of four billion of them.
    pub(super) index: u32,
    /// Whether the kernel's own WireGuard drives it.
    pub(super) kernel_wireguard: bool,
}

impl Rtnl {
    /// Looks a link up by its name.
    pub(super) async fn link(&mut self, name: &str) -> Result<Link, NetlinkError> {
        let mut query = LinkMessage::default();
        query.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let found = self.request(RouteNetlinkMessage::GetLink(query), 0).await?;
        found
            .into_iter()
            .find_map(|message| match message {
                RouteNetlinkMessage::NewLink(link) => Some(Link {
                    index: link.header.index,
                    kernel_wireguard: is_wireguard(&link),
                }),
                _ => None,
            })
            .ok_or(NetlinkError::Malformed)
    }

    /// Asks for a whole table, until a copy is in one piece.
    pub(super) async fn dump(&mut self, query: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        netlink::untorn(async || self.send(query.clone(), NLM_F_REQUEST | NLM_F_DUMP).await).await
    }

    /// Sends one request and waits for its acknowledgement.
    pub(super) async fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        self.send(message, NLM_F_REQUEST | NLM_F_ACK | flags).await
    }

    async fn send(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        let replies = self.handle()?.request(message).map_err(|_| NetlinkError::Lost)?;
        let result = netlink::collect(replies).await;
        if result.as_ref().is_err_and(NetlinkError::spoils_connection) {
            self.connection = None;
        }
        result
    }

    fn handle(&mut self) -> Result<&mut rtnetlink::Handle, NetlinkError> {
        if self.connection.as_ref().is_none_or(|(_, task)| task.is_over()) {
            let (mut connection, handle, _) = rtnetlink::new_connection().map_err(NetlinkError::Refused)?;
            connection.set_forward_done(true);
            connection.set_forward_ack(true);
            self.connection = Some((handle, Task::spawn(connection)));
        }
        let (handle, _) = self.connection.as_mut().expect("it was made just above");
        Ok(handle)
    }
}

/// Says whether the kernel's own WireGuard drives a link, or a program may: all that is known at first is that it is a TUN device.
pub(super) fn may_be_wireguard(link: &LinkMessage) -> bool {
    let kinds = link.attributes.iter().filter_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    kinds
        .flatten()
        .any(|info| matches!(info, LinkInfo::Kind(InfoKind::Wireguard | InfoKind::Tun)))
}

/// Says whether the kernel's own WireGuard drives a link.
pub(super) fn is_wireguard(link: &LinkMessage) -> bool {
    link.attributes.iter().any(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.contains(&LinkInfo::Kind(InfoKind::Wireguard)),
        _ => false,
    })
}
