mod browser;
mod http;
pub(super) mod sample;

use std::sync::{Arc, Mutex};

use tokio::sync::broadcast;
use tokio_util::task::AbortOnDropHandle;

use super::*;

/// Metrics of a node that is no more than a sample.
struct Stage {
    events: broadcast::Sender<Event>,
    snapshot: Arc<Mutex<Snapshot>>,
    asked: Arc<Mutex<usize>>,
    _node: AbortOnDropHandle<()>,
}

impl Stage {
    fn open(target: &Target, snapshot: Snapshot) -> Self {
        let (events, _) = broadcast::channel(16);
        let mut metrics = Metrics::open(std::slice::from_ref(target), &events, &Held::default());
        let (snapshot, asked) = (Arc::new(Mutex::new(snapshot)), Arc::new(Mutex::new(0)));
        let (shown, counted) = (Arc::clone(&snapshot), Arc::clone(&asked));
        let node = async move {
            loop {
                let wanted = metrics.wanted().await;
                let now = shown.lock().expect("nobody panics with it").clone();
                *counted.lock().expect("nobody panics with it") += 1;
                wanted.tell(now);
            }
        };
        Self {
            events,
            snapshot,
            asked,
            _node: AbortOnDropHandle::new(tokio::spawn(node)),
        }
    }

    fn show(&self, snapshot: Snapshot) {
        *self.snapshot.lock().expect("nobody panics with it") = snapshot;
    }

    fn asked(&self) -> usize {
        *self.asked.lock().expect("nobody panics with it")
    }
}

/// Returns an address that is free.
fn free() -> Target {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = socket.local_addr().expect("it is bound");
    Target::Listen(Host::Address(address))
}

#[tokio::test]
async fn a_file_is_there_whole_while_it_is_kept_and_goes_then() {
    let path = std::env::temp_dir().join(format!("wirelink-metrics-{}.prom", std::process::id()));
    let stage = Stage::open(&Target::File(path.clone()), sample::snapshot(3, 0));
    let text = loop {
        if let Ok(text) = std::fs::read_to_string(&path) {
            break text;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(
        text.contains("# TYPE wirelink_peer_sent_bytes_total counter\n"),
        "{text}"
    );
    assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
    drop(stage);
    while path.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
