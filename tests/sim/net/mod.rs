//! The network between hosts: sites with borders, realms of addresses, and links that are slow, lossy or cut.
//!
//! A packet is taken out through all borders of its origin when it is sent, and in through those of its destination when it
//! arrives: two packets that cross open both borders before either arrives, as on a real network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::base::time::Timestamp;

use crate::draw::Draw;
use crate::nat::{Firewall, Translator};
use crate::scenario::border::Border;

/// A host, by number.
pub(crate) type HostId = usize;
/// A site, by number.
pub(crate) type SiteId = usize;
/// A space of addresses: the internet is 0, what is behind the NAT of site `i` is `i` + 1.
type Realm = usize;

const INTERNET: Realm = 0;
/// How much later a packet arrives that is overtaken.
const OVERTAKEN_BY: Duration = Duration::from_millis(30);

/// What a link does to packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quality {
    /// How long a packet takes.
    pub(crate) latency: Duration,
    /// How much longer it may take.
    pub(crate) jitter: Duration,
    /// How many of 10,000 are lost.
    pub(crate) loss: u32,
    /// How many of 10,000 arrive twice.
    pub(crate) duplicates: u32,
    /// How many of 10,000 are overtaken by later ones.
    pub(crate) reordered: u32,
    /// The longest IP packet that passes, in bytes; longer ones are lost, as DF is set and nobody tells.
    pub(crate) mtu: usize,
}

impl Quality {
    /// Within one network.
    pub(crate) const LAN: Self = Self {
        latency: Duration::from_micros(500),
        jitter: Duration::ZERO,
        loss: 0,
        duplicates: 0,
        reordered: 0,
        mtu: 1500,
    };
    /// From one site to another half of the way: 20 ms round trip between two of them.
    pub(crate) const ACCESS: Self = Self {
        latency: Duration::from_millis(5),
        jitter: Duration::from_millis(1),
        ..Self::LAN
    };

    fn and(self, other: Self) -> Self {
        Self {
            latency: self.latency + other.latency,
            jitter: self.jitter + other.jitter,
            loss: self.loss + other.loss,
            duplicates: self.duplicates + other.duplicates,
            reordered: self.reordered + other.reordered,
            mtu: self.mtu.min(other.mtu),
        }
    }
}

/// A place with a border.
#[derive(Debug)]
struct Site {
    edge: Edge,
    /// The firewall before its public IPv6 addresses.
    edge_v6: Option<Firewall>,
    inner: Realm,
    outer: Realm,
    quality: Quality,
}

#[derive(Debug)]
enum Edge {
    Open,
    Firewall(Firewall),
    Nat(Box<Translator>),
}

/// Who has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Host(HostId, SiteId),
    Border(SiteId),
}

/// A network interface of a host.
#[derive(Clone, Debug)]
pub(crate) struct Nic {
    /// Its name.
    pub(crate) name: String,
    /// Where it is plugged in.
    pub(crate) site: SiteId,
    /// Its addresses, with their prefix lengths.
    pub(crate) addresses: Vec<IpNet>,
    /// Whether it is up.
    pub(crate) up: bool,
}

/// A packet under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    /// Who sent it.
    pub(crate) origin: HostId,
    /// From where it seems to come.
    pub(crate) source: SocketAddr,
    /// Where it goes.
    pub(crate) destination: SocketAddr,
    site: SiteId,
    realm: Realm,
}

/// What becomes of a packet that is sent: it arrives never, once, or twice.
#[derive(Debug, Default)]
pub(crate) struct Departure {
    /// The packet, as it is under way.
    pub(crate) flight: Option<Flight>,
    /// How long each copy takes.
    pub(crate) delays: [Option<Duration>; 2],
}

