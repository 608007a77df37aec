use proptest::prelude::*;

use super::*;
use crate::mesh::device::PeerState;
use crate::mesh::reach::endpoints::Endpoints;

/// Peers from here on are not the operator's.
const FIRST_OF_OURS: u8 = 5;

fn key(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

fn prefix(number: u8) -> IpNet {
    IpNet::from(std::net::IpAddr::from([10, 0, 0, number]))
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// Peers of the operator's with an endpoint or none, and owners of some prefixes.
fn any_device() -> impl Strategy<Value = DeviceState> {
    let peers = proptest::collection::btree_map(0..FIRST_OF_OURS, proptest::option::of(1..9u16), 0..5);
    let owners = proptest::collection::btree_map(0..8u8, 0..FIRST_OF_OURS, 0..8);
    (peers, owners).prop_map(|(peers, owners)| {
        let mut device = DeviceState::new(key(99), 1);
        for (number, port) in peers {
            let peer = PeerState {
                endpoint: port.map(at),
                keepalive: (number % 2 == 0).then_some(25),
                preshared: number % 3 == 0,
                ..PeerState::default()
            };
            device.peers.insert(key(number), peer);
        }
        for (number, owner) in owners {
            if let Some(peer) = device.peers.get_mut(&key(owner)) {
                peer.allowed_ips.insert(prefix(number));
            }
        }
        device
    })
}

#[derive(Clone, Debug)]
enum Step {
    AddPeer(u8),
    RemovePeer(u8),
    Give(u8, u8),
    Send(u8, u16),
}

fn any_step() -> impl Strategy<Value = Step> {
    let (ours, all) = (FIRST_OF_OURS..9u8, 0..9u8);
    prop_oneof![
        ours.clone().prop_map(Step::AddPeer),
        ours.prop_map(Step::RemovePeer),
        (all.clone(), 0..12u8).prop_map(|(peer, prefix)| Step::Give(peer, prefix)),
        (all, 10..20u16).prop_map(|(peer, port)| Step::Send(peer, port)),
    ]
}

/// Who writes down before doing, as the node does.
#[derive(Default)]
struct Writer {
    introduced: Introduced,
    endpoints: Endpoints,
}

impl Writer {
    /// Writes down what a step introduces; returns the change that makes it so, if it is one that a node would make.
    fn write(&mut self, device: &DeviceState, step: &Step) -> Option<DeviceChange> {
        self.introduced = std::mem::take(&mut self.introduced).on(device);
        self.introduced.peers.extend(match step {
            Step::AddPeer(number) => Some(key(*number)),
            Step::RemovePeer(_) | Step::Give(..) | Step::Send(..) => None,
        });
        let change = match step {
            Step::AddPeer(number) => DeviceChange::AddPeer {
                peer: key(*number),
                allowed_ips: [].into_iter().collect(),
                endpoint: None,
            },
            Step::RemovePeer(number) => DeviceChange::RemovePeer { peer: key(*number) },
            Step::Give(peer, number) => self.give(device, key(*peer), prefix(*number))?,
            Step::Send(peer, port) => self.send(device, key(*peer), at(*port))?,
        };
        Some(change)
    }

    fn give(&mut self, device: &DeviceState, peer: PublicKey, prefix: IpNet) -> Option<DeviceChange> {
        let owner = device.owner(&prefix).copied();
        let is_another = device.peers.contains_key(&peer) && owner != Some(peer);
        let known = self.introduced.prefixes.get(&prefix);
        let formerly = owner.filter(|_| known.is_some());
        let taken_from = known.map_or(owner, |known| known.taken_from);
        let given = Given {
            peer,
            formerly,
            taken_from,
        };
        is_another.then(|| {
            self.introduced.prefixes.insert(prefix, given);
            DeviceChange::AddAllowedIp { peer, prefix }
        })
    }

    fn send(&mut self, device: &DeviceState, peer: PublicKey, endpoint: SocketAddr) -> Option<DeviceChange> {
        let found = device.peers.get(&peer)?;
        if !self.introduced.peers.contains(&peer) {
            self.endpoints.observe(&peer, found.endpoint, false);
            self.endpoints.set(peer, found, endpoint, [endpoint].into_iter());
            self.introduced.endpoints = self.endpoints.all().clone();
        }
        Some(DeviceChange::SetEndpoint { peer, endpoint })
    }
}

proptest! {
    /// Whatever was done, and wherever it broke off between writing down and doing: the device becomes what it was.
    #[test]
    fn what_is_written_down_first_can_be_undone(
        before in any_device(), steps in proptest::collection::vec(any_step(), 0..20), is_last_done: bool,
    ) {
        let (mut device, mut writer) = (before.clone(), Writer::default());
        for (number, step) in steps.iter().enumerate() {
            let change = writer.write(&device, step);
            if is_last_done || number + 1 < steps.len() {
                change.iter().for_each(|change| device.apply(change));
            }
        }
        let undo = writer.introduced.undo(&device, AddressHash::Sha1, &|_| Session::None);
        undo.iter().for_each(|change| device.apply(change));
        prop_assert_eq!(&device, &before);
        prop_assert_eq!(writer.introduced.undo(&device, AddressHash::Sha1, &|_| Session::None), vec![]);
    }

    /// What another life of the device was like does nothing to one that shows nothing of it.
    #[test]
    fn what_never_came_to_be_does_no_harm(device in any_device()) {
        let ours = key(FIRST_OF_OURS);
        let introduced = Introduced {
            peers: [ours].into(),
            prefixes: (0..12).map(|number| (prefix(number), Given::new(ours, None))).collect(),
            endpoints: device
                .peers
                .keys()
                .map(|peer| (*peer, Tried { before: None, tried: [at(77)].into() }))
                .collect(),
        };
        prop_assert_eq!(introduced.undo(&device, AddressHash::Sha1, &|_| Session::None), vec![]);
        prop_assert!(introduced.on(&device).is_empty());
    }
}

#[test]
fn a_peer_that_the_operator_touched_stays_and_only_what_is_ours_goes_from_it() {
    let ours = key(FIRST_OF_OURS);
    let address = AddressHash::Sha1.allowed_ip(&ours);
    let introduced = Introduced {
        peers: [ours].into(),
        prefixes: [(prefix(1), Given::new(ours, None))].into(),
        ..Introduced::default()
    };
    let touch: [fn(&mut PeerState); 3] = [
        |peer| peer.keepalive = Some(25),
        |peer| peer.preshared = true,
        |peer| {
            peer.allowed_ips.insert(prefix(7));
        },
    ];
    for touch in touch {
        let mut device = DeviceState::new(key(99), 1);
        let mut peer = PeerState {
            allowed_ips: [prefix(1), address].into(),
            ..PeerState::default()
        };
        touch(&mut peer);
        device.peers.insert(ours, peer.clone());
        let undo = introduced.undo(&device, AddressHash::Sha1, &|_| Session::None);
        undo.iter().for_each(|change| device.apply(change));
        peer.allowed_ips.remove(&prefix(1));
        peer.allowed_ips.remove(&address);
        assert_eq!(device.peers.get(&ours), Some(&peer));
    }
}

/// More is written down than was done: by the time of a restoration it may be the operator's.
#[test]
fn what_was_only_foreseen_and_is_the_operators_by_then_stays() {
    let (ours, other) = (key(FIRST_OF_OURS), key(1));
    let introduced = Introduced {
        peers: [ours].into(),
        prefixes: [(prefix(1), Given::new(ours, None)), (prefix(2), Given::new(ours, None))].into(),
        ..Introduced::default()
    };
    let of_operators = |peers: &[(PublicKey, PeerState)]| {
        let mut device = DeviceState::new(key(99), 1);
        device.peers.extend(peers.iter().cloned());
        device
    };
    let with = |allowed: &[IpNet], keepalive: Option<u16>| PeerState {
        allowed_ips: allowed.iter().copied().collect(),
        keepalive,
        ..PeerState::default()
    };
    let address = AddressHash::Sha1.allowed_ip(&ours);
    let undone = |device: &DeviceState| {
        introduced
            .clone()
            .on(device)
            .undo(device, AddressHash::Sha1, &|_| Session::None)
    };

    let never_done = of_operators(&[(other, with(&[prefix(7)], None))]);
    assert_eq!(undone(&never_done), []);
    let given_to_another = of_operators(&[(other, with(&[prefix(1), prefix(2)], None))]);
    assert_eq!(undone(&given_to_another), []);
    let made_by_hand = of_operators(&[(ours, with(&[prefix(7)], Some(25)))]);
    assert_eq!(undone(&made_by_hand), []);
    let half_done = of_operators(&[(ours, with(&[address], None)), (other, with(&[prefix(1)], None))]);
    assert_eq!(undone(&half_done), [DeviceChange::RemovePeer { peer: ours }]);
}

#[test]
fn endpoint_stays_where_peer_is_heard_or_had_none() {
    let mut device = DeviceState::new(key(99), 1);
    let mut introduced = Introduced::default();
    for (number, before) in [(1, None), (2, Some(at(9)))] {
        let peer = PeerState {
            endpoint: Some(at(1)),
            ..PeerState::default()
        };
        device.peers.insert(key(number), peer);
        let tried = [at(1)].into();
        introduced.endpoints.insert(key(number), Tried { before, tried });
    }
    let back = DeviceChange::SetEndpoint {
        peer: key(2),
        endpoint: at(9),
    };
    let undo = |session: Session| introduced.undo(&device, AddressHash::Sha1, &|_| session);
    assert_eq!(undo(Session::Heard), []);
    assert_eq!(undo(Session::Unheard), std::slice::from_ref(&back));
    assert_eq!(
        undo(Session::None),
        [
            back,
            DeviceChange::MakeAgain {
                peer: key(1),
                endpoint: None
            }
        ]
    );
}
