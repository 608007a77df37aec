use super::*;

/// One layout: own addresses, peers with their prefixes, and what must be found.
struct Row {
    what: &'static str,
    own: &'static [&'static str],
    peers: &'static [&'static [&'static str]],
    is_router: bool,
    /// The peers that carry, by number.
    routers: &'static [u8],
}

const fn hub(what: &'static str, own: &'static [&'static str], peers: &'static [&'static [&'static str]]) -> Row {
    Row {
        what,
        own,
        peers,
        is_router: true,
        routers: &[],
    }
}

const fn leaf(
    what: &'static str,
    own: &'static [&'static str],
    peers: &'static [&'static [&'static str]],
    routers: &'static [u8],
) -> Row {
    Row {
        what,
        own,
        peers,
        is_router: false,
        routers,
    }
}

const HUB: &[&str] = &["10.77.0.1/24"];
const LEAF: &[&str] = &["10.77.0.2/24"];
const SITE: &[&str] = &["10.77.0.3/32", "192.168.50.0/24"];

/// The rows of `docs/roles.md`, by the views of the machines in them; `Router` is not set.
const LAYOUTS: &[Row] = &[
    hub("hub, leaves", HUB, &[&["10.77.0.2/32"], &["10.77.0.3/32"]]),
    leaf("leaf of a hub", LEAF, &[&["10.77.0.0/24"]], &[1]),
    leaf("leaf with /32 of a hub", &["10.77.0.2/32"], &[&["10.77.0.0/24"]], &[1]),
    leaf(
        "hub's address and network",
        LEAF,
        &[&["10.77.0.1/32", "10.77.0.0/24"]],
        &[1],
    ),
    leaf("full tunnel", LEAF, &[&["0.0.0.0/0", "::/0"]], &[1]),
    leaf("full tunnel, halves", LEAF, &[&["0.0.0.0/1", "128.0.0.0/1"]], &[1]),
    leaf(
        "full tunnel and the hub's address",
        LEAF,
        &[&["10.77.0.1/32", "0.0.0.0/0"]],
        &[1],
    ),
    leaf(
        "full tunnel and a peer by hand",
        LEAF,
        &[&["0.0.0.0/0"], &["10.77.0.5/32"]],
        &[1],
    ),
    leaf("split tunnel, LAN alone", LEAF, &[&["192.168.1.0/24"]], &[1]),
    leaf(
        "split tunnel, LAN and hub",
        &["10.77.0.2/32"],
        &[&["10.77.0.1/32", "192.168.1.0/24"]],
        &[1],
    ),
    leaf(
        "split tunnel, LAN and network",
        LEAF,
        &[&["10.77.0.0/24", "192.168.1.0/24"]],
        &[1],
    ),
    hub("hub with one site", HUB, &[SITE]),
    hub("hub with a site and a leaf", HUB, &[SITE, &["10.77.0.4/32"]]),
    hub(
        "hub with /32, a site and a leaf",
        &["10.77.0.1/32"],
        &[SITE, &["10.77.0.4/32"]],
    ),
    hub(
        "hub without address, a site and a leaf",
        &[],
        &[SITE, &["10.77.0.4/32"]],
    ),
    hub(
        "hub outside of its network",
        &["172.20.0.1/24"],
        &[SITE, &["10.77.0.4/32"]],
    ),
    hub(
        "hub with sites alone",
        HUB,
        &[SITE, &["10.77.0.4/32", "192.168.60.0/24"]],
    ),
    hub(
        "hub with a LAN-only site",
        HUB,
        &[&["192.168.50.0/24"], &["10.77.0.4/32"]],
    ),
    hub(
        "hub with LAN-only sites",
        HUB,
        &[&["192.168.50.0/24"], &["192.168.60.0/24"]],
    ),
    hub(
        "site inside the hub's /16",
        &["10.77.0.1/16"],
        &[&["10.77.50.0/24"], &["10.77.0.4/32"]],
    ),
    hub(
        "wide site around the hub",
        HUB,
        &[&["10.77.0.3/32", "10.0.0.0/8"], &["10.77.0.4/32"]],
    ),
    hub(
        "hub with a way out",
        HUB,
        &[&["10.77.0.3/32", "0.0.0.0/0"], &["10.77.0.4/32"]],
    ),
    leaf(
        "leaf with a LAN",
        &["10.77.0.3/24"],
        &[&["10.77.0.0/24", "192.168.1.0/24"]],
        &[1],
    ),
    leaf(
        "leaf whose address is in its LAN",
        &["192.168.50.1/24"],
        &[&["10.77.0.0/24", "192.168.0.0/16"]],
        &[1],
    ),
    leaf("leaf and a site by hand", LEAF, &[&["10.77.0.0/24"], SITE], &[1]),
    leaf(
        "two hubs, one network",
        LEAF,
        &[&["10.77.0.0/24"], &["10.78.0.0/24"]],
        &[1, 2],
    ),
    leaf(
        "two hubs, two addresses",
        &["10.77.0.2/24", "10.78.0.2/24"],
        &[&["10.77.0.0/24"], &["10.78.0.0/24"]],
        &[1, 2],
    ),
    leaf(
        "two hubs, halves",
        LEAF,
        &[&["10.77.0.0/25"], &["10.77.0.128/25"]],
        &[1, 2],
    ),
    leaf(
        "chained: hub under a hub",
        &["10.77.1.1/24"],
        &[&["10.77.0.0/16"], &["10.77.1.2/32"]],
        &[1],
    ),
    hub("chained: upper hub", HUB, &[&["10.77.1.0/24"], &["10.77.0.2/32"]]),
    hub(
        "site to site",
        &["10.77.0.1/30"],
        &[&["10.77.0.2/32", "192.168.2.0/24"]],
    ),
    hub("full mesh with LANs", HUB, &[&["10.77.0.2/32", "192.168.2.0/24"], SITE]),
    hub("full mesh", HUB, &[&["10.77.0.2/32"], &["10.77.0.3/32"]]),
    leaf("IPv6 leaf", &["fd77::2/64"], &[&["fd77::/64"]], &[1]),
    hub(
        "IPv6 hub with a site",
        &["fd77::1/64"],
        &[&["fd77::3/128", "fd50::/64"], &["fd77::2/128"]],
    ),
    leaf(
        "ULA and IPv4 leaf",
        &["fd77::2/128", "10.77.0.2/32"],
        &[&["fd77::/64", "10.77.0.0/24"]],
        &[1],
    ),
    leaf(
        "only IPv6 is carried",
        &["fd77::2/64", "10.77.0.2/24"],
        &[&["fd77::/64", "10.77.0.1/32"]],
        &[1],
    ),
    hub(
        "dual-stack hub with a site",
        &["fd77::1/64", "10.77.0.1/24"],
        &[&["10.77.0.3/32", "fd77::3/128", "fd50::/48"], &["10.77.0.2/32"]],
    ),
    leaf(
        "address is gone for a moment",
        &[],
        &[&["10.77.0.0/24"], &["10.77.0.5/32"]],
        &[1],
    ),
    hub(
        "link-local says nothing",
        &["fe80::1/64"],
        &[&["fe80::2/128"], &["10.77.0.2/32"]],
    ),
    hub("no peers", HUB, &[]),
];

