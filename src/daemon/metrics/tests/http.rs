//! What comes back over HTTP, byte by byte.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_secs(10);

async fn connect(target: &Target) -> TcpStream {
    loop {
        if let Ok(stream) = TcpStream::connect(target.to_string()).await {
            return stream;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sends a request, and returns all that comes until the end.
async fn ask(target: &Target, request: &str) -> String {
    let mut stream = connect(target).await;
    stream.write_all(request.as_bytes()).await.expect("it listens");
    let mut answer = String::new();
    let read = timeout(SOON, stream.read_to_string(&mut answer)).await;
    read.expect("it ends").expect("it is text");
    answer
}

fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:9586\r\n{more}\r\n")
}

#[tokio::test]
async fn each_address_has_its_kind_and_nothing_is_for_others_to_embed() {
    let target = free();
    let _stage = Stage::open(&target, sample::snapshot(3, 0));
    for (path, more, kind, part) in [
        ("/", "", "text/html", "<h1>wirelink"),
        ("/metrics", "", "application/openmetrics-text; version=1.0.0", "# EOF\n"),
        (
            "/metrics",
            "Accept: text/plain\r\n",
            "text/plain; version=0.0.4",
            "# TYPE wirelink_events_total counter",
        ),
        ("/api/status", "", "application/json", "\"hub-fra\""),
    ] {
        let answer = ask(&target, &get(path, more)).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        assert!(answer.contains(&format!("content-type: {kind}")), "{path}: {answer}");
        assert!(answer.contains(part), "{path}: {answer}");
        for header in [
            "x-frame-options: DENY",
            "nosniff",
            "default-src 'none'",
            "no-store",
            "same-origin",
        ] {
            assert!(answer.contains(header), "{path}: {header}: {answer}");
        }
    }
}

#[tokio::test]
async fn what_is_asked_otherwise_is_refused() {
    let target = free();
    let _stage = Stage::open(&target, sample::snapshot(3, 0));
    let with = |host: &str| format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for host in ["localhost", "LOCALHOST:9586", "127.0.0.1", "[::1]:9586", "192.0.2.7:80"] {
        let answer = ask(&target, &with(host)).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
    }
    for host in [
        "evil.example",
        "evil.example:9586",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "a b",
        "127.0.0.1, x",
    ] {
        let answer = ask(&target, &with(host)).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{host}: {answer}");
        assert!(!answer.contains("wirelink_"), "{host}: {answer}");
    }
    for (request, code) in [
        ("GET /metrics HTTP/1.1\r\n\r\n".to_owned(), 421),
        (
            with("localhost").replace("\r\n\r\n", "\r\nHost: evil.example\r\n\r\n"),
            421,
        ),
        (get("/nothing", ""), 404),
        (get("/metrics/", ""), 404),
        (get("/", "").replace("GET", "POST"), 405),
        (get("/", "").replace("GET", "TRACE"), 405),
        (get("/", &format!("X: {}\r\n", "x".repeat(20_000))), 431),
        (get("/", &"X: x\r\n".repeat(100)), 431),
        ("\u{1}\u{2}\r\n\r\n".to_owned(), 400),
    ] {
        let answer = ask(&target, &request).await;
        let shown: String = request.chars().take(80).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{shown:?}: {answer}");
    }
    let head = ask(&target, &get("/metrics", "").replace("GET", "HEAD")).await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn a_flood_of_questions_is_few_for_the_node() {
    let target = free();
    let stage = Stage::open(&target, sample::snapshot(3, 0));
    let asked = (0..40).map(|_| ask(&target, "GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 200 ")));
    assert!(stage.asked() < 20, "{}", stage.asked());
}

#[tokio::test]
async fn who_follows_hears_how_it_is_what_was_and_what_happens() {
    let target = free();
    let stage = Stage::open(&target, sample::snapshot(3, 0));
    let mut stream = connect(&target).await;
    stream
        .write_all(get("/api/events", "").as_bytes())
        .await
        .expect("it listens");
    let mut heard = String::new();
    read_until(&mut stream, &mut heard, "192.168.1.0/24 is claimed").await;
    assert!(heard.contains("content-type: text/event-stream"), "{heard}");
    assert!(
        heard.find("event: status\ndata: {") < heard.find("event: event\ndata: {"),
        "{heard}"
    );
    stage.show(sample::snapshot(4, 1));
    stage
        .events
        .send(sample::event(9, "link-lost", "info", "news"))
        .expect("it is followed");
    read_until(&mut stream, &mut heard, "\"news\"").await;
    read_until(&mut stream, &mut heard, "build-server").await;
}

async fn read_until(stream: &mut TcpStream, heard: &mut String, part: &str) {
    let reading = async {
        while !heard.contains(part) {
            let mut piece = [0; 4096];
            let read = stream.read(&mut piece).await.expect("it is open");
            assert!(read > 0, "it ended before {part}: {heard}");
            heard.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    };
    timeout(SOON, reading).await.unwrap_or_else(|_| panic!("no {part}"));
}

#[tokio::test]
async fn half_open_connections_starve_nobody_who_asks() {
    let target = free();
    let _stage = Stage::open(&target, sample::snapshot(1, 0));
    let mut silent = Vec::new();
    for _ in 0..20 {
        for _ in 0..16 {
            silent.push(connect(&target).await);
        }
        let answer = ask(&target, &get("/metrics", "")).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let read = timeout(SOON, silent[0].read(&mut [0])).await.expect("it is closed");
    assert!(matches!(read, Ok(0) | Err(_)), "the oldest one goes first");
}

#[tokio::test]
async fn answers_that_nobody_reads_are_bounded_in_sum() {
    let target = free();
    let mut snapshot = sample::snapshot(3, 0);
    // Two such texts do not find room, and no socket takes one.
    snapshot.status.node.role = "x".repeat(crate::daemon::held::MOST / 2 + 1);
    let stage = Stage::open(&target, snapshot.clone());
    let mut slow = connect(&target).await;
    slow.write_all(get("/api/status", "").as_bytes())
        .await
        .expect("it listens");
    slow.read_exact(&mut [0; 100]).await.expect("it begins");
    // Another snapshot is another text.
    tokio::time::sleep(Duration::from_millis(600)).await;
    snapshot.status.node.nat = "other".to_owned();
    stage.show(snapshot);
    let answer = ask(&target, &get("/api/status", "")).await;
    assert!(
        answer.contains("\"other\"") && answer.ends_with('}'),
        "the reader in time has all of it"
    );
    let mut rest = Vec::new();
    let read = timeout(SOON, slow.read_to_end(&mut rest)).await.expect("it is closed");
    assert!(
        read.is_err() || rest.len() < crate::daemon::held::MOST / 2,
        "{}",
        rest.len()
    );
}

#[tokio::test]
async fn whoever_says_nothing_or_reads_nothing_is_dropped() {
    use crate::daemon::metrics::stream::{Call, tell};
    use crate::daemon::seats::Seats;
    let short = Duration::from_millis(50);
    let seats = Seats::default();
    let from = std::net::IpAddr::from([127, 0, 0, 1]);
    let call = || Call::new(short, from, seats.take(from, 8).expect("there is a seat"));
    timeout(SOON, call().lost_patience()).await.expect("it says nothing");

    let (to, body) = http_body_util::Channel::new(1);
    let (want, mut wanted) = mpsc::channel::<Wanted>(1);
    let node = async move {
        while let Some(wanted) = wanted.recv().await {
            wanted.tell(sample::snapshot(1, 0));
        }
    };
    let _node = AbortOnDropHandle::new(tokio::spawn(node));
    let (_events, follower) = broadcast::channel(4);
    let followers = Seats::default();
    let seat = followers.take(from, 1).expect("there is one");
    seat.reach(crate::daemon::seats::Stage::Following);
    let call = call();
    let source = Source::start(want, Held::default());
    tokio::spawn(tell(to, source, follower, call.clone(), seat));
    // Nobody reads the body: one message is in it, and the next one finds no room.
    timeout(SOON, call.lost_patience()).await.expect("it does not read");
    assert!(followers.take(from, 1).is_some(), "there is room for another");
    drop(body);
}
