//! The clock of the node: it starts at boot, never steps, and counts the time a machine is suspended. Beside it the one on the wall.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fd::OwnedFd;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::mesh::base::time::Timestamp;

/// Reads the clock.
pub(super) fn now() -> Timestamp {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Timestamp::from_start(Duration::from_secs(seconds) + nanoseconds(now.tv_nsec))
}

/// Reads the clock on the wall, for what is compared across boots; nothing before 1970.
pub(super) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn nanoseconds(count: i64) -> Duration {
    Duration::from_nanos(u64::try_from(count).unwrap_or(0))
}

/// An alarm on [`now`]'s clock: unlike the runtime's own timers it is due at once after a suspend that outlasted it.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    set_to: Option<Timestamp>,
}

impl Alarm {
    /// Makes an alarm that is not set.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub(super) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe to call; what that asks of its caller, an `OwnedFd` grants"
        )]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self { timer, set_to: None })
    }

    /// Waits until `at`; may be cancelled and called again with another moment.
    ///
    /// # Errors
    /// When the kernel refuses the timer.
    pub(super) async fn sleep_until(&mut self, at: Timestamp) -> io::Result<()> {
        if self.set_to != Some(at) {
            self.set(at)?;
        }
        while now() < at {
            let mut ready = self.timer.readable().await?;
            // The number of expirations that a read would return says nothing; reading only clears readiness.
            ready.clear_ready();
            drop(ready);
            if now() < at {
                self.set(at)?;
            }
        }
        self.set_to = None;
        Ok(())
    }

    fn set(&mut self, at: Timestamp) -> io::Result<()> {
        let since_start = at.since_start();
        let value = Itimerspec {
            it_interval: timespec(Duration::ZERO),
            // An absolute zero would switch the timer off instead of letting it expire.
            it_value: timespec(since_start.max(Duration::from_nanos(1))),
        };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &value)?;
        self.set_to = Some(at);
        Ok(())
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        // A deadline beyond what the kernel can hold is as good as none.
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn an_alarm_goes_off_when_due_and_not_before() {
        let mut alarm = Alarm::new().unwrap();
        for wait in [0, 30, 10] {
            let at = now() + Duration::from_millis(wait);
            alarm.sleep_until(at).await.unwrap();
            assert!(now() >= at);
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_alarm_can_be_moved_and_set_to_a_time_long_gone_or_out_of_reach() {
        let mut alarm = Alarm::new().unwrap();
        let never = Timestamp::from_start(Duration::MAX);
        let cut_short = tokio::time::timeout(Duration::from_millis(20), alarm.sleep_until(never)).await;
        assert!(cut_short.is_err());
        alarm.sleep_until(Timestamp::START).await.unwrap();
        let at = now() + Duration::from_millis(20);
        alarm.sleep_until(at).await.unwrap();
        assert!(now() >= at);
    }
}
