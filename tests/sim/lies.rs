//! A liar in the world, and what honest nodes make of it.

use std::net::IpAddr;

use ipnet::IpNet;
use wirelink::mesh::identity::AddressHash;

use crate::host;
use crate::liar::{Liar, Victim};
use crate::net::HostId;
use crate::world::World;

/// In how many ways it lies to each in one go.
const LIES_AT_ONCE: usize = 3;

/// Lets a liar say something to everybody else.
pub(crate) fn speak(world: &mut World, id: HostId, liar: &mut Liar) {
    let port = world.hosts[id].fact_port();
    let victims: Vec<Victim> = world.hosts.iter().map(victim).collect();
    let listeners = (0..victims.len()).filter(|listener| *listener != id);
    for listener in listeners {
        let key = victims[listener].key;
        let others: Vec<Victim> = victims
            .iter()
            .enumerate()
            .filter(|(other, _)| ![id, listener].contains(other))
            .map(|(_, victim)| victim.clone())
            .collect();
        let to = IpAddr::V6(AddressHash::Sha1.link_local(&key));
        for _ in 0..LIES_AT_ONCE {
            let lie = liar.choose();
            for datagram in liar.tell(lie, &key, &others) {
                let packet = host::udp(datagram.source.into(), to, port, port, &datagram.payload);
                world.inject(id, packet);
            }
        }
    }
}

fn victim(host: &host::Host) -> Victim {
    let addresses = host.config.inner.iter().map(IpNet::addr);
    Victim {
        key: host.key,
        prefixes: addresses.map(IpNet::from).collect(),
    }
}

mod tests {
    use ipnet::IpNet;
    use wirelink::mesh::device::DeviceChange;
    use wirelink::mesh::event::{Event, RejectReason};
    use wirelink::mesh::identity::AddressHash;

    use crate::host::Host;
    use crate::play;
    use crate::scenario::{Scenario, table};
    use crate::stage::Stage;

    const SEED: u64 = 1;

    /// Plays a scenario, and then looks for what only a lie can have brought.
    fn play(scenario: &Scenario) {
        let mut stage = Stage::new(scenario, SEED);
        stage.world.records = true;
        if let Err(why) = play::play_on(&mut stage) {
            panic!("{}: {why}", scenario.name);
        }
        let hosts = &stage.world.hosts;
        let liar = hosts[stage.id("c")].key;
        for host in hosts.iter().filter(|host| host.key != liar) {
            let lied = host.changes.iter().find(|(_, change)| !is_honest(hosts, host, change));
            assert_eq!(lied, None, "{} believed a lie", host.config.name);
            heard_it_all(host);
        }
    }

    /// Returns whether a change makes of the device what is true: only hosts and what the operator wrote, each with its own.
    fn is_honest(hosts: &[Host], at: &Host, change: &DeviceChange) -> bool {
        let peer = change.peer();
        let known = hosts.iter().find(|host| host.key == *peer);
        let written = at.config.peers.iter().find(|config| config.key == *peer);
        let is_own = |prefix: &IpNet| {
            let its_inner = known.into_iter().flat_map(|host| &host.config.inner);
            let is_its_address = its_inner.map(|net| IpNet::from(net.addr())).any(|own| own == *prefix);
            let is_written = written.is_some_and(|config| config.allowed_ips.contains(prefix));
            is_its_address || is_written || *prefix == AddressHash::Sha1.allowed_ip(peer)
        };
        let is_known = known.is_some() || written.is_some();
        match change {
            DeviceChange::AddPeer { allowed_ips, .. } => is_known && allowed_ips.iter().all(is_own),
            DeviceChange::AddAllowedIp { prefix, .. } => is_known && is_own(prefix),
            DeviceChange::RemovePeer { .. }
            | DeviceChange::SetEndpoint { .. }
            | DeviceChange::RemoveAllowedIp { .. } => is_known,
        }
    }

    /// The lies came to be judged, and not only one kind of them.
    #[track_caller]
    fn heard_it_all(host: &Host) {
        let refused = |is: fn(&RejectReason) -> bool| {
            host.events
                .iter()
                .any(|(_, event)| matches!(event, Event::Rejected { reason, .. } if is(reason)))
        };
        assert!(
            refused(|reason| matches!(reason, RejectReason::Layout(_))),
            "malformed: {}",
            host.config.name
        );
        assert!(
            refused(|reason| matches!(reason, RejectReason::Auth(_))),
            "in another's name: {}",
            host.config.name
        );
        assert!(
            refused(|reason| matches!(reason, RejectReason::Refused(_))),
            "not trusted: {}",
            host.config.name
        );
        assert!(
            refused(|reason| matches!(reason, RejectReason::Full(_))),
            "too much: {}",
            host.config.name
        );
    }

    #[test]
    fn a_liar_changes_nothing_between_others() {
        play(&table::a_liar_among_friends());
    }

    #[test]
    fn a_liar_keeps_nobody_from_finding_each_other() {
        play(&table::a_liar_from_the_beginning());
    }
}
