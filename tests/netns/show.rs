//! What `wg`, `ip` and `ping` say, as values.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use ipnet::IpNet;

/// What `wg show <interface> dump` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) public_key: String,
    pub(crate) listen_port: u16,
    pub(crate) fwmark: String,
    pub(crate) peers: BTreeMap<String, Peer>,
}

/// One peer of a [`Device`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) preshared_key: Option<String>,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) allowed_ips: BTreeSet<IpNet>,
    /// Seconds since the epoch; 0 is never.
    pub(crate) latest_handshake: u64,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) keepalive: Option<u16>,
}

impl Device {
    /// Reads a dump; the private key in it is passed over.
    pub(crate) fn parse(dump: &str) -> Option<Self> {
        let mut lines = dump.lines();
        let fields: Vec<&str> = lines.next()?.split('\t').collect();
        let [_private, public_key, listen_port, fwmark] = fields[..] else {
            return None;
        };
        Some(Self {
            public_key: public_key.to_owned(),
            listen_port: listen_port.parse().ok()?,
            fwmark: fwmark.to_owned(),
            peers: lines.map(peer).collect::<Option<_>>()?,
        })
    }

    /// Returns the device without what changes by itself: endpoints that WireGuard learns, handshakes, counters.
    pub(crate) fn as_configured(&self) -> Self {
        let mut device = self.clone();
        for peer in device.peers.values_mut() {
            (peer.endpoint, peer.latest_handshake, peer.received, peer.sent) = (None, 0, 0, 0);
        }
        device
    }
}

fn peer(line: &str) -> Option<(String, Peer)> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [key, preshared, endpoint, allowed, handshake, received, sent, keepalive] = fields[..] else {
        return None;
    };
    let listed = |text: &str| (text != "(none)").then(|| text.to_owned());
    let allowed_ips = listed(allowed).map(|list| list.split(',').map(str::parse).collect());
    let peer = Peer {
        preshared_key: listed(preshared),
        endpoint: listed(endpoint).map(|text| text.parse()).transpose().ok()?,
        allowed_ips: allowed_ips.transpose().ok()?.unwrap_or_default(),
        latest_handshake: handshake.parse().ok()?,
        received: received.parse().ok()?,
        sent: sent.parse().ok()?,
        keepalive: (keepalive != "off").then(|| keepalive.parse()).transpose().ok()?,
    };
    Some((key.to_owned(), peer))
}

/// Reads the addresses, with prefix lengths, out of `ip -o address show`.
pub(crate) fn addresses(text: &str) -> BTreeSet<IpNet> {
    let nets = text.lines().flat_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| !word.starts_with("inet"));
        words.nth(1)
    });
    nets.filter_map(|net| net.parse().ok()).collect()
}

/// One answer to `ping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Echo {
    pub(crate) sequence: u64,
    /// What is left of the sender's time to live (64), so 63 after one router.
    pub(crate) ttl: u8,
}

/// Reads the answers out of what `ping` prints.
pub(crate) fn echoes(text: &str) -> Vec<Echo> {
    let value = |line: &str, name: &str| Some(line.split_once(name)?.1.split(' ').next()?.to_owned());
    let echo = |line: &str| {
        Some(Echo {
            sequence: value(line, "icmp_seq=")?.parse().ok()?,
            ttl: value(line, "ttl=")?.parse().ok()?,
        })
    };
    text.lines()
        .filter(|line| line.contains("bytes from"))
        .filter_map(echo)
        .collect()
}

/// Returns how many requests in a row went without an answer, at most; `None` where `ping` was not ended with SIGINT.
pub(crate) fn longest_silence(text: &str) -> Option<u64> {
    let summary = text.lines().find(|line| line.contains("packets transmitted"))?;
    let sent: u64 = summary.split(' ').next()?.parse().ok()?;
    let mut seen: BTreeSet<u64> = echoes(text).iter().map(|echo| echo.sequence).collect();
    seen.extend([0, sent + 1]);
    let numbers: Vec<u64> = seen.into_iter().collect();
    numbers.windows(2).map(|pair| pair[1] - pair[0] - 1).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "cHJpdmF0ZQ==\tcHVibGlj\t51820\toff\n\
        aHVi\t(none)\t203.0.113.2:51820\t10.99.0.0/24,fd99::/64\t1700000000\t1000\t2000\t25\n\
        aGFuZA==\tcHNr\t(none)\t(none)\t0\t0\t0\toff\n";

    #[test]
    fn a_dump_is_read() {
        let device = Device::parse(DUMP).unwrap();
        assert_eq!((device.public_key.as_str(), device.listen_port), ("cHVibGlj", 51820));
        let hub = &device.peers["aHVi"];
        assert_eq!(hub.allowed_ips.len(), 2);
        assert_eq!(hub.endpoint, Some("203.0.113.2:51820".parse().unwrap()));
        assert_eq!(
            (hub.latest_handshake, hub.received, hub.sent),
            (1_700_000_000, 1000, 2000)
        );
        assert_eq!((hub.keepalive, &hub.preshared_key), (Some(25), &None));
        let hand = &device.peers["aGFuZA=="];
        assert_eq!(hand.preshared_key.as_deref(), Some("cHNr"));
        assert_eq!((hand.endpoint, hand.keepalive, hand.allowed_ips.len()), (None, None, 0));
    }

    #[test]
    fn a_dump_that_is_none_is_refused() {
        assert_eq!(Device::parse(""), None);
        assert_eq!(Device::parse("a\tb\tc\n"), None);
        assert_eq!(Device::parse(&DUMP.replace("\t25\n", "\n")), None);
        assert_eq!(Device::parse(&DUMP.replace("10.99.0.0/24", "10.99.0.0/33")), None);
    }

    #[test]
    fn counters_are_no_configuration_but_keepalive_is() {
        let device = Device::parse(DUMP).unwrap();
        let later = Device::parse(&DUMP.replace("1000\t2000", "5000\t6000")).unwrap();
        assert_ne!(device, later);
        assert_eq!(device.as_configured(), later.as_configured());
        let changed = Device::parse(&DUMP.replace("\t25\n", "\t26\n")).unwrap();
        assert_ne!(device.as_configured(), changed.as_configured());
    }

    #[test]
    fn addresses_are_read() {
        let text = "5: wl0    inet 10.99.0.1/24 scope global wl0\\       valid_lft forever preferred_lft forever\n\
            5: wl0    inet6 fe80::1/64 scope link \\       valid_lft forever preferred_lft forever\n";
        assert_eq!(
            addresses(text),
            ["10.99.0.1/24".parse().unwrap(), "fe80::1/64".parse().unwrap()].into()
        );
    }

    #[test]
    fn echoes_are_read() {
        let text = "PING 10.99.0.3 (10.99.0.3) 56(84) bytes of data.\n\
            64 bytes from 10.99.0.3: icmp_seq=1 ttl=63 time=0.8 ms\n\
            no answer yet for icmp_seq=2\n\
            64 bytes from 10.99.0.3: icmp_seq=5 ttl=64 time=0.4 ms\n";
        assert_eq!(echoes(text).iter().map(|echo| echo.ttl).collect::<Vec<_>>(), [63, 64]);
        assert_eq!(longest_silence(text), None);
        let summary = |sent| format!("{text}\n{sent} packets transmitted, 2 received, 71% packet loss\n");
        assert_eq!(longest_silence(&summary(6)), Some(3));
        assert_eq!(longest_silence(&summary(11)), Some(6));
    }
}
