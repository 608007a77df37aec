//! A walk through what can happen to a network.

use std::collections::BTreeSet;
use std::time::Duration;

use wirelink::mesh::device::DeviceChange;

use super::network;
use crate::draw::Draw;
use crate::host::PeerConfig;
use crate::net::Quality;
use crate::scenario::{Act, Name, Scenario, Step};
use crate::stage::Stage;
use crate::{invariants, play};

/// How many acts a walk has.
const ACTS: usize = 15;
/// How long everything may take in the end. A session whose endpoint is wrong is only known for dead after 165 s, and what both
/// sides then try takes up to three rounds.
const WITHIN: Duration = Duration::from_secs(420);

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
        }
        self.heal();
        self.expect(WITHIN, 60)?;
        self.act(Act::StopAll);
        self.expect(Duration::from_secs(60), 0)
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
            0 | 1 if runs => self.act(Act::Stop(host)),
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
            11 => self.revoke_or_admit(leaf),
            12 => self.operate(leaf, host),
            13 => {
                let quality = network::quality(&mut self.draw);
                self.remember(&format!("{quality:?}"));
                self.stage.set_quality(quality);
            }
            _ => self.remember("nothing"),
        }
    }

    fn kill(&mut self, host: Name) {
        self.remember(&format!("{host} is killed"));
        let id = self.stage.id(host);
        self.stage.world.kill(id);
        self.stage.course.take(Act::Stop(host));
        self.killed.insert(host);
    }

    /// What a killed node left on the device it would take for the operator's: so the machine starts anew.
    fn start(&mut self, host: Name) {
        if self.stage.course.runs(host) || self.gone.contains(host) {
            return;
        }
        if self.killed.remove(host) {
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
