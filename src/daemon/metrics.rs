//! What draws graphs and what shows itself in a browser: metrics over HTTP or in a file, and a page.
//!
//! All of it is tasks beside the node, which ask the shell for a [`Snapshot`] by a message, however many want one, and show that to
//! whoever connects. None of them can make the node wait, and nobody there can change anything.

mod file;
mod page;
mod routes;
mod server;
mod source;
mod stream;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use self::routes::Web;
use self::source::Source;
use super::held::Held;
use crate::config::Target;
use crate::control::{Event, Status};
use crate::mesh::base::settings::Host;

/// How the node is, at one moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// The moment, since 1970.
    pub(super) at: Duration,
    pub(super) status: Status,
    /// How many events of each code there were.
    pub(super) events: BTreeMap<&'static str, u64>,
    /// How often something was not believed, by the code of why.
    pub(super) rejections: BTreeMap<&'static str, u64>,
    /// What happened last, in its order.
    pub(super) recent: Vec<Event>,
}

/// Somebody wants a snapshot; left unanswered, it is known that there is none.
pub(super) struct Wanted(oneshot::Sender<Snapshot>);

impl Wanted {
    /// Answers; whoever went meanwhile is answered in vain.
    pub(super) fn tell(self, snapshot: Snapshot) {
        self.0.send(snapshot).ok();
    }
}

/// The places to which metrics go.
pub(super) struct Metrics {
    targets: Vec<Target>,
    wanted: mpsc::Receiver<Wanted>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Metrics {
    /// Begins to serve some places; one that cannot be served is said so, and tried again. What waits for readers counts as `held`.
    pub(super) fn open(targets: &[Target], events: &broadcast::Sender<Event>, held: &Held) -> Self {
        let (want, wanted) = mpsc::channel(1);
        let source = Source::start(want, held.clone());
        let task = |target: &Target| {
            let source = source.clone();
            let task = match target {
                Target::Listen(place) => {
                    let web = Web::new(source, events.clone(), name_of(place));
                    tokio::spawn(server::serve(place.to_string(), web))
                }
                Target::File(path) => tokio::spawn(file::keep(path.clone(), source)),
            };
            AbortOnDropHandle::new(task)
        };
        Self {
            targets: targets.to_vec(),
            wanted,
            _tasks: targets.iter().map(task).collect(),
        }
    }

    /// Returns whether these are the places to which they go.
    pub(super) fn go_to(&self, targets: &[Target]) -> bool {
        self.targets == targets
    }

    /// Waits until somebody wants a snapshot, for ever where nobody can; may be cancelled.
    pub(super) async fn wanted(&mut self) -> Wanted {
        match self.wanted.recv().await {
            Some(wanted) => wanted,
            None => std::future::pending().await,
        }
    }
}

fn name_of(place: &Host) -> Option<String> {
    match place {
        Host::Address(_) => None,
        Host::Name { name, .. } => Some(name.clone()),
    }
}

#[cfg(test)]
mod tests;
