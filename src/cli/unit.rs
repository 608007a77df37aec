//! `wirelink unit`: what the units in `systemd/` run as root beside a daemon that is not root. Nobody types it.

mod copy;
mod job;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, pidfd_open, pidfd_send_signal};

use super::client::Which;
use super::restore;
use crate::config::CONFIG_COPY;

/// How long the daemon may take to end before systemd ends it.
const END_WITHIN: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// The moments of a unit.
#[derive(Clone, Debug, Args)]
pub struct UnitArgs {
    #[command(subcommand)]
    moment: Moment,
}

#[derive(Clone, Debug, Subcommand)]
enum Moment {
    /// Copy the settings to where the daemon may read them
    BeforeStart {
        /// The WireGuard interface
        #[arg(short, long)]
        iface: String,
    },
    /// Have the daemon leave the interface as it is, where it is started again at once
    BeforeStop {
        /// The WireGuard interface
        #[arg(short, long)]
        iface: String,
        /// The name of the unit
        unit: String,
    },
    /// Put back what the daemon left for v1 nodes, where wg-quick takes the interface away
    AfterStop {
        /// The WireGuard interface
        #[arg(short, long)]
        iface: String,
    },
}

/// Does what the moment needs.
///
/// # Errors
/// When the copies cannot be made. At the end nothing is an error: what is not left as it is, the daemon puts back.
pub fn run(args: &UnitArgs) -> anyhow::Result<()> {
    match &args.moment {
        Moment::BeforeStart { iface } => {
            let to = copies().with_context(|| format!("{CONFIG_COPY} is not set: units do that"))?;
            copy::settings(iface, std::env::vars_os(), &to)
        }
        Moment::BeforeStop { iface, unit } => {
            if job::keeps_links(iface, unit) {
                leave().unwrap_or_default();
            }
            Ok(())
        }
        // SaveConfig would make it the operator's.
        Moment::AfterStop { iface } if job::ends_interface(iface) => {
            restore::interface(Some(iface.clone()), None).map(drop)
        }
        Moment::AfterStop { .. } => Ok(()),
    }
}

fn copies() -> Option<PathBuf> {
    std::env::var_os(CONFIG_COPY).map(PathBuf::from)
}

/// Gives the daemon the settings as they are now, where it reads copies: here where the unit itself is reloaded, else by having it reloaded.
///
/// # Errors
/// When there is no daemon, or the copies cannot be made.
pub(super) fn hand_out_settings(daemon: &Which) -> anyhow::Result<()> {
    match (copies(), daemon.named()) {
        (Some(to), Some(iface)) => copy::settings(iface, std::env::vars_os(), &to),
        (_, _) if !geteuid().is_root() => Ok(()),
        (_, _) => {
            // What a daemon says of itself is not asked where root acts on it: the kernel knows its unit.
            let pid = sockopt::socket_peercred(daemon.connect()?)?.pid;
            let control_group = std::fs::read_to_string(format!("/proc/{}/cgroup", pid.as_raw_nonzero()));
            // It says itself what is wrong with the settings.
            if let Some(unit) = control_group.ok().and_then(|text| job::unit(&text)) {
                job::reload(&unit);
            }
            Ok(())
        }
    }
}

/// Has the daemon of this unit, which waits for its interface, read its settings again once that is there.
pub(super) fn reload_later() -> Option<()> {
    pidfd_send_signal(main_process()?, Signal::HUP).ok()
}

/// Tells the daemon of the unit to leave the interface as it is, and waits for its end: another signal, systemd's, would come between.
fn leave() -> Option<()> {
    let daemon = main_process()?;
    pidfd_send_signal(&daemon, Signal::USR2).ok()?;
    poll(&mut [PollFd::new(&daemon, PollFlags::IN)], Some(&END_WITHIN)).ok()?;
    Some(())
}

/// Returns the process of the unit that this one acts for (systemd.exec).
fn main_process() -> Option<OwnedFd> {
    let pid = std::env::var("MAINPID").ok()?.parse().ok().and_then(Pid::from_raw)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}
