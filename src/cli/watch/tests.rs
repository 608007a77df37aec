use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::json;

use super::paint::paint;
use super::view::{Order, Step, View};
use crate::control::{Explanation, Status};

fn key(number: u8) -> String {
    crate::mesh::base::identity::PublicKey::from_bytes([number; 32]).to_string()
}

fn peer(number: u8, name: &str, path: &str, ms: Option<f64>) -> serde_json::Value {
    json!({
        "key": key(number), "name": name, "path": path, "via": (path == "via").then_some("hub"),
        "reason": if path == "direct" { "direct" } else { "both-symmetric" },
        "reason_text": if path == "direct" { "traffic goes directly" } else { "both sides are behind symmetric NATs" },
        "detail": if path == "direct" { "it is up" } else { "none of its endpoints answers" },
        "link": "up", "since_seconds": 100, "endpoint": format!("192.0.2.{number}:51820"),
        "allowed_ips": [format!("10.0.0.{number}/32")], "handshake_seconds": u64::from(number) * 20,
        "received_bytes": 1000 * u64::from(number), "sent_bytes": 2_000_000, "trust": "Endpoint",
        "quality": ms.map(|ms| json!({ "round_trip_ms": ms, "jitter_out_ms": 0.0, "jitter_in_ms": 0.0 })), "router": false, "introduced": true,
    })
}

fn status(peers: Vec<serde_json::Value>) -> Status {
    let status = json!({
        "version": 1, "peers": peers,
        "node": {
            "program": "wirelink 0", "interface": "wg0", "backend": "kernel", "key": key(99), "address": "fe80::1",
            "role": "leaf", "chatty": false, "nat": "endpoint-independent", "no_probes": null, "up_seconds": 4000,
            "debug": false, "overrides": [],
        },
    });
    serde_json::from_value(status).expect("a status")
}

fn three() -> Status {
    let down = peer(3, "carol-has-a-name-that-is-far-too-long", "down", None);
    status(vec![
        peer(1, "alice", "direct", Some(12.4)),
        peer(2, "bob", "via", Some(80.0)),
        down,
    ])
}

/// A view that saw three peers for some seconds.
fn view() -> View {
    let mut view = View::new(false);
    for ms in [2.0, 4.0, 8.0, 16.0] {
        let mut seen = three();
        seen.peers[0].quality.as_mut().expect("it has one").round_trip_ms = Some(ms);
        view.take(Ok((seen, None)));
    }
    view.take(Ok((three(), None)));
    view
}

fn explanation() -> Explanation {
    let explained = json!({
        "version": 1, "peer": peer(2, "bob", "via", Some(80.0)), "remedy": "forward a port on one side", "vouchers": ["hub"], "nat_here": "endpoint-independent",
        "nat_there": "address-dependent", "events": [],
        "candidates": [{
            "endpoint": "192.0.2.2:51820", "kind": "reflexive", "said_by": "hub", "expires_seconds": 200, "asked": 7,
            "asked_seconds": 3, "answer_ms": null, "answered_seconds": null, "in_use": true,
        }],
    });
    serde_json::from_value(explained).expect("an explanation")
}

fn press(view: &mut View, code: KeyCode) -> Step {
    view.press(KeyEvent::new(code, KeyModifiers::NONE))
}

