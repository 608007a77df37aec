//! A network without IPv4 that translates: where IPv4 addresses are inside IPv6 there (RFC 6052), and how that is found (RFC 7050).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::mesh::base::prefix::is_global_unicast;
use crate::mesh::base::settings::Host;
use crate::mesh::base::time::Timestamp;

/// The name whose IPv6 addresses hold the well-known IPv4 addresses behind the prefix of the network.
const NAME: &str = "ipv4only.arpa";
/// The IPv4 addresses of that name (RFC 7050, 8.2).
const WELL_KNOWN: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];
/// The lengths that a prefix may have, with the bytes of the IPv6 address that hold the IPv4 address (RFC 6052, 2.2).
const LAYOUTS: [(u8, [usize; 4]); 6] = [
    (96, [12, 13, 14, 15]),
    (64, [9, 10, 11, 12]),
    (56, [7, 9, 10, 11]),
    (48, [6, 7, 9, 10]),
    (40, [5, 6, 7, 9]),
    (32, [4, 5, 6, 7]),
];
/// How often the name is asked for while nothing is known.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// How often it is asked for otherwise.
const RENEW_EVERY: Duration = Duration::from_secs(3600);

/// The prefix under which a network reaches IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix64 {
    /// An address under the prefix; the bytes of the IPv4 address in it are 0.
    base: [u8; 16],
    places: [usize; 4],
}

impl Prefix64 {
    /// Returns the prefix of an address that holds one of the well-known IPv4 addresses.
    fn of(address: Ipv6Addr) -> Option<Self> {
        let bytes = address.octets();
        let held = |places: &[usize; 4]| Ipv4Addr::from(places.map(|place| bytes[place]));
        let (length, places) = LAYOUTS
            .into_iter()
            .find(|(_, places)| WELL_KNOWN.contains(&held(places)))?;
        let mut base = [0; 16];
        let kept = usize::from(length / 8);
        base[..kept].copy_from_slice(&bytes[..kept]);
        Some(Self { base, places })
    }

    /// Returns the well-known prefix, 64:ff9b::/96.
    #[cfg(test)]
    pub(super) fn well_known() -> Self {
        Self::of([0x64, 0xff9b, 0, 0, 0, 0, 0xc000, 0xaa].into()).expect("it holds a well-known address")
    }

    /// Returns the address by which the network reaches an IPv4 address.
    pub fn translate(&self, address: Ipv4Addr) -> Ipv6Addr {
        let mut bytes = self.base;
        for (place, byte) in self.places.into_iter().zip(address.octets()) {
            bytes[place] = byte;
        }
        bytes.into()
    }
}

/// Whether the network of this machine translates, as far as its resolver says.
#[derive(Debug, Default)]
pub struct Nat64 {
    prefix: Option<Prefix64>,
    asked: Option<Timestamp>,
}

impl Nat64 {
    /// Returns the name to look up, where this machine has IPv6 alone and it is time to ask.
    pub fn ask(&mut self, now: Timestamp, own_nets: &[IpNet]) -> Option<Host> {
        if !has_only_ipv6(own_nets) {
            *self = Self::default();
            return None;
        }
        let every = if self.prefix.is_some() { RENEW_EVERY } else { ASK_EVERY };
        if self.asked.is_some_and(|at| now.since(at) < every) {
            return None;
        }
        self.asked = Some(now);
        Some(Host::Name {
            name: NAME.to_owned(),
            port: 1,
        })
    }

    /// Takes in the addresses of a name, if it is the one that shows the prefix; no answer leaves what is known. Returns whether the
    /// prefix is another than before.
    pub fn answer(&mut self, host: &Host, addresses: &[SocketAddr]) -> bool {
        let is_asked = matches!(host, Host::Name { name, .. } if name == NAME) && self.asked.is_some();
        let found = addresses.iter().find_map(|address| match address.ip() {
            IpAddr::V6(v6) => Prefix64::of(v6),
            IpAddr::V4(_) => None,
        });
        if !is_asked || found.is_none() || found == self.prefix {
            return false;
        }
        self.prefix = found;
        true
    }