/// The network.
#[derive(Debug)]
pub(crate) struct Net {
    sites: Vec<Site>,
    owners: BTreeMap<(Realm, IpAddr), End>,
    nics: Vec<Vec<Nic>>,
    cuts: BTreeSet<(HostId, HostId)>,
    isolated: BTreeSet<HostId>,
    /// Sites whose border lets nothing pass but WireGuard.
    wireguard_only: BTreeSet<SiteId>,
    /// Hosts between which everything passes but WireGuard, over IPv6 or not.
    without_wireguard: BTreeSet<(HostId, HostId, bool)>,
    draw: Draw,
    /// What names lead to; none where the resolver fails.
    pub(crate) names: BTreeMap<String, Vec<IpAddr>>,
    /// The hosts whose resolver does not answer.
    pub(crate) without_resolver: BTreeSet<HostId>,
}

impl Net {
    /// Makes an internet without sites.
    pub(crate) fn new(seed: &Draw) -> Self {
        Self {
            sites: Vec::new(),
            owners: BTreeMap::new(),
            nics: Vec::new(),
            cuts: BTreeSet::new(),
            isolated: BTreeSet::new(),
            wireguard_only: BTreeSet::new(),
            without_wireguard: BTreeSet::new(),
            draw: seed.branch(1),
            names: BTreeMap::new(),
            without_resolver: BTreeSet::new(),
        }
    }

    /// Adds a site; one with a NAT has `outside` as its outside address, on the internet or behind another site.
    pub(crate) fn add_site(
        &mut self,
        border: Border,
        outside: IpAddr,
        behind: Option<SiteId>,
        ipv6: Option<Border>,
    ) -> SiteId {
        let site = self.sites.len();
        let outer = behind.map_or(INTERNET, |outer| self.sites[outer].inner);
        let (edge, inner) = match border {
            Border::Open => (Edge::Open, outer),
            Border::Firewall(filtering) => (Edge::Firewall(Firewall::new(filtering)), outer),
            Border::Nat(kind) => {
                self.owners.insert((outer, outside), End::Border(site));
                let draw = self.draw.branch(1000 + site as u64);
                (Edge::Nat(Box::new(Translator::new(kind, outside, draw))), site + 1)
            }
        };
        let edge_v6 = match ipv6 {
            None | Some(Border::Open) => None,
            Some(Border::Firewall(filtering)) => Some(Firewall::new(filtering)),
            Some(Border::Nat(_)) => panic!("IPv6 is not translated"),
        };
        self.sites.push(Site {
            edge,
            edge_v6,
            inner,
            outer,
            quality: Quality::ACCESS,
        });
        site
    }

    /// Changes what the way to a site does to packets.
    pub(crate) fn set_quality(&mut self, site: SiteId, quality: Quality) {
        self.sites[site].quality = quality;
    }

    /// Adds a host, without an interface.
    pub(crate) fn add_host(&mut self) -> HostId {
        self.nics.push(Vec::new());
        self.nics.len() - 1
    }

    /// Returns the interfaces of a host.
    pub(crate) fn nics(&self, host: HostId) -> &[Nic] {
        &self.nics[host]
    }

    /// Gives a host other interfaces.
    pub(crate) fn plug(&mut self, host: HostId, nics: Vec<Nic>) {
        let old = std::mem::replace(&mut self.nics[host], nics);
        for (realm, address) in self.addresses(&old) {
            self.owners.remove(&(realm, address));
        }
        let nics = &self.nics[host];
        for nic in nics.iter().filter(|nic| nic.up) {
            for address in nic.addresses.iter().map(IpNet::addr) {
                let realm = self.realm_of(nic.site, address);
                let before = self.owners.insert((realm, address), End::Host(host, nic.site));
                assert_eq!(before, None, "{address} is there twice");
            }
        }
    }

    fn addresses(&self, nics: &[Nic]) -> Vec<(Realm, IpAddr)> {
        let up = nics.iter().filter(|nic| nic.up);
        up.flat_map(|nic| {
            nic.addresses
                .iter()
                .map(|net| (self.realm_of(nic.site, net.addr()), net.addr()))
        })
        .collect()
    }

    fn realm_of(&self, site: SiteId, address: IpAddr) -> Realm {
        if address.is_ipv6() {
            INTERNET
        } else {
            self.sites[site].inner
        }
    }

