//! The requests of a UAPI socket, as far as a daemon that edits single peers sends them
//! (<https://www.wireguard.com/xplatform/>).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::str::FromStr;

use ipnet::IpNet;
use nix::errno::Errno;
use zeroize::Zeroizing;

use crate::mesh::base::identity::PublicKey;

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Show the device.
    Get,
    /// Change these peers, in this order.
    Set(Vec<PeerEdit>),
}

/// What to change of one peer; what is not named stays.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PeerEdit {
    /// Whom it is about.
    pub key: PublicKey,
    /// Take the peer away.
    pub remove: bool,
    /// Do nothing where there is no such peer.
    pub update_only: bool,
    /// Take all allowed IPs away first.
    pub replace_allowed_ips: bool,
    /// Prefixes that shall be its own.
    pub added: BTreeSet<IpNet>,
    /// Prefixes that shall not be its own.
    pub removed: BTreeSet<IpNet>,
    /// Where to send.
    pub endpoint: Option<SocketAddr>,
    /// The persistent keepalive in seconds; 0 for none.
    pub keepalive: Option<u16>,
}

/// The answer to what cannot be understood; negative, as in wireguard-go.
const INVALID: i32 = -(Errno::EINVAL as i32);

impl FromStr for Request {
    type Err = i32;

    fn from_str(text: &str) -> Result<Self, i32> {
        let mut lines = text.lines();
        match lines.next() {
            Some("get=1") => Ok(Self::Get),
            Some("set=1") => parse_edits(lines).map(Self::Set).ok_or(INVALID),
            _ => Err(INVALID),
        }
    }
}

fn parse_edits<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Vec<PeerEdit>> {
    let mut edits = Vec::new();
    for line in lines {
        let (name, value) = line.split_once('=')?;
        if name == "public_key" {
            edits.push(PeerEdit::new(parse_key(value)?));
        } else {
            edits.last_mut()?.line(name, value)?;
        }
    }
    Some(edits)
}

impl PeerEdit {
    fn new(key: PublicKey) -> Self {
        Self {
            key,
            remove: false,
            update_only: false,
            replace_allowed_ips: false,
            added: BTreeSet::new(),
            removed: BTreeSet::new(),
            endpoint: None,
            keepalive: None,
        }
    }

    fn line(&mut self, name: &str, value: &str) -> Option<()> {
        match (name, value) {
            ("remove", "true") => self.remove = true,
            ("update_only", "true") => self.update_only = true,
            ("replace_allowed_ips", "true") => self.replace_allowed_ips = true,
            ("protocol_version", "1") => {}
            ("endpoint", _) => self.endpoint = Some(value.parse().ok()?),
            ("persistent_keepalive_interval", _) => self.keepalive = Some(value.parse().ok()?),
            ("allowed_ip", _) => self.allowed_ip(value)?,
            _ => return None,
        }
        Some(())
    }

    fn allowed_ip(&mut self, value: &str) -> Option<()> {
        let (prefix, into, out_of) = match value.strip_prefix('-') {
            Some(prefix) => (prefix, &mut self.removed, &mut self.added),
            None => (value, &mut self.added, &mut self.removed),
        };
        let prefix = prefix.parse::<IpNet>().ok()?.trunc();
        out_of.remove(&prefix);
        into.insert(prefix);
        Some(())
    }
}

/// Returns the hexadecimal form that UAPI has for keys.
pub(super) fn hex(bytes: &[u8; 32]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(64));
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes everything");
    }
    text
}

fn parse_key(text: &str) -> Option<PublicKey> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(PublicKey::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: PublicKey = PublicKey::from_bytes([0xa5; 32]);

    fn set(lines: &str) -> Result<Request, i32> {
        format!("set=1\npublic_key={}\n{lines}", &*hex(KEY.as_bytes())).parse()
    }

    #[test]
    fn what_the_daemon_sends_is_understood() {
        let mut edit = PeerEdit::new(KEY);
        edit.update_only = true;
        edit.added.insert("10.0.0.3/32".parse().unwrap());
        edit.removed.insert("fe80::/64".parse().unwrap());
        edit.endpoint = Some("[2001:db8::1]:51820".parse().unwrap());
        edit.keepalive = Some(25);
        let lines = "update_only=true\nallowed_ip=10.0.0.3/32\nallowed_ip=-fe80::1/64\n\
                     endpoint=[2001:db8::1]:51820\npersistent_keepalive_interval=25\n";
        assert_eq!(set(lines), Ok(Request::Set(vec![edit])));
        assert_eq!("get=1\n".parse(), Ok(Request::Get));
        assert_eq!("set=1\n".parse(), Ok(Request::Set(vec![])));
    }

    #[test]
    fn what_is_not_understood_is_invalid() {
        for lines in [
            "preshared_key=00\n",
            "update_only=false\n",
            "endpoint=example.com:1\n",
            "allowed_ip=10.0.0.0\n",
            "nonsense\n",
        ] {
            assert_eq!(set(lines), Err(INVALID), "{lines}");
        }
        for request in ["", "get=2\n", "set=1\nremove=true\n", "set=1\npublic_key=zz\n"] {
            assert_eq!(request.parse::<Request>(), Err(INVALID), "{request}");
        }
    }

    #[test]
    fn the_last_word_about_a_prefix_counts() {
        let Ok(Request::Set(edits)) = set("allowed_ip=10.0.0.3/32\nallowed_ip=-10.0.0.3/32\n") else {
            panic!("it is valid");
        };
        assert!(edits[0].added.is_empty());
        assert_eq!(edits[0].removed.len(), 1);
    }
}
