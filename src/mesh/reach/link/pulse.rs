//! Heartbeats: whether what is sent to a peer through the direct link arrives, and what comes back, how soon.
//!
//! A peer that understands them answers each. A quiet link has one now and then, one with traffic each second; where something
//! goes out and nothing comes back they follow closely, and soon decide.

use std::collections::VecDeque;
use std::time::Duration;

use super::quality::Quality;
use crate::mesh::base::time::Timestamp;
use crate::mesh::believe::fact::heartbeat::SIZED;

/// How often a link without traffic has one.
pub const IDLE: Duration = Duration::from_secs(25);
/// How often one with traffic, or one that is not used, has one.
const ACTIVE: Duration = Duration::from_secs(1);
/// How often one that is in doubt, or new, has one.
const DOUBTED: Duration = Duration::from_millis(300);
/// How long a link counts as one with traffic after the last of it.
const ACTIVE_FOR: Duration = Duration::from_secs(3);
/// How long a heartbeat may be unanswered before the link is in doubt; or so many round-trip times.
const PATIENCE: Duration = Duration::from_millis(400);
const ROUND_TRIPS: u32 = 3;
/// How long nothing may come back before a link that is in doubt is dead. Traffic returns to a router in less than 3 s.
const DEAD_AFTER: Duration = Duration::from_millis(1800);
/// How many heartbeats must be unanswered by then.
const DEAD_BEATS: usize = 3;
/// How long it may take where this machine is elsewhere by now: three heartbeats.
const MOVED_PATIENCE: Duration = Duration::from_millis(700);
/// How long an answer shows that both directions work.
const PROVEN_FOR: Duration = Duration::from_secs(3);
/// For how long a new link is asked often.
const NEW_FOR: Duration = Duration::from_secs(3);
/// For how long a link that is not used is asked each second, and how often afterwards.
const LATELY: Duration = Duration::from_secs(60);
const RARELY: Duration = Duration::from_secs(5);
/// How long after its last answer a peer that is heard by other means counts as one whose path is not measured.
const UNMEASURED_AFTER: Duration = Duration::from_secs(60);
/// The most that wait for their answers.
const MAX_ASKED: usize = 32;
/// What the device counts beyond our own datagrams is traffic from here on: more than a keepalive (32 bytes).
const TRAFFIC: u64 = 64;
/// Idle links keep to this grid, so that a thousand of them do not make a thousand deadlines.
const GRID: Duration = Duration::from_millis(500);

/// The heartbeats of one link, while it has a session.
#[derive(Debug)]
pub struct Pulse {
    /// How often there is one while there is traffic.
    active: Duration,
    began: Timestamp,
    number: u32,
    next: Timestamp,
    /// What was not answered since the last answer.
    asked: VecDeque<(u32, Timestamp)>,
    /// When an answer came last.
    echoed: Option<Timestamp>,
    /// When anything came from the peer last.
    heard: Timestamp,
    active_until: Option<Timestamp>,
    doubted: bool,
    /// Since when the link is not used, as it does not work or just begins to.
    unused: Option<Timestamp>,
    counters: Option<Counters>,
    own: Own,
    /// How many heartbeats of the peer arrived.
    received: u32,
    quality: Quality,
}

/// What the device counted, as of a look at it.
#[derive(Clone, Copy, Debug)]
struct Counters {
    at: Timestamp,
    heard: u64,
    sent: u64,
    /// Since when traffic goes out and nothing comes back.
    one_way: Option<Timestamp>,
}

/// What of that is our own, since the last look.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    heard: u64,
    sent: u64,
}

impl Pulse {
    /// Begins with a session; the first heartbeat is due at once. With a peer that routes there is mostly no other way, and it has many
    /// to answer.
    pub fn new(now: Timestamp, routes: bool) -> Self {
        Self {
            active: if routes { RARELY } else { ACTIVE },
            began: now,
            number: 0,
            next: now,
            asked: VecDeque::new(),
            echoed: None,
            heard: now,
            active_until: None,
            doubted: false,
            unused: None,
            counters: None,
            own: Own::default(),
            received: 0,
            quality: Quality::default(),
        }
    }

