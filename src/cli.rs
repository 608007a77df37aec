//! The command line: the tree of commands and flags, and what runs a command.

pub mod address;
pub mod client;
pub mod decode;
#[cfg(feature = "demo")]
pub mod demo;
pub mod doctor;
pub mod events;
pub mod explain;
pub mod export;
pub mod facts;
mod humane;
pub mod ping;
pub mod restore;
pub mod status;
pub mod steer;
mod table;
pub mod unit;
pub mod watch;

use std::io;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::config::Flags;

/// Everything that can be typed after `wirelink`.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "wirelink",
    version,
    about = "Turns a hub-and-spoke WireGuard network into direct links, beside an existing interface",
    long_about = LONG_ABOUT,
    after_help = "See `wirelink --help` for examples, files, variables and signals.",
    after_long_help = AFTER_HELP,
    args_conflicts_with_subcommands = true,
    args_override_self = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Cli {
    /// The command, if any: without one, the daemon runs.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run the daemon.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What wirelink does beside running.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Print the link-local address that follows from a public key
    Address(address::AddressArgs),
    /// Show what stands in captured datagrams: hexadecimal in, one a line; JSON out, one object a line
    Decode(decode::DecodeArgs),
    /// Show how the node and its peers are
    Status(status::StatusArgs),
    /// Show the same on the whole screen, as it changes
    Watch(watch::WatchArgs),
    /// Show why a peer is not reached directly, step by step, and what would have to change
    Explain(explain::ExplainArgs),
    /// Measure how long the direct path to a peer takes, and the one through a router
    Ping(ping::PingArgs),
    /// Check what this machine gives wirelink to work with, and say what to do about what is missing
    Doctor(doctor::DoctorArgs),
    /// Show what is believed, who said so and for how long it counts
    Facts(facts::FactsArgs),
    /// Show what happened lately
    Events(events::EventsArgs),
    /// Read the configuration again; links that it does not concern stay as they are
    Reload(steer::ReloadArgs),
    /// Treat a peer otherwise, until the daemon is started again
    Set(steer::SetArgs),
    /// Log details, or no longer, until the daemon is started again
    Log(steer::LogArgs),
    /// Print the peers as they are now as a static configuration, without private keys
    Export(export::ExportArgs),
    /// Put an interface back as it was before wirelink first ran beside it, after a crash
    Restore(restore::RestoreArgs),
    /// Do what units of systemd need done as root
    #[command(hide = true)]
    Unit(unit::UnitArgs),
    /// Show on this machine alone how two leaves behind NATs go direct, and what happens when that path breaks
    #[cfg(feature = "demo")]
    Demo(demo::DemoArgs),
}

/// The flags of the daemon. They outweigh the environment, which outweighs the file.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Running beside an interface")]
pub struct RunArgs {
    /// The WireGuard interface [default: wg0]
    #[arg(short, long, value_name = "NAME")]
    pub iface: Option<String>,

    /// The UDP port for facts in the tunnel [default: listen port + 1]
    #[arg(long, value_name = "PORT", allow_hyphen_values = true)]
    pub port: Option<String>,

    /// Whether it routes for others: true, false or auto [default: auto]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub router: Option<String>,

    /// Whether to tell all facts to every healthy peer [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub chatty: Option<String>,

    /// How addresses follow from keys, all nodes alike: sha1 or blake2s [default: sha1]
    #[arg(long, value_name = "HASH")]
    pub address_hash: Option<String>,

    /// Which peers go when nobody names them members: introduced, all or never [default: introduced]
    #[arg(long, value_name = "WHICH")]
    pub prune: Option<String>,

    /// Whether what it brought stays on the interface when it stops [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub leave_peers: Option<String>,

    /// Whether to probe peers from WireGuard's own port, for which it needs CAP_NET_RAW [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub probe: Option<String>,

    /// Whether to look up the endpoint names in the file of wg-quick, too [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub resolve_wg_quick: Option<String>,

    /// Whether to predict the ports of NATs that count them up [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub port_prediction: Option<String>,

    /// Whether to log details [default: false]
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub debug: Option<String>,

    /// How to log: auto (fields where the journal reads, else text), plain or json [default: auto]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,

    /// Whether to wait for an interface that is missing or vanishes [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub wait: Option<String>,

    /// Print the effective settings as a JSON configuration file, and exit
    #[arg(long)]
    pub dump: bool,
}

impl RunArgs {
    /// Returns the settings among the flags, as they were typed.
    pub fn flags(&self) -> Flags {
        Flags {
            iface: self.iface.clone(),
            port: self.port.clone(),
            router: self.router.clone(),
            chatty: self.chatty.clone(),
            address_hash: self.address_hash.clone(),
            prune: self.prune.clone(),
            leave_peers: self.leave_peers.clone(),
            probe: self.probe.clone(),
            resolve_wg_quick: self.resolve_wg_quick.clone(),
            port_prediction: self.port_prediction.clone(),
            debug: self.debug.clone(),
            log_format: self.log_format.clone(),
            wait: self.wait.clone(),
        }
    }
}