    /// Has other machines of a site behind a NAT begin so many flows in a minute.
    pub(crate) fn set_others(&mut self, site: SiteId, a_minute: u64) {
        match &mut self.sites[site].edge {
            Edge::Nat(nat) => nat.others = a_minute,
            Edge::Open | Edge::Firewall(_) => panic!("only a NAT gives ports"),
        }
    }

    /// Returns how many flows the border of a site has seen begin; none where it does not look.
    pub(crate) fn flows_opened(&self, site: SiteId) -> u64 {
        match &self.sites[site].edge {
            Edge::Nat(nat) => nat.flows.opened,
            Edge::Firewall(firewall) => firewall.flows.opened,
            Edge::Open => 0,
        }
    }

    /// Has the border of a site let nothing pass but WireGuard.
    pub(crate) fn pass_wireguard_only(&mut self, site: SiteId) {
        self.wireguard_only.insert(site);
    }

    /// Returns whether a host is behind such a border.
    pub(crate) fn is_wireguard_only(&self, host: HostId) -> bool {
        self.nics[host]
            .iter()
            .any(|nic| self.wireguard_only.contains(&nic.site))
    }

    /// Lets everything pass between two hosts but WireGuard, which some firewalls know by its first bytes.
    pub(crate) fn pass_all_but_wireguard(&mut self, one: HostId, other: HostId) {
        self.pass_all_but_wireguard_over(one, other, false);
        self.pass_all_but_wireguard_over(one, other, true);
    }

    /// The same over one family.
    pub(crate) fn pass_all_but_wireguard_over(&mut self, one: HostId, other: HostId, ipv6: bool) {
        self.without_wireguard.insert((one.min(other), one.max(other), ipv6));
    }

    /// Returns whether WireGuard does not pass between two hosts, over a family.
    pub(crate) fn is_without_wireguard(&self, one: HostId, other: HostId, ipv6: bool) -> bool {
        self.without_wireguard.contains(&(one.min(other), one.max(other), ipv6))
    }

    /// Lets nothing pass between two hosts.
    pub(crate) fn cut(&mut self, one: HostId, other: HostId) {
        self.cuts.insert((one.min(other), one.max(other)));
    }

    /// Takes that back.
    pub(crate) fn heal(&mut self, one: HostId, other: HostId) {
        self.cuts.remove(&(one.min(other), one.max(other)));
    }

    /// Lets nothing pass to or from a host, or takes that back.
    pub(crate) fn isolate(&mut self, host: HostId, isolated: bool) {
        if isolated {
            self.isolated.insert(host);
        } else {
            self.isolated.remove(&host);
        }
    }

    /// Takes a packet out of a host and through all borders on the way out.
    pub(crate) fn depart(
        &mut self,
        now: Timestamp,
        origin: HostId,
        port: u16,
        to: SocketAddr,
        length: usize,
    ) -> Departure {
        let Some(flight) = self.leave(now, origin, port, to) else {
            return Departure::default();
        };
        let quality = self.quality(&flight);
        let headers = if to.is_ipv4() { 28 } else { 48 };
        let is_lost = length + headers > quality.mtu || self.draw.happens(quality.loss);
        let first = (!is_lost).then(|| self.delay(quality));
        let second = (!is_lost && self.draw.happens(quality.duplicates)).then(|| self.delay(quality));
        Departure {
            flight: Some(flight),
            delays: [first, second],
        }
    }

    fn delay(&mut self, quality: Quality) -> Duration {
        let jitter = quality.jitter.as_micros() as u64;
        let jitter = Duration::from_micros(self.draw.below(jitter + 1));
        let held = self.draw.happens(quality.reordered);
        quality.latency + jitter + if held { OVERTAKEN_BY } else { Duration::ZERO }
    }

    fn quality(&self, flight: &Flight) -> Quality {
        let near = self.sites[flight.site].quality;
        match self.owners.get(&(flight.realm, flight.destination.ip())) {
            Some(End::Host(_, site)) if *site == flight.site => Quality::LAN,
            Some(End::Host(_, site) | End::Border(site)) => near.and(self.sites[*site].quality),
            None => near,
        }
    }

