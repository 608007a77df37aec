//! Removes what an earlier run left that was killed: only what bears the lab's names and a process that is gone.

use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::command;
use crate::namespace::{FILES, PREFIX};
use crate::tunnel::{INTERFACE, SOCKETS};

/// Looks once for namespaces, folders and sockets that have lost their owner.
pub(crate) fn sweep() {
    let names = command::attempt(command::words("ip netns list")).unwrap_or_default();
    let names = names.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| is_abandoned(name)).for_each(remove_namespace);
    for folder in [
        Path::new(env!("CARGO_TARGET_TMPDIR")),
        &std::env::temp_dir(),
        Path::new(FILES),
    ] {
        for (name, path) in entries(folder) {
            if is_abandoned(&name) {
                let _ = std::fs::remove_dir_all(path);
            }
        }
    }
    for (name, path) in entries(Path::new(SOCKETS)) {
        if is_abandoned_interface(&name) && UnixStream::connect(&path).is_err() {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = (String, std::path::PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.to_owned(), entry.path())))
}

fn remove_namespace(name: &str) {
    let pids = command::attempt(command::words(&format!("ip netns pids {name}"))).unwrap_or_default();
    for pid in pids.lines().filter_map(|id| Pid::from_raw(id.trim().parse().ok()?)) {
        let _ = kill_process(pid, Signal::KILL);
    }
    let _ = command::attempt(command::words(&format!("ip netns del {name}")));
}

fn is_abandoned(name: &str) -> bool {
    let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
    owner.is_some_and(is_gone)
}

fn is_abandoned_interface(name: &str) -> bool {
    let owner = name.strip_prefix(INTERFACE).and_then(|rest| rest.split_once('x'));
    owner.is_some_and(|(process, _)| is_gone(process))
}

fn is_gone(process: &str) -> bool {
    process
        .parse::<u32>()
        .is_ok_and(|id| !Path::new(&format!("/proc/{id}")).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `tests/run` calls this one by name when it was interrupted.
    #[test]
    fn nothing_abandoned_is_left() {
        sweep();
        let names = command::attempt(command::words("ip netns list")).unwrap_or_default();
        let names = names.lines().filter_map(|line| line.split(' ').next());
        assert_eq!(names.filter(|name| is_abandoned(name)).collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn only_what_has_our_name_and_no_process_is_abandoned() {
        // Process ids end at 2^22 (proc(5)), so the large one is never alive, and this process always is.
        let alive = std::process::id();
        assert!(is_abandoned("wllab-99999999-0-hub"));
        assert!(!is_abandoned(&format!("wllab-{alive}-0-hub")));
        assert!(!is_abandoned("wllab-x-0-hub") && !is_abandoned("other-99999999-0-hub"));
        assert!(is_abandoned_interface("wll99999999x0h.sock"));
        assert!(!is_abandoned_interface(&format!("wll{alive}x0h.sock")));
        assert!(!is_abandoned_interface("wg0.sock"));
    }
}
