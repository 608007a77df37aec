//! What happens, told to a browser as it happens (server-sent events, HTML Living Standard, 9.2).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::channel::Sender;
use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::source::{Kind, Source};
use crate::control::Event;
use crate::daemon::seats::{Seat, Stage};

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
    source: IpAddr,
    seat: Arc<Seat<IpAddr>>,
}

impl Call {
    /// Begins one whose client may take so long.
    pub(super) fn new(patience: Duration, source: IpAddr, seat: Seat<IpAddr>) -> Self {
        Self {
            patience,
            follows: CancellationToken::new(),
            source,
            seat: Arc::new(seat),
        }
    }

    /// Returns what is cancelled when it is to end: nobody listens, or others need the room.
    pub(super) fn over(&self) -> &CancellationToken {
        self.seat.over()
    }

    /// Returns who calls.
    pub(super) const fn source(&self) -> IpAddr {
        self.source
    }

    /// Notes how far it is.
    pub(super) fn reach(&self, stage: Stage) {
        self.seat.reach(stage);
    }

    /// Waits until the client had its time, or listens no more.
    pub(super) async fn lost_patience(&self) {
        tokio::select! {
            () = self.over().cancelled() => return,
            () = tokio::time::sleep(self.patience) => {}
        }
        if self.follows.is_cancelled() {
            self.over().cancelled().await;
        }
    }
}

/// Tells what happens, for as long as it is listened to and has its `seat` among those who follow.
pub(super) async fn tell(
    mut to: Sender<Bytes>,
    source: Source,
    events: broadcast::Receiver<Event>,
    call: Call,
    seat: Seat<IpAddr>,
) {
    call.follows.cancel();
    let _over = call.over().clone().drop_guard();
    let mut news = News {
        source,
        events,
        told: None,
        due: Instant::now(),
    };
    let tell = async {
        while let Some(pieces) = news.next(&call).await {
            for piece in pieces {
                match timeout(call.patience, to.send_data(piece)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return,
                }
            }
        }
    };
    tokio::select! {
        () = tell => {}
        () = seat.over().cancelled() => {}
        () = call.over().cancelled() => {}
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
    /// Waits for what comes next, in pieces; `None` where the reader has to begin anew.
    async fn next(&mut self, call: &Call) -> Option<Vec<Bytes>> {
        tokio::select! {
            event = self.events.recv() => {
                // None where it is too far behind.
                let event = event.ok()?;
                let soon = self.told.map_or(self.due, |told| told + SOON);
                self.due = self.due.min(soon.max(Instant::now()));
                Some(vec![message("event", &event).into()])
            }
            () = sleep_until(self.due) => self.status(call).await,
        }
    }

    /// Returns how the node is, and the first time what happened before. A node that does not say tells as much by its silence.
    async fn status(&mut self, call: &Call) -> Option<Vec<Bytes>> {
        let shown = self.source.ask().await?;
        let status = shown.text(Kind::Status).read_by(call.over()).to_bytes();
        let (mut before, mut behind) = (head("status"), END.to_owned());
        if self.told.is_none() {
            before.insert_str(0, RETRY);
            behind.extend(shown.snapshot.recent.iter().map(|event| message("event", event)));
        }
        let now = Instant::now();
        (self.told, self.due) = (Some(now), now + EVERY);
        Some(vec![before.into(), status, behind.into()])
    }
}

/// Ends a message. JSON as it is written here has no line breaks.
const END: &str = "\n\n";

fn head(kind: &str) -> String {
    format!("event: {kind}\ndata: ")
}

fn message(kind: &str, value: &impl Serialize) -> String {
    head(kind) + &serde_json::to_string(value).unwrap_or_default() + END
}
