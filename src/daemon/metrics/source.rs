//! Where the places get what they show: the shell is asked for it once in a while, whatever the number of those who look.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{Snapshot, Wanted, text};
use crate::daemon::held::{Held, Text, WeakText};

/// For how long a snapshot is shown again: a flood of requests costs the node as much as two in a second.
const FRESH: Duration = Duration::from_millis(500);
/// How many may wait at a time.
const WAITING: usize = 64;

/// A snapshot, and its texts while somebody reads them: all who read the same share one.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) snapshot: Arc<Snapshot>,
    texts: Mutex<[WeakText; 3]>,
    held: Held,
}

/// How a snapshot is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// OpenMetrics.
    OpenMetrics,
    /// The text format before it.
    Classic,
    /// The status as JSON.
    Status,
}

impl Shown {
    /// Returns the snapshot as a text.
    pub(super) fn text(&self, kind: Kind) -> Text {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = &mut texts[kind as usize];
        known.upgrade().filter(Text::is_counted).unwrap_or_else(|| {
            let text = self.held.hold(self.write(kind));
            *known = text.downgrade();
            text
        })
    }

    fn write(&self, kind: Kind) -> Vec<u8> {
        match kind {
            Kind::OpenMetrics => text::open_metrics(&self.snapshot).into_bytes(),
            Kind::Classic => text::classic(&text::open_metrics(&self.snapshot)).into_bytes(),
            Kind::Status => serde_json::to_vec(&self.snapshot.status).expect("a status has a form in JSON"),
        }
    }
}

/// Answers with snapshots.
#[derive(Clone, Debug)]
pub(super) struct Source(mpsc::Sender<oneshot::Sender<Arc<Shown>>>);

impl Source {
    /// Starts what asks the shell; it ends with the last of its clones.
    pub(super) fn start(shell: mpsc::Sender<Wanted>, held: Held) -> Self {
        let (ask, asked) = mpsc::channel(WAITING);
        tokio::spawn(answer(asked, shell, held));
        Self(ask)
    }

    /// Returns how the node is, or was half a second ago; `None` where it does not say.
    pub(super) async fn ask(&self) -> Option<Arc<Shown>> {
        let (reply, answer) = oneshot::channel();
        self.0.send(reply).await.ok()?;
        answer.await.ok()
    }
}

async fn answer(mut asked: mpsc::Receiver<oneshot::Sender<Arc<Shown>>>, shell: mpsc::Sender<Wanted>, held: Held) {
    let mut last: Option<(Instant, Arc<Shown>)> = None;
    while let Some(reply) = asked.recv().await {
        last = match last {
            Some((at, snapshot)) if at.elapsed() < FRESH => Some((at, snapshot)),
            Some(_) | None => look(&shell, &held).await.map(|snapshot| (Instant::now(), snapshot)),
        };
        if let Some((_, snapshot)) = &last {
            reply.send(Arc::clone(snapshot)).ok();
        }
    }
}

async fn look(shell: &mpsc::Sender<Wanted>, held: &Held) -> Option<Arc<Shown>> {
    let (tell, told) = oneshot::channel();
    shell.send(Wanted(tell)).await.ok()?;
    let snapshot = Arc::new(told.await.ok()?);
    Some(Arc::new(Shown {
        snapshot,
        texts: Mutex::default(),
        held: held.clone(),
    }))
}
