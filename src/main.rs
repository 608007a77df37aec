//! wirelink: parse, start logging, run a command, exit code.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::rc::Rc;
use std::thread;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use wirelink::cli::client::NoDaemon;
use wirelink::cli::{self, Cli, Command, RunArgs, UsageError};
use wirelink::config::{self, ConfigError};
use wirelink::daemon::{self, Stop};
use wirelink::printable::{Printer, clean, redact};

/// The exit status of a process that a signal ended, less the number of the signal.
const SIGNALLED: i32 = 128;

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| misused(&error));
    let done = match &cli.command {
        None => run(&cli.run),
        Some(Command::Address(args)) => {
            cli::address::run(args, io::stdin().lock(), Printer::plain(io::stdout().lock()))
        }
        Some(Command::Restore(args)) => cli::restore::run(args, Printer::plain(io::stdout().lock())),
        Some(Command::Decode(args)) => cli::decode::run(args, io::stdin().lock(), Printer::plain(io::stdout().lock())),
        Some(Command::Status(args)) => cli::status::run(args, Printer::coloured(io::stdout().lock())),
        Some(Command::Watch(args)) => cli::watch::run(args),
        Some(Command::Explain(args)) => cli::explain::run(args, Printer::coloured(io::stdout().lock())),
        Some(Command::Ping(args)) => cli::ping::run(args, Printer::plain(io::stdout().lock())),
        Some(Command::Doctor(args)) => cli::doctor::run(args, Printer::plain(io::stdout().lock())),
        Some(Command::Facts(args)) => cli::facts::run(args, Printer::coloured(io::stdout().lock())),
        Some(Command::Events(args)) => cli::events::run(args, Printer::plain(io::stdout().lock())),
        Some(Command::Reload(args)) => cli::steer::reload(args, Printer::plain(io::stdout().lock())),
        Some(Command::Set(args)) => cli::steer::set(args, Printer::plain(io::stdout().lock())),
        Some(Command::Log(args)) => cli::steer::log(args, Printer::plain(io::stdout().lock())),
        Some(Command::Export(args)) => cli::export::run(args, Printer::plain(io::stdout().lock())),
        Some(Command::Unit(args)) => cli::unit::run(args),
        #[cfg(feature = "demo")]
        Some(Command::Demo(args)) => cli::demo::run(args.clone()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell where standard error is closed.
            writeln!(Printer::plain(io::stderr()), "wirelink: {error:#}").ok();
            ExitCode::from(status(&error))
        }
    }
}

/// Says how to call the program, and ends it. The journal keeps what a unit was started with wrongly, so a key is not shown.
fn misused(error: &clap::Error) -> ! {
    let text = error.render().to_string();
    if !error.use_stderr() || (redact(&text) == text && clean(&text) == text) {
        error.exit();
    }
    // Nobody is left to tell where standard error is closed.
    write!(io::stderr(), "{}", clean(&redact(&text))).ok();
    std::process::exit(error.exit_code());
}

/// Returns the exit status of a failure.
fn status(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigError>() || error.is::<UsageError>() {
        2
    } else if error.is::<NoDaemon>() {
        3
    } else {
        1
    }
}

/// Runs the daemon, or shows with which settings it would run.
fn run(args: &RunArgs) -> anyhow::Result<()> {
    let loaded = config::load(&args.flags(), std::env::vars_os())?;
    let set_debug = daemon::logs::start(loaded.config.log_format, loaded.config.debug);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if args.dump {
        let written = writeln!(Printer::plain(io::stdout()), "{}", loaded.config.to_json());
        return cli::go_on(written)
            .map(drop)
            .context("standard output cannot be written");
    }
    daemon::need_files()?;
    // Before there is another thread.
    tracing::info!("{}", daemon::confine(&loaded.config));
    let stop = Stop::default();
    stop_on_signals(stop.clone()).context("signals cannot be received")?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the event loop cannot be set up")?;
    let flags = args.flags();
    let steering = daemon::Steering {
        load: Rc::new(move || config::load(&flags, std::env::vars_os())),
        set_debug,
    };
    let done = runtime.block_on(daemon::run(loaded.config, steering, stop));
    // A lookup of a name may go on for half a minute, and nobody waits for it any more.
    runtime.shutdown_background();
    done.inspect_err(daemon::systemd::failed)
}

/// Lets SIGINT and SIGTERM stop the daemon, and SIGUSR2 have it leave the interface as it is; the second one ends the process,
/// whatever the daemon is doing: so they have a thread of their own.
fn stop_on_signals(stop: Stop) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate, mut leave) = {
        let _context = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::user_defined2())?,
        )
    };
    let mut next = async move || {
        tokio::select! {
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
            _ = leave.recv() => SignalKind::user_defined2(),
        }
    };
    let receive = async move {
        if next().await == SignalKind::user_defined2() {
            stop.leave();
        } else {
            stop.stop();
        }
        let second = next().await;
        tracing::warn!("stopped by a second signal: the interface is left as it is");
        std::process::exit(SIGNALLED + second.as_raw_value());
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(receive))
        .map(drop)
}
