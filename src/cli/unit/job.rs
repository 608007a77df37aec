//! What systemd is about to do with a unit: a process that it ends is not told whether it is started again.

use std::process::{Command, Stdio};

/// Returns whether the unit is restarted, and the interface stays: not where wg-quick is stopped, too, as that may save what is on it.
///
/// Where systemd does not answer, nothing is kept.
pub(super) fn keeps_links(iface: &str, unit: &str) -> bool {
    jobs().is_some_and(|jobs| keeps(&jobs, iface, unit))
}

/// Returns whether wg-quick takes the interface away, or makes it again: where its file says `SaveConfig`, it writes down what is on it.
pub(super) fn ends_interface(iface: &str) -> bool {
    jobs().is_some_and(|jobs| of(&jobs, &wg_quick(iface)).is_some())
}

/// Returns the list of jobs, where systemd answers.
fn jobs() -> Option<String> {
    let asked = Command::new("systemctl")
        .args(["list-jobs", "--plain", "--no-legend", "--no-pager", "--full"])
        .stdin(Stdio::null())
        .output();
    let said = asked.ok().filter(|said| said.status.success())?;
    Some(String::from_utf8_lossy(&said.stdout).into_owned())
}

/// Returns what is done with a unit.
fn of<'a>(jobs: &'a str, unit: &str) -> Option<&'a str> {
    let mut jobs = jobs.lines().map(|line| line.split_whitespace().skip(1));
    jobs.find_map(|mut words| (words.next() == Some(unit)).then(|| words.next()).flatten())
}

fn wg_quick(iface: &str) -> String {
    format!("wg-quick@{iface}.service")
}

/// Reads a list of jobs, a line each: its number, the unit, what is done with it, how far that is.
fn keeps(jobs: &str, iface: &str, unit: &str) -> bool {
    of(jobs, unit) == Some("restart") && of(jobs, &wg_quick(iface)).is_none()
}

/// Returns the unit of a daemon, by its control group (cgroups(7)); none where it is not one of ours.
pub(super) fn unit(control_group: &str) -> Option<String> {
    let unit = control_group.lines().rev().find_map(|line| line.rsplit_once('/'))?.1;
    let is_ours = ["wirelink@", "wl-quick@"].iter().any(|name| unit.starts_with(name));
    (is_ours && unit.ends_with(".service")).then(|| unit.to_owned())
}

/// Has systemd reload a unit; what comes of that, the daemon knows.
pub(super) fn reload(unit: &str) {
    let systemctl = Command::new("systemctl")
        .args(["reload", "--", unit])
        .stdin(Stdio::null())
        .output();
    drop(systemctl);
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = "wl-quick@wg0.service";

    #[test]
    fn links_are_kept_where_the_unit_alone_is_restarted() {
        assert!(keeps("712 wl-quick@wg0.service restart running\n", "wg0", UNIT));
        let another = "711 wg-quick@wg1.service stop waiting\n712 wl-quick@wg0.service restart running\n";
        assert!(keeps(another, "wg0", UNIT));
    }

    #[test]
    fn a_stop_keeps_nothing() {
        assert!(!keeps("712 wl-quick@wg0.service stop running\n", "wg0", UNIT));
        assert!(!keeps("", "wg0", UNIT));
        assert!(!keeps("712 wl-quick@wg1.service restart running\n", "wg0", UNIT));
    }

    #[test]
    fn nor_is_anything_kept_where_wg_quick_takes_the_interface_away() {
        let both = "711 wg-quick@wg0.service restart waiting\n712 wl-quick@wg0.service restart running\n";
        assert!(!keeps(both, "wg0", UNIT));
    }

    #[test]
    fn the_unit_of_a_daemon_is_the_last_part_of_its_control_group() {
        let group = "0::/system.slice/system-wl\\x2dquick.slice/wl-quick@wg0.service\n";
        assert_eq!(unit(group).as_deref(), Some(UNIT));
        assert_eq!(unit("0::/user.slice/user-0.slice/session-1.scope\n"), None);
        assert_eq!(unit("0::/system.slice/cron.service\n"), None);
    }
}
