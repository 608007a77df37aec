//! Who the others are, and what is true of each by its number.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use wirelink::mesh::base::identity::{AddressHash, PrivateKey, PublicKey};
use wirelink::mesh::believe::auth::Auth;
use wirelink::mesh::believe::fact::boot::{BootId, OURS};
use wirelink::mesh::believe::fact::value::{Heartbeat, Value};
use wirelink::mesh::believe::fact::{Fact, Timed, wire};
use zeroize::Zeroizing;

/// How long a sign of life counts, as between nodes of ours.
const ALIVE_TTL: Duration = Duration::from_secs(75);

/// One of them.
pub(super) struct Other {
    pub(super) key: PublicKey,
    pub(super) address: Ipv6Addr,
    pub(super) sign_of_life: Vec<u8>,
    pub(super) auth: Auth,
    /// How many heartbeats it sent, and heard.
    pub(super) beats: (u32, u32),
}

impl Other {
    /// Says of the link that it is ready, as always.
    pub(super) fn standing(number: u32) -> Heartbeat {
        Heartbeat {
            number,
            version: 1,
            ready: true,
            turns: false,
        }
    }
}

pub(super) fn private(index: u16) -> PrivateKey {
    let mut bytes = Zeroizing::new([0x40; 32]);
    bytes[1..3].copy_from_slice(&index.to_be_bytes());
    PrivateKey::from_bytes(&bytes)
}

/// Makes one.
pub(super) fn other(index: u16, recipient: &PublicKey) -> Other {
    let mut auth = Auth::new(private(index), AddressHash::Sha1);
    let key = *auth.public_key();
    let mut alive = timed(key, Value::Alive(boot_id(index)));
    alive.ttl = ALIVE_TTL;
    let sign_of_life = auth.tag(recipient, [index as u8; 24], &wire::pack([&alive]).concat());
    Other {
        key,
        address: AddressHash::Sha1.link_local(&key),
        sign_of_life: sign_of_life.expect("a sound key"),
        auth,
        beats: (0, 0),
    }
}

pub(super) fn timed(subject: PublicKey, value: Value) -> Timed {
    Timed {
        fact: Fact { subject, value },
        ttl: Duration::from_secs(255),
    }
}

pub(super) fn endpoint(index: u16, port: u16) -> SocketAddr {
    let [high, low] = index.to_be_bytes();
    SocketAddr::from(([192, 1, high, low], 51820 + port))
}

pub(super) fn prefix(index: u16) -> String {
    let [high, low] = index.to_be_bytes();
    format!("10.9.{high}.{low}/32")
}

fn boot_id(index: u16) -> BootId {
    let mut bytes = [7; BootId::LEN];
    bytes[..2].copy_from_slice(&index.to_be_bytes());
    (bytes[6], bytes[7], bytes[8]) = (0x80 | OURS.revision, 0, 0x80);
    bytes[12..].copy_from_slice(&OURS.capabilities.to_be_bytes());
    BootId::from_bytes(bytes)
}
