//! What happens around the node: the interface is renamed, goes down, loses its address, gets another port.

use std::net::Ipv6Addr;

use super::Shell;
use crate::daemon::clock::now;
use crate::daemon::host::{Host, Observation};
use crate::daemon::ports::Ports;
use crate::daemon::socket::Socket;
use crate::mesh::contest::Verdict;
use crate::mesh::device::DeviceState;
use crate::mesh::event::Input;

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

    async fn note_name_and_state(&mut self, seen: &Observation) {
        if self.iface != seen.name {
            tracing::warn!("{} is called {} now", self.iface, seen.name);
            self.iface.clone_from(&seen.name);
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

    /// Moves to other ports where the device or its routers did.
    pub(super) async fn follow_ports(&mut self, state: &DeviceState) {
        let Some(ports) = self.ports.follow(&self.config.settings, state, &self.own) else {
            let port = state.listen_port;
            return self.warn(
                "port",
                format_args!("no port for facts follows from {port}: the old one stays"),
            );
        };
        if ports == self.ports {
            return;
        }
        match self.socket.follow(&self.iface, self.node.address(), ports).await {
            Ok(()) => {
                self.ports = ports;
                tracing::info!("facts are spoken on {ports} now");
            }
            Err(error) => self.warn("socket", &error),
        }
    }
}

/// Gives the interface the address of the node, and opens the socket there; or leaves the interface as it is.
pub(super) async fn settle(
    iface: &str,
    host: &mut Host,
    index: u32,
    address: Ipv6Addr,
    ports: Ports,
) -> anyhow::Result<Socket> {
    let added = host.ensure_address(address).await?;
    let socket = Socket::bind(iface, index, address, ports).await;
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
