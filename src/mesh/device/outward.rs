//! Which addresses WireGuard's own packets reach outside of the tunnel: as the main table says, or, where other rules route, as the
//! kernel answers for each address.
//!
//! The mark of WireGuard's packets, and rules of the operator's, may lead them elsewhere than the main table would (ip-rule(8)).

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::mesh::device::tunnel_routes::TunnelRoutes;

/// The most addresses that the kernel is asked about; the one that was asked about first makes room.
pub const MAX_ASKED: usize = 4096;

/// Where a packet of WireGuard's goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leads {
    /// Out of the machine.
    Outside,
    /// Into the tunnel: WireGuard would be sent through itself.
    IntoTunnel,
}

/// What is known of the way to each address.
#[derive(Debug, Default)]
pub struct Outward {
    main: TunnelRoutes,
    /// Whether rules route beside the main table.
    ruled: bool,
    asked: BTreeMap<IpAddr, Asked>,
    count: u64,
}

/// An address that the kernel was asked about.
#[derive(Debug)]
struct Asked {
    number: u64,
    answer: Option<Leads>,
}

impl Outward {
    /// Takes in the main table, and whether there are other rules; returns whether that is news. What the kernel said counts until it says
    /// otherwise.
    pub fn observe(&mut self, main: TunnelRoutes, ruled: bool) -> bool {
        let is_news = self.main != main || self.ruled != ruled;
        self.main = main;
        self.ruled = ruled;
        if !ruled {
            self.asked.clear();
        }
        is_news
    }

    /// Returns where a packet to the address goes, if that is known.
    pub fn known(&self, address: IpAddr) -> Option<Leads> {
        match self.ruled {
            true => self.asked.get(&address)?.answer,
            false => Some(self.guess(address)),
        }
    }

    /// Returns where it goes, or would go by the main table alone while the kernel has not answered.
    pub fn leads(&self, address: IpAddr) -> Leads {
        self.known(address).unwrap_or_else(|| self.guess(address))
    }

    /// Returns whether the kernel is to be asked about an address that somebody named.
    pub fn ask(&mut self, address: IpAddr) -> bool {
        if !self.ruled || self.asked.contains_key(&address) {
            return false;
        }
        if self.asked.len() >= MAX_ASKED {
            let oldest = self.asked.iter().min_by_key(|(_, asked)| asked.number);
            let oldest = oldest.map(|(address, _)| *address);
            oldest.map(|address| self.asked.remove(&address));
        }
        let (number, answer) = (self.count, None);
        self.count += 1;
        self.asked.insert(address, Asked { number, answer });
        true
    }

    /// Returns all addresses about which the kernel is to be asked again, as something about the routes is different.
    pub fn asked(&self) -> Vec<IpAddr> {
        self.asked.keys().copied().collect()
    }

    /// Takes in what the kernel answers; returns whether it is other than what counted until now.
    pub fn answer(&mut self, address: IpAddr, leads: Leads) -> bool {
        let before = self.leads(address);
        let Some(asked) = self.asked.get_mut(&address) else {
            return false;
        };
        asked.answer = Some(leads);
        before != leads
    }

    fn guess(&self, address: IpAddr) -> Leads {
        match self.main.lead_to(address) {
            true => Leads::IntoTunnel,
            false => Leads::Outside,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::device::host::Route;

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0xc000_0200 + number).into()
    }

    fn full_tunnel(ruled: bool) -> Outward {
        let mut outward = Outward::default();
        let route = Route {
            prefix: "0.0.0.0/0".parse().unwrap(),
            into_tunnel: true,
        };
        outward.observe(TunnelRoutes::new(&[route]), ruled);
        outward
    }

    #[test]
    fn main_table_decides_where_no_rule_does() {
        let mut outward = full_tunnel(false);
        assert_eq!(outward.known(address(1)), Some(Leads::IntoTunnel));
        assert!(!outward.ask(address(1)), "there is nothing to ask");
        assert!(!outward.answer(address(1), Leads::Outside));
        assert_eq!(outward.leads(address(1)), Leads::IntoTunnel);
    }

    #[test]
    fn kernel_decides_where_rules_do() {
        let mut outward = full_tunnel(true);
        assert_eq!(
            (outward.known(address(1)), outward.leads(address(1))),
            (None, Leads::IntoTunnel)
        );
        assert!(outward.ask(address(1)) && !outward.ask(address(1)), "once");
        assert!(outward.answer(address(1), Leads::Outside));
        assert!(!outward.answer(address(1), Leads::Outside));
        assert_eq!(outward.known(address(1)), Some(Leads::Outside));
        assert_eq!(outward.asked(), [address(1)]);
        assert!(!outward.answer(address(2), Leads::Outside), "nobody asked");
        outward.observe(TunnelRoutes::default(), false);
        assert_eq!(outward.asked(), [] as [IpAddr; 0]);
    }

    #[test]
    fn oldest_question_makes_room() {
        let mut outward = full_tunnel(true);
        let most = u32::try_from(MAX_ASKED).unwrap();
        (0..=most).for_each(|number| assert!(outward.ask(address(number))));
        assert_eq!(outward.asked().len(), MAX_ASKED);
        assert!(outward.ask(address(0)) && !outward.ask(address(most)));
    }
}
