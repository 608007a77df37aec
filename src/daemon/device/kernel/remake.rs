//! What a peer is made again from, when nothing but its endpoint is to go.

use std::net::SocketAddr;

use netlink_packet_wireguard::{WireguardAttribute, WireguardPeerAttribute};

use super::{Message, PREFIXES_PER_MESSAGE, allowed_ips, prefix};
use crate::mesh::base::identity::PublicKey;

/// Returns what the operator gave a peer, for making it again. `None` where there is nothing to do, or more than one message holds:
/// the peer would be without some of it until the next.
pub(super) fn kept(
    replies: &[Message],
    key: &PublicKey,
    endpoint: Option<SocketAddr>,
) -> Option<Vec<WireguardPeerAttribute>> {
    let (mut kept, mut prefixes, mut has_endpoint) = (Vec::new(), Vec::new(), false);
    for attribute in parts_of(replies, key) {
        match attribute {
            WireguardPeerAttribute::Endpoint(_) => has_endpoint = true,
            WireguardPeerAttribute::PresharedKey(key) => kept.push(WireguardPeerAttribute::PresharedKey(*key)),
            WireguardPeerAttribute::PersistentKeepalive(seconds) => {
                kept.push(WireguardPeerAttribute::PersistentKeepalive(*seconds));
            }
            WireguardPeerAttribute::AllowedIps(part) => prefixes.extend(part.iter().filter_map(prefix)),
            _ => {}
        }
    }
    kept.push(allowed_ips(prefixes.iter().map(|prefix| (*prefix, None))));
    kept.extend(endpoint.map(WireguardPeerAttribute::Endpoint));
    (has_endpoint && prefixes.len() <= PREFIXES_PER_MESSAGE).then_some(kept)
}

fn parts_of<'a>(replies: &'a [Message], key: &PublicKey) -> impl Iterator<Item = &'a WireguardPeerAttribute> {
    let own_key = WireguardPeerAttribute::PublicKey(*key.as_bytes());
    let attributes = replies.iter().flat_map(|reply| &reply.0.attributes);
    let parts = attributes.filter_map(|attribute| match attribute {
        WireguardAttribute::Peers(parts) => Some(parts),
        _ => None,
    });
    let parts = parts.flatten().filter(move |part| part.0.contains(&own_key));
    parts.flat_map(|part| &part.0)
}
