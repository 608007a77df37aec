//! The node: wires the parts together and decides nothing itself.

mod agenda;
mod bans;
mod believed;
mod explain;
mod foresee;
mod hear;
mod links;
mod moved;
mod names;
mod nat;
mod nudge;
mod observe;
mod operator;
mod pass;
mod ping;
mod probe;
mod pulse;
mod reached;
mod reason;
mod remember;
mod review;
mod settings;
mod show;
mod stun;
mod tell;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use ipnet::IpNet;

use crate::mesh::base::identity::{PrivateKey, PublicKey};
use crate::mesh::base::settings::{DEBOUNCE, Settings};
use crate::mesh::base::time::{Deadline, Timestamp, Why};
use crate::mesh::believe::auth::Auth;
use crate::mesh::believe::fact::Fact;
use crate::mesh::believe::fact::boot::{BootId, OURS};
use crate::mesh::believe::fact::store::Store;
use crate::mesh::believe::role::Roles;
use crate::mesh::believe::trust::TrustPolicy;
use crate::mesh::device::mirror::Mirror;
use crate::mesh::device::tunnel_routes::TunnelRoutes;
use crate::mesh::members::bans::Bans;
use crate::mesh::members::membership::Membership;
use crate::mesh::reach::endpoints::Endpoints;
use crate::mesh::reach::link::Link;
use crate::mesh::reach::link::liveness::Heard;
use crate::mesh::reach::moved::Moved;
use crate::mesh::reach::nudge::Nudges;
use crate::mesh::reach::ping::Pings;
use crate::mesh::reach::probe::Probing;
use crate::mesh::reach::probe::rate::Limiter;
use crate::mesh::reach::stun::Stun;
use crate::mesh::route::overlap::Protected;
use crate::mesh::route::{Claims, Routes};
use crate::mesh::share::gossip::Gossip;
use crate::mesh::share::ports::HeardPorts;
use crate::mesh::show::budget::{Budget, LeftOut};
use crate::mesh::show::census::{Census, name_of};
use crate::mesh::show::event::{Event, HostState, Input, NoProbes, Output, PeerName};
use crate::mesh::show::rejections::Rejections;
use crate::mesh::show::status::Status;
use crate::mesh::show::tally::Ration;
use agenda::Agenda;
use names::Places;
use observe::Seen;
use remember::Recall;

/// How often the device is looked at while a link may change any moment.
const LOOK_SOON: Duration = Duration::from_secs(1);
/// How long a link that is not up is watched closely.
const WATCH_FOR: Duration = Duration::from_secs(60);
/// How often it is looked at otherwise (wirelink v1).
const LOOK: Duration = Duration::from_secs(5);

/// The shortest time between two deadlines; what moves a link on waits no longer.
const MIN_SLEEP: Duration = Duration::from_millis(20);

/// How long the first news after a quiet time waits for what comes in the same moment.
const GATHER: Duration = Duration::from_millis(5);

