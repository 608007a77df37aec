//! What systemd is told, where it started this process (`sd_notify(3)`): that the node is ready, how its peers are, that its event loop turns.
//!
//! All of it is said from the event loop itself. One that hangs says nothing any more, and systemd starts it again.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, sleep_until};

use crate::mesh::show::status::{Status, Way};

/// How often the state of the peers is said anew at most; it takes a look at all of them.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// The line to systemd.
#[derive(Debug)]
pub(super) struct Systemd {
    /// Whether somebody listens.
    listens: bool,
    /// How often it wants to hear that the event loop turns.
    beat: Option<Duration>,
    next_beat: Instant,
    next_line: Instant,
    /// Whether something happened since the last line.
    is_stale: bool,
    said: String,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The event loop turns, and that is said by now.
    Beat,
    /// How the peers are.
    Line,
}

impl Systemd {
    /// Finds out whether systemd listens, and how often it wants to hear something: a third of the time that it grants.
    pub(super) fn open() -> Self {
        let listens = std::env::var_os("NOTIFY_SOCKET").is_some();
        Self::with(listens, sd_notify::watchdog_enabled(), Instant::now())
    }

    fn with(listens: bool, watchdog: Option<Duration>, now: Instant) -> Self {
        Self {
            listens,
            beat: watchdog.filter(|time| listens && !time.is_zero()).map(|time| time / 3),
            next_beat: now,
            next_line: now,
            is_stale: true,
            said: String::new(),
        }
    }

    /// Takes in that something happened that the line may tell.
    pub(super) const fn expect_news(&mut self) {
        self.is_stale = true;
    }

    /// Waits until something is due, for ever where nobody listens; may be cancelled.
    pub(super) async fn due(&mut self) -> Due {
        let Some((at, due)) = self.next() else {
            return std::future::pending().await;
        };
        sleep_until(at).await;
        if due == Due::Beat {
            tell(&[NotifyState::Watchdog]);
        }
        self.done(due, Instant::now());
        due
    }

    fn next(&self) -> Option<(Instant, Due)> {
        let line = (self.listens && self.is_stale).then_some((self.next_line, Due::Line));
        let beat = self.beat.map(|_| (self.next_beat, Due::Beat));
        line.into_iter().chain(beat).min_by_key(|(at, _)| *at)
    }

    fn done(&mut self, due: Due, now: Instant) {
        match due {
            Due::Beat => self.next_beat = now + self.beat.unwrap_or_default(),
            Due::Line => (self.is_stale, self.next_line) = (false, now + SAY_EVERY),
        }
    }

    /// Says that the event loop turns for as long as this is polled.
    pub(super) async fn keep_beating(&mut self) {
        self.is_stale = false;
        loop {
            self.due().await;
        }
    }

    /// Says that the node runs.
    pub(super) fn ready(&mut self) {
        self.is_stale = true;
        tell(&[NotifyState::Ready]);
    }

    /// Says that all is done that can be, and what is waited for: whoever waits for this start need not.
    pub(super) fn waiting(iface: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(&format!("waiting for {iface}"))]);
    }

    /// Says how the peers are, where that is news; before the device was read, nothing is known of them.
    pub(super) fn say(&mut self, status: &Status) {
        if status.router.is_none() {
            self.is_stale = true;
            return;
        }
        let line = line(status);
        if line != self.said {
            tell(&[NotifyState::Status(&line)]);
            self.said = line;
        }
    }

    /// Says that the configuration is being read; the moment tells one reload from another.
    pub(super) fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now()
            && self.listens
        {
            tell(&[NotifyState::Reloading, now]);
        }
    }

    /// Says that it was read, whatever came of that.
    pub(super) fn reloaded(&self) {
        tell(&[NotifyState::Ready]);
    }
}

/// Says that the process is about to end.
pub(super) fn stopping(what: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(what)]);
}

/// Says why the process fails, with the number of the error of the system where there is one.
pub fn failed(error: &anyhow::Error) {
    let number = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>()?.raw_os_error())
        .find_map(|number| u32::try_from(number).ok());
    // A line is all that there is room for.
    let text = format!("{error:#}").replace('\n', " ");
    let states = [NotifyState::Status(&text)];
    let number = number.map(NotifyState::Errno);
    tell(&states.into_iter().chain(number).collect::<Vec<_>>());
}

/// Tells systemd, if it listens; whether it heard does not matter here.
fn tell(states: &[NotifyState<'_>]) {
    sd_notify::notify(states).ok();
}

fn line(status: &Status) -> String {
    let count = |is: fn(&Way) -> bool| status.peers.iter().filter(|peer| is(&peer.way)).count();
    spelled(
        count(|way| matches!(way, Way::Direct)),
        count(|way| matches!(way, Way::Via(_))),
        count(|way| matches!(way, Way::Down)),
    )
}

fn spelled(direct: usize, via: usize, down: usize) -> String {
    let parts = [(direct, "direct"), (via, "through a router"), (down, "down")];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, how)| format!("{count} {how}")).collect();
    match direct + via + down {
        0 => "no peers".to_owned(),
        1 => format!("1 peer: {}", parts.join(", ")),
        peers => format!("{peers} peers: {}", parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_counts_only_what_there_is() {
        assert_eq!(spelled(0, 0, 0), "no peers");
        assert_eq!(spelled(1, 0, 0), "1 peer: 1 direct");
        assert_eq!(spelled(1, 1, 1), "3 peers: 1 direct, 1 through a router, 1 down");
        assert_eq!(spelled(0, 2, 0), "2 peers: 2 through a router");
    }

    /// Does what is due for this long; returns what that was.
    fn run(systemd: &mut Systemd, began: Instant, time: Duration) -> Vec<Due> {
        let mut all = Vec::new();
        while let Some((at, due)) = systemd.next().filter(|(at, _)| *at <= began + time) {
            systemd.done(due, at.max(began));
            all.push(due);
        }
        all
    }

    #[test]
    fn a_beat_comes_three_times_as_often_as_it_must() {
        let (now, watchdog) = (Instant::now(), Duration::from_secs(30));
        let mut systemd = Systemd::with(true, Some(watchdog), now);
        systemd.is_stale = false;
        assert_eq!(run(&mut systemd, now, watchdog), [Due::Beat; 4]);
    }

    #[test]
    fn much_that_happens_is_said_in_few_lines() {
        let now = Instant::now();
        let mut systemd = Systemd::with(true, None, now);
        assert_eq!(run(&mut systemd, now, Duration::from_secs(3600)), [Due::Line]);
        systemd.expect_news();
        assert_eq!(systemd.next(), Some((now + SAY_EVERY, Due::Line)));
    }

    #[test]
    fn nothing_is_due_where_nobody_listens() {
        let systemd = Systemd::with(false, Some(Duration::from_secs(30)), Instant::now());
        assert_eq!(systemd.next(), None);
    }
}
