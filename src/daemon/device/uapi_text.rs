//! The text of the userspace API (wireguard.com/xplatform): replies parsed, requests built; no IO.

mod remake;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use zeroize::Zeroizing;

pub(super) use remake::remake;

use super::{Reading, Stamp};
use crate::mesh::base::identity::{PrivateKey, PublicKey};
use crate::mesh::device::PeerState;

/// Why a reply makes no sense. It never quotes the reply, which holds keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadReply(pub(super) &'static str);

/// A reply to `get=1`.
#[derive(Debug)]
pub(super) struct Dump {
    /// The device, or nothing where it has no key.
    pub(super) reading: Option<Reading>,
    /// The error number, positive.
    pub(super) errno: i32,
}

/// Says whether a reply is complete: it ends with an empty line, and its last line is the error number.
pub(super) fn is_complete(reply: &[u8]) -> bool {
    let Some(body) = reply.strip_suffix(b"\n\n") else {
        return false;
    };
    let last = body.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    last.starts_with(b"errno=")
}

/// Reads the error number of a complete reply; some implementations write it negative.
pub(super) fn errno(reply: &[u8]) -> Result<i32, BadReply> {
    let line = lines(reply)?.filter(|line| line.starts_with("errno=")).last();
    let number = line.and_then(|line| line["errno=".len()..].parse::<i32>().ok());
    number
        .map(i32::saturating_abs)
        .ok_or(BadReply("no error number at the end"))
}

/// Takes the private key out of a reply to `get=1`.
pub(super) fn private_key(reply: &[u8]) -> Result<Option<PrivateKey>, BadReply> {
    let line = lines(reply)?.find_map(|line| line.strip_prefix("private_key="));
    let Some(text) = line else { return Ok(None) };
    let bytes = Zeroizing::new(hex_key(text).ok_or(BadReply("private_key"))?);
    // A device without a key may tell that as zeros.
    Ok((*bytes != [0; 32]).then(|| PrivateKey::from_bytes(&bytes)))
}

/// Returns a key of the device in a reply that WireGuard has not and AmneziaWG has: junk packets, padding, and types of messages.
pub(super) fn amnezia_key(reply: &[u8]) -> Option<&'static str> {
    const KEYS: [&str; 20] = [
        "jc", "jmin", "jmax", "s1", "s2", "s3", "s4", "h1", "h2", "h3", "h4", "i1", "i2", "i3", "i4", "i5", "j1", "j2",
        "j3", "itime",
    ];
    let of_device = lines(reply).ok()?.take_while(|line| !line.starts_with("public_key="));
    let mut keys = of_device.filter_map(|line| Some(line.split_once('=')?.0));
    keys.find_map(|key| KEYS.into_iter().find(|known| *known == key))
}

/// Parses a reply to `get=1`. Keys that are not known are skipped: the protocol grows.
pub(super) fn parse(reply: &[u8]) -> Result<Dump, BadReply> {
    let (mut listen_port, mut fwmark) = (0, 0);
    let mut peers: BTreeMap<PublicKey, Parsed> = BTreeMap::new();
    let mut current = None;
    for line in lines(reply)? {
        let (key, value) = line.split_once('=').ok_or(BadReply("a line without ="))?;
        match (key, current) {
            ("public_key", _) => {
                let peer = PublicKey::from_bytes(hex_key(value).ok_or(BadReply("public_key"))?);
                peers.entry(peer).or_default();
                current = Some(peer);
            }
            ("listen_port", None) => listen_port = value.parse().map_err(|_| BadReply("listen_port"))?,
            ("fwmark", None) => fwmark = number(value, "fwmark")?,
            (_, Some(peer)) => peers.entry(peer).or_default().take(key, value)?,
            (_, None) => {}
        }
    }
    let stamps = peers
        .iter()
        .filter_map(|(key, peer)| Some((*key, peer.stamp()?)))
        .collect();
    let peers = peers.into_iter().map(|(key, peer)| (key, peer.finish())).collect();
    let reading = private_key(reply)?.map(|private_key| Reading {
        public_key: private_key.public_key(),
        listen_port,
        fwmark,
        peers,
        stamps,
    });
    Ok(Dump {
        reading,
        errno: errno(reply)?,
    })
}

/// One peer of a reply, as far as it was read.
#[derive(Default)]
struct Parsed {
    state: PeerState,
    prefixes: Vec<IpNet>,
    seconds: u64,
    nanoseconds: u32,
}

