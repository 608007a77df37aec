//! `wirelink demo`: a hub and two leaves behind two NATs on this one machine, and what the daemons make of it.
//!
//! Everything is made in namespaces of this process, so the kernel takes all of it away when the process ends, however it
//! ends. The main thread's network is the Internet; each leaf is a thread with a network of its own, which a NAT in user
//! space connects to it.
//!
//! ```text
//!  leaf-a thread          main thread: the Internet           leaf-b thread
//!  wg-a  wan0 ---TUN--- NAT 203.0.113.2   NAT 203.0.113.3 ---TUN--- wan0  wg-b
//!                            hub 203.0.113.1, wg-hub
//! ```
//!
//! `script` is the story, `stage` what it is played with, `machine` one of the three machines.

mod embedded;
mod ip;
mod journal;
mod machine;
mod mapping;
mod nat;
mod packet;
mod ping;
mod sandbox;
mod screen;
mod script;
mod stage;
mod table;
mod uapi;
mod wireguard;
mod world;

use std::time::Duration;

use script::Ending;

/// What `wirelink demo` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Show what the three daemons log.
    #[arg(short, long)]
    pub verbose: bool,

    /// Use the embedded userspace WireGuard even where the kernel has one.
    #[arg(long)]
    pub userspace: bool,
}

/// Plays the demo, as root or in a user namespace. The process must have no second thread yet, and no runtime.
///
/// A signal that ends it early ends the process, with status 128 + its number.
///
/// # Errors
/// When the machine lacks something, or a phase of the demo did not happen; the text says which.
pub fn run(args: DemoArgs) -> anyhow::Result<()> {
    sandbox::enter()?;
    let runtime = machine::runtime()?;
    let ending = runtime.block_on(script::play(&args));
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ending {
        Ok(()) => Ok(()),
        Err(Ending::Failure(error)) => Err(error),
        Err(Ending::Signal(signal)) => std::process::exit(128 + signal.as_raw_value()),
    }
}
