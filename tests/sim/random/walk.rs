//! A walk through what can happen to a network.

use std::collections::BTreeSet;
use std::time::Duration;

use wirelink::mesh::device::DeviceChange;

use super::network;
use crate::draw::Draw;
use crate::host::{Host, PeerConfig};
use crate::net::Quality;
use crate::scenario::{Act, Name, Program, Scenario, Step};
use crate::stage::Stage;
use crate::{invariants, play};

/// How many acts a walk has.
const ACTS: usize = 15;
/// How long everything may take in the end. A session whose endpoint is wrong is only known for dead after 165 s, and what both
/// sides then try takes up to three rounds.
const WITHIN: Duration = Duration::from_secs(420);
/// The same where somebody runs wirelink v1, which tries every endpoint for 15 s, and by itself.
const WITHIN_BESIDE_V1: Duration = Duration::from_secs(900);
/// How long until somebody who is no member any more is forgotten: as long as facts live, and the grace after that.
const UNTIL_FORGOTTEN: Duration = Duration::from_secs(700);

/// A walk, and how far it is.
pub(super) struct Walk<'a> {
    /// Where it happens.
    pub(super) stage: Stage<'a>,
    /// What happened.
    pub(super) history: Vec<String>,
    draw: Draw,
    cuts: BTreeSet<(Name, Name)>,
    isolated: BTreeSet<Name>,
    gone: BTreeSet<Name>,
    killed: BTreeSet<Name>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(scenario: &'a Scenario, seed: u64, draw: Draw) -> Self {
        let mut stage = Stage::new(scenario, seed);
        stage.luck = true;
        Self {
            stage,
            history: Vec::new(),
            draw,
            cuts: BTreeSet::new(),
            isolated: BTreeSet::new(),
            gone: BTreeSet::new(),
            killed: BTreeSet::new(),
        }
    }

    /// Walks to the end; says what went wrong, if anything.
    pub(super) fn go(&mut self) -> Result<(), String> {
        let quality = network::quality(&mut self.draw);
        self.stage.set_quality(quality);
        self.act(Act::StartAll);
        self.pause(60);
        for _ in 0..ACTS {
            self.happen();
            self.pause(150);
            invariants::check(&mut self.stage.world)?;
            if self.draw.happens(3_000) && self.is_settled() {
                self.remember("there is time");
                self.expect(self.within(), 0)?;
            }
        }
        self.heal();
        self.expect(self.within(), 60)?;
        if self.is_beside_v1() {
            return Ok(());
        }
        self.act(Act::StopAll);
        self.expect(Duration::from_secs(60), 0)
    }

    /// Returns whether the oracle knows all that happened, and the hubs, who tell everybody about everybody, are all there.
    fn is_settled(&self) -> bool {
        let is_hub = |name: &Name| self.stage.course.scenario().hubs.iter().any(|hub| hub.name == *name);
        let is_of_hub = |(one, other): &(Name, Name)| is_hub(one) || is_hub(other);
        let somebody_is_asleep = self.stage.hosts().iter().any(|(name, _)| self.is_asleep(name));
        // Who is cut off from the hubs does not hear who is no member any more.
        let all_hear = self.cuts.is_empty() && self.isolated.is_empty() || self.gone.is_empty();
        let meets_hubs = self.hubs_are_there() && !self.cuts.iter().any(is_of_hub);
        self.killed.is_empty() && !somebody_is_asleep && all_hear && meets_hubs
    }

    fn hubs_are_there(&self) -> bool {
        let course = &self.stage.course;
        let is_there = |hub: Name| course.runs(hub) && !self.isolated.contains(hub) && !self.is_asleep(hub);
        course.scenario().hubs.iter().all(|hub| is_there(hub.name))
    }

    fn within(&self) -> Duration {
        let forgotten = if self.gone.is_empty() {
            Duration::ZERO
        } else {
            UNTIL_FORGOTTEN
        };
        let linked = if self.is_beside_v1() { WITHIN_BESIDE_V1 } else { WITHIN };
        linked.max(forgotten)
    }

    fn is_beside_v1(&self) -> bool {
        self.stage.world.hosts.iter().any(Host::is_v1)
    }

    /// Returns whether each leaf knows only one of several hubs.
    fn is_chain(&self) -> bool {
        let scenario = self.stage.course.scenario();
        scenario.leaves.iter().any(|leaf| leaf.hubs.len() < scenario.hubs.len())
    }

    fn act(&mut self, act: Act) {
        self.remember(&format!("{act:?}"));
        self.stage.act(act);
    }

    fn remember(&mut self, what: &str) {
        let at = self.stage.world.now.since_start().as_secs() - 3600;
        self.history.push(format!("{at} s: {what}"));
    }

    fn pause(&mut self, at_most: u64) {
        let pause = Duration::from_millis(self.draw.below(at_most * 1000));
        self.stage.run(pause);
    }

    fn expect(&mut self, within: Duration, hold: u64) -> Result<(), String> {
        let step = Step {
            act: Act::Wait,
            within,
            hold: Duration::from_secs(hold),
        };
        play::follow(&mut self.stage, &step).map(drop)
    }

    fn leaf(&mut self) -> Name {
        let leaves = &self.stage.course.scenario().leaves;
        leaves[self.draw.index(leaves.len())].name
    }

    fn host(&mut self) -> Name {
        let names = self.stage.course.scenario().names();
        names[self.draw.index(names.len())]
    }

    fn is_asleep(&self, name: Name) -> bool {
        self.stage.world.hosts[self.stage.id(name)].asleep
    }

    /// Lets one thing happen, if it can.
    fn happen(&mut self) {
        let (leaf, host) = (self.leaf(), self.host());
        let runs = self.stage.course.runs(host);
        if self.is_asleep(host) || self.is_asleep(leaf) {
            return;
        }
        match self.draw.below(14) {
            0 | 1 if runs => self.stop(host),
            2 if runs => self.kill(host),
            3 => self.start(host),
            4 => self.cut(leaf, host),
            5 => self.isolate(host),
            6 => self.heal_some(),
            7 | 8 => self.roam(leaf),
            9 => {
                let time = Duration::from_secs(self.draw.below(400));
                self.act(Act::Sleep(host, time));
            }
            10 if !self.gone.contains(host) => self.reboot(host),
            11 if self.can_revoke() => self.revoke_or_admit(leaf),
            12 => self.operate(leaf, host),
            13 => {
                let quality = network::quality(&mut self.draw);
                self.remember(&format!("{quality:?}"));
                self.stage.set_quality(quality);
            }
            _ => self.remember("nothing"),
        }
    }

    /// A v1 node leaves the device as it is, as one does that is killed.
    fn stop(&mut self, host: Name) {
        if self.stage.course.program(host) == Program::V1 {
            self.kill(host);
        } else {
            self.act(Act::Stop(host));
        }
    }

    fn kill(&mut self, host: Name) {
        self.remember(&format!("{host} is killed"));
        let id = self.stage.id(host);
        self.stage.world.kill(id);
        self.stage.course.take(Act::Stop(host));
        self.killed.insert(host);
    }

    /// What a killed node left on the device is its own again; a v1 node would take it for the operator's.
    fn start(&mut self, host: Name) {
        if self.stage.course.runs(host) || self.gone.contains(host) {
            return;
        }
        let was_killed = self.killed.remove(host);
        if was_killed && self.stage.course.program(host) == Program::V1 {
            self.act(Act::Reboot(host));
        } else {
            self.act(Act::Start(host));
        }
    }

    fn reboot(&mut self, host: Name) {
        self.killed.remove(host);
        self.act(Act::Reboot(host));
    }

    fn cut(&mut self, one: Name, other: Name) {
        if one != other {
            self.cuts.insert((one, other));
            self.act(Act::Cut(one, other));
        }
    }

    fn isolate(&mut self, host: Name) {
        self.isolated.insert(host);
        self.act(Act::Isolate(host));
    }

    fn heal_some(&mut self) {
        if let Some((one, other)) = self.cuts.pop_first() {
            self.act(Act::Heal(one, other));
        }
        if let Some(host) = self.isolated.pop_first() {
            self.act(Act::Rejoin(host));
        }
    }

    /// Goes to another site, unless somebody is there who shares it with nobody.
    fn roam(&mut self, leaf: Name) {
        let scenario = self.stage.course.scenario();
        let site = self.draw.index(scenario.sites.len());
        let others = scenario.leaves.iter().filter(|other| other.name != leaf);
        let is_taken = others.clone().any(|other| self.stage.course.site(other.name) == site);
        let has_room = scenario.sites[site].border.is_shared() || !is_taken;
        if has_room && !network::is_carrier(&scenario.sites, site) && self.stage.course.site(leaf) != site {
            self.act(Act::Roam(leaf, site));
        }
    }

    /// A router that was away while a member was revoked, or only heard of it, brings it back, and no router removes anybody; a v1
    /// router brings back whom it just said to be a member.
    fn can_revoke(&self) -> bool {
        !self.is_beside_v1() && !self.is_chain() && self.hubs_are_there()
    }

    fn revoke_or_admit(&mut self, leaf: Name) {
        if self.gone.remove(leaf) {
            self.admit(leaf);
        } else if self.gone.is_empty() {
            self.gone.insert(leaf);
            if self.killed.remove(leaf) {
                let id = self.stage.id(leaf);
                self.stage.world.reboot(id);
            }
            self.act(Act::Revoke(leaf));
        }
    }

    fn admit(&mut self, leaf: Name) {
        self.remember(&format!("{leaf} is admitted"));
        self.stage.admit(leaf);
    }

    /// The operator gives a peer, ours or not, a prefix by hand.
    fn operate(&mut self, at: Name, of: Name) {
        if at == of || self.gone.contains(of) || self.gone.contains(at) {
            return;
        }
        let (at_id, of_id) = (self.stage.id(at), self.stage.id(of));
        let key = self.stage.world.hosts[of_id].key;
        let prefix = format!("172.31.{}.{}/32", 100 + at_id, of_id)
            .parse()
            .expect("a prefix");
        if !self.stage.world.hosts[at_id].tunnel.device().peers.contains_key(&key) {
            return;
        }
        self.remember(&format!("{at} gives {of} {prefix} by hand"));
        self.stage
            .world
            .operate(at_id, &DeviceChange::AddAllowedIp { peer: key, prefix });
        let config = &mut self.stage.world.hosts[at_id].config;
        match config.peers.iter_mut().find(|peer| peer.key == key) {
            Some(peer) => peer.allowed_ips.push(prefix),
            None => config.peers.push(PeerConfig {
                key,
                allowed_ips: vec![prefix],
                endpoint: None,
                keepalive: None,
            }),
        }
    }

    /// Everything that can heal does, and everybody runs.
    fn heal(&mut self) {
        while !self.cuts.is_empty() || !self.isolated.is_empty() {
            self.heal_some();
        }
        self.stage.set_quality(Quality::ACCESS);
        while self.stage.hosts().iter().any(|(name, _)| self.is_asleep(name)) {
            self.stage.run(Duration::from_secs(10));
        }
        while let Some(leaf) = self.gone.pop_first() {
            self.admit(leaf);
        }
        for name in self.stage.course.scenario().names() {
            self.start(name);
        }
    }
}