/// One node of the mesh, as a machine without IO.
pub struct Node {
    settings: Settings,
    address: Ipv6Addr,
    random: ChaCha20Rng,
    auth: Auth,
    trust: TrustPolicy,
    bans: Bans,
    store: Store,
    liveness: Heard,
    /// Where peers are spoken to.
    ports: HeardPorts,
    /// Whom facts or the settings call a member.
    members: BTreeSet<PublicKey>,
    membership: Membership,
    links: BTreeMap<PublicKey, Link>,
    /// No link has something to do before it; some may later.
    links_at: Option<Timestamp>,
    /// Until when some link may be worth watching closely.
    watch_until: Option<Timestamp>,
    claims: Claims,
    protected: Protected,
    routes: Routes,
    endpoints: Endpoints,
    recall: Recall,
    gossip: Gossip,
    /// Which v1 nodes should act before their next tick.
    nudges: Nudges,
    /// Whether something was learned since others were last told anything.
    has_urgent_news: bool,
    probing: Probing,
    /// Why there are no probes, where that is so.
    no_probes: Option<NoProbes>,
    /// Where others see this node.
    seen: Seen,
    /// Where STUN servers see it.
    stun: Stun,
    /// How many signals are passed on, by who brings them.
    relayed: Limiter,
    /// How many heartbeats are answered.
    echoes: Limiter,
    pings: Pings,
    places: Places,
    /// Where routers are, for direct peers.
    moved: Moved,
    rejections: Rejections,
    /// How many events are told.
    budget: Budget,
    /// How many refused claims are told one by one.
    refusals: Ration,
    device: Option<Mirror>,
    host: HostState,
    census: Census,
    agenda: Agenda,
    roles: Roles,
    members_full: bool,
    /// The peers of which an endpoint is refused because it leads into the tunnel.
    tunnelled: BTreeSet<PublicKey>,
    removal_at: Option<Timestamp>,
    last_pass: Option<Timestamp>,
    last_resync: Option<Timestamp>,
    news_at: Option<Timestamp>,
    deadline: Deadline,
    outputs: VecDeque<Output>,
}

impl Node {
    /// Starts a node; `seed` must be random and never be used twice.
    pub fn new(settings: Settings, identity: PrivateKey, seed: [u8; 32], now: Timestamp) -> Self {
        let mut random = ChaCha20Rng::from_seed(seed);
        let auth = Auth::new(identity, settings.address_hash);
        let own_key = *auth.public_key();
        Self {
            address: settings.address_hash.link_local(&own_key),
            trust: TrustPolicy::new(own_key, &settings),
            bans: Bans::new(own_key),
            store: Store::default(),
            liveness: Heard::default(),
            ports: HeardPorts::default(),
            members: BTreeSet::new(),
            membership: Membership::new(now),
            links: BTreeMap::new(),
            links_at: None,
            watch_until: None,
            claims: Claims::default(),
            protected: Protected::new(&settings),
            routes: Routes::default(),
            endpoints: Endpoints::default(),
            recall: Recall::new(now),
            gossip: Gossip::new(own_key, BootId::announcing(OURS, &mut random)),
            nudges: Nudges::new(now),
            has_urgent_news: false,
            probing: Probing::new(own_key, now, settings.predicts_ports()),
            no_probes: Some(NoProbes::NotSupported),
            echoes: Limiter::new(now),
            pings: Pings::default(),
            seen: Seen::default(),
            stun: Stun::default(),
            relayed: Limiter::new(now),
            places: Places::new(now, &settings),
            moved: Moved::default(),
            rejections: Rejections::default(),
            budget: Budget::new(now),
            refusals: Ration::default(),
            device: None,
            host: HostState::default(),
            census: Census::default(),
            agenda: Agenda::default(),
            roles: Roles::default(),
            members_full: false,
            tunnelled: BTreeSet::new(),
            removal_at: None,
            last_pass: None,
            last_resync: None,
            news_at: None,
            deadline: Deadline {
                at: now,
                why: Why::DeviceLook,
            },
            outputs: VecDeque::new(),
            settings,
            random,
            auth,
        }
    }

