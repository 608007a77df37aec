//! Capabilities (capabilities(7)): two or three of forty are kept.

use nix::unistd::{Group, getgroups, setgroups};
use rustix::process::geteuid;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, remove_capability_from_bounding_set,
    set_capabilities,
};

use super::files::Places;
use crate::config::Config;
use crate::daemon::control::GROUP;

/// Keeps what is needed, and returns what that is.
///
/// Root without capabilities is still the owner of what is root's: its files, and the socket of a userspace WireGuard.
pub(super) fn give_up(config: &Config, places: &Places) -> CapabilitySet {
    let before = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.permitted);
    if before.contains(CapabilitySet::SETGID) {
        join_group();
    }
    let kept = before & needed(config.probe, geteuid().is_root(), places.are_of_others());
    // Where there is no right to give these up, somebody did it before.
    every()
        .filter(|one| !kept.contains(*one) && capability_is_in_bounding_set(*one).unwrap_or(false))
        .for_each(|one| remove_capability_from_bounding_set(one).unwrap_or_default());
    if kept == before {
        // systemd has done it, and may refuse to hear of it.
        return kept;
    }
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    match set_capabilities(None, sets) {
        Ok(()) => kept,
        Err(_) => before,
    }
}

/// Returns what a daemon cannot do without: the device and addresses, raw sockets for probes, and a port below 1024 where WireGuard has one.
///
/// Whoever is not root was given the right over files on purpose: for the socket of a userspace WireGuard.
fn needed(probe: bool, is_root: bool, works_in_others_folders: bool) -> CapabilitySet {
    let mut needed = CapabilitySet::NET_ADMIN | CapabilitySet::NET_BIND_SERVICE;
    needed.set(CapabilitySet::NET_RAW, probe);
    needed.set(CapabilitySet::DAC_OVERRIDE, !is_root || works_in_others_folders);
    // What root writes there is given to whom the folder belongs.
    needed.set(CapabilitySet::CHOWN, is_root && works_in_others_folders);
    needed
}

fn every() -> impl Iterator<Item = CapabilitySet> {
    (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number))
}

/// Becomes a member of the group that may use the control socket: a member may give its socket to the group.
fn join_group() {
    let Ok(Some(group)) = Group::from_name(GROUP) else {
        return;
    };
    let Ok(mut groups) = getgroups() else { return };
    if !groups.contains(&group.gid) {
        groups.push(group.gid);
        setgroups(&groups).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_no_right_over_files_but_its_own() {
        let kept = needed(true, true, false);
        assert_eq!(
            kept,
            CapabilitySet::NET_ADMIN | CapabilitySet::NET_BIND_SERVICE | CapabilitySet::NET_RAW
        );
        assert!(!needed(false, true, false).contains(CapabilitySet::NET_RAW));
        let others = CapabilitySet::DAC_OVERRIDE | CapabilitySet::CHOWN;
        assert_eq!(needed(true, true, true), kept | others);
        assert_eq!(needed(true, false, true), kept | CapabilitySet::DAC_OVERRIDE);
    }
}
