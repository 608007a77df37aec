//! The same against a model, whatever happens in whatever order.

use std::net::IpAddr;

use proptest::prelude::*;

use super::overlaps::OWN;
use super::*;
use crate::mesh::base::settings::{PeerSettings, Settings};

/// Prefixes that meet one another in every way.
const PREFIXES: [&str; 20] = [
    "0.0.0.0/0",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "10.1.2.128/25",
    "10.1.2.7/32",
    "10.1.2.200/32",
    "10.9.0.0/16",
    "10.9.0.0/24",
    "10.9.0.2/32",
    "10.9.0.7/32",
    "169.0.0.0/8",
    "192.0.2.0/24",
    "192.0.2.1/32",
    "fd00::/8",
    "fd00:1::/64",
    "fd00:1::7/128",
    "2000::/3",
];
/// Networks to which the machine may be connected.
const NETWORKS: [&str; 6] = [
    "10.3.3.3/8",
    "10.1.2.99/24",
    "10.1.2.130/25",
    "192.0.2.77/24",
    "fd00:1::99/64",
    "10.1.2.7/32",
];
/// Where peers may be reached.
const ADDRESSES: [&str; 4] = ["192.0.2.1", "10.1.2.200", "fd00:1::7", "203.0.113.1"];

#[derive(Clone, Debug)]
enum Happening {
    Claim(usize, PublicKey, bool),
    Up(PublicKey, bool),
    Healthy(bool),
    Lost(PublicKey, bool),
    MayForget(bool),
    Router(PublicKey, bool),
    IsRouter(bool),
    Connect(Vec<usize>),
    Reach(PublicKey, Vec<usize>),
    Give(usize, PublicKey),
    Take(usize),
}

fn any_peer() -> impl Strategy<Value = PublicKey> {
    prop::sample::select(vec![HUB, A, B])
}

fn some_of(all: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..all, 0..3)
}

fn anything() -> impl Strategy<Value = Happening> {
    let any_prefix = || 0..PREFIXES.len();
    prop_oneof![
        8 => (any_prefix(), any_peer(), prop::bool::weighted(0.8)).prop_map(|(what, peer, holds)| Happening::Claim(what, peer, holds)),
        3 => (any_peer(), prop::bool::weighted(0.8)).prop_map(|(peer, up)| Happening::Up(peer, up)),
        1 => any::<bool>().prop_map(Happening::Healthy),
        2 => (any_peer(), any::<bool>()).prop_map(|(peer, lost)| Happening::Lost(peer, lost)),
        1 => any::<bool>().prop_map(Happening::MayForget),
        1 => (any_peer(), any::<bool>()).prop_map(|(peer, routes)| Happening::Router(peer, routes)),
        1 => any::<bool>().prop_map(Happening::IsRouter),
        3 => some_of(NETWORKS.len()).prop_map(Happening::Connect),
        3 => (any_peer(), some_of(ADDRESSES.len())).prop_map(|(peer, at)| Happening::Reach(peer, at)),
        2 => (any_prefix(), any_peer()).prop_map(|(what, peer)| Happening::Give(what, peer)),
        1 => any_prefix().prop_map(Happening::Take),
    ]
}

/// What is so, in the terms of addresses from and to, and so told in other ways than by the code.
#[derive(Debug, Default)]
struct Model {
    operators: BTreeMap<IpNet, PublicKey>,
    connected: Vec<IpNet>,
    reached: BTreeMap<PublicKey, Vec<IpAddr>>,
    lent: BTreeSet<IpNet>,
}

impl World {
    /// Returns whether a peer is lost, and a router with a session has a shorter prefix.
    fn is_carried_for(&self, peer: &PublicKey, prefix: &IpNet) -> bool {
        let owners = self.device.owners();
        let mut covering = owners
            .iter()
            .filter(|(other, _)| *other != prefix && holds(other, prefix));
        let carries = |owner: &PublicKey| owner != peer && self.routers.contains(owner) && self.healthy.contains(owner);
        self.lost.contains(peer) && !self.is_router && covering.any(|(_, owner)| carries(owner))
    }
}

fn span(prefix: &IpNet) -> (bool, u128, u128) {
    let bits = |address| match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    };
    (
        prefix.addr().is_ipv4(),
        bits(prefix.network()),
        bits(prefix.broadcast()),
    )
}

fn holds(outer: &IpNet, inner: &IpNet) -> bool {
    let ((v4, from, to), (also_v4, first, last)) = (span(outer), span(inner));
    v4 == also_v4 && from <= first && last <= to
}

