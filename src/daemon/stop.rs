//! How a running daemon is told to end.

use tokio_util::sync::CancellationToken;

use super::shell::End;

/// What tells a daemon to end, from wherever.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    stop: CancellationToken,
    leave: CancellationToken,
}

impl Stop {
    /// Has it put the interface back as it was found.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Has it leave the interface as it is: links go on without a daemon, and the next one takes up what this one wrote down.
    pub fn leave(&self) {
        self.leave.cancel();
    }

    /// Returns whether it was told.
    pub(super) fn is_asked(&self) -> bool {
        self.stop.is_cancelled() || self.leave.is_cancelled()
    }

    /// Waits until it is told, and returns how; may be cancelled.
    pub(super) async fn asked(&self) -> End {
        tokio::select! {
            biased;
            () = self.leave.cancelled() => End::Left,
            () = self.stop.cancelled() => End::Stopped,
        }
    }
}
