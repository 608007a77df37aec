//! A machine that goes to another network, and one on which only containers come and go.

use super::super::*;
use super::world::*;
use crate::mesh::show::event::Interface;

/// Has something change on a leaf whose links are settled, and returns the bytes that it says to its peers in the second after.
fn said_after(change: impl FnOnce(&mut HostState)) -> u64 {
    let mut world = World::new(2);
    world.start_all();
    world.run(seconds(60));
    assert!(world.is_direct());
    let leaf = &mut world.machines[A];
    change(&mut leaf.host);
    world.sent.clear();
    leaf.node.handle(world.now, Input::Host(leaf.host.clone()));
    world.run(seconds(1));
    world
        .sent
        .iter()
        .filter(|((from, _), _)| *from == A)
        .map(|(_, bytes)| bytes)
        .sum()
}

fn interface(name: &str, address: &str) -> Interface {
    Interface {
        name: name.into(),
        up: true,
        addresses: vec![prefix(address)],
        wireguard: false,
    }
}

#[test]
fn all_links_are_asked_at_once_whether_they_work_elsewhere_and_not_for_a_container() {
    let quiet = said_after(|_| {});
    assert_eq!(
        said_after(|host| host.interfaces.push(interface("veth1a2b", "fe80::1/64"))),
        quiet
    );
    assert_eq!(
        said_after(|host| host.interfaces.push(interface("docker0", "172.17.0.1/16"))),
        quiet
    );
    let elsewhere: [fn(&mut HostState); 3] = [
        |host| host.interfaces.push(interface("wwan0", "198.51.100.7/32")),
        |host| host.interfaces[0].addresses = vec![prefix("203.0.113.7/24")],
        |host| host.ways_out = ["tun0".to_owned()].into(),
    ];
    for change in elsewhere {
        assert!(said_after(change) > quiet);
    }
}
