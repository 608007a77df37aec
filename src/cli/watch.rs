//! `wirelink watch`: the status of a node on the whole screen, as it changes.
//!
//! Three parts: a thread asks the daemon once a second (`source`), what is known and where the reader looks is a value (`view`), and
//! a function paints that value (`paint`).

mod paint;
mod source;
#[cfg(test)]
mod tests;
mod view;

use std::io::{self, IsTerminal as _};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::source::Source;
use self::view::{Step, View};
use super::UsageError;
use super::client::Which;

/// The flags of `wirelink watch`.
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    #[command(flatten)]
    which: Which,
}

/// How long a key, or news, waits at most for the other of them.
const TICK: Duration = Duration::from_millis(50);

/// How long the screen may take to end after a signal.
const GRACE: Duration = Duration::from_secs(2);

/// Shows the screen until the reader leaves.
///
/// # Errors
/// When there is no terminal, no daemon at the start, or the terminal fails.
pub fn run(args: &WatchArgs) -> anyhow::Result<()> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(UsageError("watch needs a terminal; `wirelink status` prints the same once".to_owned()).into());
    }
    // Before the screen is taken: whoever named no daemon, or the wrong one, reads that as after any other command.
    let first = source::look(&args.which)?;
    let stop = CancellationToken::new();
    leave_on_signals(stop.clone()).context("signals cannot be received")?;
    let has_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut view = View::new(has_colours);
    view.take(Ok(first));
    let source = Source::start(args.which.clone());
    let mut terminal = take().context("the terminal cannot be used")?;
    let shown = show(&mut terminal, &mut view, &source, &stop).context("the terminal fails");
    give_back(terminal);
    shown
}

fn show(terminal: &mut DefaultTerminal, view: &mut View, source: &Source, stop: &CancellationToken) -> io::Result<()> {
    let mut is_stale = true;
    while !stop.is_cancelled() {
        if is_stale {
            terminal.draw(|frame| paint::paint(view, frame.area(), frame.buffer_mut()))?;
        }
        is_stale = false;
        wait_for_a_key()?;
        if event::poll(Duration::ZERO)? {
            is_stale = true;
            match event::read()? {
                Event::Key(key) if key.kind == KeyEventKind::Press => match view.press(key) {
                    Step::Leave => return Ok(()),
                    Step::Explain(peer) => source.explain(peer),
                    Step::Stay => {}
                },
                Event::Key(_)
                | Event::Mouse(_)
                | Event::Paste(_)
                | Event::Resize(..)
                | Event::FocusGained
                | Event::FocusLost => {}
            }
        }
        for news in source.news() {
            is_stale = true;
            view.take(news);
        }
    }
    Ok(())
}

/// Waits for a key for a moment.
///
/// # Errors
/// When the terminal is gone: crossterm would look for a key there for ever, and nothing could stop it.
fn wait_for_a_key() -> io::Result<()> {
    let stdin = io::stdin();
    let mut keys = [PollFd::new(&stdin, PollFlags::IN)];
    let tick = Timespec::try_from(TICK).map_err(io::Error::other)?;
    match poll(&mut keys, Some(&tick)) {
        // A signal; another size of the terminal, mostly.
        Err(rustix::io::Errno::INTR) => return Ok(()),
        polled => polled?,
    };
    if keys[0]
        .revents()
        .intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
    {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok(())
}

/// Takes the terminal over; a panic gives it back.
fn take() -> io::Result<DefaultTerminal> {
    ratatui::try_init().inspect_err(|_| {
        ratatui::try_restore().ok();
    })
}

/// Gives the terminal back. One that is gone takes nothing: to complain about that on standard error, as dropping it does, would be a panic
/// where that is the same terminal.
fn give_back(terminal: DefaultTerminal) {
    if ratatui::try_restore().is_err() {
        std::mem::forget(terminal);
    }
}

/// Has signals end the screen as a key does, so that the terminal is given back.
fn leave_on_signals(stop: CancellationToken) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        let _context = runtime.enter();
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        kinds.map(signal).into_iter().collect::<io::Result<Vec<_>>>()?
    };
    let receive = async move {
        let any = signals.iter_mut().map(|signal| Box::pin(signal.recv()));
        futures_util::future::select_all(any).await;
        stop.cancel();
        // As a rule the process has ended by then; a terminal that does not answer must not keep it.
        thread::sleep(GRACE);
        std::process::exit(1);
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(receive))
        .map(drop)
}
