//! A network namespace, and what runs inside.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, setns};

use crate::command;

/// The namespaces of this program are called `wllab-<process>-<world>-<name>`.
pub(crate) const PREFIX: &str = "wllab-";

/// Where `ip netns exec` takes the files from that stand in for those of /etc (ip-netns(8)).
pub(crate) const FILES: &str = "/etc/netns";

/// A network namespace; it goes, with all that is in it, when this is dropped.
#[derive(Debug)]
pub(crate) struct Namespace {
    pub(crate) name: String,
}

impl Namespace {
    /// Makes a namespace with a working loopback.
    pub(crate) fn new(world: &str, name: &str) -> Self {
        let name = format!("{world}-{name}");
        command::run(&format!("ip netns add {name}"));
        let namespace = Self { name };
        namespace.run("ip link set dev lo up");
        namespace
    }

    /// Returns what a thread opens to enter it.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Works inside, on a thread of its own: sockets and threads that are made there stay there.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(self.path()).expect("the namespace is there");
        let enter_and_work = move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
            work()
        };
        let ended = std::thread::scope(|scope| scope.spawn(enter_and_work).join());
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Makes a command that runs inside and is killed with the thread that starts it, even if that is killed itself.
    pub(crate) fn command(&self, line: &str) -> Command {
        command::words(&format!("ip netns exec {} setpriv --pdeathsig KILL {line}", self.name))
    }

    /// Runs a line of words inside, to its end.
    pub(crate) fn attempt(&self, line: &str) -> Result<String, String> {
        self.attempt_with(line, "")
    }

    /// Runs a line of words inside, to its end, with something to read.
    pub(crate) fn attempt_with(&self, line: &str, input: &str) -> Result<String, String> {
        let name = &self.name;
        // `ip` enters by itself, which saves a program; in an emulated guest that counts.
        let line = match line.strip_prefix("ip ") {
            Some(rest) => format!("ip -n {name} {rest}"),
            None => format!("ip netns exec {name} {line}"),
        };
        command::attempt_with(command::words(&line), input)
    }

    /// Runs a line of words inside that must succeed.
    #[track_caller]
    pub(crate) fn run(&self, line: &str) -> String {
        self.attempt(line).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Adds netfilter rules.
    pub(crate) fn filter(&self, rules: &str) {
        self.attempt_with("nft -f -", rules)
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Says what names mean inside, to whatever program starts from now on, and to those that did since there is such a file.
    pub(crate) fn write_hosts(&self, lines: &str) {
        self.write("hosts", lines);
    }

    /// Has a file stand in for the one of this name in /etc, for whatever program starts from now on.
    pub(crate) fn write(&self, file: &str, lines: &str) {
        let folder = Path::new(FILES).join(&self.name);
        let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join(file), lines));
        written.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    }

    /// Passes packets on, and so from the first moment: while its own address is looked for elsewhere, an interface asks for no
    /// neighbours (RFC 4862, 5.4), so that is left out on those that are made from now on.
    pub(crate) fn forwards(&self) {
        let no_search = "net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0";
        self.run(&format!(
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 {no_search}"
        ));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = command::attempt(command::words(&format!("ip netns del {}", self.name)));
        let _ = std::fs::remove_dir_all(Path::new(FILES).join(&self.name));
    }
}
