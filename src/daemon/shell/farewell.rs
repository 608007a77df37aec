//! The end of a node: the interface stays as it is, or is put back as it was found.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::time::timeout;

use super::{DeviceError, Input, Output, Shell, now};
use crate::mesh::base::identity::PublicKey;
use crate::mesh::keep::memory::{Memory, Session};
use crate::mesh::show::event::PeerName;

/// How long putting the device back may take.
const FAREWELL: Duration = Duration::from_secs(30);

impl Shell {
    /// Waits until nothing is written any more: whoever comes next finds the file as it is.
    pub(in crate::daemon) async fn finish_writing(&mut self) {
        self.writer.settle().await;
    }

    /// Ends with the interface as it is: the next start takes up what was written down before it was put there. Where nothing could be
    /// written down, the next start would take all of it for the operator's, so it is put back.
    pub(in crate::daemon) async fn leave(self) -> anyhow::Result<()> {
        if !self.writer.is_kept() {
            tracing::warn!(
                "what is on {} because of wirelink is written down nowhere, so it does not stay there",
                self.iface
            );
            return self.close().await;
        }
        tracing::info!("stopped; {} stays as it is, for the next start", self.iface);
        Ok(())
    }

    /// Puts the interface back as it was found, as far as it is still there.
    pub(in crate::daemon) async fn close(mut self) -> anyhow::Result<()> {
        if self.host.read().await.is_err_and(|error| error.is_gone()) {
            tracing::info!("stopped; {} is gone", self.iface);
            return Ok(());
        }
        let left = match timeout(FAREWELL, self.restore()).await {
            Ok(left) => left.map_err(anyhow::Error::from),
            Err(_) => Err(anyhow!("it took longer than {} s", FAREWELL.as_secs())),
        };
        // Whatever became of the device: nobody answers at the address any more.
        let address = self.host.remove_address().await;
        let left = left
            .and_then(|left| address.map(|_| left).map_err(anyhow::Error::from))
            .with_context(|| format!("{} is not as it was found", self.iface))?;
        let iface = &self.iface;
        if left.is_empty() {
            tracing::info!("stopped; {iface} is as it was found");
        } else {
            let left = left.join(", ");
            tracing::warn!(
                "stopped; {iface} is as it was found but for {left}: wirelink v1 there goes on to send here directly, so the peer and its \
                 prefixes stay. The next start takes them over; `wirelink restore --iface {iface}` takes them away, which loses what is \
                 still sent directly for some minutes"
            );
        }
        Ok(())
    }

    /// Takes off the device what the node put there; one failure does not keep the rest on it.
    /// Returns the names of peers that keep what they were given.
    async fn restore(&mut self) -> Result<Vec<String>, DeviceError> {
        // What the node still wanted would only have to be taken back.
        self.held = None;
        while self.node.poll_output().is_some() {}
        let state = self.device.read(now()).await?;
        self.node.handle(now(), Input::Device(&state));
        self.node.handle(now(), Input::Stop);
        let (mut restored, mut left) = (Ok(()), Memory::default());
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Configure(change) => {
                    tracing::debug!("{change:?}");
                    let applied = self.device.apply(&change).await;
                    restored = restored.and(applied);
                }
                Output::Transmit { to, ports, payload } => {
                    // A farewell: whoever is not reached finds out by itself.
                    self.socket.send(to, ports, &payload).ok();
                }
                // What is still there in spite of it is for the next start to take away.
                Output::Remember(memory) if restored.is_ok() => {
                    left = (*memory).clone();
                    self.writer.save(memory).await;
                }
                Output::Remember(_)
                | Output::Probe { .. }
                | Output::Stun { .. }
                | Output::FindRoute(_)
                | Output::Resolve(_)
                | Output::Pong { .. }
                | Output::Notify(_) => {}
            }
        }
        restored?;
        self.take_away_unwritten(&mut left).await?;
        let is_wanted = self.config.settings.leave_peers;
        Ok(if is_wanted { Vec::new() } else { left_peers(&left) })
    }

    /// Takes off the device what the node would leave there, where that is written down nowhere: the next start would take it for the
    /// operator's.
    async fn take_away_unwritten(&mut self, left: &mut Memory) -> Result<(), DeviceError> {
        if left.introduced.is_empty() || self.writer.is_kept() || self.config.settings.leave_peers {
            return Ok(());
        }
        let state = self.device.read(now()).await?;
        let introduced = std::mem::take(&mut left.introduced).on(&state);
        for change in introduced.undo(&state, self.config.settings.address_hash, &|_| Session::Heard) {
            self.device.apply(&change).await?;
        }
        Ok(())
    }
}

/// Returns the names of the peers that have something because of the node.
fn left_peers(memory: &Memory) -> Vec<String> {
    let introduced = &memory.introduced;
    let given = introduced.prefixes.values().map(|given| given.peer);
    let peers: BTreeSet<PublicKey> = introduced.peers.iter().copied().chain(given).collect();
    let name = |key: &PublicKey| memory.peers.get(key)?.named.as_ref()?.name.clone();
    let named = peers.iter().map(|key| PeerName {
        key: *key,
        name: name(key),
    });
    named.map(|peer| peer.to_string()).collect()
}