/// A wrong argument that only the command itself can recognise; exit status 2, as for a wrong flag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Takes the result of writing to standard output, and tells whether to go on: a reader that has closed the pipe has
/// seen enough, which is no error.
///
/// # Errors
/// Any other failure.
pub fn go_on(written: io::Result<()>) -> io::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// Prints an answer.
fn print(mut output: impl io::Write, text: &str) -> anyhow::Result<()> {
    let written = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    go_on(written).map(drop).context("standard output cannot be written")
}

const LONG_ABOUT: &str = "\
Turns a hub-and-spoke WireGuard network into direct links, beside an existing interface.

Without a command, wirelink runs as a daemon beside one WireGuard interface, in the foreground. The
nodes of the network tell each other through the tunnel where they can be reached; two leaves that
reach each other directly then talk directly, and through the hub again when they no longer do.
Peers, keys and settings of the interface that the operator made stay as they are.";

const AFTER_HELP: &str = "\
Examples:
  wirelink                              run beside wg0
  wirelink --iface wg1 --debug          run beside wg1 and log details
  wirelink --iface wg0 --wait           run whenever there is a wg0, for example for a unit file
  wirelink --iface wg0 --dump           show what the file, the environment and the flags amount to
  wirelink status                       how each peer is reached, and why not directly
  wirelink explain laptop               why it is not direct, and what would have to change
  wirelink watch                        the same on the whole screen, as it changes
  wirelink ping laptop                  how long the direct path takes, and the one through a router
  wirelink doctor                       what is missing on this machine, and what to do about it
  wirelink events --follow              what happens
  wg show wg0 public-key | wirelink address -
                                        show the link-local address of this node

Files:
  /etc/wireguard/wirelink.<iface>.json  or .yaml, .yml, .toml, .env: the settings for one interface. There
                                        need be none, and may be one. A setting in the environment
                                        outweighs the file, a flag outweighs both.

  /run/wirelink/<iface>.sock            where a running daemon is asked: by root, and by the group wirelink
                                        where there is one; only root may change something

  /var/lib/wirelink/<iface>.json        what survives a restart: what is on the interface because of
                                        wirelink, who is a member, where peers were last reached

Environment:
  WIRELINK_CONFIG_PATH                  the directory of these files [default: /etc/wireguard]
  WIRELINK_IFACE, WIRELINK_PORT, WIRELINK_ROUTER, WIRELINK_CHATTY, WIRELINK_ADDRESS_HASH,
  WIRELINK_PRUNE, WIRELINK_LEAVE_PEERS, WIRELINK_PROBE, WIRELINK_RESOLVE_WG_QUICK,
  WIRELINK_PORT_PREDICTION, WIRELINK_DEBUG, WIRELINK_LOG_FORMAT, WIRELINK_WAIT
                                        as the flags of these names
  WIRELINK_REPORT_IFACES, WIRELINK_HIDE_IFACES
                                        interfaces whose addresses are told to others, or never are:
                                        names or globs, separated by commas
  WIRELINK_METRICS                      where metrics and the page are: address:port; or a file for node_exporter,
                                        which ends in .prom; or both, separated by a comma [default: nowhere]

  RUNTIME_DIRECTORY                     where the control socket is, instead
  STATE_DIRECTORY                       where the file of what survives a restart is, instead

Signals:
  SIGINT, SIGTERM                       put the interface back as found and stop; the second one
                                        stops at once
  SIGUSR2                               leave the interface as it is and stop: the next start takes it up
  SIGHUP                                read the configuration again, as `wirelink reload` does
  SIGUSR1                               log what is known of facts and peers

Exit status:
  0 stopped by a signal, or the command is done;  1 failed;  2 wrong configuration or usage;
  3 no daemon runs that could be asked";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_flag_with_a_boolean_takes_it_only_behind_an_equals_sign() {
        let run = |arguments: &[&str]| Cli::try_parse_from([&["wirelink"], arguments].concat()).map(|cli| cli.run);
        assert_eq!(run(&["--router"]).expect("parses").router.as_deref(), Some("true"));
        assert_eq!(
            run(&["--router=false"]).expect("parses").router.as_deref(),
            Some("false")
        );
        assert_eq!(run(&["-d"]).expect("parses").debug.as_deref(), Some("true"));
        assert_eq!(run(&["-d=no"]).expect("parses").debug.as_deref(), Some("no"));
        assert!(run(&["--router", "false"]).is_err());
    }
}
