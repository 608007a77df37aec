//! The shell: observes the machine, hands it to the node, carries out what comes back.

mod clock;
mod confine;
pub mod control;
pub mod device;
mod found;
mod held;
mod history;
mod holder;
pub mod host;
pub mod inspect;
mod listing;
pub mod lock;
pub mod logs;
mod metrics;
mod netlink;
mod ports;
pub mod probe;
mod resolver;
mod restore;
mod rtnl;
mod seats;
mod shell;
mod socket;
mod state;
mod stop;
pub mod systemd;
mod view;
mod watch;
mod wg_quick;

pub use confine::{Held, TooFewFiles, confine, need_files};
pub use netlink::NetlinkError;
pub use restore::restore;
pub use state::form;
pub use stop::Stop;
pub use wg_quick::names_only;

use std::rc::Rc;

use self::shell::{End, Shell};
use crate::config::{Config, ConfigError, Loaded};

/// What a running daemon can have done outside of it.
#[derive(Clone)]
pub struct Steering {
    /// Reads the configuration again.
    pub load: Rc<dyn Fn() -> Result<Loaded, ConfigError>>,
    /// Has details logged, or no longer.
    pub set_debug: Rc<dyn Fn(bool)>,
}

impl Steering {
    /// Returns what keeps to a configuration whatever happens.
    pub fn fixed(config: &Config) -> Self {
        let config = config.clone();
        let load = move || {
            Ok(Loaded {
                config: config.clone(),
                warnings: Vec::new(),
            })
        };
        Self {
            load: Rc::new(load),
            set_debug: Rc::new(|_| {}),
        }
    }
}

/// Runs a node beside the WireGuard interface that `config` names until `stop`; on a current-thread runtime, in the
/// network namespace of the calling thread; `steering` is what it is steered by.
///
/// An interface whose private key was changed is another node, which starts anew; one that vanished is waited for, where
/// `config` says so. What was read or said since the start goes on to hold.
///
/// # Errors
/// When the interface is missing, is not WireGuard, may not be changed or vanishes; when another wirelink works on it, or the
/// port is taken.
pub async fn run(mut config: Config, steering: Steering, stop: Stop) -> anyhow::Result<()> {
    loop {
        let mut shell = match Shell::open(&config, &steering, &stop).await {
            Ok(Some(shell)) => shell,
            Ok(None) => return Ok(()),
            // It went while it was looked at.
            Err(error) if found::is_gone(&error) && config.wait => {
                tracing::warn!("{error}");
                continue;
            }
            Err(error) => return Err(error),
        };
        let end = shell.serve(&stop).await;
        shell.finish_writing().await;
        config.clone_from(shell.config());
        match end {
            Ok(End::Stopped) => {
                systemd::stopping("putting the interface back");
                return shell.close().await;
            }
            Ok(End::Left) => {
                systemd::stopping("leaving the interface as it is for the next start");
                return shell.leave().await;
            }
            Ok(End::OtherKey) => {
                if let Err(error) = shell.close().await {
                    tracing::warn!("{error:#}");
                }
            }
            // Nothing is left to put back, and an interface that has the name by now is another one.
            Err(error) if found::is_gone(&error) && config.wait => tracing::warn!("{error}"),
            Err(error) if found::is_gone(&error) => return Err(error),
            Err(error) => {
                // What ended the service is the news; what could not be put back for the same reason is not.
                shell.close().await.ok();
                return Err(error);
            }
        }
    }
}
