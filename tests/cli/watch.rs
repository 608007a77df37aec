//! `wirelink watch` on a terminal that goes away, with a stand-in for the daemon.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::{Directory, KEY};

/// How long a start may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);
/// How long an end may take.
const PROMPT: Duration = Duration::from_secs(5);

fn until<T>(within: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        let answer = ask();
        if answer.is_some() || Instant::now() >= deadline {
            return answer;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Answers whoever asks at the socket of an interface, with one status, for as long as the test runs.
fn stand_in(directory: &Directory) {
    let listener = UnixListener::bind(directory.path("wg0.sock")).expect("a socket");
    let status = json!({
        "answer": "status", "version": 1, "peers": [],
        "node": {
            "program": "wirelink 0", "interface": "wg0", "backend": "kernel", "key": KEY, "address": "fe80::1",
            "role": "leaf", "chatty": false, "nat": "unknown", "no_probes": null, "up_seconds": 1,
            "debug": false, "overrides": [],
        },
    });
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("somebody connected");
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).expect("a request");
            // Whoever is gone needs no answer.
            writeln!(stream, "{status}").ok();
        }
    });
}

/// The program on a terminal that `script` holds.
struct Screen {
    directory: Directory,
    terminal: Child,
    program: Pid,
}

impl Screen {
    /// Starts it: as the leader of the terminal's session, which gets a signal when the terminal goes, or beside it, as after `nohup`.
    fn open(leads: bool) -> Self {
        let directory = Directory::new();
        stand_in(&directory);
        let [start, id, status] = ["start", "id", "status"].map(|name| directory.path(name));
        let program = env!("CARGO_BIN_EXE_wirelink");
        let line = format!("echo $$ >{id}.new; mv {id}.new {id}; exec {program} watch -i wg0");
        let (before, line) = match leads {
            true => ("exec", line),
            false => ("setsid --wait", format!("sh -c '{line}'\necho $? >{status}")),
        };
        let lines = format!("stty cols 80 rows 24\n{line}\n");
        fs::write(&start, lines).expect("a file");
        let mut terminal = Command::new("script")
            .args(["-qefc", &format!("{before} sh {start}"), "/dev/null"])
            .envs([
                ("RUNTIME_DIRECTORY", directory.path("").as_str()),
                ("TERM", "xterm-256color"),
            ])
            .stdin(Stdio::piped())
            .stdout(File::create(directory.path("shown")).expect("a file"))
            .spawn()
            .expect("script is there");
        let started = until(SOON, || fs::read_to_string(&id).ok()?.trim().parse().ok());
        let Some(program) = started.and_then(Pid::from_raw) else {
            terminal.kill().ok();
            panic!("it does not start: {:?}", fs::read_to_string(directory.path("shown")));
        };
        let screen = Self {
            directory,
            terminal,
            program,
        };
        let painted = until(SOON, || screen.text().contains("peers:").then_some(()));
        assert!(painted.is_some(), "{:?}", screen.text());
        screen
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.directory.path("shown")).unwrap_or_default()).into_owned()
    }

    /// Takes the terminal away.
    fn tear_off(&mut self) {
        self.terminal.kill().expect("script can be killed");
        self.terminal.wait().expect("it was ours");
    }

    /// Returns whether it is there; whoever inherited it may not have asked yet how it ended.
    fn runs(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.program.as_raw_pid())).unwrap_or_default();
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        state.is_some_and(|state| state != 'Z')
    }

    /// Waits for its end, where it leads no session, and returns its exit status.
    fn status(&self) -> Option<i32> {
        let status = || fs::read_to_string(self.directory.path("status")).ok();
        until(PROMPT, || status()?.trim().parse().ok())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.runs() {
            kill_process(self.program, Signal::KILL).ok();
        }
        self.terminal.kill().ok();
        self.terminal.wait().ok();
    }
}

#[test]
fn the_screen_ends_with_its_terminal() {
    let mut screen = Screen::open(true);
    screen.tear_off();
    let ended = until(PROMPT, || (!screen.runs()).then_some(()));
    assert!(ended.is_some(), "it runs still after {PROMPT:?}");
}

/// Nothing but the terminal itself tells that it is gone; and it is no end by a panic, as there is nobody to tell.
#[test]
fn the_screen_ends_with_its_terminal_without_a_signal() {
    let mut screen = Screen::open(false);
    screen.tear_off();
    assert_eq!(screen.status(), Some(1));
}

#[test]
fn a_signal_ends_the_screen_and_gives_the_terminal_back() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let screen = Screen::open(false);
        kill_process(screen.program, signal).expect("it runs");
        assert_eq!(screen.status(), Some(0), "{:?}", screen.text());
        let text = screen.text();
        assert!(
            text.rfind("\u{1b}[?1049h") < text.rfind("\u{1b}[?1049l"),
            "the screen is as it was before: {text:?}"
        );
    }
}