impl Parsed {
    fn take(&mut self, key: &str, value: &str) -> Result<(), BadReply> {
        let state = &mut self.state;
        match key {
            "endpoint" => state.endpoint = Some(endpoint(value).ok_or(BadReply("endpoint"))?),
            "allowed_ip" => {
                let prefix: IpNet = value.parse().map_err(|_| BadReply("allowed_ip"))?;
                self.prefixes.push(prefix.trunc());
            }
            "persistent_keepalive_interval" => {
                let seconds = number(value, "persistent_keepalive_interval")?;
                state.keepalive = Some(seconds).filter(|seconds| *seconds != 0);
            }
            "preshared_key" => state.preshared = value.bytes().any(|digit| digit != b'0'),
            "rx_bytes" => state.rx_bytes = number(value, "rx_bytes")?,
            "tx_bytes" => state.tx_bytes = number(value, "tx_bytes")?,
            "last_handshake_time_sec" => self.seconds = number(value, "last_handshake_time_sec")?,
            "last_handshake_time_nsec" => self.nanoseconds = number(value, "last_handshake_time_nsec")?,
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> PeerState {
        PeerState {
            allowed_ips: self.prefixes.into_iter().collect(),
            ..self.state
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        let written = Duration::from_secs(self.seconds).saturating_add(Duration::from_nanos(self.nanoseconds.into()));
        Stamp::from_written(written)
    }
}

fn number<T: std::str::FromStr>(value: &str, key: &'static str) -> Result<T, BadReply> {
    value.parse().map_err(|_| BadReply(key))
}

fn lines(reply: &[u8]) -> Result<impl Iterator<Item = &str>, BadReply> {
    let text = std::str::from_utf8(reply).map_err(|_| BadReply("not text"))?;
    Ok(text.lines().filter(|line| !line.is_empty()))
}

/// Parses an endpoint. The zone of a link-local one may be a name, which says nothing on another machine's wire: it is left out.
fn endpoint(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| {
        let (before, zone) = text.split_once('%')?;
        let (_, after) = zone.split_once(']')?;
        format!("{before}]{after}").parse().ok()
    })
}

fn hex_key(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
    }
    Some(key)
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn hex(key: &PublicKey) -> String {
    key.as_bytes().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A `set=1` request under construction. It holds no secrets.
#[derive(Debug)]
pub(super) struct SetRequest(String);

impl SetRequest {
    /// Starts a request.
    pub(super) fn new() -> Self {
        Self("set=1\n".to_owned())
    }

    /// Names the peer that the following lines are about; it is made where the device has none.
    pub(super) fn peer(self, peer: &PublicKey) -> Self {
        self.line("public_key", &hex(peer))
    }

    /// Names the peer that the following lines are about, and never makes it: `update_only` must come right after the key.
    pub(super) fn existing_peer(self, peer: &PublicKey) -> Self {
        self.peer(peer).line("update_only", "true")
    }

    /// Removes the peer.
    pub(super) fn remove(self) -> Self {
        self.line("remove", "true")
    }

    /// Sets where the peer is reached.
    pub(super) fn endpoint(self, endpoint: SocketAddr) -> Self {
        self.line("endpoint", &endpoint.to_string())
    }

    /// Gives the peer prefixes.
    pub(super) fn allowed_ips<'a>(self, prefixes: impl IntoIterator<Item = &'a IpNet>) -> Self {
        prefixes
            .into_iter()
            .fold(self, |request, prefix| request.line("allowed_ip", &prefix.to_string()))
    }

    /// Takes a prefix from the peer (wireguard-go since 2025).
    pub(super) fn without_allowed_ip(self, prefix: &IpNet) -> Self {
        self.line("allowed_ip", &format!("-{prefix}"))
    }

    /// Forgets all prefixes of the peer before the ones that follow.
    pub(super) fn replace_allowed_ips(self) -> Self {
        self.line("replace_allowed_ips", "true")
    }

    /// Returns the text to send.
    pub(super) fn finish(self) -> String {
        self.0 + "\n"
    }

    fn line(mut self, key: &str, value: &str) -> Self {
        let _ = writeln!(self.0, "{key}={value}");
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::base::identity::PublicKey;
    use proptest::prelude::*;

    pub(super) const A: &str = "0101010101010101010101010101010101010101010101010101010101010101";
    pub(super) const B: &str = "0202020202020202020202020202020202020202020202020202020202020202";
    const SECRET: &str = "e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a";

    pub(super) fn reply() -> String {
        format!(
            "private_key={SECRET}\nlisten_port=51820\nfwmark=7\npublic_key={A}\npreshared_key={B}\nprotocol_version=1\n\
             endpoint=[fe80::1%eth0]:51821\nlast_handshake_time_sec=1800000000\nlast_handshake_time_nsec=5\ntx_bytes=38333\n\
             rx_bytes=2224\npersistent_keepalive_interval=25\nallowed_ip=192.168.4.4/32\nallowed_ip=10.0.0.7/24\n\
             public_key={B}\nlast_handshake_time_sec=0\nlast_handshake_time_nsec=0\npersistent_keepalive_interval=0\n\
             daita_enable=1\nerrno=0\n\n"
        )
    }

    #[test]
    fn a_reply_is_read_in_full() {
        let dump = parse(reply().as_bytes()).unwrap();
        let reading = dump.reading.unwrap();
        assert_eq!((dump.errno, reading.listen_port, reading.fwmark), (0, 51820, 7));
        let (a, b) = (PublicKey::from_bytes([1; 32]), PublicKey::from_bytes([2; 32]));
        let peer = &reading.peers[&a];
        assert_eq!(peer.endpoint, Some("[fe80::1]:51821".parse().unwrap()));
        assert_eq!(
            (peer.rx_bytes, peer.tx_bytes, peer.keepalive, peer.preshared),
            (2224, 38333, Some(25), true)
        );
        let prefixes = ["10.0.0.0/24", "192.168.4.4/32"].map(|prefix| prefix.parse().unwrap());
        assert_eq!(peer.allowed_ips, prefixes.into());
        assert_eq!(reading.stamps[&a], Stamp::Wall(Duration::new(1_800_000_000, 5)));
        assert_eq!(reading.peers[&b], PeerState::default());
        assert!(!reading.stamps.contains_key(&b));
    }

    #[test]
    fn the_own_public_key_follows_from_the_private_one() {
        let reading = parse(reply().as_bytes()).unwrap().reading.unwrap();
        let key = private_key(reply().as_bytes()).unwrap().unwrap();
        assert_eq!(key.public_key(), reading.public_key);
    }

    #[test]
    fn keys_of_amneziawg_are_recognised() {
        assert_eq!(amnezia_key(reply().as_bytes()), None);
        let amnezia = format!("private_key={SECRET}\njc=4\njmin=40\nh1=1234\npublic_key={A}\nerrno=0\n\n");
        assert_eq!(amnezia_key(amnezia.as_bytes()), Some("jc"));
        let later = format!("public_key={A}\ns1=7\nerrno=0\n\n");
        assert_eq!(amnezia_key(later.as_bytes()), None, "a key of a peer is another");
    }

    #[test]
    fn a_device_without_a_key_is_not_a_reading() {
        for text in [
            "listen_port=1\nerrno=0\n\n".to_owned(),
            format!("private_key={}\nerrno=0\n\n", "0".repeat(64)),
        ] {
            assert!(parse(text.as_bytes()).unwrap().reading.is_none(), "{text}");
        }
    }

    #[test]
    fn error_numbers_may_have_a_sign() {
        for (text, number) in [("errno=-98\n\n", 98), ("errno=22\n\n", 22), ("errno=0\n\n", 0)] {
            assert_eq!(errno(text.as_bytes()), Ok(number));
        }
        assert!(errno(b"errno=\n\n").is_err());
        assert!(errno(b"").is_err());
    }

    #[test]
    fn a_reply_that_was_cut_is_not_complete() {
        let reply = reply();
        assert!(is_complete(reply.as_bytes()));
        for cut in 0..reply.len() {
            assert!(!is_complete(&reply.as_bytes()[..cut]), "cut at {cut}");
        }
        assert!(!is_complete(b"public_key=00\n\n"));
    }

    #[test]
    fn wrong_values_are_refused_without_being_quoted() {
        for (from, to) in [
            (A, "01"),
            ("25\n", "x\n"),
            ("10.0.0.7/24", "10.0.0.7/33"),
            (SECRET, "secret"),
            ("51820", "x"),
            ("fwmark=7", "fwmark=-7"),
        ] {
            let error = parse(reply().replace(from, to).as_bytes()).unwrap_err();
            assert!(!error.to_string().contains(to), "{error}");
        }
    }

    #[test]
    fn a_request_reads_as_the_protocol_wants_it() {
        let prefixes: Vec<IpNet> = ["10.0.0.2/32", "fe80::2/128"]
            .map(|prefix| prefix.parse().unwrap())
            .into();
        let text = SetRequest::new()
            .existing_peer(&PublicKey::from_bytes([1; 32]))
            .endpoint("192.0.2.1:5".parse().unwrap())
            .allowed_ips(&prefixes)
            .without_allowed_ip(&prefixes[0])
            .finish();
        let expected = format!(
            "set=1\npublic_key={A}\nupdate_only=true\nendpoint=192.0.2.1:5\nallowed_ip=10.0.0.2/32\n\
             allowed_ip=fe80::2/128\nallowed_ip=-10.0.0.2/32\n\n"
        );
        assert_eq!(text, expected);
    }

    proptest! {
        #[test]
        fn no_reply_makes_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse(&bytes), errno(&bytes), private_key(&bytes), is_complete(&bytes));
        }

        #[test]
        fn no_line_makes_the_parser_panic(
            key in prop::sample::select(vec![
                "public_key", "private_key", "endpoint", "allowed_ip", "errno", "listen_port", "rx_bytes",
                "last_handshake_time_sec", "last_handshake_time_nsec", "persistent_keepalive_interval",
            ]),
            value in "[-0-9a-f.:/%\\[\\]]{0,70}",
        ) {
            let text = format!("public_key={A}\n{key}={value}\nlast_handshake_time_nsec=4294967295\nerrno=0\n\n");
            let _ = (parse(text.as_bytes()), private_key(text.as_bytes()), errno(text.as_bytes()));
        }
    }
}
