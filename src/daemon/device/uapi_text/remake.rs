//! The request that makes a peer again, when its endpoint is to go, or what WireGuard knows of its handshakes.

use std::fmt::Write as _;
use std::net::SocketAddr;

use zeroize::Zeroizing;

use super::{BadReply, hex, lines};
use crate::mesh::base::identity::PublicKey;

/// The most that a line with an endpoint takes.
const ENDPOINT: usize = 80;

/// Makes the request that removes a peer and makes it again as `reply` to `get=1` shows it, but with this endpoint; `None` where
/// it has none, or is no peer. It holds the preshared key.
pub(in super::super) fn remake(
    reply: &[u8],
    peer: &PublicKey,
    endpoint: Option<SocketAddr>,
) -> Result<Option<Zeroizing<String>>, BadReply> {
    const KEPT: [&str; 3] = ["preshared_key", "persistent_keepalive_interval", "allowed_ip"];
    let name = format!("public_key={}", hex(peer));
    let mut of_peer = lines(reply)?.skip_while(|line| *line != name);
    if of_peer.next().is_none() {
        return Ok(None);
    }
    // All room at once: growing would leave copies of the key behind.
    let mut request = Zeroizing::new(String::with_capacity(reply.len() + 3 * name.len() + ENDPOINT));
    let _ = write!(request, "set=1\n{name}\nremove=true\n{name}\n");
    let mut has_endpoint = false;
    for line in of_peer.take_while(|line| !line.starts_with("public_key=") && !line.starts_with("errno=")) {
        let (key, _) = line.split_once('=').ok_or(BadReply("a line without ="))?;
        has_endpoint |= key == "endpoint";
        if KEPT.contains(&key) {
            let _ = writeln!(request, "{line}");
        }
    }
    if let Some(endpoint) = endpoint {
        let _ = writeln!(request, "endpoint={endpoint}");
    }
    request.push('\n');
    Ok(has_endpoint.then_some(request))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{A, B, reply};
    use super::*;

    #[test]
    fn a_peer_is_made_again_with_all_but_its_endpoint() {
        let (a, b) = (PublicKey::from_bytes([1; 32]), PublicKey::from_bytes([2; 32]));
        let request = remake(reply().as_bytes(), &a, None).unwrap().unwrap();
        assert_eq!(
            *request,
            format!(
                "set=1\npublic_key={A}\nremove=true\npublic_key={A}\npreshared_key={B}\npersistent_keepalive_interval=25\n\
                 allowed_ip=192.168.4.4/32\nallowed_ip=10.0.0.7/24\n\n"
            )
        );
        assert!(request.capacity() <= reply().len() + 3 * 80 + ENDPOINT, "it never grew");
        let elsewhere = remake(reply().as_bytes(), &a, Some("[2001:db8::1]:7".parse().unwrap())).unwrap();
        let expected = format!("{}endpoint=[2001:db8::1]:7\n\n", request.strip_suffix('\n').unwrap());
        assert_eq!(*elsewhere.unwrap(), expected);
        assert_eq!(remake(reply().as_bytes(), &b, None), Ok(None), "it has no endpoint");
        assert_eq!(
            remake(reply().as_bytes(), &PublicKey::from_bytes([3; 32]), None),
            Ok(None)
        );
    }
}
