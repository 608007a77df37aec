//! What a NAT does, by what is seen of this node from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::mesh::believe::fact::signal::Nat;
use crate::mesh::reach::link::candidate::is_private;

/// Where one observer sees this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    /// The address and port from which something came to it.
    pub(super) place: SocketAddr,
    /// Whether its word goes further than that of any peer.
    pub(super) believed: bool,
}

/// Leaves what is seen from beyond all NATs, where anything is: who is between two of them sees another place, and no NAT that gives
/// ports by destination. Who sees a private address of this machine itself is on this side of them all.
pub(super) fn from_outside(own: &BTreeSet<IpAddr>, mut seen: Vec<Sighting>) -> Vec<Sighting> {
    let is_beyond = |sighting: &Sighting| !is_private(sighting.place.ip());
    let any_beyond = seen.iter().any(is_beyond);
    seen.retain(|sighting| is_beyond(sighting) || !any_beyond && !own.contains(&sighting.place.ip()));
    seen
}

/// Returns how a NAT maps, by what each observer sees over IPv4, where this node has these addresses (RFC 4787, 4.1).
///
/// Only observers of more trust than every peer can show that the NAT gives each destination another port: any number of others may lie.
/// The word of those others counts where it agrees.
pub(super) fn class(own: &BTreeSet<IpAddr>, seen: &[Sighting]) -> Nat {
    // Own addresses count as one place: a machine that has several is behind no NAT.
    let place = |sighting: &Sighting| Some(sighting.place).filter(|place| !own.contains(&place.ip()));
    let mut votes: BTreeMap<Option<SocketAddr>, (usize, usize)> = BTreeMap::new();
    for sighting in seen {
        let (believed, all) = votes.entry(place(sighting)).or_default();
        *believed += usize::from(sighting.believed);
        *all += 1;
    }
    let Some((most, (_, agreeing))) = votes.iter().max_by_key(|(_, votes)| **votes) else {
        return Nat::Unknown;
    };
    let mut elsewhere = votes.iter().filter(|(place, _)| *place != most);
    if elsewhere.any(|(_, (believed, _))| *believed > 0) {
        Nat::AddressDependent
    } else if most.is_none() || *agreeing > 1 {
        Nat::EndpointIndependent
    } else {
        Nat::Unknown
    }
}

