//! What the daemon writes to the device and the kernel, counted by strace: nothing while nothing changes, and then the least.

use std::time::Duration;

use crate::command::{self, Process};
use crate::lab::Lab;
use crate::look;
use crate::play;
use crate::scenario::Path;
use crate::scenario::table::home_home;

/// How long strace may take to begin, and what was written to be seen.
const SOON: Duration = Duration::from_secs(30);

/// How long after a change nothing may be left to do: the longest life of news, and a look at the device.
const SETTLE: Duration = Duration::from_secs(25);

/// What a program says to the kernel or to a userspace WireGuard.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// It asked.
    Read,
    /// It changed something: this.
    Write(String),
}

/// Takes what strace printed for a call; `None` where it is about something else.
fn said(line: &str) -> Option<Said> {
    let write = || Some(Said::Write(line.to_owned()));
    if line.contains("<NETLINK:[ROUTE") {
        let (_, rest) = line.split_once("nlmsg_type=RTM_")?;
        return if rest.starts_with("GET") {
            Some(Said::Read)
        } else {
            write()
        };
    }
    if line.contains("<NETLINK:[GENERIC") {
        if line.contains("nlmsg_type=nlctrl") {
            return Some(Said::Read);
        }
        // The payload begins with the command: 0 is WG_CMD_GET_DEVICE (linux/wireguard.h).
        let (_, payload) = line.split_once("}, \"")?;
        return if payload.starts_with("\\0\\1") || payload.starts_with("\\x00") {
            Some(Said::Read)
        } else {
            write()
        };
    }
    if line.contains("\"get=1") {
        return Some(Said::Read);
    }
    if line.contains("\"set=1") { write() } else { None }
}

/// A trace of a daemon.
struct Trace(Process);

impl Trace {
    fn start(lab: &mut Lab, name: &str) -> Self {
        let id = lab.daemon(name).id();
        let calls = "trace=write,writev,sendto,sendmsg,sendmmsg";
        let line = format!("strace -f -q -yy -s 4096 -e {calls} -e signal=none -p {id}");
        let trace = Self(lab.spawn(name, &line, &format!("{name}.strace")));
        let begun = command::until(SOON, || (trace.reads() > 0).then_some(()));
        assert_eq!(begun, Some(()), "strace sees the device read: {}", trace.0.output());
        trace
    }

    fn all(&self) -> Vec<Said> {
        self.0.output().lines().filter_map(said).collect()
    }

    fn reads(&self) -> usize {
        self.all().iter().filter(|said| **said == Said::Read).count()
    }

    fn writes(&self) -> Vec<String> {
        let writes = self.all().into_iter().filter_map(|said| match said {
            Said::Read => None,
            Said::Write(line) => Some(line),
        });
        writes.collect()
    }
}

/// Watches all hosts of a network in which nothing changes, and then one to which something small is done.
fn a_steady_state(time: Duration) {
    let mut lab = Lab::build(&home_home());
    play::start_all(&mut lab, Duration::from_secs(60));
    std::thread::sleep(SETTLE);
    let traces = ["hub", "a", "b"].map(|name| (name, Trace::start(&mut lab, name)));
    std::thread::sleep(time);
    for (name, trace) in &traces {
        assert_eq!(trace.writes(), [""; 0], "{name}: in {time:?}");
        // Every 5 s it is looked at the device: so what is counted is what there was.
        let expected = usize::try_from(time.as_secs() / 5).expect("a short time");
        assert!(
            trace.reads() >= expected,
            "{name}: only {} reads in {time:?}",
            trace.reads()
        );
        println!("{name}: no write and {} reads in {time:?}", trace.reads());
    }

    let lost = lab.inner("b").own()[0];
    take_off(&lab, &lost.to_string());
    let [_, (_, trace), _] = &traces;
    let written = command::until(SOON, || (!trace.writes().is_empty()).then_some(()));
    assert_eq!(written, Some(()), "what is missing is put back");
    look::arrive(&lab, &look::all_by(&lab, Path::Direct), SOON).unwrap_or_else(|why| panic!("{why}"));
    let writes = trace.writes();
    let [write] = &writes[..] else {
        panic!("more than the one change: {writes:#?}");
    };
    println!("a: {write}");
    expect_smallest(write, &lost.addr().to_string());
}

/// Takes a prefix from its owner on `a`, and leaves no other trace: a peer that has it and goes, in one request.
fn take_off(lab: &Lab, prefix: &str) {
    let key = command::run("wg genkey");
    let interface = lab.interface("a");
    let line = format!("wg set {interface} peer {key} allowed-ips {prefix} peer {key} remove").replace('\n', "");
    lab.namespace("a").run(&line);
}

/// Checks that one allowed IP was written, and nothing else about any peer.
fn expect_smallest(write: &str, address: &str) {
    if write.contains("\"set=1") {
        assert_eq!(write.matches("public_key=").count(), 1, "{write}");
        assert_eq!(write.matches("allowed_ip=").count(), 1, "{write}");
        assert!(write.contains(&format!("allowed_ip={address}/32")), "{write}");
        for no in ["replace", "endpoint", "persistent_keepalive", "remove"] {
            assert!(!write.contains(no), "{no} in {write}");
        }
        return;
    }
    // A header, the interface, a peer with key and flags, and one allowed IP; a second one would take 28 bytes more.
    let length = write
        .split_once("nlmsg_len=")
        .and_then(|(_, rest)| rest.split(',').next());
    let length: usize = length.and_then(|text| text.parse().ok()).expect("a netlink message");
    assert!(length <= 120, "{length} bytes: {write}");
}

#[test]
fn nothing_is_written_in_a_minute_and_then_one_allowed_ip() {
    a_steady_state(Duration::from_secs(60));
}

#[test]
#[ignore = "takes eleven minutes"]
fn nothing_is_written_in_ten_minutes_and_then_one_allowed_ip() {
    a_steady_state(Duration::from_secs(600));
}

#[test]
fn reading_is_told_from_writing() {
    let write = |line: &str| assert_eq!(said(line), Some(Said::Write(line.to_owned())));
    let route = "[pid 7] sendto(9<NETLINK:[ROUTE:7]>, [{nlmsg_len=36, nlmsg_type=RTM_GETLINK, nlmsg_flags=0}], 36";
    assert_eq!(said(route), Some(Said::Read));
    write(&route.replace("GETLINK", "NEWADDR"));
    write(&route.replace("GETLINK", "DELADDR"));
    assert_eq!(
        said(r#"write(8<UNIX-STREAM:[5->6]>, "get=1\n\n", 7) = 7"#),
        Some(Said::Read)
    );
    write(r#"write(8<UNIX-STREAM:[5->6]>, "set=1\npublic_key=00", 7) = 7"#);
    let generic = r#"sendto(9<NETLINK:[GENERIC:7]>, [{nlmsg_len=28, nlmsg_type=0x1d, nlmsg_flags=0, nlmsg_pid=7}, "\0\1\0\0\10"], 28"#;
    assert_eq!(said(generic), Some(Said::Read));
    write(&generic.replace(r"\0\1\0", r"\1\1\0"));
    assert_eq!(said("sendto(10<UDPv6:[[fe80::1]:51821]>, \"x\", 1, 0) = 1"), None);
    assert_eq!(said("write(2</tmp/a.log>, \"DEBUG nothing\", 13) = 13"), None);
}