    /// Takes in what the device counted. Whatever it counts came from the peer: WireGuard proves it.
    pub fn count(&mut self, now: Timestamp, heard: u64, sent: u64) {
        let own = std::mem::take(&mut self.own);
        let Some(before) = self.counters else {
            self.counters = Some(Counters {
                at: now,
                heard,
                sent,
                one_way: None,
            });
            return;
        };
        let comes = heard.saturating_sub(before.heard);
        let goes = sent.saturating_sub(before.sent).saturating_sub(own.sent) > TRAFFIC;
        if comes > 0 {
            self.hear(now);
        }
        if goes || comes.saturating_sub(own.heard) > TRAFFIC {
            self.active_until = Some(now + ACTIVE_FOR);
            self.next = self.next.min(self.last_beat() + self.active);
        }
        let one_way = match before.one_way {
            _ if comes > 0 => None,
            None if goes => Some(before.at),
            since => since,
        };
        if one_way.is_some_and(|since| now.since(since) >= ACTIVE) {
            self.doubt(now);
        }
        self.counters = Some(Counters {
            at: now,
            heard,
            sent,
            one_way,
        });
    }

    /// Takes in that a datagram of ours with so many bytes goes out, or came in, through the tunnel.
    pub fn note_own(&mut self, sent: usize, heard: usize) {
        self.own.sent += on_the_wire(sent);
        self.own.heard += on_the_wire(heard);
    }

    /// Takes in that the peer was heard.
    pub fn hear(&mut self, now: Timestamp) {
        self.heard = now;
    }

    /// Takes in a heartbeat of the peer; returns how many there were.
    pub fn receive(&mut self, now: Timestamp, number: u32) -> u32 {
        self.hear(now);
        if number & SIZED != 0 {
            return self.received;
        }
        self.received += 1;
        self.quality.back.arrive(number, self.received);
        self.received
    }

    /// Takes in an answer: how many heartbeats the peer says it received, and when this one, by its clock. Returns whether it answers a
    /// heartbeat that waits for its answer.
    pub fn echo(&mut self, now: Timestamp, number: u32, arrived: u32, there: Duration) -> bool {
        let Some(place) = self.asked.iter().position(|(asked, _)| *asked == number) else {
            return false;
        };
        let (_, at) = self.asked[place];
        self.asked.drain(..=place);
        self.hear(now);
        self.quality.out.arrive(number, arrived);
        self.quality.answer(now, at, there);
        self.echoed = Some(now);
        self.doubted = false;
        self.next = self.on_grid(at + self.interval(now));
        true
    }

    /// Moves on; returns the number of the heartbeat that is due, if one is.
    pub fn beat(&mut self, now: Timestamp) -> Option<u32> {
        if self.is_overdue(now) {
            self.doubt(now);
        }
        if now < self.next {
            return None;
        }
        self.number += 1;
        if self.asked.len() >= MAX_ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back((self.number, now));
        self.next = self.on_grid(now + self.interval(now));
        Some(self.number)
    }

    /// Has the next heartbeat follow at once: something about the way is different.
    pub fn hurry(&mut self, now: Timestamp) {
        self.next = now;
    }

    /// Doubts the link because this machine is elsewhere: what was heard before says little, and an answer must come soon.
    pub fn challenge(&mut self, now: Timestamp) {
        let patience = MOVED_PATIENCE.max(self.patience());
        self.heard = self.heard.min(now - DEAD_AFTER.saturating_sub(patience));
        // What is counted by the next look came before.
        self.counters = None;
        self.doubted = true;
        self.asked.clear();
        self.next = now;
    }

    /// Takes in whether the link is used; one that is not is asked often whether it works.
    pub fn settle(&mut self, now: Timestamp, is_used: bool) {
        if is_used {
            self.unused = None;
        } else if self.unused.is_none() {
            self.unused = Some(now);
            self.next = self.next.min(now + ACTIVE);
        }
    }

    /// Returns when to look at it again.
    pub fn next(&self) -> Timestamp {
        let is_watched = self.unused.is_none();
        let overdue = self.unanswered().map(|at| at + self.patience());
        let overdue = overdue.filter(|_| is_watched && !self.doubted);
        let may_be_dead = is_watched && self.doubted && self.is_long_unanswered();
        let dead = may_be_dead.then(|| self.heard + DEAD_AFTER);
        [overdue, dead].into_iter().flatten().fold(self.next, Timestamp::min)
    }