    /// Takes in what happened. Only [`Input::Timeout`] and [`Input::Stop`] lead to changes of the device.
    pub fn handle(&mut self, now: Timestamp, input: Input<'_>) {
        match input {
            Input::Packet { source, ports, payload } => self.hear(now, source, ports, payload),
            Input::Probe { source, local, payload } => self.hear_probe(now, source, local, payload),
            Input::Stun { source, answer } => self.hear_stun(now, source, answer),
            Input::FactPorts => self.challenge_all(now),
            Input::Prober { epoch, missing } => self.observe_prober(now, epoch, missing),
            Input::Device(read) => {
                self.count_traffic(now, read);
                self.places.observe(now, read, &self.census.routers);
                let used = read.peers.values().filter_map(|peer| peer.endpoint);
                used.for_each(|endpoint| self.find_route(endpoint.ip()));
                match &mut self.device {
                    Some(device) => device.read(read),
                    None => self.device = Some(Mirror::new(read)),
                }
            }
            Input::Host(host) => {
                let own_addresses = host.tunnel_addresses.iter().map(IpNet::addr).collect();
                let has_moved = self.trust.observe_addresses(own_addresses);
                if self.trust.observe_routes(TunnelRoutes::new(&host.routes), host.ruled) || has_moved {
                    self.routes_changed();
                }
                let asked = self.trust.outward().asked().into_iter();
                self.outputs.extend(asked.map(Output::FindRoute));
                self.protected.observe_host(&host);
                if self.host.whereabouts() != host.whereabouts() {
                    self.doubt_everything(now);
                }
                self.host = host;
                self.agenda.add_all();
                self.expect_news(now);
            }
            Input::Routed { address, leads } => {
                if self.trust.outward().answer(address, leads) {
                    self.routes_changed();
                    self.agenda.add_all();
                    self.expect_news(now);
                }
            }
            Input::Resolved { host, addresses } => {
                addresses.iter().for_each(|address| self.find_route(address.ip()));
                if self.places.nat64.answer(&host, &addresses) {
                    self.agenda.add_all();
                }
                let named = self.places.answer(now, &host, addresses);
                self.agenda.add_peers(named);
                self.expect_news(now);
            }
            Input::Named(file) => {
                self.places.replace_file(file);
                self.expect_news(now);
            }
            Input::Settings(settings) => self.follow_settings(now, *settings),
            Input::Ping { peer, id } => self.ping(now, &peer, id),
            Input::Ban { peer, denied } => self.ban(now, &peer, denied),
            Input::Remembered(memory) => {
                self.bans.resume(now, &memory.bans);
                self.recall.adopt(now, *memory);
            }
            Input::Timeout => {
                // Probes that are due need no look at the device, and nothing else is done for them.
                if !self.probes_only(now) {
                    self.pass(now);
                }
                self.send_probes(now);
            }
            Input::Stop => self.restore(now),
        }
    }

    /// Has the kernel asked where a packet to an address goes, unless that is known.
    fn find_route(&mut self, address: IpAddr) {
        if self.trust.outward().ask(address) {
            self.outputs.push_back(Output::FindRoute(address));
        }
    }

    /// Begins anew with what was refused for where it leads.
    fn routes_changed(&mut self) {
        self.tunnelled.clear();
        self.gossip.trust_changed();
    }

    /// Returns what to do next, until there is nothing more.
    pub fn poll_output(&mut self) -> Option<Output> {
        let next = self.outputs.pop_front();
        if next.is_none() {
            // What a great change needed is not kept for the quiet after it.
            self.outputs.shrink_to(64);
        }
        next
    }