impl Model {
    /// Looks which prefixes are elsewhere by now: those that a router had when it went away, and those of a lost peer that a router
    /// covers, may be.
    fn look(&mut self, world: &World) {
        for (prefix, owner) in &self.operators {
            if world.device.owner(prefix) == Some(*owner) {
                self.lent.remove(prefix);
            } else if world.routers.contains(owner) || world.is_carried_for(owner, prefix) {
                self.lent.insert(*prefix);
            }
        }
    }

    fn is_harmful(&self, prefix: &IpNet, peer: PublicKey, routers: &BTreeSet<PublicKey>) -> bool {
        let is_router = routers.contains(&peer);
        let own = super::prefix(OWN);
        let (_, from, to) = span(prefix);
        let is_large = to - from >= if prefix.addr().is_ipv4() { 1 << 25 } else { 1 << 121 };
        let link_local = holds(prefix, &super::prefix("169.254.0.0/16"));
        let own_address = IpNet::from(own.addr());
        let is_own = holds(prefix, &own_address) && (!is_router || *prefix == own_address);
        let leads_in = |network: &IpNet| {
            let parts = self.operators.keys().copied().chain([own.trunc()]);
            let mut inside = parts.filter(|part| part != network && holds(network, part));
            inside.any(|part| holds(&part, prefix))
        };
        let is_connected = self
            .connected
            .iter()
            .any(|network| holds(prefix, network) || holds(network, prefix) && !leads_in(network));
        let is_reached = self
            .reached
            .values()
            .flatten()
            .any(|address| holds(prefix, &IpNet::from(*address)));
        let mut others = self.operators.iter().filter(|(_, owner)| **owner != peer);
        let has_others = others.any(|(part, _)| part != prefix && holds(prefix, part)) && !is_router;
        is_large || link_local || is_own || is_connected || is_reached || has_others
    }
}

/// The same about one prefix, in which a peer may be reached.
fn anything_about_one() -> impl Strategy<Value = Happening> {
    const WHAT: usize = 6;
    let within = || prop::bool::ANY.prop_map(|within| if within { vec![1] } else { Vec::new() });
    prop_oneof![
        4 => (any_peer(), prop::bool::weighted(0.7)).prop_map(|(peer, holds)| Happening::Claim(WHAT, peer, holds)),
        3 => (any_peer(), prop::bool::weighted(0.7)).prop_map(|(peer, up)| Happening::Up(peer, up)),
        1 => any::<bool>().prop_map(Happening::Healthy),
        2 => (any_peer(), any::<bool>()).prop_map(|(peer, lost)| Happening::Lost(peer, lost)),
        1 => any::<bool>().prop_map(Happening::MayForget),
        1 => (any_peer(), any::<bool>()).prop_map(|(peer, routes)| Happening::Router(peer, routes)),
        1 => any::<bool>().prop_map(Happening::IsRouter),
        2 => (any_peer(), within()).prop_map(|(peer, at)| Happening::Reach(peer, at)),
        3 => any_peer().prop_map(|peer| Happening::Give(WHAT, peer)),
        2 => Just(Happening::Take(WHAT)),
    ]
}

fn happen(world: &mut World, model: &mut Model, happening: &Happening) {
    let put = |holds, set: &mut BTreeSet<PublicKey>, peer| {
        if holds {
            set.insert(peer)
        } else {
            set.remove(&peer)
        };
    };
    match happening {
        Happening::Claim(what, peer, holds) => world.claims.note(prefix(PREFIXES[*what]), *peer, *holds),
        Happening::Up(peer, up) => put(*up, &mut world.up, *peer),
        Happening::Healthy(healthy) => put(*healthy, &mut world.healthy, HUB),
        Happening::Lost(peer, lost) => put(*lost, &mut world.lost, *peer),
        Happening::MayForget(may) => world.may_forget = *may,
        Happening::Router(peer, routes) => put(*routes, &mut world.routers, *peer),
        Happening::IsRouter(is_router) => world.is_router = *is_router,
        Happening::Connect(which) => {
            let networks: Vec<&str> = which.iter().map(|index| NETWORKS[*index]).collect();
            world.connect(&networks);
            model.connected = networks.iter().map(|text| prefix(text).trunc()).collect();
        }
        Happening::Reach(peer, which) => {
            let addresses: Vec<&str> = which.iter().map(|index| ADDRESSES[*index]).collect();
            world.reach(*peer, &addresses);
            let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
            model.reached.insert(*peer, addresses);
        }
        Happening::Give(what, peer) => {
            let prefix = prefix(PREFIXES[*what]);
            // What we gave to that peer is not the operator's by being given once more: nobody can tell.
            if world.device.owner(&prefix) != Some(*peer) {
                world.device.apply(&DeviceChange::AddAllowedIp { peer: *peer, prefix });
                model.operators.insert(prefix, *peer);
            }
        }
        Happening::Take(what) => {
            let prefix = prefix(PREFIXES[*what]);
            // What a router lent returns to it, so taking it away says nothing.
            let is_lent = model.lent.contains(&prefix);
            if let Some(peer) = world.device.owner(&prefix).filter(|_| !is_lent) {
                world.device.apply(&DeviceChange::RemoveAllowedIp { peer, prefix });
                model.operators.remove(&prefix);
            }
        }
    }
}

