//! Metrics as text: OpenMetrics 1.0, and the text format of Prometheus before it.
//!
//! Every series has the label `interface`; those of a peer have `peer`, its name or, where that is not its alone, its key. So there are
//! as many series as the device has peers, times a small number.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use super::Snapshot;
use crate::control::{Path, Peer, Quality, Status};
use crate::daemon::view::called;
use crate::mesh::base::identity::PublicKey;

/// What every name begins with.
const PREFIX: &str = "wirelink";
const PATHS: [(Path, &str); 3] = [(Path::Direct, "direct"), (Path::Via, "via"), (Path::Down, "down")];
const LINKS: [&str; 4] = ["idle", "probing", "up", "suspect"];

/// Returns a snapshot as OpenMetrics.
///
/// # Panics
/// Never: memory takes any text.
pub(super) fn open_metrics(snapshot: &Arc<Snapshot>) -> String {
    let interface = snapshot.status.node.interface.clone();
    let labels = [("interface".into(), interface.into())];
    let mut registry = Registry::with_prefix_and_labels(PREFIX, labels.into_iter());
    registry.register_collector(Box::new(Shown(Arc::clone(snapshot))));
    let mut out = String::new();
    text::encode(&mut out, &registry).expect("a string takes any text");
    out
}

/// Returns the same in the older text format, which says the type of a counter of the name that its samples have, and knows neither units
/// nor an end (Prometheus, exposition formats).
pub(super) fn classic(open_metrics: &str) -> String {
    let is_counter = |name: &str| open_metrics.contains(&format!("# TYPE {name} counter\n"));
    let mut out = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match [words.next(), words.next(), words.next(), words.next()] {
            [Some("#"), Some("UNIT" | "EOF"), ..] => continue,
            [Some("#"), Some(about), Some(name), Some(rest)] if is_counter(name) => {
                out += &format!("# {about} {name}_total {rest}");
            }
            _ => out += line,
        }
        out.push('\n');
    }
    out
}

#[derive(Debug)]
struct Shown(Arc<Snapshot>);

impl Collector for Shown {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Snapshot {
            at,
            status,
            events,
            rejections,
            recent: _,
        } = &*self.0;
        let names = names(&status.peers);
        let peers: Vec<(&str, &Peer)> = names.iter().map(String::as_str).zip(&status.peers).collect();
        let mut out = Families(encoder);
        out.node(status, at.as_secs_f64())?;
        out.paths(&peers)?;
        out.links(&peers, at.as_secs_f64())?;
        out.traffic(&peers)?;
        out.happened(events, rejections)
    }
}

