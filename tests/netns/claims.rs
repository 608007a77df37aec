//! What is claimed of leaves, and where it may not be programmed.

use std::time::Duration;

use ipnet::IpNet;

use crate::command;
use crate::lab::Lab;
use crate::scenario::claim::{self, ATTACHED};
use crate::scenario::course::Course;

/// The interface that leads nowhere.
const INTERFACE: &str = "containers";

impl Lab {
    /// Gives a machine one more interface.
    pub(crate) fn attach(&self, name: &str) {
        let namespace = self.namespace(name);
        namespace.run(&format!("ip link add name {INTERFACE} type bridge"));
        namespace.run(&format!("ip address add {ATTACHED} dev {INTERFACE}"));
        namespace.run(&format!("ip link set dev {INTERFACE} up"));
    }

    /// Takes it away.
    pub(crate) fn detach(&self, name: &str) {
        self.namespace(name).run(&format!("ip link del dev {INTERFACE}"));
    }
}

/// Waits until what is claimed is programmed where it does no harm, and only there.
pub(crate) fn arrive(lab: &Lab, course: &Course<'_>, within: Duration) -> Result<(), String> {
    let mut last = String::new();
    let arrived = command::until(within, || expect(lab, course).map_err(|why| last = why).ok());
    arrived.ok_or(last)
}

fn expect(lab: &Lab, course: &Course<'_>) -> Result<(), String> {
    for (claim, at) in claim::heard(course) {
        let Some(expected) = claim.is_programmed(course, at) else {
            continue;
        };
        let prefix: IpNet = claim.prefix.parse().expect("a claim is a prefix");
        let peer = lab.peer(at, claim.of);
        let is_there = peer.as_ref().is_some_and(|peer| peer.allowed_ips.contains(&prefix));
        if is_there != expected {
            return Err(format!("{at} has {} as {peer:?}: {claim:?}", claim.of));
        }
    }
    Ok(())
}

/// Checks that each claim that was refused so far was told, with who said so, and each time once.
pub(crate) fn expect_told(lab: &Lab, course: &Course<'_>) {
    for (claim, at) in claim::heard(course) {
        let log = lab.log(at);
        let told = |words: String| log.lines().filter(|line| line.contains(&words)).count();
        let refused = told(format!(": {} is claimed for ", claim.prefix));
        let cleared = told(format!("prefix {} of", claim.prefix));
        let is_refused = claim.is_programmed(course, at) == Some(false);
        assert_eq!(refused, cleared + usize::from(is_refused), "{at}: {claim:?}");
        let [leaf, hub] = [claim.of, lab.hubs()[0]].map(|name| &lab.public_key(name)[..8]);
        let by_hub = told(format!(
            ": {} is claimed for {leaf} by {hub} and not programmed",
            claim.prefix
        ));
        assert_eq!(refused, by_hub, "{at}: who said it of {claim:?}");
    }
}
