//! Metrics and the page of a real daemon, asked over HTTP and read from a file.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wirelink::mesh::base::identity::PublicKey;

use crate::command;
use crate::control::{ask, json_of, settle};
use crate::lab::{Lab, WIRELINK};
use crate::play;
use crate::scenario::table::home_home;

const SOON: Duration = Duration::from_secs(60);
const PLACE: &str = "127.0.0.1:9586";

/// Two leaves behind home routers, direct, and `a` with these places for metrics.
fn direct_with(metrics: &Value) -> Lab {
    let mut lab = Lab::build(&home_home());
    settle(&mut lab, "a", &json!({ "Metrics": metrics }));
    play::start_all(&mut lab, Duration::from_secs(30));
    lab
}

fn connect(lab: &Lab, place: &str) -> std::io::Result<TcpStream> {
    let stream = lab.namespace("a").inside(|| TcpStream::connect(place))?;
    stream.set_read_timeout(Some(SOON))?;
    Ok(stream)
}

/// Asks the daemon of `a`, and returns all that it answers; nothing where it does not.
fn get(lab: &Lab, place: &str, path: &str, host: &str) -> String {
    let asked = connect(lab, place).and_then(|mut stream| {
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    });
    asked.unwrap_or_default()
}

/// Returns the value of the one series that begins like that.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(series))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// Waits until a series of `a` is as wanted.
#[track_caller]
fn expect(lab: &Lab, series: &str, is_wanted: impl Fn(f64) -> bool) -> f64 {
    let mut text = String::new();
    let found = command::until_every(Duration::from_millis(200), SOON, || {
        text = get(lab, PLACE, "/metrics", PLACE);
        value(&text, series).filter(|value| is_wanted(*value))
    });
    found.unwrap_or_else(|| panic!("{series} in {text}\n{}", lab.log("a")))
}

