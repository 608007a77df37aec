//! The words of both sides about each other, in a network with one hub: they follow from the borders alone.

use wirelink::mesh::believe::fact::signal::Nat;
use wirelink::mesh::show::reason::Reason;

use super::border::{Border, Mapping};
use super::course::Course;
use super::table::{self, at};
use super::{Leaf, Scenario, oracle};

/// One hub, leaves `a` and `b` behind these borders, and, where there is another observer, leaf `c` with a public address.
pub(crate) fn network(one: Border, other: Border, has_observer: bool) -> Scenario {
    let mut scenario = table::home_home();
    scenario.sites = vec![at(one), at(other)];
    if has_observer {
        scenario.sites.push(at(Border::Open));
        let c = Leaf {
            name: "c",
            site: 2,
            ..scenario.leaves[0].clone()
        };
        scenario.leaves.push(c);
    }
    scenario
}

/// Returns the reason that the first side must give for the second one, and the likely classes of both NATs, its own first.
pub(crate) fn expected(borders: [Border; 2], has_observer: bool) -> (Reason, [Nat; 2]) {
    let reason = reason(borders, has_observer);
    let is_seen_twice = has_observer || reason == Reason::Direct;
    (reason, borders.map(|border| class(border, is_seen_twice)))
}

fn reason([one, other]: [Border; 2], has_observer: bool) -> Reason {
    let is_symmetric = |border: Border| border.mapping() == Mapping::AddressAndPortDependent;
    let network = network(one, other, has_observer);
    if oracle::can_be_direct(&Course::new(&network), "a", "b") {
        return Reason::Direct;
    }
    match (is_symmetric(one), is_symmetric(other)) {
        _ if !has_observer => Reason::NoAnswer,
        (true, true) => Reason::NatPair,
        (true, false) => Reason::NatHere,
        (false, true) => Reason::NatThere,
        (false, false) => Reason::NoAnswer,
    }
}

/// Returns the class of a NAT that observers show: the hub, and the other leaf where it is direct, or the public one.
fn class(border: Border, is_seen_twice: bool) -> Nat {
    match (border, border.mapping()) {
        (Border::Open | Border::Firewall(_), _) => Nat::EndpointIndependent,
        (Border::Nat(_), _) if !is_seen_twice => Nat::Unknown,
        (Border::Nat(_), Mapping::EndpointIndependent) => Nat::EndpointIndependent,
        (Border::Nat(_), Mapping::AddressDependent | Mapping::AddressAndPortDependent) => Nat::AddressDependent,
    }
}
