//! Two networks on the same machines, each with interfaces and daemons of its own.

use std::time::Duration;

use rustix::process::Signal;

use crate::command::{self, Process};
use crate::lab::{Lab, WIRELINK};
use crate::play;
use crate::scenario::table::public_public;
use crate::tunnel::{Inner, Interface, Keys, PORT, PeerLines, Written};

/// How long anything here may take that is no matter of the network.
const SOON: Duration = Duration::from_secs(20);

/// How long two leaves may take to find their way.
const DIRECT: Duration = Duration::from_secs(60);

/// A second network, of which `a` and `b` are members by another interface each.
fn second_network(lab: &Lab) -> [(Interface, Written); 2] {
    let keys = [Keys::generate(), Keys::generate()];
    let inner = [2, 1].map(|host| Inner::of(77, host, false));
    let peer = |of: usize, endpoint: Option<String>, allowed_ips| PeerLines {
        public_key: keys[of].public.clone(),
        preshared_key: None,
        allowed_ips,
        endpoint,
        keepalive: Some(25),
    };
    let port = PORT + 10;
    let b = format!("{}:{port}", lab.network.public_address("b"));
    let peers = [peer(1, Some(b), inner[1].of_hub()), peer(0, None, inner[0].own())];
    let written = keys.iter().zip(inner).zip(peers).map(|((keys, inner), peer)| Written {
        keys: keys.clone(),
        inner,
        peers: vec![peer],
        port,
    });
    let mut made = ["a", "b"].into_iter().zip(written).map(|(name, written)| {
        let interface = format!("{}2", lab.interface(name));
        (
            Interface::make(&interface, lab.namespace(name), &written, &lab.logs),
            written,
        )
    });
    [(); 2].map(|()| made.next().expect("there are two"))
}

/// Has all daemons log what they know; returns what those of the first and of the second network have logged.
fn reports(lab: &Lab, second: &mut [Process]) -> [String; 2] {
    let first = ["a", "b", "hub"];
    first.iter().for_each(|name| lab.signal_report(name));
    for daemon in &mut *second {
        assert!(daemon.catches(Signal::USR1, SOON), "{}", daemon.output());
        daemon.signal(Signal::USR1);
    }
    [
        first.map(|name| lab.log(name)).concat(),
        second.iter().map(Process::output).collect(),
    ]
}

#[test]
fn two_networks_on_one_machine_know_nothing_of_each_other() {
    let mut lab = Lab::build(&public_public());
    let members = second_network(&lab);
    let start = |(name, (interface, _)): (&str, &(Interface, Written))| {
        // The same port for facts on both interfaces of a machine.
        let line = format!("{WIRELINK} --debug --port {} --iface {}", PORT + 1, interface.name);
        lab.spawn(name, &line, &format!("{name}2.log"))
    };
    let mut second: Vec<Process> = ["a", "b"].into_iter().zip(&members).map(start).collect();
    play::start_all(&mut lab, DIRECT);

    // The two of the second network tell each other where they are: so facts do flow there.
    let address = format!("{}:{}", lab.network.public_address("a"), PORT + 10);
    let told = command::until_every(Duration::from_secs(1), SOON, || {
        reports(&lab, &mut second);
        second[1].output().contains(&address).then_some(())
    });
    assert_eq!(told, Some(()), "{}", second[1].output());
    // A while longer, for what should not come.
    std::thread::sleep(Duration::from_secs(10));
    let [of_first, of_second] = reports(&lab, &mut second);
    for name in ["a", "b", "hub"] {
        let key = &lab.public_key(name)[..8];
        assert!(
            of_first.contains(key) && !of_second.contains(key),
            "{name}: {of_second}"
        );
        let inner = lab.inner(name).v4.to_string();
        assert!(!of_second.contains(&inner), "{inner}: {of_second}");
    }
    for (_, written) in &members {
        let (key, inner) = (&written.keys.public[..8], written.inner.v4.to_string());
        assert!(of_second.contains(key) && !of_first.contains(key), "{key}: {of_first}");
        assert!(!of_first.contains(&inner), "{inner}: {of_first}");
    }
    for daemon in &mut second {
        daemon.signal(Signal::TERM);
        let status = daemon.ended(SOON);
        assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", daemon.output());
    }
}
