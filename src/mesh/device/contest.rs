//! What somebody else takes off the interface again and again is put back less and less often: nobody wins a fight.
//!
//! Tools that set an interface up as they have it written (`wg syncconf`, systemd-networkd, NetworkManager) take off what they do not
//! know, each time they are told to. Once is no quarrel; a program that does it all the time gets its peace.
//!
//! The shell asks, as it alone knows what was really done to the interface, and puts the address of the node there by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;

use crate::mesh::base::identity::PublicKey;
use crate::mesh::base::time::Timestamp;
use crate::mesh::device::DeviceChange;

/// How often something is put back without delay.
const PROMPT: u32 = 3;
/// The first delay after that; each following one is twice as long.
const FIRST_DELAY: Duration = Duration::from_secs(10);
/// The longest delay.
const MAX_DELAY: Duration = Duration::from_secs(300);
/// When nobody has undone something for so long, it is no matter of dispute any more.
const PEACE: Duration = Duration::from_secs(900);
/// The most things that are remembered; beyond that, what is old is forgotten.
const MAX_OBJECTS: usize = 16_384;

/// What a change is about. Endpoints are not among them: they are tried in slots of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// The link-local address of the node.
    Address,
    /// Whether there is this peer.
    Peer(PublicKey),
    /// Whose this prefix is.
    Prefix(IpNet),
}

/// What was made of an object last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It is there.
    Present,
    /// It is this peer's.
    Of(PublicKey),
    /// It is gone.
    Gone,
}

/// What became of one object.
#[derive(Clone, Copy, Debug)]
struct Record {
    made: Made,
    at: Timestamp,
    /// How often it was made again after somebody else undid it.
    again: u32,
}

/// What is to be done about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the first of its kind, or what was made before was taken back by ourselves.
    New,
    /// Somebody undid the same change: it may be made again.
    Again,
    /// Somebody undoes it all the time: not yet.
    NotYet,
}

/// What was put on the interface, and what others took off.
#[derive(Debug, Default)]
pub struct Contest(BTreeMap<Object, Record>);

impl Contest {
    /// Judges a change of the device.
    pub fn judge(&self, now: Timestamp, change: &DeviceChange) -> Verdict {
        subject(change).map_or(Verdict::New, |(object, made)| self.judge_object(now, object, made))
    }

    /// Judges whether the link-local address may be put on the interface.
    pub fn judge_address(&self, now: Timestamp) -> Verdict {
        self.judge_object(now, Object::Address, Made::Present)
    }

    fn judge_object(&self, now: Timestamp, object: Object, made: Made) -> Verdict {
        match self.0.get(&object).filter(|record| record.made == made) {
            None => Verdict::New,
            Some(record) if now < record.at + delay(record.again) => Verdict::NotYet,
            Some(_) => Verdict::Again,
        }
    }

    /// Remembers a change that was made.
    pub fn note(&mut self, now: Timestamp, change: &DeviceChange) {
        if let DeviceChange::RemovePeer { peer } = change {
            // What we take away ourselves, we may give again.
            self.0.retain(|_, record| record.made != Made::Of(*peer));
        }
        if let Some((object, made)) = subject(change) {
            self.note_object(now, object, made);
        }
    }

    /// Remembers that the link-local address was put on the interface.
    pub fn note_address(&mut self, now: Timestamp) {
        self.note_object(now, Object::Address, Made::Present);
    }

    /// Forgets the link-local address: an interface that is down has none, which is nobody's doing.
    pub fn forget_address(&mut self) {
        self.0.remove(&Object::Address);
    }

    fn note_object(&mut self, now: Timestamp, object: Object, made: Made) {
        if self.0.len() >= MAX_OBJECTS {
            self.0.retain(|_, record| now.since(record.at) < PEACE);
            if self.0.len() >= MAX_OBJECTS {
                self.0.clear();
            }
        }
        let before = self.0.get(&object).filter(|record| record.made == made);
        let again = before
            .filter(|record| now.since(record.at) < PEACE)
            .map_or(0, |record| record.again.saturating_add(1));
        self.0.insert(object, Record { made, at: now, again });
    }

    /// Returns whether this was made of an object before, and told then: an event of it would only repeat that.
    pub fn was_made(&self, object: &Object, made: Made) -> bool {
        self.0.get(object).is_some_and(|record| record.made == made)
    }
}

/// Returns what a change is about, and what it makes of that.
fn subject(change: &DeviceChange) -> Option<(Object, Made)> {
    match change {
        DeviceChange::AddPeer { peer, .. } => Some((Object::Peer(*peer), Made::Present)),
        DeviceChange::RemovePeer { peer } => Some((Object::Peer(*peer), Made::Gone)),
        DeviceChange::AddAllowedIp { peer, prefix } => Some((Object::Prefix(*prefix), Made::Of(*peer))),
        DeviceChange::RemoveAllowedIp { prefix, .. } => Some((Object::Prefix(*prefix), Made::Gone)),
        DeviceChange::SetEndpoint { .. } | DeviceChange::MakeAgain { .. } => None,
    }
}

