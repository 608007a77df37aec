//! Who connects: few at a time, for a short time, unless they follow what happens.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::routes::Web;
use super::stream::Call;
use crate::daemon::seats::{Seats, source};

/// The most connections at a time; who comes in addition takes the place of one that has not asked yet ([`Seats`]).
const MAX_CLIENTS: usize = 64;
/// How long a client may take to ask, and to take an answer in.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of a request, and of an answer that waits for its reader.
const MAX_BUFFER: usize = 16 * 1024;
/// The most headers of a request.
const MAX_HEADERS: usize = 64;
/// When an address that cannot be had is tried again, at first and at most: it may belong to an interface that is yet to come.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// Serves whoever connects to `place`.
pub(super) async fn serve(place: String, web: Web) {
    let listener = listen(&place).await;
    let seats = Seats::default();
    let mut clients = JoinSet::new();
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            // No file descriptor is left: one may be again.
            sleep(RETRY[0]).await;
            continue;
        };
        while clients.try_join_next().is_some() {}
        let from = source(from.ip());
        if let Some(seat) = seats.take(from, MAX_CLIENTS) {
            clients.spawn(answer(stream, web.clone(), Call::new(PATIENCE, from, seat)));
        }
    }
}

async fn listen(place: &str) -> TcpListener {
    let mut pause = RETRY[0];
    loop {
        match TcpListener::bind(place).await {
            Ok(listener) => {
                tell(place, listener.local_addr().is_ok_and(|at| at.ip().is_loopback()));
                return listener;
            }
            Err(error) => complain(place, &error, pause),
        }
        sleep(pause).await;
        pause = RETRY[1].min(pause * 2);
    }
}

fn tell(place: &str, is_loopback: bool) {
    tracing::info!("metrics and the page are at http://{place}/");
    if !is_loopback {
        tracing::warn!(
            "{place} is no loopback address: whoever reaches it reads names, endpoints and prefixes of all peers, without a \
             password; let a firewall decide who does"
        );
    }
}

/// Complains once; the first time that fails may be a port that was given back just now.
fn complain(place: &str, error: &io::Error, pause: Duration) {
    if pause == RETRY[0] * 2 {
        tracing::warn!("no metrics and no page at {place}, which is tried again: {error}");
    }
}

/// Answers one request of one client.
async fn answer(stream: TcpStream, web: Web, call: Call) {
    let answer = |request| {
        let (web, call) = (web.clone(), call.clone());
        async move { Ok::<_, Infallible>(web.answer(&request, &call).await) }
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .max_buf_size(MAX_BUFFER)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    tokio::select! {
        // An error here concerns the client alone.
        _ = connection => {}
        () = call.lost_patience() => {}
    }
}
