//! A network drawn from a seed.

use std::time::Duration;

use crate::draw::Draw;
use crate::net::Quality;
use crate::scenario::border::{Border, Filtering, Mapping, Nat, Ports};
use crate::scenario::{Hub, Leaf, Name, Program, Scenario, Site, Worlds};

const HUBS: [Name; 2] = ["hub", "hub2"];
const LEAVES: [Name; 5] = ["a", "b", "c", "d", "e"];

/// Draws one or two hubs, two to five leaves, and sites for them, some of which are empty at first. Of two hubs all leaves know
/// both, or in some networks each leaf only one. Beside v1, some hosts run that.
pub(super) fn draw(draw: &mut Draw, beside_v1: bool) -> Scenario {
    let (hubs, leaves) = (1 + draw.index(HUBS.len()), 2 + draw.index(LEAVES.len() - 1));
    let mut sites: Vec<Site> = (0..leaves + 1).map(|_| site(draw)).collect();
    if draw.happens(3_000) {
        put_behind_a_carrier(draw, &mut sites);
    }
    let mut taken = vec![false; sites.len()];
    let is_chain = !beside_v1 && hubs > 1 && draw.happens(4_000);
    let leaves = LEAVES[..leaves].iter().map(|name| Leaf {
        name,
        site: place(draw, &sites, &mut taken),
        hubs: if is_chain {
            vec![draw.index(hubs)]
        } else {
            (0..hubs).collect()
        },
        program: program(draw, beside_v1),
    });
    let leaves = leaves.collect();
    Scenario {
        name: "random".to_owned(),
        hubs: HUBS[..hubs]
            .iter()
            .map(|name| hub(name, program(draw, beside_v1)))
            .collect(),
        leaves,
        sites,
        claims: Vec::new(),
        tunnel_ipv6: draw.happens(5_000),
        worlds: Worlds::Simulator("it is random"),
        script: Vec::new(),
    }
}

/// Draws where a leaf may be: behind a NAT, or where nobody is.
fn place(draw: &mut Draw, sites: &[Site], taken: &mut [bool]) -> usize {
    let free = |index: &usize| {
        !taken[*index] && !is_carrier(sites, *index) || sites[*index].border.is_shared() && !is_carrier(sites, *index)
    };
    let free: Vec<usize> = (0..sites.len()).filter(free).collect();
    let site = free[draw.index(free.len())];
    taken[site] = true;
    site
}

/// Returns whether the site is there for the sites behind it.
pub(super) fn is_carrier(sites: &[Site], index: usize) -> bool {
    sites.iter().any(|site| site.behind == Some(index))
}

fn program(draw: &mut Draw, beside_v1: bool) -> Program {
    if beside_v1 && draw.happens(3_000) {
        Program::V1
    } else {
        Program::Ours
    }
}

fn hub(name: Name, program: Program) -> Hub {
    Hub {
        name,
        program,
        by_dns_name: true,
    }
}

fn site(draw: &mut Draw) -> Site {
    let ipv6 = match draw.below(6) {
        0 => Some(Border::Open),
        1 => Some(Border::Firewall(filtering(draw))),
        _ => None,
    };
    let border = match draw.below(6) {
        0 => Border::Open,
        1 => Border::Firewall(filtering(draw)),
        2 | 3 => Border::HOME,
        _ => Border::Nat(nat(draw)),
    };
    Site {
        border,
        behind: None,
        ipv6,
    }
}

/// Adds a provider's NAT, and puts one or two homes behind it.
fn put_behind_a_carrier(draw: &mut Draw, sites: &mut Vec<Site>) {
    let carrier = sites.len();
    let homes = 1 + draw.index(2);
    for site in sites.iter_mut().filter(|site| site.border.is_shared()).take(homes) {
        site.behind = Some(carrier);
    }
    sites.push(Site {
        border: Border::Nat(nat(draw)),
        behind: None,
        ipv6: None,
    });
}

fn nat(draw: &mut Draw) -> Nat {
    let mappings = [
        Mapping::EndpointIndependent,
        Mapping::AddressDependent,
        Mapping::AddressAndPortDependent,
    ];
    let ports = [Ports::Preserving, Ports::Sequential, Ports::Random];
    Nat {
        mapping: mappings[draw.index(mappings.len())],
        ports: ports[draw.index(ports.len())],
        filtering: filtering(draw),
        hairpinning: draw.happens(3_000),
    }
}

fn filtering(draw: &mut Draw) -> Filtering {
    Filtering::ALL[draw.index(Filtering::ALL.len())]
}

/// Draws what the ways to all sites do to packets.
pub(super) fn quality(draw: &mut Draw) -> Quality {
    let milliseconds = |number| Duration::from_millis(number);
    Quality {
        latency: milliseconds(1 + draw.below(100)),
        jitter: milliseconds(draw.below(20)),
        loss: [0, 0, 50, 150][draw.index(4)],
        duplicates: [0, 100][draw.index(2)],
        reordered: [0, 200][draw.index(2)],
        mtu: [1500, 1492, 1400][draw.index(3)],
    }
}
