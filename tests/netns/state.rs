//! What is left on an interface when wirelink stops, crashes or is set right by hand, and what it knows after a power cut.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::command;
use crate::lab::{Lab, WIRELINK};
use crate::look;
use crate::play;
use crate::scenario::table::{home_home, public_public};
use crate::scenario::{Name, Path};

/// How long anything here may take that is no matter of the network.
const SOON: Duration = Duration::from_secs(60);
/// How long a direct link that there was before a power cut may take after it.
const AFTER_POWER_CUT: Duration = Duration::from_secs(10);

/// Returns what `wg showconf` and `ip addr` show, the peers in the order of their text: userspace WireGuard has none.
fn shown(lab: &Lab, name: &str) -> String {
    let interface = lab.interface(name);
    let conf = lab.namespace(name).run(&format!("wg showconf {interface}"));
    let mut sections: Vec<&str> = conf.split("[Peer]").map(str::trim).collect();
    sections[1..].sort_unstable();
    let addresses = lab.namespace(name).run(&format!("ip -o addr show dev {interface}"));
    format!("{}\n{addresses}", sections.join("\n[Peer]\n"))
}

/// Two leaves that will go direct; what the first one sends to the second belongs to the hub, by a prefix of its own.
fn before() -> Lab {
    let lab = Lab::build(&public_public());
    look::arrive(&lab, &look::all_by(&lab, Path::Hub), SOON).expect("the hub forwards");
    let (interface, hub) = (lab.interface("a"), lab.public_key("hub"));
    let own: Vec<String> = lab.inner("b").own().iter().map(ToString::to_string).collect();
    let at_hub = lab.peer("a", "hub").expect("the hub is a peer").allowed_ips;
    let all: Vec<String> = at_hub.iter().map(ToString::to_string).chain(own).collect();
    lab.namespace("a")
        .run(&format!("wg set {interface} peer {hub} allowed-ips {}", all.join(",")));
    lab
}

fn end(lab: &mut Lab, name: &str) {
    assert!(lab.daemon(name).catches(Signal::TERM, SOON), "wirelink runs on {name}");
    lab.daemon(name).signal(Signal::TERM);
    let status = lab.daemon(name).ended(SOON);
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", lab.log(name));
}

fn starts(lab: &mut Lab, name: Name) {
    lab.start(name);
    assert!(lab.daemon(name).catches(Signal::TERM, SOON), "wirelink runs on {name}");
}

fn file(lab: &Lab, name: &str) -> PathBuf {
    lab.memories().join(format!("{}.json", lab.interface(name)))
}

fn restore(lab: &Lab, name: &str) -> (Option<i32>, String) {
    let line = format!("{WIRELINK} restore --iface {}", lab.interface(name));
    let number = lab.logs.read_dir().expect("it is there").count();
    let mut process = lab.spawn(name, &line, &format!("restore-{number}.log"));
    let status = process.ended(SOON);
    (status.and_then(|status| status.code()), process.output())
}

#[test]
fn a_stop_puts_the_interface_back_line_by_line() {
    let mut lab = before();
    let found = shown(&lab, "a");
    play::start_all(&mut lab, Duration::from_secs(30));
    assert_ne!(shown(&lab, "a"), found, "it had changed something");
    end(&mut lab, "a");
    assert_eq!(shown(&lab, "a"), found);
}

#[test]
fn after_a_kill_the_next_stop_puts_the_interface_back() {
    let mut lab = before();
    let found = shown(&lab, "a");
    play::start_all(&mut lab, Duration::from_secs(30));
    for pause in [0, 2000] {
        lab.daemon("a").kill();
        assert_ne!(shown(&lab, "a"), found, "it left something");
        starts(&mut lab, "a");
        std::thread::sleep(Duration::from_millis(pause));
    }
    end(&mut lab, "a");
    assert_eq!(shown(&lab, "a"), found);
}

#[test]
fn a_restart_keeps_links_and_the_stop_after_it_puts_the_interface_back() {
    let mut lab = before();
    let found = shown(&lab, "a");
    play::start_all(&mut lab, Duration::from_secs(30));
    let direct = shown(&lab, "a");
    let other = std::net::IpAddr::V4(lab.inner("a").v4);
    // No packet takes another way, neither while nobody is there nor while the two agree anew. They are counted, as the last one would be
    // still on its way where ping is interrupted.
    let line = format!("ping -n -i 0.1 -c 60 {other}");
    let pings = lab.spawn("b", &line, "pings.log");
    std::thread::sleep(Duration::from_secs(1));

    lab.daemon("a").signal(Signal::USR2);
    let status = lab.daemon("a").ended(SOON);
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", lab.log("a"));
    assert_eq!(shown(&lab, "a"), direct, "nothing is put back");
    std::thread::sleep(Duration::from_secs(1));
    starts(&mut lab, "a");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(shown(&lab, "a"), direct, "nor is anything done again: {}", lab.log("a"));
    let said = command::until(Duration::from_secs(30), || {
        Some(pings.output()).filter(|said| said.contains("packet loss"))
    });
    let said = said.unwrap_or_else(|| pings.output());
    let count = |word: &str| {
        let before = said.split(word).next().and_then(|text| text.split_whitespace().last());
        before
            .and_then(|number| number.parse::<usize>().ok())
            .expect("ping counts")
    };
    let direct = said.lines().filter(|line| line.contains("ttl=64")).count();
    assert_eq!(count(" packets transmitted"), count(" received"), "{said}");
    assert_eq!(count(" received"), direct, "all of it direct: {said}");

    end(&mut lab, "a");
    assert_eq!(shown(&lab, "a"), found);
}

