//! The page in a browser: `tests/page/drive.mjs` looks at it, and says what should be there to look at.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use super::*;

const DRIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/drive.mjs");

/// Needs Chromium and Node.js, which `tests/run page` installs.
#[tokio::test]
#[ignore = "it needs Chromium"]
async fn the_page_works_in_chromium() {
    let target = free();
    let mut drive = Command::new("node")
        .args([DRIVE, &format!("http://{target}/")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("there is Node.js");
    let output = BufReader::new(drive.stdout.take().expect("it is piped"));
    let mut input = drive.stdin.take().expect("it is piped");
    let (wish, mut wishes) = mpsc::channel(1);
    let reading = tokio::task::spawn_blocking(move || {
        output
            .lines()
            .map_while(Result::ok)
            .all(|line| wish.blocking_send(line).is_ok())
    });
    let mut stage = None;
    while let Some(wish) = wishes.recv().await {
        carry_out(&mut stage, &target, &wish);
        input.write_all(b"done\n").expect("it waits for that");
    }
    assert!(reading.await.expect("it reads"));
    let status = drive.wait().expect("it was started");
    assert!(status.success(), "{status}");
}

fn carry_out(stage: &mut Option<Stage>, target: &Target, wish: &str) {
    let words: Vec<&str> = wish.split(' ').collect();
    match (&words[..], &stage) {
        (["show", peers, step], there) => {
            let snapshot = sample::snapshot(peers.parse().expect("a number"), step.parse().expect("a number"));
            match there {
                Some(stage) => stage.show(snapshot),
                None => *stage = Some(Stage::open(target, snapshot)),
            }
        }
        (["happen", code], Some(stage)) => {
            let event = sample::event(99, code, "info", &format!("{code} happened"));
            stage.events.send(event).expect("it is followed");
        }
        (["go"], _) => *stage = None,
        (other, _) => panic!("no such wish: {other:?}"),
    }
}
