//! What is there before anything is touched, and the wait for it.

use std::path::Path;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::clock::now;
use super::device::{Device, DeviceError};
use super::host::{Host, HostError, Observation};
use super::lock::Lock;
use super::systemd::Systemd;
use super::watch::Watch;
use crate::mesh::base::identity::PrivateKey;
use crate::mesh::device::DeviceState;

/// How long to wait at most before another look for an interface that is not there: the kernel announces it.
const ABSENT: Duration = Duration::from_secs(30);

/// And for one that is there and not complete: nobody announces keys, sockets and settings.
const INCOMPLETE: Duration = Duration::from_secs(1);

/// An interface that can be worked on, and nobody else works on.
pub(super) struct Found {
    pub(super) lock: Lock,
    pub(super) device: Device,
    pub(super) identity: PrivateKey,
    pub(super) state: DeviceState,
    pub(super) host: Host,
    pub(super) seen: Observation,
}

impl Found {
    /// Looks for the interface; where the operator wants to `wait`, until it is there and complete. What survives a restart is in
    /// `folder`. May be cancelled.
    pub(super) async fn look(iface: &str, wait: bool, folder: Option<&Path>) -> anyhow::Result<Self> {
        let mut said = String::new();
        loop {
            match Self::look_once(iface, wait, folder).await {
                Err(error) if wait && may_pass(&error) => {
                    let reason = error.to_string();
                    if said != reason {
                        tracing::warn!("waiting for {iface}: {reason}");
                        Systemd::waiting(iface);
                        said = reason;
                    }
                    pause(if is_gone(&error) { ABSENT } else { INCOMPLETE }).await;
                }
                found => return found,
            }
        }
    }

    /// Looks for the device, and waits for it to be up: until then WireGuard may have chosen no port.
    async fn look_once(iface: &str, wait: bool, folder: Option<&Path>) -> anyhow::Result<Self> {
        let mut device = Device::open(iface).await?;
        let lock = Lock::take(iface, device.index(), folder).await?;
        let mut host = Host::open(iface, device.index())?;
        let seen = wait_until_up(iface, &mut host, wait).await?;
        seen.expect_ipv6()?;
        let identity = device.identity().await?;
        let state = device.read(now()).await?;
        Ok(Self {
            lock,
            device,
            identity,
            state,
            host,
            seen,
        })
    }
}

/// Says whether it failed because the interface does not exist (any more).
pub(super) fn is_gone(error: &anyhow::Error) -> bool {
    let device = error.downcast_ref::<DeviceError>().map(DeviceError::is_gone);
    let host = error.downcast_ref::<HostError>().map(HostError::is_gone);
    device.or(host).unwrap_or(false)
}

/// Says whether waiting may help.
fn may_pass(error: &anyhow::Error) -> bool {
    let device = error.downcast_ref::<DeviceError>().map(DeviceError::is_incomplete);
    let host = error.downcast_ref::<HostError>().map(HostError::is_incomplete);
    is_gone(error) || device.or(host).unwrap_or(false)
}

/// Waits until some interface comes or changes, but no longer than this.
async fn pause(longest: Duration) {
    match Watch::open(Watch::NO_TUNNEL) {
        Ok(mut watch) => drop(timeout(longest, watch.changed()).await),
        Err(_) => sleep(INCOMPLETE).await,
    }
}

async fn wait_until_up(iface: &str, host: &mut Host, wait: bool) -> Result<Observation, HostError> {
    let mut seen = host.read().await?;
    if !seen.up {
        tracing::warn!("{iface} is down; waiting for it to be up");
        if wait {
            Systemd::waiting(iface);
        }
    }
    while !seen.up {
        host.changed().await;
        seen = host.read().await?;
    }
    Ok(seen)
}
