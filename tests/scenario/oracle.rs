//! What is possible: from the topology alone, without a look at any node, which way two leaves can and so must reach each other.
//!
//! The rule for two leaves at different sites, both sending to where the hub sees the other: a packet of A reaches B if the
//! mapping of B that the hub sees lets it in. WireGuard answers to where an authentic packet came from, so one direction suffices.

use super::border::{Border, Filtering, Mapping};
use super::course::Course;
use super::{Name, Path, Program};

/// Returns the way on which two leaves must reach each other now.
pub(crate) fn way(course: &Course<'_>, one: Name, other: Name) -> Path {
    let linked = [one, other]
        .iter()
        .all(|name| course.runs(name) && course.is_member(name));
    if linked && !course.is_cut(one, other) && can_be_direct(course, one, other) {
        Path::Direct
    } else if through_hubs(course, one, other) {
        Path::Hub
    } else {
        Path::Nothing
    }
}

/// Returns whether WireGuard packets of either leaf can reach the other one.
pub(crate) fn can_be_direct(course: &Course<'_>, one: Name, other: Name) -> bool {
    let (a, b) = (borders(course, one), borders(course, other));
    if course.site(one) == course.site(other) {
        // The private addresses are facts; without a NAT there is one leaf only.
        return true;
    }
    // What both share on the way out, and so never cross but by hairpinning.
    let shared = common(course, one, other);
    if let Some(border) = shared {
        return hairpins(border);
    }
    enters(&a, &b) || enters(&b, &a)
}

/// Returns whether packets of a leaf behind the borders `from` enter through all of `to`, both seen by a hub outside of all.
///
/// Borders in a row are as dependent as the most dependent of them, and filter as the strictest of them.
fn enters(from: &[Border], to: &[Border]) -> bool {
    let mapping = |borders: &[Border]| borders.iter().map(|border| border.mapping()).max();
    let independent =
        |borders: &[Border]| mapping(borders).is_none_or(|mapping| mapping == Mapping::EndpointIndependent);
    match to.iter().map(|border| border.filtering()).max() {
        None | Some(Filtering::EndpointIndependent) => true,
        Some(Filtering::AddressDependent) => independent(to),
        Some(Filtering::AddressAndPortDependent) => independent(to) && independent(from),
    }
}

/// The borders between a leaf and the internet, the nearest first.
fn borders(course: &Course<'_>, name: Name) -> Vec<Border> {
    let sites = &course.scenario().sites;
    let mut site = Some(course.site(name));
    let mut borders = Vec::new();
    while let Some(index) = site {
        borders.push(sites[index].border);
        site = sites[index].behind;
    }
    borders
}

/// The border that two leaves at different sites both stand behind, if there is one.
fn common(course: &Course<'_>, one: Name, other: Name) -> Option<Border> {
    let sites = &course.scenario().sites;
    let outer = |name| sites[course.site(name)].behind;
    let (one, other) = (outer(one)?, outer(other)?);
    (one == other).then(|| sites[one].border)
}

fn hairpins(border: Border) -> bool {
    match border {
        Border::Open => true,
        Border::Firewall(_) => false,
        Border::Nat(nat) => nat.hairpinning,
    }
}

/// Returns whether the hubs carry the traffic of two leaves, wherever wirelink runs.
fn through_hubs(course: &Course<'_>, one: Name, other: Name) -> bool {
    let reached = |name: Name| course.is_member(name) && !course.is_isolated(name);
    reached(one) && reached(other)
}

/// Returns whether a host is one of ours, with the times of ours.
pub(crate) fn is_ours(course: &Course<'_>, name: Name) -> bool {
    course.program(name) == Program::Ours
}