    /// Returns when to hand in [`Input::Timeout`].
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let news = self.news_at.map(|at| Deadline { at, why: Why::News });
        let probes = self.probing.next().map(|at| Deadline { at, why: Why::Probe });
        [news, probes].into_iter().flatten().chain([self.deadline]).min()
    }

    /// Returns the link-local address of this node.
    pub fn address(&self) -> Ipv6Addr {
        self.address
    }

    /// Returns the public key of this node.
    pub fn public_key(&self) -> &PublicKey {
        self.auth.public_key()
    }

    /// Returns what the node knows and does, to be shown.
    pub fn status(&self, now: Timestamp) -> Status {
        let facts = self.believed(now, None);
        Status {
            facts: facts.map(|(fact, origin, ttl)| (fact.clone(), origin, ttl)).collect(),
            ..self.overview(now)
        }
    }

    /// Returns the same without the facts, of which there may be many: [`believed`](Self::believed) lists them.
    pub fn overview(&self, now: Timestamp) -> Status {
        let likely = self.likely_nat(now);
        Status {
            key: *self.public_key(),
            address: self.address,
            router: self.roles.role().map(|role| role.is_router),
            role: self.roles.role().map(|role| self.describe_role(role)),
            trust: self.roles.role().map(|_| self.describe_trust()),
            nat: self.own_nat(now),
            nat_likely: likely.nat,
            nat_by: likely.by.iter().map(|key| self.name(key)).collect(),
            nat_by_servers: likely.by_servers,
            no_probes: self.no_probes,
            boot_id: self.gossip.boot_id(),
            deadline_in: self
                .poll_timeout()
                .map(|deadline| (deadline.at.since(now), deadline.why)),
            peers: self
                .device
                .iter()
                .flat_map(|device| device.peers.keys())
                .chain(self.banned_and_gone())
                .map(|key| self.peer_status(now, key))
                .collect(),
            facts: Vec::new(),
            refused: self.routes.refused().map(|refusal| self.refused(&refusal)).collect(),
            rejections: self
                .rejections
                .totals()
                .map(|(sender, reason, times)| (*sender, *reason, times))
                .collect(),
            rejections_by_code: self.rejections.by_code().clone(),
            uncounted_rejections: self.rejections.uncounted(),
        }
    }

    /// Returns which peers know a fact: were told it, or said it. None, where it is not believed any more.
    pub fn knowers(&self, now: Timestamp, fact: &Fact) -> Vec<PublicKey> {
        let id = self.store.get(fact).map(|stored| stored.id);
        id.map(|id| self.gossip.knowers(now, id).copied().collect())
            .unwrap_or_default()
    }

    /// Begins anew with what is known of paths: this machine is elsewhere, or slept. What still works answers at once, and what does not
    /// is not waited for.
    fn doubt_everything(&mut self, now: Timestamp) {
        self.probing.reset(now);
        self.seen.forget();
        self.stun.forget();
        self.gossip.moved(now);
        self.places.moved(now);
        self.challenge_all(now);
    }

    /// Sends a heartbeat over every link soon.
    fn challenge_all(&mut self, now: Timestamp) {
        let pulses = self.links.values_mut().filter_map(Link::pulse);
        pulses.for_each(|pulse| pulse.challenge(now));
        self.agenda.add_all();
        self.expect_news(now);
    }

    /// Has what came in acted on at once, but not more often than a pass can be: a link moves on, and each step of it waits for the one
    /// before.
    fn hurry(&mut self, now: Timestamp) {
        let at = self.last_pass.map_or(now, |last| now.max(last + MIN_SLEEP));
        self.news_at = Some(self.news_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Pulls the next deadline near, so that what comes in now and shortly is acted on together: what comes after a quiet time nearly
    /// at once, what follows it after a while.
    fn expect_news(&mut self, now: Timestamp) {
        let at = self.last_pass.map_or(now, |last| last + DEBOUNCE).max(now + GATHER);
        self.news_at = Some(self.news_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn notify(&mut self, now: Timestamp, event: Event) {
        if self.budget.grants(now, event.kind()) {
            self.outputs.push_back(Output::Notify(event));
        }
    }

    /// Tells how many events were not told.
    fn tell_left_out(&mut self, now: Timestamp) {
        for LeftOut { code, times, most } in self.budget.take_left_out(now) {
            let most = most.map(|key| self.name(&key));
            let kind = code;
            self.outputs
                .push_back(Output::Notify(Event::LeftOut { kind, times, most }));
        }
    }

    fn name(&self, key: &PublicKey) -> PeerName {
        PeerName {
            key: *key,
            name: name_of(&self.settings, &self.store, key),
        }
    }

    fn nonce(&mut self) -> [u8; crate::mesh::believe::fact::wire::NONCE_LEN] {
        let mut nonce = [0; crate::mesh::believe::fact::wire::NONCE_LEN];
        self.random.fill_bytes(&mut nonce);
        nonce
    }
}

#[cfg(test)]
mod tests;
