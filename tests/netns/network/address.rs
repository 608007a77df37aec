//! Who has which address.

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

pub(super) fn gateway(edge: usize) -> String {
    format!("203.0.113.{}", 4 * edge + 1)
}

pub(super) fn public_address(edge: usize) -> String {
    format!("203.0.113.{}", 4 * edge + 2)
}
