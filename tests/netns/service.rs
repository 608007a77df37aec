//! The daemon as a service: what systemd is told, and what the process may still do.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::json;

use crate::command;
use crate::control::{ask, settle};
use crate::lab::{Lab, WIRELINK};
use crate::play;
use crate::scenario::table::home_home;

const SOON: Duration = Duration::from_secs(60);
/// What systemd grants the event loop in these tests.
const WATCHDOG: Duration = Duration::from_secs(3);

/// Stands in for systemd's end of `NOTIFY_SOCKET`.
struct Systemd {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Systemd {
    /// Listens, and has every wirelink of the lab that is started from now on know it.
    fn of(lab: &mut Lab) -> Self {
        let path = lab.logs.join("notify");
        let socket = UnixDatagram::bind(&path).expect("the folder of the lab can be written");
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a socket");
        let micros = WATCHDOG.as_micros();
        lab.starter = format!("env NOTIFY_SOCKET={} WATCHDOG_USEC={micros}", path.display());
        let heard = Vec::new();
        Self { socket, heard }
    }

    /// Takes in what is said for a time.
    fn hear(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let mut buffer = [0; 4096];
            match self.socket.recv(&mut buffer) {
                Ok(len) => self.heard.push(String::from_utf8_lossy(&buffer[..len]).into_owned()),
                Err(error) => assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ),
                    "{error}"
                ),
            }
        }
    }

    /// Waits until something is said, and returns what was said until then.
    #[track_caller]
    fn expect(&mut self, what: impl Fn(&str) -> bool) -> Vec<String> {
        let came = command::until(SOON, || {
            self.hear(Duration::from_millis(100));
            self.heard.iter().position(|said| what(said))
        });
        let at = came.unwrap_or_else(|| panic!("it is not said: {:?}", self.heard));
        self.heard.drain(..=at).collect()
    }

    /// Returns how often the event loop turned, as far as is known by now.
    fn beats(&self) -> usize {
        self.heard.iter().filter(|said| *said == "WATCHDOG=1\n").count()
    }
}

#[test]
fn systemd_hears_of_the_start_the_peers_the_loop_a_reload_and_the_end() {
    let mut lab = Lab::build(&home_home());
    let mut systemd = Systemd::of(&mut lab);
    lab.start("a");
    systemd.expect(|said| said == "READY=1\n");
    lab.starter.clear();
    ["hub", "b"].into_iter().for_each(|name| lab.start(name));
    // The third is one that the operator made by hand, and nobody answers there.
    systemd.expect(|said| said == "STATUS=3 peers: 2 direct, 1 down\n");
    let (b, iface) = (lab.public_key("b"), lab.interface("a"));
    let said = ask(&lab, "a", &format!("set {b} --pause --iface {iface}"));
    assert_eq!(said.code, Some(0), "{}", said.text);
    systemd.expect(|said| said == "STATUS=3 peers: 1 direct, 1 through a router, 1 down\n");

    systemd.heard.clear();
    systemd.hear(WATCHDOG);
    assert!((2..=4).contains(&systemd.beats()), "{:?}", systemd.heard);
    lab.daemon("a").signal(Signal::STOP);
    systemd.hear(Duration::from_millis(200));
    systemd.heard.clear();
    systemd.hear(WATCHDOG);
    assert_eq!(systemd.beats(), 0, "a node that hangs is silent: {:?}", systemd.heard);
    lab.daemon("a").signal(Signal::CONT);
    systemd.expect(|said| said == "WATCHDOG=1\n");

    lab.daemon("a").signal(Signal::HUP);
    systemd.expect(|said| said.starts_with("RELOADING=1\nMONOTONIC_USEC="));
    systemd.expect(|said| said == "READY=1\n");
    lab.daemon("a").signal(Signal::TERM);
    systemd.expect(|said| said.starts_with("STOPPING=1\n"));
}

#[test]
fn a_start_that_waits_for_its_interface_keeps_nobody_waiting() {
    let mut lab = Lab::build(&home_home());
    let mut systemd = Systemd::of(&mut lab);
    let line = format!("{} {WIRELINK} --iface wllnone --wait", lab.starter);
    let daemon = lab.spawn("a", &line, "none.log");
    let said = systemd.expect(|said| said == "READY=1\nSTATUS=waiting for wllnone\n");
    let before = &said[..said.len() - 1];
    assert!(before.iter().all(|said| said == "WATCHDOG=1\n"), "{before:?}");
    systemd.hear(WATCHDOG);
    assert!(systemd.beats() >= 2, "it does not hang: {:?}", systemd.heard);
    drop(daemon);

    // Whoever does not wait fails, and says why.
    let line = format!("{} {WIRELINK} --iface wllnone", lab.starter);
    let mut daemon = lab.spawn("a", &line, "none.log");
    let status = daemon.ended(SOON);
    assert_eq!(status.and_then(|status| status.code()), Some(1));
    let before = systemd.expect(|said| said.starts_with("STATUS=there is no interface wllnone"));
    assert!(!before.iter().any(|said| said.contains("READY=1")), "{before:?}");
}

/// Returns a line of what the kernel says of each thread of a process.
fn of_threads(process: u32, name: &str) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{process}/task"))
        .expect("it runs")
        .flatten();
    let statuses = threads.map(|thread| fs::read_to_string(thread.path().join("status")).expect("it runs"));
    let line = |status: String| {
        let found = status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        found.map(str::to_owned).expect("the kernel says so of every thread")
    };
    statuses.map(line).collect()
}

