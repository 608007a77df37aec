//! A daemon that is killed leaves its device as it is: WireGuard goes on, and so does what it carries.

use std::net::IpAddr;
use std::time::Duration;

use rustix::process::Signal;

use crate::lab::Lab;
use crate::play;
use crate::scenario::table::home_home;

/// A quiet link has a heartbeat every 25 s, and decides within 3 s after that.
const LONG_ENOUGH: Duration = Duration::from_secs(35);

/// The kernel says of each heartbeat that nobody listens (ICMPv6), through the tunnel: the path works, and nothing is withdrawn.
#[test]
fn a_link_outlives_a_daemon_that_is_killed() {
    let mut lab = Lab::build(&home_home());
    play::start_all(&mut lab, Duration::from_secs(30));
    let prefixes = |lab: &Lab| lab.peer("a", "b").map(|peer| peer.allowed_ips);
    let before = prefixes(&lab);
    lab.daemon("b").signal(Signal::KILL);
    std::thread::sleep(LONG_ENOUGH);
    assert_eq!(prefixes(&lab), before, "{}", lab.log("a"));
    let echo = lab.echo("a", IpAddr::V4(lab.inner("b").v4));
    assert_eq!(echo.map(|echo| echo.ttl), Some(64), "directly");
}
