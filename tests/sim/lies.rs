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
    use std::collections::BTreeSet;

    use wirelink::mesh::event::{Event, RejectReason};
    use wirelink::mesh::identity::PublicKey;

    use crate::host::Host;
    use crate::play;
    use crate::scenario::{Scenario, table};
    use crate::stage::Stage;

    /// Plays a scenario, and then looks for what only a lie can have brought.
    fn play(scenario: &Scenario) {
        for seed in 1..=2 {
            let mut stage = Stage::new(scenario, seed);
            stage.world.records = true;
            if let Err(why) = play::play_on(&mut stage) {
                panic!("{} with seed {seed}: {why}", scenario.name);
            }
            let hosts = &stage.world.hosts;
            let own = hosts.iter().map(|host| host.key);
            let configured = hosts
                .iter()
                .flat_map(|host| host.config.peers.iter().map(|peer| peer.key));
            let known: BTreeSet<PublicKey> = own.chain(configured).collect();
            let liar = stage.id("c");
            for host in hosts.iter().filter(|host| host.key != hosts[liar].key) {
                let changed = host.changes.iter().map(|(_, change)| change.peer());
                assert_eq!(
                    changed.filter(|key| !known.contains(key)).count(),
                    0,
                    "{} took a stranger in",
                    host.config.name
                );
                heard_it_all(host);
            }
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