/// Returns what a screen of this size shows.
fn screen(view: &View, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal
        .draw(|frame| paint(view, frame.area(), frame.buffer_mut()))
        .expect("it is painted");
    let shown = terminal.backend().to_string();
    let lines = shown.lines().map(|line| line.trim_matches('"').trim_end());
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// Compares with a picture beside this file; `WIRELINK_WRITE_SNAPSHOTS` makes it anew.
#[track_caller]
fn expect_picture(name: &str, shown: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/cli/watch/pictures/{name}.txt"));
    if std::env::var_os("WIRELINK_WRITE_SNAPSHOTS").is_some() {
        std::fs::write(&path, shown).expect("the picture can be written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(shown == expected, "{name}: shown\n{shown}\nexpected\n{expected}");
}

#[test]
fn a_small_screen_shows_the_table() {
    expect_picture("table", &screen(&view(), 80, 24));
}

#[test]
fn a_wide_screen_shows_the_reasons_too() {
    expect_picture("wide", &screen(&view(), 130, 10));
}

#[test]
fn help_says_which_keys_there_are_and_goes() {
    let mut view = view();
    assert_eq!(press(&mut view, KeyCode::Char('?')), Step::Explain(None));
    expect_picture("help", &screen(&view, 80, 24));
    assert_eq!(press(&mut view, KeyCode::Esc), Step::Explain(None));
    expect_picture("table", &screen(&view, 80, 24));
}

#[test]
fn a_peer_is_explained_below_the_table() {
    let mut view = view();
    press(&mut view, KeyCode::Down);
    let bob = three().peers[1].key;
    assert_eq!(press(&mut view, KeyCode::Enter), Step::Explain(Some(bob)));
    assert!(screen(&view, 80, 24).contains("asking the daemon"));
    view.take(Ok((three(), Some(explanation()))));
    expect_picture("detail", &screen(&view, 80, 24));
    let other = press(&mut view, KeyCode::Down);
    assert_eq!(
        other,
        Step::Explain(Some(three().peers[2].key)),
        "the pane follows who is selected"
    );
    view.take(Ok((three(), Some(explanation()))));
    assert!(
        screen(&view, 80, 24).contains("asking the daemon"),
        "what is said of bob comes too late"
    );
}

#[test]
fn a_daemon_that_is_away_is_said_to_be_and_comes_back() {
    let mut view = view();
    view.take(Err("no wirelink runs beside wg0".to_owned()));
    expect_picture("away", &screen(&view, 80, 10));
    view.take(Ok((three(), None)));
    assert!(!screen(&view, 80, 10).contains("away"));
}

#[test]
fn two_hundred_peers_are_scrolled_through() {
    let peers = (0..200).map(|number| peer(number, &format!("peer-{number:03}"), "direct", None));
    let mut view = View::new(false);
    view.take(Ok((status(peers.collect()), None)));
    let shown = |view: &View, name: &str| screen(view, 80, 24).contains(name);
    assert!(shown(&view, "peer-000") && !shown(&view, "peer-030"));
    for _ in 0..3 {
        press(&mut view, KeyCode::PageDown);
    }
    assert!(shown(&view, "peer-030") && !shown(&view, "peer-000"));
    press(&mut view, KeyCode::End);
    assert!(shown(&view, "peer-199") && shown(&view, "peer-180"));
    press(&mut view, KeyCode::Down);
    assert!(shown(&view, "peer-199"), "nobody comes after the last");
    press(&mut view, KeyCode::Home);
    assert!(shown(&view, "peer-000"));
}

#[test]
fn peers_are_sorted_as_the_reader_wants() {
    let mut view = view();
    let names = |view: &View| {
        view.peers()
            .iter()
            .map(|peer| peer.key.as_bytes()[0])
            .collect::<Vec<_>>()
    };
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push((view.order, names(&view)));
        press(&mut view, KeyCode::Char('s'));
    }
    assert_eq!(
        seen,
        [
            (Order::Name, vec![1, 2, 3]),
            (Order::Path, vec![3, 2, 1]),
            (Order::RoundTrip, vec![3, 2, 1]),
            (Order::Seen, vec![1, 2, 3]),
            (Order::Traffic, vec![3, 2, 1]),
        ]
    );
    press(&mut view, KeyCode::Char('r'));
    assert_eq!(names(&view), [3, 2, 1], "by name, reversed");
}

#[test]
fn who_is_selected_stays_so_while_others_come_and_go() {
    let mut view = view();
    press(&mut view, KeyCode::Down);
    let bob = view.selected;
    let mut fewer = three();
    fewer.peers.remove(0);
    view.take(Ok((fewer, None)));
    assert_eq!(view.selected, bob);
    view.take(Ok((status(Vec::new()), None)));
    assert_eq!(view.selected, None);
    assert!(screen(&view, 80, 10).contains("no peers"));
}

#[test]
fn the_reader_can_always_leave() {
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    let mut view = view();
    for _ in 0..2 {
        assert_eq!(view.press(control_c), Step::Leave);
        assert_eq!(press(&mut view, KeyCode::Char('q')), Step::Leave);
        press(&mut view, KeyCode::Enter);
    }
    assert_eq!(press(&mut view, KeyCode::Esc), Step::Leave);
}

#[test]
fn no_size_is_too_small_to_be_painted() {
    let mut view = view();
    for code in [KeyCode::Null, KeyCode::Char('?'), KeyCode::Enter] {
        press(&mut view, code);
        for (width, height) in [(1, 1), (5, 3), (40, 5), (200, 2), (10, 60)] {
            screen(&view, width, height);
        }
    }
}