fn key(number: usize) -> PublicKey {
    PublicKey::from_bytes([u8::try_from(number).unwrap(); 32])
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn found(row: &Row, written: Option<bool>) -> Role {
    let peers = (1..).zip(row.peers);
    find(&Layout {
        written,
        own: &nets(row.own),
        peers: &peers
            .map(|(number, peer)| (key(number), Holding::of(nets(peer))))
            .collect(),
    })
}

fn numbers(role: &Role) -> Vec<u8> {
    role.routers.iter().map(|key| key.as_bytes()[0]).collect()
}

#[test]
fn each_layout_has_its_role() {
    for row in LAYOUTS {
        let role = found(row, None);
        let shown = (role.is_router, numbers(&role));
        assert_eq!(shown, (row.is_router, row.routers.to_vec()), "{}: {role:?}", row.what);
    }
}

#[test]
fn the_table_in_the_documentation_names_each_layout() {
    let documented = include_str!("../../../../docs/roles.md");
    for row in LAYOUTS {
        assert!(
            documented.contains(row.what),
            "{} is missing in docs/roles.md",
            row.what
        );
    }
}

#[test]
fn router_in_the_settings_decides_the_role() {
    for row in LAYOUTS {
        for written in [true, false] {
            let role = found(row, Some(written));
            assert_eq!((role.is_router, &role.why), (written, &Why::Written), "{}", row.what);
        }
    }
}

#[test]
fn a_site_carries_nothing_whatever_the_settings_say() {
    let row = leaf("", HUB, &[SITE, &["10.77.0.4/32"], &["10.77.1.0/24"]], &[]);
    assert_eq!(numbers(&found(&row, Some(true))), [3], "the neighbouring hub alone");
    assert_eq!(numbers(&found(&row, Some(false))), [3]);
}

#[test]
fn a_leaf_by_the_settings_believes_the_peer_with_a_network() {
    let row = leaf("", LEAF, &[&["10.77.0.1/32", "192.168.1.0/24"], &["10.77.0.5/32"]], &[]);
    assert_eq!(numbers(&found(&row, None)), [] as [u8; 0]);
    assert_eq!(numbers(&found(&row, Some(false))), [1]);
}

#[test]
fn undecidable_layouts_are_doubtful() {
    let doubtful = |what: &str| {
        let row = LAYOUTS.iter().find(|row| row.what == what).unwrap();
        found(row, None).why.is_doubtful()
    };
    assert!(doubtful("hub with one site") && doubtful("site to site") && doubtful("split tunnel, LAN alone"));
    assert!(!doubtful("hub with a site and a leaf") && !doubtful("leaf of a hub") && !doubtful("full mesh"));
}

#[test]
fn a_role_is_told_once_and_again_when_it_changes() {
    let mut roles = Roles::default();
    roles.observe(&nets(LEAF), None);
    roles.observe_peer(&key(1), Some(Holding::of(nets(&["10.77.0.0/24"]))));
    let (before, role) = roles.refresh().unwrap();
    assert_eq!((before, role.is_router), (None, false));
    assert_eq!(roles.refresh(), None);
    roles.observe_peer(&key(1), Some(Holding::of(nets(&["10.77.0.0/24"]))));
    assert_eq!(roles.refresh(), None, "nothing changed");
    roles.observe_peer(&key(1), Some(Holding::of(nets(SITE))));
    let (before, role) = roles.refresh().unwrap();
    assert_eq!((before.map(|role| role.is_router), role.is_router), (Some(false), true));
    roles.observe_peer(&key(1), None);
    assert_eq!(roles.refresh().unwrap().1.why, Why::NoNetworks);
}

#[test]
fn what_a_peer_holds_covers_what_lies_inside() {
    let holding = Holding::of(nets(SITE));
    let holds = |text: &str| holding.contains(&text.parse().unwrap());
    assert!(holds("192.168.50.0/25") && holds("192.168.50.7/32") && holds("10.77.0.3/32"));
    assert!(!holds("192.168.0.0/16") && !holds("10.77.0.4/32") && !holds("10.77.0.0/24"));
}
