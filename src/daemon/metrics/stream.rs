//! What happens, told to a browser as it happens (server-sent events, HTML Living Standard, 9.2).

use std::time::Duration;

use http_body_util::channel::Sender;
use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::source::Source;
use crate::control::Event;

/// How often it is told how the node is.
const EVERY: Duration = Duration::from_secs(2);
/// How soon after something happened, and how often where much does.
const SOON: Duration = Duration::from_millis(600);
/// When a browser that lost us asks again, in milliseconds.
const RETRY: &str = "retry: 2000\n\n";

/// One connection: for how long it is served.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// How long a client may take to ask and to take an answer in, and how long it may leave what it is told.
    patience: Duration,
    /// It goes on for as long as it is listened to.
    follows: CancellationToken,
    /// Nobody listens.
    is_over: CancellationToken,
}

impl Call {
    /// Begins one whose client may take so long.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            follows: CancellationToken::new(),
            is_over: CancellationToken::new(),
        }
    }

    /// Waits until the client had its time, or listens no more.
    pub(super) async fn lost_patience(&self) {
        tokio::select! {
            () = self.is_over.cancelled() => return,
            () = tokio::time::sleep(self.patience) => {}
        }
        if self.follows.is_cancelled() {
            self.is_over.cancelled().await;
        }
    }
}

/// Tells what happens, for as long as it is listened to; `_seat` is what it takes.
pub(super) async fn tell(
    mut to: Sender<Bytes>,
    source: Source,
    events: broadcast::Receiver<Event>,
    call: Call,
    _seat: OwnedSemaphorePermit,
) {
    call.follows.cancel();
    let _over = call.is_over.clone().drop_guard();
    let mut news = News {
        source,
        events,
        told: None,
        due: Instant::now(),
    };
    while let Some(text) = news.next().await {
        match timeout(call.patience, to.send_data(text.into())).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// What is told to one who listens.
struct News {
    source: Source,
    events: broadcast::Receiver<Event>,
    /// When it was told last how the node is.
    told: Option<Instant>,
    due: Instant,
}

impl News {
    /// Waits for what comes next; `None` where the reader has to begin anew.
    async fn next(&mut self) -> Option<String> {
        tokio::select! {
            event = self.events.recv() => {
                // None where it is too far behind.
                let event = event.ok()?;
                let soon = self.told.map_or(self.due, |told| told + SOON);
                self.due = self.due.min(soon.max(Instant::now()));
                Some(message("event", &event))
            }
            () = sleep_until(self.due) => self.status().await,
        }
    }

    /// Returns how the node is, and the first time what happened before. A node that does not say tells as much by its silence.
    async fn status(&mut self) -> Option<String> {
        let snapshot = self.source.ask().await?;
        let mut text = message("status", &snapshot.status);
        if self.told.is_none() {
            let recent = snapshot.recent.iter().map(|event| message("event", event));
            text = RETRY.to_owned() + &text + &recent.collect::<String>();
        }
        let now = Instant::now();
        (self.told, self.due) = (Some(now), now + EVERY);
        Some(text)
    }
}

fn message(kind: &str, value: &impl Serialize) -> String {
    // JSON as it is written here has no line breaks.
    let json = serde_json::to_string(value).unwrap_or_default();
    format!("event: {kind}\ndata: {json}\n\n")
}
