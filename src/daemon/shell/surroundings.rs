//! What happens around the node: the interface is renamed, goes down, loses its address, gets another port.

use std::net::IpAddr;

use super::{PORTS_AGAIN, Shell};
use crate::control;
use crate::daemon::clock::now;
use crate::daemon::holder::{self, Holder};
use crate::daemon::host::{Host, Observation};
use crate::daemon::ports::{Ports, Want};
use crate::daemon::socket::{Place, Socket};
use crate::mesh::device::DeviceState;
use crate::mesh::device::contest::Verdict;
use crate::mesh::show::event::{Input, Leads};

impl Shell {
    /// Looks at the machine, and sees to it that the node has its address.
    pub(super) async fn look_around(&mut self) -> anyhow::Result<()> {
        self.look_again = false;
        let seen = match self.host.read().await {
            Ok(seen) => seen,
            Err(error) if error.is_gone() => return Err(error.into()),
            Err(error) => {
                // No notice may come for what was missed.
                self.look_again = true;
                self.warn("host", &error);
                return Ok(());
            }
        };
        self.note_name_and_state(&seen).await;
        self.follow_neighbours(&seen).await;
        let mut addresses = seen.state.tunnel_addresses.iter();
        if seen.up && !addresses.any(|net| net.addr() == self.node.address()) {
            self.put_address_back().await?;
        }
        let whereabouts = seen.state.whereabouts();
        if self.whereabouts != whereabouts {
            self.whereabouts = whereabouts;
            if let Err(error) = self.device.forget_sources().await {
                self.bear(error)?;
            }
        }
        self.own.clone_from(&seen.state.tunnel_addresses);
        self.node.handle(now(), Input::Host(seen.state));
        Ok(())
    }

    /// Asks the kernel where WireGuard's packets to an address go.
    pub(super) async fn find_route(&mut self, address: IpAddr) {
        match self.host.leads_into_tunnel(address, self.device.fwmark()).await {
            Ok(into_tunnel) => {
                let leads = if into_tunnel { Leads::IntoTunnel } else { Leads::Outside };
                self.node.handle(now(), Input::Routed { address, leads });
            }
            Err(error) => self.warn(
                "route",
                format_args!("the kernel does not say how {address} is reached: {error}"),
            ),
        }
    }

    async fn note_name_and_state(&mut self, seen: &Observation) {
        if self.iface != seen.name {
            tracing::warn!("{} is called {} now", self.iface, seen.name);
            self.iface.clone_from(&seen.name);
            self.socket.rename(&seen.name);
            self.device.rename(&seen.name);
            self.control.rename(&seen.name);
            self.writer.rename(&seen.name).await;
        }
        if self.up != seen.up {
            self.up = seen.up;
            self.contest.forget_address();
            let state = if seen.up {
                "up again"
            } else {
                "down: no facts until it is up"
            };
            tracing::warn!("{} is {state}", self.iface);
        }
    }

    async fn put_address_back(&mut self) -> anyhow::Result<()> {
        let address = self.node.address();
        let verdict = self.contest.judge_address(now());
        // No notice comes when the obstacle is out of the way.
        self.look_again = true;
        if verdict == Verdict::NotYet {
            return Ok(());
        }
        match self.host.ensure_address(address).await {
            Err(error) if error.is_gone() => return Err(error.into()),
            Err(error) => self.warn("address", &error),
            Ok(_) => {
                self.look_again = false;
                self.contest.note_address(now());
                if verdict == Verdict::Again {
                    self.warn_of_contest(address);
                }
                tracing::debug!("{address} is back on {}", self.iface);
            }
        }
        Ok(())
    }

    /// Tells the node what the file of wg-quick says, where that is news.
    pub(super) fn read_names(&mut self) {
        let Some(file) = &mut self.wg_quick else { return };
        let (read, path) = (file.look(now()), file.path().display());
        match read {
            None => {}
            Some(Ok(said)) => {
                if !said.odd_lines.is_empty() {
                    tracing::warn!("{path}: lines {:?} are not understood, and left out", said.odd_lines);
                }
                tracing::debug!("{path} names the endpoints of {} peers", said.names.len());
                self.node.handle(now(), Input::Named(said.names));
            }
            Some(Err(error)) => {
                tracing::warn!(
                    "{path} cannot be read ({error}): what it said of endpoints before, if anything, still counts"
                );
            }
        }
    }