    fn leave(&mut self, now: Timestamp, origin: HostId, port: u16, to: SocketAddr) -> Option<Flight> {
        let (site, address) = self.source(origin, to.ip())?;
        let mut flight = Flight {
            origin,
            source: SocketAddr::new(address, port),
            destination: to,
            site,
            realm: self.realm_of(site, to.ip()),
        };
        if self.isolated.contains(&origin)
            || self.owners.get(&(flight.realm, to.ip())) == Some(&End::Host(origin, site))
        {
            return None;
        }
        if !self.is_on_site(&flight) && !self.guard_out(now, &flight) {
            return None;
        }
        while !self.owners.contains_key(&(flight.realm, to.ip())) {
            // On the internet nobody has the address; else the way leads through the border of the realm.
            let border = flight.realm.checked_sub(1)?;
            let Edge::Nat(nat) = &mut self.sites[border].edge else {
                unreachable!("only a NAT makes a realm")
            };
            if nat.outside == to.ip() && !nat.hairpins() {
                return None;
            }
            flight.source = nat.outbound(now, flight.source, to)?;
            flight.realm = self.sites[border].outer;
        }
        Some(flight)
    }

    /// Returns whether the packet goes to a neighbour.
    fn is_on_site(&self, flight: &Flight) -> bool {
        let owner = self.owners.get(&(flight.realm, flight.destination.ip()));
        matches!(owner, Some(End::Host(_, site)) if *site == flight.site)
    }

    fn guard_out(&mut self, now: Timestamp, flight: &Flight) -> bool {
        let site = &mut self.sites[flight.site];
        let firewall = match &mut site.edge {
            _ if flight.destination.is_ipv6() => site.edge_v6.as_mut(),
            Edge::Firewall(firewall) => Some(firewall),
            Edge::Open | Edge::Nat(_) => None,
        };
        firewall.is_none_or(|firewall| firewall.outbound(now, flight.source, flight.destination))
    }

    fn guard_in(&mut self, now: Timestamp, site: SiteId, flight: &Flight) -> bool {
        let site = &mut self.sites[site];
        let firewall = match &mut site.edge {
            _ if flight.destination.is_ipv6() => site.edge_v6.as_mut(),
            Edge::Firewall(firewall) => Some(firewall),
            Edge::Open | Edge::Nat(_) => None,
        };
        firewall.is_none_or(|firewall| firewall.inbound(now, flight.destination, flight.source))
    }

    /// Returns the interface and the address by which a host reaches another: the one of the same network, else the first.
    fn source(&self, host: HostId, to: IpAddr) -> Option<(SiteId, IpAddr)> {
        let up = self.nics[host].iter().filter(|nic| nic.up);
        let all = up.flat_map(|nic| nic.addresses.iter().map(|net| (nic.site, *net)));
        let mut fitting = all.filter(|(_, net)| net.addr().is_ipv4() == to.is_ipv4());
        let first = fitting.clone().next()?;
        let near = fitting.find(|(_, net)| net.contains(&to));
        let (site, net) = near.unwrap_or(first);
        Some((site, net.addr()))
    }

    /// Takes a packet in through all borders; returns whom it reaches, and on which port.
    pub(crate) fn arrive(&mut self, now: Timestamp, mut flight: Flight) -> Option<(HostId, u16)> {
        loop {
            match *self.owners.get(&(flight.realm, flight.destination.ip()))? {
                End::Border(site) => {
                    let Edge::Nat(nat) = &mut self.sites[site].edge else {
                        unreachable!("only a NAT has an address")
                    };
                    flight.destination = nat.inbound(now, flight.source, flight.destination.port())?;
                    flight.realm = self.sites[site].inner;
                }
                End::Host(host, site) => {
                    let passes =
                        !self.is_cut(flight.origin, host) && (site == flight.site || self.guard_in(now, site, &flight));
                    return passes.then_some((host, flight.destination.port()));
                }
            }
        }
    }

    fn is_cut(&self, one: HostId, other: HostId) -> bool {
        self.cuts.contains(&(one.min(other), one.max(other)))
            || self.isolated.contains(&one)
            || self.isolated.contains(&other)
    }
}

#[cfg(test)]
mod tests;