/// Returns how people call what a change is about.
pub fn what(change: &DeviceChange) -> String {
    let peer = change.peer().short();
    match change {
        DeviceChange::AddAllowedIp { prefix, .. } | DeviceChange::RemoveAllowedIp { prefix, .. } => {
            format!("{prefix} of peer {peer}")
        }
        DeviceChange::AddPeer { .. }
        | DeviceChange::RemovePeer { .. }
        | DeviceChange::SetEndpoint { .. }
        | DeviceChange::MakeAgain { .. } => {
            format!("peer {peer}")
        }
    }
}

/// Returns how long to wait after something was made `again` times.
fn delay(again: u32) -> Duration {
    let Some(doublings) = again.checked_sub(PROMPT) else {
        return Duration::ZERO;
    };
    FIRST_DELAY.saturating_mul(1 << doublings.min(10)).min(MAX_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PublicKey = PublicKey::from_bytes([1; 32]);
    const B: PublicKey = PublicKey::from_bytes([2; 32]);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(seconds))
    }

    fn add() -> DeviceChange {
        DeviceChange::AddPeer {
            peer: A,
            allowed_ips: Default::default(),
            endpoint: None,
        }
    }

    fn give(peer: PublicKey) -> DeviceChange {
        let prefix = "10.0.0.2/32".parse().unwrap();
        DeviceChange::AddAllowedIp { peer, prefix }
    }

    /// Wants a change every second, as somebody undoes it at once; returns when it was made.
    fn made_at(contest: &mut Contest, change: &DeviceChange, seconds: std::ops::Range<u64>) -> Vec<u64> {
        let mut made = Vec::new();
        for second in seconds {
            if contest.judge(at(second), change) != Verdict::NotYet {
                contest.note(at(second), change);
                made.push(second);
            }
        }
        made
    }

    #[test]
    fn what_is_undone_all_the_time_is_made_less_and_less_often() {
        let mut contest = Contest::default();
        assert_eq!(
            made_at(&mut contest, &add(), 0..1300),
            [0, 1, 2, 3, 13, 33, 73, 153, 313, 613, 913, 1213]
        );
        for change in [give(A), DeviceChange::RemovePeer { peer: B }] {
            let mut contest = Contest::default();
            assert!(made_at(&mut contest, &change, 0..600).len() < 12, "{change:?}");
        }
    }

    #[test]
    fn a_way_that_changes_all_the_time_by_itself_is_no_dispute() {
        let mut contest = Contest::default();
        for second in 0..600 {
            let change = give(if second % 2 == 0 { A } else { B });
            assert_eq!(contest.judge(at(second), &change), Verdict::New, "at {second} s");
            contest.note(at(second), &change);
        }
    }

    #[test]
    fn a_peer_that_leaves_and_joins_gets_its_prefixes_at_once() {
        let mut contest = Contest::default();
        for second in 0..60 {
            for change in [add(), give(A), DeviceChange::RemovePeer { peer: A }] {
                assert_eq!(
                    contest.judge(at(second), &change),
                    Verdict::New,
                    "{change:?} at {second} s"
                );
                contest.note(at(second), &change);
            }
        }
    }

    #[test]
    fn after_peace_it_begins_anew() {
        let mut contest = Contest::default();
        made_at(&mut contest, &add(), 0..700);
        let later = 700 + PEACE.as_secs();
        assert_eq!(made_at(&mut contest, &add(), later..later + 5).len(), 4);
    }

    #[test]
    fn the_address_is_a_matter_of_dispute_unless_the_interface_was_down() {
        let mut contest = Contest::default();
        let mut made = 0;
        for second in 0..60 {
            if contest.judge_address(at(second)) != Verdict::NotYet {
                contest.note_address(at(second));
                made += 1;
            }
        }
        assert_eq!(made, 6);
        contest.forget_address();
        assert_eq!(contest.judge_address(at(60)), Verdict::New);
    }

    #[test]
    fn object_counts_as_made_until_it_is_made_otherwise() {
        let mut contest = Contest::default();
        let was_added = |contest: &Contest| contest.was_made(&Object::Peer(A), Made::Present);
        assert!(!was_added(&contest));
        contest.note(at(0), &add());
        assert!(was_added(&contest));
        contest.note(at(1), &DeviceChange::RemovePeer { peer: A });
        assert!(!was_added(&contest));
    }

    #[test]
    fn it_remembers_no_more_than_its_bound() {
        let mut contest = Contest::default();
        for number in 0..40_000u32 {
            let prefix = IpNet::from(std::net::IpAddr::from(number.to_be_bytes()));
            contest.note(at(0), &DeviceChange::AddAllowedIp { peer: A, prefix });
        }
        assert!(contest.0.len() <= MAX_OBJECTS);
    }
}
