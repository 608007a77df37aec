use std::time::Duration;

use super::*;
use crate::mesh::base::settings::{Override, PeerSettings};
use crate::mesh::believe::fact::boot::BootId;
use crate::mesh::believe::fact::value::Metadata;
use crate::mesh::device::host::Route;

const OWN: PublicKey = PublicKey::from_bytes([0; 32]);
const ROUTER: PublicKey = PublicKey::from_bytes([1; 32]);
const LEAF: PublicKey = PublicKey::from_bytes([2; 32]);
const STRANGER: PublicKey = PublicKey::from_bytes([3; 32]);

fn policy(levels: &[(PublicKey, TrustLevel)]) -> TrustPolicy {
    overridden(levels, &[])
}

/// With levels that are written, and with what was said to the running node.
fn overridden(levels: &[(PublicKey, TrustLevel)], said: &[(PublicKey, TrustLevel)]) -> TrustPolicy {
    let mut settings = Settings::default();
    for (key, level) in said {
        let said = Override {
            trust: Some(*level),
            ..Override::default()
        };
        settings.overrides.insert(*key, said);
    }
    for (key, level) in levels {
        settings.peers.insert(
            *key,
            PeerSettings {
                trust: Some(*level),
                ..PeerSettings::default()
            },
        );
    }
    let mut policy = TrustPolicy::new(OWN, &settings);
    policy.observe_peers([ROUTER, LEAF].into(), [ROUTER].into());
    let route = Route {
        prefix: "10.0.0.0/24".parse().unwrap(),
        into_tunnel: true,
    };
    policy.observe_routes(TunnelRoutes::new(&[route]), false);
    policy
}

#[test]
fn a_site_claims_prefixes_inside_its_own_for_itself() {
    let mut policy = policy(&[]);
    let site = Holding::of(["10.0.0.3/32", "192.168.50.0/24"].map(|net| net.parse().unwrap()));
    policy.observe_sites([(LEAF, site)].into());
    let claims = |policy: &TrustPolicy, subject, prefix: &str| {
        judge(policy, LEAF, subject, Value::AllowedIp(prefix.parse().unwrap())).is_ok()
    };
    assert!(claims(&policy, LEAF, "192.168.50.0/25") && claims(&policy, LEAF, "10.0.0.3/32"));
    assert!(!claims(&policy, LEAF, "192.168.0.0/16") && !claims(&policy, LEAF, "10.0.0.4/32"));
    assert!(!claims(&policy, ROUTER, "192.168.50.0/25") && !claims(&policy, STRANGER, "192.168.50.7/32"));
    assert!(
        judge(&policy, LEAF, STRANGER, Value::Member).is_err(),
        "and names no members"
    );
    let mut configured = self::policy(&[(LEAF, TrustLevel::Endpoint)]);
    configured.observe_sites([(LEAF, Holding::of(["192.168.50.0/24".parse().unwrap()]))].into());
    assert!(
        !claims(&configured, LEAF, "192.168.50.0/25"),
        "the operator's level decides"
    );
}

fn values() -> [(Value, TrustLevel); 6] {
    [
        (Value::Endpoint("192.0.2.1:5".parse().unwrap()), TrustLevel::Endpoint),
        (
            Value::Endpoint("[2001:db8::1]:5".parse().unwrap()),
            TrustLevel::Endpoint,
        ),
        (Value::AllowedIp("10.1.0.0/16".parse().unwrap()), TrustLevel::AllowedIPs),
        (Value::AllowedIp("fd00::/8".parse().unwrap()), TrustLevel::AllowedIPs),
        (Value::Member, TrustLevel::Membership),
        (
            Value::MemberMetadata(Metadata::new(Some("x"), false)),
            TrustLevel::Membership,
        ),
    ]
}

fn judge(policy: &TrustPolicy, sender: PublicKey, subject: PublicKey, value: Value) -> Result<(), Refusal> {
    let timed = Timed {
        fact: Fact { subject, value },
        ttl: Duration::from_secs(9),
    };
    let verified = Verified {
        sender,
        facts: vec![timed],
    };
    policy
        .judge(verified)
        .next()
        .unwrap()
        .map(|accepted| assert_eq!(accepted.origin(), Origin::Peer(sender)))
        .map_err(|(refusal, _)| refusal)
}

#[test]
fn each_level_opens_the_attributes_that_need_it_and_no_others() {
    for has in TrustLevel::ALL {
        let policy = policy(&[(LEAF, has)]);
        for (value, needed) in values() {
            let expected = if has >= needed {
                Ok(())
            } else {
                Err(Refusal::NotTrusted { needed, has })
            };
            assert_eq!(
                judge(&policy, LEAF, ROUTER, value.clone()),
                expected,
                "{has:?} {value:?}"
            );
        }
    }
}

#[test]
fn any_fact_about_a_stranger_needs_membership() {
    for has in TrustLevel::ALL {
        let policy = policy(&[(LEAF, has)]);
        for (value, _) in values() {
            let allowed = judge(&policy, LEAF, STRANGER, value).is_ok();
            assert_eq!(allowed, has >= TrustLevel::Membership, "{has:?}");
        }
    }
}

