//! Probes from WireGuard's own port, while WireGuard really has it.

mod pair;
mod stun;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use rustix::process::Signal;
use wirelink::daemon::probe::{Heard, Port, Prober, What};
use wirelink::mesh::reach::probe::wire::MIN_VEILED;

use self::pair::Pair;
use crate::command;
use crate::lab::{Lab, WIRELINK};
use crate::scenario::table::public_public;
use crate::tunnel::PORT;

/// How long anything may take that is no matter of the network; an emulated guest is slow.
const SOON: Duration = Duration::from_secs(20);

/// How long a probe may take; one that is dropped is waited for as long.
const PATIENCE: Duration = Duration::from_millis(500);

/// Returns a datagram that passes for a probe.
fn probe(number: u8) -> [u8; MIN_VEILED] {
    [number; MIN_VEILED]
}

async fn hear(prober: &mut Prober) -> Option<Heard> {
    let heard = async {
        loop {
            prober.readable().await.expect("raw sockets do not fail");
            if let Some(heard) = prober.receive().expect("raw sockets do not fail") {
                return heard;
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.ok()
}

/// Sends from one side to an endpoint, and returns the source that the other side heard, if it heard anything.
async fn passes(from: &Prober, to: SocketAddr, at: &mut Prober) -> Option<SocketAddr> {
    let sent = probe(u8::try_from(to.port() % 251).expect("below 251"));
    from.send(None, None, to, &sent).expect("there is a way out");
    let heard = hear(at).await?;
    assert_eq!(heard.what, What::Probe(sent.to_vec()));
    Some(heard.source)
}

#[test]
fn a_probe_opens_the_way_for_wireguard_which_does_not_notice() {
    let pair = Pair::build();
    for v6 in [false, true] {
        let [at_a, at_b] = [0, 1].map(|side| Pair::outside(side, v6));
        pair.probe(async |[mut a, mut b]| {
            assert_eq!(
                passes(&a, at_b, &mut b).await,
                None,
                "a router lets in whom nobody called"
            );
            assert_eq!(
                passes(&b, at_a, &mut a).await,
                Some(at_b),
                "WireGuard's own port, outside"
            );
            assert_eq!(passes(&a, at_b, &mut b).await, Some(at_a), "and back");
        });
        let [a, b] = &pair.sides;
        assert_eq!((a.peer().endpoint, a.peer().received), (None, 0));
        for (side, endpoint) in [(b, at_a), (a, at_b)] {
            side.set_peer(&format!("endpoint {endpoint} persistent-keepalive 1"));
        }
        let met = command::until(SOON, || {
            let both = [a, b].map(|side| side.peer().latest_handshake > 0);
            (both == [true; 2]).then_some(())
        });
        assert_eq!(met, Some(()), "a handshake over {at_a}");
        a.host.run(&format!("ping -n -c 1 -W 5 {}", b.inner()));
        for side in [a, b] {
            side.set_peer("persistent-keepalive 0");
        }

        // A keepalive may be under way; not every time.
        let undisturbed = (0..3).any(|_| {
            let before = [a, b].map(pair::Side::peer);
            pair.probe(async |[mut a, mut b]| {
                assert_eq!(passes(&b, at_a, &mut a).await, Some(at_b), "during the session");
                assert_eq!(passes(&a, at_b, &mut b).await, Some(at_a), "during the session");
            });
            before == [a, b].map(pair::Side::peer)
        });
        assert!(undisturbed, "WireGuard noticed probes");
        a.host.run(&format!("ping -n -c 1 -W 5 {}", b.inner()));
        for (side, other) in [(a, b), (b, a)] {
            // As it was, for the other family.
            let inner = other.inner();
            side.set_peer("remove");
            side.set_peer(&format!("allowed-ips {inner}/32"));
        }
    }
}

#[test]
fn answer_leaves_from_the_address_that_was_asked() {
    let pair = Pair::build();
    let (router, host) = (&pair.routers[1], &pair.sides[1].host);
    host.run("ip addr add 192.168.2.9/24 dev eth0");
    host.run("ip addr add fd00:2::9/64 dev eth0 nodad");
    // The routes prefer the first address, and a rule has the second leave another way.
    host.run("ip route add default via 192.168.2.1 table 77");
    host.run("ip rule add from 192.168.2.9 lookup 77");
    pair::probe_between([router, host], async |[mut asker, mut asked]| {
        for address in ["192.168.2.2", "192.168.2.9", "fd00:2::2", "fd00:2::9"] {
            let at = SocketAddr::new(address.parse().expect("an address"), PORT);
            asker.send(None, None, at, &probe(1)).expect("it is a neighbour");
            let heard = hear(&mut asked).await.unwrap_or_else(|| panic!("{at} is asked"));
            assert_eq!(heard.local, Some(at.ip()));
            asked
                .send(None, heard.local, heard.source, &probe(2))
                .expect("it is its own");
            let answer = hear(&mut asker).await.unwrap_or_else(|| panic!("{at} answers"));
            assert_eq!(answer.source, at);
        }
        // Nothing of it stays with the socket.
        let to = SocketAddr::new("192.168.2.1".parse().expect("an address"), PORT);
        asked.send(None, None, to, &probe(3)).expect("it is a neighbour");
        assert_eq!(
            hear(&mut asker).await.map(|heard| heard.source.ip()),
            "192.168.2.2".parse().ok()
        );
    });
}

#[test]
fn a_probe_carries_the_mark_and_follows_the_port() {
    let pair = Pair::build();
    let [at_a, at_b] = [0, 1].map(|side| Pair::outside(side, true));
    let before = pair.sides[0].marked();
    pair.probe(async |[mut a, mut b]| {
        passes(&a, at_b, &mut b).await;
        passes(&b, at_a, &mut a).await.expect("it was called");
    });
    assert_eq!(pair.sides[0].marked(), before + 1);
    pair.probe(async |[mut a, mut b]| {
        let moved = |number, fwmark| Port { number, fwmark };
        a.follow(moved(PORT, 0)).expect("a mark may be taken off");
        assert_eq!(passes(&a, at_b, &mut b).await, Some(at_a));
        a.follow(moved(PORT + 2, 0)).expect("there is such a port");
        let elsewhere = SocketAddr::new(at_a.ip(), PORT + 2);
        assert_eq!(passes(&b, at_a, &mut a).await, None, "no longer WireGuard's port");
        passes(&a, at_b, &mut b).await;
        assert_eq!(passes(&b, elsewhere, &mut a).await, Some(at_b), "but this one");
        a.follow(moved(0, 0)).expect("an interface may be down");
        assert!(
            a.send(None, None, at_b, &probe(1)).is_err(),
            "nobody listens there for the answer"
        );
    });
    assert_eq!(pair.sides[0].marked(), before + 1);
}

#[test]
fn without_the_right_or_the_wish_to_probe_it_runs_and_says_so() {
    let lab = Lab::build(&public_public());
    let interface = lab.interface("a");
    let cases = [
        (
            format!("setpriv --bounding-set=-net_raw {WIRELINK} --iface {interface}"),
            Some("CAP_NET_RAW is missing"),
        ),
        (
            format!("{WIRELINK} --iface {interface} --probe=off"),
            Some("switched off in the settings"),
        ),
        (format!("{WIRELINK} --iface {interface}"), None),
    ];
    for (number, (line, reason)) in cases.into_iter().enumerate() {
        let mut daemon = lab.spawn("a", &line, &format!("{number}.log"));
        let own = lab.link_local("a");
        let up = command::until(SOON, || lab.addresses("a").contains(&own).then_some(()));
        assert_eq!(up, Some(()), "it runs: {}", daemon.output());
        let said = command::until(SOON, || {
            daemon.output().contains(&format!("at {}", own.addr())).then_some(())
        });
        assert_eq!(said, Some(()), "{}", daemon.output());
        daemon.signal(Signal::TERM);
        let status = daemon.ended(SOON);
        let output = daemon.output();
        assert_eq!(status.and_then(|status| status.code()), Some(0), "{output}");
        assert_eq!(
            output.matches("no probes").count(),
            usize::from(reason.is_some()),
            "{output}"
        );
        assert!(reason.is_none_or(|reason| output.contains(reason)), "{output}");
    }
}

/// Sends datagrams that pass for probes, so many a second at most, until it is told to stop; returns how many.
fn flood(lab: &Lab, to: SocketAddr, rate: u32, over: &AtomicBool) -> u64 {
    let namespace = File::open(lab.namespace("b").path()).expect("the namespace is there");
    setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter a namespace");
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port is free");
    let (mut sent, began) = (0, Instant::now());
    while !over.load(Ordering::Relaxed) {
        sent += u64::from(socket.send_to(&probe(1), to).is_ok());
        let due = Duration::from_secs_f64(sent as f64 / f64::from(rate));
        if let Some(early) = due.checked_sub(began.elapsed()) {
            // One at a time, as far as the timer is that fine: what comes in one piece is taken in one turn.
            std::thread::sleep(early);
        }
    }
    sent
}

/// Returns the processor time that a process has taken, user and system, in hundredths of a second (proc(5)).
fn processor_time(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields = stat.rsplit(')').next().expect("a name in brackets").split_whitespace();
    let times = fields.skip(11).take(2);
    times.map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

/// Returns how many packets found the queue of a raw socket full.
fn dropped(process: u32) -> u64 {
    let table = std::fs::read_to_string(format!("/proc/{process}/net/raw")).expect("it runs");
    let lines = table.lines().skip(1);
    let counts = lines.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok());
    counts.sum()
}

#[test]
fn a_flood_of_probes_costs_little() {
    const FOR: Duration = Duration::from_secs(3);
    let mut lab = Lab::build(&public_public());
    lab.start("a");
    let own = lab.link_local("a");
    let up = command::until(SOON, || lab.addresses("a").contains(&own).then_some(()));
    assert_eq!(up, Some(()), "{}", lab.log("a"));
    let to = SocketAddr::new(lab.network.public_address("a").parse().expect("an address"), PORT);
    let daemon = lab.daemon("a").id();
    // The slower ones never fill the queue, but wake the daemon more often than it likes.
    for (rate, overflows) in [(100_000, true), (10_000, false), (4_000, false)] {
        let over = AtomicBool::new(false);
        let before = dropped(daemon);
        let (sent, took, cost) = std::thread::scope(|scope| {
            let flood = scope.spawn(|| flood(&lab, to, rate, &over));
            let (began, before) = (Instant::now(), processor_time(daemon));
            std::thread::sleep(FOR);
            let (took, cost) = (began.elapsed().as_secs_f64(), processor_time(daemon) - before);
            over.store(true, Ordering::Relaxed);
            (flood.join().expect("sending does not fail"), took, cost)
        });
        let (share, dropped) = (cost as f64 / took, dropped(daemon) - before);
        let flood = sent as f64 / took;
        println!("{flood:.0} probes a second: {share:.1} % of a core, {dropped} of {sent} dropped unseen");
        assert_eq!(dropped > sent / 4, overflows, "{dropped} of {sent}");
        assert!(share < 20.0, "{share:.1} %");
    }
    assert!(lab.daemon("a").is_running());
}
