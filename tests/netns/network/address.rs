//! Who has which address.

use std::net::Ipv6Addr;

/// The addresses of a local network: the router has number 0, whoever is at port `n` has number `n`.
pub(super) struct Lan {
    pub(super) net: String,
    pub(super) first: usize,
    pub(super) length: u8,
}

impl Lan {
    pub(super) fn address(&self, number: usize) -> String {
        format!("{}.{}", self.net, self.first + 1 + number)
    }

    pub(super) fn on_interface(&self, number: usize) -> String {
        format!("{}/{}", self.address(number), self.length)
    }

    pub(super) fn net(&self) -> String {
        format!("{}.{}/{}", self.net, self.first, self.length)
    }
}

/// The IPv6 networks of an edge: the one between it and the internet, and the one behind its router. There is no translation.
pub(super) struct V6(pub(super) usize);

impl V6 {
    /// What the internet has at the edge.
    pub(super) fn gateway(&self) -> Ipv6Addr {
        self.outside(1)
    }

    /// What stands at the edge.
    pub(super) fn edge(&self) -> Ipv6Addr {
        self.outside(2)
    }

    /// Whoever is at port `n` of the router has number `n`, and the router itself 0.
    pub(super) fn behind(&self, number: usize) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0x100 + small(self.0), 0, 0, 0, 0, 1 + small(number))
    }

    /// The whole network behind the router.
    pub(super) fn net_behind(&self) -> String {
        format!("2001:db8:{:x}::/64", 0x100 + self.0)
    }

    fn outside(&self, number: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, small(self.0), 0, 0, 0, number)
    }
}

fn small(number: usize) -> u16 {
    u16::try_from(number).expect("a lab is small")
}

pub(super) fn gateway(edge: usize) -> String {
    format!("203.0.113.{}", 4 * edge + 1)
}

pub(super) fn public_address(edge: usize) -> String {
    format!("203.0.113.{}", 4 * edge + 2)
}
