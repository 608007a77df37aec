//! What the doctor looks at.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use serde_json::Value;
use tokio::runtime::Builder;

use crate::cli::UsageError;
use crate::cli::client::{NoDaemon, Reader, Which, unexpected};
use crate::config::{self, Config, Flags};
use crate::control::{Ask, Response, Status};
use crate::daemon::inspect::{self, Inspection};

/// All that there is to be judged.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) iface: String,
    /// What the daemon says; or why it says nothing.
    pub(super) daemon: Result<Box<Status>, Silence>,
    /// What is wrong with the settings, if anything.
    pub(super) settings: Result<Option<String>, String>,
    /// The machine, where there are settings to look at it with.
    pub(super) machine: Option<Inspection>,
    /// The effective capabilities of this process, as the kernel counts them.
    pub(super) capabilities: Option<u64>,
    pub(super) clock: Clock,
    pub(super) rules: Rules,
}

/// Why a daemon says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// There is none.
    NotRunning(String),
    /// It does not answer as it should.
    Deaf(String),
}

/// What the clock on the wall says, and what says something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) now: Duration,
    /// When this program was written to the disk, or built.
    pub(super) built: Option<Duration>,
    /// Whether the kernel takes it for synchronised, where somebody says so.
    pub(super) synchronised: Option<bool>,
}

/// The packet filter.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rules {
    /// `nft -j list ruleset`.
    Nft(Value),
    /// `iptables-save` and `ip6tables-save`.
    Iptables(String, String),
    /// It may not be looked at, or there are no programs for it.
    Unreadable(String),
}

/// Looks at everything.
///
/// # Errors
/// When several daemons run and none is named.
pub(super) fn look(which: &Which) -> anyhow::Result<Seen> {
    let daemon = match ask(which) {
        Ok(status) => Ok(Box::new(status)),
        Err(error) if error.is::<UsageError>() => return Err(error),
        Err(error) if error.is::<NoDaemon>() => Err(Silence::NotRunning(error.to_string())),
        Err(error) => Err(Silence::Deaf(format!("{error:#}"))),
    };
    let named = which.named().map(str::to_owned);
    let iface = named.or_else(|| daemon.as_ref().ok().map(|status| status.node.interface.clone()));
    let flags = Flags {
        iface,
        ..Flags::default()
    };
    let loaded = config::load(&flags, std::env::vars_os());
    let machine = match &loaded {
        Ok(loaded) => Some(inspect(&loaded.config)?),
        Err(_) => None,
    };
    Ok(Seen {
        iface: match &loaded {
            Ok(loaded) => loaded.config.iface.clone(),
            Err(_) => flags.iface.unwrap_or_else(|| config::DEFAULT_IFACE.to_owned()),
        },
        daemon,
        settings: loaded
            .map(|loaded| loaded.config.file.map(|file| file.display().to_string()))
            .map_err(|error| error.to_string()),
        machine,
        capabilities: capabilities(&fs::read_to_string("/proc/self/status").unwrap_or_default()),
        clock: clock(),
        rules: rules(),
    })
}

fn ask(which: &Which) -> anyhow::Result<Status> {
    let Response::Status(status) = which.ask(Ask::Status { peer: None }, Reader::Person)? else {
        return unexpected();
    };
    Ok(*status)
}

fn inspect(config: &Config) -> anyhow::Result<Inspection> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the event loop cannot be set up")?;
    let seen = runtime.block_on(inspect::inspect(config));
    // A lookup of a name may go on for half a minute.
    runtime.shutdown_background();
    Ok(seen)
}

/// Returns the effective capabilities in `/proc/<pid>/status` (proc_pid_status).
pub(super) fn capabilities(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn clock() -> Clock {
    let since_1970 = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).ok();
    let written = fs::metadata("/proc/self/exe").and_then(|file| file.modified()).ok();
    Clock {
        now: since_1970(SystemTime::now()).unwrap_or_default(),
        built: written.and_then(since_1970),
        synchronised: output("timedatectl", &["show", "-p", "NTPSynchronized", "--value"])
            .ok()
            .and_then(|said| match said.trim() {
                "yes" => Some(true),
                "no" => Some(false),
                _ => None,
            }),
    }
}

/// Reads the rules of nftables, which has those of a modern iptables, too; of an old iptables where there is no `nft`.
fn rules() -> Rules {
    let nft = output("nft", &["-j", "list", "ruleset"]);
    let parsed = nft.and_then(|text| serde_json::from_str(&text).map_err(|error| format!("nft: {error}")));
    let why = match parsed {
        Ok(rules) => return Rules::Nft(rules),
        Err(why) => why,
    };
    match (output("iptables-save", &[]), output("ip6tables-save", &[])) {
        (Ok(four), Ok(six)) => Rules::Iptables(four, six),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => Rules::Unreadable(why),
    }
}

/// Runs a program; returns what it prints.
fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let done = command.output().map_err(|error| format!("{program}: {error}"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(format!("{program}: {}", said.lines().next().unwrap_or("failed")));
    }
    String::from_utf8(done.stdout).map_err(|error| format!("{program}: {error}"))
}
