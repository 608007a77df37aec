//! The end of a node: the interface stays as it is, or is put back as it was found.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::time::timeout;

use super::{DeviceError, Input, Output, Shell, now};

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
        let device = match timeout(FAREWELL, self.restore()).await {
            Ok(restored) => restored.map_err(anyhow::Error::from),
            Err(_) => Err(anyhow!("it took longer than {} s", FAREWELL.as_secs())),
        };
        // Whatever became of the device: nobody answers at the address any more.
        let address = self.host.remove_address().await;
        device
            .and(address.map_err(anyhow::Error::from))
            .with_context(|| format!("{} is not as it was found", self.iface))?;
        tracing::info!("stopped; {} is as it was found", self.iface);
        Ok(())
    }

    /// Takes off the device what the node put there; one failure does not keep the rest on it.
    async fn restore(&mut self) -> Result<(), DeviceError> {
        // What the node still wanted would only have to be taken back.
        self.held = None;
        while self.node.poll_output().is_some() {}
        let state = self.device.read(now()).await?;
        self.node.handle(now(), Input::Device(&state));
        self.node.handle(now(), Input::Stop);
        let mut restored = Ok(());
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
                Output::Remember(memory) if restored.is_ok() => self.writer.save(memory).await,
                Output::Remember(_)
                | Output::Probe { .. }
                | Output::Stun { .. }
                | Output::FindRoute(_)
                | Output::Resolve(_)
                | Output::Pong { .. }
                | Output::Notify(_) => {}
            }
        }
        restored
    }
}
