//! What the doctor looks at.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use serde_json::Value;
use tokio::runtime::Builder;

use super::firewall::{Entry, Packet};
use super::forward::{self, Switches};
use super::iptables::iptables;
use super::nft::nft;
use crate::advice::Keeper;
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
    /// The interfaces over which the rest of the world is reached.
    pub(super) ways_out: Vec<String>,
    /// Whether the kernel forwards.
    pub(super) forwarding: Switches,
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

/// The rules of the packet filter.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rules {
    /// All that there are.
    Read(Filter),
    /// They may not be looked at, or there are no programs for it.
    Unreadable(String),
}

/// The rules of all programs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Filter {
    /// `nft -j list ruleset`.
    pub(super) nft: Option<Value>,
    /// `iptables-save` and `ip6tables-save`, each of both kinds that there are.
    pub(super) iptables: Vec<[String; 2]>,
}

impl Filter {
    /// Returns what becomes of a packet, which has to pass all of them.
    pub(super) fn judge(&self, packet: Packet<'_>) -> Entry {
        let nft = self
            .nft
            .iter()
            .map(|rules| nft(rules, packet, !self.iptables.is_empty()));
        let iptables = self
            .iptables
            .iter()
            .map(|saved| iptables(&saved[usize::from(packet.is_v6())], packet));
        nft.chain(iptables).max_by_key(Entry::severity).unwrap_or(Entry::Open)
    }

    /// Returns who keeps a chain, by what it is called in an [`Entry`].
    pub(super) fn keeper<'a>(&self, chain: &'a str, packet: Packet<'_>) -> Keeper<'a> {
        let words: Vec<&str> = chain.split(' ').collect();
        match words[..] {
            [_, _, _, _, _, "firewalld"] => Keeper::Firewalld,
            ["chain", name, _, _, family, table] => Keeper::Nftables([family, table, name]),
            _ if self.iptables.iter().flatten().any(|saved| saved.contains(":ufw-")) => Keeper::Ufw,
            _ => Keeper::Iptables(packet.is_v6()),
        }
    }
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
    let iface = match &loaded {
        Ok(loaded) => loaded.config.iface.clone(),
        Err(_) => flags.iface.unwrap_or_else(|| config::DEFAULT_IFACE.to_owned()),
    };
    Ok(Seen {
        forwarding: forward::switches(&iface),
        iface,
        daemon,
        settings: loaded
            .map(|loaded| loaded.config.file.map(|file| file.display().to_string()))
            .map_err(|error| error.to_string()),
        machine,
        capabilities: capabilities(&fs::read_to_string("/proc/self/status").unwrap_or_default()),
        clock: clock(),
        rules: rules(),
        ways_out: ways_out(&fs::read_to_string("/proc/net/route").unwrap_or_default()),
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

/// Reads the rules of nftables and of iptables. That of today keeps its rules in nftables, where what it calls `xt` cannot be read; that
/// of old has its own, where its modules are loaded.
fn rules() -> Rules {
    let nft = output("nft", &["-j", "list", "ruleset"]);
    let nft = nft.and_then(|text| serde_json::from_str::<Value>(&text).map_err(|error| format!("nft: {error}")));
    let both = |programs: [&str; 2]| Some([output(programs[0], &[]).ok()?, output(programs[1], &[]).ok()?]);
    let has_old = ["ip_tables_names", "ip6_tables_names"].iter().any(|name| {
        let tables = fs::read_to_string(format!("/proc/net/{name}"));
        tables.is_ok_and(|tables| !tables.is_empty())
    });
    let old = || both(["iptables-legacy-save", "ip6tables-legacy-save"]).filter(|_| has_old);
    let iptables: Vec<_> = [both(["iptables-save", "ip6tables-save"]), old()]
        .into_iter()
        .flatten()
        .collect();
    match nft {
        Err(why) if iptables.is_empty() => Rules::Unreadable(why),
        nft => Rules::Read(Filter {
            nft: nft.ok(),
            iptables,
        }),
    }
}

/// Returns the interfaces of default routes in `/proc/net/route` (proc_pid_net(5)): destinations and masks in hexadecimal.
pub(super) fn ways_out(table: &str) -> Vec<String> {
    let rows = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let defaults = rows.filter(|row| row.get(1) == Some(&"00000000") && row.get(7) == Some(&"00000000"));
    let mut names: Vec<String> = defaults
        .filter_map(|row| row.first().map(|name| (*name).to_owned()))
        .collect();
    names.sort();
    names.dedup();
    names
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
