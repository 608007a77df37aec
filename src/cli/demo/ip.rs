//! Links, addresses and routes in the network of the calling thread.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use ipnet::{IpNet, Ipv4Net};
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::route::{RouteMessage, RouteScope, RouteType};
use rtnetlink::{Handle, LinkUnspec, LinkWireguard, RouteMessageBuilder};

/// The table in which the kernel keeps what is its own (`ip route show table local`).
const TABLE_LOCAL: u32 = 255;

/// The network of the thread that made it.
pub(super) struct Network {
    handle: Handle,
}

impl Network {
    /// Connects to the kernel; on the runtime of the calling thread.
    pub(super) fn open() -> anyhow::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection().context("no netlink socket")?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Makes a kernel WireGuard interface, or fails where the kernel has none.
    pub(super) async fn add_wireguard(&self, name: &str) -> Result<(), rtnetlink::Error> {
        self.handle.link().add(LinkWireguard::new(name).build()).execute().await
    }

    /// Brings an interface up.
    pub(super) async fn up(&self, name: &str, mtu: u32) -> anyhow::Result<()> {
        let link = LinkUnspec::new_with_index(self.index(name).await?)
            .mtu(mtu)
            .up()
            .build();
        let done = self.handle.link().set(link).execute().await;
        done.with_context(|| format!("{name} cannot be brought up"))
    }

    /// Adds an address to an interface.
    pub(super) async fn add_address(&self, name: &str, address: Ipv4Net) -> anyhow::Result<()> {
        let (index, ip) = (self.index(name).await?, IpAddr::V4(address.addr()));
        let done = self
            .handle
            .address()
            .add(index, ip, address.prefix_len())
            .execute()
            .await;
        done.with_context(|| format!("{address} cannot be added to {name}"))
    }

    /// Sends everything that has no other way out of an interface.
    pub(super) async fn add_default_route(&self, name: &str) -> anyhow::Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .output_interface(self.index(name).await?)
            .scope(RouteScope::Link)
            .build();
        self.add_route(route).await
    }

    /// Lets sockets of this network own an address that no interface carries. Others answer it from `source`; without that,
    /// the kernel would take the address itself.
    pub(super) async fn add_local_route(&self, address: Ipv4Addr, source: Ipv4Addr) -> anyhow::Result<()> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(address, 32)
            .pref_source(source)
            .output_interface(self.index("lo").await?)
            .table_id(TABLE_LOCAL)
            .kind(RouteType::Local)
            .scope(RouteScope::Host)
            .build();
        self.add_route(route).await
    }

    /// Returns the addresses of an interface.
    pub(super) async fn addresses(&self, name: &str) -> anyhow::Result<BTreeSet<IpNet>> {
        let request = self
            .handle
            .address()
            .get()
            .set_link_index_filter(self.index(name).await?);
        let messages: Vec<_> = request.execute().try_collect().await?;
        let of = |attribute: &AddressAttribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        };
        let nets = messages.iter().filter_map(|message| {
            let address = message.attributes.iter().find_map(of)?;
            IpNet::new(address, message.header.prefix_len).ok()
        });
        Ok(nets.collect())
    }

    async fn add_route(&self, route: RouteMessage) -> anyhow::Result<()> {
        self.handle
            .route()
            .add(route)
            .execute()
            .await
            .context("a route cannot be added")
    }

    async fn index(&self, name: &str) -> anyhow::Result<u32> {
        let mut links = self.handle.link().get().match_name(name.to_owned()).execute();
        let link = links
            .try_next()
            .await
            .with_context(|| format!("{name} cannot be found"))?;
        Ok(link.with_context(|| format!("{name} does not exist"))?.header.index)
    }
}
