//! `wirelink ping` and `wirelink watch` beside real daemons, the latter on a terminal of its own.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;

use crate::command;
use crate::control::{ask, direct, json_of};
use crate::lab::{Lab, WIRELINK};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn both_ways_to_a_peer_are_measured() {
    let mut lab = direct();
    let key = lab.public_key("b").to_owned();
    let pinged = json_of(&lab, "a", &format!("ping {key} -c 2"));
    for path in ["direct", "relayed"] {
        assert_eq!(pinged[path]["answered"], 2, "{pinged:#}");
        assert!(
            pinged[path]["mean_ms"]
                .as_f64()
                .is_some_and(|ms| ms > 0.0 && ms < 3000.0),
            "{pinged:#}"
        );
    }
    assert_eq!(pinged["pings"][0]["path"], "direct", "{pinged:#}");
    let words = ask(&lab, "a", &format!("ping {key} -c 1 -i {}", lab.interface("a")));
    assert_eq!(words.code, Some(0), "{}", words.text);
    assert!(words.text.contains("ms (used); via a router"), "{}", words.text);

    let hub = lab.public_key("hub").to_owned();
    let pinged = json_of(&lab, "a", &format!("ping {hub} -c 1"));
    assert_eq!(pinged["pings"][0]["relayed"]["code"], "no-router", "{pinged:#}");
    assert_eq!(pinged["direct"]["answered"], 1, "{pinged:#}");

    lab.daemon("b").kill();
    let silent = ask(&lab, "a", &format!("ping {key} -c 1 -i {}", lab.interface("a")));
    assert_eq!(silent.code, Some(1), "{}", silent.text);
    assert!(silent.text.contains("no answer from"), "{}", silent.text);
}

/// A program on a terminal, whose keys are ours.
struct Screen {
    child: Child,
    keys: ChildStdin,
    shown: PathBuf,
}

impl Screen {
    /// Starts `wirelink watch` on a terminal of the usual size.
    fn open(lab: &Lab, name: &str) -> Self {
        let shown = lab.logs.join("screen.log");
        let line = format!("stty cols 80 rows 24; exec {WIRELINK} watch -i {}", lab.interface(name));
        let mut command = lab.namespace(name).command("script -qefc");
        let mut child = command
            .args([line.as_str(), "/dev/null"])
            .env("RUNTIME_DIRECTORY", lab.logs.join("run"))
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(File::create(&shown).expect("a file"))
            .spawn()
            .expect("script is there");
        let keys = child.stdin.take().expect("a pipe");
        Self { child, keys, shown }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it reads keys");
    }

    /// Returns all that was ever written to the screen: words, that is, as blanks are not written where there are blanks.
    fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.shown).unwrap_or_default()).into_owned()
    }

    #[track_caller]
    fn expect(&self, part: &str) {
        let found = command::until(SOON, || self.text().contains(part).then_some(()));
        assert!(found.is_some(), "{part:?} is not in {:?}", self.text());
    }

    /// Waits for its end; the terminal must have been given back by then.
    #[track_caller]
    fn expect_end(&mut self) {
        let ended = command::until(SOON, || self.child.try_wait().ok().flatten());
        assert!(
            ended.is_some_and(|status| status.success()),
            "{ended:?}: {:?}",
            self.text()
        );
        let text = self.text();
        let (entered, left) = (text.rfind("\u{1b}[?1049h"), text.rfind("\u{1b}[?1049l"));
        assert!(
            entered.is_some() && entered < left,
            "the screen is as it was before: {text:?}"
        );
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_screen_follows_the_daemon_and_is_given_back() {
    let mut lab = direct();
    let mut screen = Screen::open(&lab, "a");
    screen.expect("LATELY");
    screen.press("j\r");
    screen.expect("remedy");
    screen.press("?");
    screen.expect("PgDn");
    lab.daemon("a").kill();
    screen.expect("away;");
    lab.start("a");
    let counted = command::until(SOON, || (screen.text().matches("peers:").count() > 1).then_some(()));
    assert!(counted.is_some(), "it comes back: {:?}", screen.text());
    screen.press("q");
    screen.expect_end();
}

#[test]
fn without_a_terminal_or_a_daemon_the_screen_says_what_is_missing() {
    let mut lab = direct();
    let said = ask(&lab, "a", &format!("watch -i {}", lab.interface("a")));
    assert_eq!(said.code, Some(2), "{}", said.text);
    assert!(said.text.contains("needs a terminal"), "{}", said.text);
    lab.daemon("a").kill();
    let mut screen = Screen::open(&lab, "a");
    let ended = command::until(SOON, || screen.child.try_wait().ok().flatten());
    assert_eq!(ended.and_then(|status| status.code()), Some(3), "{}", screen.text());
    assert!(screen.text().contains("no wirelink runs beside"), "{}", screen.text());
}
