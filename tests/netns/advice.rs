//! Commands that messages suggest, run as they stand in a network of their own, for interfaces with odd names.

use std::process::{Command, Stdio};

use wirelink::advice::{self, Keeper, Opening};

pub(crate) const NAMES: [&str; 7] = ["wg0", "wg.0", "wg-0", "wg+0", "wg=0", "-wg", "fifteen-letters"];

/// Runs lines in a network namespace that is gone behind them; each has to succeed.
#[track_caller]
fn run(name: &str, lines: &[String]) {
    let setup = format!("ip tuntap add dev {0} mode tun; ", advice::quoted(name));
    let script = format!("set -e; {setup}{}", lines.join("; "));
    let mut command = Command::new("unshare");
    command.args(["-n", "sh", "-c", &script]).stdin(Stdio::null());
    let done = command.output().expect("unshare runs");
    assert!(
        done.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn suggested_commands_work_for_odd_names() {
    for name in NAMES {
        let disabled = format!("echo 1 >/proc/sys/net/ipv6/conf/{}/disable_ipv6", advice::quoted(name));
        let is_on = format!(
            "test $(cat /proc/sys/net/ipv6/conf/{}/disable_ipv6) = 0",
            advice::quoted(name)
        );
        run(name, &[disabled, advice::allow_ipv6(name), is_on]);
        run(name, &[advice::set_mtu(name, 1400), advice::bring_up(name)]);
    }
}

#[test]
fn suggested_rules_work_for_odd_names() {
    let table = "nft add table inet filter; nft add chain inet filter input '{ type filter hook input priority 0; policy drop; }'";
    for name in NAMES {
        for opening in [Opening::Port(51820), Opening::Interface(name), Opening::Through(name)] {
            let nft = advice::let_in(Keeper::Nftables(["inet", "filter", "input"]), opening);
            run(name, &[table.to_owned(), nft]);
            for is_v6 in [false, true] {
                run(name, &[advice::let_in(Keeper::Iptables(is_v6), opening)]);
            }
        }
    }
}
