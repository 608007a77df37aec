//! Which keys should be peers of the device. Additions are prompt; removals wait until nobody could still vouch (wirelink v1).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::mesh::base::dense::repack;
use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::settings::{FACT_TTL, Prune, TrustLevel};
use crate::mesh::base::time::Timestamp;
use crate::mesh::keep::memory;

/// How long somebody who vouches must have been reachable without a break before a missing member fact counts as meant: the
/// life of a fact and one gossip period (wirelink v1).
pub const VOUCHED_FOR: Duration = Duration::from_secs(260);

/// How long somebody who vouches must have been reachable before a missing claim of a prefix counts as meant: enough to be told
/// everything again.
const HEARD_OUT: Duration = Duration::from_secs(60);

/// How long members wait that come after others, for each peer that is there because of this node. All of them are written down before
/// more are made: so a thousand that join within seconds are written down some twenty times, and a few wait no time.
const GATHERED_FOR: Duration = Duration::from_millis(2);

/// The most members that become peers in one go; the others follow at once.
const ADDED_AT_ONCE: usize = 128;

/// The most peers that facts can bring onto the device.
pub const MAX_INTRODUCED: usize = memory::MAX_PEERS;
/// How many of them only a router or the settings can name: another one that is trusted about members leaves them room.
pub const RESERVED: usize = MAX_INTRODUCED / 4;

/// Returns whether a node may take away what facts brought: others believe a router, and a node that its operator trusts about
/// members, so they keep what they have (wirelink v1).
pub fn may_remove(router: bool, own_level: Option<TrustLevel>) -> bool {
    !router && own_level < Some(TrustLevel::Membership)
}

/// Remembers which peers of the device are ours.
#[derive(Debug)]
pub struct Membership {
    started: Timestamp,
    introduced: BTreeSet<PublicKey>,
    /// Since when each node that vouches has been healthy and alive.
    vouchers: BTreeMap<PublicKey, Timestamp>,
    /// When somebody new was made a peer last.
    added: Option<Timestamp>,
    /// Until when members wait, where some do.
    waits_until: Option<Timestamp>,
}

/// What a decision is made from.
#[derive(Debug)]
pub struct View<'a> {
    /// The peers of the device.
    pub peers: &'a BTreeSet<PublicKey>,
    /// Whom accepted facts or the settings call a member.
    pub members: &'a BTreeSet<PublicKey>,
    /// Who may say who is a member, and is healthy and alive now.
    pub vouchers: &'a BTreeSet<PublicKey>,
    /// Whether this node may remove at all: it is no router, and not itself one that others believe about members.
    pub may_remove: bool,
    /// Peers that route for others: whatever is pruned, they stay.
    pub routers: &'a BTreeSet<PublicKey>,
    /// Members that a router or the settings name; empty, until there is [no room for all](Membership::is_nearly_full).
    pub favoured: &'a BTreeSet<PublicKey>,
    /// Whom a missing membership removes.
    pub prune: Prune,
}

/// What should become of the device.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Members that the device lacks.
    pub add: Vec<PublicKey>,
    /// Peers that are no members any more: of ours, or of all, as the operator decided.
    pub remove: Vec<PublicKey>,
    /// Whether members were left out, because [`MAX_INTRODUCED`] is reached.
    pub full: bool,
}

impl Membership {
    /// Starts with a device on which no peer is ours.
    pub fn new(now: Timestamp) -> Self {
        Self {
            started: now,
            introduced: BTreeSet::new(),
            vouchers: BTreeMap::new(),
            added: None,
            waits_until: None,
        }
    }

    /// Returns whether this node made the peer.
    pub fn introduced(&self, peer: &PublicKey) -> bool {
        self.introduced.contains(peer)
    }

    /// Returns the peers that this node made.
    pub fn all_introduced(&self) -> &BTreeSet<PublicKey> {
        &self.introduced
    }

    /// Gives up a peer that the operator has laid hands on since we made it: it is the operator's from now on.
    pub fn hand_over(&mut self, peer: &PublicKey) {
        self.introduced.remove(peer);
    }

    /// Takes over the peers that an earlier run made.
    pub fn resume(&mut self, introduced: BTreeSet<PublicKey>) {
        self.introduced = introduced;
    }

    /// Decides who joins and who leaves. Peers that the operator made are removed only where the operator wants that.
    pub fn decide(&mut self, now: Timestamp, view: &View<'_>) -> Decision {
        self.vouchers.retain(|key, _| view.vouchers.contains(key));
        for voucher in view.vouchers {
            self.vouchers.entry(*voucher).or_insert(now);
        }
        self.introduced
            .retain(|key| view.peers.contains(key) || view.members.contains(key));
        let mut decision = self.additions(now, view);
        if view.may_remove && self.has_vouched_long(now) {
            decision.remove = self.orphans(view).collect();
        }
        decision
    }