    /// Forgets what is known: this machine is in another network.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Returns the prefix, if there is one.
    pub fn prefix(&self) -> Option<Prefix64> {
        self.prefix
    }
}

/// Returns whether a machine with these addresses reaches the internet by IPv6, and not by IPv4.
fn has_only_ipv6(own_nets: &[IpNet]) -> bool {
    let own = || {
        own_nets
            .iter()
            .map(IpNet::addr)
            .filter(|address| is_global_unicast(*address))
    };
    own().any(|address| address.is_ipv6()) && !own().any(|address| address.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(seconds))
    }

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn answered(address: &str) -> Nat64 {
        let mut nat64 = Nat64::default();
        let name = nat64.ask(at(0), &nets(&["2001:db8::2/64"])).expect("it has IPv6 alone");
        nat64.answer(&name, &[format!("[{address}]:1").parse().unwrap()]);
        nat64
    }

    /// The examples of RFC 6052, 2.4.
    #[test]
    fn every_length_of_prefix_holds_the_address_where_the_rfc_says() {
        for (known, translated) in [
            ("2001:db8:c000:aa::", "2001:db8:c000:221::"),
            ("2001:db8:1c0:0:aa::", "2001:db8:1c0:2:21::"),
            ("2001:db8:122:c000:0:aa00::", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:3c0:0:aa::", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344:c0:0:aa00::", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::192.0.0.170", "2001:db8:122:344::192.0.2.33"),
            ("64:ff9b::192.0.0.171", "64:ff9b::192.0.2.33"),
        ] {
            let prefix = answered(known).prefix().unwrap_or_else(|| panic!("{known} shows one"));
            let expected: Ipv6Addr = translated.parse().unwrap();
            assert_eq!(prefix.translate([192, 0, 2, 33].into()), expected, "{known}");
        }
        assert_eq!(answered("2001:db8::1").prefix(), None);
    }

    #[test]
    fn only_a_machine_with_ipv6_alone_asks_and_it_asks_again() {
        let mut nat64 = Nat64::default();
        for own in [
            &["192.0.2.1/24"][..],
            &["192.0.2.1/24", "2001:db8::2/64"],
            &["fe80::1/64"],
            &[],
        ] {
            assert_eq!(nat64.ask(at(0), &nets(own)), None);
        }
        let own = nets(&["2001:db8::2/64", "127.0.0.1/8"]);
        let name = nat64.ask(at(0), &own).expect("it asks");
        assert_eq!(nat64.ask(at(59), &own), None);
        assert!(nat64.ask(at(60), &own).is_some());
        let shown = ["[64:ff9b::192.0.0.170]:1".parse().unwrap()];
        assert!(nat64.answer(&name, &shown) && !nat64.answer(&name, &shown));
        assert!(!nat64.answer(&name, &[]), "no answer takes nothing away");
        assert_eq!(nat64.ask(at(3659), &own), None);
        assert!(nat64.ask(at(3660), &own).is_some());
        assert!(nat64.prefix().is_some());
        assert_eq!(nat64.ask(at(3661), &nets(&["192.0.2.1/24"])), None);
        assert_eq!(nat64.prefix(), None, "IPv4 is there now");
    }

    #[test]
    fn answers_that_were_not_asked_for_show_nothing() {
        let mut nat64 = Nat64::default();
        let name = |name: &str| Host::Name {
            name: name.into(),
            port: 1,
        };
        let shown = ["[64:ff9b::192.0.0.170]:1".parse().unwrap()];
        assert!(!nat64.answer(&name(NAME), &shown));
        nat64.ask(at(0), &nets(&["2001:db8::2/64"]));
        assert!(!nat64.answer(&name("hub.example"), &shown));
        assert!(nat64.answer(&name(NAME), &shown));
    }
}
