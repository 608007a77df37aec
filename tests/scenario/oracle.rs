//! What is possible: from the topology alone, without a look at any node, which way two leaves can and so must reach each other.
//!
//! The rule for two leaves at different sites, both sending to where the hub sees the other: a packet of A reaches B if the
//! mapping of B that the hub sees lets it in. WireGuard answers to where an authentic packet came from, so one direction suffices.

use super::border::{Border, Filtering, Mapping};
use super::course::Course;
use super::{Leaf, Name, Path};

/// Returns the way on which two leaves must reach each other now.
pub(crate) fn way(course: &Course<'_>, one: Name, other: Name) -> Path {
    let linked = [one, other]
        .iter()
        .all(|name| course.runs(name) && course.is_member(name));
    if linked && !course.is_cut(one, other) && can_be_direct(course, one, other) {
        Path::Direct
    } else if through_hubs(course, one, other) && through_hubs(course, other, one) {
        Path::Hub
    } else {
        Path::Nothing
    }
}

/// Returns the hubs that a packet from one leaf to another passes where nothing but WireGuard runs. Beside wirelink there may be
/// fewer: a leaf has direct links to other leaves' hubs, too.
pub(crate) fn hubs_between(course: &Course<'_>, from: Name, to: Name) -> Vec<Name> {
    let (from, to) = (leaf(course, from), leaf(course, to));
    let (near, far) = (from.hubs[0], to.hubs[0]);
    let hubs = if from.hubs.contains(&far) {
        vec![far]
    } else {
        vec![near, far]
    };
    let name = |hub: usize| course.scenario().hubs[hub].name;
    hubs.into_iter().map(name).collect()
}

/// Returns whether WireGuard packets of either leaf can reach the other one.
pub(crate) fn can_be_direct(course: &Course<'_>, one: Name, other: Name) -> bool {
    if course.site(one) == course.site(other) {
        // The private addresses are facts; without a NAT there is one leaf only.
        return true;
    }
    // Without translation both send to what the other one says of itself.
    let has_ipv6 = |name| course.scenario().sites[course.site(name)].ipv6.is_some();
    if has_ipv6(one) && has_ipv6(other) {
        return true;
    }
    let (a, b) = (borders(course, one), borders(course, other));
    // What both share on the way out, and so never cross but by hairpinning.
    let reaches = common(course, one, other).is_none_or(hairpins);
    reaches && (enters(&a, &b) || enters(&b, &a))
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

/// Returns whether the hubs carry what one leaf sends to another, wherever wirelink runs.
fn through_hubs(course: &Course<'_>, from: Name, to: Name) -> bool {
    let mut hops = vec![from];
    hops.extend(hubs_between(course, from, to));
    hops.push(to);
    let passes = |hop: &[Name]| !course.is_cut(hop[0], hop[1]);
    course.is_member(from) && course.is_member(to) && hops.windows(2).all(passes)
}

fn leaf<'a>(course: &Course<'a>, name: Name) -> &'a Leaf {
    let found = course.scenario().leaves.iter().find(|leaf| leaf.name == name);
    found.unwrap_or_else(|| panic!("no leaf is called {name}"))
}