#[test]
fn the_first_opinion_counts() {
    let nothing_set = policy(&[]);
    assert_eq!(
        nothing_set.level(&ROUTER),
        Some(TrustLevel::Membership),
        "a router, where nothing is set"
    );
    assert_eq!(nothing_set.level(&LEAF), Some(TrustLevel::Endpoint), "a peer");
    assert_eq!(nothing_set.level(&STRANGER), None);
    let other_set = policy(&[(LEAF, TrustLevel::AllowedIPs)]);
    assert_eq!(
        other_set.level(&ROUTER),
        Some(TrustLevel::Endpoint),
        "a router, where something is set"
    );
    assert_eq!(
        other_set.level(&LEAF),
        Some(TrustLevel::AllowedIPs),
        "the operator's word, upwards"
    );
    let distrusted = policy(&[(ROUTER, TrustLevel::Untrusted)]);
    assert_eq!(
        distrusted.level(&ROUTER),
        Some(TrustLevel::Untrusted),
        "the operator's word, downwards"
    );
    let own_set = policy(&[(OWN, TrustLevel::Membership)]);
    assert_eq!(
        own_set.level(&ROUTER),
        Some(TrustLevel::Membership),
        "one's own level is no opinion of a peer"
    );
    assert_eq!(own_set.own_level(), Some(TrustLevel::Membership));
    let raised = overridden(&[], &[(LEAF, TrustLevel::Membership)]);
    let lowered = overridden(
        &[(LEAF, TrustLevel::DelegateTrust)],
        &[(LEAF, TrustLevel::Endpoint), (ROUTER, TrustLevel::Untrusted)],
    );
    for policy in [&nothing_set, &other_set, &distrusted, &own_set, &raised, &lowered] {
        for key in [ROUTER, LEAF, STRANGER, OWN] {
            let by_level = policy.level(&key) >= Some(TrustLevel::AllowedIPs);
            assert_eq!(policy.counts_for_more(&key), by_level, "{:?}", policy.level(&key));
        }
    }
}

#[test]
fn a_node_that_is_no_peer_is_not_believed_even_if_it_is_configured() {
    let policy = policy(&[(STRANGER, TrustLevel::DelegateTrust)]);
    assert_eq!(judge(&policy, STRANGER, LEAF, Value::Member), Err(Refusal::NotAPeer));
}

#[test]
fn alive_is_believed_of_everybody_about_itself_only() {
    let alive = Value::Alive(BootId::from_bytes([1; 16]));
    let policy = policy(&[(LEAF, TrustLevel::Untrusted)]);
    assert_eq!(judge(&policy, LEAF, LEAF, alive.clone()), Ok(()));
    assert_eq!(judge(&policy, LEAF, ROUTER, alive.clone()), Err(Refusal::NotItsOwn));
    assert_eq!(judge(&policy, LEAF, OWN, alive), Err(Refusal::NotItsOwn));
}

#[test]
fn about_this_node_only_its_metadata_is_believed() {
    let policy = policy(&[(LEAF, TrustLevel::DelegateTrust)]);
    for (value, _) in values() {
        let expected = match value {
            Value::MemberMetadata(_) => Ok(()),
            _ => Err(Refusal::AboutUs),
        };
        assert_eq!(judge(&policy, LEAF, OWN, value), expected);
    }
}

#[test]
fn endpoints_through_the_tunnel_or_nowhere_are_dropped() {
    let policy = policy(&[]);
    let endpoint = |text: &str| judge(&policy, ROUTER, LEAF, Value::Endpoint(text.parse().unwrap()));
    assert_eq!(endpoint("10.0.0.7:1"), Err(Refusal::ThroughTunnel));
    assert_eq!(endpoint("10.0.1.7:1"), Ok(()));
    for nowhere in [
        "192.0.2.1:0",
        "127.0.0.1:1",
        "0.0.0.0:1",
        "224.0.0.1:1",
        "[fe80::1]:1",
        "255.255.255.255:1",
    ] {
        assert_eq!(endpoint(nowhere), Err(Refusal::NotAnEndpoint), "{nowhere}");
    }
}

#[test]
fn an_address_of_this_node_is_nobody_elses() {
    let mut policy = policy(&[(LEAF, TrustLevel::DelegateTrust)]);
    let own: BTreeSet<IpAddr> = ["10.0.0.2", "fd00::2"].map(|text| text.parse().unwrap()).into();
    assert!(policy.observe_addresses(own.clone()), "it is news once");
    assert!(!policy.observe_addresses(own));
    let prefix = |subject, text: &str| judge(&policy, LEAF, subject, Value::AllowedIp(text.parse().unwrap()));
    for subject in [LEAF, ROUTER, STRANGER] {
        assert_eq!(prefix(subject, "10.0.0.2/32"), Err(Refusal::OwnAddress));
        assert_eq!(prefix(subject, "fd00::2/128"), Err(Refusal::OwnAddress));
        for allowed in ["10.0.0.3/32", "10.0.0.2/31", "10.0.0.0/24", "fd00::/64", "0.0.0.0/0"] {
            assert_eq!(prefix(subject, allowed), Ok(()), "{allowed}");
        }
    }
}

#[test]
fn reserved_prefixes_belong_to_nobody() {
    let policy = policy(&[]);
    let prefix = |text: &str| judge(&policy, ROUTER, LEAF, Value::AllowedIp(text.parse().unwrap()));
    assert_eq!(prefix("fe80::1/128"), Err(Refusal::ReservedPrefix));
    assert_eq!(prefix("::/0"), Ok(()));
}