/// Returns what each peer is called, each otherwise: others choose names, and two series must never be one.
fn names(peers: &[Peer]) -> Vec<String> {
    let own = |peer: &Peer| {
        let name = peer.name.as_deref().filter(|name| name.parse::<PublicKey>().is_err());
        called(&peer.key, name)
    };
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for peer in peers {
        *times.entry(own(peer)).or_default() += 1;
    }
    let unique = |peer: &Peer| Some(own(peer)).filter(|name| times[name] == 1);
    peers
        .iter()
        .map(|peer| unique(peer).unwrap_or_else(|| peer.key.to_string()))
        .collect()
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

/// Writes one family of series after the other.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn node(&mut self, status: &Status, at: f64) -> fmt::Result {
        let node = &status.node;
        let key = node.key.to_string();
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        self.gauge("build_info", None, "The program that runs", [(version, 1.0)])?;
        let labels = vec![
            ("key", key.as_str()),
            ("backend", &node.backend),
            ("role", &node.role),
            ("nat", &node.nat),
        ];
        self.gauge("node_info", None, "What this node is", [(labels, 1.0)])?;
        let since = [(Vec::new(), (at - seconds(node.up_seconds)).floor())];
        self.gauge(
            "start_time",
            Some(Unit::Seconds),
            "Since when it runs, since 1970",
            since,
        )?;
        let on = |path: Path| status.peers.iter().filter(|peer| peer.path == path).count();
        let counts = PATHS.map(|(path, name)| (vec![("path", name)], count(on(path))));
        self.gauge(
            "peers",
            None,
            "Peers of the interface, by the way traffic takes to them",
            counts,
        )
    }

    fn paths(&mut self, peers: &[(&str, &Peer)]) -> fmt::Result {
        let keys: Vec<String> = peers.iter().map(|(_, peer)| peer.key.to_string()).collect();
        let info = peers.iter().zip(&keys).map(|((name, peer), key)| {
            let labels = vec![
                ("peer", *name),
                ("key", key),
                ("router", truth(peer.router)),
                ("introduced", truth(peer.introduced)),
            ];
            (labels, 1.0)
        });
        self.gauge(
            "peer_info",
            None,
            "What the peer is: introduced where facts brought it",
            info,
        )?;
        let up = peers
            .iter()
            .map(|(name, peer)| (vec![("peer", *name)], one_if(peer.path != Path::Down)));
        self.gauge("peer_up", None, "Whether traffic reaches the peer, on any way", up)?;
        let paths = peers.iter().flat_map(|(name, peer)| {
            PATHS.map(|(path, text)| (vec![("peer", *name), ("path", text)], one_if(peer.path == path)))
        });
        self.gauge(
            "peer_path",
            None,
            "1 for the way that traffic takes to the peer, else 0",
            paths,
        )?;
        let reasons = peers
            .iter()
            .map(|(name, peer)| (vec![("peer", *name), ("reason", peer.reason.as_str())], 1.0));
        self.gauge(
            "peer_reason",
            None,
            "Why traffic to the peer goes that way: the codes of `wirelink explain`",
            reasons,
        )
    }

    fn links(&mut self, peers: &[(&str, &Peer)], at: f64) -> fmt::Result {
        let states = peers.iter().flat_map(|(name, peer)| {
            LINKS.map(|state| (vec![("peer", *name), ("state", state)], one_if(peer.link == state)))
        });
        self.gauge(
            "peer_link",
            None,
            "1 for the state of the direct link to the peer, else 0",
            states,
        )?;
        let ago = |value: &dyn Fn(&Peer) -> Option<f64>| -> Vec<_> {
            peers
                .iter()
                .filter_map(|(name, peer)| Some((vec![("peer", *name)], (at - value(peer)?).floor())))
                .collect()
        };
        let since = ago(&|peer| Some(seconds(peer.since_seconds)));
        self.gauge(
            "peer_link_since_timestamp",
            Some(Unit::Seconds),
            "Since when the link is in its state, since 1970",
            since,
        )?;
        let handshakes = ago(&|peer| peer.handshake_seconds.map(seconds));
        self.gauge(
            "peer_last_handshake_timestamp",
            Some(Unit::Seconds),
            "When WireGuard's last handshake was, since 1970",
            handshakes,
        )?;
        let trips = peers
            .iter()
            .filter_map(|(name, peer)| Some((vec![("peer", *name)], peer.quality?.round_trip_ms? / 1000.0)));
        self.gauge(
            "peer_round_trip",
            Some(Unit::Seconds),
            "The smoothed round-trip time of the direct link",
            trips,
        )?;
        self.quality(peers)
    }

    /// What each direction of a direct link loses and delays.
    fn quality(&mut self, peers: &[(&str, &Peer)]) -> fmt::Result {
        let each = |of: &dyn Fn(&Quality) -> [Option<f64>; 2]| {
            let measured = peers.iter().filter_map(|(name, peer)| Some((*name, peer.quality?)));
            let directed = measured.flat_map(|(name, quality)| {
                let [out, back] = of(&quality);
                [("out", out), ("in", back)].map(|(direction, value)| (name, direction, value))
            });
            let known = directed
                .filter_map(|(name, direction, value)| Some((vec![("peer", name), ("direction", direction)], value?)));
            known.collect::<Vec<_>>()
        };
        let losses = each(&|quality| [quality.loss_out, quality.loss_in]);
        self.gauge(
            "peer_loss",
            Some(Unit::Other("ratio".to_owned())),
            "How much of what was sent lately did not arrive",
            losses,
        )?;
        let jitters = each(&|quality| [quality.jitter_out_ms, quality.jitter_in_ms].map(|ms| Some(ms / 1000.0)));
        self.gauge(
            "peer_jitter",
            Some(Unit::Seconds),
            "The interarrival jitter (RFC 3550)",
            jitters,
        )
    }

    fn traffic(&mut self, peers: &[(&str, &Peer)]) -> fmt::Result {
        let received = peers
            .iter()
            .map(|(name, peer)| (vec![("peer", *name)], peer.received_bytes));
        self.counter(
            "peer_received",
            Some(Unit::Bytes),
            "What WireGuard received from the peer",
            received,
        )?;
        let sent = peers
            .iter()
            .map(|(name, peer)| (vec![("peer", *name)], peer.sent_bytes));
        self.counter("peer_sent", Some(Unit::Bytes), "What WireGuard sent to the peer", sent)
    }

    fn happened(
        &mut self,
        events: &BTreeMap<&'static str, u64>,
        rejections: &BTreeMap<&'static str, u64>,
    ) -> fmt::Result {
        let events = events.iter().map(|(code, times)| (vec![("code", *code)], *times));
        self.counter("events", None, "What was told to the log, by code", events)?;
        let rejections = rejections
            .iter()
            .map(|(reason, times)| (vec![("reason", *reason)], *times));
        self.counter(
            "rejections",
            None,
            "What peers and strangers said that was not believed, by reason",
            rejections,
        )
    }

    fn gauge<'l>(
        &mut self,
        name: &str,
        unit: Option<Unit>,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for (labels, value) in series {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counter<'l>(
        &mut self,
        name: &str,
        unit: Option<Unit>,
        help: &str,
        series: impl IntoIterator<Item = (Labels<'l>, u64)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        for (labels, value) in series {
            let without: Option<&Exemplar<NoLabelSet, f64>> = None;
            family.encode_family(&labels)?.encode_counter(&value, without)?;
        }
        Ok(())
    }
}

/// Seconds and counts of peers are far from where a float is not exact any more.
#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
const fn seconds(whole: u64) -> f64 {
    whole as f64
}

fn count(peers: usize) -> f64 {
    seconds(peers as u64)
}

fn one_if(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

const fn truth(is_so: bool) -> &'static str {
    if is_so { "true" } else { "false" }
}

#[cfg(test)]
mod tests;
