use std::collections::BTreeSet;

use super::*;
use crate::daemon::metrics::tests::sample;

const DASHBOARD: &str = include_str!("../../../../packaging/grafana.json");

fn shown(snapshot: Snapshot) -> String {
    open_metrics(&Arc::new(snapshot))
}

/// Returns the value of a series, which is there once.
#[track_caller]
fn value<'a>(text: &'a str, series: &str) -> &'a str {
    let mut found = text
        .lines()
        .filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let value = found.next().unwrap_or_else(|| panic!("no {series} in\n{text}"));
    assert_eq!(found.next(), None, "{series} is there once");
    value
}

/// Returns the names that samples have.
fn sampled(text: &str) -> BTreeSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).collect()
}

#[test]
fn a_peer_has_its_way_its_times_and_its_bytes() {
    let text = shown(sample::snapshot(12, 3));
    let of = |name: &str, peer: &str, more: &str| format!("{name}{{interface=\"wg0\",peer=\"{peer}\"{more}}}");
    for (series, expected) in [
        (of("wirelink_peer_up", "alice-laptop", ""), "1.0"),
        (of("wirelink_peer_up", "backup", ""), "0.0"),
        (of("wirelink_peer_path", "alice-laptop", ",path=\"direct\""), "1.0"),
        (of("wirelink_peer_path", "alice-laptop", ",path=\"via\""), "0.0"),
        (of("wirelink_peer_path", "bob-phone", ",path=\"via\""), "1.0"),
        (of("wirelink_peer_reason", "bob-phone", ",reason=\"nat-pair\""), "1.0"),
        (of("wirelink_peer_link", "backup", ",state=\"suspect\""), "1.0"),
        (of("wirelink_peer_round_trip_seconds", "hub-fra", ""), "0.0008"),
        (of("wirelink_peer_received_bytes_total", "alice-laptop", ""), "1000192"),
        (of("wirelink_peer_sent_bytes_total", "alice-laptop", ""), "400096"),
        (
            of("wirelink_peer_last_handshake_timestamp_seconds", "alice-laptop", ""),
            "1794999983.0",
        ),
        (
            of("wirelink_peer_link_since_timestamp_seconds", "hub-fra", ""),
            "1794999960.0",
        ),
        ("wirelink_peers{interface=\"wg0\",path=\"direct\"}".into(), "7.0"),
        ("wirelink_start_time_seconds{interface=\"wg0\"}".into(), "1794906216.0"),
        (
            "wirelink_events_total{interface=\"wg0\",code=\"link-lost\"}".into(),
            "1",
        ),
        (
            "wirelink_rejections_total{interface=\"wg0\",reason=\"not-trusted\"}".into(),
            "7",
        ),
    ] {
        assert_eq!(value(&text, &series), expected, "{series}");
    }
    assert!(
        !text.contains("wirelink_peer_round_trip_seconds{interface=\"wg0\",peer=\"bob-phone\""),
        "nothing is made up"
    );
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn names_of_others_are_quoted_and_two_series_are_never_one() {
    let mut snapshot = sample::snapshot(4, 0);
    let keys: Vec<String> = snapshot.status.peers.iter().map(|peer| peer.key.to_string()).collect();
    let names = ["two", "two", "a\"} 1\nwirelink_peer_up{peer=\"x\\", keys[1].as_str()];
    for (peer, name) in snapshot.status.peers.iter_mut().zip(names) {
        peer.name = Some(name.to_owned());
    }
    let text = shown(snapshot);
    let up: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("wirelink_peer_up{"))
        .collect();
    assert_eq!(up.len(), 4, "{up:#?}");
    for expected in [
        &keys[0],
        &keys[1],
        "a\\\"} 1\\nwirelink_peer_up{peer=\\\"x\\\\",
        &keys[3][..8],
    ] {
        assert!(
            up.contains(&&*format!(
                "wirelink_peer_up{{interface=\"wg0\",peer=\"{expected}\"}} 1.0"
            )),
            "{expected}: {up:#?}"
        );
    }
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let series: BTreeSet<&str> = samples
        .iter()
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, _)| series)
        .collect();
    assert_eq!(series.len(), samples.len());
}

#[test]
fn the_number_of_series_follows_from_the_number_of_peers() {
    let count = |peers| {
        shown(sample::snapshot(peers, 0))
            .lines()
            .filter(|line| !line.starts_with('#'))
            .count()
    };
    let (none, two_hundred) = (count(0), count(200));
    assert!(none < 20, "{none}");
    assert!((two_hundred - none) <= 200 * 18, "{two_hundred}");
}

#[test]
fn each_family_is_described_once_before_its_samples_in_either_format() {
    let text = shown(sample::snapshot(5, 0));
    for (text, is_classic) in [(text.clone(), false), (classic(&text), true)] {
        let mut described: BTreeSet<&str> = BTreeSet::new();
        for line in text.lines() {
            if let Some(about) = line.strip_prefix("# TYPE ") {
                let (name, kind) = about.split_once(' ').expect("name and type");
                assert!(matches!(kind, "gauge" | "counter"), "{line}: node_exporter knows these");
                assert!(described.insert(name), "{line}");
                assert!(text.contains(&format!("# HELP {name} ")), "{line}");
            } else if !line.starts_with('#') {
                let name = line.split('{').next().expect("a name");
                let family = if is_classic {
                    name
                } else {
                    name.strip_suffix("_total").unwrap_or(name)
                };
                assert!(described.contains(family), "{line}");
            }
        }
        assert_eq!(text.contains("# EOF"), !is_classic);
    }
}

#[test]
fn the_dashboard_asks_for_nothing_that_is_not_exported() {
    let text = shown(sample::snapshot(12, 1));
    let exported = sampled(&text);
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let named: BTreeSet<&str> = DASHBOARD
        .split(|c| !is_of_a_name(c))
        .filter(|word| word.starts_with("wirelink_"))
        .collect();
    let unknown: Vec<_> = named.difference(&exported).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(named.len() > 10, "{named:?}");
    serde_json::from_str::<serde_json::Value>(DASHBOARD).expect("it is JSON");
}
