//! The shell: observes the machine, hands it to the node, carries out what comes back.

mod clock;
pub mod device;
pub mod host;
mod netlink;
mod resolver;
mod restore;
mod rtnl;
mod shell;
mod socket;
mod state;
mod watch;

pub use netlink::NetlinkError;
pub use restore::restore;

use tokio_util::sync::CancellationToken;

use self::shell::Shell;
use crate::config::Config;

/// Runs a node beside the WireGuard interface that `config` names until `stop`; on a current-thread runtime, in the
/// network namespace of the calling thread.
///
/// # Errors
/// When the interface is missing, is not WireGuard, may not be changed or vanishes; when the port is taken.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    let Some(mut shell) = Shell::open(config, &stop).await? else {
        return Ok(());
    };
    let served = shell.serve(&stop).await;
    let closed = shell.close().await;
    // What ended the service is the news; that a vanished interface cannot be put back follows from it.
    served.and(closed)
}
