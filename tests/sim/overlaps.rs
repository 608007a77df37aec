//! Prefixes that are claimed and not programmed, where the topology changes what is in the way.

use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::route::overlap::Overlap;
use wirelink::mesh::show::event::{Event, RejectReason};

use crate::host::Host;
use crate::invariants;
use crate::play;
use crate::scenario::{Act, table};
use crate::stage::Stage;

const MINUTE: Duration = Duration::from_secs(60);

/// Has the hub's operator say of leaf `b` that it has a prefix.
fn claim(stage: &mut Stage<'_>, prefix: IpNet) {
    let [hub, b] = ["hub", "b"].map(|name| stage.id(name));
    let key = stage.world.hosts[b].key;
    let known = stage.world.hosts[hub].config.settings.peers.entry(key).or_default();
    known.allowed_ips.push(prefix);
    stage.world.claimed.push(prefix);
}

/// Returns whether leaf `at` sends a prefix to leaf `b`.
fn has(stage: &Stage<'_>, at: &'static str, prefix: &str) -> bool {
    let [at, b] = [at, "b"].map(|name| &stage.world.hosts[stage.id(name)]);
    at.tunnel.device().owner(&prefix.parse().unwrap()) == Some(&b.key)
}

/// Counts how often it was said of a prefix that it is refused, and that it is not any more.
fn told(host: &Host, prefix: &str) -> (usize, usize) {
    let prefix: IpNet = prefix.parse().unwrap();
    let count = |is: &dyn Fn(&Event) -> bool| host.events.iter().filter(|(_, event)| is(event)).count();
    (
        count(&|event| matches!(event, Event::PrefixRefused(refused) if refused.prefix == prefix)),
        count(&|event| matches!(event, Event::PrefixCleared { prefix: cleared, .. } if *cleared == prefix)),
    )
}

#[test]
fn a_refusal_is_said_once_and_shown_with_its_source_for_as_long_as_it_lasts() {
    let scenario = table::claims();
    let mut stage = Stage::new(&scenario, 1);
    stage.world.records = true;
    stage.act(Act::StartAll);
    stage.run(10 * MINUTE);
    let [a, hub, b] = ["a", "hub", "b"].map(|name| stage.id(name));
    let (hub, b) = (stage.world.hosts[hub].key, stage.world.hosts[b].key);
    for round in 1..=2 {
        stage.act(Act::Attach("a"));
        stage.run(MINUTE);
        let now = stage.world.now;
        let node = stage.world.hosts[a].node.as_ref().and_then(|node| node.ours()).unwrap();
        let status = node.status(now);
        assert_eq!(status.refused.len(), 6, "{status}");
        let said_by = |key| {
            status
                .refused
                .iter()
                .all(|refused| refused.said_by.as_ref().is_some_and(|peer| peer.key == key))
        };
        assert!(
            said_by(hub) && status.refused.iter().all(|refused| refused.claimant.key == b),
            "{status}"
        );
        let networks = status
            .refused
            .iter()
            .filter(|refused| refused.overlap == Overlap::ConnectedNetwork);
        assert_eq!(networks.count(), 2);
        assert!(
            status.to_string().contains("refused: 172.31.5.1/32 is claimed for "),
            "{status}"
        );
        let counted = status
            .rejections
            .iter()
            .find(|(_, reason, _)| *reason == RejectReason::Overlap(Overlap::ConnectedNetwork));
        assert_eq!(counted.map(|(_, _, times)| *times), Some(2 * round));
        stage.act(Act::Detach("a"));
        stage.run(MINUTE);
    }
    let host = &stage.world.hosts[a];
    for prefix in ["0.0.0.0/1", "172.31.5.1/32", "203.0.113.201/32"] {
        assert_eq!(told(host, prefix), (1, 0), "{prefix}");
    }
    for prefix in ["10.77.7.0/24", "10.77.7.200/29"] {
        assert_eq!(told(host, prefix), (2, 2), "{prefix}");
    }
    assert_eq!(told(host, "10.88.0.0/16"), (0, 0));
}

/// While there is a session with `c`, nothing leads to where it is reached; when that is over, it may be behind anybody.
#[test]
fn what_leads_to_an_endpoint_is_programmed_only_while_nobody_is_reached_there() {
    let mut scenario = table::claims();
    scenario.claims.clear();
    let mut stage = Stage::new(&scenario, 1);
    let public = stage.address("c")[0];
    let prefix = IpNet::from(public).to_string();
    claim(&mut stage, public.into());
    stage.act(Act::StartAll);
    play::arrive(&mut stage, MINUTE).unwrap();
    stage.run(MINUTE);
    assert!(!has(&stage, "a", &prefix));
    stage.act(Act::Cut("a", "c"));
    stage.run(5 * MINUTE);
    assert!(has(&stage, "a", &prefix), "the session is over");
    stage.act(Act::Heal("a", "c"));
    play::arrive(&mut stage, 2 * MINUTE).unwrap();
    stage.run(Duration::from_secs(10));
    assert!(!has(&stage, "a", &prefix), "there is one again");
    invariants::check(&mut stage.world).unwrap();
}

#[test]
fn the_operator_of_a_leaf_limits_what_facts_bring() {
    let scenario = table::claims();
    let mut stage = Stage::new(&scenario, 1);
    let a = stage.id("a");
    stage.world.hosts[a].config.settings.allow_prefixes = Some(vec!["10.99.0.0/16".parse().unwrap()]);
    stage.act(Act::StartAll);
    stage.run(MINUTE);
    let b = stage.world.hosts[stage.id("b")].inner(false).unwrap();
    assert!(has(&stage, "a", &IpNet::from(b).to_string()), "that is allowed");
    assert_eq!(
        (has(&stage, "a", "10.88.0.0/16"), has(&stage, "c", "10.88.0.0/16")),
        (false, true)
    );
    invariants::check(&mut stage.world).unwrap();
}
