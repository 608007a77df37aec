use super::*;

fn line(ask: Ask) -> Vec<u8> {
    serde_json::to_vec(&Request::new(ask)).unwrap()
}

fn code(refused: Result<Ask, Refusal>) -> Option<ErrorCode> {
    refused.err().map(|(code, _)| code)
}

#[test]
fn whoever_may_connect_may_read_and_only_root_may_change() {
    let nobody = 65_534;
    let own = rustix::process::geteuid().as_raw();
    assert_eq!(
        permit(&line(Ask::Status { peer: None }), nobody),
        Ok(Ask::Status { peer: None })
    );
    let change = || line(Ask::Log { debug: true });
    assert_eq!(code(permit(&change(), nobody)), Some(ErrorCode::NotPermitted));
    for allowed in [0, own] {
        assert!(permit(&change(), allowed).is_ok());
    }
}

#[test]
fn what_is_no_request_is_refused_and_what_is_unknown_in_one_is_left_out() {
    for line in [
        "",
        "{",
        "null",
        "{\"version\":1}",
        "{\"version\":1,\"ask\":\"nonsense\"}",
        "{\"version\":2,\"ask\":\"export\"}",
    ] {
        assert_eq!(code(permit(line.as_bytes(), 0)), Some(ErrorCode::BadRequest), "{line}");
    }
    let later = br#"{"version":1,"ask":"export","colour":"blue"}"#;
    assert_eq!(permit(later, 0), Ok(Ask::Export));
}

/// A control socket of a test, in a folder of its own.
struct Bench {
    folder: std::path::PathBuf,
    control: Control,
}

impl Bench {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("wirelink-control-{}-{name}", std::process::id()));
        let control = Control::open(Some(&folder), "wg0");
        Self { folder, control }
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(path(&self.folder, "wg0")).await.unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

async fn read(stream: &mut BufReader<UnixStream>) -> Option<Response> {
    let mut line = String::new();
    let read = timeout(Duration::from_secs(20), stream.read_line(&mut line)).await;
    read.unwrap().unwrap();
    (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
}

fn event(number: u64) -> Event {
    Event {
        at_ms: number,
        level: "info".into(),
        code: "resynced".into(),
        peer: None,
        from: None,
        text: "x".repeat(2000),
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_question_is_answered_and_the_socket_is_for_root_and_a_group_and_goes_with_the_daemon() {
    let mut bench = Bench::new("answer");
    let path = path(&bench.folder, "wg0");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let mut stream = BufReader::new(bench.connect().await);
    stream
        .write_all(&[line(Ask::Export), b"\n".to_vec()].concat())
        .await
        .unwrap();
    let asked = bench.control.asked().await;
    assert_eq!(asked.ask, Ask::Export);
    asked.answer(&[Response::Done { text: "yes".into() }]);
    assert_eq!(read(&mut stream).await, Some(Response::Done { text: "yes".into() }));
    assert_eq!(read(&mut stream).await, None, "that was all");
    bench.control.rename("wg1");
    let renamed = bench.folder.join("wg1.sock");
    assert!(renamed.exists() && !path.exists());
    bench.control = Control::open(None, "wg0");
    assert!(!renamed.exists());
}

#[tokio::test(flavor = "current_thread")]
async fn a_client_that_reads_nothing_is_dropped_and_others_go_on() {
    let mut bench = Bench::new("slow");
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = BufReader::new(bench.connect().await);
        let follow = Ask::Events { follow: true };
        stream
            .write_all(&[line(follow), b"\n".to_vec()].concat())
            .await
            .unwrap();
        bench.control.asked().await.answer(&[]);
        streams.push(stream);
    }
    let [mut reads, mut silent] = <[_; 2]>::try_from(streams).unwrap();
    // More than the socket's buffer and the channel hold.
    for number in 0..2000 {
        bench.control.tell(&event(number));
        assert_eq!(read(&mut reads).await, Some(Response::Event(event(number))));
    }
    let mut count = 0;
    while read(&mut silent).await.is_some() {
        count += 1;
    }
    assert!(count < 1000, "it was dropped after {count}");
}

#[tokio::test(flavor = "current_thread")]
async fn root_is_served_while_all_other_seats_are_taken() {
    let nobody = Some(65_534);
    assert_eq!(
        (most_seats(Some(0)), most_seats(nobody), most_seats(None)),
        (64, 56, 56)
    );
    let mut bench = Bench::new("seats");
    let mut seated = Vec::new();
    let own = rustix::process::geteuid().as_raw();
    for _ in 0..most_seats(Some(own)) {
        let mut stream = BufReader::new(bench.connect().await);
        let follow = Ask::Events { follow: true };
        let asked = [line(follow), b"\n".to_vec()].concat();
        stream.write_all(&asked).await.unwrap();
        bench.control.asked().await.answer(&[]);
        seated.push(stream);
    }
    let mut late = BufReader::new(bench.connect().await);
    let refused = read(&mut late).await;
    assert!(
        matches!(
            refused,
            Some(Response::Error {
                code: ErrorCode::Busy,
                ..
            })
        ),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn connection_without_request_makes_room_for_one_that_asks() {
    let mut bench = Bench::new("half-open");
    let own = rustix::process::geteuid().as_raw();
    let mut silent = Vec::new();
    for _ in 0..most_seats(Some(own)) * 2 {
        silent.push(bench.connect().await);
        // The listener takes it before the next one comes.
        tokio::task::yield_now().await;
    }
    let mut late = BufReader::new(bench.connect().await);
    late.write_all(&[line(Ask::Export), b"\n".to_vec()].concat())
        .await
        .unwrap();
    bench
        .control
        .asked()
        .await
        .answer(&[Response::Done { text: "yes".into() }]);
    assert_eq!(read(&mut late).await, Some(Response::Done { text: "yes".into() }));
    let mut first = BufReader::new(silent.remove(0));
    assert_eq!(read(&mut first).await, None, "the oldest one is closed");
}

#[tokio::test(flavor = "current_thread")]
async fn slow_readers_hold_a_bounded_sum_and_the_oldest_loses() {
    let mut bench = Bench::new("held");
    let long = || Response::Done {
        text: "x".repeat(crate::daemon::held::MOST / 4),
    };
    let mut slow = Vec::new();
    for _ in 0..10 {
        let mut stream = BufReader::new(bench.connect().await);
        stream
            .write_all(&[line(Ask::Export), b"\n".to_vec()].concat())
            .await
            .unwrap();
        bench.control.asked().await.answer(&[long()]);
        slow.push(stream);
    }
    let mut kept = slow.pop().unwrap();
    assert_eq!(read(&mut kept).await, Some(long()), "the last one has its answer whole");
    let mut cut = String::new();
    let oldest = timeout(Duration::from_secs(20), slow.remove(0).read_to_string(&mut cut)).await;
    assert!(
        oldest.unwrap().is_err() || cut.len() < crate::daemon::held::MOST / 4,
        "{}",
        cut.len()
    );
}