#[test]
fn what_the_next_start_could_not_know_is_put_back_at_a_restart() {
    let mut lab = before();
    let found = shown(&lab, "a");
    fs::write(lab.memories(), "a file where the folder should be").expect("it can be written");
    play::start_all(&mut lab, Duration::from_secs(30));
    assert_ne!(shown(&lab, "a"), found);
    lab.daemon("a").signal(Signal::USR2);
    let status = lab.daemon("a").ended(SOON);
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", lab.log("a"));
    assert_eq!(shown(&lab, "a"), found, "{}", lab.log("a"));
}

#[test]
fn the_interface_is_put_back_by_hand_but_not_under_a_daemon() {
    let mut lab = before();
    let found = shown(&lab, "a");
    play::start_all(&mut lab, Duration::from_secs(30));
    let direct = shown(&lab, "a");
    let (code, output) = restore(&lab, "a");
    assert_eq!(code, Some(1), "{output}");
    assert!(
        output.contains("runs on it already") && output.contains("stop wirelink instead"),
        "{output}"
    );
    assert_eq!(shown(&lab, "a"), direct, "nothing is touched");

    lab.daemon("a").kill();
    let (code, output) = restore(&lab, "a");
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("as it was"), "{output}");
    assert_eq!(shown(&lab, "a"), found);
    let (code, output) = restore(&lab, "a");
    assert_eq!(
        (code, output.contains("nothing to restore")),
        (Some(0), true),
        "{output}"
    );
    fs::remove_file(file(&lab, "a")).expect("there is a file");
    let (code, output) = restore(&lab, "a");
    assert_eq!(
        (code, output.contains("nothing to restore")),
        (Some(0), true),
        "{output}"
    );
}

#[test]
fn a_peer_of_the_operators_has_no_endpoint_again_and_all_that_it_had() {
    let mut lab = Lab::build(&public_public());
    look::arrive(&lab, &look::all_by(&lab, Path::Hub), SOON).expect("the hub forwards");
    let (interface, key) = (lab.interface("a").to_owned(), lab.public_key("b").to_owned());
    let secret = lab.logs.join("secret");
    fs::write(&secret, lab.namespace("a").run("wg genpsk")).expect("it can be written");
    // The other side has no such peer and runs no wirelink, so it never calls: only the hub tells where it is.
    lab.namespace("a").run(&format!(
        "wg set {interface} peer {key} preshared-key {} persistent-keepalive 7 allowed-ips 10.97.0.0/24,fd97::/64",
        secret.display()
    ));
    let found = shown(&lab, "a");
    ["hub", "a"].into_iter().for_each(|name| lab.start(name));
    let tried = command::until(SOON, || lab.peer("a", "b").and_then(|peer| peer.endpoint));
    assert!(tried.is_some(), "an endpoint is tried: {}", lab.log("a"));
    end(&mut lab, "a");
    assert_eq!(shown(&lab, "a"), found, "{}", lab.log("a"));

    starts(&mut lab, "a");
    let tried = command::until(SOON, || lab.peer("a", "b").and_then(|peer| peer.endpoint));
    assert!(tried.is_some(), "it is tried again: {}", lab.log("a"));
    lab.daemon("a").kill();
    let (code, output) = restore(&lab, "a");
    assert_eq!(code, Some(0), "{output}");
    assert_eq!(shown(&lab, "a"), found, "by hand, too: {}\n{output}", lab.log("a"));
}

#[test]
fn a_damaged_file_is_set_aside_and_keeps_nobody_from_starting() {
    let mut lab = before();
    fs::create_dir_all(lab.memories()).expect("a folder");
    fs::write(file(&lab, "a"), "{\"version\": 1, \"inter").expect("a file");
    play::start_all(&mut lab, Duration::from_secs(30));
    let log = lab.log("a");
    assert_eq!(log.matches("is set aside as").count(), 1, "{log}");
    assert!(
        lab.memories()
            .join(format!("{}.json.bad-1", lab.interface("a")))
            .exists()
    );
    let memory = fs::read_to_string(file(&lab, "a")).expect("it is written anew");
    assert!(memory.contains(lab.public_key("b")), "{memory}");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(file(&lab, "a")).expect("it is there").permissions());
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn after_a_power_cut_leaves_are_direct_again_while_the_hub_is_away() {
    let mut lab = Lab::build(&home_home());
    play::start_all(&mut lab, Duration::from_secs(30));
    for (leaf, other) in [("a", "b"), ("b", "a")] {
        let knows = |lab: &Lab| {
            let memory = fs::read_to_string(file(lab, leaf)).unwrap_or_default();
            let memory: serde_json::Value = serde_json::from_str(&memory).unwrap_or_default();
            memory["memory"]["peers"][lab.public_key(other)]["endpoints"][0].is_object()
        };
        assert!(
            command::until(SOON, || knows(&lab).then_some(())).is_some(),
            "{leaf} writes it down"
        );
    }
    lab.daemon("hub").kill();
    lab.network.isolate("hub");
    ["a", "b"].into_iter().for_each(|leaf| lab.reboot(leaf));
    let began = Instant::now();
    look::arrive(&lab, &look::all_by(&lab, Path::Direct), AFTER_POWER_CUT).unwrap_or_else(|why| panic!("{why}"));
    println!("direct again after {:.1} s", began.elapsed().as_secs_f32());
}