    /// Returns whether both directions were found to work just now.
    pub fn is_proven(&self, now: Timestamp) -> bool {
        self.echoed.is_some_and(|at| now.since(at) < PROVEN_FOR)
    }

    /// Returns whether nothing comes back any more.
    pub fn is_dead(&self, now: Timestamp) -> bool {
        self.doubted && self.is_long_unanswered() && now.since(self.heard) >= DEAD_AFTER
    }

    /// Returns what was found out.
    pub fn quality(&self) -> Quality {
        self.quality
    }

    /// Returns what is to be shown of the path now: [`quality`](Self::quality) knows only of heartbeats that were answered.
    pub fn measured(&self, now: Timestamp) -> Quality {
        let overdue = self.asked.iter().filter(|(_, at)| now.since(*at) >= self.patience());
        let overdue = u32::try_from(overdue.count()).unwrap_or(u32::MAX);
        if self.is_dead(now) {
            self.quality.of_silence()
        } else if self.echoed.is_some_and(|at| now.since(at) >= UNMEASURED_AFTER) && overdue as usize >= DEAD_BEATS {
            self.quality.unmeasured()
        } else {
            self.quality.with_overdue(overdue)
        }
    }

    /// Returns whether it must be watched closely: with traffic, or in doubt.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.doubted || self.active_until.is_some_and(|until| now < until)
    }

    /// Returns whether it is in doubt.
    pub fn is_doubted(&self) -> bool {
        self.doubted
    }

    /// Returns when an answer came last.
    pub fn echoed(&self) -> Option<Timestamp> {
        self.echoed
    }

    fn doubt(&mut self, now: Timestamp) {
        if !self.doubted {
            self.doubted = true;
            self.next = now;
        }
    }

    fn last_beat(&self) -> Timestamp {
        self.asked
            .back()
            .map(|(_, at)| *at)
            .or(self.echoed)
            .unwrap_or(self.began)
    }

    /// Returns how long an answer may take.
    pub fn patience(&self) -> Duration {
        let round_trips = self.quality.round_trip.unwrap_or_default() * ROUND_TRIPS;
        PATIENCE.max(round_trips + 4 * self.quality.variation)
    }

    fn is_overdue(&self, now: Timestamp) -> bool {
        self.unanswered().is_some_and(|at| now.since(at) >= self.patience())
    }

    /// Returns when the first heartbeat was sent since anything came from the peer last.
    fn unanswered(&self) -> Option<Timestamp> {
        let mut since = self.asked.iter().map(|(_, at)| *at);
        since.find(|at| *at >= self.heard)
    }

    /// Returns whether so many were sent since as make a link in doubt a dead one.
    fn is_long_unanswered(&self) -> bool {
        self.asked.iter().filter(|(_, at)| *at > self.heard).count() >= DEAD_BEATS
    }

    fn interval(&self, now: Timestamp) -> Duration {
        match (self.unused, self.echoed) {
            (_, None) if now.since(self.began) < NEW_FOR => DOUBTED,
            (Some(at), _) if now.since(at) < LATELY => ACTIVE,
            (Some(_), _) | (None, None) => RARELY,
            (None, Some(_)) if self.doubted => DOUBTED,
            (None, Some(_)) if self.is_active(now) => self.active,
            (None, Some(_)) => IDLE,
        }
    }

    /// Moves what is far away to the next line of the grid.
    fn on_grid(&self, at: Timestamp) -> Timestamp {
        if at.since(self.last_beat()) < RARELY {
            return at;
        }
        let grid = GRID.as_nanos() as u64;
        let since_start = u64::try_from(at.since_start().as_nanos()).unwrap_or(u64::MAX);
        Timestamp::from_start(Duration::from_nanos(since_start.next_multiple_of(grid)))
    }
}

/// Returns how many bytes the device counts for a datagram of ours: IPv6 and UDP headers, padded, in a data message (WireGuard
/// paper, 5.4.6).
fn on_the_wire(payload: usize) -> u64 {
    if payload == 0 {
        return 0;
    }
    (32 + (48 + payload).next_multiple_of(16)) as u64
}

#[cfg(test)]
mod tests;