/// Plays what happens, and looks after each step whether all is as it must be.
fn play(happenings: &[Happening]) -> Result<(), TestCaseError> {
    let mut world = World::new(&["10.9.0.0/24"]);
    world.connect(&[]);
    let mut model = Model {
        operators: [(prefix("10.9.0.0/24"), HUB)].into(),
        ..Model::default()
    };
    for happening in happenings {
        happen(&mut world, &mut model, happening);
        world.step();
        for (given, owner) in world.device.owners() {
            let by_operator = model.operators.get(given) == Some(owner);
            let harmful = || model.is_harmful(given, *owner, &world.routers);
            prop_assert!(
                by_operator || !harmful(),
                "{given} is with {owner:?} after {happening:?}"
            );
        }
        model.look(&world);
        for (prefix, owner) in &model.operators {
            let is_kept = world.device.owner(prefix) == Some(*owner);
            prop_assert!(
                is_kept || model.lent.contains(prefix),
                "{prefix} was taken from {owner:?}"
            );
        }
        let refused: BTreeSet<_> = world
            .routes
            .refused()
            .map(|refusal| (refusal.prefix, refusal.claimant))
            .collect();
        for text in PREFIXES {
            for peer in world.claims.of(prefix(text)) {
                let is_its_own = model.operators.get(&prefix(text)) == Some(&peer);
                let must_be = !is_its_own && model.is_harmful(&prefix(text), peer, &world.routers);
                prop_assert!(
                    !must_be || refused.contains(&(prefix(text), peer)),
                    "{text} for {peer:?} is not shown"
                );
            }
        }
        // What is inside a network that moved just now follows it, and the other way round.
        let is_settled = (0..8).any(|_| world.step() == Decision::default());
        prop_assert!(is_settled, "after {happening:?}");
        // What went from a router to another peer only now is lent, too: when it is taken there, it returns.
        model.look(&world);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_harmful_is_ever_given_and_the_operators_things_keep_their_owners(
        happenings in prop::collection::vec(anything(), 1..60)
    ) {
        play(&happenings)?;
    }

    #[test]
    fn nor_whatever_happens_to_one_prefix(happenings in prop::collection::vec(anything_about_one(), 1..40)) {
        play(&happenings)?;
    }

    #[test]
    fn nothing_outside_the_allowed_prefixes_is_given_but_by_the_settings(
        happenings in prop::collection::vec(anything(), 1..40),
        allowed in some_of(PREFIXES.len()),
        configured in 0..PREFIXES.len(),
    ) {
        let allowed: Vec<IpNet> = allowed.iter().map(|index| prefix(PREFIXES[*index])).collect();
        let configured = prefix(PREFIXES[configured]);
        let of_b = PeerSettings { allowed_ips: vec![configured], ..PeerSettings::default() };
        let mut world = World::new(&[]);
        world.protected = Protected::new(&Settings {
            allow_prefixes: Some(allowed.clone()),
            peers: [(B, of_b)].into(),
            ..Settings::default()
        });
        world.claims.note(configured, B, true);
        world.up.insert(B);
        let mut model = Model::default();
        for happening in &happenings {
            happen(&mut world, &mut model, happening);
            world.step();
            model.look(&world);
            for (given, owner) in world.device.owners() {
                let by_operator = model.operators.get(given) == Some(owner) || (*given, *owner) == (configured, B);
                prop_assert!(by_operator || allowed.iter().any(|allowed| holds(allowed, given)), "{given}");
            }
        }
    }
}
