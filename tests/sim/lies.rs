//! A liar in the world, and what honest nodes make of it.

use std::net::IpAddr;

use ipnet::IpNet;
use wirelink::mesh::base::identity::AddressHash;
use wirelink::mesh::device::DeviceChange;

use crate::host::{self, Host};
use crate::liar::{Liar, Lie, Victim, is_a_lie};
use crate::net::HostId;
use crate::world::World;

/// In how many ways it lies to each in one go.
const LIES_AT_ONCE: usize = 3;

/// Lets a liar say something to everybody else, in any of these ways.
pub(crate) fn speak(world: &mut World, id: HostId, liar: &mut Liar, lies: &[Lie]) {
    let port = world.hosts[id].fact_port();
    let victims: Vec<Victim> = world.hosts.iter().map(victim).collect();
    let listeners = (0..victims.len()).filter(|listener| *listener != id);
    for listener in listeners {
        let told = &victims[listener];
        let others: Vec<Victim> = victims
            .iter()
            .enumerate()
            .filter(|(other, _)| ![id, listener].contains(other))
            .map(|(_, victim)| victim.clone())
            .collect();
        let to = IpAddr::V6(AddressHash::Sha1.link_local(&told.key));
        for _ in 0..LIES_AT_ONCE {
            let lie = liar.choose(lies);
            for datagram in liar.tell(lie, told, &others) {
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

/// Returns whether a change makes of the device what is true: only hosts and what the operator wrote, each with its own.
pub(crate) fn is_honest(hosts: &[Host], at: &Host, change: &DeviceChange) -> bool {
    let peer = change.peer();
    let known = hosts.iter().find(|host| host.key == *peer);
    let written = at.config.peers.iter().find(|config| config.key == *peer);
    let is_own = |prefix: &IpNet| {
        let its_inner = known.into_iter().flat_map(|host| &host.config.inner);
        let is_its_address = its_inner.map(|net| IpNet::from(net.addr())).any(|own| own == *prefix);
        let is_written = written.is_some_and(|config| config.allowed_ips.contains(prefix));
        is_its_address || is_written || *prefix == AddressHash::Sha1.allowed_ip(peer)
    };
    let is_known = known.is_some() || written.is_some();
    match change {
        DeviceChange::AddPeer { allowed_ips, .. } => is_known && allowed_ips.iter().all(is_own),
        DeviceChange::AddAllowedIp { prefix, .. } => is_known && is_own(prefix),
        DeviceChange::SetEndpoint { endpoint, .. }
        | DeviceChange::MakeAgain {
            endpoint: Some(endpoint),
            ..
        } => is_known && !is_a_lie(endpoint),
        DeviceChange::RemovePeer { .. }
        | DeviceChange::RemoveAllowedIp { .. }
        | DeviceChange::MakeAgain { endpoint: None, .. } => is_known,
    }
}

mod tests {
    use std::time::Duration;

    use ipnet::IpNet;
    use wirelink::mesh::base::settings::TrustLevel;
    use wirelink::mesh::device::DeviceChange;
    use wirelink::mesh::show::event::{Event, RejectReason};

    use super::is_honest;
    use crate::host::Host;
    use crate::invariants;
    use crate::liar::Lie;
    use crate::play;
    use crate::powers::{self, Power};
    use crate::scenario::{Act, Scenario, table};
    use crate::stage::Stage;

    /// Plays a scenario, and then looks for what only a lie can have brought.
    fn play(scenario: &Scenario) {
        for seed in 1..=3 {
            let mut stage = Stage::new(scenario, seed);
            stage.world.records = true;
            if let Err(why) = play::play_on(&mut stage) {
                panic!("{} with seed {seed}: {why}", scenario.name);
            }
            for host in honest(&stage) {
                // With the level that every peer has, its endpoints may be tried.
                let is_allowed = |change: &DeviceChange| Power::of(TrustLevel::Endpoint).permits(change);
                let lied = |change: &DeviceChange| !is_honest(&stage.world.hosts, host, change) && !is_allowed(change);
                let lied = host.changes.iter().find(|(_, change)| lied(change));
                assert_eq!(lied, None, "{} believed a lie", host.config.name);
                if lasts(scenario) {
                    heard_it_all(host);
                }
            }
        }
    }

    /// Returns whether there is time for every way to lie.
    fn lasts(scenario: &Scenario) -> bool {
        let held: Duration = scenario.script.iter().map(|step| step.hold).sum();
        held >= Duration::from_secs(120)
    }

    fn honest<'a>(stage: &'a Stage<'_>) -> impl Iterator<Item = &'a Host> {
        let liar = stage.world.hosts[stage.id("c")].key;
        stage.world.hosts.iter().filter(move |host| host.key != liar)
    }

    /// Lets everybody trust the liar so far, and the hub about members; returns what comes of it in ten minutes, in the last five of
    /// which two of its victims look for each other in vain.
    fn trusted(scenario: &Scenario, level: TrustLevel) -> Stage<'_> {
        let mut stage = Stage::new(scenario, 1);
        let [hub, liar] = ["hub", "c"].map(|name| stage.world.hosts[stage.id(name)].key);
        for host in &mut stage.world.hosts {
            for (key, level) in [(hub, TrustLevel::Membership), (liar, level)] {
                host.config.settings.peers.entry(key).or_default().trust = Some(level);
            }
        }
        stage.world.records = true;
        // What is believed of whoever vouches for members costs so much that less must do.
        let times = if Power::of(level).peers { 60 } else { 150 };
        for (act, seconds) in [(Act::StartAll, 30), (Act::Lie("c"), 270), (Act::Cut("a", "b"), 300)] {
            stage.act(act);
            (0..times).for_each(|_| stage.run(Duration::from_secs(seconds) / times));
        }
        stage
    }

    /// Counts what was done by no word but the liar's: strangers that became peers, prefixes that are not their new owner's, and
    /// endpoints that nobody has.
    fn believed(stage: &Stage<'_>) -> (usize, usize, usize) {
        let changes = honest(stage).flat_map(|host| host.changes.iter().map(move |(_, change)| (host, change)));
        let lies: Vec<&DeviceChange> = changes
            .filter(|(host, change)| !is_honest(&stage.world.hosts, host, change))
            .map(|(_, change)| change)
            .collect();
        let count = |is: fn(&DeviceChange) -> bool| lies.iter().filter(|change| is(change)).count();
        let strangers = count(|change| matches!(change, DeviceChange::AddPeer { .. }));
        let endpoints = count(|change| matches!(change, DeviceChange::SetEndpoint { .. }));
        (strangers, lies.len() - strangers - endpoints, endpoints)
    }

    /// Whatever is believed, what the operator made, who has a session, and what is sent to the listener itself are in nobody's hands.
    #[test]
    fn a_level_lets_believe_what_it_says_and_no_more() {
        let scenario = table::a_liar_among_friends();
        for power in &powers::TABLE {
            let mut stage = trusted(&scenario, power.level);
            let (new, moved, tried) = believed(&stage);
            assert_eq!(
                (new > 100, moved > 0, tried > 0),
                (power.peers, power.prefixes, power.endpoints),
                "{}: {new} peers, {moved} prefixes, {tried} endpoints",
                power.level
            );
            assert_eq!(invariants::check_devices(&mut stage.world), Ok(()), "{}", power.level);
            if !power.peers {
                assert_eq!(
                    (new, invariants::check(&mut stage.world)),
                    (0, Ok(())),
                    "{}",
                    power.level
                );
            }
        }
    }

    /// Returns whether two leaves send to each other directly.
    fn are_direct(stage: &Stage<'_>, pair: [&'static str; 2]) -> bool {
        let [one, other] = pair.map(|name| &stage.world.hosts[stage.id(name)]);
        [(one, other), (other, one)].into_iter().all(|(from, to)| {
            let inner = to.inner(false).expect("it has one");
            from.tunnel.device().owner(&IpNet::from(inner)) == Some(&to.key)
        })
    }

    /// Lets one kind of lie be told again and again while two others begin, lose and find their link; it must be there as soon as without
    /// any, and stay.
    fn play_one(lie: &'static Lie, seed: u64) {
        let scenario = table::a_liar_among_friends();
        let mut stage = Stage::new(&scenario, seed);
        stage.world.records = true;
        stage.lies = std::slice::from_ref(lie);
        stage.act(Act::Lie("c"));
        for (act, within, expected) in [
            (Act::StartAll, 5, true),
            (Act::Cut("a", "b"), 30, false),
            (Act::Heal("a", "b"), 5, true),
            (Act::Stop("b"), 5, false),
            (Act::Start("b"), 5, true),
            (Act::Reboot("b"), 5, true),
        ] {
            stage.act(act);
            for second in 0..60 {
                stage.run(Duration::from_secs(1));
                let is_right = are_direct(&stage, ["a", "b"]) == expected;
                assert!(
                    second < within || is_right,
                    "{lie:?}, {act:?}, seed {seed}: after {second} s"
                );
            }
            assert_eq!(
                invariants::check(&mut stage.world),
                Ok(()),
                "{lie:?}, {act:?}, seed {seed}"
            );
        }
        for host in honest(&stage) {
            let lied = |change: &DeviceChange| !is_honest(&stage.world.hosts, host, change);
            let lied = host.changes.iter().find(|(_, change)| lied(change));
            assert_eq!(lied, None, "{lie:?}: {} believed it", host.config.name);
        }
    }

    #[test]
    fn lies_about_its_own_links_spoil_no_link_between_others() {
        for lie in &Lie::OF_ITS_OWN_LINKS {
            (1..=5).for_each(|seed| play_one(lie, seed));
        }
    }

    #[test]
    fn what_others_say_of_their_links_is_not_made_up() {
        (1..=5).for_each(|seed| play_one(&Lie::ForgedSignals, seed));
    }

    #[test]
    fn when_others_were_started_is_not_made_up() {
        (1..=5).for_each(|seed| play_one(&Lie::ProbesOfOthers, seed));
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
    fn a_liar_changes_nothing_between_others_nor_keeps_them_from_finding_each_other() {
        table::liars().iter().for_each(play);
    }
}
