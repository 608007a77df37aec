//! The shell: observes the machine, hands it to the node, carries out what comes back.

pub mod clock;
pub mod device;
pub mod host;
mod netlink;
mod rtnl;
mod watch;

pub use netlink::NetlinkError;

use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// Runs a node beside the WireGuard interface that `config` names until `stop`; on a current-thread runtime, in the
/// network namespace of the calling thread.
///
/// # Errors
/// When the interface is missing, is not WireGuard, may not be changed or vanishes; when the port is taken.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let _ = config;
    stop.cancelled().await;
    Ok(())
}

#[cfg(test)]
mod tests;
