//! Two machines with one private key, as after a virtual machine was cloned.

use std::time::Duration;

use crate::command;
use crate::control::json_of;
use crate::lab::Lab;
use crate::scenario::table::public_public;

/// The machines take the session from each other about every 25 s, when a heartbeat is due; two returns must be heard.
const SEEN_WITHIN: Duration = Duration::from_secs(180);

#[test]
fn two_machines_with_one_key_are_named_by_the_hub() {
    let mut lab = Lab::build(&public_public());
    let (original, copy) = (lab.interface("a"), lab.interface("b"));
    let key = lab.namespace("a").run(&format!("wg show {original} private-key"));
    let copied = lab
        .namespace("b")
        .attempt_with(&format!("wg set {copy} private-key /dev/stdin"), &key);
    copied.unwrap_or_else(|why| panic!("wg set: {why}"));
    ["hub", "a", "b"].iter().for_each(|name| lab.start(name));
    let is_said = || {
        let log = lab.log("hub");
        log.contains("several machines use the private key of").then_some(())
    };
    let said = command::until_every(Duration::from_secs(1), SEEN_WITHIN, is_said);
    assert!(said.is_some(), "{}", lab.log("hub"));
    let explained = json_of(&lab, "hub", &format!("explain {}", lab.public_key("a")));
    assert_eq!(explained["peer"]["shared_key"], true, "{explained:#}");
}
