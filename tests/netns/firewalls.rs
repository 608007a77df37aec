//! `wirelink doctor` on the rules of the real firewalld, ufw and iptables, and the commands that it suggests for them.

use wirelink::advice::{self, Keeper, Opening};

use crate::advice::NAMES;
use crate::control::direct;
use crate::doctor::examine;
use crate::lab::Lab;
use crate::scenario::table::public_public;

/// Has a real firewall write its rules into a host, and runs lines of a shell while it is there.
#[track_caller]
fn filter(lab: &Lab, host: &str, program: &str, lines: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/netns/firewalls.sh");
    let done = lab
        .namespace(host)
        .attempt_with(&format!("unshare -m sh {script} {program}"), lines);
    done.unwrap_or_else(|error| panic!("{lines}: {error}"))
}

/// Returns the state of each complaint of one check, and its text.
fn complaints(lab: &Lab, host: &str, about: &str) -> Vec<[String; 2]> {
    let (_, all) = examine(lab, host, "");
    let ours = all.into_iter().filter(|[check, ..]| check == about);
    ours.map(|[_, state, text]| [state, text]).collect()
}

/// The port of WireGuard, and then facts, are let in by the command that the doctor suggests, and only by that.
fn doctor_is_right_about(program: &str, keeper: Keeper<'_>) {
    let mut lab = Lab::build(&public_public());
    lab.start("a");
    assert_eq!(complaints(&lab, "a", "firewall"), [] as [[String; 2]; 0], "no rules");
    let port = advice::let_in(keeper, Opening::Port(crate::tunnel::PORT));
    let facts = advice::let_in(keeper, Opening::Interface(lab.interface("a")));
    filter(&lab, "a", program, "true");
    let closed = complaints(&lab, "a", "firewall");
    let is_answers =
        |[state, text]: &[String; 2]| state == "warn" && text.contains("only where this machine spoke first");
    assert!(closed.len() == 2 && closed.iter().all(is_answers), "{closed:#?}");
    filter(&lab, "a", program, &port);
    let inner = complaints(&lab, "a", "firewall");
    assert!(inner.len() == 1 && inner[0][1].contains("facts from"), "{inner:#?}");
    filter(&lab, "a", program, &format!("{port} && {facts}"));
    assert_eq!(
        complaints(&lab, "a", "firewall"),
        [] as [[String; 2]; 0],
        "both are let in"
    );
}

/// A router passes users' packets on with the command that the doctor suggests, and only with it.
fn doctor_is_right_about_a_router_with(program: &str, keeper: Keeper<'_>) {
    let lab = direct();
    let iface = lab.interface("hub").to_owned();
    assert_eq!(
        complaints(&lab, "hub", "forwarding"),
        [] as [[String; 2]; 0],
        "no rules"
    );
    let through = advice::let_in(keeper, Opening::Through(&iface));
    for (lines, is_open) in [("true", false), (&through, true)] {
        filter(&lab, "hub", program, lines);
        // firewalld and ufw have switches of their own for forwarding.
        lab.namespace("hub").forwards();
        let found = complaints(&lab, "hub", "forwarding");
        let is_right = match is_open {
            true => found.is_empty(),
            false => {
                found.len() == 2
                    && found
                        .iter()
                        .all(|[state, text]| state == "fail" && text.contains("between peers"))
            }
        };
        assert!(is_right, "{program}: {lines}: {found:#?}");
    }
}

#[test]
fn doctor_is_right_about_a_router_with_firewalld() {
    doctor_is_right_about_a_router_with("firewalld", Keeper::Firewalld);
}

#[test]
fn doctor_is_right_about_a_router_with_ufw() {
    doctor_is_right_about_a_router_with("ufw", Keeper::Ufw);
}

#[test]
fn doctor_is_right_about_firewalld() {
    doctor_is_right_about("firewalld", Keeper::Firewalld);
}

#[test]
fn doctor_is_right_about_ufw() {
    doctor_is_right_about("ufw", Keeper::Ufw);
}

#[test]
fn suggested_firewalld_commands_work_for_odd_names() {
    let lab = Lab::build(&public_public());
    let lines: Vec<String> = NAMES
        .iter()
        .map(|name| advice::let_in(Keeper::Firewalld, Opening::Interface(name)))
        .collect();
    filter(&lab, "a", "firewalld", &lines.join(" && "));
    let rules = lab
        .namespace("a")
        .run("nft list chain inet firewalld filter_INPUT_ZONES");
    for name in NAMES {
        let rule = format!("iifname \"{name}\" goto filter_IN_trusted");
        assert!(rules.contains(&rule), "{rule}: {rules}");
    }
}

#[test]
fn suggested_ufw_commands_work_for_odd_names() {
    let lab = Lab::build(&public_public());
    let lines: Vec<String> = NAMES
        .iter()
        .map(|name| advice::let_in(Keeper::Ufw, Opening::Interface(name)))
        .collect();
    filter(&lab, "a", "ufw", &lines.join(" && "));
    for program in ["iptables-save", "ip6tables-save"] {
        let rules = lab.namespace("a").run(program);
        for name in NAMES {
            let rule = format!("-i {name} -j ACCEPT");
            assert!(rules.contains(&rule), "{rule}: {rules}");
        }
    }
}
