//! Where the places get what they show: the shell is asked for it once in a while, whatever the number of those who look.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{Snapshot, Wanted};

/// For how long a snapshot is shown again: a flood of requests costs the node as much as two in a second.
const FRESH: Duration = Duration::from_millis(500);
/// How many may wait at a time.
const WAITING: usize = 64;

/// Answers with snapshots.
#[derive(Clone, Debug)]
pub(super) struct Source(mpsc::Sender<oneshot::Sender<Arc<Snapshot>>>);

impl Source {
    /// Starts what asks the shell; it ends with the last of its clones.
    pub(super) fn start(shell: mpsc::Sender<Wanted>) -> Self {
        let (ask, asked) = mpsc::channel(WAITING);
        tokio::spawn(answer(asked, shell));
        Self(ask)
    }

    /// Returns how the node is, or was half a second ago; `None` where it does not say.
    pub(super) async fn ask(&self) -> Option<Arc<Snapshot>> {
        let (reply, answer) = oneshot::channel();
        self.0.send(reply).await.ok()?;
        answer.await.ok()
    }
}

async fn answer(mut asked: mpsc::Receiver<oneshot::Sender<Arc<Snapshot>>>, shell: mpsc::Sender<Wanted>) {
    let mut last: Option<(Instant, Arc<Snapshot>)> = None;
    while let Some(reply) = asked.recv().await {
        last = match last {
            Some((at, snapshot)) if at.elapsed() < FRESH => Some((at, snapshot)),
            Some(_) | None => look(&shell).await.map(|snapshot| (Instant::now(), snapshot)),
        };
        if let Some((_, snapshot)) = &last {
            reply.send(Arc::clone(snapshot)).ok();
        }
    }
}

async fn look(shell: &mpsc::Sender<Wanted>) -> Option<Arc<Snapshot>> {
    let (tell, told) = oneshot::channel();
    shell.send(Wanted(tell)).await.ok()?;
    told.await.ok().map(Arc::new)
}