    /// Returns the peers that go when nobody names them any more, and nobody does.
    fn orphans<'a>(&'a self, view: &'a View<'_>) -> impl Iterator<Item = PublicKey> + 'a {
        let (ours, all) = match view.prune {
            Prune::Introduced => (Some(&self.introduced), None),
            Prune::All => (None, Some(view.peers)),
            Prune::Never => (None, None),
        };
        let ours = ours.into_iter().flatten().filter(|key| view.peers.contains(key));
        let all = all.into_iter().flatten().filter(|key| !view.routers.contains(key));
        let orphans = ours.chain(all).filter(|key| !view.members.contains(key));
        orphans.copied()
    }

    fn additions(&mut self, now: Timestamp, view: &View<'_>) -> Decision {
        let mut decision = Decision::default();
        let until = self.gathers_until().filter(|until| now < *until);
        self.waits_until = None;
        let (mut has_new, mut has_rest) = (false, false);
        for member in view.members.difference(view.peers) {
            if decision.add.len() == ADDED_AT_ONCE {
                has_rest = true;
                break;
            }
            if self.introduced.contains(member) {
                decision.add.push(*member);
            } else if self.introduced.len() >= self.most(view.favoured.contains(member)) {
                decision.full = true;
            } else if until.is_some() {
                self.waits_until = until;
            } else {
                has_new |= self.introduced.insert(*member);
                decision.add.push(*member);
            }
        }
        if has_rest {
            self.waits_until = Some(now);
        } else if has_new {
            self.added = Some(now);
            repack(&mut self.introduced);
        }
        decision
    }

    fn most(&self, is_favoured: bool) -> usize {
        MAX_INTRODUCED - if is_favoured { 0 } else { RESERVED }
    }

    /// Returns whether only those have room that a router or the settings name.
    pub fn is_nearly_full(&self) -> bool {
        self.introduced.len() + ADDED_AT_ONCE >= self.most(false)
    }

    /// Returns until when those who come now wait for more of their kind.
    fn gathers_until(&self) -> Option<Timestamp> {
        let count = u32::try_from(self.introduced.len()).unwrap_or(u32::MAX);
        self.added.map(|added| added + GATHERED_FOR.saturating_mul(count))
    }

    /// Returns whether somebody who vouches was heard for so long that who is not named by now is no member.
    pub fn has_vouched_long(&self, now: Timestamp) -> bool {
        now.since(self.started) > FACT_TTL && self.vouchers.values().any(|since| now.since(*since) >= VOUCHED_FOR)
    }

    /// Returns whether these are the ones who vouched at the last decision.
    pub fn is_vouched_by(&self, vouchers: &BTreeSet<PublicKey>) -> bool {
        self.vouchers.keys().eq(vouchers)
    }

    /// Returns whether somebody who vouches was heard for long enough to have claimed all prefixes.
    pub fn has_heard_out(&self, now: Timestamp) -> bool {
        self.vouchers.values().any(|since| now.since(*since) >= HEARD_OUT)
    }

    /// Returns when an addition or a removal that waits becomes possible.
    pub fn next(&self, view: &View<'_>) -> Option<Timestamp> {
        self.waits_until.into_iter().chain(self.next_removal(view)).min()
    }

    fn next_removal(&self, view: &View<'_>) -> Option<Timestamp> {
        let waits = view.may_remove && self.orphans(view).next().is_some();
        let voucher = self.vouchers.values().min().filter(|_| waits)?;
        Some((*voucher + VOUCHED_FOR).max(self.started + FACT_TTL + Duration::from_secs(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: PublicKey = PublicKey::from_bytes([1; 32]);
    const LEAF: PublicKey = PublicKey::from_bytes([2; 32]);
    const BY_HAND: PublicKey = PublicKey::from_bytes([3; 32]);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(seconds))
    }

    struct World {
        membership: Membership,
        peers: BTreeSet<PublicKey>,
        members: BTreeSet<PublicKey>,
        vouchers: BTreeSet<PublicKey>,
        favoured: BTreeSet<PublicKey>,
        may_remove: bool,
        prune: Prune,
    }

    impl World {
        fn new() -> Self {
            Self {
                membership: Membership::new(at(0)),
                peers: [HUB, BY_HAND].into(),
                members: [LEAF].into(),
                vouchers: [HUB].into(),
                favoured: BTreeSet::new(),
                may_remove: true,
                prune: Prune::Introduced,
            }
        }

        fn decide(&mut self, seconds: u64) -> Decision {
            let view = View {
                peers: &self.peers,
                members: &self.members,
                vouchers: &self.vouchers,
                may_remove: self.may_remove,
                routers: &[HUB].into(),
                favoured: &self.favoured,
                prune: self.prune,
            };
            let decision = self.membership.decide(at(seconds), &view);
            self.peers.extend(&decision.add);
            self.peers.retain(|key| !decision.remove.contains(key));
            decision
        }
    }

    #[test]
    fn a_member_is_added_once_and_again_when_somebody_removed_it() {
        let mut world = World::new();
        assert_eq!(world.decide(0).add, [LEAF]);
        assert_eq!(world.decide(1), Decision::default());
        world.peers.remove(&LEAF);
        assert_eq!(world.decide(2).add, [LEAF]);
    }

    #[test]
    fn only_our_own_peers_are_removed_and_only_after_the_grace() {
        let mut world = World::new();
        world.decide(0);
        world.members.clear();
        for seconds in [10, 255, 259] {
            assert_eq!(world.decide(seconds), Decision::default(), "at {seconds} s");
        }
        assert_eq!(world.decide(260).remove, [LEAF]);
        assert!(world.peers.contains(&BY_HAND));
    }

    #[test]
    fn all_but_routers_and_members_go_where_the_operator_wants_that_and_nobody_where_not() {
        let mut world = World::new();
        world.prune = Prune::All;
        world.decide(0);
        assert_eq!(world.decide(259), Decision::default());
        assert_eq!(world.decide(260).remove, [BY_HAND]);
        world.members.clear();
        assert_eq!(world.decide(300).remove, [LEAF]);
        assert_eq!(world.peers, [HUB].into());
        let mut world = World::new();
        world.prune = Prune::Never;
        world.decide(0);
        world.members.clear();
        assert_eq!(world.decide(10_000), Decision::default());
    }

    #[test]
    fn what_an_earlier_run_made_is_ours_to_remove() {
        let mut world = World::new();
        world.membership.resume([BY_HAND].into());
        world.decide(0);
        assert_eq!(world.decide(260).remove, [BY_HAND]);
    }

    #[test]
    fn the_grace_starts_again_when_whoever_vouches_was_away() {
        let mut world = World::new();
        world.decide(0);
        world.members.clear();
        world.vouchers.clear();
        world.decide(250);
        world.vouchers.insert(HUB);
        world.decide(251);
        assert_eq!(world.decide(260 + 250).remove, []);
        assert_eq!(world.decide(260 + 251).remove, [LEAF]);
    }

    #[test]
    fn a_router_or_trust_source_never_removes() {
        let mut world = World::new();
        world.may_remove = false;
        world.decide(0);
        world.members.clear();
        assert_eq!(world.decide(10_000), Decision::default());
    }

    #[test]
    fn the_more_there_are_the_longer_others_are_gathered_before_they_are_added_together() {
        let keys = |range: std::ops::Range<u8>| range.map(|number| PublicKey::from_bytes([number; 32]));
        let mut world = World::new();
        world.members = keys(10..110).collect();
        assert_eq!(world.decide(0).add.len(), 100);
        let decide_at = |world: &mut World, milliseconds| {
            let now = at(0) + Duration::from_millis(milliseconds);
            let view = View {
                peers: &world.peers,
                members: &world.members,
                vouchers: &world.vouchers,
                may_remove: true,
                routers: &[HUB].into(),
                favoured: &world.favoured,
                prune: Prune::Introduced,
            };
            (world.membership.decide(now, &view).add, world.membership.next(&view))
        };
        world.members.extend(keys(110..120));
        let until = at(0) + 100 * GATHERED_FOR;
        assert_eq!(decide_at(&mut world, 50), (vec![], Some(until)));
        world.members.extend(keys(120..130));
        assert_eq!(decide_at(&mut world, 199), (vec![], Some(until)));
        world.peers.remove(&PublicKey::from_bytes([10; 32]));
        assert_eq!(decide_at(&mut world, 199).0.len(), 1, "who was there goes on at once");
        assert_eq!(decide_at(&mut world, 200).0.len(), 21);
    }

    #[test]
    fn facts_cannot_bring_peers_without_bound() {
        let mut world = World::new();
        world.members = (0..=MAX_INTRODUCED as u32)
            .map(|index| {
                let mut bytes = [9; 32];
                bytes[..4].copy_from_slice(&index.to_be_bytes());
                PublicKey::from_bytes(bytes)
            })
            .collect();
        assert!(!world.membership.is_nearly_full());
        let (own, honest) = (MAX_INTRODUCED - RESERVED, PublicKey::from_bytes([200; 32]));
        let mut goes = 0;
        let full = loop {
            let decision = world.decide(goes * 100);
            assert!(decision.add.len() <= ADDED_AT_ONCE);
            world.peers.extend(&decision.add);
            if decision.add.is_empty() {
                break decision.full;
            }
            goes += 1;
        };
        assert_eq!((world.membership.introduced.len(), full), (own, true));
        assert_eq!(goes as usize, own.div_ceil(ADDED_AT_ONCE));
        assert!(world.membership.is_nearly_full());
        world.members.insert(honest);
        world.favoured.insert(honest);
        assert_eq!(world.decide(goes * 100).add, [honest], "a router names it");
        world.favoured = world.members.clone();
        while !world.decide((goes + 1) * 100).add.is_empty() {
            goes += 1;
        }
        assert_eq!(world.membership.introduced.len(), MAX_INTRODUCED);
    }
}
