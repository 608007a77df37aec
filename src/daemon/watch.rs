//! Notices of the kernel about links, addresses and routes, gathered until they pause.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, Stream};
use ipnet::IpNet;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::route::RouteMessage;
use rtnetlink::sys::AsyncSocket as _;
use tokio::time::{Instant, sleep, sleep_until};

use super::host::{destination, is_default, leads_into, unicast_prefix};
use super::netlink::{NetlinkError, Task};
use super::rtnl::may_be_wireguard;
use crate::mesh::show::event::Route;

/// How long a change waits for those that come with it: an interface that goes up brings links, addresses and routes.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// How long it waits where a tunnel is new: its listen port may be one that we are in the way of, and is set in a moment.
const AT_ONCE: Duration = Duration::from_millis(10);

/// How long to wait before another try when the kernel gives no socket.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// The kernel drops notices that do not fit; then everything is read again.
const RECEIVE_BUFFER: usize = 1 << 20;

const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

type Notices = BoxStream<'static, NetlinkMessage<RouteNetlinkMessage>>;

/// A subscription to the kernel's notices.
pub(super) struct Watch {
    index: u32,
    tunnel_prefixes: Vec<IpNet>,
    /// Whether rules lead to other tables than the main one.
    ruled: bool,
    subscription: Option<(Notices, Task)>,
    due: Option<Instant>,
    /// When to look once more after that.
    again: Option<Instant>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("index", &self.index)
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// The index of no interface: a watch with it hears of links and addresses only.
    pub(super) const NO_TUNNEL: u32 = 0;

    /// Subscribes, on behalf of the interface with this index.
    pub(super) fn open(index: u32) -> Result<Self, NetlinkError> {
        Ok(Self {
            index,
            tunnel_prefixes: Vec::new(),
            ruled: false,
            subscription: Some(subscribe()?),
            due: None,
            again: None,
        })
    }

    /// Restricts notices about routes to what is into the tunnel, an exception from that, or a way out: a router with all routes
    /// of the Internet hears of many others every second.
    pub(super) fn care_about(&mut self, routes: &[Route], ruled: bool) {
        self.ruled = ruled;
        let into_tunnel = routes.iter().filter(|route| route.into_tunnel);
        self.tunnel_prefixes = into_tunnel.map(|route| route.prefix).collect();
    }

    /// Waits for a change. What was noticed is not lost when this is cancelled.
    pub(super) async fn changed(&mut self) {
        loop {
            match self.due {
                Some(due) => {
                    sleep_until(due).await;
                    self.due = self.again.take();
                    // What is queued by now, the coming read shows as well.
                    self.discard();
                    return;
                }
                None => self.notice().await,
            }
        }
    }

    async fn notice(&mut self) {
        let Some((notices, _)) = &mut self.subscription else {
            return self.reopen().await;
        };
        match notices.next().await {
            Some(notice) if !self.concerns(&notice.payload) => return,
            Some(notice) if is_new_tunnel(&notice.payload) => {
                self.due = Some(Instant::now() + AT_ONCE);
                self.again = Some(Instant::now() + DEBOUNCE);
                return;
            }
            Some(_) => {}
            // Nobody knows what was missed: subscribe again first, then have everything read.
            None => self.subscription = None,
        }
        self.due = Some(Instant::now() + DEBOUNCE);
    }

    async fn reopen(&mut self) {
        match subscribe() {
            Ok(subscription) => {
                self.subscription = Some(subscription);
                self.due = Some(Instant::now());
            }
            Err(_) => sleep(REOPEN_AFTER).await,
        }
    }

    fn discard(&mut self) {
        use futures_util::FutureExt as _;
        while let Some((notices, _)) = &mut self.subscription {
            match notices.next().now_or_never() {
                Some(Some(_)) => {}
                Some(None) => self.subscription = None,
                None => return,
            }
        }
    }

    fn concerns(&self, notice: &NetlinkPayload<RouteNetlinkMessage>) -> bool {
        match notice {
            NetlinkPayload::InnerMessage(
                RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route),
            ) => self.concerns_route(route),
            NetlinkPayload::InnerMessage(_) | NetlinkPayload::Overrun(_) => true,
            _ => false,
        }
    }

    fn concerns_route(&self, route: &RouteMessage) -> bool {
        let leads_out = |prefix: &IpNet| is_default(prefix) || leads_into(route, self.index);
        match unicast_prefix(route) {
            Some(prefix) => leads_out(&prefix) || self.tunnel_prefixes.iter().any(|tunnel| tunnel.contains(&prefix)),
            None => self.ruled && destination(route).is_some_and(|prefix| leads_out(&prefix)),
        }
    }
}

/// Says whether a link was made just now that is WireGuard, or may be.
fn is_new_tunnel(notice: &NetlinkPayload<RouteNetlinkMessage>) -> bool {
    match notice {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
            link.header.change_mask.bits() == u32::MAX && may_be_wireguard(link)
        }
        _ => false,
    }
}

fn subscribe() -> Result<(Notices, Task), NetlinkError> {
    let (mut connection, _, notices) = rtnetlink::new_multicast_connection(&GROUPS).map_err(NetlinkError::Refused)?;
    // A smaller buffer only means more frequent full reads.
    let _ = connection.socket_mut().socket_mut().set_rx_buf_sz(RECEIVE_BUFFER);
    Ok((boxed(notices.map(|(notice, _)| notice)), Task::spawn(connection)))
}

fn boxed(notices: impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Send + 'static) -> Notices {
    notices.boxed()
}
