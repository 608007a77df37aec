//! What is to be seen: asked of the daemon by a thread of its own, so that a daemon that does not answer keeps nobody from leaving.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::view::News;
use crate::cli::client::{Reader, Which, unexpected};
use crate::control::{Ask, Explanation, Response, Status};
use crate::mesh::base::identity::PublicKey;

/// How often the daemon is asked.
const EVERY: Duration = Duration::from_secs(1);

/// A daemon that is asked again and again.
pub(super) struct Source {
    wanted: Sender<Option<PublicKey>>,
    news: Receiver<News>,
}

impl Source {
    /// Begins to ask.
    pub(super) fn start(which: Which) -> Self {
        let (wanted, wants) = mpsc::channel();
        let (tell, news) = mpsc::channel();
        thread::spawn(move || ask(&which, &wants, &tell));
        Self { wanted, news }
    }

    /// Has a peer explained from now on, or none any more.
    pub(super) fn explain(&self, peer: Option<PublicKey>) {
        // The thread ends with the screen.
        self.wanted.send(peer).ok();
    }

    /// Returns what came since the last time.
    pub(super) fn news(&self) -> impl Iterator<Item = News> {
        self.news.try_iter()
    }
}

/// Asks how the node and its peers are.
pub(super) fn look(which: &Which) -> anyhow::Result<(Status, Option<Explanation>)> {
    let Response::Status(status) = which.ask(Ask::Status { peer: None }, Reader::Person)? else {
        return unexpected();
    };
    Ok((*status, None))
}

fn ask(which: &Which, wants: &Receiver<Option<PublicKey>>, tell: &Sender<News>) {
    let mut wanted = None;
    let mut at = Instant::now();
    loop {
        match wants.recv_timeout(at.saturating_duration_since(Instant::now())) {
            Ok(peer) => wanted = peer,
            Err(RecvTimeoutError::Timeout) => at = Instant::now() + EVERY,
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let seen = look(which).map(|(status, _)| (status, wanted.and_then(|peer| explanation(which, &peer))));
        if tell.send(seen.map_err(|error| format!("{error:#}"))).is_err() {
            return;
        }
    }
}

/// Returns how a peer came to be as it is; one that went meanwhile is not explained.
fn explanation(which: &Which, peer: &PublicKey) -> Option<Explanation> {
    let peer = peer.to_string();
    let Response::Explanation(explained) = which.ask(Ask::Explain { peer }, Reader::Person).ok()? else {
        return None;
    };
    Some(*explained)
}
