//! Looks host names up beside the event loop.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::mesh::base::settings::Host;

/// How many names are looked up at once.
const AT_ONCE: usize = 8;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of a question.
pub(super) type Answer = (Host, io::Result<Vec<SocketAddr>>);

/// Questions under way and waiting; all are given up when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    waiting: VecDeque<Host>,
    running: JoinSet<Answer>,
}

impl Resolver {
    /// Takes a question; one that waits already is asked once, which bounds how many wait by how many names there are.
    pub(super) fn ask(&mut self, host: Host) {
        if !self.waiting.contains(&host) {
            self.waiting.push_back(host);
        }
        self.start();
    }

    fn start(&mut self) {
        while self.running.len() < AT_ONCE {
            let Some(host) = self.waiting.pop_front() else { return };
            self.running.spawn(look_up(host));
        }
    }

    /// Waits for an answer, for ever where nothing was asked; may be cancelled.
    pub(super) async fn answer(&mut self) -> Answer {
        loop {
            match self.running.join_next().await {
                Some(Ok(answer)) => {
                    self.start();
                    return answer;
                }
                // A lookup that broke is one without an answer.
                Some(Err(_)) => self.start(),
                None => std::future::pending().await,
            }
        }
    }
}

/// Looks a host up.
async fn look_up(host: Host) -> Answer {
    let addresses = match &host {
        Host::Address(address) => Ok(vec![*address]),
        Host::Name { name, port } => match timeout(PATIENCE, lookup_host((name.as_str(), *port))).await {
            Ok(found) => found.map(Iterator::collect),
            Err(_) => Err(io::Error::other(format!("no answer within {} s", PATIENCE.as_secs()))),
        },
    };
    (host, addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn every_question_has_one_answer() {
        let mut resolver = Resolver::default();
        for last in 0..20_u8 {
            let host = Host::Address(SocketAddr::from(([192, 0, 2, last], 1)));
            resolver.ask(host);
        }
        let mut answered = std::collections::BTreeSet::new();
        for _ in 0..20 {
            answered.extend(resolver.answer().await.1.unwrap());
        }
        assert_eq!(answered.len(), 20);
        let more = timeout(Duration::from_millis(10), resolver.answer()).await;
        assert!(more.is_err());
    }
}