#[test]
fn a_scrape_shows_each_peer_and_what_was_counted() {
    let lab = direct_with(&json!([PLACE]));
    let (iface, [b, hub]) = (
        lab.interface("a").to_owned(),
        ["b", "hub"].map(|name| lab.public_key(name)[..8].to_owned()),
    );
    let of = |name: &str, peer: &str| format!("wirelink_{name}{{interface=\"{iface}\",peer=\"{peer}\"");
    expect(&lab, &format!("{},path=\"direct\"", of("peer_path", &b)), |is| {
        is == 1.0
    });
    expect(&lab, &format!("{},reason=\"direct\"", of("peer_reason", &b)), |is| {
        is == 1.0
    });
    expect(&lab, &format!("{},reason=\"router\"", of("peer_reason", &hub)), |is| {
        is == 1.0
    });
    expect(&lab, &format!("{},state=\"up\"", of("peer_link", &b)), |is| is == 1.0);
    expect(&lab, &of("peer_up", &b), |is| is == 1.0);
    expect(
        &lab,
        &format!("wirelink_peers{{interface=\"{iface}\",path=\"direct\"}}"),
        |peers| peers == 2.0,
    );
    expect(
        &lab,
        &format!("wirelink_events_total{{interface=\"{iface}\",code=\"link-established\"}}"),
        |times| times >= 1.0,
    );
    let before = expect(&lab, &of("peer_received_bytes_total", &b), |bytes| bytes > 0.0);
    lab.echo("a", lab.inner("b").v4.into()).expect("it is reached");
    expect(&lab, &of("peer_received_bytes_total", &b), |bytes| bytes > before);

    let text = get(&lab, PLACE, "/metrics", "localhost");
    let status = get(&lab, PLACE, "/api/status", PLACE);
    let json: Value = serde_json::from_str(status.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
    let told = text.lines().filter(|line| line.starts_with("wirelink_peer_up{"));
    assert_eq!(json["peers"].as_array().map(Vec::len), Some(told.count()), "{text}");
    assert!(get(&lab, PLACE, "/", PLACE).contains("<h1>wirelink"));
    let elsewhere = get(&lab, PLACE, "/metrics", "evil.example");
    assert!(
        elsewhere.starts_with("HTTP/1.1 421 ") && !elsewhere.contains("wirelink_peer"),
        "{elsewhere}"
    );

    // Nothing goes out of its machine any more.
    lab.namespace("b").filter(
        "table inet cut { chain outgoing { type filter hook output priority 0; meta l4proto udp drop\n }\n }\n",
    );
    expect(&lab, &format!("{},state=\"up\"", of("peer_link", &b)), |is| is == 0.0);
    expect(
        &lab,
        &format!("wirelink_events_total{{interface=\"{iface}\",code=\"link-suspected\"}}"),
        |times| times >= 1.0,
    );
}

#[test]
fn who_is_slow_or_silent_keeps_neither_the_node_nor_others_waiting() {
    let lab = direct_with(&json!([PLACE]));
    let mut crowd: Vec<TcpStream> = Vec::new();
    command::until(SOON, || connect(&lab, PLACE).ok()).expect("it listens");
    for number in 0..40 {
        let mut stream = connect(&lab, PLACE).expect("it listens");
        // Some say nothing, some half of it, some follow and read nothing.
        let said = [
            "",
            "GET /metrics HTTP/1.1\r\nHos",
            "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ][number % 3];
        stream.write_all(said.as_bytes()).expect("it listens");
        crowd.push(stream);
    }
    let began = Instant::now();
    let metrics = get(&lab, PLACE, "/metrics", PLACE);
    let said = ask(&lab, "a", &format!("status -i {}", lab.interface("a")));
    assert!(metrics.starts_with("HTTP/1.1 200 "), "{metrics}");
    assert_eq!(said.code, Some(0), "{}", said.text);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // Who said nothing is gone by and by; who follows may stay.
    let mut end = Vec::new();
    let closed = crowd[0].read_to_end(&mut end);
    assert!(closed.is_ok() && end.is_empty(), "{closed:?} {end:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn the_places_are_those_of_the_configuration_and_a_file_is_one() {
    let mut lab = direct_with(&json!(PLACE));
    command::until(SOON, || connect(&lab, PLACE).ok()).expect("it listens");
    let (iface, b) = (lab.interface("a").to_owned(), lab.public_key("b")[..8].to_owned());
    let links = |lab: &Lab| lab.log("a").matches("direct link to").count();
    let before = links(&lab);
    // A reload names no folder that it may not write to.
    let (file, other) = (lab.logs.join("run").join("wirelink.prom"), "127.0.0.1:9587");
    settle(&mut lab, "a", &json!({ "Metrics": [other, file] }));
    let said = ask(&lab, "a", &format!("reload -i {iface}"));
    assert_eq!(said.code, Some(0), "{}", said.text);
    let moved = command::until(SOON, || {
        Some(get(&lab, other, "/metrics", other)).filter(|text| text.contains("# EOF"))
    });
    assert!(moved.is_some(), "{}", lab.log("a"));
    assert_eq!(get(&lab, PLACE, "/metrics", PLACE), "", "nobody is there any more");
    let text = command::until(SOON, || fs::read_to_string(&file).ok()).expect("a file");
    let series = format!("wirelink_peer_up{{interface=\"{iface}\",peer=\"{b}\"}}");
    assert_eq!(value(&text, &series), Some(1.0), "{text}");
    assert!(
        text.contains("# TYPE wirelink_peer_sent_bytes_total counter\n"),
        "{text}"
    );
    assert_eq!(links(&lab), before, "they stay: {}", lab.log("a"));
    play::stop(&mut lab, &["a"]);
    assert!(!file.exists(), "values that nobody renews are gone");
}

/// What the operator of a hub of a thousand leaves waits for, processes and the load of other tests included: so the best of some counts, and
/// the aim, a tenth of a second, is checked where nothing else runs (`WIRELINK_ALONE`).
#[test]
fn a_thousand_peers_are_shown_at_once() {
    let mut lab = Lab::build(&home_home());
    settle(&mut lab, "a", &json!({ "Metrics": [PLACE] }));
    add_a_thousand(&lab, "a");
    lab.start("a");
    let iface = lab.interface("a").to_owned();
    let peers = || json_of(&lab, "a", "status")["peers"].as_array().map_or(0, Vec::len);
    let seen = command::until(SOON, || {
        (ask_at_once(&lab, "status").is_some() && peers() > 1000).then_some(())
    });
    assert!(seen.is_some(), "{}", lab.log("a"));
    let (mut command, mut scrape) = (Duration::MAX, Duration::MAX);
    for _ in 0..10 {
        command = command.min(ask_at_once(&lab, &format!("status -i {iface}")).expect("it answers"));
        // After the last snapshot has become too old to be shown again.
        std::thread::sleep(Duration::from_millis(600));
        let began = Instant::now();
        let text = get(&lab, PLACE, "/metrics", PLACE);
        scrape = scrape.min(began.elapsed());
        assert!(text.matches("wirelink_peer_up{").count() > 1000, "{}", text.len());
    }
    println!("status took {command:?}, a scrape {scrape:?}");
    let is_alone = std::env::var_os("WIRELINK_ALONE").is_some();
    let limit = Duration::from_millis(if is_alone { 100 } else { 1000 });
    assert!(command < limit && scrape < limit, "{command:?} {scrape:?}");
}

/// Runs a command of the program on `a`; returns how long it took.
fn ask_at_once(lab: &Lab, arguments: &str) -> Option<Duration> {
    let mut command = lab.namespace("a").command(&format!("{WIRELINK} {arguments}"));
    command.env("RUNTIME_DIRECTORY", lab.logs.join("run"));
    let began = Instant::now();
    let output = command.output().expect("it starts");
    output.status.success().then(|| began.elapsed())
}

fn add_a_thousand(lab: &Lab, name: &str) {
    let peer = |number: u32| {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        let [_, _, high, low] = number.to_be_bytes();
        let (key, address) = (PublicKey::from_bytes(bytes), format!("10.77.{high}.{low}"));
        format!("[Peer]\nPublicKey = {key}\nAllowedIPs = {address}/32\n")
    };
    let conf: String = (0..1000).map(peer).collect();
    let file = lab.logs.join("thousand.conf");
    fs::write(&file, conf).expect("a file");
    let iface = lab.interface(name);
    lab.namespace(name)
        .run(&format!("wg addconf {iface} {}", file.display()));
}