    /// Moves to other ports where the device or its routers did, and tries again to have what somebody else had.
    pub(super) async fn follow_ports(&mut self, state: &DeviceState) {
        let Some(ports) = self.ports.follow(&self.config.settings, state, &self.own) else {
            let port = state.listen_port;
            return self.warn(
                "port",
                format_args!("no port for facts follows from {port}: the old one stays"),
            );
        };
        let is_due = self.socket.is_makeshift() && now() >= self.ports_at;
        if ports != self.ports || is_due {
            self.move_ports(ports).await;
        }
    }

    /// Leaves ports to other WireGuard interfaces, as soon as there are some.
    async fn follow_neighbours(&mut self, seen: &Observation) {
        let neighbours = seen.other_wireguard();
        let was_alone = self.neighbours.is_empty();
        self.neighbours = neighbours;
        if was_alone != self.neighbours.is_empty() {
            self.move_ports(self.ports).await;
        }
    }

    async fn move_ports(&mut self, ports: Ports) {
        self.ports_at = now() + PORTS_AGAIN;
        match self.socket.follow(ports.wants(!self.neighbours.is_empty())).await {
            Ok(is_other) => {
                if ports != self.ports {
                    tracing::info!("facts are spoken on {ports} now");
                }
                self.ports = ports;
                if is_other {
                    self.tell_ports().await;
                    self.node.handle(now(), Input::FactPorts);
                }
            }
            Err(error) => self.warn("socket", &error),
        }
    }

    /// Returns how facts are received on each port.
    pub(super) async fn shown_ports(&self) -> Vec<control::FactPort> {
        let mut shown = Vec::new();
        for open in self.socket.opened() {
            let holder = match open.is_bound {
                true => None,
                false => self.holder(open.port).await,
            };
            shown.push(control::FactPort {
                port: open.port,
                bound: open.is_bound,
                fallback: open.is_spare,
                holder: holder.map(|holder| holder.to_string()),
            });
        }
        shown
    }

    async fn holder(&self, port: u16) -> Option<Holder> {
        let holder = holder::of(port, self.node.address())?;
        Some(holder.among(port, &self.neighbours).await)
    }

    /// Says who has a port that is ours by right, and what that means.
    pub(super) async fn tell_ports(&self) {
        let opened = self.socket.opened();
        let Some(first) = opened.first() else { return };
        let wanted = self.ports.first;
        let is_heard = opened.iter().any(|open| open.port == wanted);
        let holder = match first.port == wanted && first.is_bound {
            true => None,
            false => self.holder(wanted).await,
        };
        let holder = holder.map_or("another program".to_owned(), |holder| holder.to_string());
        match (first.is_spare, is_heard) {
            (true, true) => tracing::warn!(
                "UDP port {wanted} is taken by {holder}, which receives what wirelink v1 nodes send: facts are spoken on port {} instead",
                first.port
            ),
            (true, false) => tracing::warn!(
                "UDP port {wanted} is taken by {holder}: facts are spoken on port {} instead, and wirelink v1 nodes are not heard                  (with CAP_NET_RAW they would be); end that program, or choose another port everywhere with `Port`",
                first.port
            ),
            (false, _) if !first.is_bound && self.neighbours.is_empty() => {
                tracing::info!("UDP port {wanted} is taken by {holder}: facts are received beside it, by a raw socket")
            }
            (false, _) if !first.is_bound => tracing::info!(
                "facts are received on UDP port {wanted} by a raw socket, which leaves the port to {}",
                self.neighbours.join(", ")
            ),
            (false, _) => {}
        }
    }
}

/// Gives the interface the address of the node, and opens the socket there; or leaves the interface as it is.
pub(super) async fn settle(host: &mut Host, place: Place, wants: Vec<Want>) -> anyhow::Result<Socket> {
    let added = host.ensure_address(place.address).await?;
    let socket = Socket::open(place, wants).await;
    if socket.is_err() {
        // Where the interface is gone, that is why.
        if let Err(error) = host.read().await
            && error.is_gone()
        {
            return Err(error.into());
        }
        // An address that was there already may be in use by the program that has the port.
        if added {
            host.remove_address().await.ok();
        }
    }
    Ok(socket?)
}