/// Returns how a NAT likely maps, where the observers may be believed: enough to explain by, and not to decide by.
pub(super) fn likely(own: &BTreeSet<IpAddr>, seen: &[Sighting]) -> Nat {
    let place = |sighting: &Sighting| Some(sighting.place).filter(|place| !own.contains(&place.ip()));
    let places: BTreeSet<Option<SocketAddr>> = seen.iter().map(place).collect();
    match places.len() {
        0 => Nat::Unknown,
        1 if places.contains(&None) || seen.len() > 1 => Nat::EndpointIndependent,
        1 => Nat::Unknown,
        _ => Nat::AddressDependent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: [u8; 4] = [192, 168, 1, 2];
    const PUBLIC: [u8; 4] = [203, 0, 113, 1];
    /// Between two NATs: of the outer one, and of a carrier.
    const BETWEEN: [u8; 4] = [192, 168, 0, 2];
    const CARRIER: [u8; 4] = [100, 64, 3, 4];

    fn seen(believed: bool, places: &[([u8; 4], u16)]) -> Vec<Sighting> {
        let sighting = |place: &([u8; 4], u16)| Sighting {
            place: SocketAddr::from(*place),
            believed,
        };
        places.iter().map(sighting).collect()
    }

    /// Returns the class for a machine with this address, by those that are believed and others.
    fn class_of(own: [u8; 4], believed: &[([u8; 4], u16)], others: &[([u8; 4], u16)]) -> Nat {
        let own = [own.into()].into();
        let all = [seen(true, believed), seen(false, others)].concat();
        class(&own, &from_outside(&own, all))
    }

    #[test]
    fn two_observers_tell_a_nat_that_keeps_the_port_from_one_that_does_not() {
        let by = |own, ports: &[u16]| {
            let places: Vec<_> = ports.iter().map(|port| (PUBLIC, *port)).collect();
            class_of(own, &places, &[])
        };
        assert_eq!(by(HOME, &[]), Nat::Unknown);
        assert_eq!(by(HOME, &[5]), Nat::Unknown, "one alone says nothing");
        assert_eq!(by(HOME, &[5, 5, 5]), Nat::EndpointIndependent);
        assert_eq!(by(HOME, &[5, 6]), Nat::AddressDependent);
        assert_eq!(by(PUBLIC, &[5]), Nat::EndpointIndependent, "there is none");
        assert_eq!(by(PUBLIC, &[5, 6]), Nat::EndpointIndependent, "of two addresses, too");
    }

    #[test]
    fn who_is_between_two_nats_sees_another_place_and_no_nat_that_gives_ports_by_destination() {
        for between in [BETWEEN, CARRIER] {
            let near = [(between, 7)];
            assert_eq!(
                class_of(HOME, &[(PUBLIC, 5), (PUBLIC, 5)], &near),
                Nat::EndpointIndependent
            );
            assert_eq!(
                class_of(HOME, &[(PUBLIC, 5)], &near),
                Nat::Unknown,
                "one alone from outside"
            );
            assert_eq!(
                class_of(HOME, &[(PUBLIC, 5), (PUBLIC, 6)], &near),
                Nat::AddressDependent
            );
        }
    }

    #[test]
    fn a_network_that_is_private_altogether_is_one_like_others() {
        assert_eq!(
            class_of(HOME, &[(BETWEEN, 5), (BETWEEN, 5)], &[]),
            Nat::EndpointIndependent
        );
        assert_eq!(
            class_of(HOME, &[(BETWEEN, 5), (BETWEEN, 6)], &[]),
            Nat::AddressDependent
        );
        assert_eq!(
            class_of(HOME, &[(BETWEEN, 5)], &[(HOME, 9)]),
            Nat::Unknown,
            "the same LAN says nothing"
        );
    }

    #[test]
    fn two_observers_of_any_trust_show_a_likely_class() {
        let own = [HOME.into()].into();
        let of = |places: &[([u8; 4], u16)]| likely(&own, &seen(false, places));
        assert_eq!(of(&[]), Nat::Unknown);
        assert_eq!(of(&[(PUBLIC, 5)]), Nat::Unknown, "one alone tells nothing");
        assert_eq!(of(&[(PUBLIC, 5), (PUBLIC, 5)]), Nat::EndpointIndependent);
        assert_eq!(of(&[(PUBLIC, 5), (PUBLIC, 6)]), Nat::AddressDependent);
        assert_eq!(of(&[(HOME, 5)]), Nat::EndpointIndependent, "there is no NAT");
    }

    #[test]
    fn one_liar_makes_no_nat_another_one() {
        let lie = [(PUBLIC, 666)];
        assert_eq!(
            class_of(HOME, &[(PUBLIC, 5), (PUBLIC, 5)], &lie),
            Nat::EndpointIndependent
        );
        assert_eq!(class_of(HOME, &[(PUBLIC, 5)], &lie), Nat::Unknown);
        assert_eq!(
            class_of(PUBLIC, &[(PUBLIC, 5)], &[(CARRIER, 1), ([198, 51, 100, 1], 1)]),
            Nat::EndpointIndependent
        );
        assert_eq!(
            class_of(HOME, &[], &[(PUBLIC, 5), (PUBLIC, 5), (PUBLIC, 666)]),
            Nat::EndpointIndependent
        );
    }

    #[test]
    fn least_trusted_observers_alone_show_no_dependent_nat() {
        let lies: Vec<_> = (600..650).map(|port| (PUBLIC, port)).collect();
        assert_eq!(
            class_of(HOME, &[(PUBLIC, 5), (PUBLIC, 5)], &lies),
            Nat::EndpointIndependent
        );
        assert_eq!(class_of(HOME, &[(PUBLIC, 5)], &lies), Nat::Unknown);
        assert_eq!(class_of(PUBLIC, &[(PUBLIC, 5)], &lies), Nat::EndpointIndependent);
        assert_eq!(class_of(HOME, &[], &lies), Nat::Unknown);
        assert_eq!(
            class_of(HOME, &[(PUBLIC, 5), (PUBLIC, 6)], &[(PUBLIC, 5), (PUBLIC, 5)]),
            Nat::AddressDependent,
            "nor do they hide one"
        );
    }
}
