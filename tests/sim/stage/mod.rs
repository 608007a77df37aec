//! A scenario in the world: its hosts, and what its acts do to them.

mod build;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use wirelink::mesh::base::identity::{PrivateKey, PublicKey};
use wirelink::mesh::device::DeviceChange;
use zeroize::Zeroizing;

use self::build::dns_name;
use crate::draw::Draw;
use crate::liar::{Liar, Lie};
use crate::lies;
use crate::net::{HostId, Quality, SiteId};
use crate::scenario::course::Course;
use crate::scenario::{Act, Name, Scenario};
use crate::world::World;

/// A scenario that is being played.
pub(crate) struct Stage<'a> {
    /// How far it has come.
    pub(crate) course: Course<'a>,
    /// Where it is played.
    pub(crate) world: World,
    /// Whether two leaves may do better than the oracle says: a NAT that gives every flow a port of its own may happen to give the
    /// one that the other side expects.
    pub(crate) luck: bool,
    hosts: BTreeMap<Name, HostId>,
    sites: Vec<SiteId>,
    hub_sites: Vec<SiteId>,
    renumbered: usize,
    liars: Vec<(HostId, Liar)>,
    /// In which ways they lie.
    pub(crate) lies: &'static [Lie],
}

impl<'a> Stage<'a> {
    /// Builds a scenario: WireGuard runs everywhere, wirelink nowhere.
    pub(crate) fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let mut stage = Self {
            course: Course::new(scenario),
            world: World::new(seed),
            luck: false,
            hosts: BTreeMap::new(),
            sites: Vec::new(),
            hub_sites: Vec::new(),
            renumbered: 0,
            liars: Vec::new(),
            lies: &Lie::ALL,
        };
        stage.build_sites();
        let claimed = scenario.claims.iter().map(|claim| claim.prefix.parse());
        stage.world.claimed = claimed.map(|prefix| prefix.expect("a claim is a prefix")).collect();
        let mut draw = Draw::new(seed).branch(3);
        let names = scenario.names();
        let keys: BTreeMap<Name, [u8; 32]> = names.iter().map(|name| (*name, draw.bytes())).collect();
        for (number, name) in names.iter().enumerate() {
            let by_hand = PublicKey::from_bytes(draw.bytes());
            let config = stage.config(name, number, &keys, by_hand);
            let nics = stage.nics(name);
            let id = stage.world.add_host(config, nics);
            stage.hosts.insert(name, id);
        }
        stage
    }

    /// Returns the number of a host.
    pub(crate) fn id(&self, name: Name) -> HostId {
        self.hosts[name]
    }

    /// Returns the number of a site of the scenario in the world.
    pub(crate) fn site_at(&self, index: usize) -> SiteId {
        self.sites[index]
    }

    /// Returns the addresses of a host on its own networks.
    pub(crate) fn address(&self, name: Name) -> Vec<IpAddr> {
        let nics = self.world.net.nics(self.id(name)).iter();
        nics.flat_map(|nic| nic.addresses.iter().map(IpNet::addr)).collect()
    }

    /// Returns every host with its number.
    pub(crate) fn hosts(&self) -> Vec<(Name, HostId)> {
        self.hosts.iter().map(|(name, id)| (*name, *id)).collect()
    }

    /// Changes what the ways to all sites do to packets.
    pub(crate) fn set_quality(&mut self, quality: Quality) {
        self.world.narrow |= quality.mtu < Quality::LAN.mtu;
        for site in self.sites.iter().chain(&self.hub_sites) {
            self.world.net.set_quality(*site, quality);
        }
    }

    /// Returns where a leaf is.
    pub(crate) fn site(&self, name: Name) -> SiteId {
        self.sites[self.course.site(name)]
    }

    /// Does what an act says.
    pub(crate) fn act(&mut self, act: Act) {
        self.world.note(None, || format!("{act:?}"));
        self.course.take(act);
        match act {
            Act::StartAll => self.each(World::start),
            Act::StopAll => self.each(World::stop),
            Act::Start(name) => self.world.start(self.id(name)),
            Act::Stop(name) => self.world.stop(self.id(name)),
            Act::Reboot(name) => {
                self.world.reboot(self.id(name));
                self.world.start(self.id(name));
            }
            Act::Cut(one, other) => self.world.net.cut(self.id(one), self.id(other)),
            Act::Heal(one, other) => self.world.net.heal(self.id(one), self.id(other)),
            Act::Isolate(name) => self.world.net.isolate(self.id(name), true),
            Act::Rejoin(name) => self.world.net.isolate(self.id(name), false),
            Act::Roam(name, _) => self.move_to_course(&[name]),
            Act::RoamBoth((one, _), (other, _)) => self.move_to_course(&[one, other]),
            Act::Renumber(name) => self.renumber(name),
            Act::Sleep(name, time) => self.world.sleep(self.id(name), time),
            Act::Revoke(name) => self.revoke(name),
            Act::Attach(name) => self.world.attach(self.id(name), true),
            Act::Detach(name) => self.world.attach(self.id(name), false),
            Act::Lie(name) => self.begin_to_lie(name),
            Act::Wait => {}
        }
    }

    fn each(&mut self, act: impl Fn(&mut World, HostId)) {
        for (_, id) in self.hosts() {
            act(&mut self.world, id);
        }
    }

    /// Brings leaves to where they are by now; first all leave, as one may come to where another one was.
    fn move_to_course(&mut self, names: &[Name]) {
        for name in names {
            self.world.net.plug(self.id(name), Vec::new());
        }
        for name in names {
            let nics = self.nics(name);
            self.world.plug(self.id(name), nics);
        }
    }

    fn renumber(&mut self, name: Name) {
        self.renumbered += 1;
        let nics = self.nics(name);
        let address = nics[0].addresses[0].addr();
        self.world.plug(self.id(name), nics);
        self.world.net.names.insert(dns_name(name), vec![address]);
    }

    fn revoke(&mut self, name: Name) {
        let id = self.id(name);
        self.world.stop(id);
        let peer = self.world.hosts[id].key;
        for hub in &self.course.scenario().hubs {
            let hub = self.id(hub.name);
            self.world.operate(hub, &DeviceChange::RemovePeer { peer });
            self.world.hosts[hub].config.peers.retain(|known| known.key != peer);
        }
    }

    /// The operator makes a leaf that was revoked a member again, and starts its node.
    pub(crate) fn admit(&mut self, name: Name) {
        self.course.admit(name);
        let id = self.id(name);
        let key = self.world.hosts[id].key;
        for (number, hub) in self.course.scenario().hubs.iter().enumerate() {
            let config = self
                .leaves_of_hub(number, &|_| key)
                .into_iter()
                .find(|(leaf, _)| *leaf == name);
            let Some((_, config)) = config else { continue };
            let hub = self.id(hub.name);
            self.world.operate(
                hub,
                &DeviceChange::AddPeer {
                    peer: key,
                    allowed_ips: config.allowed_ips.iter().copied().collect(),
                    endpoint: None,
                },
            );
            self.world.hosts[hub].config.peers.push(config);
        }
        self.world.start(id);
    }

    /// Makes a liar of a host; what it says honestly, it goes on saying.
    fn begin_to_lie(&mut self, name: Name) {
        let id = self.id(name);
        let draw = Draw::new(id as u64).branch(4);
        let key = Zeroizing::new(self.world.hosts[id].config.private_key);
        self.liars.push((id, Liar::new(PrivateKey::from_bytes(&key), draw)));
        self.world.lies = true;
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        for (id, liar) in &mut self.liars {
            lies::speak(&mut self.world, *id, liar, self.lies);
        }
        self.world.run(time);
    }
}