#[test]
fn a_daemon_of_root_has_given_up_what_it_does_not_need() {
    // CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW (capability.h).
    const KEPT: &str = "0000000000003400";
    const NONE: &str = "0000000000000000";
    let mut lab = Lab::build(&home_home());
    play::start_all(&mut lab, Duration::from_secs(30));
    let process = lab.daemon("a").id();
    for (what, value) in [
        ("CapInh:", NONE),
        ("CapPrm:", KEPT),
        ("CapEff:", KEPT),
        ("CapBnd:", KEPT),
        ("CapAmb:", NONE),
        ("NoNewPrivs:", "1"),
        ("Seccomp:", "2"),
    ] {
        let said = of_threads(process, what);
        assert!(said.len() > 1, "the signals have a thread of their own");
        assert!(said.iter().all(|said| said == value), "{what} {said:?}");
    }
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).expect("it runs");
    let core = limits.lines().find(|line| line.starts_with("Max core file size"));
    let core: Vec<&str> = core.expect("there is such a limit").split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "a core would hold the key");
    let log = lab.log("a");
    let line = "confined to CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW; no new privileges; files by landlock; \
                system calls by seccomp";
    assert_eq!(log.matches(line).count(), 1, "{log}");
}

/// Returns how often a process has these bytes in memory that it can write to, and where.
fn places_of(process: u32, bytes: &[u8]) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("root may see it");
    let memory = File::open(format!("/proc/{process}/mem")).expect("root may read it");
    let mut places = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line
            .split(' ')
            .next()
            .and_then(|range| range.split_once('-'))
            .expect("a range");
        let address = |text| u64::from_str_radix(text, 16).expect("an address");
        let mut part = vec![0; usize::try_from(address(to) - address(from)).expect("64 bits")];
        // Some parts are the kernel's own.
        if memory.read_exact_at(&mut part, address(from)).is_ok() {
            let found = part
                .windows(bytes.len())
                .enumerate()
                .filter(|(_, window)| *window == bytes);
            places.extend(found.map(|(at, _)| format!("{at:x} of {line}")));
        }
    }
    places
}

#[test]
fn running_daemon_holds_one_copy_of_the_private_key() {
    let mut lab = Lab::build(&home_home());
    play::start_all(&mut lab, Duration::from_secs(30));
    let text = lab
        .namespace("a")
        .run(&format!("wg show {} private-key", lab.interface("a")));
    let text = text.trim();
    let key = STANDARD.decode(text).expect("base64");
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let process = lab.daemon("a").id();
    let raw = places_of(process, &key);
    assert_eq!(raw.len(), 1, "{raw:#?}");
    for written in [text.as_bytes(), hex.as_bytes(), hex.to_uppercase().as_bytes()] {
        assert_eq!(places_of(process, written), Vec::<String>::new());
    }
}

/// A call of x32 is made in the daemon's place, by a debugger: no safe function makes one. The error shows that it is the filter that
/// refuses, and not a kernel that has no x32.
#[cfg(target_arch = "x86_64")]
#[test]
fn daemon_can_make_no_calls_of_x32() {
    use nix::libc;
    use nix::sys::ptrace;
    use nix::sys::wait::waitpid;
    use nix::unistd::Pid;

    const X32: u64 = 0x4000_0000;
    const SYSCALL: u64 = 2;
    let mut lab = Lab::build(&home_home());
    play::start_all(&mut lab, Duration::from_secs(30));
    let process = Pid::from_raw(lab.daemon("a").id().try_into().expect("a process"));
    ptrace::attach(process).expect("root may");
    waitpid(process, None).expect("it stops");
    // It waits for events, so that it stands behind the instruction that makes calls.
    let before = ptrace::getregs(process).expect("its registers");
    let make = |number: u64| {
        let mut registers = before;
        registers.rip -= SYSCALL;
        registers.rax = number;
        registers.orig_rax = u64::MAX;
        ptrace::setregs(process, registers).expect("its registers");
        ptrace::step(process, None).expect("it goes on");
        waitpid(process, None).expect("it stops");
        ptrace::getregs(process).expect("its registers").rax.cast_signed()
    };
    let getpid = libc::SYS_getpid.cast_unsigned();
    let (native, x32) = (make(getpid), make(getpid | X32));
    ptrace::setregs(process, before).expect("its registers");
    ptrace::detach(process, None).expect("it goes on");
    assert_eq!(native, i64::from(process.as_raw()), "the debugger makes calls");
    assert_eq!(x32, -i64::from(libc::EPERM));
}

#[test]
fn a_daemon_of_root_writes_nowhere_but_where_it_was_told_at_its_start() {
    let mut lab = Lab::build(&home_home());
    let (one, other) = (lab.logs.join("one"), lab.logs.join("other"));
    for folder in [&one, &other] {
        fs::create_dir_all(folder).expect("a folder");
    }
    settle(&mut lab, "a", &json!({ "Metrics": one.join("a.prom") }));
    play::start_all(&mut lab, Duration::from_secs(30));
    let written = || command::until(SOON, || one.join("a.prom").exists().then_some(()));
    assert!(written().is_some(), "{}", lab.log("a"));
    settle(
        &mut lab,
        "a",
        &json!({ "Metrics": [one.join("b.prom"), other.join("a.prom")] }),
    );
    let iface = lab.interface("a").to_owned();
    let said = ask(&lab, "a", &format!("reload --iface {iface}"));
    assert_eq!(said.code, Some(0), "{}", said.text);
    let refused = "takes a restart";
    let refused = command::until(SOON, || lab.log("a").contains(refused).then_some(()));
    assert!(refused.is_some(), "{}", lab.log("a"));
    let beside = command::until(SOON, || one.join("b.prom").exists().then_some(()));
    assert!(beside.is_some() && !other.join("a.prom").exists(), "{}", lab.log("a"));
}
